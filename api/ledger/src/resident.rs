//! Accounts in memory: what batches changed and `ledger_balances` does not have yet, and what batches
//! need again and again.
//!
//! Nothing here is the only copy. All of it is read from the database, or was just made durable; each
//! transaction first looks how far the database is and reads what is missing.

mod memory;

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api_store::Tx;

use self::memory::Memory;
pub(crate) use self::memory::Slice;
use crate::book::{AccountState, Standing, Terms};
use crate::outflows::Outflows;
use crate::posting::Ids;
use crate::repo::{self, Head, TailRow};
use crate::{AccountId, LedgerError};

/// Rows of the tail that are read at once.
const TAIL_PAGE: i64 = 64;
/// After so many commits of others, or changes of terms, all are read again instead of asking which.
const CHANGES_MAX: i64 = 1024;
/// How many accounts one statement folds.
const FOLD_CHUNK: usize = 1 << 16;

/// When batches keep what they changed in memory and in the tail, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TailOptions {
    /// From so many transfers on, a batch waits on PostgreSQL until it has all accounts for itself, and
    /// writes to the tail; a smaller one locks and writes just its accounts, beside others. On SQLite,
    /// which has one writer at a time, all are alone.
    pub alone_from: usize,
    /// From so many transfers on, a batch is alone when nobody else posts at the moment that it begins.
    pub alone_if_free_from: usize,
    /// The fewest changes of accounts in the tail that are worth folding into their rows.
    pub fold_from: usize,
    /// Folding begins when an account is in the tail so many times on average: each page is then
    /// written once for many changes.
    pub fold_ratio: usize,
    /// How many accounts are folded with one commit, at least.
    pub slice: usize,
    /// How many accounts may stay in memory, with about 150 bytes each.
    pub accounts: usize,
    /// A commit takes the ids of its transfers for new, as nearly all are, and is made a second time
    /// when one was not. After that, so many commits look all ids up first.
    pub wary: u32,
}

impl Default for TailOptions {
    fn default() -> Self {
        Self {
            alone_from: 256,
            alone_if_free_from: 16,
            fold_from: 1 << 18,
            fold_ratio: 16,
            slice: 256,
            accounts: 1_000_000,
            wary: 64,
        }
    }
}

/// All accounts that a transaction of the ledger's own needs, which keeps everybody else out.
#[derive(Debug)]
pub(crate) struct Alone {
    pub(crate) head: Head,
    pub(crate) accounts: Vec<AccountState>,
    /// Those of them that were read from `ledger_balances`.
    pub(crate) loaded: Vec<Loaded>,
}

/// An account as it is, and what it may do.
pub(crate) type Loaded = (AccountId, Arc<Terms>, Standing);

/// What a transaction of the ledger's own has written, for when it is durable.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) before: Head,
    pub(crate) loaded: Vec<Loaded>,
    pub(crate) row: TailRow,
    pub(crate) slice: Slice,
    pub(crate) clean: bool,
}

/// The whole tail as one transaction sees it, once it had to be read.
#[derive(Debug, Default)]
pub(crate) struct TailView(Option<HashMap<AccountId, Standing>>);

/// Shared by all clones of a ledger.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resident {
    memory: Arc<Mutex<Memory>>,
    legs_read: Arc<AtomicU64>,
}

impl Resident {
    pub(crate) fn new(options: TailOptions) -> Self {
        Self { memory: Arc::new(Mutex::new(Memory::new(options))), ..Self::default() }
    }

    pub(crate) fn options(&self) -> TailOptions {
        self.lock().options
    }

    /// How the next commit treats its ids.
    pub(crate) fn ids(&self) -> Ids {
        let mut memory = self.lock();
        let ids = if memory.wary == 0 { Ids::New } else { Ids::LookUp };
        memory.wary = memory.wary.saturating_sub(1);
        ids
    }

    /// An id that a commit took for new was stored already.
    pub(crate) fn met_known_id(&self) {
        let mut memory = self.lock();
        memory.wary = memory.options.wary;
    }

    /// Asks the outflows that are in memory, or adds to them.
    pub(crate) fn outflows<T>(&self, ask: impl FnOnce(&mut Outflows) -> T) -> T {
        ask(&mut self.lock().outflows)
    }

