use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use api_store::{Db, Engine, Tx};
use jiff::Timestamp;

use crate::account::{CLOSED, FROZEN};
use crate::book::Standing;
use crate::posting::{ATTEMPTS_MAX, Ids, Posting, Results};
use crate::repo::History;
use crate::resident::{self, Resident, TailView};
use crate::transfer::{Action, Posted, Transfer};
use crate::{
    Account, AccountId, Balance, CheckReport, Floor, LedgerError, NewAccount, PostError, Recorder,
    Refusal, StoredTransfer, TailOptions, TenantId, Totals, TransferId, VelocityLimit, check, repo,
};

const CODE_BYTES_MAX: usize = 256;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The ledger in a database. Cloning it is cheap.
#[derive(Clone)]
pub struct Ledger {
    db: Db,
    clock: Clock,
    recorder: Option<Arc<dyn Recorder>>,
    pub(crate) resident: Resident,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Ledger").field("db", &self.db).finish_non_exhaustive()
    }
}

/// The time at `micros` microseconds since 1970.
pub(crate) fn timestamp(micros: i64) -> Result<Timestamp, LedgerError> {
    Timestamp::from_microsecond(micros).map_err(|_| LedgerError::damaged("time out of range"))
}

impl Ledger {
    /// The ledger in `db`, by the system's clock.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self::with_clock(db, Arc::new(Timestamp::now))
    }

    /// The same by another clock.
    #[must_use]
    pub fn with_clock(db: Db, clock: Clock) -> Self {
        Self { db, clock, recorder: None, resident: Resident::default() }
    }

    /// The same, telling `recorder` of all that it commits itself.
    #[must_use]
    pub fn with_recorder(mut self, recorder: Arc<dyn Recorder>) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// The same with other options for the tail; forgets what is in memory.
    #[must_use]
    pub fn with_tail(mut self, options: TailOptions) -> Self {
        self.resident = Resident::new(options);
        self
    }

    /// The database.
    #[must_use]
    pub const fn db(&self) -> &Db {
        &self.db
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Opens the account, or finds it when it was opened before with the same properties.
    ///
    /// # Errors
    /// [`LedgerError::AccountConflict`] when it has another side, floor, history, owner or external
    /// id;
    /// [`LedgerError::AccountText`]; [`LedgerError::Store`].
    pub async fn open_account(
        &self,
        tx: &mut Tx,
        new: &NewAccount,
    ) -> Result<AccountId, LedgerError> {
        Ok(self.open_or_find_account(tx, new).await?.0)
    }

    /// The same, and whether it was opened now. Of two that open the same account at the same time one is
    /// told so.
    ///
    /// # Errors
    /// As [`Ledger::open_account`].
    pub async fn open_or_find_account(
        &self,
        tx: &mut Tx,
        new: &NewAccount,
    ) -> Result<(AccountId, bool), LedgerError> {
        let texts = [Some(&new.code), Some(&new.asset), new.external_id.as_ref()];
        if !texts.into_iter().flatten().all(|text| is_name(text)) {
            return Err(LedgerError::AccountText);
        }
        let now = self.now().as_microsecond();
        if let Some(id) = repo::insert_account(tx, new, now).await? {
            return Ok((id, true));
        }
        let found = self.find_account(tx, new.tenant, &new.code, &new.asset).await?;
        let conflict = || LedgerError::AccountConflict(new.code.clone());
        let (account, _) = found.ok_or_else(conflict)?;
        let same = account.side == new.side
            && account.floor == new.floor
            && account.history == new.history
            && account.for_clients == new.for_clients
            && account.external_id == new.external_id;
        if same { Ok((account.id, false)) } else { Err(conflict()) }
    }

    /// The account and its balance now.
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub async fn account(
        &self,
        tx: &mut Tx,
        id: AccountId,
    ) -> Result<Option<(Account, Balance)>, LedgerError> {
        Ok(self.balances(tx, &[id], &mut TailView::default()).await?.pop())
    }

    /// The account at this place in a tenant's chart, and its balance now.
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub async fn find_account(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        code: &str,
        asset: &str,
    ) -> Result<Option<(Account, Balance)>, LedgerError> {
        match repo::account_by_code(tx, tenant, code, asset).await? {
            Some(id) => self.account(tx, id).await,
            None => Ok(None),
        }
    }

    /// Up to `limit` accounts at `code` or below it (all for the empty code) with their balances,
    /// ordered by code and asset, after the code and asset in `after` (`("", "")` to begin).
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub async fn accounts(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        code: &str,
        after: (&str, &str),
        limit: u32,
    ) -> Result<Vec<(Account, Balance)>, LedgerError> {
        let ids = repo::accounts_under(tx, tenant, code, after, limit).await?;
        self.balances(tx, &ids, &mut TailView::default()).await
    }

    /// Up to `limit` of the tenant's accounts with this external id, the oldest first, after the account
    /// `after` (number 0 to begin).
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub async fn accounts_by_external_id(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        external_id: &str,
        after: AccountId,
        limit: u32,
    ) -> Result<Vec<(Account, Balance)>, LedgerError> {
        let ids = repo::accounts_by_external_id(tx, tenant, external_id, after, limit).await?;
        self.balances(tx, &ids, &mut TailView::default()).await
    }

    /// These accounts and their balances now, in the order of `ids`.
    pub(crate) async fn balances(
        &self,
        tx: &mut Tx,
        ids: &[AccountId],
        view: &mut TailView,
    ) -> Result<Vec<(Account, Balance)>, LedgerError> {
        let standings = self.standings(tx, ids, view).await?;
        let balance = |(account, standing): (Account, Standing)| {
            let side = account.side;
            (account, Balance { side, totals: standing.totals })
        };
        Ok(standings.into_iter().map(balance).collect())
    }

    async fn standings(
        &self,
        tx: &mut Tx,
        ids: &[AccountId],
        view: &mut TailView,
    ) -> Result<Vec<(Account, Standing)>, LedgerError> {
        let tail = self.resident.overlay(tx, ids, view).await?;
        let rows = repo::accounts(tx, ids).await?.into_iter();
        let mut found: HashMap<AccountId, (Account, Standing)> =
            rows.map(|row| (row.0.id, row)).collect();
        let newest = |id: &AccountId| {
            let (account, row) = found.remove(id)?;
            Some((account, tail.get(id).map_or(row, |newer| row.newer(*newer))))
        };
        Ok(ids.iter().filter_map(newest).collect())
    }

    pub(crate) async fn standing(
        &self,
        tx: &mut Tx,
        id: AccountId,
    ) -> Result<(Account, Standing), LedgerError> {
        let mut found = self.standings(tx, &[id], &mut TailView::default()).await?;
        found.pop().ok_or(LedgerError::UnknownAccount)
    }

    /// Refuses new movements on the account, or allows them again. Pending transfers can still be
    /// ended. False when it was so already.
    ///
    /// # Errors
    /// [`LedgerError::UnknownAccount`], [`LedgerError::Store`].
    pub async fn set_frozen(
        &self,
        tx: &mut Tx,
        id: AccountId,
        frozen: bool,
    ) -> Result<bool, LedgerError> {
        let (set, clear) = if frozen { (FROZEN, 0) } else { (0, FROZEN) };
        repo::change_flags(tx, id, set, clear).await
    }

    /// Closes an account that is empty, for ever. False when it was closed already.
    ///
    /// # Errors
    /// [`LedgerError::NotEmpty`], [`LedgerError::UnknownAccount`], [`LedgerError::Store`].
    pub async fn close_account(&self, tx: &mut Tx, id: AccountId) -> Result<bool, LedgerError> {
        let mut locked = self.resident.lock_shared(tx, &[id]).await?;
        let Totals { debits_posted, credits_posted, debits_pending, credits_pending } =
            locked.pop().ok_or(LedgerError::UnknownAccount)?.totals;
        if debits_posted != credits_posted || debits_pending != 0 || credits_pending != 0 {
            return Err(LedgerError::NotEmpty);
        }
        repo::change_flags(tx, id, CLOSED, 0).await
    }

    /// Sets how far down the account may go from now on. It may be below that already; then nothing
    /// more can leave it.
    ///
    /// # Errors
    /// [`LedgerError::UnknownAccount`], [`LedgerError::Store`].
    pub async fn set_floor(
        &self,
        tx: &mut Tx,
        id: AccountId,
        floor: Floor,
    ) -> Result<(), LedgerError> {
        repo::set_floor(tx, id, floor).await
    }

    /// Sets how much may leave the account within a window; one limit for each length of window.
    ///
    /// # Errors
    /// [`LedgerError::NoHistory`] when the account keeps none, [`LedgerError::UnknownAccount`],
    /// [`LedgerError::Store`].
    pub async fn set_limit(
        &self,
        tx: &mut Tx,
        id: AccountId,
        limit: &VelocityLimit,
    ) -> Result<(), LedgerError> {
        let (account, _) = self.standing(tx, id).await?;
        if !account.history {
            return Err(LedgerError::NoHistory);
        }
        repo::set_limit(tx, id, limit).await
    }

    /// The limits of an account.
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub async fn limits(
        &self,
        tx: &mut Tx,
        id: AccountId,
    ) -> Result<Vec<VelocityLimit>, LedgerError> {
        repo::limits(tx, id).await
    }

    /// How many legs were read so far, by this ledger and its clones, to see what is used up of limits:
    /// mostly those that came since the account's last posting, because the sums are in memory.
    #[must_use]
    pub fn legs_read_for_limits(&self) -> u64 {
        self.resident.legs_read()
    }

    /// Removes the limit for windows of this length.
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub async fn remove_limit(
        &self,
        tx: &mut Tx,
        id: AccountId,
        window_secs: u32,
    ) -> Result<(), LedgerError> {
        repo::remove_limit(tx, id, window_secs).await
    }

    /// Posts each transfer by itself, in the caller's transaction; each gets its own result.
    ///
    /// # Errors
    /// [`LedgerError::TooMany`]; [`LedgerError::Store`]: roll the transaction back.
    pub async fn post_in(
        &self,
        tx: &mut Tx,
        transfers: &[Transfer],
    ) -> Result<Results, LedgerError> {
        let groups: Vec<&[Transfer]> = transfers.chunks(1).collect();
        self.posting().post_groups_in(tx, &groups).await
    }

    /// Posts all transfers or none, in the caller's transaction.
    ///
    /// # Errors
    /// As [`Ledger::post_in`].
    pub async fn post_group_in(
        &self,
        tx: &mut Tx,
        transfers: &[Transfer],
    ) -> Result<Results, LedgerError> {
        self.posting().post_groups_in(tx, &[transfers]).await
    }

    /// Posts one transfer, in the caller's transaction.
    ///
    /// # Errors
    /// [`PostError::Refused`]: nothing was written, the transaction goes on.
    /// [`PostError::Ledger`]: roll the transaction back.
    pub async fn post_one_in(&self, tx: &mut Tx, transfer: &Transfer) -> Result<Posted, PostError> {
        only(self.post_in(tx, std::slice::from_ref(transfer)).await?)
    }

    /// Posts one transfer and makes it durable.
    ///
    /// # Errors
    /// [`PostError::Refused`]; [`PostError::Ledger`]: when it came from the commit the outcome is
    /// unknown until the same transfer is sent again.
    pub async fn post(&self, transfer: &Transfer) -> Result<Posted, PostError> {
        only(self.post_groups(&[std::slice::from_ref(transfer)]).await?)
    }

    /// Posts all transfers or none, and makes them durable.
    ///
    /// # Errors
    /// [`LedgerError::TooMany`], [`LedgerError::Store`].
    pub async fn post_group(&self, transfers: &[Transfer]) -> Result<Results, LedgerError> {
        self.post_groups(&[transfers]).await
    }

    /// Posts each transfer by itself, in one database transaction, and makes them durable.
    ///
    /// # Errors
    /// [`LedgerError::TooMany`], [`LedgerError::Store`].
    pub async fn post_batch(&self, transfers: &[Transfer]) -> Result<Results, LedgerError> {
        let groups: Vec<&[Transfer]> = transfers.chunks(1).collect();
        self.post_groups(&groups).await
    }

    pub(crate) async fn post_groups(&self, groups: &[&[Transfer]]) -> Result<Results, LedgerError> {
        let mut attempts = 0_u32;
        let mut ids = self.resident.ids();
        loop {
            attempts = attempts.saturating_add(1);
            let known = match self.post_groups_once(groups, ids).await {
                Ok(Some(results)) => return Ok(results),
                Ok(None) => true,
                Err(error) if attempts >= ATTEMPTS_MAX => return Err(error),
                Err(error) if error.is_unique_violation() => true,
                Err(error) if error.is_retryable() => false,
                Err(error) => return Err(error),
            };
            if known {
                self.resident.met_known_id();
            }
            ids = Ids::LookUp;
        }
    }

    /// `None`: nothing was done, because one of the ids is not [`Ids::New`].
    async fn post_groups_once(
        &self,
        groups: &[&[Transfer]],
        ids: Ids,
    ) -> Result<Option<Results>, LedgerError> {
        let mut tx = self.db.begin().await?;
        let posting = Posting { is_own: true, ..self.posting() };
        let transfers: usize = groups.iter().map(|group| group.len()).sum();
        if !self.is_alone(&mut tx, transfers).await? {
            let attempt = posting.attempt(&mut tx, groups, ids, self.recorder());
            let Some(results) = attempt.await? else {
                tx.rollback().await?;
                return Ok(None);
            };
            tx.commit().await?;
            return Ok(Some(results));
        }
        let attempt = posting.attempt_alone(&mut tx, groups, ids, self.recorder());
        let Some((results, written)) = attempt.await? else {
            tx.rollback().await?;
            return Ok(None);
        };
        tx.commit().await?;
        if let Some(written) = written {
            self.resident.committed(&written);
        }
        Ok(Some(results))
    }

    /// Whether the transaction has all accounts for itself.
    async fn is_alone(&self, tx: &mut Tx, transfers: usize) -> Result<bool, LedgerError> {
        let options = self.resident.options();
        if transfers >= options.alone_from {
            repo::lock_alone(tx).await?;
            return Ok(true);
        }
        let may_be = tx.engine() == Engine::Sqlite || transfers >= options.alone_if_free_from;
        Ok(may_be && repo::try_lock_alone(tx).await?)
    }

    fn posting(&self) -> Posting<'_> {
        Posting { resident: &self.resident, clock: &self.clock, is_own: false }
    }

    /// The history of an account whose last leg is `last_seq`.
    pub(crate) const fn history(&self, account: AccountId, last_seq: i64) -> History<'_> {
        History { account, last_seq, resident: &self.resident }
    }

    fn recorder(&self) -> Option<&dyn Recorder> {
        self.recorder.as_deref()
    }

    /// Brings `ledger_balances` up to date with all batches. The ledger does so by itself, a part with
    /// each batch, and never needs it; who reads that table with SQL of their own may.
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub async fn fold(&self) -> Result<(), LedgerError> {
        loop {
            let mut tx = self.db.begin().await?;
            repo::lock_alone(&mut tx).await?;
            let head = self.resident.alone(&mut tx, &[]).await?.head;
            if head.tail == head.folded {
                return Ok(tx.rollback().await?);
            }
            let slice = self.resident.whole_slice();
            resident::fold(&mut tx, &slice).await?;
            tx.commit().await?;
            self.resident.folded(&slice);
        }
    }

    /// What posting these transfers by themselves would answer now; writes nothing. The `seq` of
    /// those that would be accepted is only their position.
    ///
    /// # Errors
    /// As [`Ledger::post_batch`].
    pub async fn dry_run(&self, transfers: &[Transfer]) -> Result<Results, LedgerError> {
        let groups: Vec<&[Transfer]> = transfers.chunks(1).collect();
        self.dry_run_groups(&groups).await
    }

    /// What posting all of these transfers or none would answer now; writes nothing.
    ///
    /// # Errors
    /// As [`Ledger::post_group`].
    pub async fn dry_run_group(&self, transfers: &[Transfer]) -> Result<Results, LedgerError> {
        self.dry_run_groups(&[transfers]).await
    }

    async fn dry_run_groups(&self, groups: &[&[Transfer]]) -> Result<Results, LedgerError> {
        let mut tx = self.db.begin().await?;
        let results = self.posting().attempt_without_writing(&mut tx, groups).await?;
        tx.rollback().await?;
        Ok(results)
    }

    /// A stored transfer.
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub async fn transfer(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: TransferId,
    ) -> Result<Option<StoredTransfer>, LedgerError> {
        let rows = repo::stored(tx, &[(tenant, id)]).await?;
        StoredTransfer::from_rows(&rows)
    }

    /// Ends up to `limit` pending transfers whose time is over; returns how many. A job calls it
    /// until it returns zero; several may run at once.
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub async fn expire_pending(&self, limit: u32) -> Result<usize, LedgerError> {
        let mut tx = self.db.read().await?;
        let expired = repo::expired(&mut tx, self.now().as_microsecond(), limit).await?;
        tx.rollback().await?;
        let transfers: Vec<Transfer> =
            expired.into_iter().map(|(tenant, pending)| expire(tenant, pending)).collect();
        let results = self.post_batch(&transfers).await?;
        Ok(results.iter().filter(|result| result.is_ok()).count())
    }

    /// Recomputes everything from the transfers, apart from the posting code, and compares.
    ///
    /// # Errors
    /// [`LedgerError::Store`], also for rows that cannot be read.
    pub async fn check(&self, tx: &mut Tx) -> Result<CheckReport, LedgerError> {
        check::check(tx).await
    }
}

fn expire(tenant: TenantId, pending: TransferId) -> Transfer {
    let mut transfer = Transfer::void_pending(tenant, TransferId::generate(), pending);
    transfer.action = Action::ExpirePending { pending };
    transfer
}

fn only(mut results: Results) -> Result<Posted, PostError> {
    match results.pop() {
        Some(Ok(posted)) => Ok(posted),
        Some(Err(refusal)) => Err(refusal.into()),
        None => Err(PostError::Refused(Refusal::LegCount)),
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= CODE_BYTES_MAX && !text.chars().any(char::is_control)
}
