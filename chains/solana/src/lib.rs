#![doc = include_str!("../README.md")]
#![warn(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

mod accounts;
mod address;
mod anchor;
mod assemble;
mod build;
mod describe;
mod fee;
mod plan;
mod read;

pub use accounts::{
    AccountError, MintFacts, NonceFacts, TOKEN_PROGRAM, read_mint, read_nonce, read_token_balance,
};
pub use address::{address_of_public_key, check_address, nonce_address, token_account};
pub use anchor::anchor_memo;
pub use assemble::{assemble, payloads};
pub use build::{build, compute_unit_limit, sweepable};
pub use describe::{SentTx, describe, read_sent};
pub use fee::{
    LAMPORTS_PER_SIGNATURE, NONCE_ACCOUNT_BYTES, NONCE_ACCOUNT_RENT, SYSTEM_ACCOUNT_RENT,
    TOKEN_ACCOUNT_BYTES, TOKEN_ACCOUNT_RENT,
};
