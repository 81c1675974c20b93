//! What batches changed, before it is in `ledger_balances`; and the locks that keep postings apart.

mod row;

use api_store::{Engine, Tx, args};

pub(crate) use self::row::{Mark, TailRow};
use crate::book::Standing;
use crate::{AccountId, LedgerError};

/// The lock on PostgreSQL that all who change accounts share, and that a batch has alone.
const LOCK: i64 = i64::from_be_bytes(*b"\0ledger\0");

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
    rows.iter().map(|(commit, at, states)| TailRow::decode(*commit, *at, states)).collect()
}

/// Writes what a commit changed.
pub(crate) async fn insert_tail(tx: &mut Tx, row: &TailRow) -> Result<(), LedgerError> {
    let sql = "INSERT INTO ledger_tail (commit_id, states) VALUES ($1, $2)";
    tx.execute(sql, args![row.commit, row.encode()?]).await?;
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

/// The accounts of all legs of commits after `$1` that `ledger_tail` after `$2` does not tell of.
macro_rules! touched {
    ($legs:literal) => {
        concat!(
            "SELECT t.debit, t.credit FROM ledger_commits AS c CROSS JOIN ",
            $legs,
            " WHERE c.id > $1 AND NOT EXISTS
                 (SELECT 1 FROM ledger_tail AS l WHERE l.commit_id = c.id AND l.commit_id > $2)"
        )
    };
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
            touched!("ledger_transfers AS t ON t.seq >= c.id << 20 AND t.seq < (c.id + 1) << 20")
        }
        // Written so that it is done by the index, whatever the planner thinks how long a commit is.
        Engine::Postgres => {
            touched!(
                "LATERAL (SELECT r.debit, r.credit FROM ledger_transfers AS r
                     WHERE r.seq >= c.id << 20 AND r.seq < (c.id + 1) << 20
                     ORDER BY r.seq LIMIT 1 << 20) AS t"
            )
        }
    };
    let rows: Vec<(i64, i64)> = tx.fetch_all(sql, args![commit, folded]).await?;
    Ok(rows.into_iter().flat_map(|(debit, credit)| [debit, credit]).map(AccountId::new).collect())
}
