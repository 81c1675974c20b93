use api_ledger::{AccountId, TenantId};
use api_store::Tx;
use jiff::civil::Date;
use serde::Serialize;
use uuid::Uuid;

use super::append::Append;
use super::{Applied, Loans, ServiceError};
use crate::loan::{Allocation, Amounts, Body, Loan, RepaymentMode, Status, fold};
use crate::repo;
use crate::{LoanError, Money};

/// A payment of a borrower.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repay {
    /// The payment's id, made by the client: the same request with the same id is one payment.
    pub id: Uuid,
    /// The loan.
    pub loan: Uuid,
    /// Minor units.
    pub amount: Money,
    /// The currency of the amount; the loan's, or it is refused.
    pub currency: String,
    /// The day from which it counts; an earlier one than today is a backdated payment.
    pub effective: Date,
    /// What happens to money that nothing is due for.
    pub mode: RepaymentMode,
    /// The ledger account that pays: the borrower's fiat account, or the clearing account of a
    /// bank rail or of a quoted exchange from a chain asset.
    pub from: AccountId,
}

/// A payment and what it did.
#[derive(Clone, Debug, Serialize)]
pub struct Repayment {
    /// Its id.
    pub id: Uuid,
    /// Minor units.
    pub amount: Money,
    /// What it paid so far.
    pub allocations: Vec<Allocation>,
    /// What of it is held for instalments to come.
    pub held: Money,
    /// What is owed afterwards, by component.
    pub outstanding: Amounts,
    /// What the loan is afterwards.
    pub status: Status,
}

impl Repayment {
    fn of(loan: &Loan, id: Uuid, amount: Money) -> Result<Self, LoanError> {
        let allocations: Vec<Allocation> =
            loan.allocations().iter().filter(|part| part.event == id).cloned().collect();
        let allocated = Money::sum(allocations.iter().map(|part| part.amount))?;
        Ok(Self {
            id,
            amount,
            held: amount.minus(allocated)?,
            allocations,
            outstanding: loan.outstanding()?,
            status: loan.status()?,
        })
    }
}

impl Loans {
    /// Books a payment in the caller's transaction: moves the money, allocates it by the loan's
    /// waterfall, posts the difference.
    ///
    /// # Errors
    /// [`LoanError::UnknownLoan`], [`LoanError::CurrencyMismatch`],
    /// [`LoanError::BeforeDisbursement`], [`LoanError::AmountOutOfRange`], [`LoanError::IdReused`];
    /// [`ServiceError::Refused`] when the payer has not enough.
    pub async fn repay(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        request: &Repay,
    ) -> Result<(Applied, Repayment), ServiceError> {
        let mut stored = self.lock(tx, tenant, request.loan).await?;
        let currency = &stored.contract.terms.currency;
        if *currency != request.currency {
            let (expected, found) = (currency.clone(), request.currency.clone());
            return Err(LoanError::CurrencyMismatch { expected, found }.into());
        }
        let amount = request.amount.checked_input()?;
        let append = Append {
            id: request.id,
            effective: request.effective,
            body: Body::Repaid { amount, mode: request.mode },
            cash: Some((request.from, amount)),
        };
        let mut events = repo::events(tx, tenant, request.loan).await?;
        if self.earlier(tx, tenant, request.loan, &append).await? {
            let loan = fold(&stored.contract, &events, stored.posted_on)?;
            return Ok((Applied::AlreadyApplied, Repayment::of(&loan, request.id, amount)?));
        }
        let loan = self.append(tx, tenant, &mut stored, &mut events, append).await?;
        Ok((Applied::Executed, Repayment::of(&loan, request.id, amount)?))
    }

