//! Records to signed checkpoints, checkpoints to the chains. An anchor is an intent like any other:
//! built by the executor, judged by the signer's policy.

use api_audit::{Anchor, AnchorState, AnchorUpdate, AuditLog, ServiceLevel};
use api_store::Tx;
use chain_core::{
    Action, Amount, AnchorCommitment, AnchorEvidence, BlockRef, ChainFamily, Intent, IntentId,
    KeyedAddress, Node as _, Purpose, TxId,
};
use signer_protocol::{CheckpointRequest, Signer as _};
use uuid::Uuid;

use super::{replace, treasury};
use crate::app::{App, now_ms};
use crate::chains::Chain;
use crate::config::LogConfig;
use crate::error::Error;
use crate::repo::intents::{self, State, StoredIntent};

/// Gives waiting records their places and has the head of each tree signed.
pub(crate) async fn checkpoint(app: &App) -> Result<(), Error> {
    for log in logs(app).await? {
        checkpoint_log(app, &log).await?;
    }
    Ok(())
}

async fn logs(app: &App) -> Result<Vec<AuditLog>, Error> {
    let mut tx = app.db.read().await?;
    Ok(app.audit.all(&mut tx).await?)
}

async fn checkpoint_log(app: &App, log: &AuditLog) -> Result<(), Error> {
    let now = now_ms();
    let Some(head) = log.seal(&app.db, now).await? else { return Ok(()) };
    let mut tx = app.db.read().await?;
    let latest = log.latest_checkpoint(&mut tx).await?;
    drop(tx);
    if latest.is_some_and(|latest| latest.size == head.size) {
        return Ok(());
    }
    let request =
        CheckpointRequest { origin: head.origin.clone(), size: head.size, root: head.root };
    let signed = app.signer.checkpoint(&request).await?;
    let mut tx = app.db.begin().await?;
    log.store_checkpoint_in(&mut tx, &signed.note, now).await?;
    tx.commit().await?;
    app.remember_journal().await?;
    metrics::counter!("roadstead_checkpoints_total").increment(1);
    Ok(())
}

/// One step for all anchors: makes checkpoints due, starts what is due, follows what is under way,
/// and raises the alarm when a checkpoint waits too long.
pub(crate) async fn step(app: &App) -> Result<(), Error> {
    for log in logs(app).await? {
        schedule(app, &log).await?;
        start_due(app, &log).await?;
        follow(app, &log).await?;
        watch(app, &log).await?;
    }
    Ok(())
}

