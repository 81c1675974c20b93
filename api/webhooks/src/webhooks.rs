use api_ledger::{Clock, Event, Ledger, TenantId};
use api_store::Tx;
use serde_json::json;
use uuid::Uuid;

use crate::repo::{self, DeadLetter, Due, Endpoint};
use crate::retry::wait_secs;
use crate::{Secret, SendError, Sender, WebhookError};

const LEASE_SECS: i64 = 300;
const POLL_SECS: i64 = 1;
/// At most this many messages to one receiver in one go: 10 seconds each stay within the lease.
const MESSAGES_MAX: u32 = 25;
const REPLAY_MAX: i64 = 10_000;
const GONE: u16 = 410;

/// What a round of deliveries did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Report {
    /// Messages that were taken.
    pub delivered: u32,
    /// Attempts that failed and will be repeated.
    pub failed: u32,
    /// Events that were given up.
    pub dead: u32,
}

/// The receivers of all tenants.
#[derive(Clone)]
pub struct Webhooks {
    ledger: Ledger,
    sender: Sender,
    clock: Clock,
}

impl std::fmt::Debug for Webhooks {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Webhooks").field("sender", &self.sender).finish_non_exhaustive()
    }
}

impl Webhooks {
    /// Of the events of `ledger`.
    #[must_use]
    pub const fn new(ledger: Ledger, sender: Sender, clock: Clock) -> Self {
        Self { ledger, sender, clock }
    }

    fn now(&self) -> i64 {
        (self.clock)().as_second()
    }

    /// Registers a receiver of the events after the place `after`. The secret is shown once.
    ///
    /// # Errors
    /// [`WebhookError::Url`] for a URL that may not be called; [`WebhookError::Store`].
    pub async fn create(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        url: &str,
        after: i64,
    ) -> Result<(Uuid, Secret), WebhookError> {
        self.sender.check_url(url)?;
        let secret = Secret::generate().ok_or(SendError::Client)?;
        let id = Uuid::now_v7();
        repo::insert(tx, tenant, (id, url), &secret, after.max(0), self.now()).await?;
        Ok((id, secret))
    }

    /// The tenant's receivers.
    ///
    /// # Errors
    /// [`WebhookError::Store`].
    pub async fn list(&self, tx: &mut Tx, tenant: TenantId) -> Result<Vec<Endpoint>, WebhookError> {
        Ok(repo::list(tx, tenant).await?)
    }

    /// Gives the receiver a new secret; the old one signs too until it is dropped.
    ///
    /// # Errors
    /// [`WebhookError::UnknownEndpoint`], [`WebhookError::Store`].
    pub async fn rotate_secret(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: Uuid,
    ) -> Result<Secret, WebhookError> {
        known(tx, tenant, id).await?;
        let secret = Secret::generate().ok_or(SendError::Client)?;
        repo::rotate(tx, id, &secret).await?;
        Ok(secret)
    }

    /// Ends the use of the old secret.
    ///
    /// # Errors
    /// [`WebhookError::UnknownEndpoint`], [`WebhookError::Store`].
    pub async fn drop_old_secret(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: Uuid,
    ) -> Result<(), WebhookError> {
        known(tx, tenant, id).await?;
        Ok(repo::drop_old_secret(tx, id).await?)
    }

    /// Switches the receiver on or off. What happens while it is off is sent later.
    ///
    /// # Errors
    /// [`WebhookError::UnknownEndpoint`], [`WebhookError::Store`].
    pub async fn set_enabled(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: Uuid,
        enabled: bool,
    ) -> Result<(), WebhookError> {
        known(tx, tenant, id).await?;
        Ok(repo::set_enabled(tx, &id.to_string(), enabled, self.now()).await?)
    }

