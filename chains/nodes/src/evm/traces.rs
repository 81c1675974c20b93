use alloy_primitives::{Address as RawAddress, B256, U256};
use chain_core::{ChainId, NodeError};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::answers::{FullBlock, Receipt};
use super::deposits::{Deposit, Place, Position};
use super::rpc::{CallError, Rpc};
use super::scan::Scan;

/// Whether the node can trace blocks (`debug_traceBlockByHash` with `callTracer`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Traces {
    Available,
    Missing,
}

/// The trace of one transaction.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Traced {
    tx_hash: Option<B256>,
    result: Option<Box<RawValue>>,
}

/// One call. Inner calls stay text until their turn: a transaction may nest a thousand, and a
/// recursive reader would give up or run out of stack, as its sender may wish.
#[derive(Deserialize)]
struct Call<'a> {
    #[serde(rename = "type")]
    kind: String,
    from: Option<RawAddress>,
    to: Option<RawAddress>,
    #[serde(default)]
    value: Option<U256>,
    error: Option<serde::de::IgnoredAny>,
    #[serde(borrow, default)]
    calls: Vec<&'a RawValue>,
}

impl Call<'_> {
    /// Delegated calls show a value that does not move, and `CALLCODE` pays the caller itself.
    fn moves_value(&self) -> bool {
        matches!(self.kind.as_str(), "CALL" | "CREATE" | "CREATE2" | "SELFDESTRUCT")
    }
}

impl Traces {
    /// Tries a trace of the newest block.
    pub(super) async fn probe(rpc: &Rpc, chain: &ChainId) -> Result<Self, NodeError> {
        let Some(head) = rpc.block_ref("latest").await? else { return Ok(Self::Missing) };
        let answer: Result<Box<RawValue>, CallError> =
            rpc.ask("debug_traceBlockByHash", (&head.hash, tracer())).await;
        match answer {
            Ok(_) => Ok(Self::Available),
            // Nodes that can trace say of the first block that there is nothing to trace.
            Err(error) if head.height == 0 && !error.is_missing_method() => Ok(Self::Available),
            Err(CallError::Answered { message, .. }) => {
                tracing::warn!(
                    %chain, %message,
                    "the node cannot trace blocks: native coin from inside contracts is not seen"
                );
                Ok(Self::Missing)
            }
            Err(CallError::Failed(error)) => Err(error),
        }
    }

    pub(super) const fn is_available(self) -> bool {
        matches!(self, Self::Available)
    }

    /// Native coin that arrived from inside contracts, in successful transactions and in calls that
    /// were not undone.
    pub(super) async fn internal_payments(
        self,
        scan: &Scan<'_>,
        block: &FullBlock,
        receipts: &[Receipt],
    ) -> Result<Vec<Deposit>, NodeError> {
        if !self.is_available() {
            return Ok(Vec::new());
        }
        let hash = block.header.hash;
        let traced: Vec<Traced> = scan.rpc.call("debug_traceBlockByHash", (hash, tracer())).await?;
        if traced.len() != receipts.len() {
            return Err(incomplete(hash));
        }
        let mut deposits = Vec::new();
        for (index, (traced, receipt)) in traced.iter().zip(receipts).enumerate() {
            if traced.tx_hash.is_some_and(|hash| hash != receipt.transaction_hash) {
                return Err(incomplete(hash));
            }
            if receipt.succeeded() {
                let root = traced.result.as_deref().ok_or_else(|| incomplete(hash))?;
                deposits.extend(payments_inside(scan, index, receipt.transaction_hash, root)?);
            }
        }
        Ok(deposits)
    }
}

fn payments_inside(
    scan: &Scan<'_>,
    transaction: usize,
    tx: B256,
    root: &RawValue,
) -> Result<Vec<Deposit>, NodeError> {
    let mut deposits = Vec::new();
    let mut open = vec![(Vec::new(), root)];
    while let Some((path, raw)) = open.pop() {
        let call: Call<'_> = serde_json::from_str(raw.get())
            .map_err(|error| NodeError::Malformed(format!("a trace of {tx}: {error}")))?;
        if call.error.is_some() {
            continue;
        }
        let value = call.value.filter(|value| !value.is_zero());
        let to = call.to.filter(|to| scan.addresses.contains(to) && call.from != Some(*to));
        // The call at the top is the transaction itself, which is read from the block.
        if let (false, true, Some(amount), Some(to)) =
            (path.is_empty(), call.moves_value(), value, to)
        {
            let place = Place { transaction, position: Position::Trace(path.clone()) };
            deposits.push(Deposit { place, tx, to, token: None, amount });
        }
        for (index, inner) in call.calls.into_iter().enumerate() {
            open.push(([&path[..], &[index]].concat(), inner));
        }
    }
    Ok(deposits)
}

fn tracer() -> serde_json::Value {
    json!({ "tracer": "callTracer" })
}

fn incomplete(block: B256) -> NodeError {
    NodeError::Malformed(format!("the trace of block {block} is not of all its transactions"))
}
