use api_ledger::{AccountId, TenantId, Transfer, TransferId};
use api_store::Tx;
use jiff::civil::Date;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::accounts::leg;
use super::{Loans, ServiceError, day_number};
use crate::calendar::next_day;
use crate::loan::{Body, Books, Event, Loan, check_append, fold};
use crate::repo::{self, StoredLoan};
use crate::{LoanError, Money};

/// Whether this call had the effect or an earlier one with the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// This one.
    Executed,
    /// An earlier one.
    AlreadyApplied,
}

/// An event to be recorded, and the money that moves with it.
pub(super) struct Append {
    pub(super) id: Uuid,
    pub(super) effective: Date,
    pub(super) body: Body,
    /// The account outside the loan books and what it pays; negative when it is paid.
    pub(super) cash: Option<(AccountId, Money)>,
}

impl Loans {
    /// Locks the loan of this tenant until the end of the transaction.
    pub(super) async fn lock(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        loan: Uuid,
    ) -> Result<StoredLoan, ServiceError> {
        let found = repo::lock_loan(tx, tenant, loan).await?;
        found.ok_or_else(|| LoanError::UnknownLoan(loan).into())
    }

    /// The event with this id, when it is this very one; another under the same id is refused.
    pub(super) async fn earlier(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        loan: Uuid,
        append: &Append,
    ) -> Result<bool, ServiceError> {
        let Some(found) = repo::event(tx, tenant, append.id).await? else { return Ok(false) };
        let cash = append.cash.map(|(account, _)| account);
        let same = found.loan == loan
            && found.event.body == append.body
            && found.event.effective == append.effective
            && found.cash == cash;
        same.then_some(true).ok_or_else(|| LoanError::IdReused.into())
    }

    /// Records an event of a locked loan: folds again, posts the difference and the cash in one
    /// transfer, stores the event. Returns the loan as it stands.
    pub(super) async fn append(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        stored: &mut StoredLoan,
        events: &mut Vec<Event>,
        append: Append,
    ) -> Result<Loan, ServiceError> {
        let today = next_day(self.today_in(tx, tenant).await?)?; // somewhere it is tomorrow already
        if append.effective > today {
            return Err(LoanError::Date("the event is in the future").into());
        }
        let seq = stored.head.checked_add(1).ok_or(LoanError::Overflow)?;
        let event = Event { id: append.id, seq, effective: append.effective, body: append.body };
        check_append(&stored.contract, events, &event)?;
        events.push(event.clone());
        let as_of = stored.posted_on.max(event.effective);
        let loan = fold(&stored.contract, events, as_of)?;
        let books = loan.books()?;
        let moved = books.since(&stored.posted)?;
        let transfer = self.post(tx, tenant, stored, &event, append.cash, &moved, as_of).await?;
        stored.head = seq;
        stored.posted = books;
        stored.posted_on = as_of;
        stored.running = runs(&loan)?;
        let now = self.now().as_microsecond();
        let cash = append.cash.map(|(account, _)| account);
        let row = repo::NewEvent { loan: stored.id, event: &event, cash, transfer, moved: &moved };
        repo::insert_event(tx, tenant, &row, now).await?;
        repo::update_loan(tx, tenant, stored).await?;
        Ok(loan)
    }

    #[expect(clippy::too_many_arguments, reason = "one private step of append")]
    async fn post(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        stored: &StoredLoan,
        event: &Event,
        cash: Option<(AccountId, Money)>,
        moved: &Books,
        as_of: Date,
    ) -> Result<Option<TransferId>, ServiceError> {
        let suspense = stored.accounts.suspense();
        let cash = cash.and_then(|(account, amount)| leg(account, suspense, amount));
        let mut legs: Vec<_> = cash.into_iter().collect();
        legs.extend(stored.accounts.legs(moved)?);
        if legs.is_empty() {
            return Ok(None);
        }
        let id = transfer_id(stored.id, event.seq);
        let transfer = Transfer::new(tenant, id, legs)
            .with_code(code(&event.body))
            .with_reference(&format!("loan:{}:{}", stored.id, event.seq))
            .with_effective_on(self.open_day(tx, tenant, as_of).await?);
        self.ledger.post_one_in(tx, &transfer).await?;
        Ok(Some(id))
    }

    /// `day`, or the first one after the closed books.
    pub(super) async fn open_day(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        day: Date,
    ) -> Result<Date, ServiceError> {
        let closed = repo::closed_through(tx, tenant).await?;
        let first = closed.map(super::day_of).transpose()?.map(next_day).transpose()?;
        Ok(first.map_or(day, |first| first.max(day)))
    }

    /// Closes the tenant's loan books up to and including `day`: what corrects an earlier day is
    /// posted to the first open one. It never goes back.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn close_books(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        day: Date,
    ) -> Result<(), ServiceError> {
        Ok(repo::close_through(tx, tenant, day_number(day)).await?)
    }
}

/// True while something accrues, falls due or may become late.
pub(super) fn runs(loan: &Loan) -> Result<bool, LoanError> {
    use crate::loan::Status;
    Ok(!matches!(loan.status()?, Status::Settled | Status::ChargedOff))
}

/// The transfer of an event: a reserved id from its name, so that no client can take it.
fn transfer_id(loan: Uuid, seq: u64) -> TransferId {
    let digest = Sha256::digest(format!("roadstead loan event {loan} {seq}"));
    let mut hash = [0; 12];
    hash.copy_from_slice(digest.get(..12).unwrap_or(&[0; 12]));
    TransferId::reserved(hash)
}

const fn code(body: &Body) -> &'static str {
    match body {
        Body::Disbursed => "loan_disbursement",
        Body::Repaid { .. } => "loan_repayment",
        Body::Refunded { .. } => "loan_refund",
        Body::FeeCharged { .. } => "loan_fee",
        Body::Waived { .. } => "loan_waiver",
        Body::Restructured { .. } => "loan_restructuring",
        Body::ChargedOff => "loan_charge_off",
        Body::Reversed { .. } => "loan_reversal",
    }
}
