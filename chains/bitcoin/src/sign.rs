use bitcoin::hashes::Hash;
use bitcoin::key::{CompressedPublicKey, TweakedPublicKey};
use bitcoin::secp256k1::{self, Secp256k1, VerifyOnly, XOnlyPublicKey, ecdsa, schnorr};
use bitcoin::sighash::{Prevouts, SighashCache};
use bitcoin::{EcdsaSighashType, ScriptBuf, TapSighashType, Transaction, TxOut, Witness};
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
    (0..opened.prevouts.len()).map(|index| digest(&mut cache, &opened.prevouts, index)).collect()
}

fn digest(
    cache: &mut SighashCache<&Transaction>,
    prevouts: &[TxOut],
    index: usize,
) -> Result<(Algorithm, [u8; 32]), BuildError> {
    let TxOut { script_pubkey, value } = &prevouts[index];
    if script_pubkey.is_p2tr() {
        let all = Prevouts::All(prevouts);
        let hash = cache
            .taproot_key_spend_signature_hash(index, &all, TapSighashType::Default)
            .map_err(|error| malformed(error.to_string()))?;
        return Ok((Algorithm::TaprootKeySpend, hash.to_byte_array()));
    }
    let hash = cache
        .p2wpkh_signature_hash(index, script_pubkey, *value, EcdsaSighashType::All)
        .map_err(|error| malformed(error.to_string()))?;
    Ok((Algorithm::Secp256k1Ecdsa, hash.to_byte_array()))
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
    let right_key = ScriptBuf::new_p2wpkh(&key.wpubkey_hash()) == *script;
    let well_formed = matches!(recovery, [0 | 1]);
    // libsecp256k1 refuses a high S by itself.
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use bitcoin::consensus::encode::deserialize_hex;
    use std::path::PathBuf;

    /// The text of a published vector; `None` on a machine that has none, which CI may not be.
    fn vector(name: &str) -> Option<String> {
        let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
        let folder = std::env::var_os("ROADSTEAD_VECTORS").map_or(beside, PathBuf::from);
        if folder.is_dir() {
            return Some(std::fs::read_to_string(folder.join(name)).unwrap());
        }
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI must have the vectors");
        None
    }

    fn output(script: &str, sat: u64) -> TxOut {
        let script_pubkey = ScriptBuf::from_hex(script).unwrap();
        TxOut { value: bitcoin::Amount::from_sat(sat), script_pubkey }
    }

    /// The native P2WPKH example of BIP-143.
    #[test]
    fn bip_143_hash() {
        let tx: Transaction = deserialize_hex(concat!(
            "0100000002fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f0000000000",
            "eeffffffef51e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a0100000000ff",
            "ffffff02202cb206000000001976a9148280b37df378db99f66f85c95a783a76ac7a6d5988ac9093510d",
            "000000001976a9143bde42dbee7e4dbe6a21b2d50ce2f0167faa815988ac11000000"
        ))
        .unwrap();
        let prevouts = [
            output(
                "2103c9f4836b9a4f77fc0d81f7bcb01b7f1b35916864b9476c241ce9fc198bd25432ac",
                625_000_000,
            ),
            output("00141d0f172a0ecb48aee1be1f2687d2963ae33f71a1", 600_000_000),
        ];
        let (algorithm, hash) = digest(&mut SighashCache::new(&tx), &prevouts, 1).unwrap();
        assert_eq!(algorithm, Algorithm::Secp256k1Ecdsa);
        let expected = "c37af31116d1b27caf68aae9e3ac82f1477929014d5b917657d0eb49478cb670";
        assert_eq!(hex::encode(hash), expected);
    }

    #[test]
    fn bip_341_hashes_and_signatures() {
        let Some(text) = vector("bips/bip-0341/wallet-test-vectors.json") else { return };
        let vectors: serde_json::Value = serde_json::from_str(&text).unwrap();
        let group = &vectors["keyPathSpending"][0];
        let hex_of = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let tx: Transaction = deserialize_hex(&hex_of(&group["given"]["rawUnsignedTx"])).unwrap();
        let signed: Transaction =
            deserialize_hex(&hex_of(&group["auxiliary"]["fullySignedTx"])).unwrap();
        let spent = group["given"]["utxosSpent"].as_array().unwrap();
        let prevouts: Vec<TxOut> = spent
            .iter()
            .map(|utxo| {
                output(&hex_of(&utxo["scriptPubKey"]), utxo["amountSats"].as_u64().unwrap())
            })
            .collect();
        let secp = Secp256k1::verification_only();
        let mut cache = SighashCache::new(&tx);
        let mut checked = 0;
        for entry in group["inputSpending"].as_array().unwrap() {
            if entry["given"]["hashType"] != 0 {
                continue;
            }
            let index = usize::try_from(entry["given"]["txinIndex"].as_u64().unwrap()).unwrap();
            let (algorithm, hash) = digest(&mut cache, &prevouts, index).unwrap();
            assert_eq!(algorithm, Algorithm::TaprootKeySpend);
            assert_eq!(hex::encode(hash), hex_of(&entry["intermediary"]["sigHash"]));
            let script = &prevouts[index].script_pubkey;
            let signature = Signature {
                bytes: hex::decode(hex_of(&entry["expected"]["witness"][0])).unwrap(),
                public_key: script.as_bytes()[2..].to_vec(),
            };
            let message = secp256k1::Message::from_digest(hash);
            let witness = by_taproot_key(&secp, &message, script, &signature);
            assert_eq!(witness.as_ref(), Some(&signed.input[index].witness));
            checked += 1;
        }
        assert!(checked > 0);
        let wpkh = prevouts.iter().position(|spent| spent.script_pubkey.is_p2wpkh()).unwrap();
        let (_, hash) = digest(&mut cache, &prevouts, wpkh).unwrap();
        let witness = &signed.input[wpkh].witness;
        let signature = bitcoin::ecdsa::Signature::from_slice(&witness[0]).unwrap();
        let mut bytes = signature.signature.serialize_compact().to_vec();
        bytes.push(0);
        let signature = Signature { bytes, public_key: witness[1].to_vec() };
        let message = secp256k1::Message::from_digest(hash);
        let script = &prevouts[wpkh].script_pubkey;
        assert_eq!(by_key_hash(&secp, &message, script, &signature).as_ref(), Some(witness));
    }

    #[test]
    fn bip_340_signatures() {
        let Some(text) = vector("bips/bip-0340/test-vectors.csv") else { return };
        let secp = Secp256k1::verification_only();
        let mut checked = 0;
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split(',').collect();
            let [_, _, key, _, message, signature, result, ..] = fields[..] else {
                panic!("{line}")
            };
            let Ok(message) = <[u8; 32]>::try_from(hex::decode(message).unwrap()) else { continue };
            let script = ScriptBuf::from_hex(&format!("5120{key}")).unwrap();
            let signature = Signature {
                bytes: hex::decode(signature).unwrap(),
                public_key: hex::decode(key).unwrap(),
            };
            let message = secp256k1::Message::from_digest(message);
            let accepted = by_taproot_key(&secp, &message, &script, &signature).is_some();
            assert_eq!(accepted, result == "TRUE", "{line}");
            checked += 1;
        }
        assert!(checked >= 15, "{checked}");
    }
}
