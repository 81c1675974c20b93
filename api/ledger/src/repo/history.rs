//! The history of one account.

use api_store::{Engine, Tx, args};

use super::MARK_EVERY;
use crate::resident::Resident;
use crate::{AccountId, LedgerError};

/// Up to 64 marks, or 2,048 legs, are passed at once for the sake of legs that moved no money.
const MARKS_AT_ONCE_BITS: u32 = 6;

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

/// The legs from the one with `seq = $2` backwards, as far as the last one that is not after `$3`;
/// `$1` is the account. `$join` finds the leg with `seq = c.prev`.
macro_rules! chain {
    ($join:literal) => {
        concat!(
            "WITH RECURSIVE chain (seq, id, leg, kind, other, debited, amount, effective_on, target,
                 code, reference, debits, credits, prev) AS (
             SELECT t.seq, t.id, CAST(t.leg AS BIGINT), CAST(t.kind AS BIGINT),
                 CASE WHEN t.debit = $1 THEN t.credit ELSE t.debit END,
                 CAST(CASE WHEN t.debit = $1 THEN 1 ELSE 0 END AS BIGINT), t.amount,
                 CAST(t.effective_on AS BIGINT), t.target, t.code, t.reference,
                 CASE WHEN t.debit = $1 THEN t.debit_debits ELSE t.credit_debits END,
                 CASE WHEN t.debit = $1 THEN t.debit_credits ELSE t.credit_credits END,
                 CASE WHEN t.debit = $1 THEN t.debit_prev ELSE t.credit_prev END
             FROM ledger_transfers AS t WHERE t.seq = $2
             UNION ALL
             SELECT t.seq, t.id, CAST(t.leg AS BIGINT), CAST(t.kind AS BIGINT),
                 CASE WHEN t.debit = $1 THEN t.credit ELSE t.debit END,
                 CAST(CASE WHEN t.debit = $1 THEN 1 ELSE 0 END AS BIGINT), t.amount,
                 CAST(t.effective_on AS BIGINT), t.target, t.code, t.reference,
                 CASE WHEN t.debit = $1 THEN t.debit_debits ELSE t.credit_debits END,
                 CASE WHEN t.debit = $1 THEN t.debit_credits ELSE t.credit_credits END,
                 CASE WHEN t.debit = $1 THEN t.debit_prev ELSE t.credit_prev END
             FROM chain AS c ",
            $join,
            " WHERE c.seq > $3 AND c.prev > 0)
             SELECT h.seq, h.id, h.leg, h.kind, h.other, h.debited, h.amount, h.effective_on,
                 h.target, h.code, h.reference, c.recorded_at, h.debits, h.credits
             FROM chain AS h JOIN ledger_commits AS c ON c.id = h.seq >> 20 ORDER BY h.seq DESC"
        )
    };
}

/// The legs of the account from `top`, which is one of them, backwards; the last one is the only one
/// at `stop` or before it, if there is one.
async fn backwards(
    tx: &mut Tx,
    account: AccountId,
    top: i64,
    stop: i64,
) -> Result<Vec<HistoryLeg>, LedgerError> {
    let sql = match tx.engine() {
        Engine::Sqlite => chain!("JOIN ledger_transfers AS t ON t.seq = c.prev"),
        // Written so that it can only be done by the index, whatever the planner knows of the table.
        Engine::Postgres => chain!(
            "CROSS JOIN LATERAL (SELECT * FROM ledger_transfers AS r WHERE r.seq <= c.prev
                 ORDER BY r.seq DESC LIMIT 1) AS t"
        ),
    };
    Ok(tx.fetch_all(sql, args![account.get(), top, stop]).await?)
}

/// Adds stored marks to those of the tail, in their order; some may be in both.
fn merge(marks: &mut Vec<i64>, stored: Vec<(i64,)>) {
    marks.extend(stored.into_iter().map(|(seq,)| seq));
    marks.sort_unstable();
    marks.dedup();
}

const fn moved_money(leg: &HistoryLeg) -> bool {
    matches!(leg.3, 1 | 3 | 6)
}

/// How many marks to pass so that so many legs are on the way. When those of the rounds before did not do,
/// because many moved no money, ever more are read at once.
fn marks_for(legs: usize, round: u32) -> usize {
    let marks = legs.saturating_add(MARK_EVERY).checked_div(MARK_EVERY).unwrap_or(1);
    marks.max(1 << round.min(MARKS_AT_ONCE_BITS))
}

/// An account's history, from its last leg.
#[derive(Clone, Copy, Debug)]
pub(crate) struct History<'a> {
    pub(crate) account: AccountId,
    /// Its last leg; zero: there is none.
    pub(crate) last_seq: i64,
    /// Where the marks are that are not in `ledger_marks` yet. A mark that is in neither, as this reader
    /// sees them, only makes the way longer.
    pub(crate) resident: &'a Resident,
}

