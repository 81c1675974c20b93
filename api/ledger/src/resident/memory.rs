//! What is kept in memory, and the pass that folds it: everything here is done at once, under a lock.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::TailOptions;
use crate::AccountId;
use crate::book::{AccountState, ByAccount, Standing, Terms};
use crate::outflows::Outflows;
use crate::repo::{self, Head, Mark, TailRow};

/// Rows of the tail that a commit removes, on average, once they are folded.
const GARBAGE_ROWS: i64 = 2;
/// How many are removed at once, by commits that wrote small rows.
const GARBAGE_ROWS_MAX: i64 = 32;
/// With so many states, a row is not small.
const LARGE_ROW: usize = 1024;
/// How many accounts are found in memory before the first of them is used: most are not in the processor's
/// cache, and it then waits for many at once.
const AT_ONCE: usize = 64;

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) standing: Standing,
    /// Absent when `ledger_balances` may know better: it is then read.
    pub(super) terms: Option<Arc<Terms>>,
}

/// A pass over the accounts of the tail, in their order, a slice with each commit.
#[derive(Clone, Debug)]
pub(super) struct Sweep {
    accounts: Vec<AccountId>,
    next: usize,
    /// The tail's end when it began: when it is through, all up to here is folded.
    upto: i64,
    /// States in the tail up to there.
    states: usize,
}

#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) options: TailOptions,
    pub(super) entries: ByAccount<Entry>,
    /// Most accounts have the same terms as many others.
    pub(super) terms: HashSet<Arc<Terms>>,
    /// Marks of the tail that `ledger_marks` may not have.
    pub(super) marks: BTreeSet<Mark>,
    /// How far what is here goes. A commit after `head.commits` may have changed an entry with terms,
    /// one after `head.tail` any; no entry is from after `head.tail`.
    pub(super) head: Head,
    /// When the commit `head.tail` was recorded: another time says that this is another past.
    pub(super) tail_recorded: Option<i64>,
    /// States in the tail after `head.folded`.
    states: usize,
    /// About how many accounts have one of them.
    unfolded: usize,
    pub(super) sweep: Option<Sweep>,
    /// All rows of the tail up to `head.folded` are removed.
    pub(super) clean: bool,
    /// How many of them are due to be removed.
    garbage: i64,
    /// How many more commits look all ids up.
    pub(super) wary: u32,
    pub(super) outflows: Outflows,
}

/// What a commit folds on the way.
#[derive(Debug, Default)]
pub(crate) struct Slice {
    pub(super) states: Vec<(AccountId, Standing)>,
    pub(super) marks: Vec<Mark>,
    /// Which sweep it is of.
    pub(super) upto: i64,
    end: usize,
    /// All up to `upto` is then folded.
    pub(super) is_last: bool,
    pub(super) garbage: i64,
}

impl Memory {
    pub(super) fn new(options: TailOptions) -> Self {
        Self { options, ..Self::default() }
    }

    pub(super) fn forget(&mut self) {
        *self = Self { wary: self.wary, ..Self::new(self.options) };
    }

    /// Forgets everything when the database has less than is here, which was durable once. For who keeps
    /// batches out: `head` is then the newest.
    pub(super) fn forget_if_ahead_of(&mut self, head: Head) {
        let known = self.head;
        let is_ahead = known.commits > head.commits
            || known.tail > head.tail
            || known.folded > head.folded
            || known.terms > head.terms;
        if is_ahead {
            self.forget();
        }
    }

