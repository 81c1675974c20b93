//! The rules, without a database: what a request does to the accounts that were loaded for it.

mod account;
mod decisions;
mod plan;
mod row;

use std::collections::HashMap;
use std::ops::Range;

use crate::account::{FOR_CLIENTS, HISTORY};
use crate::balance::Totals;
use crate::transfer::{Kind, Transfer};
use crate::{AccountId, Refusal, Side, TenantId, TransferId};

pub(crate) use account::{AccountState, Link, Standing, Terms, Usage};
pub(crate) use decisions::Decisions;
pub(crate) use plan::Plan;
pub(crate) use row::{ChainLink, Row};

/// Microseconds of a day.
pub(crate) const DAY_MICROS: i64 = 86_400_000_000;

/// The days since 1970 on which `micros` falls.
pub(crate) const fn day_of(micros: i64) -> i64 {
    micros.div_euclid(DAY_MICROS)
}

type Key = (TenantId, TransferId);

/// Where the rows of a transfer are.
#[derive(Clone, Debug)]
enum Place {
    /// In the database before: rows of `Book::loaded`.
    Loaded(Range<usize>),
    /// Made by this posting: rows of `Book::rows`.
    New(Range<usize>),
}

/// Where an accepted transfer is: in the books before, or at this position of the new rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    Before {
        seq: i64,
        recorded_at: i64,
    },
    Now {
        position: usize,
    },
    /// A repetition within the same posting.
    Again {
        position: usize,
    },
}

/// For numbers that the database gave: no caller can choose them to collide.
pub(crate) type ByAccount<T> = HashMap<AccountId, T, foldhash::fast::RandomState>;

/// Everything that one posting knows and changes.
#[derive(Debug, Default)]
pub(crate) struct Book {
    now: i64,
    accounts: Vec<AccountState>,
    /// Where each account is in `accounts`.
    places: ByAccount<usize>,
    loaded: Vec<Row>,
    known: HashMap<Key, Place>,
    ended: HashMap<Key, Kind>,
    rows: Vec<Row>,
    undo: Vec<Undo>,
}

/// An account as it was.
#[derive(Debug)]
struct Saved {
    totals: Totals,
    changed_at: i64,
    changed: bool,
    usages: Vec<Usage>,
    last: Link,
    legs: i64,
}

#[derive(Debug)]
enum Undo {
    Account(usize, Saved),
    Known(Key),
    Ended(Key),
}

impl Book {
    /// It is `now`, in microseconds, or later when an account was changed later.
    pub(crate) fn pass_time_to(&mut self, now: i64) {
        self.now = self.now.max(now);
    }

    /// Adds the locked accounts; time does not run backwards along any of them.
    pub(crate) fn add_accounts(&mut self, accounts: Vec<AccountState>) {
        let changed_at = accounts.iter().map(|account| account.changed_at).max();
        self.now = self.now.max(changed_at.unwrap_or_default());
        let first = self.accounts.len();
        self.places.extend(accounts.iter().map(|account| account.id).zip(first..));
        self.accounts.extend(accounts);
    }

    /// Adds stored transfers: rows ordered by `seq`, so that the legs of one are together.
    pub(crate) fn add_stored(&mut self, rows: Vec<Row>) {
        for row in rows {
            let key = (row.tenant, row.id);
            let end = self.loaded.len();
            match self.known.get_mut(&key) {
                Some(Place::Loaded(range)) if range.end == end && is_next(&row, range) => {
                    range.end = end.saturating_add(1);
                }
                Some(_) => continue,
                None => {
                    self.known.insert(key, Place::Loaded(end..end.saturating_add(1)));
                }
            }
            self.loaded.push(row);
        }
    }

    /// Adds how transfers ended, or that they were reversed.
    pub(crate) fn add_ended(&mut self, ended: Vec<(TenantId, TransferId, Kind)>) {
        self.ended.extend(ended.into_iter().map(|(tenant, id, kind)| ((tenant, id), kind)));
    }

    /// The accounts that have velocity limits.
    pub(crate) fn limited_accounts(&mut self) -> Vec<&mut AccountState> {
        self.accounts.iter_mut().filter(|account| account.is_limited()).collect()
    }

    /// The accounts of the groups' legs, and of the transfers that they name.
    pub(crate) fn accounts_of(&self, groups: &[&[Transfer]]) -> Vec<AccountId> {
        let legs = groups.iter().flat_map(|group| group.iter()).flat_map(Transfer::legs);
        let named = self.loaded.iter().flat_map(|row| [row.debit, row.credit]);
        named.chain(legs.flat_map(|leg| [leg.debit, leg.credit])).collect()
    }

