use api_audit::AuditError;
use api_ledger::LedgerError;
use api_loans::{LoanError, ServiceError};
use api_store::StoreError;

/// Why a call failed. The texts hold no personal data.
#[derive(Debug, thiserror::Error)]
pub enum CareError {
    /// What was given cannot be used; the text says why.
    #[error("{0}")]
    Refused(&'static str),
    /// Not possible in the present state; the text says why.
    #[error("{0}")]
    State(&'static str),
    /// The tenant has no such thing.
    #[error("there is no {0} of yours with this id")]
    Missing(&'static str),
    /// The signature of a link or of a receipt does not fit.
    #[error("the signature does not fit")]
    Signature,
    /// There are no keys to seal a gateway's secret with, or none that opens it.
    #[error("the secrets of gateways cannot be sealed or opened")]
    Vault,
    /// The loans.
    #[error(transparent)]
    Loans(#[from] ServiceError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored value cannot be read back, or a key cannot be used.
    #[error("a stored value cannot be read: {0}")]
    Damaged(&'static str),
}

impl From<LoanError> for CareError {
    fn from(error: LoanError) -> Self {
        Self::Loans(error.into())
    }
}

impl CareError {
    /// True when the same transaction may succeed if it is run again from its start.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Loans(error) => error.is_retryable(),
            Self::Ledger(error) => error.is_retryable(),
            Self::Store(error) | Self::Audit(AuditError::Store(error)) => error.is_retryable(),
            _ => false,
        }
    }
}
