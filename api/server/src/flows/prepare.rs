//! From `reserved` to `signed`: the node's context, the family's `build`, the signer's signatures.

use std::collections::BTreeMap;

use api_store::Tx;
use chain_core::{
    Action, BuildError, ChainFamily, Coin, Context, ContextRequest, EvmContext, FeeTier, Intent,
    KeyPath, KeyedAddress, Node as _, NodeError, OutPoint, Purpose, Slot, UnsignedTx,
};
use signer_protocol::{Refusal, RefusalCode, SignRequest, Signer as _, SignerError};

use super::{deposits, treasury};
use crate::app::{App, now_ms};
use crate::chains::Chain;
use crate::error::Error;
use crate::repo::intents::{Place, StoredIntent};
use crate::repo::{addresses, coins, facts, intents, nonces};

/// What came of trying to move an intent on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It moved.
    Moved,
    /// It waits for something that is expected to change.
    Waits(String),
    /// It can never be done, and nothing was signed for it.
    Impossible(String),
}

/// Builds what is `reserved`.
pub(crate) async fn build(
    app: &App,
    chain: &Chain,
    stored: &StoredIntent,
) -> Result<Progress, Error> {
    if has_unsigned(app, chain, &stored.signers).await? {
        return Ok(Progress::Waits("an earlier transaction is not signed yet".into()));
    }
    let request = match request(app, chain, &stored.intent, &stored.signers).await? {
        Ok(request) => request,
        Err(waits) => return Ok(Progress::Waits(waits)),
    };
    let context = match chain.node().await?.context(&request).await {
        Ok(context) => with_nonce(app, chain, context).await?,
        Err(NodeError::NotAvailable(what)) => return Ok(Progress::Waits(what)),
        Err(error) => return Err(error.into()),
    };
    match chain_families::build(&stored.intent, &context) {
        Ok(unsigned) => {
            let mut tx = app.db.begin().await?;
            let moved =
                store_built(&mut tx, chain, &stored.intent, &unsigned, &context, &request).await?;
            if moved {
                tx.commit().await?;
            }
            Ok(if moved {
                Progress::Moved
            } else {
                Progress::Waits("its place on the chain was taken meanwhile".into())
            })
        }
        Err(error) => Ok(classify(&error)),
    }
}

fn classify(error: &BuildError) -> Progress {
    match error {
        // The treasury may be filled, fees may fall.
        BuildError::Insufficient { .. } | BuildError::FeeOverCap { .. } => {
            Progress::Waits(error.to_string())
        }
        BuildError::Id(_)
        | BuildError::Amount(_)
        | BuildError::Zero
        | BuildError::Dust { .. }
        | BuildError::Unsupported(_)
        | BuildError::Malformed(_)
        | BuildError::BadSignature(_) => Progress::Impossible(error.to_string()),
    }
}

/// Stores the bytes together with the place on the chain that they take.
pub(crate) async fn store_built(
    tx: &mut Tx,
    chain: &Chain,
    intent: &Intent,
    unsigned: &UnsignedTx,
    context: &Context,
    request: &ContextRequest,
) -> Result<bool, Error> {
    if !reserve_coins(tx, chain, intent, unsigned).await? {
        return Ok(false);
    }
    let evm = match context {
        Context::Evm(EvmContext { sender, nonce, .. }) => {
            Some((sender.address.as_str().to_owned(), *nonce))
        }
        Context::Bitcoin(_) | Context::Solana(_) => None,
    };
    let nonce_account = request.nonce_account.as_ref().map(|account| account.as_str().to_owned());
    let place = Place { evm, nonce_account };
    Ok(intents::built(tx, intent.id, unsigned, place, now_ms()).await?)
}

/// True while an account on an EVM chain has a transaction that is not signed: should that one be
/// given up, those after it would wait for its nonce for ever.
async fn has_unsigned(app: &App, chain: &Chain, signers: &[KeyedAddress]) -> Result<bool, Error> {
    let (ChainFamily::Evm, Some(sender)) = (chain.family(), signers.first()) else {
        return Ok(false);
    };
    let mut tx = app.db.read().await?;
    Ok(intents::has_unsigned(&mut tx, &chain.config.name, sender.address.as_str()).await?)
}

/// The context with the nonce that is next by the chain's count and by the transactions of ours that
/// it does not count yet.
pub(crate) async fn with_nonce(
    app: &App,
    chain: &Chain,
    context: Context,
) -> Result<Context, Error> {
    let Context::Evm(mut evm) = context else { return Ok(context) };
    let (name, sender) = (&chain.config.name, evm.sender.address.as_str());
    let mut tx = app.db.read().await?;
    evm.nonce = intents::free_nonce(&mut tx, name, sender, evm.nonce).await?;
    Ok(Context::Evm(evm))
}

