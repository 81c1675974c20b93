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
    block: Option<String>,
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
        block: row.block,
        problem: row.problem,
        attempts: from_db(row.attempts)?,
        created_at_ms: row.created_at,
        updated_at_ms: row.updated_at,
    })
}

/// The statement that reads anchors as [`Row`]s.
macro_rules! select {
    ($which:literal) => {
        concat!(
            "SELECT size, chain, state, intent_id, tx, fee, evidence, block, problem, attempts, \
             created_at, updated_at FROM audit_anchors ",
            $which
        )
    };
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
    let select = select!("WHERE log_id = $1 AND size = $2 AND chain = $3");
    let row: Option<Row> = tx.lock_optional(select, args![log, to_db(size)?, chain]).await?;
    row.map(anchor).transpose()
}

/// The same without a lock.
pub(crate) async fn find(
    tx: &mut Tx,
    log: i64,
    size: u64,
    chain: &str,
) -> Result<Option<Anchor>, AuditError> {
    let select = select!("WHERE log_id = $1 AND size = $2 AND chain = $3");
    let row: Option<Row> = tx.fetch_optional(select, args![log, to_db(size)?, chain]).await?;
    row.map(anchor).transpose()
}

pub(crate) async fn note_block(
    tx: &mut Tx,
    log: i64,
    size: u64,
    chain: &str,
    block: &str,
) -> Result<(), AuditError> {
    let update =
        "UPDATE audit_anchors SET block = $1 WHERE log_id = $2 AND size = $3 AND chain = $4";
    tx.execute(update, args![block, log, to_db(size)?, chain]).await?;
    Ok(())
}

pub(crate) async fn in_state(
    tx: &mut Tx,
    log: i64,
    state: AnchorState,
) -> Result<Vec<Anchor>, AuditError> {
    let select = select!("WHERE log_id = $1 AND state = $2 ORDER BY size, chain");
    let rows: Vec<Row> = tx.fetch_all(select, args![log, state.as_str()]).await?;
    rows.into_iter().map(anchor).collect()
}

/// Anchors of checkpoints of at least `size` leaves.
pub(crate) async fn from_size(tx: &mut Tx, log: i64, size: u64) -> Result<Vec<Anchor>, AuditError> {
    let select = select!("WHERE log_id = $1 AND size >= $2 ORDER BY size, chain");
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
    let select = select!("WHERE log_id = $1 AND size >= $2 ORDER BY size, chain LIMIT $3");
    let rows: Vec<Row> = tx.fetch_all(select, args![log, to_db(size)?, limit]).await?;
    rows.into_iter().map(anchor).collect()
}

pub(crate) async fn save(tx: &mut Tx, log: i64, anchor: &Anchor) -> Result<(), AuditError> {
    let update = "UPDATE audit_anchors SET state = $1, intent_id = $2, tx = $3, fee = $4, \
                  evidence = $5, block = $6, problem = $7, attempts = $8, updated_at = $9 \
                  WHERE log_id = $10 AND size = $11 AND chain = $12";
    let arguments = args![
        anchor.state.as_str(),
        anchor.intent_id.clone(),
        anchor.tx.clone(),
        anchor.fee.clone(),
        anchor.evidence.clone(),
        anchor.block.clone(),
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

/// The largest anchored size of each chain, below `below`.
pub(crate) async fn anchored_sizes(
    tx: &mut Tx,
    log: i64,
    below: u64,
) -> Result<Vec<(String, u64)>, AuditError> {
    let select = "SELECT chain, MAX(size) FROM audit_anchors WHERE log_id = $1 AND size < $2 \
                  AND state IN ('included', 'final') GROUP BY chain";
    let below = to_db(below.min(i64::MAX.unsigned_abs()))?;
    let rows: Vec<(String, i64)> = tx.fetch_all(select, args![log, below]).await?;
    rows.into_iter().map(|(chain, size)| Ok((chain, from_db(size)?))).collect()
}

/// The newest checkpoint that was made due, and when.
pub(crate) async fn newest_due(tx: &mut Tx, log: i64) -> Result<Option<(u64, i64)>, AuditError> {
    let select = "SELECT size, created_at FROM audit_anchors WHERE log_id = $1 \
                  ORDER BY size DESC LIMIT 1";
    let row: Option<(i64, i64)> = tx.fetch_optional(select, args![log]).await?;
    row.map(|(size, at)| Ok((from_db(size)?, at))).transpose()
}

/// The first checkpoint of more than `size` leaves, and when it was stored.
pub(crate) async fn first_checkpoint_above(
    tx: &mut Tx,
    log: i64,
    size: u64,
) -> Result<Option<(u64, i64)>, AuditError> {
    let select = "SELECT size, created_at FROM audit_checkpoints WHERE log_id = $1 AND size > $2 \
                  ORDER BY size LIMIT 1";
    let row: Option<(i64, i64)> = tx.fetch_optional(select, args![log, to_db(size)?]).await?;
    row.map(|(size, at)| Ok((from_db(size)?, at))).transpose()
}
