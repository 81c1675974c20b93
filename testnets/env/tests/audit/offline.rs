//! The verifiers, on files.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::world::World;

const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../api/verify/python/verify.py");

/// What `roadstead-verify` says of a receipt.
pub(crate) fn verify(world: &World, receipt: &str) -> (bool, Value) {
    let file = world.stack.folder().join("receipt.json");
    std::fs::write(&file, receipt).unwrap();
    verify_file(world, &file, &world.stack.log_key().unwrap())
}

pub(crate) fn verify_file(world: &World, file: &Path, key: &str) -> (bool, Value) {
    let (accepted, answer) = world.stack.verify(file, key).unwrap();
    (accepted, serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{answer:?}")))
}

/// Whether the independent verifier accepts the receipts.
pub(crate) fn python_accepts(file: &Path, key: &str) -> bool {
    let output =
        Command::new("python3").arg(PYTHON).arg(file).args(["--key", key]).output().unwrap();
    output.status.success()
}