/// Makes the newest checkpoint due on every chain that anchors, when it is time or there is enough.
async fn schedule(app: &App, log: &AuditLog) -> Result<(), Error> {
    let anchoring = app.chains.iter().filter(|chain| chain.config.anchor);
    let ids: Vec<String> = anchoring.map(|chain| chain.config.id.to_string()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let now = now_ms();
    let mut tx = app.db.read().await?;
    let Some(latest) = log.latest_checkpoint(&mut tx).await? else { return Ok(()) };
    let newest = log.newest_due(&mut tx).await?;
    drop(tx);
    if !is_time(&app.config.log, latest.size, newest, now) {
        return Ok(());
    }
    let mut tx = app.db.begin().await?;
    log.anchor_in(&mut tx, latest.size, &ids, now).await?;
    tx.commit().await?;
    Ok(())
}

/// Whether the newest checkpoint is to be anchored: by the time since the last one, or by the leaves.
fn is_time(config: &LogConfig, size: u64, newest_due: Option<(u64, i64)>, now: i64) -> bool {
    let Some((due_size, due_at)) = newest_due else { return true };
    let leaves = size.saturating_sub(due_size);
    let age = u64::try_from(now.saturating_sub(due_at)).unwrap_or_default();
    leaves > 0
        && (age >= config.anchor_ms || config.anchor_records.is_some_and(|wanted| leaves >= wanted))
}

async fn start_due(app: &App, log: &AuditLog) -> Result<(), Error> {
    let mut tx = app.db.read().await?;
    let due = log.anchors(&mut tx, AnchorState::Due).await?;
    drop(tx);
    for anchor in due {
        // A chain that does not answer, or is not configured any more, does not hold up the others.
        if let Err(error) = start_one(app, log, &anchor).await {
            tracing::warn!(chain = anchor.chain, size = anchor.size, %error, "anchor not started");
        }
    }
    Ok(())
}

async fn start_one(app: &App, log: &AuditLog, anchor: &Anchor) -> Result<(), Error> {
    let chain = app.chains.with_id(&anchor.chain.parse()?)?;
    if !is_ready(chain).await? {
        return Ok(());
    }
    let signers = match chain.family() {
        ChainFamily::Bitcoin => Vec::new(),
        ChainFamily::Evm | ChainFamily::Solana => vec![treasury::treasury(app, chain).await?],
    };
    let mut tx = app.db.begin().await?;
    // Another server may have started it meanwhile.
    let due = log.anchors(&mut tx, AnchorState::Due).await?;
    if due.contains(anchor) {
        start(log, &mut tx, chain, anchor.size, &signers).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// On EVM chains the contract must be there first.
async fn is_ready(chain: &Chain) -> Result<bool, Error> {
    match chain.node().await? {
        chain_nodes::AnyNode::Evm(node) => Ok(node.has_anchor_contract().await?),
        _ => Ok(true),
    }
}

async fn start(
    log: &AuditLog,
    tx: &mut Tx,
    chain: &Chain,
    size: u64,
    signers: &[KeyedAddress],
) -> Result<(), Error> {
    let commitment = log.commitment(tx, size).await?;
    let contract = match chain.family() {
        ChainFamily::Evm => Some(chain_evm::anchor_contract_address(&chain.config.id)),
        ChainFamily::Bitcoin | ChainFamily::Solana => None,
    };
    let intent = Intent {
        id: IntentId(Uuid::now_v7()),
        chain: chain.config.id.clone(),
        purpose: Purpose::Anchor,
        action: Action::Anchor {
            commitment: AnchorCommitment {
                origin: commitment.origin,
                size: commitment.size,
                checkpoint: commitment.checkpoint,
            },
            contract,
        },
        fee_max: chain.config.fee_max,
    };
    let now = now_ms();
    intents::insert(tx, &chain.config.name, &intent, signers, now).await?;
    let update = AnchorUpdate::Built { intent_id: intent.id.to_string() };
    log.update_anchor_in(tx, size, chain.config.id.as_str(), update, now).await?;
    Ok(())
}

/// Writes down how far the anchors under way have come, and pays more for those that are stuck.
async fn follow(app: &App, log: &AuditLog) -> Result<(), Error> {
    for state in [AnchorState::Built, AnchorState::Signed, AnchorState::Sent] {
        let mut tx = app.db.read().await?;
        let anchors = log.anchors(&mut tx, state).await?;
        drop(tx);
        for anchor in anchors {
            follow_one(app, log, &anchor).await?;
        }
    }
    Ok(())
}

async fn follow_one(app: &App, log: &AuditLog, anchor: &Anchor) -> Result<(), Error> {
    let id = anchor.intent_id.as_deref().and_then(|id| id.parse().ok()).map(IntentId);
    let Some(id) = id else { return Ok(()) };
    let mut tx = app.db.read().await?;
    let stored = intents::get(&mut tx, id).await?;
    drop(tx);
    let Some(stored) = stored else { return Ok(()) };
    let signed = stored.signed.as_ref().map(|signed| signed.id.0.clone());
    let update = match (stored.state, signed) {
        (State::Signed, Some(tx)) => AnchorUpdate::Signed { tx },
        (State::Sent | State::Unknown, Some(tx)) => AnchorUpdate::Sent { tx },
        _ => return Ok(()),
    };
    let is_known = match &update {
        AnchorUpdate::Signed { tx } => {
            anchor.state != AnchorState::Built && anchor.tx.as_ref() == Some(tx)
        }
        AnchorUpdate::Sent { tx } => {
            anchor.state == AnchorState::Sent && anchor.tx.as_ref() == Some(tx)
        }
        _ => true,
    };
    if !is_known {
        return set(app, log, anchor, update).await;
    }
    let age = u64::try_from(now_ms().saturating_sub(anchor.updated_at_ms)).unwrap_or_default();
    if anchor.state == AnchorState::Sent && age >= app.config.log.anchor_bump_ms {
        return bump(app, log, anchor, &stored).await;
    }
    Ok(())
}

/// Writes an update, unless the anchor has moved on meanwhile.
async fn set(app: &App, log: &AuditLog, seen: &Anchor, update: AnchorUpdate) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    if log.anchor(&mut tx, seen.size, &seen.chain).await? == *seen {
        log.update_anchor_in(&mut tx, seen.size, &seen.chain, update, now_ms()).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Replaces a transaction that no block takes by one that pays more, within the fee cap. On Solana
/// there is nothing to outbid: the same transaction is sent again until it is taken.
async fn bump(
    app: &App,
    log: &AuditLog,
    anchor: &Anchor,
    stored: &StoredIntent,
) -> Result<(), Error> {
    let chain = app.chains.named(&stored.chain)?;
    let kept = || anchor.tx.clone().unwrap_or_default();
    let tx = if chain.family() == ChainFamily::Solana {
        kept()
    } else {
        match replace::replace(app, stored.intent.id).await {
            Ok(tx) => {
                metrics::counter!("roadstead_anchor_bumps_total", "chain" => stored.chain.clone())
                    .increment(1);
                tracing::info!(chain = anchor.chain, size = anchor.size, %tx, "anchor pays more");
                tx.0
            }
            // The cap is reached, or it was included just now: looked at again after the same time.
            Err(error) => {
                tracing::warn!(chain = anchor.chain, size = anchor.size, %error, "anchor not bumped");
                kept()
            }
        }
    };
    set(app, log, anchor, AnchorUpdate::Sent { tx }).await
}

/// On how many chains a record is to be.
pub(crate) fn wanted(app: &App) -> u64 {
    let all = app.chains.iter().filter(|chain| chain.config.anchor).count() as u64;
    app.config.log.anchor_chains_min.map_or(all, u64::from)
}

/// Whether anchoring keeps its promise.
pub(crate) async fn service_level(
    app: &App,
    tx: &mut Tx,
    log: &AuditLog,
    now: i64,
) -> Result<ServiceLevel, Error> {
    Ok(log.service_level(tx, wanted(app), app.config.log.anchor_deadline_ms, now).await?)
}

/// Whether it is not known yet that the log's anchors are late, or in time.
fn is_news(app: &App, origin: &str, is_late: bool) -> bool {
    let Ok(mut late) = app.late_logs.lock() else { return false };
    if is_late { late.insert(origin.to_owned()) } else { late.remove(origin) }
}

async fn watch(app: &App, log: &AuditLog) -> Result<(), Error> {
    let mut tx = app.db.read().await?;
    let level = service_level(app, &mut tx, log, now_ms()).await?;
    drop(tx);
    let origin = log.origin().to_owned();
    metrics::gauge!("roadstead_anchors_late", "log" => origin.clone()).set(if level.late {
        1.0
    } else {
        0.0
    });
    if is_news(app, &origin, level.late) {
        let ServiceLevel { waiting, anchored_size, chains_wanted, deadline_ms, .. } = level;
        if level.late {
            tracing::error!(
                log = origin,
                ?waiting,
                anchored_size,
                chains_wanted,
                deadline_ms,
                "anchors are late: a checkpoint is not on enough chains in time"
            );
        } else {
            tracing::info!(log = origin, anchored_size, "anchors are in time again");
        }
    }
    Ok(())
}

/// The log and size of the checkpoint that an anchor's intent writes.
async fn checkpoint_of(
    app: &App,
    tx: &mut Tx,
    stored: &StoredIntent,
) -> Result<(AuditLog, u64), Error> {
    let Action::Anchor { commitment, .. } = &stored.intent.action else {
        return Err(Error::internal("an anchor without commitment"));
    };
    let log = app.audit.with_hash(tx, commitment.origin).await?;
    let log = log.ok_or_else(|| Error::internal("an anchor of no log"))?;
    Ok((log, commitment.size))
}

/// The anchor is in a block: keep the evidence. It is fetched once for each block, and not again while
/// the transaction stays in that block.
pub(crate) async fn included(
    app: &App,
    chain: &Chain,
    stored: &StoredIntent,
    tx_id: &TxId,
    block: &BlockRef,
    fee: Amount,
) -> Result<(), Error> {
    let id = chain.config.id.as_str();
    let mut tx = app.db.read().await?;
    let (log, size) = checkpoint_of(app, &mut tx, stored).await?;
    let anchor = log.anchor(&mut tx, size, id).await?;
    drop(tx);
    let is_known = anchor.state.is_anchored()
        && anchor.tx.as_deref() == Some(tx_id.0.as_str())
        && anchor.block.as_deref() == Some(block.hash.as_str());
    if is_known {
        return Ok(());
    }
    let evidence = evidence(chain, tx_id).await?;
    let update =
        AnchorUpdate::Included { tx: tx_id.0.clone(), fee: Some(fee.to_string()), evidence };
    let mut tx = app.db.begin().await?;
    log.update_anchor_in(&mut tx, size, id, update, now_ms()).await?;
    log.note_anchor_block_in(&mut tx, size, id, &block.hash).await?;
    tx.commit().await?;
    Ok(())
}

/// The anchor is in no block now: when it was in one, a reorganisation took it, and its evidence with
/// it. The same transaction is sent again.
pub(crate) async fn not_included(app: &App, stored: &StoredIntent) -> Result<(), Error> {
    let chain = stored.intent.chain.as_str();
    let mut tx = app.db.read().await?;
    let (log, size) = checkpoint_of(app, &mut tx, stored).await?;
    let state = log.anchor(&mut tx, size, chain).await?.state;
    drop(tx);
    if state == AnchorState::Included {
        let mut tx = app.db.begin().await?;
        let update = AnchorUpdate::ReorganisedOut;
        log.update_anchor_in(&mut tx, size, chain, update, now_ms()).await?;
        tx.commit().await?;
        metrics::counter!("roadstead_anchors_reorganised_total", "chain" => chain.to_owned())
            .increment(1);
        tracing::warn!(chain, size, "an anchor's block was reorganised out");
    }
    Ok(())
}

/// The evidence as the chain has it now.
pub(crate) async fn evidence(chain: &Chain, tx_id: &TxId) -> Result<String, Error> {
    metrics::counter!("roadstead_anchor_evidence_total", "chain" => chain.config.name.clone())
        .increment(1);
    let evidence: AnchorEvidence =
        chain.node().await?.evidence(tx_id, chain.config.evidence_headers).await?;
    Ok(serde_json::to_string(&evidence)?)
}

/// The anchor's transaction is final: proved for good, or, when it failed there, to be done again.
pub(crate) async fn ended(
    app: &App,
    tx: &mut Tx,
    stored: &StoredIntent,
    success: bool,
    evidence: Option<String>,
) -> Result<(), Error> {
    let update = if success {
        AnchorUpdate::Final { evidence }
    } else {
        AnchorUpdate::Again { problem: "the transaction failed on the chain".into() }
    };
    let (log, size) = checkpoint_of(app, tx, stored).await?;
    log.update_anchor_in(tx, size, stored.intent.chain.as_str(), update, now_ms()).await?;
    Ok(())
}

/// The signer or the chain's rules refused it before anything was signed.
pub(crate) async fn given_up(
    app: &App,
    tx: &mut Tx,
    stored: &StoredIntent,
    reason: &str,
) -> Result<(), Error> {
    let update = AnchorUpdate::Failed { problem: reason.to_owned() };
    let (log, size) = checkpoint_of(app, tx, stored).await?;
    log.update_anchor_in(tx, size, stored.intent.chain.as_str(), update, now_ms()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn config(more: &str) -> LogConfig {
        toml::from_str(&format!("origin = \"bank.example/log\"\nanchor_ms = 1000\n{more}")).unwrap()
    }

    #[test]
    fn checkpoints_are_due_by_time_or_by_count() {
        let by_time = config("");
        assert!(is_time(&by_time, 1, None, 0));
        assert!(!is_time(&by_time, 10, Some((5, 0)), 999));
        assert!(is_time(&by_time, 10, Some((5, 0)), 1_000));
        assert!(!is_time(&by_time, 5, Some((5, 0)), 9_000), "nothing is new");
        assert!(!is_time(&by_time, 10, Some((5, 0)), -1), "the clock was set back");
        let by_count = config("anchor_records = 100");
        assert!(!is_time(&by_count, 104, Some((5, 0)), 1));
        assert!(is_time(&by_count, 105, Some((5, 0)), 1));
        assert!(is_time(&by_count, 6, Some((5, 0)), 1_000));
    }
}
