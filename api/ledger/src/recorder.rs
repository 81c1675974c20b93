use std::future::Future;
use std::pin::Pin;

use api_store::{StoreError, Tx};

use crate::book::Row;
use crate::{LedgerError, StoredTransfer, TenantId};

/// Is told what a commit of the ledger is about to make durable, in its transaction: what it writes
/// is durable with the transfers or not at all. For an audit log.
///
/// It is asked by what the ledger commits itself ([`Ledger::post`](crate::Ledger::post), batches,
/// [`GroupCommit`](crate::GroupCommit), expiry), not by the postings in a caller's own transaction:
/// there the caller writes what it wants to.
pub trait Recorder: Send + Sync {
    /// Records `posted`, in the order of the books; never empty.
    ///
    /// # Errors
    /// Any: then nothing is posted.
    fn record<'a>(
        &'a self,
        tx: &'a mut Tx,
        posted: &'a [(TenantId, StoredTransfer)],
    ) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>>;
}

/// The new rows as the transfers that they are, with the places that they were given.
pub(crate) fn transfers(
    rows: &[Row],
    first_seq: i64,
) -> Result<Vec<(TenantId, StoredTransfer)>, LedgerError> {
    let mut found = Vec::new();
    let mut seq = first_seq;
    // The legs of a transfer are together, and count from zero.
    for legs in rows.chunk_by(|_, next| next.leg != 0) {
        let mut numbered = legs.to_vec();
        for row in &mut numbered {
            row.seq = seq;
            seq = seq.saturating_add(1);
        }
        if let (Some(first), Some(stored)) = (legs.first(), StoredTransfer::from_rows(&numbered)?) {
            found.push((first.tenant, stored));
        }
    }
    Ok(found)
}
