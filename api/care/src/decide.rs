use std::collections::BTreeSet;

use api_audit::{Record, RecordId};
use api_ledger::TenantId;
use api_loans::reminders::{Channel, Decision};
use api_loans::{DueLoan, Reminder};
use api_store::Tx;
use uuid::Uuid;

use crate::day::now_ms;
use crate::outbox::{Queued, SendState, Sent};
use crate::repo::outbox;
use crate::{Care, CareError};

const PAGE: u32 = 200;

/// A decision as the tenant sees it.
#[derive(Clone, Debug)]
pub struct Decided {
    /// What was decided, when and why.
    pub reminder: Reminder,
    /// The audit record of the decision.
    pub record: Option<RecordId>,
    /// What became of the message.
    pub sent: Option<Sent>,
}

/// What a round of decisions did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decisions {
    /// Reminders to be sent.
    pub sends: u64,
    /// Reminders that were suppressed.
    pub suppressed: u64,
}

impl Care {
    /// Decides about every loan, of any tenant, about which it is time to decide. Each decision is a
    /// transaction of its own that locks the loan.
    ///
    /// # Errors
    /// [`CareError`]; decisions that were made before stay.
    pub async fn decide_due(&self) -> Result<Decisions, CareError> {
        let mut done = Decisions::default();
        for calendar in self.calendars().await? {
            self.decide_tenant(TenantId::new(calendar.tenant), &mut done).await?;
        }
        Ok(done)
    }

    async fn decide_tenant(&self, tenant: TenantId, done: &mut Decisions) -> Result<(), CareError> {
        let mut after = None;
        loop {
            let mut tx = self.db.read().await?;
            let page = self.loans.loans_to_remind_of(&mut tx, tenant, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(*last);
            let usable = self.usable(&mut tx, tenant).await?;
            drop(tx);
            for DueLoan { loan, .. } in page {
                match self.decide_one(tenant, loan, &usable).await {
                    Ok(reminder) => done.count(&reminder),
                    Err(error) if error.is_retryable() => return Err(error),
                    // One loan that cannot be decided about does not hold up the others.
                    Err(error) => {
                        metrics::counter!("roadstead_alarms_total", "alarm" => "decision_failed")
                            .increment(1);
                        tracing::error!(%loan, %error, "no decision about a reminder");
                    }
                }
            }
        }
    }

    /// Decides about one loan now: the decision, its audit record and, to send, its place in the
    /// outbox are one transaction, which locks the loan as a payment does.
    ///
    /// # Errors
    /// [`CareError`].
    pub async fn decide_one(
        &self,
        tenant: TenantId,
        loan: Uuid,
        usable: &BTreeSet<Channel>,
    ) -> Result<Reminder, CareError> {
        let mut tx = self.db.begin().await?;
        let reminder = self.loans.remind_on(&mut tx, tenant, loan, usable).await?;
        self.record_decision(&mut tx, tenant, &reminder).await?;
        if let Decision::Send { channel, .. } = &reminder.decision {
            let customer = reminder.borrower.parse();
            let row = Queued {
                id: reminder.id,
                tenant,
                customer: customer.map_err(|_| CareError::Damaged("a borrower's id"))?,
                loan,
                channel: *channel,
                state: SendState::Queued,
                attempts: 0,
            };
            outbox::insert(&mut tx, &row, self.now_ms()).await?;
        }
        tx.commit().await?;
        let outcome = match &reminder.decision {
            Decision::Send { .. } => "send",
            Decision::Suppress { reason, .. } => reason.text(),
        };
        metrics::counter!("roadstead_reminder_decisions_total", "outcome" => outcome).increment(1);
        Ok(reminder)
    }

    async fn record_decision(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        reminder: &Reminder,
    ) -> Result<(), CareError> {
        let record = Record::new("reminder.decided", now_ms())
            .external_id(tenant.get().to_string(), decision_id(reminder.id))
            .stream(format!("care:{}", reminder.loan))
            .field("reminder", reminder.id.to_string())
            .field("loan", reminder.loan.to_string())
            .field("decided_at", reminder.decided_at.to_string())
            .field("head", reminder.head.to_string());
        let record = match &reminder.decision {
            Decision::Send { channel, template, rung_days } => record
                .field("decision", "send")
                .field("channel", channel.text())
                .field("template", template)
                .field("rung_days", rung_days.to_string()),
            Decision::Suppress { reason, retry_at } => record
                .field("decision", "suppress")
                .field("reason", reason.text())
                .field("retry_at", retry_at.map_or_else(String::new, |at| at.to_string())),
        };
        self.audit.append_in(tx, &record).await?;
        Ok(())
    }

    /// The decisions about a customer, the newest first: up to `limit` that are older than the one
    /// with the id `before`.
    ///
    /// # Errors
    /// [`CareError::Store`].
    pub async fn decisions(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        customer: Uuid,
        before: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<Decided>, CareError> {
        let borrower = customer.to_string();
        let reminders =
            self.loans.borrowers_reminders(tx, tenant, &borrower, before, limit).await?;
        let owner = tenant.get().to_string();
        let mut all = Vec::with_capacity(reminders.len());
        for reminder in reminders {
            let record = self.audit.find(tx, &owner, &decision_id(reminder.id)).await?;
            let sent = outbox::sent(tx, tenant, reminder.id).await?;
            all.push(Decided { reminder, record, sent });
        }
        Ok(all)
    }
}

/// The external id of a decision's audit record.
fn decision_id(reminder: Uuid) -> String {
    format!("reminder:{reminder}")
}

impl Decisions {
    fn count(&mut self, reminder: &Reminder) {
        match reminder.decision {
            Decision::Send { .. } => self.sends = self.sends.saturating_add(1),
            Decision::Suppress { .. } => self.suppressed = self.suppressed.saturating_add(1),
        }
    }
}
