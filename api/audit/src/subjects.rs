//! Whose personal data records hold.

use api_store::Tx;

use crate::AuditError;
use crate::log::AuditLog;
use crate::repo::subjects;

/// Where a subject's data stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectStatus {
    /// Why it must be kept, while it must.
    pub legal_hold: Option<String>,
    /// When it was erased, in milliseconds since 1970.
    pub erased_at_ms: Option<i64>,
}

impl AuditLog {
    /// Where a subject's data stands; `None` when no record was ever about it.
    ///
    /// # Errors
    /// [`AuditError::Store`].
    pub async fn subject(
        &self,
        tx: &mut Tx,
        subject: &str,
    ) -> Result<Option<SubjectStatus>, AuditError> {
        let found = subjects::subject(tx, subject).await?;
        Ok(found.map(|found| SubjectStatus {
            legal_hold: found.legal_hold,
            erased_at_ms: found.erased_at,
        }))
    }
}