/// Reserves the coins that the bytes spend; false when another intent has one of them.
pub(crate) async fn reserve_coins(
    tx: &mut Tx,
    chain: &Chain,
    intent: &Intent,
    unsigned: &UnsignedTx,
) -> Result<bool, Error> {
    for slot in chain_families::describe(unsigned)?.slots {
        if let Slot::BitcoinOutpoint { txid, vout } = slot {
            let coin = OutPoint { txid, vout };
            if !coins::reserve(tx, &chain.config.name, &coin, intent.id.0).await? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// What to ask the node for; the inner error says what the intent waits for.
pub(crate) async fn request(
    app: &App,
    chain: &Chain,
    intent: &Intent,
    signers: &[KeyedAddress],
) -> Result<Result<ContextRequest, String>, Error> {
    let mut request = ContextRequest {
        action: intent.action.clone(),
        signers: signers.to_vec(),
        tier: FeeTier::Normal,
        coins: Vec::new(),
        must_spend: Vec::new(),
        change: None,
        nonce_floor: 0,
        nonce_account: None,
    };
    match chain.family() {
        ChainFamily::Bitcoin => {
            request.coins = treasury_coins(app, chain).await?;
            request.change = Some(treasury::change(app, chain).await?);
            if request.coins.is_empty() {
                return Ok(Err("the treasury has no coin that can be spent now".into()));
            }
        }
        ChainFamily::Evm => {}
        ChainFamily::Solana => {
            if !matches!(intent.action, Action::CreateNonceAccount { .. }) {
                let payer = signers
                    .first()
                    .ok_or_else(|| Error::internal("a Solana intent without payer"))?;
                let mut tx = app.db.read().await?;
                let free =
                    nonces::free(&mut tx, &chain.config.name, payer.address.as_str()).await?;
                let Some(free) = free else {
                    return Ok(Err("all durable nonce accounts are in use".into()));
                };
                request.nonce_account = Some(chain_solana::nonce_address(&payer.address, free)?);
            }
        }
    }
    Ok(Ok(request))
}

async fn treasury_coins(app: &App, chain: &Chain) -> Result<Vec<Coin>, Error> {
    let own = |key: KeyPath| key.account() == KeyPath::TREASURY;
    coins_of(app, chain, own).await
}

/// The spendable coins of the addresses whose key satisfies `wanted`.
pub(crate) async fn coins_of(
    app: &App,
    chain: &Chain,
    wanted: impl Fn(KeyPath) -> bool + Send,
) -> Result<Vec<Coin>, Error> {
    let tip = chain.node().await?.tip().await?;
    let (height_max, coinbase_max) = deposits::spendable_heights(chain, &tip);
    let mut tx = app.db.read().await?;
    let issued = addresses::of_chain(&mut tx, &chain.config.name).await?;
    let stored = coins::spendable(&mut tx, &chain.config.name, height_max, coinbase_max).await?;
    drop(tx);
    let owners: BTreeMap<&str, _> =
        issued.iter().map(|issued| (issued.address.as_str(), issued)).collect();
    let mut found = Vec::new();
    for coin in stored {
        let Some(owner) = owners.get(coin.address.as_str()).filter(|owner| wanted(owner.key))
        else {
            continue;
        };
        let owner = owner.keyed(&chain.config.id)?;
        found.push(Coin { outpoint: coin.outpoint, amount: coin.amount, owner });
    }
    Ok(found)
}

/// Has what is `built` signed, and stores the signed bytes before anything is sent. The same bytes
/// again get the same signatures, so a crash in between does no harm. `is_first` says that the signer
/// has surely never seen these bytes.
pub(crate) async fn sign(
    app: &App,
    stored: &StoredIntent,
    is_first: bool,
) -> Result<Progress, Error> {
    let Some(unsigned) = &stored.unsigned else {
        return Err(Error::internal("built without bytes"));
    };
    let request = SignRequest { intent: stored.intent.clone(), unsigned: unsigned.clone() };
    let answer = match app.signer.sign(&request).await {
        Ok(answer) => answer,
        Err(SignerError::Refused(refusal)) => {
            return refused(app, stored, is_first, &refusal).await;
        }
        Err(error) => return Ok(Progress::Waits(error.to_string())),
    };
    let signed = chain_families::assemble(unsigned, &answer.signatures)?;
    if signed.id != answer.tx {
        return Err(Error::internal("the signer names another transaction id"));
    }
    let mut tx = app.db.begin().await?;
    if intents::signed(&mut tx, stored.intent.id, unsigned, &signed, now_ms()).await? {
        tx.commit().await?;
    }
    app.remember_journal().await?;
    Ok(Progress::Moved)
}

const REFUSED: &str = "the signer refused";
/// What the signer refused for now is shown to it again after this long.
const REST_MS: i64 = 5_000;

/// What a refusal means for the intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It is given up.
    Never,
    /// The place on the chain is given back meanwhile.
    Later,
    /// An earlier request may have been granted and its answer lost: the bytes stay.
    Unclear,
}

/// The signer looks for an earlier signature of the same bytes before it asks its policy, so policy
/// and limits are proof that there is none; and it cancels only what it has not signed. Freezes and its own state come before that.
///
/// A conflict can mean that this intent was signed with other bytes, of which this database, set back
/// to an older copy, does not know: giving its hold back could pay twice.
const fn verdict(code: RefusalCode, is_first: bool) -> Verdict {
    match code {
        RefusalCode::Policy | RefusalCode::Cancelled => Verdict::Never,
        RefusalCode::BadRequest
        | RefusalCode::IntentMismatch
        | RefusalCode::KeyMismatch
        | RefusalCode::CheckpointConflict
            if is_first =>
        {
            Verdict::Never
        }
        RefusalCode::Limit | RefusalCode::Conflict => Verdict::Later,
        RefusalCode::Frozen if is_first => Verdict::Later,
        RefusalCode::BadRequest
        | RefusalCode::IntentMismatch
        | RefusalCode::KeyMismatch
        | RefusalCode::CheckpointConflict
        | RefusalCode::Frozen
        | RefusalCode::Version
        | RefusalCode::JournalRolledBack
        | RefusalCode::Unavailable => Verdict::Unclear,
    }
}

async fn refused(
    app: &App,
    stored: &StoredIntent,
    is_first: bool,
    refusal: &Refusal,
) -> Result<Progress, Error> {
    let reason = format!("{REFUSED}: {refusal}");
    if refusal.code == RefusalCode::Conflict {
        tracing::error!(intent = %stored.intent.id, reason, "the signer knows of another signature");
        metrics::counter!("roadstead_alarms_total", "alarm" => "signer_conflict").increment(1);
    }
    match verdict(refusal.code, is_first) {
        Verdict::Never => Ok(Progress::Impossible(reason)),
        Verdict::Later => step_back(app, stored, &reason).await,
        Verdict::Unclear => Ok(Progress::Waits(reason)),
    }
}

/// Nothing was signed, and it may be allowed later: give the place on the chain back meanwhile, so
/// that what comes after is not stuck behind a nonce that nobody uses. A sweep is simply given up:
/// its amount follows from the fee of the moment.
async fn step_back(app: &App, stored: &StoredIntent, reason: &str) -> Result<Progress, Error> {
    if stored.intent.purpose == Purpose::Sweep {
        return Ok(Progress::Impossible(reason.to_owned()));
    }
    let mut tx = app.db.begin().await?;
    if intents::unbuilt(&mut tx, stored.intent.id, reason, now_ms()).await? {
        coins::release(&mut tx, stored.intent.id.0).await?;
        tx.commit().await?;
    }
    Ok(Progress::Waits(reason.to_owned()))
}

/// True shortly after the signer refused: asking at every step would keep everybody busy.
pub(crate) fn is_resting(stored: &StoredIntent) -> bool {
    stored.problem.as_deref().is_some_and(|problem| problem.starts_with(REFUSED))
        && now_ms().saturating_sub(stored.updated_at) < REST_MS
}

/// Why nothing is sent on this chain now, if it is halted.
pub(crate) async fn halted(app: &App, chain: &Chain) -> Result<Option<String>, Error> {
    let mut tx = app.db.read().await?;
    Ok(facts::halted(&mut tx, &chain.config.name).await?)
}

#[cfg(test)]
mod tests {
    use signer_protocol::RefusalCode;

    use super::{Verdict, verdict};

    #[test]
    fn promise_29_a_hold_is_given_back_only_when_nothing_can_have_been_signed() {
        for is_first in [true, false] {
            // The intent may be signed with bytes that an older copy of the database has lost.
            assert_eq!(verdict(RefusalCode::Conflict, is_first), Verdict::Later);
            assert_eq!(verdict(RefusalCode::Policy, is_first), Verdict::Never);
            // The signer's journal has the promise that nothing was or will be signed.
            assert_eq!(verdict(RefusalCode::Cancelled, is_first), Verdict::Never);
            assert_eq!(verdict(RefusalCode::Limit, is_first), Verdict::Later);
            for code in
                [RefusalCode::Unavailable, RefusalCode::JournalRolledBack, RefusalCode::Version]
            {
                assert_eq!(verdict(code, is_first), Verdict::Unclear, "{code}");
            }
        }
        assert_eq!(verdict(RefusalCode::Frozen, true), Verdict::Later);
        assert_eq!(verdict(RefusalCode::Frozen, false), Verdict::Unclear);
        for code in [RefusalCode::BadRequest, RefusalCode::IntentMismatch, RefusalCode::KeyMismatch]
        {
            assert_eq!(verdict(code, true), Verdict::Never, "{code}");
            assert_eq!(verdict(code, false), Verdict::Unclear, "{code}");
        }
    }
}
