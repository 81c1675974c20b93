//! Many callers, one commit: while one database transaction is made durable, the requests that come
//! in wait; then all of them go into the next one.
//!
//! A commit costs nearly the same for a few transfers as for many, so it is worth a moment's wait for
//! those who were just answered: without it the callers fall into two halves that wait for one another,
//! and each commit carries half of what it could. Nobody waits for a caller who is alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::posting::Results;
use crate::transfer::{Posted, Transfer};
use crate::{Ledger, LedgerError, PostError, Refusal, TRANSFERS_MAX};

/// How many transfers may wait or be on their way unless [`GroupCommit::with_queue`] says otherwise: eight
/// full commits.
pub const QUEUE_DEFAULT: usize = 8 * TRANSFERS_MAX;

/// The longest wait for those who were just answered; also no longer than half of the commit took.
const WAIT_MAX: Duration = Duration::from_millis(2);
/// The most commits in a row without a wait, after waits in vain.
const SKIPPED_MAX: u32 = 63;

type Answer = Result<Results, LedgerError>;

struct Request {
    groups: Vec<Vec<Transfer>>,
    answer: oneshot::Sender<Answer>,
    /// Its part of the queue, until it is answered.
    _room: OwnedSemaphorePermit,
}

impl Request {
    fn len(&self) -> usize {
        count(&self.groups)
    }
}

fn count(groups: &[Vec<Transfer>]) -> usize {
    groups.iter().map(Vec::len).sum()
}

/// A front of the ledger that gathers concurrent requests into one commit. Each caller gets its own
/// answer, after the commit. Cloning it is cheap; it stops when all clones are dropped and what
/// waited is done.
#[derive(Clone, Debug)]
pub struct GroupCommit {
    queue: mpsc::Sender<Request>,
    /// A permit for each transfer that waits or is on its way.
    room: Arc<Semaphore>,
    gathering: Arc<Gathering>,
}

impl GroupCommit {
    /// Starts the task that commits, on the current tokio runtime.
    #[must_use]
    pub fn start(ledger: Ledger) -> Self {
        Self::with_queue(ledger, QUEUE_DEFAULT)
    }

    /// The same with room for so many transfers, those included that are being committed, at least
    /// [`TRANSFERS_MAX`]. What does not fit is told [`LedgerError::Busy`] at once.
    #[must_use]
    pub fn with_queue(ledger: Ledger, transfers: usize) -> Self {
        let transfers = transfers.clamp(TRANSFERS_MAX, Semaphore::MAX_PERMITS);
        // Each request has a transfer at least, so the permits run out first.
        let (queue, requests) = mpsc::channel(transfers);
        let gathering = Arc::new(Gathering::default());
        tokio::spawn(run(ledger, requests, Arc::clone(&gathering)));
        Self { queue, room: Arc::new(Semaphore::new(transfers)), gathering }
    }

    /// Posts one transfer.
    ///
    /// # Errors
    /// As [`Ledger::post`]; [`LedgerError::Busy`] at once, and nothing was done, when too many wait.
    pub async fn post(&self, transfer: Transfer) -> Result<Posted, PostError> {
        match self.send(vec![vec![transfer]]).await?.pop() {
            Some(result) => Ok(result?),
            None => Err(Refusal::LegCount.into()),
        }
    }

    /// Posts all transfers or none.
    ///
    /// # Errors
    /// As [`Ledger::post_group`]; [`LedgerError::Busy`] at once, and nothing was done, when too many wait.
    pub async fn post_group(&self, transfers: Vec<Transfer>) -> Answer {
        self.send(vec![transfers]).await
    }

    /// Posts each transfer by itself.
    ///
    /// # Errors
    /// As [`Ledger::post_batch`]; [`LedgerError::Busy`] at once, and nothing was done, when too many wait.
    pub async fn post_batch(&self, transfers: Vec<Transfer>) -> Answer {
        self.send(transfers.into_iter().map(|transfer| vec![transfer]).collect()).await
    }

    async fn send(&self, groups: Vec<Vec<Transfer>>) -> Answer {
        let transfers = count(&groups);
        if transfers > TRANSFERS_MAX {
            return Err(LedgerError::TooMany);
        }
        let permits = u32::try_from(transfers).map_err(|_| LedgerError::TooMany)?;
        let room = Arc::clone(&self.room).try_acquire_many_owned(permits);
        let room = room.map_err(|_| LedgerError::Busy)?;
        let (answer, answered) = oneshot::channel();
        let request = Request { groups, answer, _room: room };
        self.queue.try_send(request).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => LedgerError::Busy,
            mpsc::error::TrySendError::Closed(_) => LedgerError::Stopped,
        })?;
        self.gathering.came(self.queue.max_capacity().saturating_sub(self.queue.capacity()));
        answered.await.unwrap_or(Err(LedgerError::Stopped))
    }
}

/// The wait for the next commit's requests.
#[derive(Debug, Default)]
struct Gathering {
    /// How many requests are waited for; zero while nobody waits.
    wanted: AtomicUsize,
    enough: Notify,
}

impl Gathering {
    /// A request came, and now so many are in the queue.
    fn came(&self, queued: usize) {
        let wanted = self.wanted.load(Ordering::SeqCst);
        if wanted > 0 && queued >= wanted {
            self.enough.notify_one();
        }
    }

    /// Waits until `wanted` requests are in the queue, no longer than `limit`.
    async fn wait(&self, requests: &mpsc::Receiver<Request>, wanted: usize, limit: Duration) {
        self.wanted.store(wanted, Ordering::SeqCst);
        // Those who were just answered get a turn at least.
        tokio::task::yield_now().await;
        let enough = async {
            // A notice may be left from an earlier wait.
            while requests.len() < wanted {
                self.enough.notified().await;
            }
        };
        if !limit.is_zero() {
            // Too few is no error: the commit goes on with those who came.
            let _ = tokio::time::timeout(limit, enough).await;
        }
        self.wanted.store(0, Ordering::SeqCst);
    }
}

