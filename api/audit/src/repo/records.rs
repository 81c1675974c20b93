//! Records and subjects.

use api_store::{Engine, Tx, args};

use super::{from_db, to_db};
use crate::{AuditError, Record, RecordId};

/// A record as it was stored.
#[derive(sqlx::FromRow)]
pub(crate) struct Row {
    id: String,
    pub(crate) kind: String,
    pub(crate) stream: Option<String>,
    pub(crate) subject_id: Option<String>,
    pub(crate) leaf: Vec<u8>,
    pub(crate) open_fields: Vec<u8>,
    pub(crate) personal_fields: Option<Vec<u8>>,
    leaf_index: Option<i64>,
    pub(crate) tenant_id: Option<String>,
    pub(crate) external_id: Option<String>,
    pub(crate) created_at: i64,
}

impl Row {
    pub(crate) fn id(&self) -> Result<RecordId, AuditError> {
        self.id.parse().map_err(|_| AuditError::damaged(format!("record id {:?}", self.id)))
    }

    pub(crate) fn index(&self) -> Result<Option<u64>, AuditError> {
        self.leaf_index.map(from_db).transpose()
    }
}

/// What is inserted.
pub(crate) struct NewRow<'a> {
    pub(crate) id: RecordId,
    pub(crate) record: &'a Record,
    pub(crate) leaf: Vec<u8>,
    pub(crate) open_fields: Vec<u8>,
    pub(crate) personal_fields: Option<Vec<u8>>,
    pub(crate) index: Option<u64>,
}

/// Inserts a record; false when its external id is used.
pub(crate) async fn insert(tx: &mut Tx, log: i64, row: NewRow<'_>) -> Result<bool, AuditError> {
    let insert = "INSERT INTO audit_records (id, log_id, tenant_id, external_id, kind, stream, \
                  subject_id, leaf, open_fields, personal_fields, leaf_index, created_at) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
                  ON CONFLICT (log_id, tenant_id, external_id) WHERE external_id IS NOT NULL \
                  DO NOTHING";
    let NewRow { id, record, leaf, open_fields, personal_fields, index } = row;
    let (tenant, external) = record.external.clone().unzip();
    let arguments = args![
        id.0,
        log,
        tenant,
        external,
        &record.kind,
        record.stream.clone(),
        record.subject.clone(),
        leaf,
        open_fields,
        personal_fields,
        index.map(to_db).transpose()?,
        record.at_ms,
    ];
    Ok(tx.execute(insert, arguments).await? == 1)
}

/// One row of [`insert_many`]; bytes are in hex.
#[derive(serde::Serialize)]
struct JsonRow<'a> {
    id: String,
    tenant: Option<&'a str>,
    external: Option<&'a str>,
    kind: &'a str,
    stream: Option<&'a str>,
    subject: Option<&'a str>,
    leaf: String,
    open: String,
    personal: Option<String>,
    at: i64,
}

/// Inserts records that wait for their index, in one statement; those whose external id is used are
/// left out. Answers how many were inserted.
pub(crate) async fn insert_many(
    tx: &mut Tx,
    log: i64,
    rows: &[NewRow<'_>],
) -> Result<u64, AuditError> {
    let rows: Vec<JsonRow<'_>> = rows.iter().map(json_row).collect();
    let json =
        serde_json::to_string(&rows).map_err(|error| AuditError::Record(error.to_string()))?;
    Ok(tx.execute(insert_many_sql(tx.engine()), args![log, json]).await?)
}

fn json_row<'a>(row: &NewRow<'a>) -> JsonRow<'a> {
    let record = row.record;
    JsonRow {
        id: row.id.to_string(),
        tenant: record.external.as_ref().map(|(tenant, _)| tenant.as_str()),
        external: record.external.as_ref().map(|(_, external)| external.as_str()),
        kind: &record.kind,
        stream: record.stream.as_deref(),
        subject: record.subject.as_deref(),
        leaf: hex::encode(&row.leaf),
        open: hex::encode(&row.open_fields),
        personal: row.personal_fields.as_ref().map(hex::encode),
        at: record.at_ms,
    }
}

const fn insert_many_sql(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => {
            "INSERT INTO audit_records (id, log_id, tenant_id, external_id, kind, stream, \
             subject_id, leaf, open_fields, personal_fields, created_at) \
             SELECT value ->> 'id', $1, value ->> 'tenant', value ->> 'external', \
             value ->> 'kind', value ->> 'stream', value ->> 'subject', \
             unhex(value ->> 'leaf'), unhex(value ->> 'open'), unhex(value ->> 'personal'), \
             value ->> 'at' FROM json_each($2) WHERE true ORDER BY key \
             ON CONFLICT (log_id, tenant_id, external_id) WHERE external_id IS NOT NULL \
             DO NOTHING"
        }
        Engine::Postgres => {
            "INSERT INTO audit_records (id, log_id, tenant_id, external_id, kind, stream, \
             subject_id, leaf, open_fields, personal_fields, created_at) \
             SELECT value ->> 'id', $1, value ->> 'tenant', value ->> 'external', \
             value ->> 'kind', value ->> 'stream', value ->> 'subject', \
             decode(value ->> 'leaf', 'hex'), decode(value ->> 'open', 'hex'), \
             decode(value ->> 'personal', 'hex'), (value ->> 'at')::BIGINT \
             FROM jsonb_array_elements($2::JSONB) WITH ORDINALITY AS rows (value, place) \
             ORDER BY place \
             ON CONFLICT (log_id, tenant_id, external_id) WHERE external_id IS NOT NULL \
             DO NOTHING"
        }
    }
}

