//! The loops that run the flows, each for ever until the server stops.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{anchors, care, deposits, executor, setup, topups, witnesses};
use crate::app::{App, now_ms};
use crate::chains::Chain;
use crate::error::Error;
use crate::repo::facts;

/// A holder that has not renewed its lease for this long is taken for dead.
const LEASE_MS: i64 = 30_000;
/// How long a job that failed waits before it is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(2);
const ANCHOR_POLL: Duration = Duration::from_secs(1);
const BANK_POLL: Duration = Duration::from_millis(500);
const LEDGER_POLL: Duration = Duration::from_secs(1);
const LEDGER_BATCH: u32 = 1_000;
const EVENTS_POLL: Duration = Duration::from_millis(200);
const SETUP_POLL: Duration = Duration::from_secs(1);

/// Starts all jobs; they end when `stop` turns true.
#[must_use]
pub(crate) fn start(app: &App, stop: &watch::Receiver<bool>) -> JoinSet<()> {
    let mut jobs = JoinSet::new();
    for chain in app.config.chains.iter().map(|chain| chain.name.clone()) {
        spawn_chain_jobs(&mut jobs, app, &chain, stop);
    }
    if app.config.signer.is_some() {
        spawn_log_jobs(&mut jobs, app, stop);
    }
    spawn(&mut jobs, app, "bank", BANK_POLL, stop, |app| async move {
        topups::step(&app).await.map(|()| false)
    });
    care::start(&mut jobs, app, stop);
    spawn(
        &mut jobs,
        app,
        "ledger",
        LEDGER_POLL,
        stop,
        |app| async move { tidy_ledger(&app).await },
    );
    if let Some(webhooks) = app.webhooks.clone() {
        // Each receiver is leased by itself, so every server takes its share.
        let stop = stop.clone();
        jobs.spawn(async move { webhooks.run(stop).await });
    }
    spawn(
        &mut jobs,
        app,
        "events",
        EVENTS_POLL,
        stop,
        |app| async move { place_events(&app).await },
    );
    jobs
}

/// Without a signer nobody can sign a checkpoint; records wait in their order.
fn spawn_log_jobs(jobs: &mut JoinSet<()>, app: &App, stop: &watch::Receiver<bool>) {
    let checkpoint = Duration::from_millis(app.config.log.checkpoint_ms);
    spawn(jobs, app, "checkpoint", checkpoint, stop, |app| async move {
        anchors::checkpoint(&app).await.map(|()| false)
    });
    let anchor = Duration::from_millis(app.config.log.anchor_ms).min(ANCHOR_POLL);
    spawn(jobs, app, "anchor", anchor, stop, |app| async move {
        anchors::step(&app).await.map(|()| false)
    });
    for witness in &app.config.log.witnesses {
        let asked = Arc::new(witnesses::Asked::new(witness.clone()));
        spawn(jobs, app, &format!("witness:{}", witness.name), checkpoint, stop, move |app| {
            let asked = Arc::clone(&asked);
            async move { witnesses::step(&app, &asked).await }
        });
    }
}

/// Releases pending transfers whose time is over; true while there are more.
async fn tidy_ledger(app: &App) -> Result<bool, Error> {
    Ok(is_full(app.ledger.expire_pending(LEDGER_BATCH).await?))
}

/// Gives events their public places; true while there are more.
async fn place_events(app: &App) -> Result<bool, Error> {
    Ok(is_full(app.ledger.place_events(LEDGER_BATCH).await?))
}

fn is_full(count: usize) -> bool {
    u32::try_from(count).is_ok_and(|count| count >= LEDGER_BATCH)
}

fn spawn_chain_jobs(jobs: &mut JoinSet<()>, app: &App, chain: &str, stop: &watch::Receiver<bool>) {
    let poll = app.chains.named(chain).map_or(RETRY_AFTER, Chain::poll);
    let name = chain.to_owned();
    spawn(jobs, app, &format!("scan:{chain}"), poll, stop, move |app| {
        let name = name.clone();
        async move { deposits::step(&app, app.chains.named(&name)?).await }
    });
    let name = chain.to_owned();
    spawn(jobs, app, &format!("execute:{chain}"), poll, stop, move |app| {
        let name = name.clone();
        async move { executor::step(&app, app.chains.named(&name)?).await.map(|()| false) }
    });
    let name = chain.to_owned();
    spawn(jobs, app, &format!("setup:{chain}"), SETUP_POLL, stop, move |app| {
        let name = name.clone();
        async move { setup::step(&app, app.chains.named(&name)?).await.map(|()| false) }
    });
}

/// Runs `step` again and again: at once while it answers true, else after `pause`.
pub(super) fn spawn<F, Fut>(
    jobs: &mut JoinSet<()>,
    app: &App,
    name: &str,
    pause: Duration,
    stop: &watch::Receiver<bool>,
    step: F,
) where
    F: Fn(App) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<bool, Error>> + Send,
{
    let (app, name, mut stop) = (app.clone(), name.to_owned(), stop.clone());
    jobs.spawn(async move {
        while !*stop.borrow() {
            let wait = run_once(&app, &name, pause, &step).await;
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stop.changed() => {}
            }
        }
    });
}

async fn run_once<F, Fut>(app: &App, name: &str, pause: Duration, step: &F) -> Duration
where
    F: Fn(App) -> Fut,
    Fut: Future<Output = Result<bool, Error>>,
{
    let outcome = match has_lease(app, name).await {
        Ok(true) => step(app.clone()).await,
        Ok(false) => return pause,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(more) => {
            // An alarm watches that this keeps growing: "the job did not run" is visible.
            metrics::counter!("roadstead_job_runs_total", "job" => name.to_owned()).increment(1);
            if more { Duration::ZERO } else { pause }
        }
        Err(error) => {
            metrics::counter!("roadstead_job_failures_total", "job" => name.to_owned())
                .increment(1);
            tracing::warn!(job = name, %error, "job failed, will be tried again");
            RETRY_AFTER.max(pause)
        }
    }
}

/// On SQLite there is one server; on PostgreSQL the lease keeps several from doing the same work.
async fn has_lease(app: &App, name: &str) -> Result<bool, Error> {
    if app.db.engine() == api_store::Engine::Sqlite {
        return Ok(true);
    }
    let now = now_ms();
    let mut tx = app.db.begin().await?;
    let held =
        facts::lease(&mut tx, name, &app.instance, now, now.saturating_add(LEASE_MS)).await?;
    tx.commit().await?;
    Ok(held)
}
