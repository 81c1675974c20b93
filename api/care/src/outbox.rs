use std::sync::Arc;
use std::time::Duration;

use api_audit::Record;
use api_ledger::TenantId;
use api_loans::messages::Letter as Words;
use api_loans::messages::Messages;
use api_loans::reminders::{Channel, Reason};
use api_loans::{Confirmation, SEND_WITHIN};
use api_store::Tx;
use jiff::Timestamp;
use rand::Rng as _;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use crate::channels::{Message, Outcome, Port};
use crate::day::now_ms;
use crate::repo::{contacts, inbox, outbox};
use crate::{Care, CareError, Letter};

/// Messages that are taken up in one go, and at one time.
const BATCH: u32 = 100;
const AT_ONCE: usize = 8;
/// A sender that has not come back after this time is taken for dead.
const LEASE_MS: i64 = 180_000;
/// An attempt that takes longer than this is given up, its fate unknown.
const ATTEMPT_MAX: Duration = Duration::from_secs(60);
/// How long to wait after each failed attempt; after the last one the message is a dead letter.
const WAITS_SECS: [i64; 9] = [5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800];
/// A tenth more or less, so that the messages of one outage do not all come back at once.
const JITTER_DIVISOR: i64 = 10;

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SendState {
    /// To be sent, or to be sent again.
    Queued,
    /// Being sent.
    Sending,
    /// The other side has taken it over.
    Sent,
    /// A receipt says that it has arrived.
    Delivered,
    /// Nobody could be reached there.
    Undelivered,
    /// It was not sent: something had happened since the decision.
    Withdrawn,
    /// It may have been sent, or not; it is not sent again, so that it never comes twice.
    Unknown,
    /// Given up after the last attempt.
    Dead,
}

impl SendState {
    const ALL: [Self; 8] = [
        Self::Queued,
        Self::Sending,
        Self::Sent,
        Self::Delivered,
        Self::Undelivered,
        Self::Withdrawn,
        Self::Unknown,
        Self::Dead,
    ];

    /// Its name on the wire and in the database.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Undelivered => "undelivered",
            Self::Withdrawn => "withdrawn",
            Self::Unknown => "unknown",
            Self::Dead => "dead",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.text() == name)
    }
}

/// A message in the outbox.
#[derive(Clone, Debug)]
pub(crate) struct Queued {
    pub(crate) id: Uuid,
    pub(crate) tenant: TenantId,
    pub(crate) customer: Uuid,
    pub(crate) loan: Uuid,
    pub(crate) channel: Channel,
    pub(crate) state: SendState,
    pub(crate) attempts: i64,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Sent {
    /// The reminder's id, and the message's.
    pub id: Uuid,
    /// On which channel.
    pub channel: Channel,
    /// Where it stands.
    pub state: SendState,
    /// How often it was tried.
    pub attempts: i64,
    /// When the other side took it over.
    pub sent_at: Option<Timestamp>,
    /// Why the last attempt failed, or why it was withdrawn.
    pub last_error: Option<String>,
}

/// What a round of sending did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deliveries {
    /// Messages that were taken up.
    pub taken: u64,
    /// Messages that the other side took over.
    pub sent: u64,
}

/// A message that may leave, and until when.
struct Ready {
    row: Queued,
    message: Message,
    port: Arc<dyn Port>,
    until: Instant,
}

impl Care {
    /// Sends what is due. Several servers may run it at once.
    ///
    /// # Errors
    /// [`CareError`]; messages that were sent before stay sent.
    pub async fn deliver_due(&self) -> Result<Deliveries, CareError> {
        let mut tx = self.db.read().await?;
        let due = outbox::due(&mut tx, self.now_ms(), BATCH).await?;
        drop(tx);
        if due.is_empty()
            && let Some(mail) = &self.ports.mail
        {
            mail.rest().await;
        }
        let mut done = Deliveries::default();
        let mut due = due.into_iter();
        let mut running = JoinSet::new();
        loop {
            while running.len() < AT_ONCE {
                let Some(row) = due.next() else { break };
                done.taken = done.taken.saturating_add(1);
                let care = self.clone();
                running.spawn(async move { care.deliver_one(row).await });
            }
            let Some(finished) = running.join_next().await else { return Ok(done) };
            match finished.map_err(|_| CareError::Damaged("a sender stopped"))? {
                Ok(sent) => done.sent = done.sent.saturating_add(u64::from(sent)),
                Err(error) if error.is_retryable() => {}
                Err(error) => {
                    metrics::counter!("roadstead_alarms_total", "alarm" => "sending_failed")
                        .increment(1);
                    tracing::error!(%error, "a reminder could not be sent");
                }
            }
        }
    }

