//! The outbox.

use std::collections::BTreeMap;

use api_store::{Engine, Tx, args};
use serde_json::json;

use super::{SEQ_BITS, transfer_id};
use crate::events::NewEvent;
use crate::{LedgerError, TenantId, TransferId};

/// A row of the outbox: kind, subject, body, commit, count, created_at, position.
pub(crate) type OutboxRow = (String, String, String, Option<i64>, i64, i64, i64);

pub(crate) async fn insert_event(
    tx: &mut Tx,
    event: &NewEvent,
    now: i64,
) -> Result<(), LedgerError> {
    let sql = "INSERT INTO events_outbox (tenant, kind, subject, body, count, created_at)
         VALUES ($1, $2, $3, $4, 1, $5)";
    let body = event.data.to_string();
    let values = args![event.tenant.get(), &event.kind, &event.subject, body, now];
    tx.execute(sql, values).await?;
    Ok(())
}

/// Waits until nobody else gives positions; until the end of the transaction.
pub(crate) async fn lock_heads(tx: &mut Tx) -> Result<(), LedgerError> {
    let sql = "SELECT next FROM events_heads WHERE tenant = ''";
    tx.lock_optional::<(i64,)>(sql, args![]).await?;
    Ok(())
}

/// Up to `limit` committed rows without a position: id, tenant, count.
pub(crate) async fn unplaced(
    tx: &mut Tx,
    limit: u32,
) -> Result<Vec<(i64, String, i64)>, LedgerError> {
    let sql = "SELECT id, tenant, count FROM events_outbox WHERE position IS NULL
         ORDER BY id LIMIT $1";
    Ok(tx.fetch_all(sql, args![limit]).await?)
}

/// Gives the rows of [`unplaced`] their places at the ends of their tenants' sequences, in their order:
/// a statement for each tenant, and one for all rows.
pub(crate) async fn give_positions(
    tx: &mut Tx,
    rows: &[(i64, String, i64)],
) -> Result<(), LedgerError> {
    let mut ends: BTreeMap<&str, i64> = BTreeMap::new();
    for (_, tenant, count) in rows {
        let end = ends.entry(tenant).or_default();
        *end = end.saturating_add(*count);
    }
    // The first position is 1.
    let sql = "INSERT INTO events_heads AS h (tenant, next) VALUES ($1, $2 + 1)
         ON CONFLICT (tenant) DO UPDATE SET next = h.next + $2 RETURNING next";
    for (tenant, end) in &mut ends {
        (*end,) = tx.fetch_one(sql, args![*tenant, *end]).await?;
    }
    // From the end of each sequence backwards.
    let mut places = Vec::with_capacity(rows.len());
    for (id, tenant, count) in rows.iter().rev() {
        let end = ends.entry(tenant).or_default();
        *end = end.saturating_sub(*count);
        places.push((*id, *end));
    }
    let sql = match tx.engine() {
        Engine::Sqlite => {
            "UPDATE events_outbox AS o SET position = j.value ->> 1 FROM json_each($1) AS j
             WHERE o.id = j.value ->> 0 AND o.position IS NULL"
        }
        Engine::Postgres => {
            "UPDATE events_outbox AS o SET position = CAST(j.value ->> 1 AS BIGINT)
             FROM jsonb_array_elements($1::JSONB) AS j
             WHERE o.id = CAST(j.value ->> 0 AS BIGINT) AND o.position IS NULL"
        }
    };
    tx.execute(sql, args![json!(places).to_string()]).await?;
    Ok(())
}

/// The rows with the events after `after`, the first perhaps in part; up to `limit` rows.
pub(crate) async fn outbox_page(
    tx: &mut Tx,
    tenant: TenantId,
    after: i64,
    limit: u32,
) -> Result<Vec<OutboxRow>, LedgerError> {
    let sql = "SELECT kind, subject, body, commit_id, count, created_at, position
         FROM events_outbox WHERE tenant = $1 AND position >= (
             SELECT COALESCE(MAX(position), 1) FROM events_outbox
             WHERE tenant = $1 AND position <= $2 + 1
         ) ORDER BY position LIMIT $3";
    Ok(tx.fetch_all(sql, args![tenant.get(), after, limit]).await?)
}

/// The last position that the tenant's sequence has.
pub(crate) async fn last_position(tx: &mut Tx, tenant: TenantId) -> Result<i64, LedgerError> {
    let sql = "SELECT next - 1 FROM events_heads WHERE tenant = $1";
    let row: Option<(i64,)> = tx.fetch_optional(sql, args![tenant.get()]).await?;
    Ok(row.map_or(0, |(last,)| last))
}

/// The ids of a commit's transfers of one tenant, in their order.
pub(crate) async fn transfer_ids(
    tx: &mut Tx,
    tenant: TenantId,
    commit: i64,
    skip: i64,
    limit: i64,
) -> Result<Vec<TransferId>, LedgerError> {
    let sql = "SELECT t.id FROM ledger_books AS k
         JOIN ledger_transfers AS t ON t.book = k.key
         WHERE k.tenant = $1 AND t.seq >= $2 AND t.seq < $3 AND t.leg = 0
         ORDER BY t.seq LIMIT $4 OFFSET $5";
    let range = |commit: i64| commit.checked_shl(SEQ_BITS).unwrap_or(i64::MAX);
    let (first, end) = (range(commit), range(commit.saturating_add(1)));
    let values = args![tenant.get(), first, end, limit, skip];
    let rows: Vec<(Vec<u8>,)> = tx.fetch_all(sql, values).await?;
    rows.into_iter().map(|(id,)| Ok(transfer_id(&id)?)).collect()
}
