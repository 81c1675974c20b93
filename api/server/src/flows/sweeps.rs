//! Customers' coins sit on their deposit addresses; a sweep moves them to the treasury, which pays
//! out. It changes no customer's balance. Tokens on EVM chains need fuel first: native coin for the
//! sweep's own fee.

use std::collections::BTreeMap;

use chain_core::{
    Action, Address, Amount, BuildError, ChainFamily, Intent, IntentId, KeyPath, KeyedAddress,
    Node as _, NodeError, Payment, Purpose,
};
use uuid::Uuid;

use super::{prepare, treasury};
use crate::app::{App, now_ms};
use crate::chains::{Chain, is_native};
use crate::config::AssetConfig;
use crate::error::Error;
use crate::repo::{addresses, intents, sweeps};

/// Starts what is worth it for one asset; the ids of the intents that were made. A token's sweep may
/// take two calls: one starts the fuel, the next the sweep.
pub(crate) async fn sweep(app: &App, asset: &AssetConfig) -> Result<Vec<IntentId>, Error> {
    let chain = app.chains.with_id(asset.id.chain())?;
    if chain.family() == ChainFamily::Bitcoin {
        return sweep_coins(app, chain, asset).await;
    }
    let deposit_addresses = deposit_addresses(app, chain).await?;
    let balances = balances(chain, asset, &deposit_addresses).await?;
    let mut started = Vec::new();
    for owner in deposit_addresses {
        let balance = balances.get(owner.address.as_str()).copied().unwrap_or_default();
        if balance.is_zero()
            || balance < asset.sweep_min
            || is_busy(app, chain, &owner.address).await?
        {
            continue;
        }
        let needs_fuel = chain.family() == ChainFamily::Evm && !is_native(asset);
        let intent = if needs_fuel && !has_fuel(app, chain, asset, &owner).await? {
            Some(fuel(app, chain, asset, &owner).await?)
        } else {
            sweep_address(app, chain, asset, &owner, balance).await?
        };
        started.extend(intent);
    }
    Ok(started)
}

async fn deposit_addresses(app: &App, chain: &Chain) -> Result<Vec<KeyedAddress>, Error> {
    let mut tx = app.db.read().await?;
    let issued = addresses::of_chain(&mut tx, &chain.config.name).await?;
    let deposit = issued.iter().filter(|issued| issued.key.account() >= KeyPath::FIRST_CUSTOMER);
    Ok(deposit.map(|issued| issued.keyed(&chain.config.id)).collect::<Result<_, _>>()?)
}

async fn balances(
    chain: &Chain,
    asset: &AssetConfig,
    owners: &[KeyedAddress],
) -> Result<BTreeMap<String, Amount>, Error> {
    let addresses: Vec<Address> = owners.iter().map(|owner| owner.address.clone()).collect();
    Ok(chain.node().await?.balances(&asset.id, &addresses).await?)
}

async fn is_busy(app: &App, chain: &Chain, address: &Address) -> Result<bool, Error> {
    let mut tx = app.db.read().await?;
    Ok(sweeps::is_busy(&mut tx, &chain.config.name, address.as_str()).await?)
}

/// Half of the configured fuel is enough: fees have fallen, or an earlier sweep left some.
async fn has_fuel(
    app: &App,
    chain: &Chain,
    asset: &AssetConfig,
    owner: &KeyedAddress,
) -> Result<bool, Error> {
    let native = app.chains.native(chain)?;
    let balance = balances(chain, native, std::slice::from_ref(owner)).await?;
    let balance = balance.get(owner.address.as_str()).copied().unwrap_or_default();
    Ok(balance.checked_mul(2)? >= asset.fuel)
}

async fn fuel(
    app: &App,
    chain: &Chain,
    asset: &AssetConfig,
    owner: &KeyedAddress,
) -> Result<IntentId, Error> {
    let payer = treasury::treasury(app, chain).await?;
    let payment =
        Payment { to: owner.address.clone(), asset: chain.config.id.native(), amount: asset.fuel };
    let intent = intent(chain, Purpose::Fuel, payment);
    let mut tx = app.db.begin().await?;
    intents::insert(&mut tx, &chain.config.name, &intent, &[payer], now_ms()).await?;
    sweeps::insert(&mut tx, intent.id, &chain.config.name, &asset.code, owner.address.as_str())
        .await?;
    tx.commit().await?;
    Ok(intent.id)
}

