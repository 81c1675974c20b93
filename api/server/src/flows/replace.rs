//! A transaction that is stuck is replaced by one that pays more: same intent, same recipients and
//! amounts, in the same place on the chain, so at most one of the two can confirm. Every attempt is
//! kept and watched.

use chain_core::{
    Action, ChainFamily, Coin, Context, FeeTier, Intent, IntentId, Node as _, Purpose, TxId,
    UnsignedTx,
};
use signer_protocol::{SignRequest, Signer as _};

use super::prepare;
use crate::app::{App, now_ms};
use crate::chains::Chain;
use crate::error::{Code, Error};
use crate::repo::intents::{self, State, StoredIntent};
use crate::repo::{addresses, coins};

/// Replaces the newest attempt of an intent; answers the new transaction's id.
///
/// # Errors
/// `invalid_state` when there is nothing to replace, or the fee cap leaves no room.
pub(crate) async fn replace(app: &App, id: IntentId) -> Result<TxId, Error> {
    let mut tx = app.db.read().await?;
    let stored = intents::get(&mut tx, id).await?.ok_or(Code::NotFound)?;
    drop(tx);
    let chain = app.chains.named(&stored.chain)?;
    let Some(previous) = stored.unsigned.clone().filter(|_| is_replaceable(&stored)) else {
        let detail = format!("an intent that is {} cannot be replaced", stored.state.text());
        return Err(Error::refuse(Code::InvalidState, detail));
    };
    let context = match chain.family() {
        ChainFamily::Evm => evm(app, chain, &stored, &previous).await?,
        ChainFamily::Bitcoin => bitcoin(app, chain, &stored).await?,
        ChainFamily::Solana if expires(&stored.intent) => {
            let request = prepare::request(app, chain, &stored.intent, &stored.signers).await?;
            let request = request.map_err(|waits| Error::refuse(Code::InvalidState, waits))?;
            chain.node().await?.context(&request).await?
        }
        ChainFamily::Solana => {
            let detail =
                "a durable nonce does not expire: the same transaction is sent again by itself";
            return Err(Error::refuse(Code::InvalidState, detail));
        }
    };
    let unsigned = chain_families::build(&stored.intent, &context)?;
    sign(app, chain, &stored.intent, unsigned).await
}

/// True for what cannot have a durable nonce and so expires: the creation of a nonce account. The
/// account can be created only once, so signing it again is safe.
pub(crate) const fn expires(intent: &Intent) -> bool {
    matches!(intent.action, Action::CreateNonceAccount { .. })
}

fn is_replaceable(stored: &StoredIntent) -> bool {
    matches!(stored.state, State::Signed | State::Sent | State::Unknown)
        // A sweep's amount follows from its fee, and nobody waits for it.
        && stored.intent.purpose != Purpose::Sweep
}

async fn evm(
    app: &App,
    chain: &Chain,
    stored: &StoredIntent,
    previous: &UnsignedTx,
) -> Result<Context, Error> {
    let request = prepare::request(app, chain, &stored.intent, &stored.signers).await?;
    let mut request = request.map_err(|waits| Error::refuse(Code::InvalidState, waits))?;
    request.tier = FeeTier::Fast;
    match chain.node().await?.context(&request).await? {
        Context::Evm(fresh) => Ok(Context::Evm(chain_evm::replacement(previous, &fresh)?)),
        Context::Bitcoin(_) | Context::Solana(_) => {
            Err(Error::internal("a context of another family"))
        }
    }
}

async fn bitcoin(app: &App, chain: &Chain, stored: &StoredIntent) -> Result<Context, Error> {
    let request = prepare::request(app, chain, &stored.intent, &stored.signers).await?;
    let mut request = request.map_err(|waits| Error::refuse(Code::InvalidState, waits))?;
    let own = reserved(app, chain, stored.intent.id).await?;
    request.tier = FeeTier::Fast;
    request.must_spend = own.iter().map(|coin| coin.outpoint.clone()).collect();
    request.coins.extend(own);
    Ok(chain.node().await?.context(&request).await?)
}

/// The coins that the intent's attempts spend.
async fn reserved(app: &App, chain: &Chain, id: IntentId) -> Result<Vec<Coin>, Error> {
    let mut tx = app.db.read().await?;
    let issued = addresses::of_chain(&mut tx, &chain.config.name).await?;
    let stored = coins::of_intent(&mut tx, id.0).await?;
    drop(tx);
    let mut found = Vec::with_capacity(stored.len());
    for coin in stored {
        let owner = issued.iter().find(|issued| issued.address == coin.address);
        let owner =
            owner.ok_or_else(|| Error::internal("a coin of nobody"))?.keyed(&chain.config.id)?;
        found.push(Coin { outpoint: coin.outpoint, amount: coin.amount, owner });
    }
    Ok(found)
}

/// Signs and stores the replacement; the executor sends it. Its coins are taken before it is signed:
/// the signer binds them to this intent for ever.
async fn sign(
    app: &App,
    chain: &Chain,
    intent: &Intent,
    unsigned: UnsignedTx,
) -> Result<TxId, Error> {
    let mut tx = app.db.begin().await?;
    if !prepare::reserve_coins(&mut tx, chain, intent, &unsigned).await? {
        return Err(Error::refuse(Code::InvalidState, "its coins were taken meanwhile"));
    }
    tx.commit().await?;
    let request = SignRequest { intent: intent.clone(), unsigned };
    let answer = app.signer.sign(&request).await?;
    let signed = chain_families::assemble(&request.unsigned, &answer.signatures)?;
    let mut tx = app.db.begin().await?;
    if !intents::replaced(&mut tx, intent.id, &request.unsigned, &signed, now_ms()).await? {
        return Err(Error::refuse(Code::InvalidState, "it has ended meanwhile"));
    }
    tx.commit().await?;
    app.remember_journal().await?;
    Ok(signed.id)
}
