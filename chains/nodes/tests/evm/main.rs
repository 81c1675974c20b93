//! Against a real anvil.

#![expect(clippy::unwrap_used, reason = "tests")]

mod anchors;
#[path = "../../../evm/tests/offline/common.rs"]
#[expect(dead_code, reason = "made for the offline tests, of which only the key is used here")]
mod common;
mod deposits;
mod network;
mod payments;
mod scripted;
mod tokens;
mod world;
