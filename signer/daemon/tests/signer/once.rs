//! Promise 15: intent and slot are bound to each other, both ways, and for good.

use std::sync::Mutex;

use chain_core::{Context, Purpose};
use signer_protocol::RefusalCode;

use crate::common::*;

#[test]
fn promise_15_the_same_request_gives_the_stored_signatures() {
    let place = Place::new();
    let mut engine = place.engine();
    for request in three(&mut engine) {
        let first = sign(&mut engine, &request).unwrap();
        let head = engine.head();
        let again = sign(&mut engine, &request).unwrap();
        assert_eq!((&again.signatures, &again.tx), (&first.signatures, &first.tx));
        assert_eq!(again.journal, head, "nothing new was journaled");
    }
    // Also after a restart: Taproot's signature has fresh randomness and must come from the journal.
    drop(engine);
    let mut engine = place.engine();
    let request = bitcoin_withdrawal(&mut engine, 2, &[(1, 1_000_000)], 300_000);
    let head = engine.head();
    let first = sign(&mut engine, &request).unwrap();
    assert_eq!(first.journal, head);
}

#[test]
fn promise_15_another_intent_for_the_slot_is_refused() {
    let place = Place::new();
    let mut engine = place.engine();
    for request in three(&mut engine) {
        sign(&mut engine, &request).unwrap();
    }
    let conflicting = [
        evm_withdrawal(&mut engine, 11, 0, 1_000_000),
        evm_withdrawal(&mut engine, 12, 0, 1_000_001),
        bitcoin_withdrawal(&mut engine, 13, &[(1, 1_000_000)], 300_000),
        bitcoin_withdrawal(&mut engine, 14, &[(1, 1_000_000), (2, 500_000)], 200_000),
        solana_withdrawal(&mut engine, 15, 1, 2_000_000_000),
    ];
    for request in &conflicting {
        assert_eq!(refused(&mut engine, request), RefusalCode::Conflict);
    }
    drop(engine);
    let mut engine = place.engine();
    for request in &conflicting {
        assert_eq!(refused(&mut engine, request), RefusalCode::Conflict, "after a restart");
    }
    let next = [
        evm_withdrawal(&mut engine, 11, 1, 1_000_000),
        bitcoin_withdrawal(&mut engine, 13, &[(2, 1_000_000)], 300_000),
        solana_withdrawal(&mut engine, 15, 2, 2_000_000_000),
    ];
    for request in &next {
        sign(&mut engine, request).unwrap();
    }
}

#[test]
fn promise_15_an_intent_is_never_signed_over_another_slot() {
    let place = Place::new();
    let mut engine = place.engine();
    for request in three(&mut engine) {
        sign(&mut engine, &request).unwrap();
    }
    let elsewhere = [
        evm_withdrawal(&mut engine, 1, 1, 1_000_000),
        bitcoin_withdrawal(&mut engine, 2, &[(2, 1_000_000)], 300_000),
        solana_withdrawal(&mut engine, 3, 2, 2_000_000_000),
    ];
    for request in &elsewhere {
        assert_eq!(refused(&mut engine, request), RefusalCode::Conflict);
    }
}

#[test]
fn promise_15_an_intent_never_changes_its_meaning() {
    let place = Place::new();
    let mut engine = place.engine();
    for request in three(&mut engine) {
        sign(&mut engine, &request).unwrap();
    }
    let other_amounts = [
        evm_withdrawal(&mut engine, 1, 0, 1_000_001),
        bitcoin_withdrawal(&mut engine, 2, &[(1, 1_000_000)], 300_001),
        solana_withdrawal(&mut engine, 3, 1, 2_000_000_001),
    ];
    for request in &other_amounts {
        assert_eq!(refused(&mut engine, request), RefusalCode::Conflict);
    }
}