    /// The time of this posting, in microseconds.
    pub(crate) const fn now(&self) -> i64 {
        self.now
    }

    /// True when the rows of this transfer are here: they were loaded or made.
    pub(crate) fn knows(&self, key: &(TenantId, TransferId)) -> bool {
        self.known.contains_key(key)
    }

    /// The rows to write.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The accounts that changed as they are after the commit `commit`, whose first row has
    /// `first_seq`, in their order.
    pub(crate) fn standings(&self, commit: i64, first_seq: i64) -> Vec<(AccountId, Standing)> {
        let changed = self.accounts.iter().filter(|account| account.changed);
        let mut standings: Vec<_> =
            changed.map(|account| (account.id, account.standing(commit, first_seq))).collect();
        standings.sort_unstable_by_key(|(id, _)| *id);
        standings
    }

    /// Applies all of `group` or nothing. Each transfer gets its result; those that would have been
    /// accepted without the others are told which one was refused.
    pub(crate) fn apply_group(&mut self, group: &[Transfer]) -> Vec<Result<Applied, Refusal>> {
        let mark = (self.rows.len(), self.undo.len());
        let mut results = Vec::with_capacity(group.len());
        for transfer in group {
            let result = self.apply(transfer);
            let refused = result.is_err();
            results.push(result);
            if refused {
                break;
            }
        }
        if results.last().is_some_and(Result::is_err) {
            self.undo_to(mark);
            let at = results.len().saturating_sub(1);
            refuse_others(group, at, &mut results);
        } else {
            self.undo.clear();
        }
        results
    }

    fn apply(&mut self, transfer: &Transfer) -> Result<Applied, Refusal> {
        let key = (transfer.tenant, transfer.id);
        if let Some(place) = self.known.get(&key) {
            let applied = self.applied_before(place);
            return if plan::same_body(transfer, self.rows_at(place), self.target_rows(transfer)) {
                Ok(applied)
            } else {
                Err(Refusal::IdConflict)
            };
        }
        let plan = self.plan(transfer)?;
        let mark = (self.rows.len(), self.undo.len());
        self.execute(transfer, &plan).inspect_err(|_| self.undo_to(mark))?;
        self.undo.push(Undo::Known(key));
        self.known.insert(key, Place::New(mark.0..self.rows.len()));
        Ok(Applied::Now { position: mark.0 })
    }

    fn applied_before(&self, place: &Place) -> Applied {
        match place {
            Place::New(range) => Applied::Again { position: range.start },
            Place::Loaded(range) => {
                let row = self.loaded.get(range.start);
                let (seq, recorded_at) = row.map_or((0, 0), |row| (row.seq, row.recorded_at));
                Applied::Before { seq, recorded_at }
            }
        }
    }

    fn rows_at(&self, place: &Place) -> &[Row] {
        let rows = match place {
            Place::Loaded(range) => self.loaded.get(range.clone()),
            Place::New(range) => self.rows.get(range.clone()),
        };
        rows.unwrap_or_default()
    }

    fn target_rows(&self, transfer: &Transfer) -> &[Row] {
        let place = transfer.target().and_then(|id| self.known.get(&(transfer.tenant, id)));
        place.map(|place| self.rows_at(place)).unwrap_or_default()
    }

    fn execute(&mut self, transfer: &Transfer, plan: &Plan) -> Result<(), Refusal> {
        for (at, (number, leg)) in (0_i64..).zip(&plan.legs).enumerate() {
            let moved = self.move_leg(transfer, plan.kind, leg);
            let (book, debit, credit) =
                moved.map_err(|refusal| refusal.at_leg(at, plan.legs.len()))?;
            let mut row = Row::new(transfer, plan, leg, number, book, self.now);
            (row.debit_after, row.debit_link) = self.lengthen(debit);
            (row.credit_after, row.credit_link) = self.lengthen(credit);
            self.rows.push(row);
        }
        if let Some(target) = transfer.target() {
            self.undo.push(Undo::Ended((transfer.tenant, target)));
            self.ended.insert((transfer.tenant, target), plan.kind);
        }
        Ok(())
    }

