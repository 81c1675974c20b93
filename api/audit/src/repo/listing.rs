//! A tenant's records by their kinds.

use api_store::{Engine, Tx, args};

use super::records::Row;
use super::{json, to_db};
use crate::{AuditError, RecordId};

/// Records with an index below `size` whose kinds begin with one of `prefixes`, in the log's order.
pub(crate) async fn before(
    tx: &mut Tx,
    log: i64,
    tenant: &str,
    prefixes: &[&str],
    size: u64,
) -> Result<Vec<Row>, AuditError> {
    let select = match tx.engine() {
        Engine::Sqlite => {
            "SELECT r.seq, r.id, r.kind, r.stream, r.subject_id, r.leaf, r.open_fields, \
             r.personal_fields, b.first_index + r.seq - b.first_seq AS leaf_index, r.tenant_id, \
             r.external_id, r.created_at FROM audit_records AS r \
             JOIN audit_batches AS b ON b.first_seq = (r.seq & -16384) \
             WHERE r.log_id = $1 AND r.tenant_id = $2 \
             AND b.first_index + r.seq - b.first_seq < $4 AND EXISTS ( \
             SELECT 1 FROM json_each($3) AS j WHERE substr(r.kind, 1, length(j.value)) = j.value) \
             ORDER BY leaf_index"
        }
        Engine::Postgres => {
            "SELECT r.seq, r.id, r.kind, r.stream, r.subject_id, r.leaf, r.open_fields, \
             r.personal_fields, b.first_index + r.seq - b.first_seq AS leaf_index, r.tenant_id, \
             r.external_id, r.created_at FROM audit_records AS r \
             JOIN audit_batches AS b ON b.first_seq = (r.seq & -16384) \
             WHERE r.log_id = $1 AND r.tenant_id = $2 \
             AND b.first_index + r.seq - b.first_seq < $4 AND EXISTS ( \
             SELECT 1 FROM jsonb_array_elements_text($3::JSONB) AS j (prefix) \
             WHERE substr(r.kind, 1, length(j.prefix)) = j.prefix) ORDER BY leaf_index"
        }
    };
    Ok(tx.fetch_all(select, args![log, tenant, json(prefixes)?, to_db(size)?]).await?)
}

/// The newest records of a kind, the newest first.
pub(crate) async fn newest(
    tx: &mut Tx,
    log: i64,
    tenant: &str,
    kind: &str,
    before: Option<RecordId>,
    limit: u32,
) -> Result<Vec<Row>, AuditError> {
    let select = "SELECT r.seq, r.id, r.kind, r.stream, r.subject_id, r.leaf, r.open_fields, \
                  r.personal_fields, b.first_index + r.seq - b.first_seq AS leaf_index, \
                  r.tenant_id, r.external_id, r.created_at FROM audit_records AS r \
                  JOIN audit_batches AS b ON b.first_seq = (r.seq & -16384) \
                  WHERE r.log_id = $1 AND r.tenant_id = $2 AND r.kind = $3 AND ($4 = '' OR r.seq < ( \
                  SELECT o.seq FROM audit_records AS o \
                  WHERE o.id = $4 AND o.log_id = $1 AND o.tenant_id = $2)) \
                  ORDER BY r.seq DESC LIMIT $5";
    let before = before.map(|id| id.to_string()).unwrap_or_default();
    Ok(tx.fetch_all(select, args![log, tenant, kind, before, limit]).await?)
}
