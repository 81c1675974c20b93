//! All SQL of the log.

pub(crate) mod anchors;
pub(crate) mod batches;
pub(crate) mod listing;
pub(crate) mod logs;
pub(crate) mod records;
pub(crate) mod streams;
pub(crate) mod subjects;
pub(crate) mod trees;

use crate::AuditError;

/// A count or index as the database stores it.
pub(crate) fn to_db(value: u64) -> Result<i64, AuditError> {
    i64::try_from(value).map_err(|_| AuditError::damaged(format!("{value} is too large")))
}

/// A count or index as it was stored.
pub(crate) fn from_db(value: i64) -> Result<u64, AuditError> {
    u64::try_from(value).map_err(|_| AuditError::damaged(format!("{value} is negative")))
}

/// A hash as it was stored.
pub(crate) fn hash_from_db(bytes: &[u8]) -> Result<[u8; 32], AuditError> {
    bytes.try_into().map_err(|_| AuditError::damaged("a hash is not 32 bytes long"))
}

/// A list as a statement takes it.
pub(crate) fn json(list: &(impl serde::Serialize + ?Sized)) -> Result<String, AuditError> {
    serde_json::to_string(list).map_err(|error| AuditError::Record(error.to_string()))
}
