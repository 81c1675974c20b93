//! The published vectors of EIP-55 and EIP-155.

use alloy_consensus::transaction::RlpEcdsaEncodableTx;
use alloy_consensus::{SignableTransaction, TxLegacy};
use alloy_primitives::{Address, Signature, TxKind, U256, hex};
use chain_core::{BuildError, UncheckedAddress, UnsignedTx};
use serde_json::Value;

#[test]
fn eip_55_addresses_are_accepted_and_every_other_spelling_is_refused() {
    let Some(text) = crate::common::vector("ercs/eip-55.json") else { return };
    let addresses: Vec<String> = serde_json::from_str(&text).unwrap();
    assert!(addresses.len() >= 8);
    let chain = crate::common::chain("eip155:1");
    let check = |text: &str| chain_evm::check_address(&chain, &UncheckedAddress(text.to_owned()));
    for address in addresses {
        assert_eq!(check(&address).unwrap().as_str(), address);
        assert_eq!(check(&address.to_lowercase()).unwrap().as_str(), address);
        let (prefix, digits) = address.split_at(2);
        let swapped: String = digits
            .chars()
            .map(|digit| {
                if digit.is_uppercase() {
                    digit.to_ascii_lowercase()
                } else {
                    digit.to_ascii_uppercase()
                }
            })
            .collect();
        let other = format!("{prefix}{swapped}");
        if other != other.to_lowercase() {
            assert!(check(&other).is_err(), "{other}");
        }
    }
}

fn number(vector: &Value, field: &str) -> u64 {
    vector[field].as_u64().unwrap()
}

fn wide(vector: &Value, field: &str) -> U256 {
    U256::from_str_radix(vector[field].as_str().unwrap(), 10).unwrap()
}

fn bytes(vector: &Value, field: &str) -> Vec<u8> {
    hex::decode(vector[field].as_str().unwrap()).unwrap()
}

/// The hashes and encodings of the library below us are those of EIP-155, and its kind of
/// transaction is refused here all the same.
#[test]
fn eip_155_is_hashed_as_published_and_refused_as_legacy() {
    let Some(text) = crate::common::vector("eips/eip-155.json") else { return };
    let vector: Value = serde_json::from_str(&text).unwrap();
    let transaction = TxLegacy {
        chain_id: Some(number(&vector, "chainId")),
        nonce: number(&vector, "nonce"),
        gas_price: u128::from(number(&vector, "gasPrice")),
        gas_limit: number(&vector, "gasLimit"),
        to: TxKind::Call(vector["to"].as_str().unwrap().parse::<Address>().unwrap()),
        value: wide(&vector, "value"),
        input: bytes(&vector, "data").into(),
    };
    assert_eq!(transaction.encoded_for_signing(), bytes(&vector, "signingData"));
    assert_eq!(transaction.signature_hash().to_vec(), bytes(&vector, "signingHash"));

    let signature = Signature::new(wide(&vector, "r"), wide(&vector, "s"), false);
    let mut signed = Vec::new();
    transaction.eip2718_encode(&signature, &mut signed);
    assert_eq!(signed, bytes(&vector, "signed"));

    let chain = crate::common::chain("eip155:1");
    for legacy in [bytes(&vector, "signingData"), signed] {
        let unsigned = UnsignedTx {
            chain: chain.clone(),
            bytes: legacy,
            signers: vec![crate::common::Key::new(0x46).keyed(&chain)],
            change: Vec::new(),
        };
        assert!(matches!(chain_evm::describe(&unsigned), Err(BuildError::Malformed(_))));
    }
    let expected = "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F";
    assert_eq!(crate::common::Key::new(0x46).keyed(&chain).address.as_str(), expected);
}
