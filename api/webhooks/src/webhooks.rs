use std::sync::Arc;
use std::time::Duration;

use api_ledger::{Clock, Ledger, TenantId};
use api_store::Tx;
use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::repo::{self, DeadLetter, Endpoint, NewEndpoint};
use crate::{EventTypes, Secret, SendError, Sender, Vault, WebhookError};

/// The most receivers of one tenant.
pub const ENDPOINTS_MAX: i64 = 16;
/// How long one process has an endpoint to itself.
pub(crate) const LEASE_SECS: i64 = 300;
/// How often to look for receivers that something waits for.
const POLL: Duration = Duration::from_millis(250);
/// How many receivers are served at one time: a slow one keeps its own slot alone.
const SLOTS: usize = 256;
const REPLAY_MAX: i64 = 10_000;

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
    pub(crate) ledger: Ledger,
    pub(crate) sender: Sender,
    pub(crate) vault: Arc<Vault>,
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
    pub fn new(ledger: Ledger, sender: Sender, vault: impl Into<Arc<Vault>>, clock: Clock) -> Self {
        Self { ledger, sender, vault: vault.into(), clock }
    }

    pub(crate) fn now(&self) -> i64 {
        (self.clock)().as_second()
    }

    /// Registers a receiver. The secret is shown once.
    ///
    /// # Errors
    /// [`WebhookError::Url`] for a URL that may not be called; [`WebhookError::TooMany`] above
    /// [`ENDPOINTS_MAX`]; [`WebhookError::Ledger`] with [`api_ledger::LedgerError::CursorLost`] when it is to begin after
    /// a place that is not there; [`WebhookError::Vault`], [`WebhookError::Store`].
    pub async fn create(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        new: &NewEndpoint<'_>,
    ) -> Result<(Uuid, Secret), WebhookError> {
        self.sender.check_url(new.url)?;
        if repo::count(tx, tenant).await? >= ENDPOINTS_MAX {
            return Err(WebhookError::TooMany);
        }
        self.ledger.event_mark(tx, tenant, new.after, None).await?;
        let secret = Secret::generate().ok_or(SendError::Client)?;
        let id = Uuid::now_v7();
        let sealed = self.vault.seal(id, &secret)?;
        repo::insert(tx, tenant, id, new, sealed, self.now()).await?;
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
    /// [`WebhookError::OldSecret`] as long as the one of an earlier rotation is not dropped,
    /// [`WebhookError::UnknownEndpoint`], [`WebhookError::Store`].
    pub async fn rotate_secret(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: Uuid,
    ) -> Result<Secret, WebhookError> {
        known(tx, tenant, id).await?;
        let secret = Secret::generate().ok_or(SendError::Client)?;
        if !repo::rotate(tx, id, self.vault.seal(id, &secret)?).await? {
            return Err(WebhookError::OldSecret);
        }
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

    /// Chooses what the receiver is told about from now on: of all that was not sent yet, and of what is
    /// sent again.
    ///
    /// # Errors
    /// [`WebhookError::UnknownEndpoint`], [`WebhookError::Store`].
    pub async fn set_types(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: Uuid,
        types: &EventTypes,
    ) -> Result<(), WebhookError> {
        known(tx, tenant, id).await?;
        repo::set_types(tx, id, types).await?;
        // It may wait for the next attempt at something that it is not told about any more.
        Ok(repo::wake(tx, id, self.now()).await?)
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

    /// Sends the events from `first` to `last` again, beside the stream: those that the receiver is told
    /// about.
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
        // What is not there yet is brought by the stream.
        let last = last.min(self.ledger.last_event(tx, tenant).await?);
        repo::insert_replays(tx, id, (first, last), self.now()).await?;
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
