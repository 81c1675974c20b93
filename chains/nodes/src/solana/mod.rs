//! A connection to a Solana network.
//!
//! It speaks JSON-RPC by itself: the official client links key pairs, seed phrases and BLS
//! signing, which have no place in the server. Commitments: `finalized` is what may be credited,
//! `confirmed` is the head, `processed` is never looked at.

mod accounts;
mod blocks;
mod context;
mod cost;
mod deposits;
mod rpc;
mod send;
mod wire;

use std::collections::BTreeMap;
use std::time::Duration;

use chain_core::{
    Address, Amount, AnchorEvidence, AssetId, Block, BlockRef, BroadcastOutcome, ChainFamily,
    ChainId, Context, ContextRequest, Node, NodeError, SignedTx, Tip, TxId, TxStatus, WatchSet,
};
use rpc::Rpc;
use serde_json::json;

/// Transactions of every version are listed; only their accounts and balances are read.
const VERSION_MAX: u8 = 127;

/// How a network is followed.
#[derive(Clone, Debug)]
pub struct SolanaOptions {
    /// The time limit of one request.
    pub limit: Duration,
    /// The most micro-lamports that are offered for a compute unit.
    pub unit_price_max: u64,
}

impl Default for SolanaOptions {
    fn default() -> Self {
        Self { limit: Duration::from_secs(20), unit_price_max: 5_000_000 }
    }
}

/// A connection to a Solana network.
#[derive(Clone, Debug)]
pub struct SolanaNode {
    rpc: Rpc,
    chain: ChainId,
    options: SolanaOptions,
}

impl SolanaNode {
    /// Connects to the node at `url` (HTTP), which must follow `chain`: the first 32 characters of
    /// its genesis hash are compared.
    ///
    /// # Errors
    /// [`NodeError::WrongNetwork`], or that the node does not answer.
    pub async fn connect(
        url: &str,
        chain: ChainId,
        options: SolanaOptions,
    ) -> Result<Self, NodeError> {
        let rpc = Rpc::new(url, options.limit)?;
        let genesis: String = rpc.call("getGenesisHash", json!([])).await?;
        let found = genesis.get(..32).map(|reference| format!("solana:{reference}"));
        match found {
            Some(found) if chain.family() == ChainFamily::Solana && found == chain.as_str() => {
                Ok(Self { rpc, chain, options })
            }
            _ => {
                Err(NodeError::WrongNetwork { wanted: chain, found: format!("genesis {genesis}") })
            }
        }
    }
}

impl Node for SolanaNode {
    fn chain(&self) -> &ChainId {
        &self.chain
    }

    async fn tip(&self) -> Result<Tip, NodeError> {
        self.read_tip().await
    }

    async fn scan(&self, from: u64, to: u64, watch: &WatchSet) -> Result<Vec<Block>, NodeError> {
        self.read_blocks(from, to, watch).await
    }

    async fn block_at(&self, height: u64) -> Result<Option<BlockRef>, NodeError> {
        self.read_block_at(height).await
    }

    async fn context(&self, request: &ContextRequest) -> Result<Context, NodeError> {
        self.read_context(request).await
    }

    async fn broadcast(&self, tx: &SignedTx) -> Result<BroadcastOutcome, NodeError> {
        self.send(tx).await
    }

    async fn status(&self, tx: &TxId) -> Result<TxStatus, NodeError> {
        self.read_status(tx).await
    }

    async fn balances(
        &self,
        asset: &AssetId,
        addresses: &[Address],
    ) -> Result<BTreeMap<String, Amount>, NodeError> {
        self.read_balances(asset, addresses).await
    }

    async fn evidence(&self, tx: &TxId, _: u32) -> Result<AnchorEvidence, NodeError> {
        self.read_evidence(tx).await
    }
}
