#![doc = include_str!("../README.md")]
#![warn(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

mod address;
mod anchor;
mod assemble;
mod build;
mod call;
mod describe;
mod receipts;

pub use address::{address_of_public_key, check_address};
pub use anchor::{
    AnchoredEvent, DEPLOYMENT_PROXY, anchor_contract_address, anchored_event,
    deployment_proxy_address,
};
pub use assemble::{assemble, tx_id};
pub use build::{build, replacement, sweepable};
pub use call::{Call, call_of};
pub use describe::{describe, payloads};
pub use receipts::{ReceiptProof, ReceiptProofError, receipt_proof};

/// The least gas that a transaction costs: a plain transfer of native coin.
pub const GAS_LIMIT_MIN: u64 = 21_000;

/// The largest gas limit of one transaction (EIP-7825).
pub const GAS_LIMIT_MAX: u64 = 1 << 24;
