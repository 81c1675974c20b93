//! Against a real `bitcoind` on regtest.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "../../../bitcoin/tests/common/mod.rs"]
mod common;
mod connection;
mod deposits;
mod hostile;
mod network;
mod payments;
