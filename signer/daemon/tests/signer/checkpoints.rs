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

/// While a key is replaced both sign, so that readers who know either accept the log.
#[test]
fn a_key_is_replaced_by_signing_with_both_for_a_time() {
    let place = Place::new();
    let lines = |size: u64| -> Vec<String> {
        let note = ask(&mut place.engine(), size, 7).unwrap().note;
        let signatures = note.split_once("\n\n").unwrap().1;
        // The start of the key's hash, which comes before the signature.
        signatures.lines().map(|line| line.rsplit(' ').next().unwrap()[..5].to_owned()).collect()
    };
    let unset = lines(4);
    place.edit_policy("version = 1", "version = 1\nlog_keys = [0]");
    let old = lines(5);
    place.edit_policy("log_keys = [0]", "log_keys = [0, 1]");
    let both = lines(6);
    place.edit_policy("log_keys = [0, 1]", "log_keys = [1]");
    let new = lines(7);
    assert_eq!(unset, old);
    assert_eq!((old.len(), new.len()), (1, 1));
    assert_eq!(both, [old[0].clone(), new[0].clone()]);
    assert_ne!(old, new);
    let mut before = "[1]";
    for bad in ["[]", "[1, 0]", "[0, 0]", "[16]", "[0, 1, 2, 3]"] {
        place.edit_policy(&format!("log_keys = {before}"), &format!("log_keys = {bad}"));
        assert!(ask(&mut place.engine(), 9, 7).is_err(), "{bad}");
        before = bad;
    }
}

#[test]
fn a_star_stands_for_the_logs_directly_below() {
    let place = Place::new();
    place.edit_policy(&format!("\"{ORIGIN}\""), &format!("\"{ORIGIN}/*\""));
    let mut engine = place.engine();
    let mut signs = |origin: String| {
        let request = CheckpointRequest { origin, size: 1, root: [1; 32] };
        matches!(engine.handle(&Request::Checkpoint(request)), Response::Checkpoint(_))
    };
    for below in ["a", "b"] {
        assert!(signs(format!("{ORIGIN}/{below}")), "{below}");
    }
    for other in ["", "/", "/a/b", "x", "/*"] {
        assert!(!signs(format!("{ORIGIN}{other}")), "{other}");
    }
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