impl History<'_> {
    /// The first marked leg at `seq` or after it, but for `skip` others before it; or the account's
    /// last leg, if that many are not marked. Zero when it has none.
    async fn top(self, tx: &mut Tx, seq: i64, skip: usize) -> Result<i64, LedgerError> {
        if seq > self.last_seq {
            return Ok(self.last_seq);
        }
        let count = skip.saturating_add(1);
        let mut marks = self.resident.marks(self.account, seq..=self.last_seq, count);
        let sql = "SELECT seq FROM ledger_marks WHERE account = $1 AND seq >= $2 AND seq <= $3
             ORDER BY seq LIMIT $4";
        let limit = i64::try_from(count).unwrap_or(i64::MAX);
        let values = args![self.account.get(), seq, self.last_seq, limit];
        let stored: Vec<(i64,)> = tx.fetch_all(sql, values).await?;
        merge(&mut marks, stored);
        Ok(marks.get(skip).copied().unwrap_or(self.last_seq))
    }

    /// Up to `limit` legs after `seq` that moved money, oldest first.
    pub(crate) async fn after(
        self,
        tx: &mut Tx,
        seq: i64,
        limit: u32,
    ) -> Result<Vec<HistoryLeg>, LedgerError> {
        let limit = limit as usize;
        let mut found: Vec<HistoryLeg> = Vec::new();
        let (mut from, mut round) = (seq, 0);
        while found.len() < limit {
            let skip = marks_for(limit.saturating_sub(found.len()), round);
            round = round.saturating_add(1);
            let top = self.top(tx, from.saturating_add(1), skip).await?;
            if top <= from {
                break;
            }
            let legs = backwards(tx, self.account, top, from).await?;
            let moved = |leg: &HistoryLeg| leg.0 > from && moved_money(leg);
            found.extend(legs.into_iter().rev().filter(moved));
            from = top;
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Up to `limit` legs before `seq` that moved money, newest first.
    pub(crate) async fn back(
        self,
        tx: &mut Tx,
        seq: i64,
        limit: u32,
    ) -> Result<Vec<HistoryLeg>, LedgerError> {
        let limit = limit as usize;
        let mut found: Vec<HistoryLeg> = Vec::new();
        let (mut end, mut round) = (seq, 0);
        while found.len() < limit && end > 0 {
            let top = self.top(tx, end.saturating_sub(1), 0).await?;
            let skip = marks_for(limit.saturating_sub(found.len()), round);
            round = round.saturating_add(1);
            let bottom = self.bottom(tx, top.min(end), skip).await?;
            let legs = backwards(tx, self.account, top, bottom).await?;
            found.extend(legs.into_iter().filter(|leg| leg.0 < end && moved_money(leg)));
            end = bottom;
        }
        found.truncate(limit);
        Ok(found)
    }

    /// The last marked leg before `seq`, but for `skip` others after it. Zero when there are not so many.
    async fn bottom(self, tx: &mut Tx, seq: i64, skip: usize) -> Result<i64, LedgerError> {
        let count = skip.saturating_add(1);
        let mut marks = self.resident.marks_before(self.account, seq, count);
        let sql = "SELECT seq FROM ledger_marks WHERE account = $1 AND seq < $2
             ORDER BY seq DESC LIMIT $3";
        let limit = i64::try_from(count).unwrap_or(i64::MAX);
        let stored: Vec<(i64,)> = tx.fetch_all(sql, args![self.account.get(), seq, limit]).await?;
        merge(&mut marks, stored);
        Ok(marks.into_iter().rev().nth(skip).unwrap_or_default())
    }

    /// The last leg at `seq` or before it, of any kind.
    pub(crate) async fn before(
        self,
        tx: &mut Tx,
        seq: i64,
    ) -> Result<Option<HistoryLeg>, LedgerError> {
        if seq <= 0 {
            return Ok(None);
        }
        let top = self.top(tx, seq, 0).await?;
        let last = backwards(tx, self.account, top, seq).await?.pop();
        Ok(last.filter(|leg| leg.0 <= seq))
    }
}

/// A leg seen from one account, with what counts for its limits: seq, id, leg, kind, 1 when this account
/// is debited, amount, recorded_at, and the account's leg before it (zero: there is none).
pub(crate) type LimitedLeg = (i64, Vec<u8>, i64, i64, i64, Vec<u8>, i64, i64);

/// The same for a part of a chain: `$4` legs at most.
macro_rules! part_of_chain {
    ($join:literal) => {
        concat!(
            "WITH RECURSIVE chain (seq, id, leg, kind, debited, amount, prev, number) AS (
             SELECT t.seq, t.id, CAST(t.leg AS BIGINT), CAST(t.kind AS BIGINT),
                 CAST(CASE WHEN t.debit = $1 THEN 1 ELSE 0 END AS BIGINT), t.amount,
                 CASE WHEN t.debit = $1 THEN t.debit_prev ELSE t.credit_prev END,
                 CAST(1 AS BIGINT)
             FROM ledger_transfers AS t WHERE t.seq = $2
             UNION ALL
             SELECT t.seq, t.id, CAST(t.leg AS BIGINT), CAST(t.kind AS BIGINT),
                 CAST(CASE WHEN t.debit = $1 THEN 1 ELSE 0 END AS BIGINT), t.amount,
                 CASE WHEN t.debit = $1 THEN t.debit_prev ELSE t.credit_prev END, c.number + 1
             FROM chain AS c ",
            $join,
            " WHERE c.seq > $3 AND c.prev > 0 AND c.number < $4)
             SELECT h.seq, h.id, h.leg, h.kind, h.debited, h.amount, c.recorded_at,
                 COALESCE(h.prev, 0)
             FROM chain AS h JOIN ledger_commits AS c ON c.id = h.seq >> 20 ORDER BY h.seq DESC"
        )
    };
}

/// Up to `limit` legs of the account from `top`, which is one of them, backwards; the last one is the
/// only one at `stop` or before it, if it comes so far.
pub(crate) async fn limited_legs(
    tx: &mut Tx,
    account: AccountId,
    top: i64,
    stop: i64,
    limit: u32,
) -> Result<Vec<LimitedLeg>, LedgerError> {
    let sql = match tx.engine() {
        Engine::Sqlite => part_of_chain!("JOIN ledger_transfers AS t ON t.seq = c.prev"),
        // As in `backwards`.
        Engine::Postgres => part_of_chain!(
            "CROSS JOIN LATERAL (
                 SELECT r.seq, r.id, r.leg, r.kind, r.debit, r.amount, r.debit_prev, r.credit_prev
                 FROM ledger_transfers AS r WHERE r.seq <= c.prev ORDER BY r.seq DESC LIMIT 1) AS t"
        ),
    };
    Ok(tx.fetch_all(sql, args![account.get(), top, stop, limit]).await?)
}

