//! The ledger on SQLite and on PostgreSQL.
#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "tests")]

#[macro_use]
mod common;
mod accounts;
mod chain;
mod clients;
mod concurrent;
mod crash;
mod cut;
mod damage;
mod dates;
mod events;
mod faults;
mod history;
mod legs;
mod model;
mod naive;
mod pending;
mod posting;
mod queue;
mod races;
mod servers;
mod tail;
mod velocity;
