//! What is sent to one receiver in one go.

use api_ledger::Event;
use serde_json::json;

use crate::repo::{self, DeadLetter, Due, Times};
use crate::retry::wait_secs;
use crate::webhooks::LEASE_SECS;
use crate::{Report, Secret, SendError, WebhookError, Webhooks};

/// How long an endpoint whose secret cannot be opened waits.
const UNOPENED_SECS: i64 = 300;
/// At most this many messages to one receiver in one go: 10 seconds each stay within the lease.
const MESSAGES_MAX: u32 = 25;
/// How many events are looked at in one go where only some types are chosen.
const LOOK_MAX: u32 = 1000;
const GONE: u16 = 410;

impl Webhooks {
    fn secrets(&self, due: &Due) -> Result<Vec<Secret>, SendError> {
        let open = |sealed: &Vec<u8>| self.vault.open(due.id, sealed);
        due.secrets.iter().map(open).collect::<Result<_, _>>().map_err(|_| SendError::Secret)
    }

    /// Sends what waits for an endpoint that was claimed, and lets go of it.
    pub(crate) async fn deliver(&self, mut due: Due) -> Result<Report, WebhookError> {
        let mut report = Report::default();
        let secrets = match self.secrets(&due) {
            Ok(secrets) => secrets,
            Err(error) => {
                let next_at = self.now().saturating_add(UNOPENED_SECS);
                self.save(&due, Times { next_at, leased_until: 0 }, Some(&error)).await?;
                return Ok(report);
            }
        };
        if let Some(error) = self.set_back(&mut due).await? {
            tracing::warn!(endpoint = %due.id, %error, "a webhook endpoint is further than its events");
            self.save(&due, Times { next_at: self.now(), leased_until: 0 }, Some(&error)).await?;
            return Ok(report);
        }
        self.deliver_replays(&due, &secrets, &mut report).await?;
        let mut left = MESSAGES_MAX;
        for (event, wanted) in self.events(&due, due.last_sequence, LOOK_MAX).await? {
            if !wanted {
                due.last_sequence = event.sequence;
                due.attempts = 0;
                continue;
            }
            let Some(less) = left.checked_sub(1) else { break };
            left = less;
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

    /// When the endpoint is further than its tenant's events, sets it to their end: otherwise the next
    /// events would be passed over until they come to where it was.
    async fn set_back(&self, due: &mut Due) -> Result<Option<SendError>, WebhookError> {
        let mut tx = self.ledger.db().read().await?;
        let last = self.ledger.last_event(&mut tx, due.tenant).await?;
        tx.rollback().await?;
        if due.last_sequence <= last {
            return Ok(None);
        }
        let error = SendError::SetBack { from: due.last_sequence, to: last };
        (due.last_sequence, due.attempts) = (last, 0);
        Ok(Some(error))
    }

    /// Up to `limit` events after the place `after`, and of each whether the receiver is told about it.
    /// What it chose is read in the same state of the database as the events: an event that came after
    /// the choice is judged by it.
    async fn events(
        &self,
        due: &Due,
        after: i64,
        limit: u32,
    ) -> Result<Vec<(Event, bool)>, WebhookError> {
        let mut tx = self.ledger.db().read().await?;
        let found = match repo::types(&mut tx, due.id).await? {
            Some(types) => {
                let limit = if types.is_all() { limit.min(MESSAGES_MAX) } else { limit };
                let events = self.ledger.events(&mut tx, due.tenant, after, limit).await?;
                let wanted: Vec<bool> = events.iter().map(|event| types.contains(event)).collect();
                events.into_iter().zip(wanted).collect()
            }
            None => Vec::new(),
        };
        tx.rollback().await?;
        Ok(found)
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
            let (attempts, last_error) = (due.attempts, reason.clone());
            let letter = DeadLetter { sequence, attempts, last_error, created_at: now };
            repo::insert_dead_letter(&mut tx, due.id, &letter).await?;
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
        let events = self.events(due, sequence.saturating_sub(1), 1).await?;
        let result = match events.first() {
            Some((event, true)) if event.sequence == sequence => {
                self.send(due, secrets, event).await.map(|()| 1)
            }
            // A place that does not exist yet is of no use here: the stream will bring it.
            _ => Ok(0),
        };
        let (now, attempts) = (self.now(), attempts.saturating_add(1));
        let mut tx = self.ledger.db().begin().await?;
        match (result, wait_secs(attempts)) {
            (Ok(sent), _) => {
                report.delivered = report.delivered.saturating_add(sent);
                repo::remove_replay(&mut tx, due.id, sequence, true).await?;
            }
            (Err(_), Some(wait)) => {
                report.failed = report.failed.saturating_add(1);
                let next_at = now.saturating_add(wait);
                repo::delay_replay(&mut tx, due.id, sequence, attempts, next_at).await?;
            }
            (Err(error), None) => {
                report.dead = report.dead.saturating_add(1);
                let last_error = error.to_string();
                let letter = DeadLetter { sequence, attempts, last_error, created_at: now };
                repo::insert_dead_letter(&mut tx, due.id, &letter).await?;
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
        // With its mark: another event at the same place is not taken for a repetition.
        let (tenant, mark) = (due.tenant.get().simple(), event.mark());
        let id = format!("evt_{tenant}_{}_{mark}", event.sequence);
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
