use alloy_primitives::{Address as RawAddress, B256, U256};
use chain_core::NodeError;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::super::answers::{FullBlock, Receipt};
use super::super::deposits::{Deposit, Place, Position};
use super::super::scan::Scan;
use super::incomplete;

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
    error: Option<IgnoredAny>,
    #[serde(borrow, default)]
    calls: Vec<&'a RawValue>,
}

impl Call<'_> {
    /// Delegated calls show a value that does not move, and `CALLCODE` pays the caller itself.
    fn moves_value(&self) -> bool {
        matches!(self.kind.as_str(), "CALL" | "CREATE" | "CREATE2" | "SELFDESTRUCT")
    }
}

pub(super) fn params(block_hash: &str) -> Value {
    json!([block_hash, { "tracer": "callTracer" }])
}

pub(super) async fn internal_payments(
    scan: &Scan<'_>,
    block: &FullBlock,
    receipts: &[Receipt],
) -> Result<Vec<Deposit>, NodeError> {
    let hash = block.header.hash;
    let traced: Vec<Traced> =
        scan.rpc.call("debug_traceBlockByHash", params(&hash.to_string())).await?;
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
        for (index, inner) in call.calls.iter().enumerate() {
            open.push(([&path[..], &[index]].concat(), *inner));
        }
        deposits.extend(payment(scan, &call).map(|(to, amount)| {
            let place = Place { transaction, position: Position::Trace(path.clone()) };
            Deposit { place, tx, to, token: None, amount }
        }));
    }
    // The call at the top is the transaction itself, which is read from the block.
    deposits.retain(|deposit| deposit.place.position != Position::Trace(Vec::new()));
    Ok(deposits)
}

fn payment(scan: &Scan<'_>, call: &Call<'_>) -> Option<(RawAddress, U256)> {
    let value = call.value.filter(|value| call.moves_value() && !value.is_zero())?;
    let to = call.to.filter(|to| scan.addresses.contains(to) && call.from != Some(*to))?;
    Some((to, value))
}