/// The amount of a sweep follows from the fee of the moment, so it is built at once.
async fn sweep_address(
    app: &App,
    chain: &Chain,
    asset: &AssetConfig,
    owner: &KeyedAddress,
    balance: Amount,
) -> Result<Option<IntentId>, Error> {
    let to = treasury::treasury(app, chain).await?;
    let signers = match chain.family() {
        ChainFamily::Solana => vec![to.clone(), owner.clone()],
        ChainFamily::Evm | ChainFamily::Bitcoin => vec![owner.clone()],
    };
    let payment = Payment { to: to.address, asset: asset.id.clone(), amount: balance };
    let intent = intent(chain, Purpose::Sweep, payment);
    let addresses = [owner.address.as_str().to_owned()];
    start(app, chain, asset, intent, &signers, None, &addresses).await
}

/// One Bitcoin transaction spends every final coin of the deposit addresses.
async fn sweep_coins(
    app: &App,
    chain: &Chain,
    asset: &AssetConfig,
) -> Result<Vec<IntentId>, Error> {
    let coins =
        prepare::coins_of(app, chain, |key| key.account() >= KeyPath::FIRST_CUSTOMER).await?;
    let sum = Amount::checked_sum(coins.iter().map(|coin| coin.amount))?;
    if coins.is_empty() || sum < asset.sweep_min {
        return Ok(Vec::new());
    }
    let to = treasury::treasury(app, chain).await?;
    let mut addresses: Vec<String> =
        coins.iter().map(|coin| coin.owner.address.as_str().to_owned()).collect();
    addresses.sort();
    addresses.dedup();
    let intent = intent(
        chain,
        Purpose::Sweep,
        Payment { to: to.address, asset: asset.id.clone(), amount: sum },
    );
    Ok(start(app, chain, asset, intent, &[], Some(coins), &addresses).await?.into_iter().collect())
}

fn intent(chain: &Chain, purpose: Purpose, payment: Payment) -> Intent {
    Intent {
        id: IntentId(Uuid::now_v7()),
        chain: chain.config.id.clone(),
        purpose,
        action: Action::Pay { payments: vec![payment] },
        fee_max: chain.config.fee_max,
    }
}

async fn start(
    app: &App,
    chain: &Chain,
    asset: &AssetConfig,
    mut intent: Intent,
    signers: &[KeyedAddress],
    coins: Option<Vec<chain_core::Coin>>,
    addresses: &[String],
) -> Result<Option<IntentId>, Error> {
    let request = match coins {
        // A sweep has no change, and its own coins instead of the treasury's.
        Some(coins) => {
            let to = treasury::treasury(app, chain).await?;
            chain_core::ContextRequest {
                action: intent.action.clone(),
                signers: Vec::new(),
                tier: chain_core::FeeTier::Slow,
                coins,
                must_spend: Vec::new(),
                change: Some(to),
                nonce_floor: 0,
                nonce_account: None,
            }
        }
        None => match prepare::request(app, chain, &intent, signers).await? {
            Ok(request) => request,
            Err(_waits) => return Ok(None),
        },
    };
    let context = match chain.node().await?.context(&request).await {
        Ok(context) => prepare::with_nonce(app, chain, context).await?,
        Err(NodeError::NotAvailable(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Action::Pay { payments } = &mut intent.action else { return Ok(None) };
    for payment in payments {
        match chain_families::sweepable(&context, &asset.id, &payment.to) {
            Ok(amount) => payment.amount = amount,
            // Not worth its fee now.
            Err(BuildError::Zero | BuildError::Insufficient { .. } | BuildError::Dust { .. }) => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        }
    }
    let unsigned = chain_families::build(&intent, &context)?;
    let mut tx = app.db.begin().await?;
    intents::insert(&mut tx, &chain.config.name, &intent, signers, now_ms()).await?;
    for address in addresses {
        sweeps::insert(&mut tx, intent.id, &chain.config.name, &asset.code, address).await?;
    }
    if !prepare::store_built(&mut tx, chain, &intent, &unsigned, &context, &request).await? {
        return Ok(None);
    }
    tx.commit().await?;
    Ok(Some(intent.id))
}
