//! The whole system as a stranger meets it: real nodes, the signer and the server as processes of
//! their own, and nothing but the public HTTP API, the command line and the chains themselves.
#![expect(clippy::unwrap_used, reason = "tests")]

mod bank;
mod cancel;
mod care;
mod documents;
mod flows;
mod freeze;
mod hostile;
mod http;
mod idempotency;
mod kills;
mod lending;
mod loans;
mod races;
mod receipts;
mod refusals;
mod reorgs;
mod secrets;
mod story;
mod tenants;
mod world;
