//! What people read is recorded: which key, what, and when.
//!
//! Each read by a key that belongs to a person, and each by the operator, is a record of the audit log
//! before it is answered; if it cannot be logged it is not answered. The same read again within one
//! minute is the same record.

use std::collections::HashSet;
use std::sync::Mutex;

use api_audit::Record;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::app::{App, now_ms};
use crate::error::Error;

/// The kind of the record.
pub(crate) const KIND: &str = "record.read";
const MINUTE_MS: i64 = 60_000;

/// The reads of the minute that is running: they need not be written again.
#[derive(Debug, Default)]
pub struct Reads(Mutex<(i64, HashSet<String>)>);

impl Reads {
    fn is_known(&self, minute: i64, id: &str) -> bool {
        self.0.lock().is_ok_and(|seen| seen.0 == minute && seen.1.contains(id))
    }

    fn keep(&self, minute: i64, id: String) {
        if let Ok(mut seen) = self.0.lock() {
            if seen.0 != minute {
                *seen = (minute, HashSet::new());
            }
            seen.1.insert(id);
        }
    }
}

/// Records that `who` (a key's id, or `operator`) reads `what` (path and query).
pub(crate) async fn note(app: &App, tenant: Uuid, who: &str, what: &str) -> Result<(), Error> {
    let now = now_ms();
    let minute = now.div_euclid(MINUTE_MS);
    let hash = hex::encode(&Sha256::digest(what)[..16]);
    let id = format!("read:{tenant}:{who}:{minute}:{hash}");
    if app.reads.is_known(minute, &id) {
        return Ok(());
    }
    let record = Record::new(KIND, now)
        .external_id(tenant.to_string(), &id)
        .field("key", who)
        .field("path", what);
    let mut tx = app.db.begin().await?;
    app.audit.append_in(&mut tx, &record).await?;
    tx.commit().await?;
    app.reads.keep(minute, id);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_minute_forgets_the_last() {
        let reads = Reads::default();
        reads.keep(1, "a".into());
        assert!(reads.is_known(1, "a") && !reads.is_known(1, "b") && !reads.is_known(2, "a"));
        reads.keep(2, "b".into());
        assert!(!reads.is_known(1, "a") && reads.is_known(2, "b"));
    }
}
