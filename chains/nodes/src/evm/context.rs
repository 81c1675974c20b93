use alloy_primitives::{Address as RawAddress, Bytes, U64, U256};
use chain_core::{Action, Amount, BuildError, ContextRequest, EvmContext, NodeError, Payment};
use chain_evm::{Call, GAS_LIMIT_MAX, GAS_LIMIT_MIN};
use serde_json::json;

use super::EvmNode;
use super::fees::prices;
use super::rpc::{CallError, Rpc, raw_address};

/// Everything that `build` must know, read at the head.
pub(super) async fn context(
    node: &EvmNode,
    request: &ContextRequest,
) -> Result<EvmContext, NodeError> {
    let [sender] = &request.signers[..] else {
        return Err(NodeError::Refused("an EVM transaction has exactly one signer".to_owned()));
    };
    let from = raw_address(&sender.address)?;
    let balance = node.balance_of(&node.chain.native(), from).await?;
    let token_balance = match token_payment(&request.action) {
        Some(payment) => Some(node.balance_of(&payment.asset, from).await?),
        None => None,
    };
    let count: U64 = node.rpc.call("eth_getTransactionCount", (from, "latest")).await?;
    let prices = prices(&node.rpc, request.tier).await?;
    let action = affordable(&request.action, balance, token_balance)?;
    let call = chain_evm::call_of(&node.chain, &action).map_err(refused)?;
    check_contract(node, &action).await?;
    Ok(EvmContext {
        sender: sender.clone(),
        // Not the count of the pool: that one counts transactions which the pool may drop.
        nonce: count.to::<u64>().max(request.nonce_floor),
        max_fee_per_gas: prices.max_fee_per_gas,
        max_priority_fee_per_gas: prices.max_priority_fee_per_gas,
        gas_limit: gas_limit(&node.rpc, from, &call).await?,
        balance: saturating(balance),
        token_balance: token_balance.map(saturating),
    })
}

fn refused(error: BuildError) -> NodeError {
    NodeError::Refused(error.to_string())
}

fn token_payment(action: &Action) -> Option<&Payment> {
    match action {
        Action::Pay { payments } => payments.iter().find(|payment| !payment.asset.is_native()),
        _ => None,
    }
}

/// A balance for comparisons: beyond 128 bits there is enough of anything.
fn saturating(balance: U256) -> Amount {
    Amount::new(u128::try_from(balance).unwrap_or(u128::MAX))
}

/// The action with an amount that the sender has, because a call that cannot succeed has no
/// estimate. Whether the true amount is affordable is for `build` to say.
fn affordable(
    action: &Action,
    balance: U256,
    token_balance: Option<U256>,
) -> Result<Action, NodeError> {
    let Action::Pay { payments } = action else { return Ok(action.clone()) };
    let mut payments = payments.clone();
    for payment in &mut payments {
        let available = if payment.asset.is_native() { Some(balance) } else { token_balance };
        let available = saturating(available.unwrap_or_default());
        if available.is_zero() {
            let asset = &payment.asset;
            return Err(NodeError::NotAvailable(format!("the sender has nothing of {asset}")));
        }
        payment.amount = payment.amount.min(available);
    }
    Ok(Action::Pay { payments })
}

/// A call of an address without code succeeds and does nothing, so the contracts must be there.
async fn check_contract(node: &EvmNode, action: &Action) -> Result<(), NodeError> {
    let is_missing = |what: &str| NodeError::NotAvailable(format!("{what} on {}", node.chain));
    match action {
        Action::Anchor { .. } if !node.has_anchor_contract().await? => {
            Err(is_missing("the anchor contract is not deployed"))
        }
        Action::DeployAnchorContract if node.has_anchor_contract().await? => {
            Err(is_missing("the anchor contract is deployed already"))
        }
        Action::DeployAnchorContract if !node.rpc.has_code(chain_evm::DEPLOYMENT_PROXY).await? => {
            Err(is_missing("there is no deterministic deployment proxy"))
        }
        Action::Pay { payments } => {
            for payment in payments {
                if let Some(token) = payment.asset.token().and_then(|token| token.parse().ok())
                    && !node.rpc.has_code(token).await?
                {
                    return Err(is_missing("there is no such token"));
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The estimate and a quarter; a plain transfer needs no margin, and a sweep leaves nothing behind
/// without one.
async fn gas_limit(rpc: &Rpc, from: RawAddress, call: &Call) -> Result<u64, NodeError> {
    let Call { to, value, input } = call;
    let request = transaction_request(from, *to, *value, input);
    let estimate: Result<U64, CallError> = rpc.ask("eth_estimateGas", (request, "latest")).await;
    let estimate = match estimate {
        Ok(estimate) => estimate.to::<u64>(),
        Err(CallError::Answered { message, .. }) => {
            return Err(NodeError::Refused(format!("the transaction would fail: {message}")));
        }
        Err(CallError::Failed(error)) => return Err(error),
    };
    if estimate <= GAS_LIMIT_MIN {
        return Ok(GAS_LIMIT_MIN);
    }
    let with_margin = estimate.saturating_add(estimate / 4);
    if estimate > GAS_LIMIT_MAX {
        return Err(NodeError::Refused(format!(
            "{estimate} gas is more than a transaction may use"
        )));
    }
    Ok(with_margin.min(GAS_LIMIT_MAX))
}

fn transaction_request(
    from: RawAddress,
    to: RawAddress,
    value: U256,
    input: &Bytes,
) -> serde_json::Value {
    json!({ "from": from, "to": to, "value": value, "data": input })
}
