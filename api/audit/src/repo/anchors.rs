//! Anchors.

use api_store::{Tx, args};

use super::{from_db, to_db};
use crate::AuditError;
use crate::anchors::{Anchor, AnchorState};

#[derive(sqlx::FromRow)]
struct Row {
    size: i64,
    chain: String,
    state: String,
    intent_id: Option<String>,
    tx: Option<String>,
    fee: Option<String>,
    evidence: Option<String>,
    problem: Option<String>,
    attempts: i64,
    created_at: i64,
    updated_at: i64,
}

fn anchor(row: Row) -> Result<Anchor, AuditError> {
    Ok(Anchor {
        size: from_db(row.size)?,
        state: row.state.parse().map_err(|()| AuditError::damaged("an anchor's state"))?,
        chain: row.chain,
        intent_id: row.intent_id,
        tx: row.tx,
        fee: row.fee,
        evidence: row.evidence,
        problem: row.problem,
        attempts: from_db(row.attempts)?,
        created_at_ms: row.created_at,
        updated_at_ms: row.updated_at,
    })
}

/// Inserts an anchor that is due; one that is there stays as it is.
pub(crate) async fn insert_due(
    tx: &mut Tx,
    log: i64,
    size: u64,
    chain: &str,
    at_ms: i64,
) -> Result<bool, AuditError> {
    let insert = "INSERT INTO audit_anchors (log_id, size, chain, state, created_at, updated_at) \
                  VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (log_id, size, chain) DO NOTHING";
    let arguments = args![log, to_db(size)?, chain, AnchorState::Due.as_str(), at_ms];
    Ok(tx.execute(insert, arguments).await? == 1)
}

pub(crate) async fn one(
    tx: &mut Tx,
    log: i64,
    size: u64,
    chain: &str,
) -> Result<Option<Anchor>, AuditError> {
    let select = "SELECT size, chain, state, intent_id, tx, fee, evidence, problem, attempts, \
                  created_at, updated_at FROM audit_anchors \
                  WHERE log_id = $1 AND size = $2 AND chain = $3";
    let row: Option<Row> = tx.lock_optional(select, args![log, to_db(size)?, chain]).await?;
    row.map(anchor).transpose()
}

pub(crate) async fn in_state(
    tx: &mut Tx,
    log: i64,
    state: AnchorState,
) -> Result<Vec<Anchor>, AuditError> {
    let select = "SELECT size, chain, state, intent_id, tx, fee, evidence, problem, attempts, \
                  created_at, updated_at FROM audit_anchors \
                  WHERE log_id = $1 AND state = $2 ORDER BY size, chain";
    let rows: Vec<Row> = tx.fetch_all(select, args![log, state.as_str()]).await?;
    rows.into_iter().map(anchor).collect()
}

/// Anchors of checkpoints of at least `size` leaves.
pub(crate) async fn from_size(tx: &mut Tx, log: i64, size: u64) -> Result<Vec<Anchor>, AuditError> {
    let select = "SELECT size, chain, state, intent_id, tx, fee, evidence, problem, attempts, \
                  created_at, updated_at FROM audit_anchors \
                  WHERE log_id = $1 AND size >= $2 ORDER BY size, chain";
    let rows: Vec<Row> = tx.fetch_all(select, args![log, to_db(size)?]).await?;
    rows.into_iter().map(anchor).collect()
}

/// The first of these.
pub(crate) async fn page(
    tx: &mut Tx,
    log: i64,
    size: u64,
    limit: u32,
) -> Result<Vec<Anchor>, AuditError> {
    let select = "SELECT size, chain, state, intent_id, tx, fee, evidence, problem, attempts, \
                  created_at, updated_at FROM audit_anchors \
                  WHERE log_id = $1 AND size >= $2 ORDER BY size, chain LIMIT $3";
    let rows: Vec<Row> = tx.fetch_all(select, args![log, to_db(size)?, limit]).await?;
    rows.into_iter().map(anchor).collect()
}

pub(crate) async fn save(tx: &mut Tx, log: i64, anchor: &Anchor) -> Result<(), AuditError> {
    let update = "UPDATE audit_anchors SET state = $1, intent_id = $2, tx = $3, fee = $4, \
                  evidence = $5, problem = $6, attempts = $7, updated_at = $8 \
                  WHERE log_id = $9 AND size = $10 AND chain = $11";
    let arguments = args![
        anchor.state.as_str(),
        anchor.intent_id.clone(),
        anchor.tx.clone(),
        anchor.fee.clone(),
        anchor.evidence.clone(),
        anchor.problem.clone(),
        to_db(anchor.attempts)?,
        anchor.updated_at_ms,
        log,
        to_db(anchor.size)?,
        &anchor.chain,
    ];
    tx.execute(update, arguments).await?;
    Ok(())
}
