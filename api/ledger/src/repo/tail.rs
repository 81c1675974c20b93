//! What batches changed, before it is in `ledger_balances`; and the locks that keep postings apart.

use api_store::{Engine, Tx, args};
use serde::{Deserialize, Serialize, Serializer};

use crate::book::Standing;
use crate::{AccountId, LedgerError, Totals};

/// The lock on PostgreSQL that all who change accounts share, and that a batch has alone.
const LOCK: i64 = i64::from_be_bytes(*b"\0ledger\0");

/// The first byte of `ledger_tail.states`: only states, as an earlier version wrote them.
const STATES: u8 = 1;
/// States and marks; `changed_at` is relative to the time of the commit, and `last_seq` to the commit's
/// first, so that they are short.
const STATES_AND_MARKS: u8 = 2;

/// About how long an entry of `ledger_tail.states` is.
const STATE_BYTES: usize = 32;

/// An entry of `ledger_tail.states`.
#[derive(Serialize, Deserialize)]
struct Stored {
    account: i64,
    debits_posted: u128,
    credits_posted: u128,
    debits_pending: u128,
    credits_pending: u128,
    changed_at: i64,
    last_seq: i64,
    legs: i64,
}

/// A mark in `ledger_tail.states`: the account, and the place of the leg in the commit.
type StoredMark = (i64, i64);

/// A leg whose number in its account's history is a multiple of [`super::MARK_EVERY`]: account and
/// `seq`.
pub(crate) type Mark = (AccountId, i64);

/// A row of the tail: what a commit changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TailRow {
    pub(crate) commit: i64,
    pub(crate) recorded_at: i64,
    pub(crate) states: Vec<(AccountId, Standing)>,
    pub(crate) marks: Vec<Mark>,
}

fn encode(row: &TailRow) -> Result<Vec<u8>, LedgerError> {
    let first_seq = super::first_seq(row.commit)?;
    let states = States { row, first_seq };
    let position = |(account, seq): &Mark| (account.get(), seq.saturating_sub(first_seq));
    let marks: Vec<StoredMark> = row.marks.iter().map(position).collect();
    let mut bytes = Vec::with_capacity(row.states.len().saturating_mul(STATE_BYTES));
    bytes.push(STATES_AND_MARKS);
    postcard::to_extend(&(states, marks), bytes).map_err(|_| LedgerError::damaged("tail"))
}

/// Serializes the states of a row as a `Vec<Stored>`, without making one.
struct States<'a> {
    row: &'a TailRow,
    first_seq: i64,
}

impl Serialize for States<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let stored = |(account, standing): &(AccountId, Standing)| {
            let Standing { totals, changed_at, last_seq, legs, .. } = *standing;
            Stored {
                account: account.get(),
                debits_posted: totals.debits_posted,
                credits_posted: totals.credits_posted,
                debits_pending: totals.debits_pending,
                credits_pending: totals.credits_pending,
                changed_at: changed_at.wrapping_sub(self.row.recorded_at),
                last_seq: last_seq.wrapping_sub(self.first_seq),
                legs,
            }
        };
        serializer.collect_seq(self.row.states.iter().map(stored))
    }
}

fn decode(commit: i64, recorded_at: i64, bytes: &[u8]) -> Result<TailRow, LedgerError> {
    let damaged = || LedgerError::damaged("a row of ledger_tail cannot be read");
    let (format, body) = bytes.split_first().ok_or_else(damaged)?;
    let (stored, rest) = match *format {
        STATES => postcard::take_from_bytes::<Vec<Stored>>(body)
            .map(|(states, rest)| ((states, Vec::new()), rest)),
        STATES_AND_MARKS => postcard::take_from_bytes::<(Vec<Stored>, Vec<StoredMark>)>(body),
        _ => return Err(damaged()),
    }
    .map_err(|_| damaged())?;
    if !rest.is_empty() {
        return Err(damaged());
    }
    let (states, marks) = stored;
    let first_seq = super::first_seq(commit)?;
    let (time, seq) = if *format == STATES { (0, 0) } else { (recorded_at, first_seq) };
    let mark = |(account, position): &StoredMark| {
        first_seq.checked_add(*position).map(|seq| (AccountId::new(*account), seq))
    };
    let marks = marks.iter().map(mark).collect::<Option<_>>().ok_or_else(damaged)?;
    let standing = |stored: &Stored| Standing {
        commit,
        totals: Totals {
            debits_posted: stored.debits_posted,
            credits_posted: stored.credits_posted,
            debits_pending: stored.debits_pending,
            credits_pending: stored.credits_pending,
        },
        changed_at: stored.changed_at.wrapping_add(time),
        last_seq: stored.last_seq.wrapping_add(seq),
        legs: stored.legs,
    };
    let states = states.iter().map(|stored| (AccountId::new(stored.account), standing(stored)));
    Ok(TailRow { commit, recorded_at, states: states.collect(), marks })
}

