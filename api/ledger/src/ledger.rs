use std::fmt;
use std::sync::Arc;

use api_store::{Db, Engine, Tx};
use jiff::Timestamp;

use crate::posting::{ATTEMPTS_MAX, Ids, Posting, Results};
use crate::repo::History;
use crate::resident::{self, Resident};
use crate::transfer::{Action, Posted, Transfer};
use crate::{
    AccountId, CheckReport, LedgerError, PostError, Recorder, Refusal, StoredTransfer, TailOptions,
    TenantId, TransferId, check, repo,
};

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
