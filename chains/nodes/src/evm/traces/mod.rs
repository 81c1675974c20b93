//! Payments of native coin from inside contracts, by the traces of a block.

mod flat;
mod nested;

use alloy_primitives::B256;
use chain_core::{BlockRef, ChainId, NodeError};
use serde_json::value::RawValue;

use super::answers::{FullBlock, Receipt};
use super::deposits::Deposit;
use super::rpc::{CallError, Rpc};
use super::scan::Scan;

/// How the node traces blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Traces {
    /// `debug_traceBlockByHash` with `callTracer`: go-ethereum, Reth, Nethermind, anvil.
    Nested,
    /// `trace_block`: Erigon, Besu, Reth, Nethermind, anvil.
    Flat,
    /// Not at all.
    Missing,
}

impl Traces {
    /// Tries a trace of the newest block in either way.
    pub(super) async fn probe(rpc: &Rpc, chain: &ChainId) -> Result<Self, NodeError> {
        let Some(head) = rpc.block_ref("latest").await? else { return Ok(Self::Missing) };
        let nested = rpc.ask("debug_traceBlockByHash", nested::params(&head.hash)).await;
        if works(nested, &head)? {
            return Ok(Self::Nested);
        }
        if works(rpc.ask("trace_block", flat::params(head.height)).await, &head)? {
            return Ok(Self::Flat);
        }
        tracing::warn!(
            %chain,
            "the node cannot trace blocks: native coin from inside contracts is not seen"
        );
        Ok(Self::Missing)
    }

    pub(super) const fn is_available(self) -> bool {
        !matches!(self, Self::Missing)
    }

    /// Native coin that arrived from inside contracts, in successful transactions and in calls that
    /// were not undone.
    pub(super) async fn internal_payments(
        self,
        scan: &Scan<'_>,
        block: &FullBlock,
        receipts: &[Receipt],
    ) -> Result<Vec<Deposit>, NodeError> {
        match self {
            Self::Nested => nested::internal_payments(scan, block, receipts).await,
            Self::Flat => flat::internal_payments(scan, block, receipts).await,
            Self::Missing => Ok(Vec::new()),
        }
    }
}

fn works(answer: Result<Box<RawValue>, CallError>, head: &BlockRef) -> Result<bool, NodeError> {
    match answer {
        Ok(_) => Ok(true),
        // Nodes that can trace say of the first block that there is nothing to trace.
        Err(error @ CallError::Answered { .. }) => {
            Ok(head.height == 0 && !error.is_missing_method())
        }
        Err(CallError::Failed(error)) => Err(error),
    }
}

fn incomplete(block: B256) -> NodeError {
    NodeError::Malformed(format!("the trace of block {block} is not of all its transactions"))
}
