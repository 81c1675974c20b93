//! Blocks to deposits. A deposit is `seen` in a block, `final` when the finality table says so, and
//! credited in the transaction that makes it final. A reorganisation takes `seen` ones back; one
//! below finality halts the chain.

use api_audit::Record;
use api_store::Tx;
use chain_core::{
    Block, BlockRef, ChainEvent, ChainFamily, Node as _, NodeError, OutPoint, Purpose,
    ScannedAmount, ScannedDeposit, Tip, WatchSet,
};
use uuid::Uuid;

use crate::app::{App, now_ms};
use crate::books::HOUSE;
use crate::chains::Chain;
use crate::error::Error;
use crate::repo::addresses::Issued;
use crate::repo::coins::StoredCoin;
use crate::repo::deposits::Deposit;
use crate::repo::{addresses, blocks, coins, deposits, facts, intents};

/// Blocks read in one step, so that a step stays short.
const BATCH: u64 = 50;
/// Solana makes blocks so often that more of them fit one step.
const BATCH_SOLANA: u64 = 200;
/// The confirmations that a coinbase output needs before the chain lets it be spent.
const COINBASE_MATURITY: u64 = 100;

/// Reads the next blocks and credits what is final; true while there is more to read at once.
pub(crate) async fn step(app: &App, chain: &Chain) -> Result<bool, Error> {
    let node = chain.node().await?;
    let tip = node.tip().await?;
    let Some(last) = last_scanned(app, chain, &tip).await? else { return Ok(false) };
    let more = if let Some(fork) = find_fork(app, chain, &last, &tip).await? {
        roll_back(app, chain, &last, &fork).await?;
        true
    } else {
        read_blocks(app, chain, &last, &tip).await?
    };
    credit_final(app, chain, &tip).await?;
    metrics::gauge!("roadstead_chain_height", "chain" => chain.config.name.clone())
        .set(as_gauge(tip.head.height));
    Ok(more)
}

/// Gauges are floating point by the metrics' own interface; a height loses nothing below 2^53.
#[expect(clippy::cast_precision_loss, reason = "a metric, not money")]
fn as_gauge(height: u64) -> f64 {
    height as f64
}

/// The newest scanned block; at the first start, the block before the first that is to be scanned.
async fn last_scanned(app: &App, chain: &Chain, tip: &Tip) -> Result<Option<BlockRef>, Error> {
    let mut tx = app.db.read().await?;
    let newest = blocks::newest(&mut tx, &chain.config.name).await?;
    drop(tx);
    if newest.is_some() {
        return Ok(newest);
    }
    let reachable = scan_limit(chain, tip);
    let start =
        chain.config.start_height.map_or(reachable, |start| start.saturating_sub(1).min(reachable));
    let Some(block) = first_block_from(chain, start, reachable).await? else { return Ok(None) };
    let mut tx = app.db.begin().await?;
    blocks::insert(&mut tx, &chain.config.name, &block).await?;
    tx.commit().await?;
    Ok(Some(block))
}

/// Solana slots may have no block: look on.
async fn first_block_from(
    chain: &Chain,
    start: u64,
    limit: u64,
) -> Result<Option<BlockRef>, Error> {
    let node = chain.node().await?;
    for height in start..=limit.min(start.saturating_add(BATCH)) {
        if let Some(block) = node.block_at(height).await? {
            return Ok(Some(block));
        }
    }
    Ok(None)
}

/// Solana is read up to what is finalized: there no reorganisation is possible.
fn scan_limit(chain: &Chain, tip: &Tip) -> u64 {
    match chain.family() {
        ChainFamily::Solana => tip.finalized.unwrap_or_default(),
        ChainFamily::Bitcoin | ChainFamily::Evm => tip.head.height,
    }
}

