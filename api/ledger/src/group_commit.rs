//! Many callers, one commit: while one database transaction is made durable, the requests that come
//! in wait; then all of them go into the next one.

use tokio::sync::{mpsc, oneshot};

use crate::posting::Results;
use crate::transfer::{Posted, Transfer};
use crate::{Ledger, LedgerError, PostError, Refusal, TRANSFERS_MAX};

/// How many requests may wait; more are told that the ledger is busy.
const QUEUE_MAX: usize = 16_384;

/// How many turns the callers get between two commits.
const TURNS: u32 = 8;

type Answer = Result<Results, LedgerError>;

struct Request {
    groups: Vec<Vec<Transfer>>,
    answer: oneshot::Sender<Answer>,
}

impl Request {
    fn len(&self) -> usize {
        self.groups.iter().map(Vec::len).sum()
    }
}

/// A front of the ledger that gathers concurrent requests into one commit. Each caller gets its own
/// answer, after the commit. Cloning it is cheap; it stops when all clones are dropped and what
/// waited is done.
#[derive(Clone, Debug)]
pub struct GroupCommit {
    queue: mpsc::Sender<Request>,
}

impl GroupCommit {
    /// Starts the task that commits, on the current tokio runtime.
    #[must_use]
    pub fn start(ledger: Ledger) -> Self {
        let (queue, requests) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(run(ledger, requests));
        Self { queue }
    }

    /// Posts one transfer.
    ///
    /// # Errors
    /// As [`Ledger::post`]; [`LedgerError::Busy`] at once when too many wait.
    pub async fn post(&self, transfer: Transfer) -> Result<Posted, PostError> {
        match self.send(vec![vec![transfer]]).await?.pop() {
            Some(result) => Ok(result?),
            None => Err(Refusal::LegCount.into()),
        }
    }

    /// Posts all transfers or none.
    ///
    /// # Errors
    /// As [`Ledger::post_group`]; [`LedgerError::Busy`] at once when too many wait.
    pub async fn post_group(&self, transfers: Vec<Transfer>) -> Answer {
        self.send(vec![transfers]).await
    }

    /// Posts each transfer by itself.
    ///
    /// # Errors
    /// As [`Ledger::post_batch`]; [`LedgerError::Busy`] at once when too many wait.
    pub async fn post_batch(&self, transfers: Vec<Transfer>) -> Answer {
        self.send(transfers.into_iter().map(|transfer| vec![transfer]).collect()).await
    }

    async fn send(&self, groups: Vec<Vec<Transfer>>) -> Answer {
        let (answer, answered) = oneshot::channel();
        let request = Request { groups, answer };
        if request.len() > TRANSFERS_MAX {
            return Err(LedgerError::TooMany);
        }
        self.queue.try_send(request).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => LedgerError::Busy,
            mpsc::error::TrySendError::Closed(_) => LedgerError::Stopped,
        })?;
        answered.await.unwrap_or(Err(LedgerError::Stopped))
    }
}

async fn run(ledger: Ledger, mut requests: mpsc::Receiver<Request>) {
    let mut left_over = None;
    loop {
        let next = match left_over.take() {
            Some(request) => Some(request),
            None => requests.recv().await,
        };
        let Some(first) = next else { return };
        let batch;
        (batch, left_over) = gather(first, &mut requests);
        let answered = batch.len();
        commit(&ledger, batch).await;
        let_callers_come_back(&requests, answered).await;
    }
}

/// Gives those who were just answered a turn, in which they may send their next request: otherwise
/// the next commit would begin with a few of them, and the callers fall into two halves that wait
/// for one another. It takes no time when nobody comes.
async fn let_callers_come_back(requests: &mpsc::Receiver<Request>, answered: usize) {
    for _ in 0..TURNS {
        if requests.len() >= answered {
            return;
        }
        tokio::task::yield_now().await;
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
        Err(error) if batch.len() == 1 => refuse(batch, &error),
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
