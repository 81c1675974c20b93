//! Freezes outlive a compromised server: it can freeze, and cannot thaw.

use signer_daemon::Engine;
use signer_protocol::{FreezeRequest, RefusalCode, Request, Response};

use crate::common::*;

fn freeze(engine: &mut Engine, asset: Option<&str>, account: Option<u32>) {
    let asset = asset.map(|text| text.parse().unwrap());
    let request = FreezeRequest { asset, account, reason: "drift".to_owned() };
    let answer = engine.handle(&Request::Freeze(request));
    assert!(matches!(answer, Response::Frozen { .. }), "{answer:?}");
}

#[test]
fn a_frozen_asset_or_wallet_signs_nothing_and_the_others_go_on() {
    let place = Place::new();
    let mut engine = place.engine();
    let [evm, bitcoin, solana] = three(&mut engine);
    sign(&mut engine, &evm).unwrap();
    freeze(&mut engine, Some(&format!("{EVM}/slip44:60")), None);
    freeze(&mut engine, Some(&format!("{BITCOIN}/slip44:0")), Some(7));
    assert_eq!(refused(&mut engine, &evm), RefusalCode::Frozen, "stored signatures too");
    sign(&mut engine, &bitcoin).unwrap();
    freeze(&mut engine, None, Some(0));
    assert_eq!(refused(&mut engine, &solana), RefusalCode::Frozen);
    drop(engine);
    let mut engine = place.engine();
    assert_eq!(refused(&mut engine, &solana), RefusalCode::Frozen, "after a restart");
    let Response::Frozen { freezes } = engine.handle(&Request::Frozen) else { panic!("frozen") };
    assert_eq!(freezes.len(), 3);
}

#[test]
fn promise_10_a_freeze_works_within_one_request() {
    let place = Place::new();
    let mut engine = place.engine();
    for nonce in 0..5 {
        let request = evm_withdrawal(&mut engine, 1 + u128::from(nonce), nonce, 1);
        sign(&mut engine, &request).unwrap();
    }
    freeze(&mut engine, None, None);
    let next = evm_withdrawal(&mut engine, 50, 5, 1);
    assert_eq!(refused(&mut engine, &next), RefusalCode::Frozen);
}