    /// Adds the next row to the account's history, if it keeps one; returns its posted totals then, and
    /// where the row is in it.
    fn lengthen(&mut self, place: usize) -> (Option<(u128, u128)>, Option<ChainLink>) {
        let position = self.rows.len();
        let account = self.accounts.get_mut(place).filter(|account| account.has(HISTORY));
        let Some(account) = account else { return (None, None) };
        account.legs = account.legs.saturating_add(1);
        let prev = std::mem::replace(&mut account.last, Link::New(position));
        let after = (account.totals.debits_posted, account.totals.credits_posted);
        (Some(after), Some(ChainLink { prev, number: account.legs }))
    }

    /// Changes the two accounts of a leg; returns the number of their book, and their places.
    fn move_leg(
        &mut self,
        transfer: &Transfer,
        kind: Kind,
        leg: &plan::PlannedLeg,
    ) -> Result<(i64, usize, usize), Refusal> {
        let (debit_place, debit) = self.find(transfer.tenant, leg.debit)?;
        let (credit_place, credit) = self.find(transfer.tenant, leg.credit)?;
        if transfer.by_client && !(debit.has(FOR_CLIENTS) && credit.has(FOR_CLIENTS)) {
            return Err(Refusal::AccountManaged);
        }
        if debit.terms.asset != credit.terms.asset {
            return Err(Refusal::AssetMismatch);
        }
        if is_new(kind) {
            debit.accepts_new()?;
            credit.accepts_new()?;
        }
        let book = debit.terms.book;
        self.change(debit_place, transfer.id, kind, leg, Side::Debit)?;
        self.change(credit_place, transfer.id, kind, leg, Side::Credit)?;
        Ok((book, debit_place, credit_place))
    }

    fn find(&self, tenant: TenantId, id: AccountId) -> Result<(usize, &AccountState), Refusal> {
        let place = self.places.get(&id).copied();
        let found = place.and_then(|place| Some((place, self.accounts.get(place)?)));
        found.filter(|(_, found)| found.terms.tenant == tenant).ok_or(Refusal::UnknownAccount)
    }

    fn change(
        &mut self,
        place: usize,
        transfer: TransferId,
        kind: Kind,
        leg: &plan::PlannedLeg,
        entry: Side,
    ) -> Result<(), Refusal> {
        let is_new = is_new(kind);
        let now = self.now;
        let account = self.accounts.get_mut(place).ok_or(Refusal::UnknownAccount)?;
        let AccountState { totals, changed_at, changed, last, legs, .. } = *account;
        let usages = account.usages.clone();
        let saved = Saved { totals, changed_at, changed, usages, last, legs };
        self.undo.push(Undo::Account(place, saved));
        account.totals = plan::moved(&account.totals, kind, leg, entry)?;
        account.changed = true;
        account.changed_at = now;
        if !is_new || entry == account.terms.side {
            return Ok(());
        }
        if !account.covers_its_floor() {
            return Err(Refusal::InsufficientFunds);
        }
        account.usages.iter_mut().try_for_each(|usage| usage.add(transfer, leg.amount))
    }

    fn undo_to(&mut self, (rows, undo): (usize, usize)) {
        self.rows.truncate(rows);
        while self.undo.len() > undo {
            match self.undo.pop() {
                Some(Undo::Account(place, saved)) => {
                    if let Some(account) = self.accounts.get_mut(place) {
                        account.totals = saved.totals;
                        account.changed_at = saved.changed_at;
                        account.changed = saved.changed;
                        account.usages = saved.usages;
                        account.last = saved.last;
                        account.legs = saved.legs;
                    }
                }
                Some(Undo::Known(key)) => drop(self.known.remove(&key)),
                Some(Undo::Ended(key)) => drop(self.ended.remove(&key)),
                None => {}
            }
        }
    }
}

/// True when `row` is the leg after those in `range`, and not one of them read twice.
fn is_next(row: &Row, range: &Range<usize>) -> bool {
    usize::try_from(row.leg) == Ok(range.len())
}

/// True for what the accounts must allow; the others end what was allowed before.
const fn is_new(kind: Kind) -> bool {
    matches!(kind, Kind::Transfer | Kind::Pending | Kind::Reversal)
}

/// Tells all but the refused transfer which one was refused.
fn refuse_others(group: &[Transfer], at: usize, results: &mut Vec<Result<Applied, Refusal>>) {
    let Some(refused) = group.get(at) else { return };
    for result in results.iter_mut().take(at) {
        *result = Err(Refusal::GroupRefused(refused.id));
    }
    results.resize_with(group.len(), || Err(Refusal::GroupRefused(refused.id)));
}
