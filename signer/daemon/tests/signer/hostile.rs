//! Promises 12, 13, 14 and 16 against a server that lies.

use chain_core::Purpose;
use serde_json::Value;
use signer_daemon::Engine;
use signer_protocol::{RefusalCode, Request, Response, SignRequest, decode};

use crate::common::*;

/// Every leaf of `value`, as a JSON pointer.
fn leaves(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| leaves(field, &format!("{at}/{name}"), found));
        }
        Value::Array(items) => {
            items.iter().zip(0..).for_each(|(item, index)| {
                leaves(item, &format!("{at}/{index}"), found);
            });
        }
        _ => found.push(at.to_owned()),
    }
}

/// Some other values of the same kind.
fn mutations(leaf: &Value) -> Vec<Value> {
    let Value::String(text) = leaf else {
        return vec![Value::from(leaf.as_u64().unwrap_or(0) + 1), Value::Null];
    };
    let mut changed = vec![Value::from(""), Value::from(format!("{text}0")), Value::Null];
    for position in [text.len() / 3, text.len() / 2, text.len().saturating_sub(1)] {
        for replacement in ["0", "1", "2", "a"] {
            let mut other = text.clone();
            if other.is_char_boundary(position) && position < other.len() {
                other.replace_range(position..=position, replacement);
            }
            if other != *text {
                changed.push(Value::from(other));
            }
        }
    }
    changed
}

fn ask(engine: &mut Engine, json: &Value) -> Response {
    match decode::<Request>(&serde_json::to_vec(json).unwrap()) {
        Ok(request) => engine.handle(&request),
        Err(error) => Response::Refused(signer_protocol::Refusal {
            code: RefusalCode::BadRequest,
            detail: error.to_string(),
        }),
    }
}

/// The server chooses the fee within the intent's cap, so such bytes are as good as the first.
fn only_the_fee_differs(json: &Value) -> bool {
    let Ok(request) = serde_json::from_value::<SignRequest>(json.clone()) else { return false };
    chain_families::describe(&request.unsigned).is_ok_and(|summary| {
        summary.action == request.intent.action && summary.fee_max <= request.intent.fee_max
    })
}

