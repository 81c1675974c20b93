//! The signer as its operator and a hostile server meet it.
#![expect(clippy::unwrap_used, reason = "tests")]

mod backups;
mod cancels;
mod checkpoints;
mod common;
mod crashes;
mod freezes;
mod hostile;
mod link;
mod once;
mod operator;
mod policy;
mod secrets;
