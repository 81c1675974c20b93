//! Published vectors: BIP-84, 86, 341, bitcoinjs-lib's addresses and PSBTs.

use std::path::PathBuf;

use crate::support::*;
use bitcoin::{Psbt, Script, ScriptBuf};
use chain_bitcoin::{
    address_of_public_key, address_of_script, check_address, describe, network, script_of,
};
use chain_core::{Branch, ChainId, KeyScheme, UncheckedAddress, UnsignedTx};
use serde_json::Value;

/// The folder of the vectors; `None` on a machine that has none, which CI may not be.
fn vectors() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let folder = std::env::var_os("ROADSTEAD_VECTORS").map_or(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI must have the vectors");
    eprintln_not_run();
    None
}

#[expect(clippy::print_stderr, reason = "the reader of the tests should know")]
fn eprintln_not_run() {
    eprintln!("not run: no vectors");
}

fn json(folder: &std::path::Path, name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder.join(name)).unwrap()).unwrap()
}

fn fixtures(folder: &std::path::Path, name: &str) -> Value {
    json(folder, &format!("bitcoinjs-fixtures/test/fixtures/{name}.json"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn accepts(chain: &ChainId, address: &str) -> bool {
    check_address(chain, &UncheckedAddress(address.to_owned())).is_ok()
}

fn testnet() -> ChainId {
    "bip122:000000000933ea01ad0ee984209779ba".parse().unwrap()
}

#[test]
fn chain_ids_are_genesis_hashes() {
    use bitcoin::Network;
    for known in
        [Network::Bitcoin, Network::Testnet, Network::Testnet4, Network::Signet, Network::Regtest]
    {
        let genesis = bitcoin::constants::genesis_block(known).block_hash().to_string();
        let chain: ChainId = format!("bip122:{}", &genesis[..32]).parse().unwrap();
        assert_eq!(network(&chain), Ok(known));
    }
    let litecoin: ChainId = "bip122:12a765e31ffd4059bada1e25190f6e98".parse().unwrap();
    assert!(network(&litecoin).is_err());
    assert!(network(&"eip155:1".parse().unwrap()).is_err());
}

#[test]
fn bip_84_and_86_addresses() {
    let Some(folder) = vectors() else { return };
    let mut checked = 0;
    for (name, scheme) in [("bip-0084", KeyScheme::Bip84), ("bip-0086", KeyScheme::Bip86)] {
        for entry in json(&folder, &format!("bips/{name}.json")).as_array().unwrap() {
            let fields = &entry["fields"];
            let Some(address) = fields["address"].as_str() else { continue };
            let key = match (fields["pubkey"].as_str(), fields["internal_key"].as_str()) {
                (Some(compressed), _) => hex::decode(compressed).unwrap(),
                (_, Some(x_only)) => [vec![2], hex::decode(x_only).unwrap()].concat(),
                other => panic!("{other:?} in {fields}"),
            };
            let key: [u8; 33] = key.try_into().unwrap();
            let made = address_of_public_key(&mainnet(), scheme, &key).unwrap();
            assert_eq!(made.as_str(), address);
            checked += 1;
        }
    }
    assert_eq!(checked, 6);
}

#[test]
fn bip_341_key_paths_without_scripts() {
    let Some(folder) = vectors() else { return };
    let vectors = json(&folder, "bips/bip-0341/wallet-test-vectors.json");
    let mut checked = 0;
    for entry in vectors["scriptPubKey"].as_array().unwrap() {
        if !entry["given"]["scriptTree"].is_null() {
            continue;
        }
        let x_only = hex::decode(text(&entry["given"]["internalPubkey"])).unwrap();
        let key: [u8; 33] = [vec![3], x_only].concat().try_into().unwrap();
        let made = address_of_public_key(&mainnet(), KeyScheme::Bip86, &key).unwrap();
        assert_eq!(made.as_str(), text(&entry["expected"]["bip350Address"]));
        let script = script_of(&made).unwrap().to_hex_string();
        assert_eq!(script, text(&entry["expected"]["scriptPubKey"]));
        checked += 1;
    }
    assert_eq!(checked, 1);
}

#[test]
fn addresses_of_bitcoinjs() {
    let Some(folder) = vectors() else { return };
    let address = fixtures(&folder, "address");
    let mut checked = 0;
    for entry in address["standard"].as_array().unwrap() {
        let expected = entry["base58check"].as_str().or(entry["bech32"].as_str()).unwrap();
        let (own_chain, other_chain) = match text(&entry["network"]) {
            "bitcoin" => (mainnet(), testnet()),
            "testnet" => (testnet(), mainnet()),
            "regtest" => (regtest(), mainnet()),
            _ => {
                assert!(!accepts(&mainnet(), expected), "{expected}");
                continue;
            }
        };
        // What is defined but not spendable yet is refused here.
        let known = matches!(entry["version"].as_u64().unwrap(), 0 | 5 | 111 | 196)
            || (entry["version"] == 1 && entry["data"].as_str().is_some_and(|d| d.len() == 64));
        assert_eq!(accepts(&own_chain, expected), known, "{entry}");
        assert!(!accepts(&other_chain, expected), "{expected}");
        checked += 1;
    }
    assert!(checked >= 8, "{checked}");
}

#[test]
fn invalid_addresses_of_bitcoinjs_are_refused() {
    let Some(folder) = vectors() else { return };
    let address = fixtures(&folder, "address");
    let mut checked = 0;
    for group in ["bech32", "fromBase58Check", "toOutputScript"] {
        for entry in address["invalid"][group].as_array().unwrap() {
            let bad = text(&entry["address"]);
            for chain in [mainnet(), testnet(), regtest()] {
                assert!(!accepts(&chain, bad), "{bad}");
            }
            checked += 1;
        }
    }
    assert!(checked >= 15, "{checked}");
}

#[test]
fn base58_of_bitcoin_core() {
    let Some(folder) = vectors() else { return };
    let invalid = fixtures(&folder, "core/base58_keys_invalid");
    for entry in invalid.as_array().unwrap() {
        let bad = text(&entry[0]);
        assert!(!accepts(&mainnet(), bad) && !accepts(&testnet(), bad), "{bad}");
    }
    let valid = fixtures(&folder, "core/base58_keys_valid");
    let mut addresses = 0;
    for entry in valid.as_array().unwrap() {
        let (string, about) = (text(&entry[0]), &entry[2]);
        let is_address = about["isPrivkey"] == false;
        let on_testnet = about["isTestnet"] == true;
        assert_eq!(accepts(&mainnet(), string), is_address && !on_testnet, "{string}");
        assert_eq!(accepts(&testnet(), string), is_address && on_testnet, "{string}");
        addresses += usize::from(is_address);
    }
    assert!(addresses > 10, "{addresses}");
}

fn script(asm: &str) -> ScriptBuf {
    let mut bytes = Vec::new();
    for word in asm.split_whitespace() {
        match word {
            "OP_0" => bytes.push(0),
            "OP_1" => bytes.push(0x51),
            data => {
                let data = hex::decode(data).unwrap();
                bytes.push(u8::try_from(data.len()).unwrap());
                bytes.extend(data);
            }
        }
    }
    ScriptBuf::from(bytes)
}

#[test]
fn outputs_of_bitcoinjs() {
    let Some(folder) = vectors() else { return };
    let mut checked = 0;
    for name in ["p2wpkh", "p2tr"] {
        for entry in fixtures(&folder, name)["valid"].as_array().unwrap() {
            let address =
                entry["arguments"]["address"].as_str().or(entry["expected"]["address"].as_str());
            let output =
                entry["arguments"]["output"].as_str().or(entry["expected"]["output"].as_str());
            let (Some(address), Some(output)) = (address, output) else { continue };
            let chain = if address.starts_with("bc1") { mainnet() } else { testnet() };
            let checked_address =
                check_address(&chain, &UncheckedAddress(address.to_owned())).unwrap();
            assert_eq!(script_of(&checked_address).unwrap(), script(output));
            let back = address_of_script(&chain, &script(output)).unwrap();
            assert_eq!(back, Some(checked_address));
            checked += 1;
        }
    }
    assert!(checked >= 6, "{checked}");
}

#[test]
fn an_output_key_that_is_no_point_is_not_paid() {
    let bytes = [
        vec![0x51, 0x20],
        hex::decode("fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f").unwrap(),
    ]
    .concat();
    let script = Script::from_bytes(&bytes);
    assert_eq!(address_of_script(&mainnet(), script).unwrap(), None);
    let address = bitcoin::Address::from_script(script, bitcoin::Network::Bitcoin).unwrap();
    assert!(!accepts(&mainnet(), &address.to_string()));
}

#[test]
fn promise_14_an_address_of_another_network_is_refused() {
    let key = [
        vec![2],
        hex::decode("f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9").unwrap(),
    ]
    .concat();
    let key: [u8; 33] = key.try_into().unwrap();
    let prefix = |chain: &ChainId| match network(chain).unwrap() {
        bitcoin::Network::Bitcoin => "bc",
        bitcoin::Network::Regtest => "bcrt",
        _ => "tb",
    };
    let chains = [mainnet(), testnet(), regtest()];
    for scheme in [KeyScheme::Bip84, KeyScheme::Bip86] {
        for chain in &chains {
            let address = address_of_public_key(chain, scheme, &key).unwrap();
            for other in &chains {
                let same = prefix(chain) == prefix(other);
                assert_eq!(accepts(other, address.as_str()), same, "{address} on {other}");
            }
        }
    }
    assert!(address_of_public_key(&mainnet(), KeyScheme::Bip44Evm, &key).is_err());
    assert!(address_of_public_key(&mainnet(), KeyScheme::Bip84, &[5; 33]).is_err());
}

#[test]
fn spelling_is_made_canonical_and_nothing_else_is_forgiven() {
    let lower = "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu";
    assert_eq!(address(&mainnet(), &lower.to_uppercase()).as_str(), lower);
    let long = "bc1q".repeat(100);
    for bad in
        ["", " ", &format!(" {lower}"), &format!("{lower}\n"), &format!("bitcoin:{lower}"), &long]
    {
        assert!(!accepts(&mainnet(), bad), "{bad:?}");
    }
    let upper = chain_core::Address::from_canonical(mainnet(), lower.to_uppercase());
    assert!(script_of(&upper).is_err(), "an address that claims to be canonical must be");
}

fn unsigned(psbt: &Psbt) -> UnsignedTx {
    UnsignedTx {
        chain: regtest(),
        bytes: psbt.serialize(),
        signers: psbt.inputs.iter().map(|_| own(KeyScheme::Bip84, Branch::External, 0)).collect(),
        change: vec![],
    }
}

/// BIP-174's own examples, valid and not: none is a transaction that is built here, so that none is
/// described.
#[test]
fn promise_13_no_foreign_psbt_is_described() {
    use bitcoin::base64::{Engine as _, engine::general_purpose::STANDARD};
    let Some(folder) = vectors() else { return };
    let bip174 = &fixtures(&folder, "psbt")["bip174"];
    let mut checked = 0;
    for group in ["invalid", "valid", "failSignChecks"] {
        for entry in bip174[group].as_array().unwrap() {
            let Ok(bytes) = STANDARD.decode(text(&entry["psbt"])) else { continue };
            let raw = UnsignedTx {
                chain: regtest(),
                bytes: bytes.clone(),
                signers: vec![own(KeyScheme::Bip84, Branch::External, 0)],
                change: vec![],
            };
            assert!(describe(&raw).is_err(), "{entry}");
            if let Ok(psbt) = Psbt::deserialize(&bytes) {
                assert!(describe(&unsigned(&psbt)).is_err(), "{entry}");
            }
            checked += 1;
        }
    }
    assert!(checked >= 25, "{checked}");
}
