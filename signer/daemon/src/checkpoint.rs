use signer_protocol::{CheckpointRequest, CheckpointSigned, Refusal, RefusalCode};

use crate::engine::{Engine, refuse, unavailable};
use crate::record::Record;

impl Engine {
    /// Signs a checkpoint of a log: never two roots at one size, and never a size below one that was
    /// signed, unless it is the very same checkpoint again.
    pub(crate) fn checkpoint(
        &mut self,
        request: &CheckpointRequest,
    ) -> Result<CheckpointSigned, Refusal> {
        self.check_journal()?;
        let CheckpointRequest { origin, size, root } = request;
        let policy = self.policy()?;
        if !policy.allows_log(origin) {
            return refuse(RefusalCode::Policy, format!("the policy names no log {origin:?}"));
        }
        let signed = self.state.checkpoints(origin);
        let again = match signed.and_then(|signed| signed.get(size)) {
            Some(before) if before == root => true,
            Some(_) => {
                return refuse(
                    RefusalCode::CheckpointConflict,
                    format!("another root was signed at size {size}"),
                );
            }
            None => false,
        };
        let newest = signed.and_then(|signed| signed.last_key_value()).map(|(size, _)| *size);
        if let (false, Some(newest)) = (again, newest.filter(|newest| newest > size)) {
            return refuse(
                RefusalCode::CheckpointConflict,
                format!("size {newest} was signed before {size}"),
            );
        }
        // Ed25519 is deterministic: the same checkpoint gives the same note, while the keys are the same.
        let generations = policy.log_keys();
        let note = custody::note::sign_checkpoint(&self.keys, generations, origin, *size, root);
        let note = note.map_err(unavailable)?;
        let journal = if again {
            self.head()
        } else {
            self.record(Record::Checkpoint { origin: origin.clone(), size: *size, root: *root })?
        };
        Ok(CheckpointSigned { note, journal })
    }
}
