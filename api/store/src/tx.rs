use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Encode, FromRow, Postgres, Sqlite, Transaction, Type};

use crate::rows::Array;
use crate::{Arg, Engine, StoreError};

/// A row type that both engines can fill: derive [`sqlx::FromRow`], or use a tuple.
pub trait FromDb:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

impl<T> FromDb for T where
    T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

/// A transaction. Dropped without [`Tx::commit`] it is rolled back.
#[derive(Debug)]
pub enum Tx {
    /// SQLite's own.
    Sqlite(Transaction<'static, Sqlite>),
    /// PostgreSQL's own.
    Postgres(Transaction<'static, Postgres>),
}

impl Tx {
    /// Which engine this is.
    #[must_use]
    pub const fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    /// The clause that locks the selected rows until the end of the transaction: `FOR UPDATE` on
    /// PostgreSQL; nothing on SQLite, where a writing transaction excludes all others.
    #[must_use]
    pub const fn for_update(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "",
            Self::Postgres(_) => " FOR UPDATE",
        }
    }

    /// Makes everything durable. After an error the outcome is unknown: ask by the business id.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }

    /// Undoes everything.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn rollback(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.rollback().await?,
            Self::Postgres(tx) => tx.rollback().await?,
        }
        Ok(())
    }

    /// Runs a statement; returns the number of rows that it changed.
    ///
    /// # Errors
    /// [`StoreError::Database`]; on PostgreSQL the transaction is then only good for a rollback.
    pub async fn execute(&mut self, sql: &'static str, args: Vec<Arg>) -> Result<u64, StoreError> {
        Ok(match self {
            Self::Sqlite(tx) => {
                let done =
                    sqlx::query_with(sql, sqlite_arguments(args)?).execute(&mut **tx).await?;
                done.rows_affected()
            }
            Self::Postgres(tx) => {
                let done =
                    sqlx::query_with(sql, postgres_arguments(args)?).execute(&mut **tx).await?;
                done.rows_affected()
            }
        })
    }

    /// All rows.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn fetch_all<T: FromDb>(
        &mut self,
        sql: &'static str,
        args: Vec<Arg>,
    ) -> Result<Vec<T>, StoreError> {
        Ok(match self {
            Self::Sqlite(tx) => {
                sqlx::query_as_with(sql, sqlite_arguments(args)?).fetch_all(&mut **tx).await?
            }
            Self::Postgres(tx) => {
                sqlx::query_as_with(sql, postgres_arguments(args)?).fetch_all(&mut **tx).await?
            }
        })
    }

    /// The row, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn fetch_optional<T: FromDb>(
        &mut self,
        sql: &'static str,
        args: Vec<Arg>,
    ) -> Result<Option<T>, StoreError> {
        Ok(match self {
            Self::Sqlite(tx) => {
                sqlx::query_as_with(sql, sqlite_arguments(args)?).fetch_optional(&mut **tx).await?
            }
            Self::Postgres(tx) => {
                sqlx::query_as_with(sql, postgres_arguments(args)?)
                    .fetch_optional(&mut **tx)
                    .await?
            }
        })
    }

    /// The row that must be there.
    ///
    /// # Errors
    /// [`StoreError::Database`] with `RowNotFound` when it is not.
    pub async fn fetch_one<T: FromDb>(
        &mut self,
        sql: &'static str,
        args: Vec<Arg>,
    ) -> Result<T, StoreError> {
        let row = self.fetch_optional(sql, args).await?;
        row.ok_or(StoreError::Database(sqlx::Error::RowNotFound))
    }

    /// The row, if there is one, locked against other writers until the end of the transaction.
    /// `sql` is a plain `SELECT` without a locking clause.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn lock_optional<T: FromDb>(
        &mut self,
        sql: &'static str,
        args: Vec<Arg>,
    ) -> Result<Option<T>, StoreError> {
        Ok(match self {
            Self::Sqlite(tx) => {
                sqlx::query_as_with(sql, sqlite_arguments(args)?).fetch_optional(&mut **tx).await?
            }
            Self::Postgres(tx) => {
                // Only our own literal texts come here, and the clause is ours too.
                let locking = sqlx::AssertSqlSafe(format!("{sql} FOR UPDATE"));
                sqlx::query_as_with(locking, postgres_arguments(args)?)
                    .fetch_optional(&mut **tx)
                    .await?
            }
        })
    }
}

pub(crate) fn sqlite_arguments(
    args: impl IntoIterator<Item = Arg>,
) -> Result<SqliteArguments, StoreError> {
    let mut arguments = SqliteArguments::default();
    for arg in args {
        match arg {
            Arg::I64(value) => bind::<Sqlite, _>(&mut arguments, value)?,
            Arg::Text(value) => bind::<Sqlite, _>(&mut arguments, value)?,
            Arg::Blob(value) => bind::<Sqlite, _>(&mut arguments, value)?,
            Arg::Bool(value) => bind::<Sqlite, _>(&mut arguments, value)?,
        }
    }
    Ok(arguments)
}

fn postgres_arguments(args: Vec<Arg>) -> Result<PgArguments, StoreError> {
    let mut arguments = PgArguments::default();
    for arg in args {
        match arg {
            Arg::I64(value) => bind::<Postgres, _>(&mut arguments, value)?,
            Arg::Text(value) => bind::<Postgres, _>(&mut arguments, value)?,
            Arg::Blob(value) => bind::<Postgres, _>(&mut arguments, value)?,
            Arg::Bool(value) => bind::<Postgres, _>(&mut arguments, value)?,
        }
    }
    Ok(arguments)
}

pub(crate) fn postgres_arguments_of(arrays: Vec<Array>) -> Result<PgArguments, StoreError> {
    let mut arguments = PgArguments::default();
    for array in arrays {
        match array {
            Array::I64(values) => bind::<Postgres, _>(&mut arguments, values)?,
            Array::Text(values) => bind::<Postgres, _>(&mut arguments, values)?,
            Array::Blob(values) => bind::<Postgres, _>(&mut arguments, values)?,
            Array::Bool(values) => bind::<Postgres, _>(&mut arguments, values)?,
        }
    }
    Ok(arguments)
}

fn bind<DB, T>(arguments: &mut DB::Arguments, value: T) -> Result<(), StoreError>
where
    DB: sqlx::Database,
    T: for<'q> Encode<'q, DB> + Type<DB> + 'static,
{
    use sqlx::Arguments as _;
    arguments.add(value).map_err(|error| StoreError::Database(sqlx::Error::Encode(error)))
}
