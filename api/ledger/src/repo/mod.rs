//! All SQL of the ledger. What differs between the engines is in a file for each.

mod accounts;
mod events;
mod history;
mod postgres;
mod read;
mod sqlite;
mod tail;

use std::collections::BTreeMap;

use api_store::{StoreError, Tx};
use uuid::Uuid;

use crate::book::{Decisions, Row, Standing, Terms};
use crate::transfer::Kind;
use crate::{AccountId, LedgerError, Side, TenantId, TransferId, bytes};

pub(crate) use accounts::{
    account_by_code, accounts, accounts_by_external_id, accounts_under, change_flags,
    insert_account, limits, remove_limit, set_floor, set_limit,
};
pub(crate) use events::{
    OutboxRow, give_positions, insert_event, last_position, lock_heads, outbox_page, transfer_ids,
    unplaced,
};
pub(crate) use history::{
    Correction, DatedLeg, History, HistoryLeg, LimitedLeg, commit_before, dated_legs, limited_legs,
};
pub(crate) use read::{
    RawBalance, RawTransfer, balances_page, event_heads, expired, holds_page, is_commit_time,
    marks_page, outbox_rows, places_page, transfer_rows, transfers_page,
};
pub(crate) use tail::{
    Head, Mark, TailRow, fold, fold_marks, head, insert_tail, lock_alone, lock_shared,
    remove_folded, set_folded, tail_after, terms_after, touched_after, try_lock_alone,
};

/// The bits of `ledger_transfers.seq` that count within a commit.
pub(crate) const SEQ_BITS: u32 = 20;

/// Every leg of an account whose number is a multiple of this is marked.
pub(crate) const MARK_EVERY: usize = 32;