    /// Counts legs that were read to see what is used up of limits.
    pub(crate) fn has_read_legs(&self, count: usize) {
        self.legs_read.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn legs_read(&self) -> u64 {
        self.legs_read.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The accounts, for a transaction of the ledger's own that has written nothing, and that has
    /// [`repo::lock_alone`]: nobody else changes any account until it ends. Those that do not exist are left out. Nothing that is read here is
    /// kept before [`Resident::committed`], whose row of the tail says later that it was in this database.
    pub(crate) async fn alone(&self, tx: &mut Tx, ids: &[AccountId]) -> Result<Alone, LedgerError> {
        let head = self.head(tx).await?;
        self.lock().forget_if_ahead_of(head);
        self.read_tail(tx, head).await?;
        self.forget_touched(tx, head).await?;
        let (mut accounts, missing) = self.lock().accounts(ids);
        let mut loaded = Vec::new();
        if !missing.is_empty() {
            let rows = repo::load_accounts(tx, &missing).await?;
            let memory = self.lock();
            for (id, terms, standing) in rows {
                let standing =
                    memory.entries.get(&id).map_or(standing, |e| e.standing.newer(standing));
                let terms = memory.terms.get(&terms).cloned().unwrap_or_else(|| Arc::new(terms));
                accounts.push(AccountState::new(id, Arc::clone(&terms), standing));
                loaded.push((id, terms, standing));
            }
        }
        Ok(Alone { head, accounts, loaded })
    }

    /// The accounts, for a transaction of anybody: each is locked, and batches are kept out.
    pub(crate) async fn lock_shared(
        &self,
        tx: &mut Tx,
        ids: &[AccountId],
    ) -> Result<Vec<AccountState>, LedgerError> {
        repo::lock_shared(tx).await?;
        let head = self.head(tx).await?;
        self.lock().forget_if_ahead_of(head);
        let tail = self.overlay_of(tx, head, ids, &mut TailView::default()).await?;
        let mut accounts = repo::lock_accounts(tx, ids).await?;
        for (id, _, standing) in &mut accounts {
            *standing = tail.get(id).map_or(*standing, |newer| standing.newer(*newer));
        }
        Ok(accounts
            .into_iter()
            .map(|(id, terms, standing)| AccountState::new(id, Arc::new(terms), standing))
            .collect())
    }

    /// What the tail says of these accounts, as `tx` sees it. To be asked before `ledger_balances` is
    /// read: what is folded in between is then seen there. `view` is for this transaction alone.
    pub(crate) async fn overlay(
        &self,
        tx: &mut Tx,
        ids: &[AccountId],
        view: &mut TailView,
    ) -> Result<HashMap<AccountId, Standing>, LedgerError> {
        let head = if view.0.is_none() { self.head(tx).await? } else { Head::default() };
        self.overlay_of(tx, head, ids, view).await
    }

    async fn overlay_of(
        &self,
        tx: &mut Tx,
        head: Head,
        ids: &[AccountId],
        view: &mut TailView,
    ) -> Result<HashMap<AccountId, Standing>, LedgerError> {
        if view.0.is_none() {
            if head.tail == head.folded {
                return Ok(HashMap::new());
            }
            self.read_tail(tx, head).await?;
            if let Some(found) = self.lock().as_of(head, ids) {
                return Ok(found);
            }
            // This reader began before the last commits: what was then is in the database alone.
            view.0 = Some(whole_tail(tx, head).await?);
        }
        let tail = view.0.as_ref();
        let standing = |id: &AccountId| Some((*id, *tail?.get(id)?));
        Ok(ids.iter().filter_map(standing).collect())
    }

    /// How far the database is. Forgets everything when it is not the one that was read: it was restored,
    /// or another server took its place that had not got the last commits. All that is kept is from the
    /// last row of the tail that is known or from before it, so it is enough that this one is there.
    async fn head(&self, tx: &mut Tx) -> Result<Head, LedgerError> {
        let known = self.lock().head.tail;
        let (head, recorded) = repo::head(tx, known).await?;
        let mut memory = self.lock();
        if known == 0 || memory.head.tail != known {
            return Ok(head);
        }
        match (memory.tail_recorded, recorded) {
            (None, Some(_)) => memory.tail_recorded = recorded,
            (Some(known), Some(recorded)) if known != recorded => memory.forget(),
            // No later commit can be seen without it.
            (_, None) if head.commits > known => memory.forget(),
            _ => {}
        }
        Ok(head)
    }

    /// Reads the rows of the tail that are not here yet.
    async fn read_tail(&self, tx: &mut Tx, head: Head) -> Result<(), LedgerError> {
        self.lock().folded_by_another(head.folded);
        loop {
            let known = self.lock().head.tail;
            if known >= head.tail {
                return Ok(());
            }
            let page = repo::tail_after(tx, known.max(head.folded), TAIL_PAGE).await?;
            let mut memory = self.lock();
            if page.is_empty() {
                return Ok(());
            }
            if memory.head.tail == known {
                page.iter().for_each(|row| memory.add(row));
            }
        }
    }

    /// Has the terms read again of what others may have changed, who wrote to `ledger_balances`.
    async fn forget_touched(&self, tx: &mut Tx, head: Head) -> Result<(), LedgerError> {
        let known = self.lock().head;
        let commits = head.commits.saturating_sub(known.commits);
        let terms = head.terms.saturating_sub(known.terms);
        let few = 0..=CHANGES_MAX;
        let is_all = !few.contains(&commits) || !few.contains(&terms);
        let mut touched = Vec::new();
        if commits > 0 && !is_all {
            touched = repo::touched_after(tx, known.commits, head.folded).await?;
        }
        if terms > 0 && !is_all {
            touched.extend(repo::terms_after(tx, known.terms).await?);
        }
        let mut memory = self.lock();
        if is_all {
            memory.entries.values_mut().for_each(|entry| entry.terms = None);
        }
        for id in touched {
            if let Some(entry) = memory.entries.get_mut(&id) {
                entry.terms = None;
            }
        }
        Ok(())
    }

    /// The first `count` legs of the account within `seqs` that are marked in the tail alone.
    pub(crate) fn marks(
        &self,
        account: AccountId,
        seqs: RangeInclusive<i64>,
        count: usize,
    ) -> Vec<i64> {
        let range = (account, *seqs.start())..=(account, *seqs.end());
        self.lock().marks.range(range).take(count).map(|(_, seq)| *seq).collect()
    }

    /// The last `count` legs of the account before `seq` that are marked in the tail alone.
    pub(crate) fn marks_before(&self, account: AccountId, seq: i64, count: usize) -> Vec<i64> {
        let range = (account, i64::MIN)..(account, seq);
        self.lock().marks.range(range).rev().take(count).map(|(_, seq)| *seq).collect()
    }

    /// What a commit with so many states folds on the way.
    pub(crate) fn slice(&self, states: usize) -> Slice {
        self.lock().slice(states)
    }

    /// All that is left of a sweep, which begins when there is none.
    pub(crate) fn whole_slice(&self) -> Slice {
        let mut memory = self.lock();
        if memory.sweep.is_none() {
            memory.begin_sweep();
        }
        let mut slice = memory.slice(usize::MAX);
        slice.garbage = i64::MAX;
        slice
    }

    /// Takes over what is durable now, and what was read to make it: that is from before it. When a
    /// reader was faster and has seen what came after it, all is left to be read again.
    pub(crate) fn committed(&self, written: &Written) {
        let Written { before, loaded, row, .. } = written;
        let mut memory = self.lock();
        if memory.head.tail == before.tail && row.commit > before.tail {
            for (id, terms, standing) in loaded {
                memory.keep(*id, terms, *standing);
            }
            memory.add(row);
            memory.head.commits = row.commit;
            memory.head.terms = before.terms;
        }
        memory.folded(&written.slice);
        memory.clean |= written.clean;
        if memory.is_fold_worthwhile() {
            memory.begin_sweep();
        }
    }

    /// Takes over that `slice` is durable.
    pub(crate) fn folded(&self, slice: &Slice) {
        self.lock().folded(slice);
    }
}

async fn whole_tail(tx: &mut Tx, head: Head) -> Result<HashMap<AccountId, Standing>, LedgerError> {
    let mut found = HashMap::new();
    let mut commit = head.folded;
    loop {
        let page = repo::tail_after(tx, commit, TAIL_PAGE).await?;
        let Some(last) = page.last() else { return Ok(found) };
        commit = last.commit;
        found.extend(page.into_iter().flat_map(|row| row.states));
    }
}

/// Writes what `slice` holds; true when the tail has nothing more that is folded.
pub(crate) async fn fold(tx: &mut Tx, slice: &Slice) -> Result<bool, LedgerError> {
    for states in slice.states.chunks(FOLD_CHUNK) {
        repo::fold(tx, states).await?;
    }
    for marks in slice.marks.chunks(FOLD_CHUNK) {
        repo::fold_marks(tx, marks).await?;
    }
    if slice.is_last {
        repo::set_folded(tx, slice.upto).await?;
    }
    if slice.garbage == 0 {
        return Ok(false);
    }
    Ok(repo::remove_folded(tx, slice.garbage).await? < slice.garbage.unsigned_abs())
}

#[cfg(test)]
mod tests;
