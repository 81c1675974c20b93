//! The end of an intent: one database transaction posts the money, writes the audit record and sets
//! the state.

use api_audit::Record;
use api_store::Tx;
use chain_core::{
    Action, Amount, BlockRef, ChainFamily, IntentId, Node as _, OutPoint, Purpose, Slot, TxId,
    TxStatus,
};

use super::anchors;
use crate::app::{App, now_ms};
use crate::chains::Chain;
use crate::config::Finality;
use crate::error::Error;
use crate::repo::intents::{self, State, StoredIntent};
use crate::repo::withdrawals::{self, Withdrawal};
use crate::repo::{coins, nonces};

/// Settles the intent if `attempt` is final on its chain; true when the intent is at its end.
pub(crate) async fn included(
    app: &App,
    chain: &Chain,
    stored: &StoredIntent,
    attempt: &TxId,
) -> Result<bool, Error> {
    let node = chain.node().await?;
    let TxStatus::Included { block, confirmations, finalized, success, fee } =
        node.status(attempt).await?
    else {
        return Ok(false);
    };
    if stored.intent.purpose == Purpose::Anchor && success {
        anchors::included(app, chain, stored, attempt, &block, fee).await?;
    }
    let is_final = match finality(app, chain, stored)? {
        Finality::Finalized => finalized,
        Finality::Confirmations(needed) => confirmations >= u64::from(needed),
    };
    if is_final {
        // Once more at the end: with the headers that came after.
        let evidence = match stored.intent.purpose {
            Purpose::Anchor if success => Some(anchors::evidence(chain, attempt).await?),
            _ => None,
        };
        let confirmed = Confirmed { tx: attempt, block: &block, success, fee, evidence };
        end(app, chain, stored, confirmed).await?;
    }
    Ok(is_final)
}

fn finality(app: &App, chain: &Chain, stored: &StoredIntent) -> Result<Finality, Error> {
    let Action::Pay { payments } = &stored.intent.action else { return Ok(chain.config.finality) };
    let mut strictest = None;
    for payment in payments {
        let code = app.chains.code_of(&payment.asset).unwrap_or_default();
        let finality = chain.finality(app.chains.asset(code)?, payment.amount);
        strictest = match (strictest, finality) {
            (Some(Finality::Finalized), _) | (_, Finality::Finalized) => Some(Finality::Finalized),
            (Some(Finality::Confirmations(a)), Finality::Confirmations(b)) => {
                Some(Finality::Confirmations(a.max(b)))
            }
            (None, finality) => Some(finality),
        };
    }
    Ok(strictest.unwrap_or(chain.config.finality))
}

struct Confirmed<'a> {
    tx: &'a TxId,
    block: &'a BlockRef,
    success: bool,
    fee: Amount,
    /// Of an anchor.
    evidence: Option<String>,
}

async fn end(
    app: &App,
    chain: &Chain,
    stored: &StoredIntent,
    confirmed: Confirmed<'_>,
) -> Result<(), Error> {
    let now = now_ms();
    let intent = &stored.intent;
    let to = if confirmed.success { State::Settled } else { State::Failed };
    let mut tx = app.db.begin().await?;
    if !intents::end(&mut tx, intent.id, to, confirmed.tx, confirmed.fee, confirmed.block, now)
        .await?
    {
        return Ok(());
    }
    let native = app.chains.native(chain)?;
    app.book_fee(&mut tx, intent.id.0, intent.purpose, &native.code, confirmed.fee).await?;
    spend_coins(&mut tx, chain, intent.id, &confirmed).await?;
    coins::release(&mut tx, intent.id.0).await?;
    match intent.purpose {
        Purpose::Withdrawal => {
            end_withdrawal(app, &mut tx, stored, confirmed.success, Some(confirmed.tx)).await?
        }
        Purpose::Setup if confirmed.success => nonces::ready(&mut tx, intent.id).await?,
        Purpose::Anchor => {
            let evidence = confirmed.evidence;
            anchors::ended(app, &mut tx, stored, confirmed.success, evidence).await?
        }
        Purpose::Sweep | Purpose::Fuel | Purpose::Setup => {}
    }
    tx.commit().await?;
    metrics::counter!("roadstead_intents_ended_total", "purpose" => intent.purpose.to_string(), "state" => to.text())
        .increment(1);
    tracing::info!(intent = %intent.id, purpose = %intent.purpose, tx = %confirmed.tx, state = to.text(), "ended");
    Ok(())
}

