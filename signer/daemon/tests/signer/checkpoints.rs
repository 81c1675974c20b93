//! The log's key: one root for each size, and no way back.

use signer_daemon::Engine;
use signer_protocol::{CheckpointRequest, CheckpointSigned, RefusalCode, Request, Response};

use crate::common::*;

fn ask(engine: &mut Engine, size: u64, root: u8) -> Result<CheckpointSigned, RefusalCode> {
    let origin = ORIGIN.to_owned();
    let request = CheckpointRequest { origin, size, root: [root; 32] };
    match engine.handle(&Request::Checkpoint(request)) {
        Response::Checkpoint(signed) => Ok(signed),
        Response::Refused(refusal) => Err(refusal.code),
        other => panic!("{other:?}"),
    }
}

#[test]
fn never_two_roots_at_one_size_and_never_a_smaller_size() {
    let place = Place::new();
    let mut engine = place.engine();
    let first = ask(&mut engine, 5, 1).unwrap();
    assert!(first.note.starts_with("roadstead.local/log\n5\nAQEBAQ"), "{}", first.note);
    let second = ask(&mut engine, 9, 2).unwrap();
    for _ in 0..2 {
        assert_eq!(ask(&mut engine, 5, 2), Err(RefusalCode::CheckpointConflict));
        assert_eq!(ask(&mut engine, 9, 1), Err(RefusalCode::CheckpointConflict));
        assert_eq!(ask(&mut engine, 7, 3), Err(RefusalCode::CheckpointConflict));
        assert_eq!(ask(&mut engine, 0, 3), Err(RefusalCode::CheckpointConflict));
        let again = ask(&mut engine, 5, 1).unwrap();
        assert_eq!((again.note, again.journal), (first.note.clone(), second.journal.clone()));
        drop(engine);
        engine = place.engine();
    }
    ask(&mut engine, 10, 3).unwrap();
}

#[test]
fn only_logs_of_the_policy_are_signed() {
    let place = Place::new();
    let mut engine = place.engine();
    for origin in ["elsewhere/log", "", "roadstead.local/log\n9"] {
        let request = CheckpointRequest { origin: origin.to_owned(), size: 1, root: [1; 32] };
        match engine.handle(&Request::Checkpoint(request)) {
            Response::Refused(refusal) => assert_eq!(refusal.code, RefusalCode::Policy),
            other => panic!("{other:?}"),
        }
    }
}