/// How long to wait: less and less often when those who were answered do not come back.
#[derive(Debug, Default)]
struct Patience {
    /// How many commits to go on from without a wait.
    skip: u32,
    /// How many they were after the last wait in vain.
    skipped: u32,
    waited: bool,
}

impl Patience {
    /// The limit of the wait after a commit that took so long.
    fn limit(&mut self, commit: Duration) -> Duration {
        self.waited = self.skip == 0;
        self.skip = self.skip.saturating_sub(1);
        let half = commit.checked_div(2).unwrap_or_default();
        if self.waited { WAIT_MAX.min(half) } else { Duration::ZERO }
    }

    /// So many came, of those that were waited for.
    fn learn(&mut self, wanted: usize, came: usize) {
        if came.saturating_mul(4) >= wanted.saturating_mul(3) {
            *self = Self::default();
        } else if self.waited {
            self.skipped = self.skipped.saturating_mul(2).saturating_add(1).min(SKIPPED_MAX);
            self.skip = self.skipped;
        }
    }
}

async fn run(ledger: Ledger, mut requests: mpsc::Receiver<Request>, gathering: Arc<Gathering>) {
    let mut patience = Patience::default();
    let mut left_over = None;
    loop {
        let next = match left_over.take() {
            Some(request) => Some(request),
            None => requests.recv().await,
        };
        let Some(first) = next else { return };
        let batch;
        (batch, left_over) = gather(first, &mut requests);
        let (answered, begun) = (batch.len(), Instant::now());
        commit(&ledger, batch).await;
        if left_over.is_none() {
            let wanted = answered.saturating_add(requests.len());
            gathering.wait(&requests, wanted, patience.limit(begun.elapsed())).await;
            patience.learn(wanted, requests.len());
        }
    }
}

/// Takes what is waiting, up to the most that one commit takes; what does not fit is left over.
fn gather(
    first: Request,
    requests: &mut mpsc::Receiver<Request>,
) -> (Vec<Request>, Option<Request>) {
    let mut transfers = first.len();
    let mut batch = vec![first];
    while transfers < TRANSFERS_MAX {
        let Ok(request) = requests.try_recv() else { break };
        transfers = transfers.saturating_add(request.len());
        if transfers > TRANSFERS_MAX {
            return (batch, Some(request));
        }
        batch.push(request);
    }
    (batch, None)
}

async fn commit(ledger: &Ledger, batch: Vec<Request>) {
    let groups: Vec<&[Transfer]> =
        batch.iter().flat_map(|request| request.groups.iter().map(Vec::as_slice)).collect();
    match ledger.post_groups(&groups).await {
        Ok(results) => answer(batch, results),
        // When the database is away, to ask again for each would only take as long for each.
        Err(error) if batch.len() == 1 || error.is_unavailable() => refuse(batch, &error),
        Err(error) => {
            // One request must not fail its neighbours. Should the failed commit have come through
            // after all, the ids say so.
            tracing::warn!(%error, requests = batch.len(), "a group commit failed; one by one");
            one_by_one(ledger, batch).await;
        }
    }
}

async fn one_by_one(ledger: &Ledger, batch: Vec<Request>) {
    for request in batch {
        let groups: Vec<&[Transfer]> = request.groups.iter().map(Vec::as_slice).collect();
        let result = ledger.post_groups(&groups).await;
        // The caller may have gone away.
        let _ = request.answer.send(result);
    }
}

fn answer(batch: Vec<Request>, results: Results) {
    let mut results = results.into_iter();
    for request in batch {
        let own = results.by_ref().take(request.len()).collect();
        let _ = request.answer.send(Ok(own));
    }
}

fn refuse(batch: Vec<Request>, error: &LedgerError) {
    for request in batch {
        let _ = request.answer.send(Err(error.clone()));
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn request() -> Request {
        let room = Arc::new(Semaphore::new(1)).try_acquire_owned();
        Request { groups: Vec::new(), answer: oneshot::channel().0, _room: room.unwrap() }
    }

    #[tokio::test]
    async fn a_wait_ends_when_enough_came_or_its_time_is_over() {
        let (queue, requests) = mpsc::channel(8);
        let gathering = Arc::new(Gathering::default());
        let other = Arc::clone(&gathering);
        let sender = tokio::spawn(async move {
            for number in 1..=3 {
                tokio::time::sleep(Duration::from_millis(5)).await;
                assert!(queue.try_send(request()).is_ok());
                other.came(number);
            }
            queue
        });
        let begun = Instant::now();
        gathering.wait(&requests, 3, Duration::from_secs(600)).await;
        assert_eq!(requests.len(), 3);
        assert!(begun.elapsed() < Duration::from_secs(300), "nobody woke it");
        assert!(sender.await.is_ok());
        gathering.wait(&requests, 4, Duration::from_millis(1)).await;
        gathering.wait(&requests, 4, Duration::ZERO).await;
        assert_eq!(gathering.wanted.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn those_who_do_not_come_back_are_waited_for_less_and_less() {
        let mut patience = Patience::default();
        let commit = Duration::from_millis(3);
        let mut waits = Vec::new();
        for number in 0..300 {
            if !patience.limit(commit).is_zero() {
                waits.push(number);
            }
            patience.learn(64, 1);
        }
        assert_eq!(waits, [0, 2, 6, 14, 30, 62, 126, 190, 254]);
        patience.learn(64, 48);
        assert_eq!(patience.limit(commit), commit / 2);
        assert_eq!(patience.limit(Duration::from_secs(1)), WAIT_MAX);
    }
}