    /// What is here of the accounts, in their order; of [`AT_ONCE`] before the first of them is used.
    fn look_up<'a>(
        &'a self,
        ids: &'a [AccountId],
    ) -> impl Iterator<Item = (AccountId, Option<&'a Entry>)> {
        ids.chunks(AT_ONCE).flat_map(|ids| {
            let entries: Vec<_> = ids.iter().map(|id| self.entries.get(id)).collect();
            ids.iter().copied().zip(entries)
        })
    }

    /// The accounts that are here, and those that must be read.
    pub(super) fn accounts(&self, ids: &[AccountId]) -> (Vec<AccountState>, Vec<AccountId>) {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let (mut found, mut missing) = (Vec::with_capacity(ids.len()), Vec::new());
        let state = |id, entry: &Entry| {
            Some(AccountState::new(id, Arc::clone(entry.terms.as_ref()?), entry.standing))
        };
        for (id, entry) in self.look_up(&ids) {
            match entry.and_then(|entry| state(id, entry)) {
                Some(state) => found.push(state),
                None => missing.push(id),
            }
        }
        (found, missing)
    }

    pub(super) fn keep(&mut self, id: AccountId, terms: &Arc<Terms>, standing: Standing) {
        let terms = self.shared(terms);
        let entry = self.entries.entry(id).or_insert(Entry { standing, terms: None });
        entry.standing = entry.standing.newer(standing);
        entry.terms = Some(terms);
    }

    fn shared(&mut self, terms: &Arc<Terms>) -> Arc<Terms> {
        if let Some(shared) = self.terms.get(terms) {
            return Arc::clone(shared);
        }
        self.terms.insert(Arc::clone(terms));
        Arc::clone(terms)
    }

    /// The accounts as a reader sees them for whom `head` is the newest; `None` when one has changed
    /// since.
    pub(super) fn as_of(
        &self,
        head: Head,
        ids: &[AccountId],
    ) -> Option<HashMap<AccountId, Standing>> {
        if self.head.folded > head.folded || self.head.tail < head.tail {
            return None;
        }
        let mut found = HashMap::with_capacity(ids.len());
        for id in ids {
            let Some(entry) = self.entries.get(id) else { continue };
            if entry.standing.commit > head.tail {
                return None;
            }
            found.insert(*id, entry.standing);
        }
        Some(found)
    }

    /// Adds a row of the tail: the one after `head.tail`.
    pub(super) fn add(&mut self, row: &TailRow) {
        let folded = self.head.folded;
        for states in row.states.chunks(AT_ONCE) {
            let is_unfolded = |(id, _): &&(AccountId, Standing)| {
                self.entries.get(id).is_some_and(|entry| entry.standing.commit > folded)
            };
            let unfolded = states.iter().filter(is_unfolded).count();
            self.unfolded = self.unfolded.saturating_add(states.len()).saturating_sub(unfolded);
            for (id, standing) in states {
                let entry = self.entries.entry(*id);
                let entry = entry.or_insert(Entry { standing: *standing, terms: None });
                entry.standing = entry.standing.newer(*standing);
            }
        }
        self.marks.extend(&row.marks);
        self.states = self.states.saturating_add(row.states.len());
        self.head.tail = row.commit;
        self.tail_recorded = Some(row.recorded_at);
    }

    pub(super) const fn is_fold_worthwhile(&self) -> bool {
        let TailOptions { fold_from, fold_ratio, accounts, .. } = self.options;
        let often =
            self.states >= fold_from && self.states >= self.unfolded.saturating_mul(fold_ratio);
        self.sweep.is_none() && (often || self.unfolded > accounts)
    }

    pub(super) fn begin_sweep(&mut self) {
        let folded = self.head.folded;
        let is_unfolded =
            |(id, entry): (&AccountId, &Entry)| (entry.standing.commit > folded).then_some(*id);
        let mut accounts: Vec<AccountId> = self.entries.iter().filter_map(is_unfolded).collect();
        accounts.sort_unstable();
        self.sweep = Some(Sweep { accounts, next: 0, upto: self.head.tail, states: self.states });
    }

    /// As much of the sweep as ends it before as many states again as it has to fold have come.
    pub(super) fn slice(&mut self, states: usize) -> Slice {
        let garbage = self.garbage(states);
        let Some(sweep) = &self.sweep else { return Slice { garbage, ..Slice::default() } };
        let share = states.saturating_mul(sweep.accounts.len()).saturating_mul(2);
        let length = share.checked_div(sweep.states).unwrap_or(usize::MAX).max(self.options.slice);
        let end = sweep.next.saturating_add(length).min(sweep.accounts.len());
        let accounts = sweep.accounts.get(sweep.next..end).unwrap_or_default();
        let standing = |(id, entry): (AccountId, Option<&Entry>)| Some((id, entry?.standing));
        let marks = accounts.first().zip(accounts.last()).map(|(first, last)| {
            self.marks.range((*first, i64::MIN)..=(*last, i64::MAX)).copied().collect()
        });
        Slice {
            states: self.look_up(accounts).filter_map(standing).collect(),
            marks: marks.unwrap_or_default(),
            upto: sweep.upto,
            end,
            is_last: end == sweep.accounts.len(),
            garbage,
        }
    }

    /// How many rows of the tail to remove with a commit that has so many states.
    fn garbage(&mut self, states: usize) -> i64 {
        if self.clean {
            return 0;
        }
        self.garbage = self.garbage.saturating_add(GARBAGE_ROWS);
        if states < LARGE_ROW && self.garbage < GARBAGE_ROWS_MAX {
            return 0;
        }
        std::mem::take(&mut self.garbage)
    }

    pub(super) fn folded(&mut self, slice: &Slice) {
        let Some(sweep) = self.sweep.as_mut().filter(|sweep| sweep.upto == slice.upto) else {
            return;
        };
        sweep.next = sweep.next.max(slice.end);
        for mark in &slice.marks {
            self.marks.remove(mark);
        }
        if slice.is_last {
            let states = self.states.saturating_sub(sweep.states);
            self.set_folded(slice.upto, states);
        }
    }

    pub(super) fn folded_by_another(&mut self, upto: i64) {
        if upto > self.head.folded {
            self.set_folded(upto, 0);
        }
    }

    fn set_folded(&mut self, upto: i64, states: usize) {
        self.sweep = None;
        self.clean = false;
        self.head.folded = upto;
        if self.head.tail < upto {
            self.head.tail = upto;
            self.tail_recorded = None;
        }
        self.states = states;
        self.marks.retain(|(_, seq)| seq >> repo::SEQ_BITS > upto);
        if self.entries.len() > self.options.accounts {
            self.entries.retain(|_, entry| entry.standing.commit > upto);
            self.terms.retain(|terms| Arc::strong_count(terms) > 1);
        }
        let unfolded = self.entries.values().filter(|entry| entry.standing.commit > upto);
        self.unfolded = unfolded.count();
    }
}