    /// Takes an event back: a bounced or mistaken payment (its money goes back to where it came
    /// from), a fee, a waiver, or the last restructuring. Everything since is folded again.
    ///
    /// # Errors
    /// [`LoanError::UnknownEvent`], [`LoanError::AlreadyReversed`], [`LoanError::NotReversible`],
    /// [`LoanError::IdReused`].
    pub async fn reverse(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        loan: Uuid,
        id: Uuid,
        event: Uuid,
        reason: &str,
    ) -> Result<Applied, ServiceError> {
        let mut stored = self.lock(tx, tenant, loan).await?;
        let target = repo::event(tx, tenant, event).await?.filter(|found| found.loan == loan);
        let target = target.ok_or(LoanError::UnknownEvent)?;
        let cash = match (&target.event.body, target.cash) {
            (Body::Repaid { amount, .. }, Some(account)) => {
                Some((account, Money::ZERO.minus(*amount)?))
            }
            _ => None,
        };
        let body = Body::Reversed { event, reason: reason.to_owned() };
        let effective = self.today_in(tx, tenant).await?.max(stored.contract.start);
        self.record(tx, tenant, &mut stored, Append { id, effective, body, cash }).await
    }

    /// Pays money held for the borrower back to `to`: what was paid too much.
    ///
    /// # Errors
    /// [`LoanError::RefundsTooMuch`].
    #[expect(clippy::too_many_arguments, reason = "an event's id, amount, account and reason")]
    pub async fn refund(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        loan: Uuid,
        id: Uuid,
        amount: Money,
        to: AccountId,
        reason: &str,
    ) -> Result<Applied, ServiceError> {
        let mut stored = self.lock(tx, tenant, loan).await?;
        let effective = self.today_in(tx, tenant).await?.max(stored.contract.start);
        let body = Body::Refunded { amount, reason: reason.to_owned() };
        let cash = Some((to, Money::ZERO.minus(amount)?));
        self.record(tx, tenant, &mut stored, Append { id, effective, body, cash }).await
    }

    /// Charges a fee outside the schedule.
    ///
    /// # Errors
    /// Those of [`crate::loan::check_append`].
    pub async fn charge_fee(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        loan: Uuid,
        id: Uuid,
        amount: Money,
        reason: &str,
    ) -> Result<Applied, ServiceError> {
        let body = Body::FeeCharged { amount, reason: reason.to_owned() };
        self.note(tx, tenant, loan, id, body).await
    }

    /// Forgives a part of what is due.
    ///
    /// # Errors
    /// [`LoanError::ForgivesTooMuch`], [`LoanError::Closed`].
    pub async fn waive(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        loan: Uuid,
        id: Uuid,
        amounts: Amounts,
        reason: &str,
    ) -> Result<Applied, ServiceError> {
        let body = Body::Waived { amounts, reason: reason.to_owned() };
        self.note(tx, tenant, loan, id, body).await
    }

    /// Writes the loan off. What is paid afterwards is a recovery.
    ///
    /// # Errors
    /// [`LoanError::Closed`].
    pub async fn charge_off(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        loan: Uuid,
        id: Uuid,
    ) -> Result<Applied, ServiceError> {
        self.note(tx, tenant, loan, id, Body::ChargedOff).await
    }

    /// Records an event without cash, today.
    async fn note(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        loan: Uuid,
        id: Uuid,
        body: Body,
    ) -> Result<Applied, ServiceError> {
        let mut stored = self.lock(tx, tenant, loan).await?;
        let effective = self.today_in(tx, tenant).await?.max(stored.contract.start);
        self.record(tx, tenant, &mut stored, Append { id, effective, body, cash: None }).await
    }

    pub(super) async fn record(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        stored: &mut repo::StoredLoan,
        mut append: Append,
    ) -> Result<Applied, ServiceError> {
        // The day is this call's own and not part of the request: a retry tomorrow is the same.
        if let Some(found) = repo::event(tx, tenant, append.id).await? {
            append.effective = found.event.effective;
        }
        if self.earlier(tx, tenant, stored.id, &append).await? {
            return Ok(Applied::AlreadyApplied);
        }
        let mut events = repo::events(tx, tenant, stored.id).await?;
        self.append(tx, tenant, stored, &mut events, append).await?;
        Ok(Applied::Executed)
    }
}
