//! The audit log as a bank's integrator, its auditor and its operator meet it: the public HTTP API,
//! the command line, and verifiers that know nothing of the server.
#![expect(clippy::unwrap_used, clippy::print_stderr, clippy::print_stdout, reason = "tests")]

mod anchors;
mod guide;
mod ledger;
mod log;
mod offline;
mod records;
mod reports;
mod rotation;
mod subjects;
mod thousand;
mod witnesses;

#[path = "../e2e/http.rs"]
#[allow(dead_code, clippy::allow_attributes, reason = "this program uses a part")]
mod http;
#[path = "../e2e/world.rs"]
#[allow(dead_code, clippy::allow_attributes, reason = "this program uses a part")]
mod world;
