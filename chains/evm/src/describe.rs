use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_primitives::{TxKind, keccak256};
use alloy_rlp::Decodable;
use chain_core::{
    Algorithm, BuildError, KeyedAddress, Message, SigningPayload, Slot, TxSummary, UnsignedTx,
};

use crate::build::{chain_number, check_sender, fee_max};
use crate::call::{Call, action_of};
use crate::{GAS_LIMIT_MAX, GAS_LIMIT_MIN};

/// The EIP-2718 type byte of an EIP-1559 transaction.
const TYPE_EIP1559: u8 = 2;

/// Reads back, from the bytes alone, what a transaction does and costs and where it sits.
///
/// # Errors
/// [`BuildError`] for whatever [`build`](crate::build) does not make: other transaction types,
/// another chain, creation of contracts, access lists, unknown calls, bytes left over.
pub fn describe(unsigned: &UnsignedTx) -> Result<TxSummary, BuildError> {
    let (transaction, sender) = decode(unsigned)?;
    let TxKind::Call(to) = transaction.to else {
        return Err(malformed("it would create a contract"));
    };
    let call = Call { to, value: transaction.value, input: transaction.input };
    Ok(TxSummary {
        chain: unsigned.chain.clone(),
        action: action_of(&unsigned.chain, &call)?,
        fee_max: fee_max(transaction.gas_limit, transaction.max_fee_per_gas)?,
        slots: vec![Slot::EvmNonce { account: sender.address.clone(), nonce: transaction.nonce }],
        change: Vec::new(),
    })
}

/// What must be signed: the Keccak-256 of the bytes, by the sender's key. Bytes that
/// [`describe`] refuses have no payload.
///
/// # Errors
/// As [`describe`].
pub fn payloads(unsigned: &UnsignedTx) -> Result<Vec<SigningPayload>, BuildError> {
    describe(unsigned)?;
    let digest = keccak256(&unsigned.bytes);
    let payload = |signer: &KeyedAddress| SigningPayload {
        key: signer.key,
        algorithm: Algorithm::Secp256k1Ecdsa,
        message: Message::Digest(digest.0),
    };
    Ok(unsigned.signers.iter().map(payload).collect())
}

/// Decodes and checks everything but the call itself.
pub(crate) fn decode(unsigned: &UnsignedTx) -> Result<(TxEip1559, &KeyedAddress), BuildError> {
    let [sender] = &unsigned.signers[..] else {
        return Err(malformed("an EVM transaction has exactly one signer"));
    };
    if !unsigned.change.is_empty() {
        return Err(malformed("EVM transactions have no change"));
    }
    check_sender(&unsigned.chain, sender)?;
    let [TYPE_EIP1559, rest @ ..] = &unsigned.bytes[..] else {
        return Err(malformed("it is not an EIP-1559 transaction"));
    };
    let mut rest = rest;
    let transaction = TxEip1559::decode(&mut rest)
        .map_err(|error| malformed(&format!("its RLP is wrong: {error}")))?;
    if !rest.is_empty() || transaction.encoded_for_signing() != unsigned.bytes {
        return Err(malformed("it has bytes that mean nothing"));
    }
    if transaction.chain_id != chain_number(&unsigned.chain)? {
        let (found, wanted) = (transaction.chain_id, &unsigned.chain);
        return Err(malformed(&format!("it is bound to eip155:{found}, not to {wanted}")));
    }
    check_limits(&transaction)?;
    Ok((transaction, sender))
}

fn check_limits(transaction: &TxEip1559) -> Result<(), BuildError> {
    if !transaction.access_list.is_empty() {
        return Err(malformed("it has an access list"));
    }
    if transaction.nonce == u64::MAX {
        return Err(malformed(
            "its nonce is the highest, which no transaction may have (EIP-2681)",
        ));
    }
    if transaction.max_priority_fee_per_gas > transaction.max_fee_per_gas {
        return Err(malformed("its priority fee is higher than its highest price"));
    }
    let least = intrinsic_gas(&transaction.input);
    if !(least..=GAS_LIMIT_MAX).contains(&transaction.gas_limit) {
        let limit = transaction.gas_limit;
        return Err(malformed(&format!(
            "its gas limit of {limit} is not between {least} and {GAS_LIMIT_MAX}"
        )));
    }
    Ok(())
}

/// The gas that a call costs before it runs (EIP-2028).
fn intrinsic_gas(input: &[u8]) -> u64 {
    let per_byte = |byte: &u8| if *byte == 0 { 4 } else { 16 };
    input.iter().map(per_byte).fold(GAS_LIMIT_MIN, u64::saturating_add)
}

fn malformed(reason: &str) -> BuildError {
    BuildError::Malformed(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_data_costs_more_where_it_is_not_zero() {
        assert_eq!(intrinsic_gas(&[]), 21_000);
        assert_eq!(intrinsic_gas(&[0, 0, 0]), 21_012);
        assert_eq!(intrinsic_gas(&[0, 1, 0xff]), 21_036);
    }
}
