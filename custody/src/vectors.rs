//! Published vectors (promises 2, 3 and 11), and a second implementation to agree with.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::PathBuf;

use ed25519_dalek::{Signature as Ed25519Signature, VerifyingKey};
use k256::schnorr::{
    Signature as SchnorrSignature, SigningKey as SchnorrKey, VerifyingKey as SchnorrVerifyingKey,
};
use serde_json::Value;

use crate::bip32::{ExtendedPrivate, HARDENED};
use crate::extended::{ExtendedKey, ExtendedMaterial};
use crate::mnemonic::Phrase;
use crate::{sign, slip10};

/// The text of a vector file; `None` where the vectors are not there, which CI does not forgive.
#[expect(clippy::print_stderr, reason = "a test that does not run says so")]
fn text(name: &str) -> Option<String> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    let folder = std::env::var_os("ROADSTEAD_VECTORS").map_or(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(std::fs::read_to_string(folder.join(name)).unwrap());
    }
    assert!(std::env::var_os("CI").is_none(), "CI has the vectors");
    eprintln!("not run: no vectors");
    None
}

fn json(name: &str) -> Option<Value> {
    text(name).map(|text| serde_json::from_str(&text).unwrap())
}

fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn steps(path: &str) -> Vec<u32> {
    let step = |text: &str| {
        let number = text.trim_end_matches(['\'', 'H', 'h']);
        let hardened = if number.len() < text.len() { HARDENED } else { 0 };
        number.parse::<u32>().unwrap() | hardened
    };
    path.split('/').skip(1).map(step).collect()
}

fn private(text: &str) -> [u8; 32] {
    match ExtendedKey::parse(text).unwrap().material {
        ExtendedMaterial::Private(key) => *key,
        ExtendedMaterial::Public(_) => panic!("a public key"),
    }
}

fn compressed(node: &ExtendedPrivate) -> [u8; 33] {
    (*node.secret().unwrap().public_key().to_sec1_bytes()).try_into().unwrap()
}

#[test]
fn promise_02_bip39_seeds_in_every_language_with_a_word_list() {
    let Some(all) = json("bip39/vectors.json") else { return };
    let mut checked = 0;
    for (language, cases) in all.as_object().unwrap() {
        // No word list of these two is part of the standard.
        if matches!(language.as_str(), "russian" | "turkish") {
            continue;
        }
        for case in cases.as_array().unwrap() {
            let [words, seed, root] = [1, 2, 3].map(|index| case[index].as_str().unwrap());
            // Both Chinese lists hold the same characters, so some phrases are in both languages.
            let phrase = match Phrase::parse(words) {
                Err(crate::PhraseError::Ambiguous) => continue,
                phrase => phrase.unwrap(),
            };
            let derived = phrase.seed("TREZOR");
            assert_eq!(hex::encode(**derived.reveal()), seed, "{language}");
            let master = ExtendedPrivate::master(&**derived.reveal()).unwrap();
            assert_eq!(*master.key, private(root), "{language}");
            checked += 1;
        }
    }
    assert!(checked >= 200, "{checked}");
}

#[test]
fn promise_02_bip32_valid_keys() {
    let Some(vectors) = json("bips/bip-0032.json") else { return };
    let mut checked = 0;
    for vector in vectors["valid"].as_array().unwrap() {
        let seed = hex::decode(field(vector, "seed")).unwrap();
        for chain in vector["chains"].as_array().unwrap() {
            let node = ExtendedPrivate::master(&seed).unwrap();
            let node = node.derive(&steps(field(chain, "path"))).unwrap();
            let expected = ExtendedKey::parse(field(chain, "xprv")).unwrap();
            assert_eq!(*node.key, private(field(chain, "xprv")));
            assert_eq!(*node.chain_code, *expected.chain_code);
            let public = ExtendedKey::parse(field(chain, "xpub")).unwrap();
            let ExtendedMaterial::Public(point) = public.material else { panic!("private") };
            assert_eq!(compressed(&node), point);
            checked += 1;
        }
    }
    assert_eq!(checked, 17);
}

#[test]
fn promise_03_all_sixteen_invalid_extended_keys_are_refused() {
    let Some(vectors) = json("bips/bip-0032.json") else { return };
    let invalid = vectors["invalid"].as_array().unwrap();
    assert_eq!(invalid.len(), 16);
    for case in invalid {
        let key = case.as_str().or_else(|| case["key"].as_str()).or_else(|| case[0].as_str());
        let key = key.unwrap();
        assert!(ExtendedKey::parse(key).is_err(), "{key}");
        assert!(Phrase::parse(key).is_err(), "{key}");
    }
}

#[test]
fn promise_03_core_s_invalid_base58_strings_are_no_keys() {
    let Some(cases) = json("bitcoinjs-fixtures/test/fixtures/core/base58_keys_invalid.json") else {
        return;
    };
    for case in cases.as_array().unwrap() {
        let text = case[0].as_str().unwrap();
        assert!(ExtendedKey::parse(text).is_err() && Phrase::parse(text).is_err(), "{text}");
    }
}