const SELECT_BY_ID: &str = "SELECT id, kind, stream, subject_id, leaf, open_fields, personal_fields, leaf_index, \
         tenant_id, external_id, created_at \
     FROM audit_records WHERE log_id = $1 AND id = $2";

pub(crate) async fn by_id(tx: &mut Tx, log: i64, id: RecordId) -> Result<Row, AuditError> {
    let row = tx.fetch_optional(SELECT_BY_ID, args![log, id.0]).await?;
    row.ok_or(AuditError::NoSuchRecord(id))
}

pub(crate) async fn by_external_id(
    tx: &mut Tx,
    log: i64,
    tenant: &str,
    external_id: &str,
) -> Result<Option<Row>, AuditError> {
    let select = "SELECT id, kind, stream, subject_id, leaf, open_fields, personal_fields, leaf_index, \
         tenant_id, external_id, created_at \
         FROM audit_records WHERE log_id = $1 AND tenant_id = $2 AND external_id = $3";
    Ok(tx.fetch_optional(select, args![log, tenant, external_id]).await?)
}

pub(crate) async fn by_index(tx: &mut Tx, log: i64, index: u64) -> Result<Row, AuditError> {
    let select = "SELECT id, kind, stream, subject_id, leaf, open_fields, personal_fields, leaf_index, \
         tenant_id, external_id, created_at \
         FROM audit_records WHERE log_id = $1 AND leaf_index = $2";
    let row = tx.fetch_optional(select, args![log, to_db(index)?]).await?;
    row.ok_or_else(|| AuditError::damaged(format!("the record with index {index} is gone")))
}

/// Records of `from..to` in the order of the log.
pub(crate) async fn by_range(
    tx: &mut Tx,
    log: i64,
    from: u64,
    to: u64,
) -> Result<Vec<Row>, AuditError> {
    let select = "SELECT id, kind, stream, subject_id, leaf, open_fields, personal_fields, leaf_index, \
         tenant_id, external_id, created_at \
         FROM audit_records WHERE log_id = $1 AND leaf_index >= $2 AND leaf_index < $3 \
         ORDER BY leaf_index";
    Ok(tx.fetch_all(select, args![log, to_db(from)?, to_db(to)?]).await?)
}

/// Gives indices from `base` up to at most `limit` records that have none, in the order in which
/// they were written; answers their streams and leaves in that order.
pub(crate) async fn number(
    tx: &mut Tx,
    log: i64,
    base: u64,
    limit: u32,
) -> Result<Vec<(Option<String>, Vec<u8>)>, AuditError> {
    let update = "UPDATE audit_records SET leaf_index = $1 + queue.place FROM ( \
                  SELECT seq, row_number() OVER (ORDER BY seq) - 1 AS place FROM audit_records \
                  WHERE log_id = $2 AND leaf_index IS NULL ORDER BY seq LIMIT $3 \
                  ) AS queue WHERE audit_records.seq = queue.seq";
    let numbered = tx.execute(update, args![to_db(base)?, log, limit]).await?;
    if numbered == 0 {
        return Ok(Vec::new());
    }
    let select = "SELECT stream, leaf FROM audit_records \
                  WHERE log_id = $1 AND leaf_index >= $2 ORDER BY leaf_index";
    Ok(tx.fetch_all(select, args![log, to_db(base)?]).await?)
}

/// The leaves of a stream with an index below `size`, in the order of the log.
pub(crate) async fn of_stream(
    tx: &mut Tx,
    log: i64,
    stream: &str,
    size: u64,
) -> Result<Vec<Vec<u8>>, AuditError> {
    let select = "SELECT leaf FROM audit_records \
                  WHERE log_id = $1 AND stream = $2 AND leaf_index < $3 ORDER BY leaf_index";
    let rows: Vec<(Vec<u8>,)> = tx.fetch_all(select, args![log, stream, to_db(size)?]).await?;
    Ok(rows.into_iter().map(|(leaf,)| leaf).collect())
}

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
pub(crate) async fn lock_subject(
    tx: &mut Tx,
    subject: &str,
) -> Result<Option<Subject>, AuditError> {
    let select = "SELECT key, legal_hold, erased_at FROM audit_subjects WHERE id = $1";
    Ok(tx.lock_optional(select, args![subject]).await?)
}

/// Gives a new subject its key; one that has a key or was erased stays as it is.
pub(crate) async fn insert_subject(
    tx: &mut Tx,
    subject: &str,
    key: [u8; 32],
) -> Result<(), AuditError> {
    let insert = "INSERT INTO audit_subjects (id, key) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING";
    tx.execute(insert, args![subject, key]).await?;
    Ok(())
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
pub(crate) async fn erase_subject(
    tx: &mut Tx,
    subject: &str,
    at_ms: i64,
) -> Result<u64, AuditError> {
    let forget = "UPDATE audit_subjects SET key = NULL, erased_at = $1 WHERE id = $2";
    tx.execute(forget, args![at_ms, subject]).await?;
    let clear = "UPDATE audit_records SET personal_fields = NULL \
                 WHERE subject_id = $1 AND personal_fields IS NOT NULL";
    Ok(tx.execute(clear, args![subject]).await?)
}

/// Whose record it is, where it is somebody's.
pub(crate) async fn tenant_of(
    tx: &mut Tx,
    log: i64,
    id: RecordId,
) -> Result<Option<String>, AuditError> {
    let select = "SELECT tenant_id FROM audit_records WHERE log_id = $1 AND id = $2";
    let row: Option<(Option<String>,)> =
        tx.fetch_optional(select, args![log, id.to_string()]).await?;
    Ok(row.and_then(|(tenant,)| tenant))
}
