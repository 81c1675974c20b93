use std::collections::BTreeMap;

use chain_core::{
    Address, Amount, AnchorEvidence, AssetId, Block, BlockRef, BroadcastOutcome, ChainId, Context,
    ContextRequest, Node, NodeError, SignedTx, Tip, TxId, TxStatus, WatchSet,
};

use crate::bitcoin::BitcoinNode;
use crate::evm::EvmNode;
use crate::solana::SolanaNode;

/// A node of whatever family: a closed set, so dispatch is an exhaustive `match`.
#[derive(Debug)]
pub enum AnyNode {
    /// Of an EVM chain.
    Evm(EvmNode),
    /// Of Bitcoin.
    Bitcoin(BitcoinNode),
    /// Of Solana.
    Solana(SolanaNode),
}

macro_rules! each {
    ($self:ident, $node:ident => $call:expr) => {
        match $self {
            Self::Evm($node) => $call,
            Self::Bitcoin($node) => $call,
            Self::Solana($node) => $call,
        }
    };
}

impl Node for AnyNode {
    fn chain(&self) -> &ChainId {
        each!(self, node => node.chain())
    }

    async fn tip(&self) -> Result<Tip, NodeError> {
        each!(self, node => node.tip().await)
    }

    async fn scan(&self, from: u64, to: u64, watch: &WatchSet) -> Result<Vec<Block>, NodeError> {
        each!(self, node => node.scan(from, to, watch).await)
    }

    async fn block_at(&self, height: u64) -> Result<Option<BlockRef>, NodeError> {
        each!(self, node => node.block_at(height).await)
    }

    async fn context(&self, request: &ContextRequest) -> Result<Context, NodeError> {
        each!(self, node => node.context(request).await)
    }

    async fn broadcast(&self, tx: &SignedTx) -> Result<BroadcastOutcome, NodeError> {
        each!(self, node => node.broadcast(tx).await)
    }

    async fn status(&self, tx: &TxId) -> Result<TxStatus, NodeError> {
        each!(self, node => node.status(tx).await)
    }

    async fn balances(
        &self,
        asset: &AssetId,
        addresses: &[Address],
    ) -> Result<BTreeMap<String, Amount>, NodeError> {
        each!(self, node => node.balances(asset, addresses).await)
    }

    async fn evidence(&self, tx: &TxId, headers_after: u32) -> Result<AnchorEvidence, NodeError> {
        each!(self, node => node.evidence(tx, headers_after).await)
    }
}
