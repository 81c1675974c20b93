//! The history of one account.

use api_store::{Tx, args};

use crate::{AccountId, LedgerError, Side};

/// A leg seen from one account: seq, id, leg, kind, other account, 1 when this account is debited,
/// amount, effective_on, target, code, reference, recorded_at, posted debits and credits after it.
pub(crate) type HistoryLeg = (
    i64,
    Vec<u8>,
    i64,
    i64,
    i64,
    i64,
    Vec<u8>,
    Option<i64>,
    Option<Vec<u8>>,
    String,
    String,
    i64,
    Vec<u8>,
    Vec<u8>,
);

/// Both sides of an account's history; `$1` is the account. The conditions and the order are put
/// inside each side, so that each walks its own index and stops at the limit.
macro_rules! history {
    ($condition:literal, $order:literal) => {
        concat!(
            "SELECT * FROM (SELECT * FROM (SELECT t.seq, t.id, CAST(t.leg AS BIGINT),
                 CAST(t.kind AS BIGINT), t.credit, CAST(1 AS BIGINT), t.amount,
                 CAST(t.effective_on AS BIGINT), t.target, t.code, t.reference, c.recorded_at,
                 t.debit_debits, t.debit_credits
             FROM ledger_transfers AS t JOIN ledger_commits AS c ON c.id = t.seq >> 20
             WHERE t.debit = $1 AND t.debit_debits IS NOT NULL AND ",
            $condition,
            " ORDER BY t.seq ",
            $order,
            ") AS d UNION ALL SELECT * FROM (SELECT t.seq, t.id, CAST(t.leg AS BIGINT),
                 CAST(t.kind AS BIGINT), t.debit, CAST(0 AS BIGINT), t.amount,
                 CAST(t.effective_on AS BIGINT), t.target, t.code, t.reference, c.recorded_at,
                 t.credit_debits, t.credit_credits
             FROM ledger_transfers AS t JOIN ledger_commits AS c ON c.id = t.seq >> 20
             WHERE t.credit = $1 AND t.credit_debits IS NOT NULL AND ",
            $condition,
            " ORDER BY t.seq ",
            $order,
            ") AS c) AS h ORDER BY seq ",
            $order
        )
    };
}

/// Up to `limit` legs after `seq` that moved money.
pub(crate) async fn history_after(
    tx: &mut Tx,
    account: AccountId,
    seq: i64,
    limit: u32,
) -> Result<Vec<HistoryLeg>, LedgerError> {
    let sql = history!("t.seq > $2 AND t.kind IN (1, 3, 6)", "LIMIT $3");
    Ok(tx.fetch_all(sql, args![account.get(), seq, limit]).await?)
}

/// The last leg at `seq` or before it, of any kind.
pub(crate) async fn history_before(
    tx: &mut Tx,
    account: AccountId,
    seq: i64,
) -> Result<Option<HistoryLeg>, LedgerError> {
    let sql = history!("t.seq <= $2", "DESC LIMIT 1");
    Ok(tx.fetch_optional(sql, args![account.get(), seq]).await?)
}

/// A leg that counts for another day than that of its recording: seq, kind, 1 when this account is
/// debited, amount, effective_on, recorded_at.
pub(crate) type DatedLeg = (i64, i64, i64, Vec<u8>, i64, i64);

/// The account's legs up to `seq` that count for another day and moved money.
pub(crate) async fn dated_legs(
    tx: &mut Tx,
    account: AccountId,
    seq: i64,
) -> Result<Vec<DatedLeg>, LedgerError> {
    let sql = "SELECT t.seq, CAST(t.kind AS BIGINT), CAST(1 AS BIGINT), t.amount,
             CAST(t.effective_on AS BIGINT), c.recorded_at
         FROM ledger_transfers AS t JOIN ledger_commits AS c ON c.id = t.seq >> 20
         WHERE t.debit = $1 AND t.seq <= $2 AND t.effective_on IS NOT NULL
             AND t.debit_debits IS NOT NULL AND t.kind IN (1, 3, 6)
         UNION ALL
         SELECT t.seq, CAST(t.kind AS BIGINT), CAST(0 AS BIGINT), t.amount,
             CAST(t.effective_on AS BIGINT), c.recorded_at
         FROM ledger_transfers AS t JOIN ledger_commits AS c ON c.id = t.seq >> 20
         WHERE t.credit = $1 AND t.seq <= $2 AND t.effective_on IS NOT NULL
             AND t.credit_debits IS NOT NULL AND t.kind IN (1, 3, 6)";
    Ok(tx.fetch_all(sql, args![account.get(), seq]).await?)
}

/// The last commit that was recorded at `time` or before it.
pub(crate) async fn commit_before(tx: &mut Tx, time: i64) -> Result<Option<i64>, LedgerError> {
    let sql = "SELECT id FROM ledger_commits WHERE recorded_at <= $1
         ORDER BY recorded_at DESC, id DESC LIMIT 1";
    Ok(tx.fetch_optional::<(i64,)>(sql, args![time]).await?.map(|(id,)| id))
}

/// What left the account after `seq`: the transfer and the amount of each leg, oldest first.
pub(crate) async fn outflows_after(
    tx: &mut Tx,
    account: AccountId,
    side: Side,
    seq: i64,
) -> Result<Vec<(Vec<u8>, Vec<u8>)>, LedgerError> {
    let sql = match side {
        Side::Credit => {
            "SELECT id, amount FROM ledger_transfers WHERE debit = $1 AND seq > $2
             AND debit_debits IS NOT NULL AND kind IN (1, 2, 6) ORDER BY seq"
        }
        Side::Debit => {
            "SELECT id, amount FROM ledger_transfers WHERE credit = $1 AND seq > $2
             AND credit_debits IS NOT NULL AND kind IN (1, 2, 6) ORDER BY seq"
        }
    };
    Ok(tx.fetch_all(sql, args![account.get(), seq]).await?)
}