    async fn deliver_one(&self, row: Queued) -> Result<bool, CareError> {
        if row.state == SendState::Sending {
            return self.recover(&row).await.map(|()| false);
        }
        let Some(ready) = self.take(row.id).await? else { return Ok(false) };
        let Ready { row, message, port, until } = ready;
        if Instant::now() >= until {
            // Too long ago since the last look: it is looked at again.
            return self.put_back(&row).await.map(|()| false);
        }
        let attempt = tokio::time::timeout(ATTEMPT_MAX, port.send(&message)).await;
        let outcome = match attempt {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Unknown("no answer in time".to_owned()),
        };
        let outcome = match outcome {
            Outcome::Unknown(why) if port.drops_duplicates() => Outcome::Temporary(why),
            other => other,
        };
        self.finish(&row, &message, outcome).await
    }

    /// Looks again, in a transaction that locks the loan: what may leave is marked as being sent, or,
    /// for the inbox, put in; what may not is withdrawn.
    async fn take(&self, id: Uuid) -> Result<Option<Ready>, CareError> {
        let mut tx = self.db.begin().await?;
        let found = outbox::lock(&mut tx, id).await?;
        let Some(row) = found.filter(|row| row.state == SendState::Queued) else {
            return Ok(None);
        };
        let usable = self.usable(&mut tx, row.tenant).await?;
        let looked = Instant::now();
        let confirmed = self.loans.confirm(&mut tx, row.tenant, id, &usable).await?;
        let (letter, language) = match confirmed {
            Confirmation::Send { letter, language, .. } => (letter, language),
            Confirmation::Withdraw(reason) => {
                self.withdraw(&mut tx, &row, reason, SendState::Withdrawn).await?;
                tx.commit().await?;
                return Ok(None);
            }
        };
        if row.channel == Channel::InApp {
            self.put_in(&mut tx, &row, &letter).await?;
            tx.commit().await?;
            return Ok(None);
        }
        let address = self.address(&mut tx, row.tenant, row.customer, row.channel).await?;
        let port = self.port(&mut tx, row.tenant, row.channel).await?;
        let (Some(to), Some(port)) = (address, port) else {
            self.withdraw(&mut tx, &row, Reason::Undeliverable, SendState::Withdrawn).await?;
            tx.commit().await?;
            return Ok(None);
        };
        let states = (SendState::Queued, SendState::Sending);
        let (attempts, lease) = (row.attempts.saturating_add(1), self.in_ms(LEASE_MS));
        outbox::step(&mut tx, id, states, attempts, lease, None).await?;
        let message = self.compose(&mut tx, &row, to, language, letter).await?;
        tx.commit().await?;
        let within = Duration::try_from(SEND_WITHIN).unwrap_or_default();
        let row = Queued { attempts, state: SendState::Sending, ..row };
        Ok(Some(Ready { row, message, port, until: looked.checked_add(within).unwrap_or(looked) }))
    }

    async fn compose(
        &self,
        tx: &mut Tx,
        row: &Queued,
        to: crate::Address,
        language: String,
        letter: Words,
    ) -> Result<Message, CareError> {
        let stop_link = self.stop_link(tx, row.id).await?;
        let line = Messages::new(&language)?.stop_line(&stop_link)?;
        let letter = Words { subject: letter.subject, body: format!("{}\n{line}\n", letter.body) };
        Ok(Message { id: row.id, channel: row.channel, to, language, letter, stop_link })
    }

