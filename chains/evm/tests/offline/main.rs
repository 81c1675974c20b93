//! Tests of `chain-evm` as others use it.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;
mod contracts;
mod refusals;
mod round_trip;
mod vectors;