/// account, book, tenant, asset, side, flags, floor, four totals, changed_at, last_seq, legs,
/// commit_id.
type LockedRow = (
    i64,
    i64,
    String,
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

/// An account, as its row of `ledger_balances` has it.
pub(crate) type AccountRow = (AccountId, Terms, Standing);

/// tenant, seq, book, id, leg, kind, debit, credit, amount, effective_on, expires_at, target, code,
/// reference, recorded_at.
type StoredRow = (
    String,
    i64,
    i64,
    Vec<u8>,
    i64,
    i64,
    i64,
    i64,
    Vec<u8>,
    Option<i64>,
    Option<i64>,
    Option<Vec<u8>>,
    String,
    String,
    i64,
);

/// Locks the accounts, in the order of their numbers, until the end of the transaction. Those that
/// do not exist are left out.
pub(crate) async fn lock_accounts(
    tx: &mut Tx,
    ids: &[AccountId],
) -> Result<Vec<AccountRow>, LedgerError> {
    let rows = match tx {
        Tx::Sqlite(tx) => sqlite::load_accounts(tx, &sorted(ids)).await?,
        Tx::Postgres(tx) => postgres::lock_accounts(tx, &sorted(ids)).await?,
    };
    rows.into_iter().map(account_row).collect()
}

/// The same without locks, for who is alone.
pub(crate) async fn load_accounts(
    tx: &mut Tx,
    ids: &[AccountId],
) -> Result<Vec<AccountRow>, LedgerError> {
    let rows = match tx {
        Tx::Sqlite(tx) => sqlite::load_accounts(tx, &sorted(ids)).await?,
        Tx::Postgres(tx) => postgres::load_accounts(tx, &sorted(ids)).await?,
    };
    rows.into_iter().map(account_row).collect()
}

fn sorted(ids: &[AccountId]) -> Vec<i64> {
    let mut numbers: Vec<i64> = ids.iter().map(|id| id.get()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

fn account_row(row: LockedRow) -> Result<AccountRow, LedgerError> {
    let terms = Terms {
        book: row.1,
        tenant: tenant(&row.2)?,
        asset: row.3,
        side: side(row.4)?,
        flags: row.5,
        floor: bytes::decode_floor(row.6.as_deref())?,
    };
    let standing = Standing {
        totals: totals([&row.7, &row.8, &row.9, &row.10])?,
        changed_at: row.11,
        last_seq: row.12,
        legs: row.13,
        commit: row.14,
    };
    Ok((AccountId::new(row.0), terms, standing))
}

/// Debits and credits posted, debits and credits pending.
pub(crate) fn totals(stored: [&[u8]; 4]) -> Result<crate::Totals, LedgerError> {
    let [debits_posted, credits_posted, debits_pending, credits_pending] = stored;
    Ok(crate::Totals {
        debits_posted: bytes::decode(debits_posted)?,
        credits_posted: bytes::decode(credits_posted)?,
        debits_pending: bytes::decode(debits_pending)?,
        credits_pending: bytes::decode(credits_pending)?,
    })
}

/// The stored transfers with these ids, by `seq`. An id may be asked for twice.
pub(crate) async fn stored(
    tx: &mut Tx,
    ids: &[(TenantId, TransferId)],
) -> Result<Vec<Row>, LedgerError> {
    let rows = match tx {
        Tx::Sqlite(tx) => sqlite::stored(tx, ids).await?,
        Tx::Postgres(tx) => postgres::stored(tx, ids).await?,
    };
    let mut rows = rows.into_iter().map(stored_row).collect::<Result<Vec<_>, _>>()?;
    rows.sort_unstable_by_key(|row| row.seq);
    rows.dedup_by_key(|row| row.seq);
    Ok(rows)
}

fn stored_row(row: StoredRow) -> Result<Row, LedgerError> {
    Ok(Row {
        tenant: tenant(&row.0)?,
        seq: row.1,
        book: row.2,
        id: transfer_id(&row.3)?,
        leg: row.4,
        kind: kind(row.5)?,
        debit: AccountId::new(row.6),
        credit: AccountId::new(row.7),
        amount: bytes::decode(&row.8)?,
        effective_on: row.9,
        expires_at: row.10,
        target: row.11.as_deref().map(transfer_id).transpose()?,
        code: row.12,
        reference: row.13,
        recorded_at: row.14,
        debit_after: None,
        credit_after: None,
        debit_link: None,
        credit_link: None,
    })
}

/// Which of these transfers were ended or reversed, and how.
pub(crate) async fn ended(
    tx: &mut Tx,
    ids: &[(TenantId, TransferId)],
) -> Result<Vec<(TenantId, TransferId, Kind)>, LedgerError> {
    let rows = match tx {
        Tx::Sqlite(tx) => sqlite::ended(tx, ids).await?,
        Tx::Postgres(tx) => postgres::ended(tx, ids).await?,
    };
    rows.into_iter()
        .map(|(tenant_text, target, number)| {
            Ok((tenant(&tenant_text)?, transfer_id(&target)?, kind(number)?))
        })
        .collect()
}

/// Who keeps the new totals and the marks of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeper {
    /// The rows of `ledger_balances` and `ledger_marks`.
    Balances,
    /// A row of `ledger_tail`, which the caller writes.
    Tail,
}

/// A commit that was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Commit {
    pub(crate) id: i64,
    /// The `seq` of its first row.
    pub(crate) first_seq: i64,
}

/// Decides everything, and writes it as a commit; `None` when there is nothing to write.
pub(crate) async fn write(
    tx: &mut Tx,
    decisions: &mut Decisions<'_>,
    keeper: Keeper,
) -> Result<Option<Commit>, LedgerError> {
    match tx {
        Tx::Sqlite(tx) => sqlite::write(tx, decisions, keeper).await,
        Tx::Postgres(tx) => postgres::write(tx, decisions.all(), keeper).await,
    }
}

/// A posting that locked its accounts is the newest of each.
fn all_updated(states: &[(AccountId, Standing)], updated: u64) -> Result<(), LedgerError> {
    let is_all = usize::try_from(updated).is_ok_and(|updated| updated == states.len());
    if is_all { Ok(()) } else { Err(LedgerError::damaged("a balance is newer than its account")) }
}

/// The `seq` of the first row of a commit.
fn first_seq(commit: i64) -> Result<i64, LedgerError> {
    let shift = 1_i64 << SEQ_BITS;
    commit.checked_mul(shift).ok_or_else(|| LedgerError::damaged("commit number"))
}

/// The marks that these rows make, in the order of the accounts.
pub(crate) fn marks(rows: &[Row], first_seq: i64) -> Vec<Mark> {
    let mut marks = Vec::new();
    for (seq, row) in (first_seq..).zip(rows) {
        for (account, link) in [(row.debit, row.debit_link), (row.credit, row.credit_link)] {
            if link.is_some_and(|link| is_marked(link.number)) {
                marks.push((account, seq));
            }
        }
    }
    marks.sort_unstable();
    marks
}

/// True for every leg of an account with a number that [`MARK_EVERY`] divides.
fn is_marked(number: i64) -> bool {
    usize::try_from(number).is_ok_and(|number| number.is_multiple_of(MARK_EVERY))
}

/// The rows that open a hold, and those that end one.
fn holds(rows: &[Row]) -> (Vec<&Row>, Vec<(i64, TransferId)>) {
    let first_legs = || rows.iter().filter(|row| row.leg == 0);
    let opened = first_legs().filter(|row| row.kind == Kind::Pending).collect();
    let is_end = |kind| matches!(kind, Kind::PostPending | Kind::VoidPending | Kind::ExpirePending);
    let ended = first_legs().filter(|row| is_end(row.kind));
    (opened, ended.filter_map(|row| Some((row.book, row.target?))).collect())
}

/// How many transfers there are of each tenant.
fn events(rows: &[Row]) -> BTreeMap<String, i64> {
    let mut counts: BTreeMap<TenantId, i64> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.leg == 0) {
        let count = counts.entry(row.tenant).or_default();
        *count = count.saturating_add(1);
    }
    counts.into_iter().map(|(tenant, count)| (tenant.to_string(), count)).collect()
}

pub(crate) fn tenant(text: &str) -> Result<TenantId, StoreError> {
    text.parse().map_err(|_| StoreError::Damaged("a tenant is not a UUID".to_owned()))
}

pub(crate) fn transfer_id(bytes: &[u8]) -> Result<TransferId, StoreError> {
    let id = Uuid::from_slice(bytes);
    id.map(TransferId::new).map_err(|_| StoreError::Damaged("an id is not 16 bytes".to_owned()))
}

pub(crate) fn kind(number: i64) -> Result<Kind, StoreError> {
    Kind::from_number(number).ok_or_else(|| StoreError::Damaged("unknown kind".to_owned()))
}

pub(crate) fn side(number: i64) -> Result<Side, StoreError> {
    match number {
        0 => Ok(Side::Debit),
        1 => Ok(Side::Credit),
        _ => Err(StoreError::Damaged("unknown side".to_owned())),
    }
}