/// A leg that moved money and counts on the other side of a day's end than it was recorded: 1 when it was
/// recorded before that, 1 when the account is debited, amount.
pub(crate) type DatedLeg = (i64, i64, Vec<u8>);

/// What an account's balance as of a day must be corrected by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Correction {
    pub(crate) account: AccountId,
    /// Days since 1970.
    pub(crate) day: i64,
    /// The account's last leg that was recorded by the end of the day.
    pub(crate) counted: i64,
    /// The account's last leg that is known of.
    pub(crate) last: i64,
}

macro_rules! dated {
    ($is_counted:literal, $is_debited:literal, $account:literal, $history:literal, $legs:literal) => {
        concat!(
            "SELECT CAST(",
            $is_counted,
            " AS BIGINT), CAST(",
            $is_debited,
            " AS BIGINT), amount FROM ledger_transfers WHERE effective_on IS NOT NULL
                 AND kind IN (1, 3, 6) AND ",
            $account,
            " = $1 AND ",
            $history,
            " IS NOT NULL AND ",
            $legs
        )
    };
}

/// The legs that were recorded by the end of the day but count later, and those that were recorded later
/// but count by then.
pub(crate) async fn dated_legs(
    tx: &mut Tx,
    correction: Correction,
) -> Result<Vec<DatedLeg>, LedgerError> {
    let sql = concat!(
        dated!("1", "1", "debit", "debit_debits", "seq <= $2 AND effective_on > $4"),
        " UNION ALL ",
        dated!("1", "0", "credit", "credit_debits", "seq <= $2 AND effective_on > $4"),
        " UNION ALL ",
        dated!("0", "1", "debit", "debit_debits", "seq > $2 AND seq <= $3 AND effective_on <= $4"),
        " UNION ALL ",
        dated!(
            "0",
            "0",
            "credit",
            "credit_debits",
            "seq > $2 AND seq <= $3 AND effective_on <= $4"
        )
    );
    let Correction { account, day, counted, last } = correction;
    Ok(tx.fetch_all(sql, args![account.get(), counted, last, day]).await?)
}

/// The last commit that was recorded at `time` or before it.
pub(crate) async fn commit_before(tx: &mut Tx, time: i64) -> Result<Option<i64>, LedgerError> {
    let sql = "SELECT id FROM ledger_commits WHERE recorded_at <= $1
         ORDER BY recorded_at DESC, id DESC LIMIT 1";
    Ok(tx.fetch_optional::<(i64,)>(sql, args![time]).await?.map(|(id,)| id))
}

#[cfg(test)]
mod tests;