/// The newest scanned block that is still on the best chain, when `last` is not. A node that is
/// behind us on the same chain shows no fork.
async fn find_fork(
    app: &App,
    chain: &Chain,
    last: &BlockRef,
    tip: &Tip,
) -> Result<Option<BlockRef>, Error> {
    if chain.family() == ChainFamily::Solana {
        return Ok(None);
    }
    let node = chain.node().await?;
    let mut candidate = last.clone();
    let mut tx = app.db.read().await?;
    while candidate.height > tip.head.height {
        let below = blocks::below(&mut tx, &chain.config.name, candidate.height).await?;
        candidate =
            below.ok_or_else(|| Error::internal("the node is behind all scanned blocks"))?;
    }
    loop {
        let there = node.block_at(candidate.height).await?;
        if there.is_some_and(|block| block.hash == candidate.hash) {
            break;
        }
        let below = blocks::below(&mut tx, &chain.config.name, candidate.height).await?;
        candidate = below.ok_or_else(|| Error::internal("the node follows another chain"))?;
    }
    // On the same chain but behind: the candidate is the node's own tip.
    let node_is_behind = candidate.height == tip.head.height && candidate.hash == tip.head.hash;
    Ok((candidate != *last && !node_is_behind).then_some(candidate))
}

async fn roll_back(
    app: &App,
    chain: &Chain,
    last: &BlockRef,
    fork: &BlockRef,
) -> Result<(), Error> {
    let name = &chain.config.name;
    let mut tx = app.db.begin().await?;
    if !blocks::is_newest(&mut tx, name, last).await? {
        // Another server was here first.
        return Ok(());
    }
    blocks::forget_above(&mut tx, name, fork.height).await?;
    coins::forget_above(&mut tx, name, fork.height).await?;
    let credited = deposits::orphan_above(&mut tx, name, fork.height).await?;
    let ended = intents::ended_above(&mut tx, name, fork.height).await?;
    if credited > 0 || ended > 0 {
        let reason = format!(
            "a reorganisation from height {} took back {credited} credited deposit(s) and {ended} \
             ended transaction(s) of ours above {}",
            last.height, fork.height,
        );
        facts::halt(&mut tx, name, &reason, now_ms()).await?;
        tracing::error!(chain = %name, %reason, "halted");
        metrics::counter!("roadstead_alarms_total", "alarm" => "deep_reorganisation").increment(1);
    }
    tx.commit().await?;
    tracing::warn!(chain = %name, from = last.height, to = fork.height, "reorganisation");
    metrics::counter!("roadstead_reorganisations_total", "chain" => name.clone()).increment(1);
    Ok(())
}

async fn read_blocks(app: &App, chain: &Chain, last: &BlockRef, tip: &Tip) -> Result<bool, Error> {
    let limit = scan_limit(chain, tip);
    let from = last.height.saturating_add(1);
    if from > limit {
        return Ok(false);
    }
    let batch = if chain.family() == ChainFamily::Solana { BATCH_SOLANA } else { BATCH };
    let to = limit.min(from.saturating_add(batch).saturating_sub(1));
    // Asked for before the addresses are read: the block is older than any payment to an address
    // that is not among them.
    let Some(target) = target(chain, to, tip).await? else { return Ok(false) };
    let mut tx = app.db.read().await?;
    let issued = addresses::of_chain(&mut tx, &chain.config.name).await?;
    drop(tx);
    let watch = WatchSet {
        addresses: issued.iter().map(|issued| issued.address.clone()).collect(),
        tokens: chain.tokens().clone(),
    };
    let scanned = scan(chain, from, to, limit, &watch).await?;
    if !is_linked(last, &scanned) {
        if chain.family() == ChainFamily::Solana {
            // What is finalized stays: the node did not tell of every block.
            let hole = format!("the node left out blocks between {} and {to}", last.height);
            return Err(NodeError::NotAvailable(hole).into());
        }
        // The chain moved under the scan; the next step finds the fork.
        return Ok(true);
    }
    if chain.family() != ChainFamily::Solana
        && scanned.last().is_none_or(|newest| newest.block != target)
    {
        return Ok(false);
    }
    store_blocks(app, chain, last, &scanned, &issued).await?;
    Ok(to < limit)
}

/// The block up to which is scanned. On Solana all that is scanned is finalized: the tip stands for
/// it.
async fn target(chain: &Chain, to: u64, tip: &Tip) -> Result<Option<BlockRef>, Error> {
    if to == tip.head.height || chain.family() == ChainFamily::Solana {
        return Ok(Some(tip.head.clone()));
    }
    Ok(chain.node().await?.block_at(to).await?)
}

