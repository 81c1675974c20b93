use std::sync::Arc;
use std::time::Duration;

use api_ledger::{Clock, Event, Ledger, TenantId};
use api_store::Tx;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::repo::{self, DeadLetter, Due, Endpoint, Times};
use crate::retry::wait_secs;
use crate::{Secret, SendError, Sender, Vault, WebhookError};

/// The most receivers of one tenant.
pub const ENDPOINTS_MAX: i64 = 16;
const LEASE_SECS: i64 = 300;
/// How often to look for receivers that something waits for.
const POLL: Duration = Duration::from_millis(250);
/// How many receivers are served at one time: a slow one keeps its own slot alone.
const SLOTS: usize = 256;
/// How long an endpoint whose secret cannot be opened waits.
const UNOPENED_SECS: i64 = 300;
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
    vault: Arc<Vault>,
    clock: Clock,
}

impl std::fmt::Debug for Webhooks {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Webhooks").field("sender", &self.sender).finish_non_exhaustive()
    }
}

impl Webhooks {
    /// Of the events of `ledger`, with secrets kept in `vault`.
    #[must_use]
    pub fn new(ledger: Ledger, sender: Sender, vault: Vault, clock: Clock) -> Self {
        Self { ledger, sender, vault: Arc::new(vault), clock }
    }

    fn now(&self) -> i64 {
        (self.clock)().as_second()
    }

    /// Registers a receiver of the events after the place `after`. The secret is shown once.
    ///
    /// # Errors
    /// [`WebhookError::Url`] for a URL that may not be called; [`WebhookError::TooMany`] above
    /// [`ENDPOINTS_MAX`]; [`WebhookError::Vault`], [`WebhookError::Store`].
    pub async fn create(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        url: &str,
        after: i64,
    ) -> Result<(Uuid, Secret), WebhookError> {
        self.sender.check_url(url)?;
        if repo::count(tx, tenant).await? >= ENDPOINTS_MAX {
            return Err(WebhookError::TooMany);
        }
        let secret = Secret::generate().ok_or(SendError::Client)?;
        let id = Uuid::now_v7();
        let sealed = self.vault.seal(id, &secret)?;
        repo::insert(tx, tenant, (id, url), sealed, after.max(0), self.now()).await?;
        Ok((id, secret))
    }

    /// One of the tenant's receivers.
    ///
    /// # Errors
    /// [`WebhookError::UnknownEndpoint`], [`WebhookError::Store`].
    pub async fn get(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: Uuid,
    ) -> Result<Endpoint, WebhookError> {
        repo::get(tx, tenant, id).await?.ok_or(WebhookError::UnknownEndpoint)
    }

    /// Removes a receiver and all that waits for it. A message that is on its way may still arrive.
    ///
    /// # Errors
    /// [`WebhookError::UnknownEndpoint`], [`WebhookError::Store`].
    pub async fn delete(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: Uuid,
    ) -> Result<(), WebhookError> {
        known(tx, tenant, id).await?;
        Ok(repo::delete(tx, id).await?)
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
        repo::rotate(tx, id, self.vault.seal(id, &secret)?).await?;
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
        Ok(repo::set_enabled(tx, id, enabled, self.now()).await?)
    }

