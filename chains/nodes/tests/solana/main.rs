//! `SolanaNode` against a real node.
#![expect(clippy::unwrap_used, reason = "tests")]

mod anchors;
mod deposits;
mod hostile;
mod network;
mod nonces;
mod payouts;
mod world;
