use std::collections::BTreeSet;

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
use crate::reminders::{Channel, Decision, Dues, Reason, decide, dues};
use crate::repo::{self, StoredLoan};
use crate::{LoanError, Money};

/// How long after its decision a reminder may leave. A sender that is later drops it, and the next
/// decision looks at the balance again.
pub const SEND_WITHIN: SignedDuration = SignedDuration::from_secs(60);

/// A recorded decision, to send or not to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reminder {
    /// Its id.
    pub id: Uuid,
    /// The loan.
    pub loan: Uuid,
    /// Who borrowed.
    pub borrower: String,
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
    /// Why it did not leave after all; it then counts for no cap and no rung.
    pub withdrawn: Option<Reason>,
}

/// A loan about which a decision is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueLoan {
    /// Since when, in microseconds since 1970; 0 when nothing was ever decided.
    pub since: i64,
    /// The loan.
    pub loan: Uuid,
}

/// What the look at the moment of sending finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// It may leave until `send_before`.
    Send {
        /// What it says now.
        letter: Letter,
        /// In which language.
        language: String,
        /// On which channel.
        channel: Channel,
        /// The latest moment at which it may leave.
        send_before: Timestamp,
    },
    /// It must not leave any more.
    Withdraw(Reason),
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

/// What [`Loans::judge`] finds.
struct Judgement {
    now: Timestamp,
    decision: Decision,
    dues: Option<Dues>,
    today: Option<Date>,
    language: Option<String>,
}

impl Loans {
    /// What is to be decided about a locked loan now, by all that is known.
    async fn judge(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        stored: &StoredLoan,
        usable: &BTreeSet<Channel>,
        but: Option<Uuid>,
    ) -> Result<Judgement, ServiceError> {
        let now = self.now_in(tx, tenant).await?;
        let contact = repo::lock_contact(tx, tenant, &stored.borrower).await?;
        let Some(mut contact) = contact else {
            let decision = Decision::Suppress { reason: Reason::UnknownDebtor, retry_at: None };
            return Ok(Judgement { now, decision, dues: None, today: None, language: None });
        };
        if let Some(own) = repo::profile(tx, tenant, &contact.profile.name).await? {
            contact.profile = own;
        }
        contact.debtor.consents.retain(|channel| usable.contains(channel));
        contact.debtor.holds.dispute |= repo::is_disputed(tx, tenant, stored.id).await?;
        let zone = TimeZone::get(&contact.debtor.zone).unwrap_or(TimeZone::UTC);
        let events = repo::events(tx, tenant, stored.id).await?;
        // A payment may carry a day that has not begun yet where the debtor is.
        let known = events.iter().map(|event| event.effective).max();
        let today = now.to_zoned(zone).date();
        let today = known.map_or(today, |known| known.max(today));
        let dues = dues(stored.id, &fold(&stored.contract, &events, today)?)?;
        let sent = repo::sent_reminders(tx, tenant, &stored.borrower, but).await?;
        let decision = decide(now, &contact.debtor, dues.as_ref(), &sent, &contact.profile)?;
        let language = Some(contact.debtor.language);
        Ok(Judgement { now, decision, dues, today: Some(today), language })
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
        self.remind_on(tx, tenant, loan, &Channel::ALL.into()).await
    }

    /// As [`Loans::remind`], on those channels alone that the lender can use now.
    ///
    /// # Errors
    /// [`LoanError::UnknownLoan`].
    pub async fn remind_on(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        loan: Uuid,
        usable: &BTreeSet<Channel>,
    ) -> Result<Reminder, ServiceError> {
        let stored = self.lock(tx, tenant, loan).await?;
        let Judgement { now, decision, dues, .. } =
            self.judge(tx, tenant, &stored, usable, None).await?;
        let sends = matches!(decision, Decision::Send { .. });
        let send_before = now.checked_add(SEND_WITHIN).ok().filter(|_| sends);
        let reminder = Reminder {
            id: Uuid::now_v7(),
            loan,
            borrower: stored.borrower,
            decided_at: now,
            head: stored.head,
            decision,
            amount: dues.as_ref().map(|dues| dues.amount),
            due: dues.map(|dues| dues.due),
            send_before,
            delivery: None,
            withdrawn: None,
        };
        repo::insert_reminder(tx, tenant, &reminder, wait(&reminder)).await?;
        Ok(reminder)
    }

