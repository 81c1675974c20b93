//! What a network needs before it can be used: durable nonce accounts on Solana, the anchor contract
//! on EVM chains. Both are intents of purpose `setup`.

use chain_core::{Action, ChainFamily, Intent, IntentId, KeyedAddress, Purpose};
use chain_nodes::AnyNode;
use uuid::Uuid;

use super::treasury;
use crate::app::{App, now_ms};
use crate::chains::Chain;
use crate::error::Error;
use crate::repo::{intents, nonces};

/// How long after a preparation failed it is tried again: an operator has to change something first.
const RETRY_MS: i64 = 60_000;

/// Starts what is missing.
pub(crate) async fn step(app: &App, chain: &Chain) -> Result<(), Error> {
    match chain.family() {
        ChainFamily::Bitcoin => treasury::treasury(app, chain).await.map(|_| ()),
        ChainFamily::Evm => deploy_contract(app, chain).await,
        ChainFamily::Solana => create_nonce_accounts(app, chain).await,
    }
}

async fn deploy_contract(app: &App, chain: &Chain) -> Result<(), Error> {
    let payer = treasury::treasury(app, chain).await?;
    let AnyNode::Evm(node) = chain.node().await? else { return Ok(()) };
    if !chain.config.anchor || node.has_anchor_contract().await? {
        return Ok(());
    }
    let mut tx = app.db.begin().await?;
    if intents::newest_setup(&mut tx, &chain.config.name).await? > retry_before() {
        return Ok(());
    }
    let intent = setup(chain, Action::DeployAnchorContract);
    intents::insert(&mut tx, &chain.config.name, &intent, &[payer], now_ms()).await?;
    tx.commit().await?;
    Ok(())
}

async fn create_nonce_accounts(app: &App, chain: &Chain) -> Result<(), Error> {
    let payer = treasury::treasury(app, chain).await?;
    let name = &chain.config.name;
    let mut tx = app.db.begin().await?;
    let there = nonces::count(&mut tx, name, payer.address.as_str()).await?;
    let there = u32::try_from(there).map_err(Error::internal)?;
    for number in there..chain.config.nonce_accounts {
        let nonce_account = chain_solana::nonce_address(&payer.address, number)?;
        let address = nonce_account.as_str().to_owned();
        let intent = setup(chain, Action::CreateNonceAccount { number, nonce_account });
        let signers: Vec<KeyedAddress> = vec![payer.clone()];
        intents::insert(&mut tx, name, &intent, &signers, now_ms()).await?;
        nonces::insert(&mut tx, name, &address, number, payer.address.as_str(), intent.id).await?;
    }
    for number in nonces::failed(&mut tx, name, payer.address.as_str(), retry_before()).await? {
        let nonce_account = chain_solana::nonce_address(&payer.address, number)?;
        let address = nonce_account.as_str().to_owned();
        let intent = setup(chain, Action::CreateNonceAccount { number, nonce_account });
        intents::insert(&mut tx, name, &intent, std::slice::from_ref(&payer), now_ms()).await?;
        nonces::retry(&mut tx, name, &address, intent.id).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// What failed after this moment is not tried again yet.
fn retry_before() -> i64 {
    now_ms().saturating_sub(RETRY_MS)
}

fn setup(chain: &Chain, action: Action) -> Intent {
    Intent {
        id: IntentId(Uuid::now_v7()),
        chain: chain.config.id.clone(),
        purpose: Purpose::Setup,
        action,
        fee_max: chain.config.fee_max,
    }
}