/// The blocks of the range; on Solana, where whole ranges may have no block, of the first range that
/// has one.
async fn scan(
    chain: &Chain,
    mut from: u64,
    mut to: u64,
    limit: u64,
    watch: &WatchSet,
) -> Result<Vec<Block>, Error> {
    loop {
        let scanned = chain.node().await?.scan(from, to, watch).await?;
        if !scanned.is_empty() || to >= limit || chain.family() != ChainFamily::Solana {
            return Ok(scanned);
        }
        from = to.saturating_add(1);
        to = limit.min(to.saturating_add(BATCH_SOLANA));
    }
}

fn is_linked(last: &BlockRef, scanned: &[Block]) -> bool {
    let parents = std::iter::once(&last.hash).chain(scanned.iter().map(|block| &block.block.hash));
    parents.zip(scanned).all(|(parent, block)| *parent == block.parent_hash)
}

async fn store_blocks(
    app: &App,
    chain: &Chain,
    last: &BlockRef,
    scanned: &[Block],
    issued: &[Issued],
) -> Result<(), Error> {
    let Some(newest) = scanned.last() else { return Ok(()) };
    let mut tx = app.db.begin().await?;
    // Another server may have moved on from `last` meanwhile.
    if !blocks::is_newest(&mut tx, &chain.config.name, last).await? {
        return Ok(());
    }
    let mut unspent = coins::unspent(&mut tx, &chain.config.name).await?;
    for block in scanned {
        for event in &block.events {
            match event {
                ChainEvent::Deposit(deposit) => {
                    unspent.extend(outpoint(deposit));
                    see(app, &mut tx, chain, block, deposit, issued).await?;
                }
                // Of the thousands of coins that a block spends, ours are a few.
                ChainEvent::Spent { coin, by } if unspent.remove(coin) => {
                    coins::spend(&mut tx, &chain.config.name, coin, by, block.block.height).await?;
                }
                ChainEvent::Spent { .. } => {}
            }
        }
        if chain.family() != ChainFamily::Solana {
            blocks::insert(&mut tx, &chain.config.name, &block.block).await?;
        }
    }
    if chain.family() == ChainFamily::Solana {
        blocks::insert(&mut tx, &chain.config.name, &newest.block).await?;
    }
    tx.commit().await?;
    Ok(())
}

async fn see(
    app: &App,
    tx: &mut Tx,
    chain: &Chain,
    block: &Block,
    scanned: &ScannedDeposit,
    issued: &[Issued],
) -> Result<(), Error> {
    let Some(owner) = issued.iter().find(|issued| issued.address == scanned.to.as_str()) else {
        return Ok(());
    };
    let Some(asset) = app.chains.assets().iter().find(|asset| asset.id == scanned.asset) else {
        return Ok(());
    };
    if chain.family() == ChainFamily::Bitcoin {
        add_coin(tx, chain, block, scanned).await?;
    }
    let ours = intents::purpose_of(tx, &scanned.tx).await?;
    if ours.is_some_and(|purpose| is_internal(purpose, owner)) {
        return Ok(());
    }
    let (amount, state) = match &scanned.amount {
        ScannedAmount::Exact(amount) if amount.is_zero() => return Ok(()),
        ScannedAmount::Exact(amount) => (amount.to_string(), "seen"),
        ScannedAmount::TooLarge(text) => (text.clone(), "suspense"),
    };
    let deposit = Deposit {
        id: Uuid::now_v7(),
        tenant: owner.tenant.unwrap_or(HOUSE),
        customer: owner.customer,
        chain: chain.config.name.clone(),
        asset: asset.code.clone(),
        address: scanned.to.as_str().to_owned(),
        tx: scanned.tx.0.clone(),
        position: scanned.position.clone(),
        amount,
        coinbase: scanned.coinbase,
        block: block.block.clone(),
        state: state.to_owned(),
        created_at: now_ms(),
        credited_at: None,
    };
    Ok(deposits::see(tx, &deposit).await?)
}