/// How far everything is; zero: there is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Head {
    /// The last commit.
    pub(crate) commits: i64,
    /// The last commit with a row in the tail.
    pub(crate) tail: i64,
    /// `ledger_balances` has all that the tail says up to this commit.
    pub(crate) folded: i64,
    /// The last change of an account's flags or floor.
    pub(crate) terms: i64,
}

/// How far the database is, and when the commit `known` was recorded, if there is one.
pub(crate) async fn head(tx: &mut Tx, known: i64) -> Result<(Head, Option<i64>), LedgerError> {
    let sql = "SELECT COALESCE((SELECT MAX(id) FROM ledger_commits), 0),
             COALESCE((SELECT MAX(commit_id) FROM ledger_tail), 0), folded,
             COALESCE((SELECT MAX(id) FROM ledger_terms), 0),
             (SELECT recorded_at FROM ledger_commits WHERE id = $1)
         FROM ledger_state";
    let row: (i64, i64, i64, i64, Option<i64>) = tx.fetch_one(sql, args![known]).await?;
    let (commits, tail, folded, terms, recorded_at) = row;
    Ok((Head { commits, tail: tail.max(folded), folded, terms }, recorded_at))
}

/// Waits until nobody else changes accounts, and keeps them out until the end of the transaction.
pub(crate) async fn lock_alone(tx: &mut Tx) -> Result<(), LedgerError> {
    lock(tx, "SELECT pg_advisory_xact_lock($1)").await
}

/// The same when nobody else has changed anything or waits for it at this moment; false otherwise.
pub(crate) async fn try_lock_alone(tx: &mut Tx) -> Result<bool, LedgerError> {
    if tx.engine() == Engine::Sqlite {
        return Ok(true);
    }
    let sql = "SELECT CAST(pg_try_advisory_xact_lock($1) AS INTEGER)::bigint";
    let (taken,): (i64,) = tx.fetch_one(sql, args![LOCK]).await?;
    Ok(taken == 1)
}

/// Waits for a batch that has [`lock_alone`], and keeps the next one out until the end of the transaction.
pub(crate) async fn lock_shared(tx: &mut Tx) -> Result<(), LedgerError> {
    lock(tx, "SELECT pg_advisory_xact_lock_shared($1)").await
}

/// SQLite has one writer at a time anyway.
async fn lock(tx: &mut Tx, sql: &'static str) -> Result<(), LedgerError> {
    if tx.engine() == Engine::Postgres {
        tx.execute(sql, args![LOCK]).await?;
    }
    Ok(())
}

/// Up to `limit` rows of the tail after `commit`, in their order.
pub(crate) async fn tail_after(
    tx: &mut Tx,
    commit: i64,
    limit: i64,
) -> Result<Vec<TailRow>, LedgerError> {
    let sql = "SELECT t.commit_id, c.recorded_at, t.states
         FROM ledger_tail AS t JOIN ledger_commits AS c ON c.id = t.commit_id
         WHERE t.commit_id > $1 ORDER BY t.commit_id LIMIT $2";
    let rows: Vec<(i64, i64, Vec<u8>)> = tx.fetch_all(sql, args![commit, limit]).await?;
    rows.iter().map(|(commit, recorded_at, states)| decode(*commit, *recorded_at, states)).collect()
}

/// Writes what a commit changed.
pub(crate) async fn insert_tail(tx: &mut Tx, row: &TailRow) -> Result<(), LedgerError> {
    let sql = "INSERT INTO ledger_tail (commit_id, states) VALUES ($1, $2)";
    tx.execute(sql, args![row.commit, encode(row)?]).await?;
    Ok(())
}

/// Brings rows of `ledger_balances` up to date, where they are older; returns how many were. Ordered by
/// account.
pub(crate) async fn fold(
    tx: &mut Tx,
    states: &[(AccountId, Standing)],
) -> Result<u64, LedgerError> {
    match tx {
        Tx::Sqlite(tx) => super::sqlite::fold(tx, states).await,
        Tx::Postgres(tx) => super::postgres::fold(tx, states).await,
    }
}

/// Adds marks that may be there already. Ordered by account.
pub(crate) async fn fold_marks(tx: &mut Tx, marks: &[Mark]) -> Result<(), LedgerError> {
    match tx {
        Tx::Sqlite(tx) => super::sqlite::insert_marks(tx, marks).await,
        Tx::Postgres(tx) => super::postgres::insert_marks(tx, marks).await,
    }
}

/// Notes that `ledger_balances` and `ledger_marks` have all up to this commit.
pub(crate) async fn set_folded(tx: &mut Tx, commit: i64) -> Result<(), LedgerError> {
    let sql = "UPDATE ledger_state SET folded = $1 WHERE folded < $1";
    tx.execute(sql, args![commit]).await?;
    Ok(())
}

