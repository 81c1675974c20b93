use api_store::StoreError;

use crate::RecordId;

/// Why the log did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record cannot be encoded.
    #[error("the record cannot be logged: {0}")]
    Record(String),
    /// The external id was used for another record.
    #[error("{external_id:?} was used for another record, {record}")]
    ExternalIdUsed {
        /// The caller's id.
        external_id: String,
        /// The record that has it.
        record: RecordId,
    },
    /// There is no such record.
    #[error("there is no record {0}")]
    NoSuchRecord(RecordId),
    /// The record is logged, but no checkpoint covers it yet.
    #[error("no checkpoint covers the record {0} yet")]
    NotYet(RecordId),
    /// There is no tree of that size, or it does not hold that leaf.
    #[error("the log has {size} leaves; there is no proof for {wanted}")]
    OutOfRange {
        /// What was asked for.
        wanted: u64,
        /// How large the log is.
        size: u64,
    },
    /// A signed checkpoint is not one of this log.
    #[error("the checkpoint is not one of this log: {0}")]
    Checkpoint(String),
    /// There is no such anchor.
    #[error("there is no anchor of size {size} on {chain}")]
    NoSuchAnchor {
        /// The size of the tree.
        size: u64,
        /// CAIP-2 id.
        chain: String,
    },
    /// The log cannot be written out.
    #[error("export: {0}")]
    Export(String),
    /// The subject's data must be kept.
    #[error("the data of {subject} is under legal hold: {reason}")]
    LegalHold {
        /// Whose data.
        subject: String,
        /// Why it is held.
        reason: String,
    },
    /// The subject was erased.
    #[error("the data of {0} was erased")]
    Erased(String),
}

impl AuditError {
    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Store(StoreError::Damaged(what.into()))
    }
}
