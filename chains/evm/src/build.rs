use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_primitives::TxKind;
use chain_core::{
    Action, Amount, AmountError, AssetId, BuildError, ChainId, EvmContext, Intent, KeyScheme,
    KeyedAddress, UnsignedTx,
};

use crate::address::raw;
use crate::call::{Call, call_of};
use crate::describe::{decode, describe};

/// Builds the EIP-1559 transaction that does what `intent` says, from the sender and at the nonce
/// and prices of `context`.
///
/// # Errors
/// [`BuildError`]: what the chain cannot do, too little money (fee included), a fee over the
/// intent's cap, prices or a gas limit that make no sense.
pub fn build(intent: &Intent, context: &EvmContext) -> Result<UnsignedTx, BuildError> {
    let chain = &intent.chain;
    check_sender(chain, &context.sender)?;
    let call = call_of(chain, &intent.action)?;
    let fee = fee_max(context.gas_limit, context.max_fee_per_gas)?;
    if fee > intent.fee_max {
        return Err(BuildError::FeeOverCap { fee, cap: intent.fee_max });
    }
    check_funds(&intent.action, context, fee)?;
    let unsigned = UnsignedTx {
        chain: chain.clone(),
        bytes: transaction(chain_number(chain)?, context, call).encoded_for_signing(),
        signers: vec![context.sender.clone()],
        change: Vec::new(),
    };
    // What the signer will refuse is refused here already, by the same rules.
    describe(&unsigned)?;
    Ok(unsigned)
}

/// The most of `asset` that one transaction can move out of the sender's address: all of a token,
/// or the native balance less the highest possible fee.
///
/// # Errors
/// [`BuildError::Insufficient`] when the native balance does not even pay the fee;
/// [`BuildError::Zero`] when nothing is left to move.
pub fn sweepable(context: &EvmContext, asset: &AssetId) -> Result<Amount, BuildError> {
    let fee = fee_max(context.gas_limit, context.max_fee_per_gas)?;
    let insufficient = BuildError::Insufficient { needed: fee, available: context.balance };
    let rest = context.balance.checked_sub(fee).map_err(|_| insufficient)?;
    let movable =
        if asset.is_native() { rest } else { context.token_balance.unwrap_or(Amount::ZERO) };
    if movable.is_zero() { Err(BuildError::Zero) } else { Ok(movable) }
}

/// The context of a transaction that takes the place of `previous`: the same sender and nonce, and
/// prices of which each is the fresh one or an eighth more than before, whichever is higher. (Nodes
/// want a tenth more before they replace what is in their pool.)
///
/// Build it with the same intent: recipients and amounts stay, and the cap on fees holds.
///
/// # Errors
/// As [`describe`]; [`BuildError::Unsupported`] when `fresh` is of another sender.
pub fn replacement(previous: &UnsignedTx, fresh: &EvmContext) -> Result<EvmContext, BuildError> {
    let (previous, sender) = decode(previous)?;
    if *sender != fresh.sender {
        return Err(BuildError::Unsupported("a replacement has the same sender".to_owned()));
    }
    let tip = fresh.max_priority_fee_per_gas.max(raised(previous.max_priority_fee_per_gas)?);
    let fee = fresh.max_fee_per_gas.max(raised(previous.max_fee_per_gas)?);
    Ok(EvmContext {
        nonce: previous.nonce,
        max_fee_per_gas: fee,
        max_priority_fee_per_gas: tip,
        gas_limit: fresh.gas_limit.max(previous.gas_limit),
        ..fresh.clone()
    })
}

/// An eighth more, rounded up.
fn raised(price: u128) -> Result<u128, AmountError> {
    price.checked_add(price.div_ceil(8)).ok_or(AmountError::Overflow)
}

/// The most that a transaction can cost on the chain itself: gas limit times highest price. (A
/// rollup may charge for its data on another chain besides.)
pub(crate) fn fee_max(gas_limit: u64, max_fee_per_gas: u128) -> Result<Amount, AmountError> {
    Amount::new(max_fee_per_gas).checked_mul(u128::from(gas_limit))
}

/// The EIP-155 number of an EVM chain.
pub(crate) fn chain_number(chain: &ChainId) -> Result<u64, BuildError> {
    chain.eip155().ok_or_else(|| BuildError::Unsupported(format!("{chain} is not an EVM chain")))
}

/// Checks that the sender is an address of `chain` with a key of the right kind.
pub(crate) fn check_sender(
    chain: &ChainId,
    sender: &KeyedAddress,
) -> Result<alloy_primitives::Address, BuildError> {
    if sender.key.scheme() != KeyScheme::Bip44Evm {
        return Err(BuildError::Unsupported(format!("{} is no key of an EVM chain", sender.key)));
    }
    Ok(raw(chain, &sender.address)?)
}

fn check_funds(action: &Action, context: &EvmContext, fee: Amount) -> Result<(), BuildError> {
    let (mut needed, mut token_needed) = (fee, Amount::ZERO);
    if let Action::Pay { payments } = action {
        for payment in payments {
            let sum = if payment.asset.is_native() { &mut needed } else { &mut token_needed };
            *sum = sum.checked_add(payment.amount)?;
        }
    }
    require(token_needed, context.token_balance.unwrap_or(Amount::ZERO))?;
    require(needed, context.balance)
}

fn require(needed: Amount, available: Amount) -> Result<(), BuildError> {
    if needed > available {
        return Err(BuildError::Insufficient { needed, available });
    }
    Ok(())
}

fn transaction(chain_id: u64, context: &EvmContext, call: Call) -> TxEip1559 {
    TxEip1559 {
        chain_id,
        nonce: context.nonce,
        gas_limit: context.gas_limit,
        max_fee_per_gas: context.max_fee_per_gas,
        max_priority_fee_per_gas: context.max_priority_fee_per_gas,
        to: TxKind::Call(call.to),
        value: call.value,
        access_list: Default::default(),
        input: call.input,
    }
}
