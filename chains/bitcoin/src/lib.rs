#![doc = include_str!("../README.md")]
#![warn(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

mod address;
mod anchor;
mod build;
mod coins;
mod describe;
mod fee;
mod open;
mod select;
mod sign;

pub use address::{address_of_public_key, address_of_script, check_address, network, script_of};
pub use anchor::{ANCHOR_PAYLOAD_BYTES, anchor_payload, read_anchor_payload};
pub use build::{build, check_payment, sweepable};
pub use describe::describe;
pub use fee::{FEE_RATE_SAT_PER_KWU_MAX, RELAY_SAT_PER_KWU};
pub use open::PSBT_BYTES_MAX;
pub use sign::{assemble, payloads};
