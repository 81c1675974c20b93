//! The offline verbs: what they build, read back and refuse.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;
mod refusals;
mod round_trip;
mod vectors;
