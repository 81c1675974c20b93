//! Connection to Bitcoin Core over JSON-RPC.
//!
//! The node needs `-txindex` (the state of any transaction) and may not be pruned; no wallet is used.
//!
//! The client is our own hundred lines over `reqwest`. Of the published ones, `bitcoincore-rpc` 0.19
//! blocks and is no longer developed; the asynchronous half of `corepc-client` 0.18 has eleven of the
//! calls, one fixed time-out, no batches, reads the cookie once, and logs what it sends.

mod broadcast;
mod coins;
mod context;
mod evidence;
mod fees;
mod rpc;
mod scan;

use std::collections::BTreeMap;

use chain_core::{
    Address, Amount, AnchorEvidence, AssetId, Block, BlockRef, BroadcastOutcome, ChainId, Context,
    ContextRequest, Node, NodeError, SignedTx, Tip, TxId, TxStatus, WatchSet,
};
use serde_json::json;

pub use self::rpc::BitcoinAuth;
use self::rpc::{Rpc, RpcError};

/// Blocks that one [`Node::scan`] reads at most; each has some 7,000 spent coins on the main network.
const SCAN_BLOCKS_MAX: u64 = 200;

/// Where a node is, and what is expected of it.
#[derive(Clone, Debug)]
pub struct BitcoinNodeConfig {
    /// `http://host:port`, without credentials.
    pub url: String,
    /// How to log in.
    pub auth: BitcoinAuth,
    /// The network; the node's genesis block is checked against it.
    pub chain: ChainId,
    /// The fee rate in satoshi per 1,000 weight units while the node has no estimate. Only on
    /// regtest, where there is never one.
    pub fallback_fee_sat_per_kwu: Option<u64>,
}

/// A connection to one Bitcoin Core node.
#[derive(Debug)]
pub struct BitcoinNode {
    rpc: Rpc,
    chain: ChainId,
    fallback_fee_sat_per_kwu: Option<u64>,
    /// A node scans its coins for one caller at a time.
    scanning: tokio::sync::Mutex<()>,
}

impl BitcoinNode {
    /// Connects and checks that the node follows the network and has its transaction index.
    ///
    /// # Errors
    /// [`NodeError::WrongNetwork`]; [`NodeError::Refused`] for wrong credentials, a fallback fee
    /// outside regtest or a node without index; [`NodeError::Unreachable`].
    pub async fn connect(config: BitcoinNodeConfig) -> Result<Self, NodeError> {
        let network = chain_bitcoin::network(&config.chain)
            .map_err(|error| NodeError::Refused(error.to_string()))?;
        if config.fallback_fee_sat_per_kwu.is_some() && network != bitcoin::Network::Regtest {
            return Err(NodeError::Refused("a fallback fee is for regtest alone".to_owned()));
        }
        let node = Self {
            rpc: Rpc::new(&config.url, config.auth)?,
            chain: config.chain,
            fallback_fee_sat_per_kwu: config.fallback_fee_sat_per_kwu,
            scanning: tokio::sync::Mutex::new(()),
        };
        node.check_network().await?;
        node.check_index().await?;
        Ok(node)
    }

    async fn check_network(&self) -> Result<(), NodeError> {
        let genesis: bitcoin::BlockHash = self.rpc.call("getblockhash", json!([0])).await?;
        let found = format!("bip122:{}", &genesis.to_string()[..32]);
        if found == self.chain.as_str() {
            return Ok(());
        }
        Err(NodeError::WrongNetwork { wanted: self.chain.clone(), found })
    }

    async fn check_index(&self) -> Result<(), NodeError> {
        let indexes: serde_json::Value = self.rpc.call("getindexinfo", json!(["txindex"])).await?;
        if indexes.get("txindex").is_some() {
            return Ok(());
        }
        Err(NodeError::Refused("the node has no transaction index; start it with -txindex".into()))
    }

    /// The hash of the best chain's block at a height, `None` where there is none.
    async fn hash_at(&self, height: u64) -> Result<Option<bitcoin::BlockHash>, NodeError> {
        match self.rpc.call("getblockhash", json!([height])).await {
            Ok(hash) => Ok(Some(hash)),
            Err(RpcError::Answer { code: rpc::INVALID_PARAMETER, .. }) => Ok(None),
            Err(other) => Err(other.into()),
        }
    }

    async fn height(&self) -> Result<u64, NodeError> {
        Ok(self.rpc.call("getblockcount", json!([])).await?)
    }
}

impl Node for BitcoinNode {
    fn chain(&self) -> &ChainId {
        &self.chain
    }

    async fn tip(&self) -> Result<Tip, NodeError> {
        #[derive(serde::Deserialize)]
        struct Info {
            blocks: u64,
            bestblockhash: bitcoin::BlockHash,
        }
        let info: Info = self.rpc.call("getblockchaininfo", json!([])).await?;
        let head = BlockRef { height: info.blocks, hash: info.bestblockhash.to_string() };
        Ok(Tip { head, finalized: None })
    }

    async fn scan(&self, from: u64, to: u64, watch: &WatchSet) -> Result<Vec<Block>, NodeError> {
        if to.saturating_sub(from) >= SCAN_BLOCKS_MAX {
            return Err(NodeError::Refused(format!("at most {SCAN_BLOCKS_MAX} blocks a scan")));
        }
        self.scan_blocks(from, to, watch).await
    }

    async fn block_at(&self, height: u64) -> Result<Option<BlockRef>, NodeError> {
        let hash = self.hash_at(height).await?;
        Ok(hash.map(|hash| BlockRef { height, hash: hash.to_string() }))
    }

    async fn context(&self, request: &ContextRequest) -> Result<Context, NodeError> {
        self.bitcoin_context(request).await.map(Context::Bitcoin)
    }

    async fn broadcast(&self, tx: &SignedTx) -> Result<BroadcastOutcome, NodeError> {
        self.send(tx).await
    }

    async fn status(&self, tx: &TxId) -> Result<TxStatus, NodeError> {
        self.transaction_status(tx).await
    }

    async fn balances(
        &self,
        asset: &AssetId,
        addresses: &[Address],
    ) -> Result<BTreeMap<String, Amount>, NodeError> {
        self.coin_balances(asset, addresses).await
    }

    async fn evidence(&self, tx: &TxId, headers_after: u32) -> Result<AnchorEvidence, NodeError> {
        self.anchor_evidence(tx, headers_after).await
    }
}

fn malformed(what: impl std::fmt::Display) -> NodeError {
    NodeError::Malformed(what.to_string())
}