/// Sweeps, fuel and change: our own money on its way. A payout pays nobody's deposit address by
/// itself, so what reaches a customer in one is that customer's: a contract passed it on.
fn is_internal(purpose: Purpose, owner: &Issued) -> bool {
    purpose != Purpose::Withdrawal || owner.customer.is_none()
}

/// Where a Bitcoin deposit is.
fn outpoint(scanned: &ScannedDeposit) -> Option<OutPoint> {
    let vout = scanned.position.strip_prefix("vout:")?.parse().ok()?;
    Some(OutPoint { txid: scanned.tx.clone(), vout })
}

async fn add_coin(
    tx: &mut Tx,
    chain: &Chain,
    block: &Block,
    scanned: &ScannedDeposit,
) -> Result<(), Error> {
    let (Some(outpoint), ScannedAmount::Exact(amount)) = (outpoint(scanned), &scanned.amount)
    else {
        return Err(Error::internal(format!("a coin at {:?}", scanned.position)));
    };
    let coin = StoredCoin { outpoint, amount: *amount, address: scanned.to.as_str().to_owned() };
    let (name, height) = (&chain.config.name, block.block.height);
    Ok(coins::insert(tx, name, &coin, height, scanned.coinbase).await?)
}

/// Credits the deposits that have become final, each in a transaction of its own.
async fn credit_final(app: &App, chain: &Chain, tip: &Tip) -> Result<(), Error> {
    let mut tx = app.db.read().await?;
    let waiting = deposits::seen(&mut tx, &chain.config.name).await?;
    drop(tx);
    for deposit in waiting {
        let credited = match is_final(app, chain, tip, &deposit) {
            Ok(true) => credit(app, &deposit).await,
            Ok(false) => continue,
            Err(error) => Err(error),
        };
        // One that cannot be credited does not hold up the others.
        if let Err(error) = credited {
            tracing::error!(deposit = %deposit.id, %error, "deposit not credited");
            metrics::counter!("roadstead_alarms_total", "alarm" => "deposit_not_credited")
                .increment(1);
        }
    }
    Ok(())
}

fn is_final(app: &App, chain: &Chain, tip: &Tip, deposit: &Deposit) -> Result<bool, Error> {
    let asset = app.chains.asset(&deposit.asset)?;
    let mature = !deposit.coinbase
        || deposit.block.height.saturating_add(COINBASE_MATURITY) <= tip.head.height;
    Ok(mature && chain.finality(asset, deposit.amount()?).is_reached(deposit.block.height, tip))
}

async fn credit(app: &App, deposit: &Deposit) -> Result<(), Error> {
    let now = now_ms();
    let mut tx = app.db.begin().await?;
    if !deposits::finalise(&mut tx, deposit.id, now).await? {
        return Ok(());
    }
    let amount = deposit.amount()?;
    app.book_deposit(&mut tx, deposit.id, deposit.tenant, deposit.customer, &deposit.asset, amount)
        .await?;
    let record = Record::new("deposit.credited", now)
        .external_id(deposit.tenant.to_string(), format!("deposit:{}", deposit.id))
        .field("deposit", deposit.id.to_string())
        .field("chain", &deposit.chain)
        .field("tx", &deposit.tx)
        .field("position", &deposit.position)
        .field("asset", &deposit.asset)
        .field("amount", &deposit.amount);
    app.audit.append_in(&mut tx, &record).await?;
    tx.commit().await?;
    metrics::counter!("roadstead_deposits_credited_total", "asset" => deposit.asset.clone())
        .increment(1);
    tracing::info!(deposit = %deposit.id, asset = %deposit.asset, amount = %deposit.amount, "deposit credited");
    Ok(())
}

/// The height up to which coins are final and may be spent, and the same for coinbase coins.
pub(crate) fn spendable_heights(chain: &Chain, tip: &Tip) -> (u64, u64) {
    let depth = match chain.config.finality {
        crate::config::Finality::Confirmations(depth) => u64::from(depth),
        crate::config::Finality::Finalized => 1,
    };
    let head = tip.head.height;
    (head.saturating_add(1).saturating_sub(depth), head.saturating_sub(COINBASE_MATURITY))
}
