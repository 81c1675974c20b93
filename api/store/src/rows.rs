//! Many rows in few statements, for both engines.

use sqlx::AssertSqlSafe;

use crate::tx::{postgres_arguments_of, sqlite_arguments};
use crate::{Arg, StoreError, Tx};

/// How many rows one statement carries on SQLite; the largest that fits is taken. A few fixed
/// lengths, so that the prepared statements are found again.
const CHUNKS: [usize; 5] = [256, 64, 16, 4, 1];

impl Tx {
    /// Inserts `rows`, each with the values of `columns` in their order: `INSERT INTO <table>
    /// (<columns>) … <conflict>`, where `conflict` is empty or an `ON CONFLICT` clause. PostgreSQL gets one
    /// statement with an array for each column, SQLite prepared lists of rows. Returns the number
    /// of rows that were inserted or changed. At most 127 columns.
    ///
    /// # Errors
    /// [`StoreError::Database`], also when the rows have not all the same number and types of values;
    /// on PostgreSQL the transaction is then only good for a rollback.
    pub async fn insert_many(
        &mut self,
        table: &'static str,
        columns: &'static str,
        rows: Vec<Vec<Arg>>,
        conflict: &'static str,
    ) -> Result<u64, StoreError> {
        let Some(width) = rows.first().map(Vec::len) else { return Ok(0) };
        if rows.iter().any(|row| row.len() != width) {
            return Err(uneven());
        }
        let insert = format!("INSERT INTO {table} ({columns})");
        match self {
            Self::Sqlite(tx) => {
                let row = format!("({})", vec!["?"; width].join(","));
                let (mut done, mut left) = (0, rows.len());
                let mut values = rows.into_iter();
                while left > 0 {
                    let length = CHUNKS.into_iter().find(|length| *length <= left).unwrap_or(1);
                    let list = vec![row.as_str(); length].join(",");
                    let sql = AssertSqlSafe(format!("{insert} VALUES {list} {conflict}"));
                    let chunk = values.by_ref().take(length).flatten();
                    let query = sqlx::query_with(sql, sqlite_arguments(chunk)?);
                    done += query.execute(&mut **tx).await?.rows_affected();
                    left -= length;
                }
                Ok(done)
            }
            Self::Postgres(tx) => {
                let arrays = transposed(rows)?;
                let types: Vec<String> = (1..)
                    .zip(&arrays)
                    .map(|(number, array)| format!("${number}::{}[]", array.type_name()))
                    .collect();
                let types = types.join(", ");
                let sql = format!("{insert} SELECT * FROM unnest({types}) {conflict}");
                let arguments = postgres_arguments_of(arrays)?;
                let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
                Ok(query.execute(&mut **tx).await?.rows_affected())
            }
        }
    }
}

/// The values of one column.
pub(crate) enum Array {
    I64(Vec<Option<i64>>),
    Text(Vec<Option<String>>),
    Blob(Vec<Option<Vec<u8>>>),
    Bool(Vec<Option<bool>>),
}

impl Array {
    fn of(first: &Arg, length: usize) -> Self {
        match first {
            Arg::I64(_) => Self::I64(Vec::with_capacity(length)),
            Arg::Text(_) => Self::Text(Vec::with_capacity(length)),
            Arg::Blob(_) => Self::Blob(Vec::with_capacity(length)),
            Arg::Bool(_) => Self::Bool(Vec::with_capacity(length)),
        }
    }

    const fn type_name(&self) -> &'static str {
        match self {
            Self::I64(_) => "bigint",
            Self::Text(_) => "text",
            Self::Blob(_) => "bytea",
            Self::Bool(_) => "boolean",
        }
    }

    fn push(&mut self, value: Arg) -> Result<(), StoreError> {
        match (self, value) {
            (Self::I64(array), Arg::I64(value)) => array.push(value),
            (Self::Text(array), Arg::Text(value)) => array.push(value),
            (Self::Blob(array), Arg::Blob(value)) => array.push(value),
            (Self::Bool(array), Arg::Bool(value)) => array.push(value),
            _ => return Err(uneven()),
        }
        Ok(())
    }
}

fn uneven() -> StoreError {
    StoreError::Database(sqlx::Error::Encode("the rows are not alike".into()))
}

fn transposed(rows: Vec<Vec<Arg>>) -> Result<Vec<Array>, StoreError> {
    let length = rows.len();
    let first = rows.first().into_iter().flatten();
    let mut arrays: Vec<Array> = first.map(|value| Array::of(value, length)).collect();
    for row in rows {
        for (array, value) in arrays.iter_mut().zip(row) {
            array.push(value)?;
        }
    }
    Ok(arrays)
}
