use sqlx::error::{DatabaseError as _, ErrorKind};
use sqlx::sqlite::SqliteError;

/// `BUSY`, `LOCKED`, `READONLY`, `IOERR`, `FULL`, `CANTOPEN`.
const SQLITE_UNAVAILABLE: [i32; 6] = [5, 6, 8, 10, 13, 14];
/// Connection failures, insufficient resources, a lock that others hold too long, shutdown and restart,
/// errors of the system below.
const POSTGRES_UNAVAILABLE: [&str; 7] = ["08", "53", "55P03", "57P01", "57P02", "57P03", "58"];

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or could not be reached. After a failed `commit` the outcome is unknown.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The migrations could not be applied.
    #[error("migration: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The URL is not one that is understood.
    #[error("{0:?} is not a database URL: use sqlite:<file> or postgres://…")]
    Url(String),
    /// The newest transactions are missing: SQLite keeps them in a file beside the database until they
    /// are copied into it, and somebody removed that file.
    #[error(
        "{0}-wal is gone, and with it the newest transactions: put it back, or restore a backup; to go \
         on without them remove {0}-shm"
    )]
    WalMissing(String),
    /// A stored value cannot be read back as what was written.
    #[error("stored data is damaged: {0}")]
    Damaged(String),
    /// A test database could not be set up.
    #[error("test database: {0}")]
    TestDb(String),
}

impl StoreError {
    /// True when a unique constraint or primary key refused the row.
    #[must_use]
    pub fn is_unique_violation(&self) -> bool {
        self.kind() == Some(ErrorKind::UniqueViolation)
    }

    /// True when a foreign key refused the row.
    #[must_use]
    pub fn is_foreign_key_violation(&self) -> bool {
        self.kind() == Some(ErrorKind::ForeignKeyViolation)
    }

    /// True when the same transaction may succeed if it is run again from its start: a deadlock or a
    /// serialisation failure that PostgreSQL resolved against it.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        let Self::Database(sqlx::Error::Database(error)) = self else { return false };
        matches!(error.code().as_deref(), Some("40001" | "40P01"))
    }

    /// True when the database cannot work at present (it is not reached, restarts, its disk is full or
    /// fails, others hold what is needed), and the same request may succeed later. A commit that ended so may have happened.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        let Self::Database(error) = self else { return false };
        match error {
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
            sqlx::Error::Database(error) => {
                if let Some(error) = error.try_downcast_ref::<SqliteError>() {
                    let code = error.code().and_then(|code| code.parse::<i32>().ok());
                    return code.is_some_and(|code| SQLITE_UNAVAILABLE.contains(&(code & 0xff)));
                }
                let code = error.code().unwrap_or_default();
                POSTGRES_UNAVAILABLE.iter().any(|class| code.starts_with(class))
            }
            _ => false,
        }
    }

    fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Database(sqlx::Error::Database(error)) => Some(error.kind()),
            _ => None,
        }
    }
}