    /// The inbox is in this very database: putting it in and noting that are one transaction, so that
    /// it is there exactly once.
    async fn put_in(&self, tx: &mut Tx, row: &Queued, letter: &Words) -> Result<(), CareError> {
        let entry = Letter {
            id: row.id,
            kind: "reminder".to_owned(),
            loan: Some(row.loan),
            subject: letter.subject.clone(),
            body: letter.body.clone(),
            created_at: self.loans.now(),
            read_at: None,
        };
        inbox::insert(tx, row.tenant, row.customer, &entry).await?;
        let states = (SendState::Queued, SendState::Delivered);
        let now = self.now_ms();
        outbox::step(tx, row.id, states, row.attempts.saturating_add(1), now, None).await?;
        outbox::note_sent(tx, row.id, now).await?;
        self.loans.note_delivery(tx, row.tenant, row.id, "inbox").await?;
        self.record(tx, row, "reminder.sent", &[("letter_sha256", digest(letter))]).await
    }

    async fn finish(
        &self,
        row: &Queued,
        message: &Message,
        outcome: Outcome,
    ) -> Result<bool, CareError> {
        let mut tx = self.db.begin().await?;
        let sending = |to| (SendState::Sending, to);
        let now = self.now_ms();
        let sent = match outcome {
            Outcome::Accepted(answer) => {
                let states = sending(SendState::Sent);
                outbox::step(&mut tx, row.id, states, row.attempts, now, None).await?;
                outbox::note_sent(&mut tx, row.id, now).await?;
                self.loans.note_delivery(&mut tx, row.tenant, row.id, &answer).await?;
                let fields = [("letter_sha256", digest(&message.letter)), ("answer", answer)];
                self.record(&mut tx, row, "reminder.sent", &fields).await?;
                true
            }
            Outcome::Temporary(why) => {
                self.retry(&mut tx, row, &why).await?;
                false
            }
            Outcome::Permanent(why) => {
                contacts::mark_unusable(&mut tx, row.tenant, row.customer, row.channel).await?;
                self.refresh(&mut tx, row.tenant, row.customer).await?;
                self.withdraw(&mut tx, row, Reason::Undeliverable, SendState::Undelivered).await?;
                self.loans.note_delivery(&mut tx, row.tenant, row.id, &why).await?;
                false
            }
            Outcome::Unknown(why) => {
                self.leave_unknown(&mut tx, row, &why).await?;
                false
            }
        };
        tx.commit().await?;
        Ok(sent)
    }

    async fn retry(&self, tx: &mut Tx, row: &Queued, why: &str) -> Result<(), CareError> {
        if let Some(wait) = wait_ms(row.attempts) {
            let states = (SendState::Sending, SendState::Queued);
            let at = self.in_ms(wait);
            outbox::step(tx, row.id, states, row.attempts, at, Some(why)).await?;
            return Ok(());
        }
        let states = (SendState::Sending, SendState::Dead);
        outbox::step(tx, row.id, states, row.attempts, self.now_ms(), Some(why)).await?;
        metrics::counter!("roadstead_reminders_dead_total").increment(1);
        self.record(tx, row, "reminder.dead", &[("reason", why.to_owned())]).await
    }

    async fn leave_unknown(&self, tx: &mut Tx, row: &Queued, why: &str) -> Result<(), CareError> {
        let states = (SendState::Sending, SendState::Unknown);
        outbox::step(tx, row.id, states, row.attempts, self.now_ms(), Some(why)).await?;
        self.record(tx, row, "reminder.unknown", &[("reason", why.to_owned())]).await
    }

    /// A message whose sender died: sent again where the other side drops a second one, else left as
    /// it is, for it may have arrived.
    async fn recover(&self, row: &Queued) -> Result<(), CareError> {
        let mut tx = self.db.begin().await?;
        let found = outbox::lock(&mut tx, row.id).await?;
        if found.is_none_or(|now| now.state != SendState::Sending || now.attempts != row.attempts) {
            return Ok(());
        }
        let port = self.port(&mut tx, row.tenant, row.channel).await?;
        if port.is_some_and(|port| port.drops_duplicates()) {
            let states = (SendState::Sending, SendState::Queued);
            outbox::step(&mut tx, row.id, states, row.attempts, self.now_ms(), None).await?;
        } else {
            self.leave_unknown(&mut tx, row, "the server stopped while it was being sent").await?;
        }
        Ok(tx.commit().await?)
    }