#[test]
fn promise_15_a_replacement_shares_the_slot_and_stays_under_the_cap() {
    let place = Place::new();
    let mut engine = place.engine();
    let first = evm_withdrawal(&mut engine, 1, 0, 1_000_000);
    sign(&mut engine, &first).unwrap();
    let sender = issue(&mut engine, EVM, "bip44-evm/0/0/0");
    let dearer = evm_context(sender.clone(), 0, 2_000_000_000);
    sign(&mut engine, &request(first.intent.clone(), &dearer)).unwrap();
    let mut too_dear = first.intent.clone();
    too_dear.fee_max = chain_core::Amount::new(10_u128.pow(18));
    let too_dear = request(too_dear, &evm_context(sender, 0, 5_000_000_000_000));
    assert_eq!(refused(&mut engine, &too_dear), RefusalCode::Policy);

    let first = bitcoin_withdrawal(&mut engine, 2, &[(1, 1_000_000)], 300_000);
    sign(&mut engine, &first).unwrap();
    let more = bitcoin_context(&mut engine, &[(1, 1_000_000), (2, 400_000)], 1_500);
    sign(&mut engine, &request(first.intent.clone(), &more)).unwrap();
}

#[test]
fn promise_15_every_attempt_conflicts_with_every_other() {
    let place = Place::new();
    let mut engine = place.engine();
    let first = bitcoin_withdrawal(&mut engine, 1, &[(1, 500_000), (2, 500_000)], 300_000);
    sign(&mut engine, &first).unwrap();
    let second = bitcoin_withdrawal(&mut engine, 1, &[(2, 500_000), (3, 500_000)], 300_000);
    sign(&mut engine, &second).unwrap();
    // It shares coin 3 with the second, but nothing with the first: both could confirm.
    let third = bitcoin_withdrawal(&mut engine, 1, &[(3, 500_000), (4, 500_000)], 300_000);
    assert_eq!(refused(&mut engine, &third), RefusalCode::Conflict);
    // It shares coin 1 with the first, but nothing with the second.
    let fourth = bitcoin_withdrawal(&mut engine, 1, &[(1, 500_000), (4, 500_000)], 300_000);
    assert_eq!(refused(&mut engine, &fourth), RefusalCode::Conflict);
    let fifth = bitcoin_withdrawal(&mut engine, 1, &[(2, 500_000), (4, 500_000)], 300_000);
    sign(&mut engine, &fifth).unwrap();
}

#[test]
fn promise_15_a_signature_does_not_depend_on_what_is_told_of_the_inputs() {
    let place = Place::new();
    let mut engine = place.engine();
    let owner = issue(&mut engine, BITCOIN, "bip84/0/0/0");
    let change = issue(&mut engine, BITCOIN, "bip84/0/1/0");
    let told = |sat: u64| {
        Context::Bitcoin(chain_core::BitcoinContext {
            coins: vec![coin(1, &owner, sat)],
            must_spend: vec![],
            fee_rate_sat_per_kwu: 500,
            height: 150,
            change: change.clone(),
            parents: Vec::new(),
            replaced_fee: chain_core::Amount::ZERO,
        })
    };
    let action = pay(&outsider(BITCOIN), &chain(BITCOIN).native(), 300_000);
    let intent = intent(1, BITCOIN, Purpose::Withdrawal, action);
    let first = request(intent.clone(), &told(300_500));
    sign(&mut engine, &first).unwrap();
    // The same outputs and coin, told to hold more: the same transaction id, another digest.
    let second = request(intent, &told(300_600));
    assert_eq!(refused(&mut engine, &second), RefusalCode::Conflict);
}

#[test]
fn promise_15_sign_once_under_race() {
    let place = Place::new();
    let mut engine = place.engine();
    let requests: Vec<_> =
        (0..10).map(|id| evm_withdrawal(&mut engine, 100 + id, 7, 1_000_000 + id)).collect();
    let engine = Mutex::new(engine);
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = requests
            .iter()
            .map(|request| scope.spawn(|| sign(&mut engine.lock().unwrap(), request)))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let signed = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(signed, 1);
    for refusal in outcomes.into_iter().filter_map(Result::err) {
        assert_eq!(refusal.code, RefusalCode::Conflict);
    }
}