#[test]
fn promise_02_bip84_and_bip86_first_addresses_keys() {
    let (Some(p2wpkh), Some(p2tr)) = (json("bips/bip-0084.json"), json("bips/bip-0086.json"))
    else {
        return;
    };
    let mut checked = 0;
    for vectors in [p2wpkh, p2tr] {
        let phrase = Phrase::parse(field(&vectors[0]["fields"], "mnemonic")).unwrap();
        let seed = phrase.seed("");
        for case in vectors.as_array().unwrap() {
            let path = field(case, "comment").rsplit("= ").next().unwrap();
            let fields = &case["fields"];
            let node =
                || ExtendedPrivate::master(&**seed.reveal()).unwrap().derive(&steps(path)).unwrap();
            if let Some(public) = fields["pubkey"].as_str() {
                assert_eq!(compressed(&node()), bytes(public), "{path}");
                checked += 1;
            }
            if let Some(internal) = fields["internal_key"].as_str() {
                assert_eq!(compressed(&node())[1..], bytes::<32>(internal), "{path}");
                let output = sign::output_key(&node().secret().unwrap()).unwrap();
                let output: [u8; 32] = output.verifying_key().to_bytes().into();
                assert_eq!(output, bytes(field(fields, "output_key")), "{path}");
                checked += 1;
            }
        }
    }
    assert_eq!(checked, 6);
}

/// Other wallets' nested SegWit accounts derive here, too, although no address of that kind is
/// issued: the key by our derivation, the address by rust-bitcoin.
#[test]
fn promise_02_bip49_first_key_and_address() {
    let Some(vectors) = json("bips/bip-0049.json") else { return };
    let fields = |index: usize| &vectors[index]["fields"];
    let phrase = Phrase::parse(field(fields(0), "masterseedWords")).unwrap();
    let seed = phrase.seed("");
    let master = ExtendedPrivate::master(&**seed.reveal()).unwrap();
    let node = master.derive(&steps("m/49'/1'/0'/0/0")).unwrap();
    let public = compressed(&node);
    let expected = field(fields(2), "account0recvPublicKeyHex").trim_start_matches("0x");
    assert_eq!(public, bytes(expected));
    let key = bitcoin::CompressedPublicKey::from_slice(&public).unwrap();
    let address = bitcoin::Address::p2shwpkh(&key, bitcoin::Network::Testnet).to_string();
    assert!(field(fields(4), "address").contains(&address), "{address}");
}

#[test]
fn promise_02_slip10_on_both_curves() {
    let Some(groups) = json("slip10/slip-0010.json") else { return };
    let (mut ed25519, mut secp256k1) = (0, 0);
    for group in groups.as_array().unwrap() {
        let title = field(group, "title");
        let seed = hex::decode(field(group, "seed")).unwrap();
        for chain in group["chains"].as_array().unwrap() {
            let path = steps(field(chain, "path"));
            let expected: [u8; 32] = bytes(field(chain, "private"));
            if title.contains("ed25519") {
                let key = slip10::derive(&seed, &path).unwrap();
                assert_eq!(*key, expected, "{title}");
                let public = ed25519_dalek::SigningKey::from_bytes(&key).verifying_key();
                assert_eq!(hex::encode(public.to_bytes()), field(chain, "public")[2..], "{title}");
                ed25519 += 1;
            } else if title.contains("secp256k1") {
                let node = ExtendedPrivate::master(&seed).unwrap().derive(&path).unwrap();
                assert_eq!(*node.key, expected, "{title}");
                secp256k1 += 1;
            }
        }
    }
    assert!(ed25519 >= 10 && secp256k1 >= 10, "{ed25519} {secp256k1}");
}

#[test]
fn promise_03_ed25519_has_no_plain_steps() {
    assert!(slip10::derive(&[7; 64], &[HARDENED, 3]).is_err());
}

#[test]
fn promise_11_bip340_vectors() {
    let Some(table) = text("bips/bip-0340/test-vectors.csv") else { return };
    let mut checked = 0;
    for row in table.lines().skip(1) {
        let columns: Vec<&str> = row.split(',').collect();
        let message = hex::decode(columns[4]).unwrap();
        let valid = columns[6] == "TRUE";
        let verified =
            SchnorrVerifyingKey::from_bytes(&hex::decode(columns[2]).unwrap()).and_then(|key| {
                let signature = SchnorrSignature::try_from(&*hex::decode(columns[5]).unwrap())?;
                key.verify_raw(&message, &signature)
            });
        assert_eq!(verified.is_ok(), valid, "row {}", columns[0]);
        if !columns[1].is_empty() {
            let key = SchnorrKey::from_bytes(&bytes::<32>(columns[1])).unwrap();
            let signed = sign::schnorr(&key, &message, &bytes(columns[3])).unwrap();
            assert_eq!(hex::encode_upper(signed.bytes), columns[5], "row {}", columns[0]);
        }
        checked += 1;
    }
    assert!(checked >= 15, "{checked}");
}

