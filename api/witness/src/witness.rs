//! The decision: whether a checkpoint continues the last one that was cosigned.

use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use api_verify::merkle::verify_consistency;

use crate::key::WitnessKey;
use crate::request::AddCheckpoint;
use crate::store::{Store, StoreError, WatchedLog};

/// Why a checkpoint is not cosigned.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The body is not a request.
    #[error("{0}")]
    Malformed(String),
    /// The log is not watched.
    #[error("the log {0:?} is not watched here")]
    UnknownLog(String),
    /// No trusted key of the log signed, or a signature that claims to be by one is false.
    #[error("the checkpoint is not signed by a key of that log that is trusted here")]
    NotSigned,
    /// The old size is above the checkpoint's.
    #[error("the old size is larger than the checkpoint's")]
    OldTooLarge,
    /// The last checkpoint cosigned has another size than the request says.
    #[error("the last checkpoint cosigned has {0} entries")]
    OtherSize(u64),
    /// The log has two roots at one size.
    #[error("another root was cosigned at this size: the log forked")]
    OtherRoot,
    /// The checkpoint does not continue the last one.
    #[error("the consistency proof does not lead from the last checkpoint to this one")]
    NotConsistent,
    /// The state cannot be read or kept.
    #[error("the witness cannot keep its state: {0}")]
    Store(#[from] StoreError),
}

/// A witness at work.
#[derive(Debug)]
pub struct Witness {
    key: WitnessKey,
    /// Held from the comparison with the last checkpoint until the new one is on disk.
    store: Mutex<Store>,
}

impl Witness {
    /// A witness over its folder.
    #[must_use]
    pub fn new(store: Store, key: WitnessKey) -> Self {
        Self { key, store: Mutex::new(store) }
    }

    /// Its verifier key.
    #[must_use]
    pub fn verifier_key(&self) -> String {
        self.key.verifier_key()
    }

    /// Cosigns the checkpoint if it continues the last one of its log; answers the signature line.
    /// The new state is on disk before the line exists. Blocks on the disk.
    ///
    /// # Errors
    /// [`Refusal`], in the order that `tlog-witness` gives.
    pub fn add_checkpoint(&self, request: &AddCheckpoint) -> Result<String, Refusal> {
        let checkpoint = &request.checkpoint;
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown = || Refusal::UnknownLog(checkpoint.origin.clone());
        let last = store.log(&checkpoint.origin)?.ok_or_else(unknown)?;
        if !is_signed(request, &last) {
            return Err(Refusal::NotSigned);
        }
        if request.old > checkpoint.size {
            return Err(Refusal::OldTooLarge);
        }
        if request.old != last.size {
            return Err(Refusal::OtherSize(last.size));
        }
        check_growth(request, &last)?;
        store.save(&WatchedLog {
            size: checkpoint.size,
            root: hex::encode(checkpoint.root),
            note: Some(request.note.clone()),
            ..last
        })?;
        drop(store);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        // A time of zero would say that there is none.
        Ok(self.key.cosign(checkpoint.note.text(), now.max(1)))
    }
}

/// Whether a trusted key signed, and no line that claims to be by a trusted key is false.
fn is_signed(request: &AddCheckpoint, log: &WatchedLog) -> bool {
    let note = &request.checkpoint.note;
    let signed: Result<Vec<bool>, _> =
        log.verifier_keys().iter().map(|key| note.signed_by(key)).collect();
    signed.is_ok_and(|signed| signed.contains(&true))
}

fn check_growth(request: &AddCheckpoint, last: &WatchedLog) -> Result<(), Refusal> {
    let (checkpoint, root) = (&request.checkpoint, last.root().ok_or(Refusal::NotConsistent)?);
    let consistent = if last.size == checkpoint.size {
        if root != checkpoint.root {
            return Err(Refusal::OtherRoot);
        }
        request.proof.is_empty()
    } else if last.size == 0 {
        // Every tree continues the empty one.
        request.proof.is_empty()
    } else {
        let (from, to) = (last.size, checkpoint.size);
        verify_consistency(from, to, &root, &checkpoint.root, &request.proof).is_ok()
    };
    if consistent { Ok(()) } else { Err(Refusal::NotConsistent) }
}
