use api_ledger::{TenantId, TransferId};
use api_store::Tx;
use jiff::civil::Date;
use serde::Serialize;
use uuid::Uuid;

use super::{Loans, ServiceError};
use crate::loan::{Allocation, Body, Event, Loan, Position, RepaymentMode, SettlementQuote, fold};
use crate::repo::{self, StoredLoan};
use crate::schedule::Schedule;
use crate::terms::Contract;
use crate::{LoanError, Money};

/// A stored loan with where it stands.
#[derive(Clone, Debug, Serialize)]
pub struct LoanRecord {
    /// Its id.
    pub id: Uuid,
    /// Its product.
    pub product: Uuid,
    /// Who borrowed.
    pub borrower: String,
    /// What was agreed.
    pub contract: Contract,
    /// The number of its last event.
    pub head: u64,
    /// Where it stands.
    pub position: Position,
}

/// A payment of a loan, as it counts now.
#[derive(Clone, Debug, Serialize)]
pub struct RepaymentRecord {
    /// Its id.
    pub id: Uuid,
    /// Its place among the loan's events.
    pub seq: u64,
    /// The day from which it counts.
    pub effective: Date,
    /// Minor units.
    pub amount: Money,
    /// What happened to money that nothing was due for.
    pub mode: RepaymentMode,
    /// True when it was taken back and does not count.
    pub reversed: bool,
    /// The ledger transfer that booked it.
    pub transfer: Option<TransferId>,
    /// What it paid, as far as counted now.
    pub allocations: Vec<Allocation>,
}

impl Loans {
    async fn stored(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        loan: Uuid,
    ) -> Result<(StoredLoan, Vec<Event>), ServiceError> {
        let stored = repo::loan(tx, tenant, loan).await?.ok_or(LoanError::UnknownLoan(loan))?;
        Ok((stored, repo::events(tx, tenant, loan).await?))
    }

    /// The loan folded up to `on`, or to its start when that is later.
    ///
    /// # Errors
    /// [`LoanError::UnknownLoan`].
    pub async fn fold(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        loan: Uuid,
        on: Date,
    ) -> Result<Loan, ServiceError> {
        let (stored, events) = self.stored(tx, tenant, loan).await?;
        Ok(fold(&stored.contract, &events, on.max(stored.contract.start))?)
    }

    /// The currency of the loan.
    ///
    /// # Errors
    /// [`LoanError::UnknownLoan`].
    pub async fn currency(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        loan: Uuid,
    ) -> Result<String, ServiceError> {
        let stored = repo::loan(tx, tenant, loan).await?.ok_or(LoanError::UnknownLoan(loan))?;
        Ok(stored.contract.terms.currency)
    }

    /// Who borrowed.
    ///
    /// # Errors
    /// [`LoanError::UnknownLoan`].
    pub async fn borrower(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        loan: Uuid,
    ) -> Result<String, ServiceError> {
        let stored = repo::loan(tx, tenant, loan).await?.ok_or(LoanError::UnknownLoan(loan))?;
        Ok(stored.borrower)
    }

    /// The loan and where it stands on `on`.
    ///
    /// # Errors
    /// As [`Loans::fold`].
    pub async fn loan(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        loan: Uuid,
        on: Date,
    ) -> Result<LoanRecord, ServiceError> {
        let (stored, events) = self.stored(tx, tenant, loan).await?;
        let on = on.max(stored.contract.start);
        let position = fold(&stored.contract, &events, on)?.position()?;
        Ok(LoanRecord {
            id: stored.id,
            product: stored.product,
            borrower: stored.borrower,
            contract: stored.contract,
            head: stored.head,
            position,
        })
    }

    /// The ids of a borrower's loans, the oldest first; at most `limit` after `after`.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn loans_of(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        borrower: &str,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<Uuid>, ServiceError> {
        repo::loans_of(tx, tenant, borrower, after, limit).await
    }

    /// The ids of the tenant's loans, at most `limit` after the id `after`, in the order of ids.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn loan_ids(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Uuid>, ServiceError> {
        repo::loan_ids(tx, tenant, after, limit).await
    }

    /// Whose loan this is, for a payment that names the loan alone. It is for the bank's rail: no
    /// tenant may be told of another's loans.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn tenant_of(
        &self,
        tx: &mut Tx,
        loan: Uuid,
    ) -> Result<Option<TenantId>, ServiceError> {
        repo::tenant_of(tx, loan).await
    }

    /// The schedule that was agreed. Where changes have led is in the loan's position.
    ///
    /// # Errors
    /// [`LoanError::UnknownLoan`].
    pub async fn schedule(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        loan: Uuid,
    ) -> Result<Schedule, ServiceError> {
        let (stored, _) = self.stored(tx, tenant, loan).await?;
        Ok(Schedule::build(&stored.contract)?)
    }

    /// The events of the loan in the order of recording.
    ///
    /// # Errors
    /// [`LoanError::UnknownLoan`].
    pub async fn events(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        loan: Uuid,
    ) -> Result<Vec<Event>, ServiceError> {
        Ok(self.stored(tx, tenant, loan).await?.1)
    }

    /// The payments of the loan in the order of recording, with what each paid.
    ///
    /// # Errors
    /// [`LoanError::UnknownLoan`].
    pub async fn repayments(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        loan: Uuid,
    ) -> Result<Vec<RepaymentRecord>, ServiceError> {
        let (stored, events) = self.stored(tx, tenant, loan).await?;
        let last = events.iter().map(|event| event.effective).max();
        let on = stored.posted_on.max(last.unwrap_or(stored.posted_on));
        let folded = fold(&stored.contract, &events, on)?;
        let transfers = repo::transfers(tx, tenant, loan).await?;
        let is_reversed = |id: Uuid| {
            let reverses =
                |event: &Event| matches!(event.body, Body::Reversed { event, .. } if event == id);
            events.iter().any(reverses)
        };
        let mut records = Vec::new();
        for event in &events {
            let Body::Repaid { amount, mode } = event.body else { continue };
            let allocations = folded.allocations().iter().filter(|part| part.event == event.id);
            records.push(RepaymentRecord {
                id: event.id,
                seq: event.seq,
                effective: event.effective,
                amount,
                mode,
                reversed: is_reversed(event.id),
                transfer: transfers.get(&event.seq).copied(),
                allocations: allocations.cloned().collect(),
            });
        }
        Ok(records)
    }

    /// What settles the loan on `on`.
    ///
    /// # Errors
    /// As [`Loans::fold`].
    pub async fn settlement_quote(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        loan: Uuid,
        on: Date,
    ) -> Result<SettlementQuote, ServiceError> {
        Ok(self.fold(tx, tenant, loan, on).await?.settlement_quote()?)
    }
}