    /// Looks again at the moment of sending, in a transaction that locks the loan's row as the
    /// decision did: a payment, an opt-out or a hold that is committed before is always seen. Sends
    /// only what would be decided again, word for word by today's figures, and extends
    /// `send_before`; everything else is to be withdrawn by [`Loans::withdraw`].
    ///
    /// # Errors
    /// [`LoanError::UnknownEvent`] when the tenant has no such reminder to be sent.
    pub async fn confirm(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        reminder: Uuid,
        usable: &BTreeSet<Channel>,
    ) -> Result<Confirmation, ServiceError> {
        let found = repo::reminder_to_send(tx, tenant, reminder).await?;
        let old = found.ok_or(LoanError::UnknownEvent)?;
        if let Some(reason) = old.withdrawn {
            return Ok(Confirmation::Withdraw(reason));
        }
        let Decision::Send { channel, template, rung_days } = old.decision else {
            return Err(LoanError::UnknownEvent.into());
        };
        let stored = self.lock(tx, tenant, old.loan).await?;
        let judged = self.judge(tx, tenant, &stored, usable, Some(reminder)).await?;
        match judged.decision {
            Decision::Suppress { reason, .. } => return Ok(Confirmation::Withdraw(reason)),
            Decision::Send { channel: on, rung_days: rung, .. }
                if (on, rung) != (channel, rung_days) =>
            {
                return Ok(Confirmation::Withdraw(Reason::Superseded));
            }
            Decision::Send { .. } => {}
        }
        let facts = judged.dues.zip(judged.today).zip(judged.language);
        let Some(((dues, today), language)) =
            facts.filter(|((dues, _), _)| Some(dues.due) == old.due)
        else {
            return Ok(Confirmation::Withdraw(Reason::Superseded));
        };
        let letter = Messages::new(&language)?.letter(
            &template,
            &LetterFacts {
                loan: &old.loan.to_string(),
                amount: dues.amount,
                currency: &stored.contract.terms.currency,
                due: dues.due,
                days: days_between(dues.due, today),
            },
        )?;
        let send_before = judged.now.checked_add(SEND_WITHIN).unwrap_or(judged.now);
        Ok(Confirmation::Send { letter, language, channel, send_before })
    }

    /// Notes that a reminder did not leave and why: it counts for no cap and no rung, and a new
    /// decision is made at once.
    ///
    /// # Errors
    /// [`LoanError::UnknownEvent`] when the tenant has no such reminder to be sent.
    pub async fn withdraw(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        reminder: Uuid,
        reason: Reason,
    ) -> Result<(), ServiceError> {
        let now = self.now_in(tx, tenant).await?.as_microsecond();
        let done = repo::withdraw_reminder(tx, tenant, reminder, reason, now).await?;
        done.then_some(()).ok_or_else(|| LoanError::UnknownEvent.into())
    }

    /// The decisions about a borrower, the newest first: up to `limit` that are older than the one
    /// with the id `before`.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn borrowers_reminders(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        borrower: &str,
        before: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<Reminder>, ServiceError> {
        repo::borrowers_reminders(tx, tenant, borrower, before, limit).await
    }

    /// Up to `limit` running loans of the tenant about which a decision is to be made by its business
    /// date, after `after`, those that wait longest first: the last decision was to wait until a time
    /// that has come, or there was none. A job calls [`Loans::remind`] for each, in a transaction of its
    /// own. Loans that wait are not read.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn loans_to_remind_of(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        after: Option<DueLoan>,
        limit: u32,
    ) -> Result<Vec<DueLoan>, ServiceError> {
        let now = self.now_in(tx, tenant).await?.as_microsecond();
        repo::loans_to_remind_of(tx, tenant, now, after, limit).await
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
