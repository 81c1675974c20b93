use alloy_consensus::SignableTransaction;
use alloy_eips::Encodable2718;
use alloy_primitives::{Address as RawAddress, B256, Signature as RawSignature, U256, keccak256};
use chain_core::{BuildError, Signature, SignedTx, TxId, UnsignedTx};

use crate::build::check_sender;
use crate::describe::{decode, describe};

/// Puts the signature into the transaction, once it is shown to be the sender's.
///
/// # Errors
/// [`BuildError::BadSignature`] for a signature that is not 65 bytes with a recovery byte of 0 or 1,
/// is not in its low-S form (EIP-2), or was not made by the sender over these very bytes; and as
/// [`describe`].
pub fn assemble(unsigned: &UnsignedTx, signatures: &[Signature]) -> Result<SignedTx, BuildError> {
    describe(unsigned)?;
    let (transaction, sender) = decode(unsigned)?;
    let [given] = signatures else {
        return Err(BuildError::BadSignature(signatures.len()));
    };
    let sender = check_sender(&unsigned.chain, sender)?;
    let signature =
        verified(given, sender, keccak256(&unsigned.bytes)).ok_or(BuildError::BadSignature(0))?;
    let bytes = transaction.into_signed(signature).encoded_2718();
    Ok(SignedTx { chain: unsigned.chain.clone(), id: tx_id(&bytes), bytes })
}

/// The id of a signed transaction: the Keccak-256 of its bytes, as `0x` and lower-case digits.
#[must_use]
pub fn tx_id(signed_bytes: &[u8]) -> TxId {
    TxId(keccak256(signed_bytes).to_string())
}

fn verified(given: &Signature, sender: RawAddress, digest: B256) -> Option<RawSignature> {
    let (scalars, recovery) = given.bytes.split_at_checked(64)?;
    let y_is_odd = match recovery {
        [0] => false,
        [1] => true,
        _ => return None,
    };
    let (r, s) = scalars.split_at_checked(32)?;
    let signature =
        RawSignature::new(U256::try_from_be_slice(r)?, U256::try_from_be_slice(s)?, y_is_odd);
    // Recovery below accepts a high S; the chain does not (EIP-2).
    let is_low = signature.normalize_s().is_none();
    let key = signature.recover_from_prehash(&digest).ok()?;
    let is_senders = RawAddress::from_public_key(&key) == sender;
    let is_named = key.to_encoded_point(true).as_bytes() == given.public_key;
    (is_low && is_senders && is_named).then_some(signature)
}
