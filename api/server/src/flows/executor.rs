//! One loop carries out every intent: withdrawals, sweeps, fuel, anchors, preparation. All go
//! through the same states and the same signer.

use chain_core::{BroadcastOutcome, Node as _, Purpose, SignedTx, TxId, TxStatus};

use super::prepare::{self, Progress};
use super::{anchors, replace, settle};
use crate::app::{App, now_ms};
use crate::chains::Chain;
use crate::error::Error;
use crate::repo::intents::{self, State, StoredIntent};

/// After this long without a trace a transaction is sent again, the same bytes.
const REBROADCAST_AFTER_MS: i64 = 15_000;
/// A blockhash of Solana is good for 150 slots of 0.4 seconds; after this one it surely is not.
const EXPIRES_AFTER_MS: i64 = 180_000;

/// Moves every live intent of a chain one step on. One that cannot move does not hold up the others.
pub(crate) async fn step(app: &App, chain: &Chain) -> Result<(), Error> {
    let mut tx = app.db.read().await?;
    let live = intents::live(&mut tx, &chain.config.name).await?;
    drop(tx);
    metrics::gauge!("roadstead_intents_live", "chain" => chain.config.name.clone())
        .set(u32::try_from(live.len()).map_or(f64::MAX, f64::from));
    let halted = prepare::halted(app, chain).await?;
    for id in live {
        // Read one by one: a step may take long, and meanwhile much may happen.
        let mut tx = app.db.read().await?;
        let Some(stored) = intents::get(&mut tx, id).await? else { continue };
        drop(tx);
        if halted.is_some() && stored.state != State::Sent {
            continue;
        }
        if let Err(error) = advance(app, chain, &stored).await {
            tracing::warn!(intent = %stored.intent.id, state = stored.state.text(), %error, "not moved");
            let mut tx = app.db.begin().await?;
            intents::note(&mut tx, stored.intent.id, &error.to_string()).await?;
            tx.commit().await?;
        }
    }
    Ok(())
}

async fn advance(app: &App, chain: &Chain, stored: &StoredIntent) -> Result<(), Error> {
    let mut stored = stored.clone();
    // What was found `built` may have been shown to the signer before.
    let is_fresh = stored.state == State::Reserved;
    // A fresh intent goes all the way to `sent` in one step.
    loop {
        let progress = match stored.state {
            State::Reserved if prepare::is_resting(&stored) => return Ok(()),
            State::Reserved => prepare::build(app, chain, &stored).await?,
            State::Built => prepare::sign(app, &stored, is_fresh).await?,
            State::Signed => {
                fail_point("signed");
                return send(app, chain, &stored).await;
            }
            State::Sent | State::Unknown => return follow(app, chain, &stored).await,
            State::Settled | State::Failed => return Ok(()),
        };
        match progress {
            Progress::Moved => stored = reload(app, &stored).await?,
            Progress::Waits(reason) => return note(app, &stored, &reason).await,
            Progress::Impossible(reason) => {
                return settle::give_up(app, &stored, &reason).await.map(drop);
            }
        }
    }
}

async fn reload(app: &App, stored: &StoredIntent) -> Result<StoredIntent, Error> {
    let mut tx = app.db.read().await?;
    let found = intents::get(&mut tx, stored.intent.id).await?;
    found.ok_or_else(|| Error::internal("an intent has gone"))
}

async fn note(app: &App, stored: &StoredIntent, reason: &str) -> Result<(), Error> {
    if stored.problem.as_deref() == Some(reason) {
        return Ok(());
    }
    tracing::info!(intent = %stored.intent.id, reason, "waits");
    let mut tx = app.db.begin().await?;
    intents::note(&mut tx, stored.intent.id, reason).await?;
    tx.commit().await?;
    Ok(())
}

