//! EVM networks over JSON-RPC, by `http://` or `https://` (certificates under Mozilla's roots).
//!
//! A node must offer, beside the usual `eth_` calls: `eth_getBlockReceipts`, state at recent blocks
//! (`eth_call` by block hash), and, where payments from inside contracts are to be seen,
//! `debug_traceBlockByHash` with `callTracer` or `trace_block`.
//!
//! What is a deposit: in a transaction that succeeded, native coin sent to a watched address, by the
//! transaction itself (`native`) or by a call inside it that was not undone (`trace:0.1`); and
//! registered tokens by their `Transfer` event (`log:3`, counted within the receipt), of which no more
//! is credited than the balance grew over the block. What is none: coin that a validator withdraws
//! from the consensus layer or earns as a fee, tokens that arrive without an event, and a token that
//! is not registered.

mod answers;
mod context;
mod deposits;
mod evidence;
mod fees;
mod http;
mod rpc;
mod scan;
mod send;
mod tokens;
mod traces;

use std::collections::BTreeMap;
use std::time::Duration;

use alloy_primitives::{Address as RawAddress, U256};
use chain_core::{
    Address, Amount, AnchorEvidence, AssetId, Block, BlockRef, BroadcastOutcome, ChainId, Context,
    ContextRequest, Node, NodeError, SignedTx, Tip, TxId, TxStatus, WatchSet,
};

use self::rpc::{Rpc, raw_address};
use self::traces::Traces;

/// How to talk to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvmOptions {
    /// The longest that one request may take, connection and answer included.
    pub timeout: Duration,
}

impl Default for EvmOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(20) }
    }
}

/// A connection to a node of an EVM network, by `http://` or `https://`.
///
/// It fills in no nonce and holds no key. Everything about one block is asked by that block's hash,
/// so that a reorganisation between two questions cannot mix two blocks.
pub struct EvmNode {
    chain: ChainId,
    rpc: Rpc,
    traces: Traces,
}

impl std::fmt::Debug for EvmNode {
    /// Without the URL, which holds a key at most hosted nodes.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("EvmNode").field("chain", &self.chain).finish_non_exhaustive()
    }
}

impl EvmNode {
    /// Connects and checks that the node follows `chain`.
    ///
    /// A node that cannot trace blocks is accepted, with a warning in the log: payments of native
    /// coin from inside contracts are not seen there ([`EvmNode::sees_internal_payments`]).
    ///
    /// # Errors
    /// [`NodeError::WrongNetwork`]; [`NodeError::Unreachable`].
    pub async fn connect(
        url: &str,
        chain: ChainId,
        options: EvmOptions,
    ) -> Result<Self, NodeError> {
        let rpc = Rpc::new(url, options.timeout)?;
        let found: U256 = rpc.call("eth_chainId", ()).await?;
        if chain.eip155().map(U256::from) != Some(found) {
            return Err(NodeError::WrongNetwork {
                wanted: chain,
                found: format!("eip155:{found}"),
            });
        }
        let traces = Traces::probe(&rpc, &chain).await?;
        Ok(Self { chain, rpc, traces })
    }

    /// True when payments of native coin from inside contracts are seen.
    #[must_use]
    pub const fn sees_internal_payments(&self) -> bool {
        self.traces.is_available()
    }

    /// True when the anchor contract is deployed on this network.
    ///
    /// # Errors
    /// [`NodeError`] when the node does not answer.
    pub async fn has_anchor_contract(&self) -> Result<bool, NodeError> {
        let contract = chain_evm::anchor_contract_address(&self.chain);
        self.rpc.has_code(raw_address(&contract)?).await
    }

    async fn balance_of(&self, asset: &AssetId, owner: RawAddress) -> Result<U256, NodeError> {
        match asset.token() {
            None => self.rpc.call("eth_getBalance", (owner, "latest")).await,
            Some(token) => {
                let token = token
                    .parse()
                    .map_err(|_| NodeError::Malformed(format!("{asset} names no contract")))?;
                tokens::balance_of(&self.rpc, token, owner, "latest".into()).await
            }
        }
    }
}

impl Node for EvmNode {
    fn chain(&self) -> &ChainId {
        &self.chain
    }

    async fn tip(&self) -> Result<Tip, NodeError> {
        let head = self.rpc.block_ref("latest").await?;
        let head = head.ok_or_else(|| NodeError::Malformed("there is no latest block".into()))?;
        Ok(Tip { head, finalized: self.rpc.finalized().await? })
    }

    async fn scan(&self, from: u64, to: u64, watch: &WatchSet) -> Result<Vec<Block>, NodeError> {
        scan::Scan::new(&self.chain, &self.rpc, self.traces, watch)?.blocks(from, to).await
    }

    async fn block_at(&self, height: u64) -> Result<Option<BlockRef>, NodeError> {
        self.rpc.block_ref(&rpc::quantity(height)).await
    }

    async fn context(&self, request: &ContextRequest) -> Result<Context, NodeError> {
        context::context(self, request).await.map(Context::Evm)
    }

    async fn broadcast(&self, tx: &SignedTx) -> Result<BroadcastOutcome, NodeError> {
        send::broadcast(&self.rpc, tx).await
    }

    async fn status(&self, tx: &TxId) -> Result<TxStatus, NodeError> {
        send::status(&self.rpc, tx).await
    }

    async fn balances(
        &self,
        asset: &AssetId,
        addresses: &[Address],
    ) -> Result<BTreeMap<String, Amount>, NodeError> {
        let mut balances = BTreeMap::new();
        for address in addresses {
            let balance = self.balance_of(asset, raw_address(address)?).await?;
            let amount = u128::try_from(balance).map_err(|_| {
                NodeError::TooLarge(format!("{address} holds more than 128 bits of {asset}"))
            })?;
            if amount > 0 {
                balances.insert(address.to_string(), Amount::new(amount));
            }
        }
        Ok(balances)
    }

    async fn evidence(&self, tx: &TxId, _: u32) -> Result<AnchorEvidence, NodeError> {
        evidence::evidence(&self.chain, &self.rpc, tx).await
    }
}