    async fn put_back(&self, row: &Queued) -> Result<(), CareError> {
        let mut tx = self.db.begin().await?;
        let states = (SendState::Sending, SendState::Queued);
        let attempts = row.attempts.saturating_sub(1);
        outbox::step(&mut tx, row.id, states, attempts, self.now_ms(), None).await?;
        Ok(tx.commit().await?)
    }

    /// Takes a reminder back that did not leave: it counts for no cap and no rung any more.
    pub(crate) async fn withdraw(
        &self,
        tx: &mut Tx,
        row: &Queued,
        reason: Reason,
        to: SendState,
    ) -> Result<(), CareError> {
        let error = Some(reason.text());
        outbox::step(tx, row.id, (row.state, to), row.attempts, self.now_ms(), error).await?;
        self.loans.withdraw(tx, row.tenant, row.id, reason).await?;
        metrics::counter!("roadstead_reminders_withdrawn_total", "reason" => reason.text())
            .increment(1);
        self.record(tx, row, "reminder.withdrawn", &[("reason", reason.text().to_owned())]).await
    }

    pub(crate) async fn record(
        &self,
        tx: &mut Tx,
        row: &Queued,
        kind: &str,
        fields: &[(&str, String)],
    ) -> Result<(), CareError> {
        let mut record = Record::new(kind, now_ms())
            .external_id(row.tenant.get().to_string(), format!("{kind}:{}", Uuid::now_v7()))
            .stream(format!("care:{}", row.loan))
            .field("reminder", row.id.to_string())
            .field("loan", row.loan.to_string())
            .field("channel", row.channel.text());
        for (name, value) in fields {
            record = record.field(*name, value.clone());
        }
        self.audit.append_in(tx, &record).await?;
        Ok(())
    }

    /// The messages of the tenant that were given up, the newest first.
    ///
    /// # Errors
    /// [`CareError::Store`].
    pub async fn dead_letters(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        before: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<Sent>, CareError> {
        outbox::dead(tx, tenant, before, limit).await
    }

    /// Tries a message again that was given up. It is looked at again before it leaves, as always.
    ///
    /// # Errors
    /// [`CareError::Missing`] when the tenant has no such dead letter.
    pub async fn retry_dead(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: Uuid,
    ) -> Result<(), CareError> {
        let missing = CareError::Missing("dead letter");
        let found = outbox::lock(tx, id).await?;
        let Some(row) = found.filter(|row| row.tenant == tenant) else { return Err(missing) };
        let states = (SendState::Dead, SendState::Queued);
        let done = outbox::step(tx, row.id, states, 0, self.now_ms(), None).await?;
        done.then_some(()).ok_or(missing)
    }

    fn in_ms(&self, wait: i64) -> i64 {
        self.now_ms().saturating_add(wait)
    }
}

/// Milliseconds until the next attempt after `attempts` failed ones; `None` to give up.
fn wait_ms(attempts: i64) -> Option<i64> {
    let index = usize::try_from(attempts.checked_sub(1)?).ok()?;
    let wait = WAITS_SECS.get(index)?.saturating_mul(1_000);
    let jitter = wait.checked_div(JITTER_DIVISOR).unwrap_or(0);
    let earliest = wait.saturating_sub(jitter);
    Some(rand::rng().random_range(earliest..=wait.saturating_add(jitter)))
}

/// What was said, without saying it.
fn digest(letter: &Words) -> String {
    let hash = Sha256::new().chain_update(&letter.subject).chain_update("\n");
    let digest = hash.chain_update(&letter.body).finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let waits: Vec<_> = (1..=10).map(wait_ms).collect();
        assert!(waits.windows(2).take(8).all(|pair| pair[0] < pair[1]), "{waits:?}");
        assert_eq!(waits.iter().filter(|wait| wait.is_none()).count(), 1);
        assert_eq!((wait_ms(0), wait_ms(10)), (None, None));
        assert!((4_500..=5_500).contains(&wait_ms(1).unwrap_or(0)));
    }

    #[test]
    fn states_have_one_name_each() {
        for state in SendState::ALL {
            assert_eq!(SendState::named(state.text()), Some(state));
        }
    }
}