    /// Up to `limit` events that were given up, after the place `after`.
    ///
    /// # Errors
    /// [`WebhookError::UnknownEndpoint`], [`WebhookError::Store`].
    pub async fn dead_letters(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: Uuid,
        after: i64,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, WebhookError> {
        known(tx, tenant, id).await?;
        Ok(repo::dead_letters(tx, id, after, limit).await?)
    }

    /// Sends all events that were given up again; returns how many.
    ///
    /// # Errors
    /// [`WebhookError::UnknownEndpoint`], [`WebhookError::Store`].
    pub async fn retry_dead_letters(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: Uuid,
    ) -> Result<u64, WebhookError> {
        known(tx, tenant, id).await?;
        let count = repo::replay_dead_letters(tx, id, self.now()).await?;
        repo::wake(tx, id, self.now()).await?;
        Ok(count)
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
        Ok(repo::wake(tx, id, self.now()).await?)
    }

    /// Sends what is due to up to `limit` receivers at the same time, each in its order, and waits
    /// for all of them.
    ///
    /// # Errors
    /// [`WebhookError::Store`], [`WebhookError::Ledger`]; failures of receivers are no errors.
    pub async fn deliver_due(&self, limit: u32) -> Result<Report, WebhookError> {
        let mut running = JoinSet::new();
        self.start_due(&mut running, limit).await?;
        let mut report = Report::default();
        while let Some(done) = running.join_next().await {
            report.add(done.map_err(|_| WebhookError::Stopped)??);
        }
        Ok(report)
    }

    /// Serves all receivers until `stop` turns true, each in its order and apart from the others, so
    /// that a slow one delays nobody else. Several processes may do so at once.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        let mut running = JoinSet::new();
        while !*stop.borrow() {
            let free = SLOTS.saturating_sub(running.len());
            let free = u32::try_from(free).unwrap_or(u32::MAX);
            if let Err(error) = self.start_due(&mut running, free).await {
                tracing::warn!(%error, "webhook endpoints could not be claimed, will be tried again");
            }
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                Some(done) = running.join_next(), if !running.is_empty() => note(done),
                _ = stop.changed() => {}
            }
        }
        // What is on its way is finished, so that it is not sent twice.
        while let Some(done) = running.join_next().await {
            note(done);
        }
    }

    async fn start_due(
        &self,
        running: &mut JoinSet<Result<Report, WebhookError>>,
        limit: u32,
    ) -> Result<(), WebhookError> {
        if limit == 0 {
            return Ok(());
        }
        let mut tx = self.ledger.db().begin().await?;
        let now = self.now();
        let claimed = repo::claim(&mut tx, now, now.saturating_add(LEASE_SECS), limit).await?;
        tx.commit().await?;
        for due in claimed {
            let webhooks = self.clone();
            running.spawn(async move { webhooks.deliver(due).await });
        }
        Ok(())
    }

    fn secrets(&self, due: &Due) -> Result<Vec<Secret>, SendError> {
        let open = |sealed: &Vec<u8>| self.vault.open(due.id, sealed);
        due.secrets.iter().map(open).collect::<Result<_, _>>().map_err(|_| SendError::Secret)
    }

    async fn deliver(&self, mut due: Due) -> Result<Report, WebhookError> {
        let mut report = Report::default();
        let secrets = match self.secrets(&due) {
            Ok(secrets) => secrets,
            Err(error) => {
                let next_at = self.now().saturating_add(UNOPENED_SECS);
                self.save(&due, Times { next_at, leased_until: 0 }, Some(&error)).await?;
                return Ok(report);
            }
        };
        self.deliver_replays(&due, &secrets, &mut report).await?;
        for event in self.events(due.tenant, due.last_sequence, MESSAGES_MAX).await? {
            match self.send(&due, &secrets, &event).await {
                Ok(()) => {
                    report.delivered = report.delivered.saturating_add(1);
                    due.last_sequence = event.sequence;
                    due.attempts = 0;
                    // Saved after each, so that a crash repeats one message and not many.
                    let leased_until = self.now().saturating_add(LEASE_SECS);
                    let times = Times { next_at: self.now(), leased_until };
                    if !self.save(&due, times, None).await? {
                        break;
                    }
                }
                Err(error) => {
                    self.failed(due, event.sequence, &error, &mut report).await?;
                    return Ok(report);
                }
            }
        }
        self.save(&due, Times { next_at: self.now(), leased_until: 0 }, None).await?;
        Ok(report)
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
            repo::insert_dead_letter(&mut tx, due.id, &letter, now).await?;
            due.last_sequence = sequence;
            due.attempts = 0;
        }
        let times = Times { next_at, leased_until: 0 };
        repo::save_progress(&mut tx, &due, times, Some(&reason)).await?;
        if *error == SendError::Status(GONE) {
            repo::set_enabled(&mut tx, due.id, false, now).await?;
        }
        Ok(tx.commit().await?)
    }

    async fn deliver_replays(
        &self,
        due: &Due,
        secrets: &[Secret],
        report: &mut Report,
    ) -> Result<(), WebhookError> {
        let mut tx = self.ledger.db().read().await?;
        let replays = repo::due_replays(&mut tx, due.id, self.now(), MESSAGES_MAX).await?;
        tx.rollback().await?;
        for (sequence, attempts) in replays {
            self.deliver_replay(due, secrets, (sequence, attempts), report).await?;
        }
        Ok(())
    }

    async fn deliver_replay(
        &self,
        due: &Due,
        secrets: &[Secret],
        (sequence, attempts): (i64, i64),
        report: &mut Report,
    ) -> Result<(), WebhookError> {
        let events = self.events(due.tenant, sequence.saturating_sub(1), 1).await?;
        let result = match events.first() {
            Some(event) if event.sequence == sequence => self.send(due, secrets, event).await,
            // A place that does not exist yet is of no use here: the stream will bring it.
            _ => Ok(()),
        };
        let (now, attempts) = (self.now(), attempts.saturating_add(1));
        let mut tx = self.ledger.db().begin().await?;
        match (result, wait_secs(attempts)) {
            (Ok(()), _) => {
                report.delivered = report.delivered.saturating_add(1);
                repo::remove_replay(&mut tx, due.id, sequence, true).await?;
            }
            (Err(_), Some(wait)) => {
                report.failed = report.failed.saturating_add(1);
                let next_at = now.saturating_add(wait);
                repo::delay_replay(&mut tx, due.id, sequence, attempts, next_at).await?;
            }
            (Err(error), None) => {
                report.dead = report.dead.saturating_add(1);
                let letter = DeadLetter { sequence, attempts, last_error: error.to_string() };
                repo::insert_dead_letter(&mut tx, due.id, &letter, now).await?;
                repo::remove_replay(&mut tx, due.id, sequence, false).await?;
            }
        }
        Ok(tx.commit().await?)
    }

    /// False when the endpoint was paused or deleted meanwhile.
    async fn save(
        &self,
        due: &Due,
        times: Times,
        error: Option<&SendError>,
    ) -> Result<bool, WebhookError> {
        let mut tx = self.ledger.db().begin().await?;
        let reason = error.map(ToString::to_string);
        let goes_on = repo::save_progress(&mut tx, due, times, reason.as_deref()).await?;
        tx.commit().await?;
        Ok(goes_on)
    }

    async fn send(&self, due: &Due, secrets: &[Secret], event: &Event) -> Result<(), SendError> {
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
            secrets.iter().map(|secret| secret.sign(&id, now, &body)).collect();
        let headers = [
            ("webhook-id", id),
            ("webhook-timestamp", now.to_string()),
            ("webhook-signature", signatures.join(" ")),
        ];
        self.sender.post(&due.url, &headers, body).await
    }
}

impl Report {
    fn add(&mut self, other: Self) {
        self.delivered = self.delivered.saturating_add(other.delivered);
        self.failed = self.failed.saturating_add(other.failed);
        self.dead = self.dead.saturating_add(other.dead);
    }
}

/// What a delivery could not do for our own reasons; the lease's end lets it be tried again.
fn note(done: Result<Result<Report, WebhookError>, tokio::task::JoinError>) {
    match done {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(%error, "a webhook delivery was not finished"),
        Err(error) => tracing::warn!(%error, "a webhook delivery stopped"),
    }
}

async fn known(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<(), WebhookError> {
    if repo::exists(tx, tenant, id).await? { Ok(()) } else { Err(WebhookError::UnknownEndpoint) }
}
