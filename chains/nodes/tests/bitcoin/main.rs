//! Against a real `bitcoind` on regtest.
#![expect(clippy::unwrap_used, reason = "tests")]

mod connection;
mod deposits;
mod hostile;
mod network;
mod payments;
#[expect(dead_code, reason = "what is tested without a node needs more of it")]
#[path = "../../../bitcoin/tests/offline/support.rs"]
mod support;
