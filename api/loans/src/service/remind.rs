use api_ledger::TenantId;
use api_store::Tx;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use super::{Loans, ServiceError};
use crate::calendar::days_between;
use crate::loan::fold;
use crate::messages::{Letter, LetterFacts, Messages};
use crate::reminders::{Debtor, Decision, Profile, Reason, decide, dues};
use crate::repo;
use crate::{LoanError, Money};

/// How long after its decision a reminder may leave. A sender that is later drops it, and the next
/// decision looks at the balance again.
pub const SEND_WITHIN: SignedDuration = SignedDuration::from_secs(60);

/// A debtor and the profile by which reminders are decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// The debtor.
    pub debtor: Debtor,
    /// What is allowed.
    pub profile: Profile,
}

/// A recorded decision, to send or not to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reminder {
    /// Its id.
    pub id: Uuid,
    /// The loan.
    pub loan: Uuid,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// The last event of the loan that the decision knew of.
    pub head: u64,
    /// What was decided.
    pub decision: Decision,
    /// What was due, when something was.
    pub amount: Option<Money>,
    /// Since or on when.
    pub due: Option<Date>,
    /// The latest moment at which it may leave.
    pub send_before: Option<Timestamp>,
    /// What became of it, when it was sent: the gateway's answer or receipt.
    pub delivery: Option<String>,
}

/// When to decide again: a day later where nothing else is known.
fn wait(reminder: &Reminder) -> Timestamp {
    let tomorrow = reminder.decided_at.saturating_add(SignedDuration::from_hours(24));
    let tomorrow = tomorrow.unwrap_or(reminder.decided_at);
    match &reminder.decision {
        Decision::Suppress { retry_at: Some(at), .. } => (*at).min(tomorrow),
        _ => tomorrow,
    }
}

impl Loans {
    /// Stores what is known of a borrower of the tenant, and by which profile to remind.
    ///
    /// # Errors
    /// [`LoanError::Terms`] for an unusable profile, language or time zone.
    pub async fn set_contact(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        borrower: &str,
        contact: &Contact,
    ) -> Result<(), ServiceError> {
        contact.profile.check()?;
        TimeZone::get(&contact.debtor.zone).map_err(|_| LoanError::Terms("time zone"))?;
        if !crate::messages::LANGUAGES.contains(&contact.debtor.language.as_str()) {
            return Err(LoanError::Terms("language").into());
        }
        repo::put_contact(tx, tenant, borrower, contact, self.now().as_microsecond()).await
    }

    /// What is known of a borrower.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn contact(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        borrower: &str,
    ) -> Result<Option<Contact>, ServiceError> {
        repo::contact(tx, tenant, borrower).await
    }

    /// No reminders any more, on any channel, from this moment on. True when the borrower is known.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn opt_out(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        borrower: &str,
    ) -> Result<bool, ServiceError> {
        let Some(mut contact) = repo::lock_contact(tx, tenant, borrower).await? else {
            return Ok(false);
        };
        contact.debtor.opted_out = true;
        repo::put_contact(tx, tenant, borrower, &contact, self.now().as_microsecond()).await?;
        Ok(true)
    }

    /// Decides whether to remind the borrower of this loan now, and records the decision with its
    /// reason, in the caller's transaction. The loan's row is locked, as by a payment: a payment
    /// that is committed before this transaction is always seen, and one that comes while it runs
    /// waits for it. When the decision is to send, send right after the commit and before
    /// `send_before`.
    ///
    /// # Errors
    /// [`LoanError::UnknownLoan`].
    pub async fn remind(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        loan: Uuid,
    ) -> Result<Reminder, ServiceError> {
        let stored = self.lock(tx, tenant, loan).await?;
        let now = self.now();
        let contact = repo::lock_contact(tx, tenant, &stored.borrower).await?;
        let (decision, amount, due) = match contact {
            None => {
                (Decision::Suppress { reason: Reason::UnknownDebtor, retry_at: None }, None, None)
            }
            Some(contact) => {
                let zone = TimeZone::get(&contact.debtor.zone).unwrap_or(TimeZone::UTC);
                let events = repo::events(tx, tenant, loan).await?;
                // A payment may carry a day that has not begun yet where the debtor is.
                let known = events.iter().map(|event| event.effective).max();
                let today = now.to_zoned(zone).date();
                let today = known.map_or(today, |known| known.max(today));
                let dues = dues(loan, &fold(&stored.contract, &events, today)?)?;
                let sent = repo::sent_reminders(tx, tenant, &stored.borrower).await?;
                let decision =
                    decide(now, &contact.debtor, dues.as_ref(), &sent, &contact.profile)?;
                (decision, dues.as_ref().map(|dues| dues.amount), dues.map(|dues| dues.due))
            }
        };
        let sends = matches!(decision, Decision::Send { .. });
        let send_before = now.checked_add(SEND_WITHIN).ok().filter(|_| sends);
        let reminder = Reminder {
            id: Uuid::now_v7(),
            loan,
            decided_at: now,
            head: stored.head,
            decision,
            amount,
            due,
            send_before,
            delivery: None,
        };
        repo::insert_reminder(tx, tenant, &stored.borrower, &reminder, wait(&reminder)).await?;
        Ok(reminder)
    }

    /// Up to `limit` running loans of any tenant, by id after `after`, about which a decision is to be
    /// made: the last one was to wait until a time that has come, or there was none. A job calls
    /// [`Loans::remind`] for each, in a transaction of its own.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn loans_to_remind(
        &self,
        tx: &mut Tx,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<(TenantId, Uuid)>, ServiceError> {
        repo::loans_to_remind(tx, self.now().as_microsecond(), after, limit).await
    }

    /// The text of a reminder that is to be sent, in the borrower's language.
    ///
    /// # Errors
    /// [`LoanError::UnknownEvent`] when it is not to be sent; [`LoanError::UnknownLoan`].
    pub async fn letter(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        reminder: &Reminder,
    ) -> Result<Letter, ServiceError> {
        let stored = repo::loan(tx, tenant, reminder.loan).await?;
        let stored = stored.ok_or(LoanError::UnknownLoan(reminder.loan))?;
        let contact = repo::contact(tx, tenant, &stored.borrower).await?;
        let facts = reminder.amount.zip(reminder.due).zip(contact);
        let Decision::Send { template, .. } = &reminder.decision else {
            return Err(LoanError::UnknownEvent.into());
        };
        let Some(((amount, due), contact)) = facts else {
            return Err(LoanError::UnknownEvent.into());
        };
        let zone = TimeZone::get(&contact.debtor.zone).unwrap_or(TimeZone::UTC);
        let today = reminder.decided_at.to_zoned(zone).date();
        let facts = LetterFacts {
            loan: &reminder.loan.to_string(),
            amount,
            currency: &stored.contract.terms.currency,
            due,
            days: days_between(due, today),
        };
        Ok(Messages::new(&contact.debtor.language)?.letter(template, &facts)?)
    }

    /// Notes what became of a reminder that was sent.
    ///
    /// # Errors
    /// [`LoanError::UnknownEvent`] when the tenant has no such reminder to be sent.
    pub async fn note_delivery(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        reminder: Uuid,
        outcome: &str,
    ) -> Result<(), ServiceError> {
        let noted = repo::note_delivery(tx, tenant, reminder, outcome).await?;
        noted.then_some(()).ok_or_else(|| LoanError::UnknownEvent.into())
    }

    /// The decisions about a loan, sent and suppressed, the oldest first.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn reminders(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        loan: Uuid,
    ) -> Result<Vec<Reminder>, ServiceError> {
        repo::reminders(tx, tenant, loan).await
    }
}