/// Sends what is signed. Whatever the node says, only the chain decides what became of it.
async fn send(app: &App, chain: &Chain, stored: &StoredIntent) -> Result<(), Error> {
    let signed = signed(stored)?;
    let outcome = chain.node().await?.broadcast(signed).await;
    let (to, problem) = match outcome {
        Ok(BroadcastOutcome::Accepted | BroadcastOutcome::AlreadyKnown) => (State::Sent, None),
        Ok(BroadcastOutcome::Rejected { reason }) => {
            (State::Unknown, Some(format!("a node refused it: {reason}")))
        }
        Err(error) => {
            (State::Unknown, Some(format!("it is not known whether a node has it: {error}")))
        }
    };
    if let Some(problem) = &problem {
        tracing::warn!(intent = %stored.intent.id, tx = %signed.id, problem, "outcome unknown");
        metrics::counter!("roadstead_outcome_unknown_total", "chain" => chain.config.name.clone())
            .increment(1);
    }
    if stored.state == to && stored.problem == problem {
        return Ok(());
    }
    let mut tx = app.db.begin().await?;
    intents::advance(&mut tx, stored.intent.id, stored.state, to, problem.as_deref(), now_ms())
        .await?;
    tx.commit().await?;
    Ok(())
}

fn signed(stored: &StoredIntent) -> Result<&SignedTx, Error> {
    stored.signed.as_ref().ok_or_else(|| Error::internal("signed without bytes"))
}

/// Looks where the attempts are, and settles the intent once one of them is final.
async fn follow(app: &App, chain: &Chain, stored: &StoredIntent) -> Result<(), Error> {
    let node = chain.node().await?;
    let mut tx = app.db.read().await?;
    let attempts = intents::attempts(&mut tx, stored.intent.id).await?;
    drop(tx);
    // Of several attempts the newest is to be with a node, also while an older one is still there.
    let (mut is_newest_there, mut is_included) = (false, false);
    for attempt in &attempts {
        match node.status(attempt).await? {
            TxStatus::Included { .. } if settle::included(app, chain, stored, attempt).await? => {
                return Ok(());
            }
            TxStatus::Included { .. } => (is_newest_there, is_included) = (true, true),
            TxStatus::Pending => is_newest_there = true,
            TxStatus::NotFound => is_newest_there = false,
        }
    }
    if !is_included && stored.intent.purpose == Purpose::Anchor {
        anchors::not_included(app, stored).await?;
    }
    if is_included || is_newest_there {
        return settle_unknown(app, stored).await;
    }
    let age = now_ms().saturating_sub(stored.updated_at);
    if age > EXPIRES_AFTER_MS && replace::expires(&stored.intent) {
        return replace::replace(app, stored.intent.id).await.map(|_| ());
    }
    if age > REBROADCAST_AFTER_MS || stored.state == State::Unknown {
        return send(app, chain, stored).await;
    }
    Ok(())
}

/// An outcome that was unknown is known again: the transaction is on its way.
async fn settle_unknown(app: &App, stored: &StoredIntent) -> Result<(), Error> {
    if stored.state == State::Unknown {
        let mut tx = app.db.begin().await?;
        intents::advance(&mut tx, stored.intent.id, State::Unknown, State::Sent, None, now_ms())
            .await?;
        tx.commit().await?;
    }
    Ok(())
}

/// The transaction ids under which an intent may be found on its chain.
pub(crate) async fn attempts(app: &App, stored: &StoredIntent) -> Result<Vec<TxId>, Error> {
    let mut tx = app.db.read().await?;
    Ok(intents::attempts(&mut tx, stored.intent.id).await?)
}

/// Where a test may stop the process: `ROADSTEAD_STOP_AT=signed` makes the server wait there for
/// ever, so that it can be killed between `signed` and `sent`.
fn fail_point(name: &str) {
    if std::env::var("ROADSTEAD_STOP_AT").is_ok_and(|point| point == name) {
        tracing::warn!(name, "stopped at a fail point");
        loop {
            std::thread::park();
        }
    }
}
