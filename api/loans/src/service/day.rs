use std::collections::BTreeMap;

use api_ledger::{TenantId, Transfer, TransferId};
use api_store::{Db, Tx};
use jiff::civil::Date;
use uuid::Uuid;

use super::accounts::Accounts;
use super::append::runs;
use super::{Loans, ServiceError, day_number, day_of};
use crate::LoanError;
use crate::loan::{Books, fold};
use crate::repo::{self, DayRecord, DayUpdate, DueLoan};

/// What a run of the end of the day did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndOfDay {
    /// Loans that were brought up to the day.
    pub loans: u64,
    /// Ledger transfers that were posted.
    pub transfers: u64,
}

/// The books that several loans of a batch share, and what is to be posted to them.
struct Batch {
    difference: Books,
    loans: i64,
    first: String,
    last: String,
}

impl Loans {
    /// Brings every running loan of every tenant up to `day`, and those of a tenant with a business
    /// date of its own up to that: interest and penalty accrue, what
    /// falls due is billed and paid from held money, late fees are charged. In batches of
    /// `batch_loans`, each one database transaction with one ledger transfer per set of books.
    ///
    /// A loan remembers the day up to which it is posted, so that the run can stop anywhere, be
    /// repeated, and run on several servers at once without accruing twice.
    ///
    /// # Errors
    /// [`ServiceError`]; batches that were committed before stay.
    pub async fn end_of_day(
        &self,
        db: &Db,
        day: Date,
        batch_loans: u32,
    ) -> Result<EndOfDay, ServiceError> {
        let mut done = self.end_day(db, None, day, batch_loans).await?;
        let mut tx = db.read().await?;
        let own = repo::business_dates(&mut tx).await?;
        tx.rollback().await?;
        for (tenant, day) in own {
            let more = self.end_day(db, Some(tenant), day_of(day)?, batch_loans).await?;
            done.loans = done.loans.saturating_add(more.loans);
            done.transfers = done.transfers.saturating_add(more.transfers);
        }
        Ok(done)
    }

    /// As [`Loans::end_of_day`], for the loans of one tenant.
    ///
    /// # Errors
    /// [`ServiceError`]; batches that were committed before stay.
    pub async fn end_of_day_of(
        &self,
        db: &Db,
        tenant: TenantId,
        day: Date,
        batch_loans: u32,
    ) -> Result<EndOfDay, ServiceError> {
        self.end_day(db, Some(tenant), day, batch_loans).await
    }

    async fn end_day(
        &self,
        db: &Db,
        tenant: Option<TenantId>,
        day: Date,
        batch_loans: u32,
    ) -> Result<EndOfDay, ServiceError> {
        let mut done = EndOfDay::default();
        let mut after = String::new();
        loop {
            let mut tx = db.begin().await?;
            let due = repo::lock_due(&mut tx, tenant, day_number(day), &after, batch_loans).await?;
            let Some(last) = due.last().map(|loan| loan.id.clone()) else {
                tx.rollback().await?;
                return Ok(done);
            };
            let loans = u64::try_from(due.len()).map_err(|_| LoanError::Overflow)?;
            let transfers = self.run_batch(&mut tx, tenant, day, due).await?;
            tx.commit().await?;
            done.loans = done.loans.saturating_add(loans);
            done.transfers = done.transfers.saturating_add(transfers);
            after = last;
        }
    }

    /// The tenant's running loans by id, up to `limit` after `after`.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn running_loans(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<Uuid>, ServiceError> {
        repo::running_loans(tx, tenant, after, limit).await
    }

    /// The oldest day up to which a running loan of the tenant is posted; `None` without any.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn oldest_posted_day(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
    ) -> Result<Option<Date>, ServiceError> {
        let oldest = repo::oldest_day(tx, tenant).await?;
        Ok(oldest.map(day_of).transpose()?)
    }

    async fn run_batch(
        &self,
        tx: &mut Tx,
        tenant: Option<TenantId>,
        day: Date,
        due: Vec<DueLoan>,
    ) -> Result<u64, ServiceError> {
        let (Some(first), Some(last)) = (due.first(), due.last()) else { return Ok(0) };
        let mut events = repo::events_between(tx, tenant, &first.id, &last.id).await?;
        let mut batches: BTreeMap<(TenantId, Accounts), Batch> = BTreeMap::new();
        let mut updates = Vec::with_capacity(due.len());
        for loan in due {
            let own = events.remove(&loan.id).unwrap_or_default();
            let folded = fold(&loan.contract, &own, day)?;
            let books = folded.books()?;
            let difference = books.since(&loan.posted)?;
            updates.push(DayUpdate {
                posted: serde_json::to_string(&books).map_err(LoanError::Stored)?,
                running: runs(&folded)?,
                id: loan.id.clone(),
            });
            if !difference.is_empty() {
                let batch = batches.entry((loan.tenant, loan.accounts));
                batch.or_insert_with(|| Batch::new(&loan.id)).add(&loan.id, &difference)?;
            }
        }
        repo::update_days(tx, day_number(day), &updates).await?;
        let mut transfers = 0u64;
        for ((tenant, accounts), batch) in batches {
            transfers = transfers
                .saturating_add(self.post_batch(tx, tenant, &accounts, day, &batch).await?);
        }
        Ok(transfers)
    }

    async fn post_batch(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        accounts: &Accounts,
        day: Date,
        batch: &Batch,
    ) -> Result<u64, ServiceError> {
        let legs = accounts.legs(&batch.difference)?;
        if legs.is_empty() {
            return Ok(0);
        }
        let id = TransferId::generate();
        let transfer = Transfer::new(tenant, id, legs)
            .with_code("loan_end_of_day")
            .with_reference(&format!("loans:{day}:{}:{}", batch.first, batch.last))
            .with_effective_on(self.open_day(tx, tenant, day).await?);
        self.ledger.post_one_in(tx, &transfer).await?;
        let record = DayRecord {
            transfer: id,
            tenant,
            day: day_number(day),
            first: &batch.first,
            last: &batch.last,
            loans: batch.loans,
        };
        repo::insert_day(tx, &record, self.now().as_microsecond()).await?;
        Ok(1)
    }
}

impl Batch {
    fn new(first: &str) -> Self {
        let first = first.to_owned();
        Self { difference: Books::default(), loans: 0, last: first.clone(), first }
    }

    fn add(&mut self, loan: &str, difference: &Books) -> Result<(), LoanError> {
        self.difference = Books::from_totals(self.difference.totals().chain(difference.totals()))?;
        self.loans = self.loans.saturating_add(1);
        loan.clone_into(&mut self.last);
        Ok(())
    }
}
