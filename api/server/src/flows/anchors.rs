//! Records to signed checkpoints, checkpoints to the chains. An anchor is an intent like any other:
//! built by the executor, judged by the signer's policy.

use api_audit::{Anchor, AnchorState, AnchorUpdate};
use api_store::Tx;
use chain_core::{
    Action, Amount, AnchorCommitment, AnchorEvidence, ChainFamily, Intent, IntentId, KeyedAddress,
    Node as _, Purpose, TxId,
};
use signer_protocol::{CheckpointRequest, Signer as _};
use uuid::Uuid;

use super::treasury;
use crate::app::{App, now_ms};
use crate::chains::Chain;
use crate::error::Error;
use crate::repo::intents::{self, StoredIntent};

/// Gives waiting records their places and has the tree's head signed.
pub(crate) async fn checkpoint(app: &App) -> Result<(), Error> {
    let now = now_ms();
    let Some(head) = app.audit.seal(&app.db, now).await.map_err(Error::internal)? else {
        return Ok(());
    };
    let mut tx = app.db.read().await?;
    let latest = app.audit.latest_checkpoint(&mut tx).await.map_err(Error::internal)?;
    drop(tx);
    if latest.is_some_and(|latest| latest.size == head.size) {
        return Ok(());
    }
    let request =
        CheckpointRequest { origin: head.origin.clone(), size: head.size, root: head.root };
    let signed = app.signer.checkpoint(&request).await?;
    let mut tx = app.db.begin().await?;
    app.audit.store_checkpoint_in(&mut tx, &signed.note, now).await.map_err(Error::internal)?;
    tx.commit().await?;
    app.remember_journal().await?;
    metrics::counter!("roadstead_checkpoints_total").increment(1);
    Ok(())
}

/// Makes the newest checkpoint due on every chain that anchors, and gives each due anchor an intent.
pub(crate) async fn schedule(app: &App) -> Result<(), Error> {
    let anchoring: Vec<&Chain> = app.chains.iter().filter(|chain| chain.config.anchor).collect();
    if anchoring.is_empty() {
        return Ok(());
    }
    let mut tx = app.db.begin().await?;
    let Some(latest) = app.audit.latest_checkpoint(&mut tx).await.map_err(Error::internal)? else {
        return Ok(());
    };
    let ids: Vec<String> = anchoring.iter().map(|chain| chain.config.id.to_string()).collect();
    app.audit.anchor_in(&mut tx, latest.size, &ids, now_ms()).await.map_err(Error::internal)?;
    tx.commit().await?;
    start_due(app).await
}

async fn start_due(app: &App) -> Result<(), Error> {
    let mut tx = app.db.read().await?;
    let due = app.audit.anchors(&mut tx, AnchorState::Due).await.map_err(Error::internal)?;
    drop(tx);
    for anchor in due {
        // A chain that does not answer, or is not configured any more, does not hold up the others.
        if let Err(error) = start_one(app, &anchor).await {
            tracing::warn!(chain = anchor.chain, size = anchor.size, %error, "anchor not started");
        }
    }
    Ok(())
}

async fn start_one(app: &App, anchor: &Anchor) -> Result<(), Error> {
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
    let due = app.audit.anchors(&mut tx, AnchorState::Due).await.map_err(Error::internal)?;
    if due.contains(anchor) {
        start(app, &mut tx, chain, anchor.size, &signers).await?;
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
    app: &App,
    tx: &mut Tx,
    chain: &Chain,
    size: u64,
    signers: &[KeyedAddress],
) -> Result<(), Error> {
    let commitment = app.audit.commitment(tx, size).await.map_err(Error::internal)?;
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
    app.audit
        .update_anchor_in(tx, size, chain.config.id.as_str(), update, now)
        .await
        .map_err(Error::internal)?;
    Ok(())
}

/// The size of the checkpoint that an anchor's intent writes.
fn size_of(stored: &StoredIntent) -> Result<u64, Error> {
    match &stored.intent.action {
        Action::Anchor { commitment, .. } => Ok(commitment.size),
        _ => Err(Error::internal("an anchor without commitment")),
    }
}

/// The anchor is in a block: keep the evidence.
pub(crate) async fn included(
    app: &App,
    chain: &Chain,
    stored: &StoredIntent,
    tx_id: &TxId,
    fee: Amount,
) -> Result<(), Error> {
    let evidence = evidence(chain, tx_id).await?;
    let update =
        AnchorUpdate::Included { tx: tx_id.0.clone(), fee: Some(fee.to_string()), evidence };
    let mut tx = app.db.begin().await?;
    app.audit
        .update_anchor_in(&mut tx, size_of(stored)?, chain.config.id.as_str(), update, now_ms())
        .await
        .map_err(Error::internal)?;
    tx.commit().await?;
    Ok(())
}

/// The anchor is in no block now: when it was in one, a reorganisation took it, and its evidence with
/// it. The same transaction is sent again.
pub(crate) async fn not_included(app: &App, stored: &StoredIntent) -> Result<(), Error> {
    let (size, chain) = (size_of(stored)?, stored.intent.chain.as_str());
    let mut tx = app.db.begin().await?;
    let included = app.audit.anchors(&mut tx, AnchorState::Included).await?;
    if included.iter().any(|anchor| anchor.size == size && anchor.chain == chain) {
        let update = AnchorUpdate::ReorganisedOut;
        app.audit.update_anchor_in(&mut tx, size, chain, update, now_ms()).await?;
        tx.commit().await?;
    }
    Ok(())
}

async fn evidence(chain: &Chain, tx_id: &TxId) -> Result<String, Error> {
    let evidence: AnchorEvidence =
        chain.node().await?.evidence(tx_id, chain.config.evidence_headers).await?;
    Ok(serde_json::to_string(&evidence)?)
}

/// The anchor's transaction is final: proved for good, or, when it failed there, to be done again.
pub(crate) async fn ended(
    app: &App,
    tx: &mut Tx,
    chain: &Chain,
    stored: &StoredIntent,
    success: bool,
) -> Result<(), Error> {
    let update = if success {
        AnchorUpdate::Final { evidence: None }
    } else {
        AnchorUpdate::Again { problem: "the transaction failed on the chain".into() }
    };
    app.audit
        .update_anchor_in(tx, size_of(stored)?, chain.config.id.as_str(), update, now_ms())
        .await
        .map_err(Error::internal)?;
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
    app.audit
        .update_anchor_in(tx, size_of(stored)?, stored.intent.chain.as_str(), update, now_ms())
        .await
        .map_err(Error::internal)?;
    Ok(())
}
