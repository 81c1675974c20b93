//! Records.

use api_store::{Arg, Engine, Tx, args};
use api_verify::merkle::{Hash, leaf_hash};

use super::batches::{self, Batch, Numbered};
use super::{from_db, json, to_db};
use crate::leaves::{self, Leaf};
use crate::{AuditError, Record, RecordId};

/// A record as it was stored.
#[derive(sqlx::FromRow)]
pub(crate) struct Row {
    seq: i64,
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
    pub(crate) leaf_hash: Hash,
    pub(crate) open_fields: Vec<u8>,
    pub(crate) personal_fields: Option<Vec<u8>>,
}

const COLUMNS: &str = "seq, id, log_id, tenant_id, external_id, kind, stream, subject_id, leaf, \
                       open_fields, personal_fields, created_at";

/// Inserts records as one batch, in their order; they wait for their indices unless the first one's
/// is given. False, with nothing inserted, when the external id of any of them is used.
pub(crate) async fn insert<'a>(
    tx: &mut Tx,
    log: i64,
    rows: Vec<NewRow<'a>>,
    index: Option<u64>,
) -> Result<bool, AuditError> {
    let has_external = rows.iter().any(|row| row.record.external.is_some());
    let (first_seq, rows) = open(tx, log, rows, index).await?;
    // Not `ON CONFLICT DO NOTHING`: PostgreSQL writes each row in two steps then.
    let may_conflict = tx.engine() == Engine::Postgres && has_external;
    if may_conflict {
        tx.execute("SAVEPOINT audit_append", args![]).await?;
    }
    match tx.insert_many("audit_records", COLUMNS, rows, "").await {
        Ok(_) if may_conflict => drop(tx.execute("RELEASE SAVEPOINT audit_append", args![]).await?),
        Ok(_) => {}
        Err(error) if error.is_unique_violation() && has_external => {
            if may_conflict {
                tx.execute("ROLLBACK TO SAVEPOINT audit_append", args![]).await?;
            }
            batches::undo(tx, first_seq).await?;
            return Ok(false);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(true)
}

/// The same for records whose external ids cannot be used: should one be all the same, the
/// transaction is only good for a rollback.
pub(crate) async fn insert_new(
    tx: &mut Tx,
    log: i64,
    rows: Vec<NewRow<'_>>,
) -> Result<(), AuditError> {
    let (_, rows) = open(tx, log, rows, None).await?;
    tx.insert_many("audit_records", COLUMNS, rows, "").await?;
    Ok(())
}

/// Opens the batch of these records; answers its first number, and the values of [`COLUMNS`].
async fn open<'a>(
    tx: &mut Tx,
    log: i64,
    rows: Vec<NewRow<'a>>,
    index: Option<u64>,
) -> Result<(i64, Vec<Vec<Arg>>), AuditError> {
    let leaf = |row: &NewRow<'a>| (row.leaf_hash, row.record.stream.as_deref());
    let waiting = index.is_none().then(|| leaves::encode(rows.iter().map(leaf))).transpose()?;
    let first_seq = batches::open(tx, log, rows.len(), index, waiting).await?;
    let rows = (first_seq..).zip(rows).map(|(seq, row)| {
        let NewRow { id, record, leaf, open_fields, personal_fields, .. } = row;
        let (tenant, external) = record.external.clone().unzip();
        args![
            seq,
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
            record.at_ms,
        ]
    });
    Ok((first_seq, rows.collect()))
}

macro_rules! select_record {
    ($from:literal) => {
        concat!(
            "SELECT r.seq, r.id, r.kind, r.stream, r.subject_id, r.leaf, r.open_fields, \
             r.personal_fields, b.first_index + r.seq - b.first_seq AS leaf_index, r.tenant_id, \
             r.external_id, r.created_at FROM ",
            $from
        )
    };
}

pub(crate) async fn by_id(tx: &mut Tx, log: i64, id: RecordId) -> Result<Row, AuditError> {
    let select = select_record!(
        "audit_records AS r JOIN audit_batches AS b ON b.first_seq = (r.seq & -16384) \
         WHERE r.log_id = $1 AND r.id = $2"
    );
    let row = tx.fetch_optional(select, args![log, id.0]).await?;
    row.ok_or(AuditError::NoSuchRecord(id))
}

pub(crate) async fn by_external_id(
    tx: &mut Tx,
    log: i64,
    tenant: &str,
    external_id: &str,
) -> Result<Option<Row>, AuditError> {
    Ok(by_external_ids(tx, log, &[(tenant, external_id)]).await?.pop())
}

/// The records that have these external ids, each a tenant and its id.
pub(crate) async fn by_external_ids(
    tx: &mut Tx,
    log: i64,
    wanted: &[(&str, &str)],
) -> Result<Vec<Row>, AuditError> {
    let select = match tx.engine() {
        Engine::Sqlite => select_record!(
            "json_each($2) AS j CROSS JOIN audit_records AS r ON r.log_id = $1 \
             AND r.tenant_id = j.value ->> 0 AND r.external_id = j.value ->> 1 \
             CROSS JOIN audit_batches AS b ON b.first_seq = (r.seq & -16384)"
        ),
        // LATERAL with a LIMIT can only be done by the index, whatever the planner knows of the table.
        Engine::Postgres => select_record!(
            "jsonb_array_elements($2::JSONB) AS j CROSS JOIN LATERAL ( \
             SELECT * FROM audit_records WHERE log_id = $1 AND tenant_id = j.value ->> 0 \
             AND external_id = j.value ->> 1 LIMIT 1) AS r \
             JOIN audit_batches AS b ON b.first_seq = (r.seq & -16384)"
        ),
    };
    Ok(tx.fetch_all(select, args![log, json(wanted)?]).await?)
}

pub(crate) async fn by_index(tx: &mut Tx, log: i64, index: u64) -> Result<Row, AuditError> {
    let row = by_range(tx, log, index, index + 1).await?.pop();
    row.ok_or_else(|| AuditError::damaged(format!("the record with index {index} is gone")))
}

/// Records of `from..to` in the order of the log.
pub(crate) async fn by_range(
    tx: &mut Tx,
    log: i64,
    from: u64,
    to: u64,
) -> Result<Vec<Row>, AuditError> {
    let (first, end) = (to_db(from)?, to_db(to)?);
    let held = batches::holding(tx, log, from, to).await?;
    let mut found = Vec::new();
    for (range, span) in batches::spans(&held) {
        let select = "SELECT seq, id, kind, stream, subject_id, leaf, open_fields, personal_fields, \
             CAST(NULL AS BIGINT) AS leaf_index, tenant_id, external_id, created_at \
             FROM audit_records WHERE seq >= $1 AND seq < $2 AND log_id = $3 ORDER BY seq";
        let rows: Vec<Row> = tx.fetch_all(select, args![range.start, range.end, log]).await?;
        let mut rows = rows.into_iter().peekable();
        for batch in span {
            while let Some(row) = next_of(batch, &mut rows, |row| row.seq) {
                let (index, mut row) = row;
                row.leaf_index = Some(index);
                if (first..end).contains(&index) {
                    found.push(row);
                }
            }
        }
    }
    Ok(found)
}

/// The next of `rows`, which are in the order of their numbers, if it is one of the batch, with its
/// index. Those of no batch are passed over.
fn next_of<T>(
    batch: &Batch,
    rows: &mut std::iter::Peekable<impl Iterator<Item = T>>,
    seq: impl Fn(&T) -> i64,
) -> Option<(i64, T)> {
    while rows.next_if(|row| batch.is_after(seq(row))).is_some() {}
    let index = rows.peek().and_then(|row| batch.index_of(seq(row)))?;
    Some((index, rows.next()?))
}

/// The leaves of just numbered batches, in the order of the log.
pub(crate) async fn leaves(
    tx: &mut Tx,
    log: i64,
    numbered: &[Numbered],
) -> Result<Vec<Leaf>, AuditError> {
    let mut all = Vec::new();
    for one in numbered {
        match one.leaves()? {
            Some(list) => all.extend(list),
            None => all.extend(read_leaves(tx, log, &one.batch).await?),
        }
    }
    Ok(all)
}

/// The leaves of a batch from its records.
async fn read_leaves(tx: &mut Tx, log: i64, batch: &Batch) -> Result<Vec<Leaf>, AuditError> {
    let range = batch.seqs();
    let select = "SELECT stream, leaf FROM audit_records \
                  WHERE seq >= $1 AND seq < $2 AND log_id = $3 ORDER BY seq";
    let arguments = args![range.start, range.end, log];
    let rows: Vec<(Option<String>, Vec<u8>)> = tx.fetch_all(select, arguments).await?;
    let leaf = |(stream, leaf): (_, Vec<u8>)| Leaf { hash: leaf_hash(&leaf), stream };
    Ok(rows.into_iter().map(leaf).collect())
}

/// The leaves of a stream with an index below `size`, in the order of the log.
pub(crate) async fn of_stream(
    tx: &mut Tx,
    log: i64,
    stream: &str,
    size: u64,
) -> Result<Vec<Vec<u8>>, AuditError> {
    let select = "SELECT r.leaf FROM audit_records AS r \
                  JOIN audit_batches AS b ON b.first_seq = (r.seq & -16384) \
                  WHERE r.log_id = $1 AND r.stream = $2 \
                  AND b.first_index + r.seq - b.first_seq < $3 \
                  ORDER BY b.first_index + r.seq - b.first_seq";
    let rows: Vec<(Vec<u8>,)> = tx.fetch_all(select, args![log, stream, to_db(size)?]).await?;
    Ok(rows.into_iter().map(|(leaf,)| leaf).collect())
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
