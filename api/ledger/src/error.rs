use std::sync::Arc;

use api_store::StoreError;

use crate::Refusal;

/// Why the ledger could not answer. Of a call that posts, nothing or everything may be in the books
/// when the error came from the commit itself: send the same ids again to find out.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LedgerError {
    /// The database.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// More transfers than [`TRANSFERS_MAX`](crate::TRANSFERS_MAX) in one call.
    #[error("at most 8190 transfers in one call")]
    TooMany,
    /// The account exists with another side, floor or history.
    #[error("the account {0:?} exists with other properties")]
    AccountConflict(String),
    /// The code, asset or external id of an account is empty, too long or has control characters.
    #[error("an account's code, asset or external id is not valid")]
    AccountText,
    /// No such account.
    #[error("there is no such account")]
    UnknownAccount,
    /// The account is not empty, so it cannot be closed.
    #[error("an account with a balance or with pending transfers cannot be closed")]
    NotEmpty,
    /// The account keeps no history, so the question cannot be answered.
    #[error("the account keeps no history")]
    NoHistory,
    /// The part of the chart that was asked for has too many places.
    #[error("the chart has more than 1000 places at this depth: ask for a smaller part of it")]
    ChartTooWide,
    /// What was read at the place `after` of a tenant's events is not there: the database was set back to
    /// an older state since.
    #[error(
        "the events end at {last}, and what was read at {after} is not among them: the database was set back"
    )]
    CursorLost {
        /// The place that was given.
        after: i64,
        /// The last place that there is.
        last: i64,
    },
    /// Too many transfers are waiting; nothing of the request was done: try again later.
    #[error("too many transfers are waiting; nothing of this request was done")]
    Busy,
    /// The ledger is shutting down.
    #[error("the ledger has stopped")]
    Stopped,
}

impl LedgerError {
    pub(crate) fn damaged(what: &str) -> Self {
        StoreError::Damaged(what.to_owned()).into()
    }

    /// True when the same transaction may succeed if it is run again from its start.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_retryable())
    }

    /// True when the database cannot work at present.
    pub(crate) fn is_unavailable(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_unavailable())
    }

    pub(crate) fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_unique_violation())
    }
}

impl From<StoreError> for LedgerError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> Self {
        StoreError::from(error).into()
    }
}

/// Why one transfer is not in the books.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PostError {
    /// The rules say no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It could not be decided.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl From<StoreError> for PostError {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error.into())
    }
}