    /// Up to `limit` events that were given up.
    ///
    /// # Errors
    /// [`WebhookError::UnknownEndpoint`], [`WebhookError::Store`].
    pub async fn dead_letters(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: Uuid,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, WebhookError> {
        known(tx, tenant, id).await?;
        Ok(repo::dead_letters(tx, id, limit).await?)
    }

    /// Sends the events from `first` to `last` again, beside the stream.
    ///
    /// # Errors
    /// [`WebhookError::Range`], [`WebhookError::UnknownEndpoint`], [`WebhookError::Store`].
    pub async fn replay(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: Uuid,
        first: i64,
        last: i64,
    ) -> Result<(), WebhookError> {
        known(tx, tenant, id).await?;
        if first < 1 || last < first || last.saturating_sub(first) >= REPLAY_MAX {
            return Err(WebhookError::Range);
        }
        for sequence in first..=last {
            repo::insert_replay(tx, id, sequence, self.now()).await?;
        }
        Ok(())
    }

    /// Sends what is due to up to `limit` receivers, each in its order.
    ///
    /// # Errors
    /// [`WebhookError::Store`], [`WebhookError::Ledger`]; failures of receivers are no errors.
    pub async fn deliver_due(&self, limit: u32) -> Result<Report, WebhookError> {
        let mut tx = self.ledger.db().begin().await?;
        let now = self.now();
        let claimed = repo::claim(&mut tx, now, now.saturating_add(LEASE_SECS), limit).await?;
        tx.commit().await?;
        let mut report = Report::default();
        for due in claimed {
            self.deliver(due, &mut report).await?;
        }
        Ok(report)
    }

    async fn deliver(&self, mut due: Due, report: &mut Report) -> Result<(), WebhookError> {
        self.deliver_replays(&due, report).await?;
        let events = self.events(due.tenant, due.last_sequence, MESSAGES_MAX).await?;
        for event in &events {
            match self.send(&due, event).await {
                Ok(()) => {
                    report.delivered = report.delivered.saturating_add(1);
                    due.last_sequence = event.sequence;
                    due.attempts = 0;
                    // Saved after each, so that a crash repeats one message and not many.
                    let lease_end = self.now().saturating_add(LEASE_SECS);
                    self.save(&due, lease_end, None).await?;
                }
                Err(error) => return self.failed(due, event.sequence, &error, report).await,
            }
        }
        let idle = if events.is_empty() { POLL_SECS } else { 0 };
        self.save(&due, self.now().saturating_add(idle), None).await
    }

    async fn events(
        &self,
        tenant: TenantId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Event>, WebhookError> {
        let mut tx = self.ledger.db().read().await?;
        let events = self.ledger.events(&mut tx, tenant, after, limit).await?;
        tx.rollback().await?;
        Ok(events)
    }

    /// The stream stands still until the attempt after a wait; after the last attempt the event is
    /// a dead letter, and the stream goes on.
    async fn failed(
        &self,
        mut due: Due,
        sequence: i64,
        error: &SendError,
        report: &mut Report,
    ) -> Result<(), WebhookError> {
        let (now, reason) = (self.now(), error.to_string());
        due.attempts = due.attempts.saturating_add(1);
        let mut tx = self.ledger.db().begin().await?;
        let mut next_at = now;
        if let Some(wait) = wait_secs(due.attempts) {
            report.failed = report.failed.saturating_add(1);
            next_at = now.saturating_add(wait);
        } else {
            report.dead = report.dead.saturating_add(1);
            let letter =
                DeadLetter { sequence, attempts: due.attempts, last_error: reason.clone() };
            repo::insert_dead_letter(&mut tx, &due.id, &letter, now).await?;
            due.last_sequence = sequence;
            due.attempts = 0;
        }
        repo::save_progress(&mut tx, &due, next_at, Some(&reason)).await?;
        if *error == SendError::Status(GONE) {
            repo::set_enabled(&mut tx, &due.id, false, now).await?;
        }
        Ok(tx.commit().await?)
    }

    async fn deliver_replays(&self, due: &Due, report: &mut Report) -> Result<(), WebhookError> {
        let mut tx = self.ledger.db().read().await?;
        let replays = repo::due_replays(&mut tx, &due.id, self.now(), MESSAGES_MAX).await?;
        tx.rollback().await?;
        for (sequence, attempts) in replays {
            self.deliver_replay(due, sequence, attempts, report).await?;
        }
        Ok(())
    }

    async fn deliver_replay(
        &self,
        due: &Due,
        sequence: i64,
        attempts: i64,
        report: &mut Report,
    ) -> Result<(), WebhookError> {
        let events = self.events(due.tenant, sequence.saturating_sub(1), 1).await?;
        let result = match events.first() {
            Some(event) if event.sequence == sequence => self.send(due, event).await,
            // A place that does not exist yet is of no use here: the stream will bring it.
            _ => Ok(()),
        };
        let (now, attempts) = (self.now(), attempts.saturating_add(1));
        let mut tx = self.ledger.db().begin().await?;
        match (result, wait_secs(attempts)) {
            (Ok(()), _) => {
                report.delivered = report.delivered.saturating_add(1);
                repo::remove_replay(&mut tx, &due.id, sequence, true).await?;
            }
            (Err(_), Some(wait)) => {
                report.failed = report.failed.saturating_add(1);
                let next_at = now.saturating_add(wait);
                repo::delay_replay(&mut tx, &due.id, sequence, attempts, next_at).await?;
            }
            (Err(error), None) => {
                report.dead = report.dead.saturating_add(1);
                let letter = DeadLetter { sequence, attempts, last_error: error.to_string() };
                repo::insert_dead_letter(&mut tx, &due.id, &letter, now).await?;
                repo::remove_replay(&mut tx, &due.id, sequence, false).await?;
            }
        }
        Ok(tx.commit().await?)
    }

    async fn save(&self, due: &Due, next_at: i64, error: Option<&str>) -> Result<(), WebhookError> {
        let mut tx = self.ledger.db().begin().await?;
        repo::save_progress(&mut tx, due, next_at, error).await?;
        Ok(tx.commit().await?)
    }

    async fn send(&self, due: &Due, event: &Event) -> Result<(), SendError> {
        let id = format!("evt_{}_{}", due.tenant.get().simple(), event.sequence);
        let body = json!({
            "type": event.kind,
            "timestamp": event.recorded_at,
            "sequence": event.sequence,
            "schema_version": event.schema_version,
            "subject": event.subject,
            "data": event.data,
        });
        let (now, body) = (self.now(), body.to_string().into_bytes());
        let signatures: Vec<String> =
            due.secrets.iter().map(|secret| secret.sign(&id, now, &body)).collect();
        let headers = [
            ("webhook-id", id),
            ("webhook-timestamp", now.to_string()),
            ("webhook-signature", signatures.join(" ")),
        ];
        self.sender.post(&due.url, &headers, body).await
    }
}

async fn known(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<(), WebhookError> {
    if repo::exists(tx, tenant, id).await? { Ok(()) } else { Err(WebhookError::UnknownEndpoint) }
}
