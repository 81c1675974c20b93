//! Reading whole tables in pages, for the check and for jobs.

use api_store::{Tx, args};

use super::{tenant, transfer_id};
use crate::{LedgerError, TenantId, TransferId};

/// A row of `ledger_transfers` as it is: seq, book, id, leg, kind, debit, credit, amount,
/// target, recorded_at, the four totals, and the legs before of the two accounts.
pub(crate) type RawTransfer = (
    i64,
    i64,
    Vec<u8>,
    i64,
    i64,
    i64,
    i64,
    Vec<u8>,
    Option<Vec<u8>>,
    i64,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<i64>,
    Option<i64>,
);

/// An account as its row is: account, book, asset, side, flags, floor, four totals, changed_at,
/// last_seq, legs, commit_id.
pub(crate) type RawBalance = (
    i64,
    i64,
    String,
    i64,
    i64,
    Option<Vec<u8>>,
    Vec<u8>,
    Vec<u8>,
    Vec<u8>,
    Vec<u8>,
    i64,
    i64,
    i64,
    i64,
);

macro_rules! raw_transfer {
    ($condition:literal) => {
        concat!(
            "SELECT t.seq, CAST(t.book AS BIGINT), t.id, CAST(t.leg AS BIGINT),
                 CAST(t.kind AS BIGINT), t.debit, t.credit, t.amount, t.target, c.recorded_at,
                 t.debit_debits, t.debit_credits, t.credit_debits, t.credit_credits, t.debit_prev,
                 t.credit_prev
             FROM ledger_transfers AS t JOIN ledger_commits AS c ON c.id = t.seq >> 20 WHERE ",
            $condition
        )
    };
}

/// The `limit` rows after `seq`.
pub(crate) async fn transfers_page(
    tx: &mut Tx,
    seq: i64,
    limit: u32,
) -> Result<Vec<RawTransfer>, LedgerError> {
    let sql = raw_transfer!("t.seq > $1 ORDER BY t.seq LIMIT $2");
    Ok(tx.fetch_all(sql, args![seq, limit]).await?)
}

/// The rows of one transfer.
pub(crate) async fn transfer_rows(
    tx: &mut Tx,
    book: i64,
    id: &[u8],
) -> Result<Vec<RawTransfer>, LedgerError> {
    let sql = raw_transfer!("t.book = $1 AND t.id = $2 ORDER BY t.seq");
    Ok(tx.fetch_all(sql, args![book, id]).await?)
}

/// The `limit` accounts after `account`.
pub(crate) async fn balances_page(
    tx: &mut Tx,
    account: i64,
    limit: u32,
) -> Result<Vec<RawBalance>, LedgerError> {
    let sql = "SELECT a.key, CAST(a.book AS BIGINT), a.asset, CAST(a.side AS BIGINT),
             CAST(b.flags AS BIGINT), b.floor, b.debits_posted, b.credits_posted, b.debits_pending,
             b.credits_pending, b.changed_at, b.last_seq, b.legs, b.commit_id
         FROM ledger_accounts AS a JOIN ledger_balances AS b ON b.account = a.key
         WHERE a.key > $1 ORDER BY a.key LIMIT $2";
    Ok(tx.fetch_all(sql, args![account, limit]).await?)
}

/// The `limit` marks after `(account, seq)`.
pub(crate) async fn marks_page(
    tx: &mut Tx,
    after: (i64, i64),
    limit: u32,
) -> Result<Vec<(i64, i64)>, LedgerError> {
    let sql = "SELECT account, seq FROM ledger_marks
         WHERE (account, seq) > ($1, $2) ORDER BY account, seq LIMIT $3";
    Ok(tx.fetch_all(sql, args![after.0, after.1, limit]).await?)
}

/// The `limit` open holds after `(book, id)`: book, id, expires_at, and when the pending transfer itself
/// says that it expires.
pub(crate) async fn holds_page(
    tx: &mut Tx,
    after: (i64, &[u8]),
    limit: u32,
) -> Result<Vec<(i64, Vec<u8>, Option<i64>, Option<i64>)>, LedgerError> {
    let sql = "SELECT CAST(h.book AS BIGINT), h.id, h.expires_at, t.expires_at
         FROM ledger_holds AS h
         LEFT JOIN ledger_transfers AS t ON t.book = h.book AND t.id = h.id AND t.leg = 0
         WHERE (h.book, h.id) > ($1, $2) ORDER BY h.book, h.id LIMIT $3";
    Ok(tx.fetch_all(sql, args![after.0, after.1, limit]).await?)
}

/// The `limit` rows of the outbox after `id`: id, kind, commit, book, count.
pub(crate) async fn outbox_rows(
    tx: &mut Tx,
    id: i64,
    limit: u32,
) -> Result<Vec<(i64, String, Option<i64>, Option<i64>, i64)>, LedgerError> {
    let sql = "SELECT o.id, o.kind, o.commit_id, CAST(k.key AS BIGINT), o.count
         FROM events_outbox AS o LEFT JOIN ledger_books AS k ON k.tenant = o.tenant
         WHERE o.id > $1 ORDER BY o.id LIMIT $2";
    Ok(tx.fetch_all(sql, args![id, limit]).await?)
}

/// The `limit` rows of the outbox with a place after `(tenant, position)`: tenant, position, count.
pub(crate) async fn places_page(
    tx: &mut Tx,
    after: (&str, i64),
    limit: u32,
) -> Result<Vec<(String, i64, i64)>, LedgerError> {
    let sql = "SELECT tenant, position, count FROM events_outbox
         WHERE position IS NOT NULL AND (tenant, position) > ($1, $2)
         ORDER BY tenant, position LIMIT $3";
    Ok(tx.fetch_all(sql, args![after.0, after.1, limit]).await?)
}

/// The next place of each tenant's events.
pub(crate) async fn event_heads(tx: &mut Tx) -> Result<Vec<(String, i64)>, LedgerError> {
    let sql = "SELECT tenant, next FROM events_heads WHERE tenant <> '' ORDER BY tenant";
    Ok(tx.fetch_all(sql, args![]).await?)
}

/// True when a commit was recorded at this time.
pub(crate) async fn is_commit_time(tx: &mut Tx, time: i64) -> Result<bool, LedgerError> {
    let sql = "SELECT id FROM ledger_commits WHERE recorded_at = $1 LIMIT 1";
    Ok(tx.fetch_optional::<(i64,)>(sql, args![time]).await?.is_some())
}

/// Up to `limit` pending transfers whose time was over at `now`.
pub(crate) async fn expired(
    tx: &mut Tx,
    now: i64,
    limit: u32,
) -> Result<Vec<(TenantId, TransferId)>, LedgerError> {
    let sql = "SELECT k.tenant, h.id FROM ledger_holds AS h
         JOIN ledger_books AS k ON k.key = h.book
         WHERE h.expires_at <= $1 ORDER BY h.expires_at LIMIT $2";
    let rows: Vec<(String, Vec<u8>)> = tx.fetch_all(sql, args![now, limit]).await?;
    rows.into_iter().map(|(text, id)| Ok((tenant(&text)?, transfer_id(&id)?))).collect()
}
