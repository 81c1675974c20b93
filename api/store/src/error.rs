use sqlx::error::ErrorKind;

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

    fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Database(sqlx::Error::Database(error)) => Some(error.kind()),
            _ => None,
        }
    }
}