/// Marks the coins that the transaction spent, which the scan of blocks may not have seen yet: they
/// must not be offered to another intent.
async fn spend_coins(
    tx: &mut Tx,
    chain: &Chain,
    id: IntentId,
    confirmed: &Confirmed<'_>,
) -> Result<(), Error> {
    if chain.family() != ChainFamily::Bitcoin {
        return Ok(());
    }
    let unsigned = intents::unsigned_of(tx, id, confirmed.tx).await?;
    let unsigned = unsigned.ok_or_else(|| Error::internal("an attempt has gone"))?;
    for slot in chain_families::describe(&unsigned)?.slots {
        if let Slot::BitcoinOutpoint { txid, vout } = slot {
            let coin = OutPoint { txid, vout };
            let height = confirmed.block.height;
            coins::spend(tx, &chain.config.name, &coin, confirmed.tx, height).await?;
        }
    }
    Ok(())
}

async fn end_withdrawal(
    app: &App,
    tx: &mut Tx,
    stored: &StoredIntent,
    paid: bool,
    confirmed: Option<&TxId>,
) -> Result<(), Error> {
    let withdrawal = withdrawals::by_intent(tx, stored.intent.id).await?;
    let withdrawal = withdrawal.ok_or_else(|| Error::internal("a withdrawal has gone"))?;
    app.end_hold(tx, withdrawal.id, withdrawal.tenant, paid).await?;
    let kind = if paid { "withdrawal.settled" } else { "withdrawal.failed" };
    let mut record = withdrawal_record(&withdrawal, kind);
    if let Some(confirmed) = confirmed {
        record = record.field("tx", &confirmed.0);
    }
    app.audit.append_in(tx, &record).await?;
    Ok(())
}

/// The audit record of a step of a withdrawal. The destination is in the decision's own record.
pub(crate) fn withdrawal_record(withdrawal: &Withdrawal, kind: &str) -> Record {
    Record::new(kind, now_ms())
        .external_id(withdrawal.tenant.to_string(), format!("{kind}:{}", withdrawal.id))
        .stream(format!("withdrawal:{}", withdrawal.id))
        .field("withdrawal", withdrawal.id.to_string())
        .field("chain", &withdrawal.chain)
        .field("asset", &withdrawal.asset)
        .field("amount", withdrawal.amount.to_string())
}

/// The operator's order to cancel a payout, in the audit log before anything comes of it; the first one
/// counts.
pub(crate) async fn record_order(app: &App, id: IntentId, reason: &str) -> Result<(), Error> {
    const KIND: &str = "withdrawal.cancel_ordered";
    let mut tx = app.db.begin().await?;
    let withdrawal = withdrawals::by_intent(&mut tx, id).await?;
    let withdrawal = withdrawal.ok_or_else(|| Error::internal("a withdrawal has gone"))?;
    let (tenant, name) = (withdrawal.tenant.to_string(), format!("{KIND}:{}", withdrawal.id));
    if app.audit.find(&mut tx, &tenant, &name).await?.is_none() {
        let record = withdrawal_record(&withdrawal, KIND).field("reason", reason);
        app.audit.append_in(&mut tx, &record).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Gives up an intent for which nothing was ever signed, and releases what it held; false when it had
/// moved on from the state that it was found in.
pub(crate) async fn give_up(app: &App, stored: &StoredIntent, reason: &str) -> Result<bool, Error> {
    let mut tx = app.db.begin().await?;
    let id = stored.intent.id;
    if !intents::advance(&mut tx, id, stored.state, State::Failed, Some(reason), now_ms()).await? {
        return Ok(false);
    }
    coins::release(&mut tx, id.0).await?;
    match stored.intent.purpose {
        Purpose::Withdrawal => end_withdrawal(app, &mut tx, stored, false, None).await?,
        Purpose::Anchor => anchors::given_up(app, &mut tx, stored, reason).await?,
        Purpose::Sweep | Purpose::Fuel | Purpose::Setup => {}
    }
    tx.commit().await?;
    tracing::warn!(intent = %id, purpose = %stored.intent.purpose, reason, "given up");
    Ok(true)
}
