use api_ledger::{LedgerError, PostError, Refusal};
use api_store::StoreError;

use crate::LoanError;

/// Why a call on stored loans failed. After any error the caller rolls its transaction back.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The rules of the loan say no; nothing was changed.
    #[error(transparent)]
    Loan(#[from] LoanError),
    /// The rules of the ledger say no, for example for want of funds; nothing was changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The ledger could not decide.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The database could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ServiceError {
    /// True when the same transaction may succeed if it is run again from its start.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Ledger(error) => error.is_retryable(),
            Self::Store(error) => error.is_retryable(),
            Self::Loan(_) | Self::Refused(_) => false,
        }
    }
}

impl From<PostError> for ServiceError {
    fn from(error: PostError) -> Self {
        match error {
            PostError::Refused(refusal) => Self::Refused(refusal),
            PostError::Ledger(error) => Self::Ledger(error),
        }
    }
}
