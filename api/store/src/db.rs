use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection as _, Postgres, Transaction};

use crate::{Engine, StoreError, Tx};

/// How long a caller waits for a connection before it is told that the database is busy.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);
const READERS_MAX: u32 = 8;
/// 128 MiB (negative: KiB), so that a large transaction stays in memory until its commit, and the
/// balances of a million accounts too.
const SQLITE_WRITER_CACHE: &str = "-131072";
/// 160 MiB: a page that is written again and again is copied into the file once for all of it.
const SQLITE_CHECKPOINT_PAGES: &str = "40000";
/// A server that is away is told to the caller this soon: it may be back in a moment, or not.
const POSTGRES_ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
const POSTGRES_CONNECTIONS_MAX: u32 = 16;
/// By an administrator, by a crash of another backend, by the time of being idle.
const POSTGRES_ENDED: [&str; 3] = ["57P01", "57P02", "57P05"];

/// A handle on the database; cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Db {
    pools: Pools,
}

#[derive(Clone, Debug)]
enum Pools {
    Sqlite { writer: SqlitePool, readers: SqlitePool },
    Postgres(PgPool),
}

impl Db {
    /// Connects to `sqlite:<file>` (made when absent) or `postgres://…`.
    ///
    /// # Errors
    /// [`StoreError::Url`] for anything else, [`StoreError::Database`] when it cannot be opened.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        if let Some(file) = url.strip_prefix("sqlite:") {
            return Self::open_sqlite(Path::new(file.trim_start_matches("//"))).await;
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let options = PgConnectOptions::from_str(url)?;
            return Self::connect_postgres(options).await;
        }
        Err(StoreError::Url(url.to_owned()))
    }

    /// Opens the SQLite file, made when absent.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it cannot be opened, [`StoreError::WalMissing`] when it was not
    /// closed and the file with its newest transactions is gone.
    pub async fn open_sqlite(file: &Path) -> Result<Self, StoreError> {
        refuse_lost_wal(file)?;
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            // Without it `INSERT OR REPLACE` would delete past the triggers that forbid it.
            .pragma("recursive_triggers", "ON")
            .busy_timeout(ACQUIRE_TIMEOUT);
        let writer = sqlite_pool(1)
            .connect_with(
                options
                    .clone()
                    .pragma("cache_size", SQLITE_WRITER_CACHE)
                    .pragma("wal_autocheckpoint", SQLITE_CHECKPOINT_PAGES),
            )
            .await?;
        let readers =
            sqlite_pool(READERS_MAX).connect_with(options.pragma("query_only", "ON")).await?;
        Ok(Self { pools: Pools::Sqlite { writer, readers } })
    }

    /// Connects to PostgreSQL with these options.
    ///
    /// # Errors
    /// [`StoreError::Database`] when there is no connection.
    pub async fn connect_postgres(options: PgConnectOptions) -> Result<Self, StoreError> {
        // Compiling a statement takes 100 ms; all here are made to be short, whatever the planner guesses.
        let options = options.options([
            ("synchronous_commit", "on"),
            ("lock_timeout", "20s"),
            ("jit", "off"),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS_MAX)
            .acquire_timeout(POSTGRES_ACQUIRE_TIMEOUT)
            // Whether it still lives is seen when the transaction begins: see `begin_postgres`.
            .test_before_acquire(false)
            .connect_with(options)
            .await?;
        Ok(Self { pools: Pools::Postgres(pool) })
    }

    /// Which engine this is.
    #[must_use]
    pub const fn engine(&self) -> Engine {
        match self.pools {
            Pools::Sqlite { .. } => Engine::Sqlite,
            Pools::Postgres(_) => Engine::Postgres,
        }
    }

    /// Brings the schema up to date; does nothing when it is. Several processes may call it at once.
    ///
    /// # Errors
    /// [`StoreError::Migration`] when a migration fails or an applied one was edited.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        match &self.pools {
            Pools::Sqlite { writer, .. } => sqlx::migrate!("migrations/sqlite").run(writer).await?,
            Pools::Postgres(pool) => sqlx::migrate!("migrations/postgres").run(pool).await?,
        }
        Ok(())
    }

    /// Begins a transaction that may write.
    ///
    /// # Errors
    /// [`StoreError::Database`] when there is no connection in time.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(match &self.pools {
            Pools::Sqlite { writer, .. } => Tx::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?),
            // Who waits for a lock must then see what its holder did, whatever the server's default is.
            Pools::Postgres(pool) => {
                Tx::Postgres(begin_postgres(pool, "BEGIN ISOLATION LEVEL READ COMMITTED").await?)
            }
        })
    }

    /// Begins a transaction that only reads, and sees one state of the database throughout.
    ///
    /// # Errors
    /// [`StoreError::Database`] when there is no connection in time.
    pub async fn read(&self) -> Result<Tx, StoreError> {
        Ok(match &self.pools {
            Pools::Sqlite { readers, .. } => Tx::Sqlite(readers.begin().await?),
            Pools::Postgres(pool) => {
                let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
                Tx::Postgres(begin_postgres(pool, begin).await?)
            }
        })
    }

    /// Closes all connections, so that the file can be copied or removed.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }
}

/// Begins a transaction on a connection that lives. The pool does not ask each one before it hands it
/// out, which would cost every transaction a round trip: one that has died since it was last used fails
/// here, where nothing has been done yet, is thrown away, and the next one is taken.
async fn begin_postgres(
    pool: &PgPool,
    begin: &'static str,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    for _ in 0..POSTGRES_CONNECTIONS_MAX {
        match pool.begin_with(begin).await {
            Err(error) if is_dead(&error) => {}
            other => return other,
        }
    }
    pool.begin_with(begin).await
}

/// True when the server or the network has ended the connection.
fn is_dead(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| POSTGRES_ENDED.contains(&code.as_ref()))
        }
        _ => false,
    }
}

/// A failed commit or a failed read ends the transaction in SQLite, but the driver goes on counting
/// it and begins no other: such a connection is not used again.
fn sqlite_pool(connections_max: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // There is nobody at the other end who could have gone away.
        .test_before_acquire(false)
        .before_acquire(|connection, _| {
            let usable = !connection.is_in_transaction();
            Box::pin(async move { Ok(usable) })
        })
}

/// SQLite makes `-wal` before `-shm` and removes it after it: the latter alone means that somebody has
/// removed the former.
fn refuse_lost_wal(file: &Path) -> Result<(), StoreError> {
    let beside = |suffix: &str| {
        let mut name = file.as_os_str().to_owned();
        name.push(suffix);
        Path::new(&name).exists()
    };
    // In this order: another process may be closing the database at this moment.
    let (has_shm, has_wal) = (beside("-shm"), beside("-wal"));
    if has_shm && !has_wal && beside("-shm") {
        return Err(StoreError::WalMissing(file.display().to_string()));
    }
    Ok(())
}
