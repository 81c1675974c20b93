//! Subjects: whose personal data records hold.

use std::collections::{BTreeSet, HashMap};

use api_store::{Engine, Tx, args};

use crate::AuditError;

/// What is kept of a subject.
#[derive(Default, sqlx::FromRow)]
pub(crate) struct Subject {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) legal_hold: Option<String>,
    pub(crate) erased_at: Option<i64>,
}

pub(crate) async fn subject(tx: &mut Tx, subject: &str) -> Result<Option<Subject>, AuditError> {
    let select = "SELECT key, legal_hold, erased_at FROM audit_subjects WHERE id = $1";
    Ok(tx.fetch_optional(select, args![subject]).await?)
}

/// The same, locked until the end of the transaction.
pub(crate) async fn lock(tx: &mut Tx, subject: &str) -> Result<Option<Subject>, AuditError> {
    let select = "SELECT key, legal_hold, erased_at FROM audit_subjects WHERE id = $1";
    Ok(tx.lock_optional(select, args![subject]).await?)
}

pub(crate) async fn set_legal_hold(
    tx: &mut Tx,
    subject: &str,
    reason: Option<&str>,
) -> Result<u64, AuditError> {
    let update = "UPDATE audit_subjects SET legal_hold = $1 WHERE id = $2";
    Ok(tx.execute(update, args![reason, subject]).await?)
}

/// Deletes the subject's key and all its personal data; answers how many records had some.
pub(crate) async fn erase(tx: &mut Tx, subject: &str, at_ms: i64) -> Result<u64, AuditError> {
    let forget = "UPDATE audit_subjects SET key = NULL, erased_at = $1 WHERE id = $2";
    tx.execute(forget, args![at_ms, subject]).await?;
    let clear = "UPDATE audit_records SET personal_fields = NULL \
                 WHERE subject_id = $1 AND personal_fields IS NOT NULL";
    Ok(tx.execute(clear, args![subject]).await?)
}

type KeyRow = (String, Option<Vec<u8>>);

/// The keys of these subjects; `None` for those that were erased. New subjects are left out.
pub(crate) async fn keys(
    tx: &mut Tx,
    subjects: &BTreeSet<&str>,
) -> Result<HashMap<String, Option<Vec<u8>>>, AuditError> {
    if subjects.is_empty() {
        return Ok(HashMap::new());
    }
    let select = match tx.engine() {
        Engine::Sqlite => {
            "SELECT s.id, s.key FROM json_each($1) AS j \
             CROSS JOIN audit_subjects AS s ON s.id = j.value"
        }
        Engine::Postgres => {
            "SELECT s.id, s.key FROM audit_subjects AS s \
             WHERE s.id IN (SELECT jsonb_array_elements_text($1::JSONB))"
        }
    };
    let json = super::json(subjects)?;
    let rows: Vec<KeyRow> = tx.fetch_all(select, args![json]).await?;
    Ok(rows.into_iter().collect())
}

/// Gives new subjects their keys; those that have a key or were erased stay as they are.
pub(crate) async fn insert(
    tx: &mut Tx,
    subjects: impl Iterator<Item = (&str, [u8; 32])>,
) -> Result<(), AuditError> {
    let rows = subjects.map(|(subject, key)| args![subject, key]).collect();
    let keep = "ON CONFLICT (id) DO NOTHING";
    tx.insert_many("audit_subjects", "id, key", rows, keep).await?;
    Ok(())
}