/// Removes up to `limit` rows of the tail that are folded, the oldest first; returns how many.
pub(crate) async fn remove_folded(tx: &mut Tx, limit: i64) -> Result<u64, LedgerError> {
    let sql = "DELETE FROM ledger_tail WHERE commit_id IN (
             SELECT commit_id FROM ledger_tail
             WHERE commit_id <= (SELECT folded FROM ledger_state)
             ORDER BY commit_id LIMIT $1)";
    Ok(tx.execute(sql, args![limit]).await?)
}

/// Notes that flags or the floor of an account changed.
pub(crate) async fn note_terms(tx: &mut Tx, account: AccountId) -> Result<(), LedgerError> {
    tx.execute("INSERT INTO ledger_terms (account) VALUES ($1)", args![account.get()]).await?;
    Ok(())
}

/// The accounts whose flags or floor changed after the change `id`.
pub(crate) async fn terms_after(tx: &mut Tx, id: i64) -> Result<Vec<AccountId>, LedgerError> {
    let sql = "SELECT account FROM ledger_terms WHERE id > $1";
    let rows: Vec<(i64,)> = tx.fetch_all(sql, args![id]).await?;
    Ok(rows.into_iter().map(|(account,)| AccountId::new(account)).collect())
}

/// The accounts that the commits after `commit` changed, but for those of which the tail after `folded`
/// tells.
pub(crate) async fn touched_after(
    tx: &mut Tx,
    commit: i64,
    folded: i64,
) -> Result<Vec<AccountId>, LedgerError> {
    let sql = match tx.engine() {
        Engine::Sqlite => {
            "SELECT t.debit, t.credit FROM ledger_commits AS c
             CROSS JOIN ledger_transfers AS t ON t.seq >= c.id << 20 AND t.seq < (c.id + 1) << 20
             WHERE c.id > $1
                 AND NOT EXISTS
                     (SELECT 1 FROM ledger_tail AS l WHERE l.commit_id = c.id AND l.commit_id > $2)"
        }
        // Written so that it is done by the index, whatever the planner thinks how long a commit is.
        Engine::Postgres => {
            "SELECT t.debit, t.credit FROM ledger_commits AS c
             CROSS JOIN LATERAL (
                 SELECT r.debit, r.credit FROM ledger_transfers AS r
                 WHERE r.seq >= c.id << 20 AND r.seq < (c.id + 1) << 20
                 ORDER BY r.seq LIMIT 1 << 20
             ) AS t
             WHERE c.id > $1
                 AND NOT EXISTS
                     (SELECT 1 FROM ledger_tail AS l WHERE l.commit_id = c.id AND l.commit_id > $2)"
        }
    };
    let rows: Vec<(i64, i64)> = tx.fetch_all(sql, args![commit, folded]).await?;
    Ok(rows.into_iter().flat_map(|(debit, credit)| [debit, credit]).map(AccountId::new).collect())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_round_trip(
            commit in 0_i64..1 << 40,
            recorded_at: i64,
            entries: Vec<(i64, [u128; 4], i64, i64, i64)>,
            marks: Vec<(i64, u16)>,
            junk in 1_usize..40,
        ) {
            let states = entries
                .into_iter()
                .map(|(account, totals, changed_at, last_seq, legs)| {
                    let [debits_posted, credits_posted, debits_pending, credits_pending] = totals;
                    let totals =
                        Totals { debits_posted, credits_posted, debits_pending, credits_pending };
                    (AccountId::new(account), Standing { commit, totals, changed_at, last_seq, legs })
                })
                .collect();
            let mark = |(account, position): (i64, u16)| {
                (AccountId::new(account), (commit << 20) | i64::from(position))
            };
            let marks = marks.into_iter().map(mark).collect();
            let row = TailRow { commit, recorded_at, states, marks };
            let bytes = encode(&row).unwrap();
            prop_assert_eq!(&decode(commit, recorded_at, &bytes).unwrap(), &row);
            let cut = bytes.len().saturating_sub(junk);
            prop_assert!(decode(commit, 0, bytes.get(..cut).unwrap_or_default()).is_err());
            prop_assert!(decode(commit, 0, &[bytes, vec![0]].concat()).is_err());
        }
    }

    #[test]
    fn rows_without_marks_are_read_and_other_formats_refused() {
        let row = decode(3, 5, &[1, 1, 2, 7, 0, 0, 0, 4, 6, 8]).unwrap();
        let totals = Totals { debits_posted: 7, ..Totals::default() };
        let standing = Standing { commit: 3, totals, changed_at: 2, last_seq: 3, legs: 4 };
        let states = vec![(AccountId::new(1), standing)];
        assert_eq!(row, TailRow { commit: 3, recorded_at: 5, states, marks: Vec::new() });
        assert!(decode(1, 1, &[]).is_err());
        assert!(decode(1, 1, &[2, 0]).is_err());
        assert!(decode(1, 1, &[3, 0]).is_err());
        assert_eq!(decode(1, 1, &[2, 0, 0]).unwrap().marks, []);
    }
}
