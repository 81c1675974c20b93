use std::collections::BTreeSet;

use alloy_primitives::{Address as RawAddress, B256, U256};
use chain_core::NodeError;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::super::answers::{FullBlock, Receipt};
use super::super::deposits::{Deposit, Place, Position};
use super::super::rpc::quantity;
use super::super::scan::Scan;
use super::incomplete;

/// One call of a block, parents before children.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    #[serde(rename = "type")]
    kind: String,
    action: Action,
    result: Option<Created>,
    error: Option<IgnoredAny>,
    block_hash: B256,
    /// Absent for what is no transaction, such as a miner's reward.
    transaction_position: Option<usize>,
    trace_address: Vec<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Action {
    call_type: Option<String>,
    from: Option<RawAddress>,
    to: Option<RawAddress>,
    value: Option<U256>,
    /// The contract that is destroyed.
    address: Option<RawAddress>,
    refund_address: Option<RawAddress>,
    balance: Option<U256>,
}

/// What a creation results in; calls have other results.
#[derive(Debug, Deserialize)]
struct Created {
    address: Option<RawAddress>,
}

/// A movement of native coin.
struct Movement {
    from: Option<RawAddress>,
    to: Option<RawAddress>,
    value: Option<U256>,
}

impl Step {
    /// Delegated calls show a value that does not move.
    fn movement(&self) -> Option<Movement> {
        let Action { from, value, .. } = self.action;
        match (self.kind.as_str(), self.action.call_type.as_deref()) {
            ("call", Some("call")) => Some(Movement { from, to: self.action.to, value }),
            ("create", _) => {
                let to = self.result.as_ref().and_then(|created| created.address);
                Some(Movement { from, to, value })
            }
            ("suicide" | "selfdestruct", _) => {
                let Action { address: from, refund_address: to, balance: value, .. } = self.action;
                Some(Movement { from, to, value })
            }
            _ => None,
        }
    }
}

pub(super) fn params(height: u64) -> Value {
    json!([quantity(height)])
}

pub(super) async fn internal_payments(
    scan: &Scan<'_>,
    block: &FullBlock,
    receipts: &[Receipt],
) -> Result<Vec<Deposit>, NodeError> {
    let hash = block.header.hash;
    let steps: Vec<Step> = scan.rpc.call("trace_block", params(block.header.number.to())).await?;
    let traced: BTreeSet<usize> =
        steps.iter().filter_map(|step| step.transaction_position).collect();
    let complete = traced.iter().copied().eq(0..receipts.len());
    if !complete || steps.iter().any(|step| step.block_hash != hash) {
        return Err(incomplete(hash));
    }
    let mut undone: BTreeSet<(usize, Vec<usize>)> = BTreeSet::new();
    let mut deposits = Vec::new();
    for step in steps {
        let Some(transaction) = step.transaction_position else { continue };
        let Some(receipt) = receipts.get(transaction) else { continue };
        let path = step.trace_address.clone();
        // Calls within a call that failed carry no mark of their own.
        let parent = path.split_last().map(|(_, parent)| (transaction, parent.to_vec()));
        if step.error.is_some() || parent.is_some_and(|parent| undone.contains(&parent)) {
            undone.insert((transaction, path));
        } else if receipt.succeeded() && !path.is_empty() {
            let place = Place { transaction, position: Position::Trace(path) };
            deposits.extend(deposit(scan, place, receipt.transaction_hash, &step));
        }
    }
    Ok(deposits)
}

fn deposit(scan: &Scan<'_>, place: Place, tx: B256, step: &Step) -> Option<Deposit> {
    let Movement { from, to, value } = step.movement()?;
    let to = to.filter(|to| scan.addresses.contains(to) && from != Some(*to))?;
    let amount = value.filter(|value| !value.is_zero())?;
    Some(Deposit { place, tx, to, token: None, amount })
}