#[test]
fn promise_02_eip155_example_signature() {
    let Some(vector) = json("eips/eip-155.json") else { return };
    let secret: [u8; 32] = bytes(&field(&vector, "privateKey")[2..]);
    let digest: [u8; 32] = bytes(&field(&vector, "signingHash")[2..]);
    let secret = k256::SecretKey::from_slice(&secret).unwrap();
    let signed = sign::ecdsa(&secret, &digest).unwrap();
    let raw = field(&vector, "signed");
    for part in [&signed.bytes[..32], &signed.bytes[32..64]] {
        assert!(raw.contains(&hex::encode(part)), "r and s are those of the example");
    }
    assert_eq!(u64::from(signed.bytes[64]) + 35 + 2, vector["v"].as_u64().unwrap());
}

#[test]
fn promise_11_ed25519_edge_cases_are_verified_strictly() {
    let Some(cases) = json("ed25519-speccheck/cases.json") else { return };
    let accepted: Vec<usize> = cases
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
        .filter(|(_, case)| {
            let message = hex::decode(field(case, "message")).unwrap();
            let signature = Ed25519Signature::from_bytes(&bytes(field(case, "signature")));
            VerifyingKey::from_bytes(&bytes(field(case, "pub_key")))
                .is_ok_and(|key| key.verify_strict(&message, &signature).is_ok())
        })
        .map(|(index, _)| index)
        .collect();
    // Case 3 alone: mixed-order points for which every equation holds (a key that we never make).
    assert_eq!(accepted, [3]);
}

#[test]
fn promise_02_a_second_library_derives_the_same_keys() {
    use bitcoin::bip32::{ChildNumber, Xpriv};
    let secp = bitcoin::secp256k1::Secp256k1::new();
    for seed_byte in 0..20_u8 {
        let seed = [seed_byte; 64];
        let path = [84 | HARDENED, 1 | HARDENED, u32::from(seed_byte) | HARDENED, 1, 1_000_000];
        let ours = ExtendedPrivate::master(&seed).unwrap().derive(&path).unwrap();
        let theirs = Xpriv::new_master(bitcoin::NetworkKind::Test, &seed).unwrap();
        let theirs = theirs.derive_priv(&secp, &path.map(ChildNumber::from).to_vec()).unwrap();
        assert_eq!(*ours.key, theirs.private_key.secret_bytes());
        assert_eq!(*ours.chain_code, theirs.chain_code.to_bytes());
    }
}

#[test]
fn promise_02_a_second_library_makes_and_verifies_the_same_signatures() {
    use bitcoin::secp256k1::{Keypair, Message, Secp256k1, SecretKey, schnorr};
    let secp = Secp256k1::new();
    for index in 1..50_u8 {
        let digest = [index.wrapping_mul(37); 32];
        let ours = k256::SecretKey::from_slice(&[index; 32]).unwrap();
        let theirs = SecretKey::from_slice(&[index; 32]).unwrap();
        let message = Message::from_digest(digest);
        let compact = secp.sign_ecdsa(&message, &theirs).serialize_compact();
        let signed = sign::ecdsa(&ours, &digest).unwrap();
        assert_eq!(signed.bytes[..64], compact, "RFC 6979 leaves no choice");
        let (internal, _) = Keypair::from_secret_key(&secp, &theirs).x_only_public_key();
        let (output, _) = bitcoin::key::TapTweak::tap_tweak(internal, &secp, None);
        let taproot = sign::taproot(&ours, &digest).unwrap();
        assert_eq!(taproot.public_key, output.to_x_only_public_key().serialize());
        let signature = schnorr::Signature::from_slice(&taproot.bytes).unwrap();
        secp.verify_schnorr(&signature, &message, &output.to_x_only_public_key()).unwrap();
    }
}

#[test]
fn promise_11_no_two_messages_share_a_nonce() {
    let count = crate::samples(3_000);
    let secret = k256::SecretKey::from_slice(&[0x41; 32]).unwrap();
    let (mut ecdsa, mut schnorr) =
        (std::collections::HashSet::new(), std::collections::HashSet::new());
    for number in 0..count {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_le_bytes());
        assert!(ecdsa.insert(sign::ecdsa(&secret, &digest).unwrap().bytes[..32].to_vec()));
        assert!(schnorr.insert(sign::taproot(&secret, &digest).unwrap().bytes[..32].to_vec()));
    }
    let (one, two) = (sign::ecdsa(&secret, &[1; 32]), sign::ecdsa(&secret, &[1; 32]));
    assert_eq!(one.unwrap().bytes, two.unwrap().bytes, "the same message, the same signature");
    let (one, two) = (sign::taproot(&secret, &[1; 32]), sign::taproot(&secret, &[1; 32]));
    assert_ne!(one.unwrap().bytes, two.unwrap().bytes, "BIP-340 mixes fresh randomness in");
}