#[test]
fn promise_16_a_request_with_any_field_changed_is_refused() {
    let place = Place::new();
    let mut engine = place.engine();
    let requests = three(&mut engine);
    let mut tried = 0;
    for signed_before in [false, true] {
        for request in &requests {
            if signed_before {
                sign(&mut engine, request).unwrap();
            }
            let json = serde_json::to_value(Request::Sign(Box::new(request.clone()))).unwrap();
            let mut found = Vec::new();
            leaves(&json, "", &mut found);
            assert!(found.len() > 12, "{found:?}");
            for at in found {
                // Another id or cap is another intent, as good as this one, while nothing is signed.
                let free = at == "/intent/fee_max" || (at == "/intent/id" && !signed_before);
                if free || at == "/request" {
                    continue;
                }
                for changed in mutations(json.pointer(&at).unwrap()) {
                    let mut hostile = json.clone();
                    *hostile.pointer_mut(&at).unwrap() = changed.clone();
                    if at == "/unsigned/bytes" && only_the_fee_differs(&hostile) {
                        continue;
                    }
                    let answer = ask(&mut engine, &hostile);
                    assert!(matches!(answer, Response::Refused(_)), "{at} = {changed}: {answer:?}");
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 500, "{tried}");
    assert_eq!(engine.head().records, 4 + 3, "addresses and signatures, and no change");
}

#[test]
fn promise_12_the_public_key_is_derived_here() {
    let place = Place::new();
    let mut engine = place.engine();
    let request = solana_withdrawal(&mut engine, 1, 1, 2_000_000_000);
    let other = issue(&mut engine, SOLANA, "slip10-solana/0/0/9");
    // Two public keys for one private key would give the private key away.
    for (key, address) in [
        (request.unsigned.signers[0].key, other.address.clone()),
        (other.key, request.unsigned.signers[0].address.clone()),
    ] {
        let mut hostile = request.clone();
        hostile.unsigned.signers[0] = chain_core::KeyedAddress { key, address };
        assert_eq!(refused(&mut engine, &hostile), RefusalCode::KeyMismatch);
    }
    let signed = sign(&mut engine, &request).unwrap();
    let json = serde_json::to_string(&request).unwrap();
    assert!(!json.contains("public_key"), "a request has no such field");
    assert_eq!(signed.signatures[0].public_key.len(), 32);
}

#[test]
fn promise_13_no_bare_digest_is_signed() {
    let place = Place::new();
    let mut engine = place.engine();
    for request in three(&mut engine) {
        for bytes in [vec![0x41; 32], Vec::new(), vec![0x41; 64], vec![2], vec![0x80, 1, 0, 1]] {
            let mut blind = request.clone();
            blind.unsigned.bytes = bytes;
            let code = refused(&mut engine, &blind);
            assert_eq!(code, RefusalCode::BadRequest);
        }
    }
    for raw in [
        r#"{"request":"sign","digest":"4141414141414141414141414141414141414141414141414141414141414141"}"#,
        r#"{"request":"sign_digest","key":"bip44-evm/0/0/0","digest":"41"}"#,
        r#"{"request":"sign_message","key":"bip44-evm/0/0/0","message":"hello"}"#,
    ] {
        assert!(decode::<Request>(raw.as_bytes()).is_err(), "{raw}");
    }
}

/// The same request, said to be for another network.
fn moved(request: &SignRequest, from: &str, to: &str) -> SignRequest {
    let json = serde_json::to_string(request).unwrap().replace(from, to);
    serde_json::from_str(&json).unwrap()
}

/// Allows on `to` whatever is allowed on `from`.
fn allow_too(place: &Place, from: &str, to: &str) {
    let text = std::fs::read_to_string(&place.config.policy).unwrap();
    let (head, rules) = text.split_at(text.find("[[rule]]").unwrap());
    let theirs: String = rules
        .split_inclusive("\n\n")
        .filter(|rule| rule.contains(from))
        .map(|rule| rule.replace(from, to))
        .collect();
    let head = head.replace("chains = [", &format!("chains = [\n    \"{to}\","));
    write_private(&place.config.policy, &format!("{head}{rules}\n{theirs}"));
}

#[test]
fn promise_14_a_signature_is_bound_to_one_chain() {
    let place = Place::new();
    let mut engine = place.engine();
    let (other_evm, main) = ("eip155:1", "bip122:000000000019d6689c085ae165831e93");
    let devnet = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1";
    allow_too(&place, EVM, other_evm);
    allow_too(&place, BITCOIN, main);
    let [evm, bitcoin, solana] = three(&mut engine);
    for (request, from, to) in
        [(&evm, EVM, other_evm), (&bitcoin, BITCOIN, main), (&solana, SOLANA, devnet)]
    {
        let mut intent_only = request.clone();
        intent_only.intent.chain = chain(to);
        assert_eq!(refused(&mut engine, &intent_only), RefusalCode::IntentMismatch);
        let all = moved(request, from, to);
        let code = refused(&mut engine, &all);
        let expected: &[RefusalCode] = match to {
            // The bytes carry the chain id.
            "eip155:1" => &[RefusalCode::BadRequest, RefusalCode::IntentMismatch],
            // The addresses carry the network.
            _ if to == main => &[RefusalCode::KeyMismatch, RefusalCode::IntentMismatch],
            _ => &[RefusalCode::Policy],
        };
        assert!(expected.contains(&code), "{to}: {code}");
        sign(&mut engine, request).unwrap();
    }
    // A Solana message carries nothing, so a policy cannot name two clusters.
    let next = evm_withdrawal(&mut engine, 9, 9, 1);
    allow_too(&place, SOLANA, devnet);
    assert_eq!(refused(&mut engine, &next), RefusalCode::Unavailable);
}

#[test]
fn promise_14_an_unprotected_transaction_is_refused() {
    let place = Place::new();
    let mut engine = place.engine();
    // As before EIP-155: good on every chain.
    let unprotected =
        "e80184ee6b2800825208943535353535353535353535353535353535353535880de0b6b3a764000080";
    let mut legacy = evm_withdrawal(&mut engine, 1, 0, 1);
    legacy.unsigned.bytes = hex::decode(unprotected).unwrap();
    assert_eq!(refused(&mut engine, &legacy), RefusalCode::BadRequest);
}

#[test]
fn promise_16_change_and_signers_are_ours_and_the_right_ones() {
    let place = Place::new();
    let mut engine = place.engine();
    let request = bitcoin_withdrawal(&mut engine, 1, &[(1, 1_000_000)], 300_000);
    assert_eq!(request.unsigned.change.len(), 1);
    let mut theirs = request.clone();
    theirs.unsigned.change[0].address = outsider(BITCOIN);
    assert_eq!(refused(&mut engine, &theirs), RefusalCode::KeyMismatch);
    let mut unnamed = request.clone();
    unnamed.unsigned.change.clear();
    let refusal = sign(&mut engine, &unnamed).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::IntentMismatch, "{refusal}");
    let mut relabelled = request.clone();
    relabelled.intent.purpose = Purpose::Sweep;
    assert_eq!(refused(&mut engine, &relabelled), RefusalCode::Policy);
    let mut nobody = request.clone();
    nobody.unsigned.signers.clear();
    assert_eq!(refused(&mut engine, &nobody), RefusalCode::BadRequest);
    // Change that would move the treasury's money into a customer's account.
    let customers = issue(&mut engine, BITCOIN, "bip86/16/1/0");
    let mut context = match bitcoin_context(&mut engine, &[(1, 1_000_000)], 500) {
        chain_core::Context::Bitcoin(context) => context,
        other => panic!("{other:?}"),
    };
    context.change = customers;
    let context = chain_core::Context::Bitcoin(context);
    let moved = crate::common::request(request.intent.clone(), &context);
    assert_eq!(refused(&mut engine, &moved), RefusalCode::Policy);
    sign(&mut engine, &request).unwrap();
}

#[test]
fn reserved_accounts_and_unknown_networks_have_no_addresses() {
    let place = Place::new();
    let mut engine = place.engine();
    for (on, key, code) in [
        (EVM, "bip44-evm/2/0/0", RefusalCode::Policy),
        (EVM, "bip44-evm/15/0/0", RefusalCode::Policy),
        ("eip155:5", "bip44-evm/0/0/0", RefusalCode::Policy),
        (EVM, "bip84/0/0/0", RefusalCode::BadRequest),
    ] {
        let request =
            signer_protocol::AddressRequest { chain: chain(on), key: key.parse().unwrap() };
        match engine.handle(&Request::Address(request)) {
            Response::Refused(refusal) => assert_eq!(refusal.code, code, "{key}"),
            other => panic!("{other:?}"),
        }
    }
}
