//! Everything that is done without a node.
#![expect(clippy::unwrap_used, reason = "tests")]

mod build;
mod describe;
mod support;
mod vectors;
