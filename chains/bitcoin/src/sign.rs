use bitcoin::hashes::Hash;
use bitcoin::key::{CompressedPublicKey, TweakedPublicKey};
use bitcoin::secp256k1::{self, Secp256k1, VerifyOnly, XOnlyPublicKey, ecdsa, schnorr};
use bitcoin::sighash::{Prevouts, SighashCache};
use bitcoin::{EcdsaSighashType, ScriptBuf, TapSighashType, Witness};
use chain_core::{
    Algorithm, BuildError, Message, Signature, SignedTx, SigningPayload, TxId, UnsignedTx,
};

use crate::coins::malformed;
use crate::describe::summary;
use crate::open::{Opened, open};

/// What the key of each input signs: the BIP-143 hash of a P2WPKH input, the BIP-341 hash of a P2TR
/// input spent by its key; both over the whole transaction (`ALL`, `DEFAULT`).
///
/// # Errors
/// [`BuildError`] for whatever [`describe`](crate::describe) refuses.
pub fn payloads(unsigned: &UnsignedTx) -> Result<Vec<SigningPayload>, BuildError> {
    let opened = open(unsigned)?;
    summary(unsigned, &opened)?;
    let keys = unsigned.signers.iter().map(|signer| signer.key);
    let payload = |(key, (algorithm, digest))| SigningPayload {
        key,
        algorithm,
        message: Message::Digest(digest),
    };
    Ok(keys.zip(digests(&opened)?).map(payload).collect())
}

fn digests(opened: &Opened) -> Result<Vec<(Algorithm, [u8; 32])>, BuildError> {
    let mut cache = SighashCache::new(&opened.tx);
    let prevouts = Prevouts::All(&opened.prevouts);
    let failed = |error: &dyn std::fmt::Display| malformed(error.to_string());
    let mut digests = Vec::with_capacity(opened.prevouts.len());
    for (index, spent) in opened.prevouts.iter().enumerate() {
        let script = &spent.script_pubkey;
        digests.push(if script.is_p2tr() {
            let hash = cache
                .taproot_key_spend_signature_hash(index, &prevouts, TapSighashType::Default)
                .map_err(|error| failed(&error))?;
            (Algorithm::TaprootKeySpend, hash.to_byte_array())
        } else {
            let hash = cache
                .p2wpkh_signature_hash(index, script, spent.value, EcdsaSighashType::All)
                .map_err(|error| failed(&error))?;
            (Algorithm::Secp256k1Ecdsa, hash.to_byte_array())
        });
    }
    Ok(digests)
}

/// Puts signatures, in the order of the inputs, into the transaction. Each is verified, under the key
/// that the spent coin names; ECDSA signatures must have a low S.
///
/// # Errors
/// [`BuildError::BadSignature`] with the index of the first that does not verify,
/// [`BuildError::Malformed`] for another number of signatures than inputs, or whatever
/// [`describe`](crate::describe) refuses.
pub fn assemble(unsigned: &UnsignedTx, signatures: &[Signature]) -> Result<SignedTx, BuildError> {
    let mut opened = open(unsigned)?;
    summary(unsigned, &opened)?;
    if signatures.len() != opened.prevouts.len() {
        return Err(malformed("it has not one signature for each input"));
    }
    let secp = Secp256k1::verification_only();
    let digests = digests(&opened)?;
    for (index, (signature, (algorithm, digest))) in signatures.iter().zip(digests).enumerate() {
        let message = secp256k1::Message::from_digest(digest);
        let script = &opened.prevouts[index].script_pubkey;
        let witness = match algorithm {
            Algorithm::TaprootKeySpend => by_taproot_key(&secp, &message, script, signature),
            Algorithm::Secp256k1Ecdsa => by_key_hash(&secp, &message, script, signature),
            Algorithm::Ed25519 => None,
        };
        opened.tx.input[index].witness = witness.ok_or(BuildError::BadSignature(index))?;
    }
    Ok(SignedTx {
        chain: unsigned.chain.clone(),
        id: TxId(opened.tx.compute_txid().to_string()),
        bytes: bitcoin::consensus::serialize(&opened.tx),
    })
}

fn by_key_hash(
    secp: &Secp256k1<VerifyOnly>,
    message: &secp256k1::Message,
    script: &ScriptBuf,
    signature: &Signature,
) -> Option<Witness> {
    let key = CompressedPublicKey::from_slice(&signature.public_key).ok()?;
    let (compact, recovery) = signature.bytes.split_at_checked(64)?;
    let parsed = ecdsa::Signature::from_compact(compact).ok()?;
    let mut low_s = parsed;
    low_s.normalize_s();
    let right_key = ScriptBuf::new_p2wpkh(&key.wpubkey_hash()) == *script;
    let well_formed = matches!(recovery, [0 | 1]) && low_s == parsed;
    if !right_key || !well_formed || secp.verify_ecdsa(message, &parsed, &key.0).is_err() {
        return None;
    }
    Some(Witness::p2wpkh(&bitcoin::ecdsa::Signature::sighash_all(parsed), &key.0))
}

fn by_taproot_key(
    secp: &Secp256k1<VerifyOnly>,
    message: &secp256k1::Message,
    script: &ScriptBuf,
    signature: &Signature,
) -> Option<Witness> {
    let key = XOnlyPublicKey::from_slice(&signature.public_key).ok()?;
    let parsed = schnorr::Signature::from_slice(&signature.bytes).ok()?;
    let output_key = TweakedPublicKey::dangerous_assume_tweaked(key);
    let right_key = ScriptBuf::new_p2tr_tweaked(output_key) == *script;
    if !right_key || secp.verify_schnorr(&parsed, message, &key).is_err() {
        return None;
    }
    let sighash_type = TapSighashType::Default;
    Some(Witness::p2tr_key_spend(&bitcoin::taproot::Signature { signature: parsed, sighash_type }))
}
