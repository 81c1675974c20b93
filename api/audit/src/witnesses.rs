//! Who cosigned a checkpoint.

use api_store::Tx;

use crate::AuditError;
use crate::log::AuditLog;

impl AuditLog {
    /// The names on the signature lines of the checkpoint of `size` leaves, but for the log's own:
    /// its witnesses, as they call themselves. Whether their signatures are right is for every reader
    /// to check.
    ///
    /// # Errors
    /// [`AuditError::Store`].
    pub async fn witnesses(&self, tx: &mut Tx, size: u64) -> Result<Vec<String>, AuditError> {
        let found = self.checkpoint_from(tx, size).await?;
        let note = found.filter(|found| found.size == size).map(|found| found.note);
        let note = note.unwrap_or_default();
        let (_, signatures) = note.split_once("\n\n").unwrap_or_default();
        let lines = signatures.lines().filter_map(|line| line.strip_prefix("— "));
        let names = lines.filter_map(|line| line.split_once(' ')).map(|(name, _)| name.to_owned());
        let mut names: Vec<String> = names.filter(|name| *name != self.origin).collect();
        names.dedup();
        Ok(names)
    }
}
