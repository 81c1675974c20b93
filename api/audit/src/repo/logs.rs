//! Several logs.

use api_store::{Tx, args};

use crate::AuditError;

/// The id of the log of this name.
pub(crate) async fn find(tx: &mut Tx, origin: &str) -> Result<Option<i64>, AuditError> {
    let row: Option<(i64,)> =
        tx.fetch_optional("SELECT id FROM audit_logs WHERE origin = $1", args![origin]).await?;
    Ok(row.map(|(id,)| id))
}

/// All logs, the oldest first: their ids and names.
pub(crate) async fn all(tx: &mut Tx) -> Result<Vec<(i64, String)>, AuditError> {
    Ok(tx.fetch_all("SELECT id, origin FROM audit_logs ORDER BY id", args![]).await?)
}
