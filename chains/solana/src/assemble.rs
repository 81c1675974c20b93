use chain_core::{
    Algorithm, BuildError, Message, Signature, SignedTx, SigningPayload, TxId, UnsignedTx,
};
use ed25519_dalek::VerifyingKey;

use crate::address::wallet_key;
use crate::describe::describe;
use crate::read::malformed;

/// What is to be signed: the whole message, once for each signer, by Ed25519.
///
/// # Errors
/// As [`describe`](crate::describe): nothing is offered for signing that is not understood.
pub fn payloads(tx: &UnsignedTx) -> Result<Vec<SigningPayload>, BuildError> {
    describe(tx)?;
    let payload = |signer: &chain_core::KeyedAddress| SigningPayload {
        key: signer.key,
        algorithm: Algorithm::Ed25519,
        message: Message::Bytes(tx.bytes.clone()),
    };
    Ok(tx.signers.iter().map(payload).collect())
}

/// Joins message and signatures. The id is the first signature in base58: it is known only now, but
/// before anything is sent, and Ed25519 signatures being deterministic it is always the same.
///
/// # Errors
/// [`BuildError::BadSignature`] with the place of a signature that is missing, of another key, or
/// does not verify strictly (no weak key, canonical encodings).
pub fn assemble(tx: &UnsignedTx, signatures: &[Signature]) -> Result<SignedTx, BuildError> {
    describe(tx)?;
    if signatures.len() != tx.signers.len() {
        return Err(BuildError::BadSignature(signatures.len().min(tx.signers.len())));
    }
    let count = u8::try_from(signatures.len()).map_err(|_| malformed("too many signatures"))?;
    let mut bytes = vec![count];
    for (index, (signer, signature)) in tx.signers.iter().zip(signatures).enumerate() {
        let key = wallet_key(&tx.chain, &signer.address)?.to_bytes();
        if !verifies(&key, &tx.bytes, signature) {
            return Err(BuildError::BadSignature(index));
        }
        bytes.extend_from_slice(&signature.bytes);
    }
    bytes.extend_from_slice(&tx.bytes);
    let first = signatures.first().ok_or(BuildError::BadSignature(0))?;
    let id = solana_signature::Signature::try_from(first.bytes.as_slice())
        .map_err(|_| BuildError::BadSignature(0))?;
    Ok(SignedTx { chain: tx.chain.clone(), id: TxId(id.to_string()), bytes })
}

fn verifies(key: &[u8; 32], message: &[u8], signature: &Signature) -> bool {
    let strict = || {
        let key = VerifyingKey::from_bytes(key).ok()?;
        let signature = ed25519_dalek::Signature::from_slice(&signature.bytes).ok()?;
        key.verify_strict(message, &signature).ok()
    };
    signature.public_key == key && strict().is_some()
}
