use anyhow::bail;
use chain_core::ChainFamily;
use serde_json::json;
use testnets::{Bitcoin, Evm, Solana, family_of, parse_amount};

use crate::Chain;
use crate::show::print;
use crate::state::{Files, State};

/// Something the faucet has: how it is called, and how many decimal places it has.
struct Coin {
    symbol: &'static str,
    decimals: u8,
    token: bool,
}

/// Sends coins or tokens to `address`.
pub(crate) async fn faucet(
    address: &str,
    amount: &str,
    asset: Option<&str>,
    as_json: bool,
) -> anyhow::Result<()> {
    let files = Files::open()?;
    let state = files.required()?;
    let family = family_of(address)?;
    let coin = coin(family, asset, &state)?;
    let minor = parse_amount(amount, coin.decimals)?;
    let _turn = files.faucet_turn()?;
    let transaction = match family {
        ChainFamily::Bitcoin => {
            Bitcoin::connect(&state.bitcoin.rpc_url).await?.fund(address, minor).await?
        }
        ChainFamily::Evm => {
            let evm = Evm::connect(&state.evm.rpc_url).await?;
            if coin.token {
                evm.fund_token(&evm.deploy_token().await?, address, minor).await?
            } else {
                evm.fund(address, minor).await?
            }
        }
        ChainFamily::Solana => {
            let solana = Solana::connect(&state.solana.rpc_url).await?;
            match state.solana.token.as_deref().filter(|_| coin.token) {
                Some(token) => {
                    let mint = token.rsplit(':').next().unwrap_or_default().to_owned();
                    solana.fund_token(&solana.token_at(mint)?, address, minor).await?
                }
                None => solana.fund(address, minor).await?,
            }
        }
    };
    let symbol = coin.symbol;
    let value = json!({
        "network": family.to_string(),
        "address": address,
        "asset": symbol,
        "amount": minor,
        "transaction": transaction,
    });
    let waits = if family == ChainFamily::Bitcoin { ", waiting for a block" } else { "" };
    print(as_json, &value, &format!("sent {amount} {symbol} to {address}: {transaction}{waits}"))
}

fn coin(family: ChainFamily, asset: Option<&str>, state: &State) -> anyhow::Result<Coin> {
    let (symbol, decimals) = match family {
        ChainFamily::Bitcoin => ("BTC", 8),
        ChainFamily::Evm => ("ETH", 18),
        ChainFamily::Solana => ("SOL", 9),
    };
    let Some(asset) = asset.filter(|asset| !asset.eq_ignore_ascii_case(symbol)) else {
        return Ok(Coin { symbol, decimals, token: false });
    };
    let token = match family {
        ChainFamily::Bitcoin => None,
        ChainFamily::Evm => state.evm.token.as_deref(),
        ChainFamily::Solana => state.solana.token.as_deref(),
    };
    let asset = asset.to_ascii_lowercase();
    let named = token.is_some_and(|token| {
        let token = token.to_ascii_lowercase();
        asset == "rtt"
            || asset == "token"
            || token == asset
            || token.ends_with(&format!(":{asset}"))
    });
    if !named {
        let known = token.map_or_else(String::new, |token| format!(" and RTT ({token})"));
        bail!("the faucet of {family} has no {asset:?}; it has {symbol}{known}");
    }
    Ok(Coin { symbol: "RTT", decimals: 6, token: true })
}

/// Mines `blocks` blocks, or waits for as many slots.
pub(crate) async fn mine(chain: Chain, blocks: u64, as_json: bool) -> anyhow::Result<()> {
    let state = Files::open()?.required()?;
    let height = match chain {
        Chain::Evm => {
            let evm = Evm::connect(&state.evm.rpc_url).await?;
            evm.mine(blocks).await?;
            evm.height().await?
        }
        Chain::Bitcoin => {
            let bitcoin = Bitcoin::connect(&state.bitcoin.rpc_url).await?;
            bitcoin.mine(blocks).await?;
            bitcoin.height().await?
        }
        Chain::Solana => {
            let solana = Solana::connect(&state.solana.rpc_url).await?;
            solana.mine(blocks).await?;
            solana.slot().await?
        }
    };
    let name = name(chain);
    let value = json!({ "network": name, "mined": blocks, "height": height });
    print(as_json, &value, &format!("{name} is at {height}"))
}

/// Replaces the newest `depth` blocks; their transactions are mined again, or dropped from the chain.
pub(crate) async fn reorg(
    chain: Chain,
    depth: u64,
    drop: bool,
    as_json: bool,
) -> anyhow::Result<()> {
    let state = Files::open()?.required()?;
    let height = match chain {
        Chain::Evm => {
            let evm = Evm::connect(&state.evm.rpc_url).await?;
            if drop {
                evm.reorg(depth).await?
            } else {
                evm.reorg_keeping(depth).await?
            }
            evm.height().await?
        }
        Chain::Bitcoin => {
            let bitcoin = Bitcoin::connect(&state.bitcoin.rpc_url).await?;
            if drop {
                bitcoin.reorg_empty(depth).await?
            } else {
                bitcoin.reorg(depth).await?
            }
            bitcoin.height().await?
        }
        Chain::Solana => {
            Solana::connect(&state.solana.rpc_url).await?.reorg()?;
            return Ok(());
        }
    };
    let name = name(chain);
    let value = json!({ "network": name, "replaced": depth, "dropped": drop, "height": height });
    print(
        as_json,
        &value,
        &format!("{name}: the newest {depth} blocks are others now; at {height}"),
    )
}

const fn name(chain: Chain) -> &'static str {
    match chain {
        Chain::Evm => "evm",
        Chain::Bitcoin => "bitcoin",
        Chain::Solana => "solana",
    }
}
