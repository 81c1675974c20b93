//! A cancel and a signature of one intent never both happen, in any order and across restarts.

use chain_core::IntentId;
use signer_protocol::{CancelRequest, Refusal, RefusalCode, Request, Response};
use uuid::Uuid;

use crate::common::*;

fn cancel(engine: &mut signer_daemon::Engine, id: u128) -> Result<u64, Refusal> {
    let intent = IntentId(Uuid::from_u128(id));
    let request = CancelRequest { intent, reason: "the customer asked for it".to_owned() };
    match engine.handle(&Request::Cancel(request)) {
        Response::Cancelled(cancelled) => Ok(cancelled.journal.records),
        Response::Refused(refusal) => Err(refusal),
        other => panic!("{other:?}"),
    }
}

#[test]
fn promise_15_what_was_cancelled_is_never_signed_and_what_was_signed_is_never_cancelled() {
    let place = Place::new();
    let mut engine = place.engine();
    let [evm, bitcoin, solana] = three(&mut engine);
    sign(&mut engine, &evm).unwrap();
    assert_eq!(cancel(&mut engine, 1).unwrap_err().code, RefusalCode::Conflict);
    let records = cancel(&mut engine, 2).unwrap();
    assert_eq!(cancel(&mut engine, 2).unwrap(), records, "again writes nothing");
    assert_eq!(refused(&mut engine, &bitcoin), RefusalCode::Cancelled);
    drop(engine);
    let mut engine = place.engine();
    assert_eq!(refused(&mut engine, &bitcoin), RefusalCode::Cancelled, "after a restart");
    assert_eq!(cancel(&mut engine, 2).unwrap(), records);
    sign(&mut engine, &evm).unwrap();
    sign(&mut engine, &solana).unwrap();
    assert_eq!(cancel(&mut engine, 3).unwrap_err().code, RefusalCode::Conflict);
    // Its coin is free for another intent.
    let other = bitcoin_withdrawal(&mut engine, 20, &[(1, 1_000_000)], 300_000);
    sign(&mut engine, &other).unwrap();
    let long = CancelRequest { intent: IntentId(Uuid::from_u128(9)), reason: "x".repeat(1_001) };
    let answer = engine.handle(&Request::Cancel(long));
    assert!(
        matches!(answer, Response::Refused(refusal) if refusal.code == RefusalCode::BadRequest)
    );
}
