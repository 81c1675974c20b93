use anyhow::{Context as _, Result, ensure};
use chain_bitcoin::{assemble, build, describe};
use chain_core::{
    Action, Address, Amount, BitcoinContext, Block, BroadcastOutcome, ChainEvent, Coin, Context,
    ContextRequest, FeeTier, Intent, KeyedAddress, Node, OutPoint, Purpose, ScannedDeposit,
    SignedTx, TxSummary, UnsignedTx, WatchSet,
};
use chain_core::{Branch, KeyScheme, ScannedAmount};
use chain_nodes::bitcoin::{BitcoinAuth, BitcoinNode, BitcoinNodeConfig};
use testnets::{Bitcoin, TestEnv};

use crate::support::{intent, own, sign};

/// 5 sat/vB.
pub(crate) const FALLBACK: u64 = 1_250;

/// A regtest network and a connection to it.
pub(crate) struct Network {
    env: TestEnv,
    pub(crate) node: BitcoinNode,
}

/// A transaction that was built and signed.
pub(crate) struct Made {
    pub(crate) intent: Intent,
    pub(crate) unsigned: UnsignedTx,
    pub(crate) summary: TxSummary,
    pub(crate) signed: SignedTx,
}

pub(crate) fn config(bitcoin: &Bitcoin) -> BitcoinNodeConfig {
    let (login, host) = bitcoin.rpc_url().strip_prefix("http://").unwrap().split_once('@').unwrap();
    let (user, password) = login.split_once(':').unwrap();
    BitcoinNodeConfig {
        url: format!("http://{host}"),
        auth: BitcoinAuth::UserPassword { user: user.to_owned(), password: password.to_owned() },
        chain: bitcoin.chain().clone(),
        fallback_fee_sat_per_kwu: Some(FALLBACK),
    }
}

pub(crate) fn change() -> KeyedAddress {
    own(KeyScheme::Bip86, Branch::Change, 0)
}

impl Network {
    pub(crate) async fn start() -> Result<Self> {
        let env = TestEnv::builder().bitcoin().start().await?;
        let node = BitcoinNode::connect(config(env.bitcoin()?)).await?;
        Ok(Self { env, node })
    }

    pub(crate) fn bitcoin(&self) -> &Bitcoin {
        self.env.bitcoin().unwrap()
    }

    pub(crate) async fn mine(&self, blocks: u64) -> Result<()> {
        self.bitcoin().mine(blocks).await?;
        Ok(())
    }

    /// The blocks from `from` to the tip, with what concerns these addresses.
    pub(crate) async fn scan(&self, from: u64, watch: &[&Address]) -> Result<Vec<Block>> {
        let addresses = watch.iter().map(ToString::to_string).collect();
        let watch = WatchSet { addresses, ..WatchSet::default() };
        let to = self.node.tip().await?.head.height;
        Ok(self.node.scan(from, to, &watch).await?)
    }

    /// The newest block's deposits to these addresses.
    pub(crate) async fn deposits(&self, watch: &[&Address]) -> Result<Vec<ScannedDeposit>> {
        let tip = self.node.tip().await?.head.height;
        Ok(deposits(&self.scan(tip, watch).await?))
    }

    /// Pays each owner from the faucet in one block; their coins, found by a scan.
    pub(crate) async fn fund(&self, owners: &[(&KeyedAddress, u64)]) -> Result<Vec<Coin>> {
        for (owner, sat) in owners {
            self.bitcoin().fund(owner.address.as_str(), Amount::from(*sat)).await?;
        }
        self.mine(1).await?;
        let owners: Vec<&KeyedAddress> = owners.iter().map(|(owner, _)| *owner).collect();
        self.coins(&owners).await
    }

    /// The coins that the newest block brought to these owners.
    pub(crate) async fn coins(&self, owners: &[&KeyedAddress]) -> Result<Vec<Coin>> {
        let addresses: Vec<&Address> = owners.iter().map(|owner| &owner.address).collect();
        let found = self.deposits(&addresses).await?;
        Ok(found.iter().map(|deposit| coin(deposit, owners)).collect())
    }

    pub(crate) async fn context(&self, request: &ContextRequest) -> Result<BitcoinContext> {
        match self.node.context(request).await? {
            Context::Bitcoin(context) => Ok(context),
            other => anyhow::bail!("{other:?}"),
        }
    }

    pub(crate) async fn make(
        &self,
        purpose: Purpose,
        action: Action,
        coins: &[Coin],
    ) -> Result<Made> {
        let context = self.context(&request(&action, coins)).await?;
        made(intent(purpose, action), &context)
    }

    /// Sends what must be new to the node.
    pub(crate) async fn send(&self, made: &Made) -> Result<()> {
        let outcome = self.node.broadcast(&made.signed).await?;
        ensure!(outcome == BroadcastOutcome::Accepted, "{outcome:?}");
        Ok(())
    }
}

pub(crate) fn request(action: &Action, coins: &[Coin]) -> ContextRequest {
    ContextRequest {
        action: action.clone(),
        signers: coins.iter().map(|coin| coin.owner.clone()).collect(),
        tier: FeeTier::Normal,
        coins: coins.to_vec(),
        must_spend: vec![],
        change: Some(change()),
        nonce_floor: 0,
        nonce_account: None,
    }
}

pub(crate) fn made(intent: Intent, context: &BitcoinContext) -> Result<Made> {
    let unsigned = build(&intent, context)?;
    let summary = describe(&unsigned)?;
    ensure!(summary.action == intent.action, "{summary:?}");
    let signed = assemble(&unsigned, &sign(&unsigned))?;
    Ok(Made { intent, unsigned, summary, signed })
}

pub(crate) fn deposits(blocks: &[Block]) -> Vec<ScannedDeposit> {
    let events = blocks.iter().flat_map(|block| &block.events);
    let deposit = |event: &ChainEvent| match event {
        ChainEvent::Deposit(deposit) => Some(deposit.clone()),
        ChainEvent::Spent { .. } => None,
    };
    events.filter_map(deposit).collect()
}

pub(crate) fn spent(blocks: &[Block]) -> Vec<OutPoint> {
    let events = blocks.iter().flat_map(|block| &block.events);
    let spent = |event: &ChainEvent| match event {
        ChainEvent::Spent { coin, .. } => Some(coin.clone()),
        ChainEvent::Deposit(_) => None,
    };
    events.filter_map(spent).collect()
}

pub(crate) fn coin(deposit: &ScannedDeposit, owners: &[&KeyedAddress]) -> Coin {
    let vout = deposit.position.strip_prefix("vout:").unwrap().parse().unwrap();
    let ScannedAmount::Exact(amount) = deposit.amount else { panic!("{deposit:?}") };
    let owner = owners.iter().find(|owner| owner.address == deposit.to);
    let owner = (*owner.context("not ours").unwrap()).clone();
    Coin { outpoint: OutPoint { txid: deposit.tx.clone(), vout }, amount, owner }
}
