#![doc = include_str!("../README.md")]
#![warn(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

mod bip32;
pub mod durable;
pub mod entropy;
pub mod extended;
mod keys;
pub mod keystore;
mod mnemonic;
pub mod note;
mod path;
pub mod policy;
pub mod sealed;
mod seed;
mod sign;
mod slip10;

pub use keys::{KeyError, Keys, PublicKey};
pub use mnemonic::{Phrase, PhraseError};
pub use path::{coin_type, path_text};
pub use seed::{Seed, ShieldError, ShieldedSeed};
pub use sign::SignError;

#[cfg(test)]
mod vectors;

/// How many samples a statistical test takes: `ROADSTEAD_SAMPLES=1000000` is the long run.
#[cfg(test)]
fn samples(usual: u64) -> u64 {
    let wanted = std::env::var("ROADSTEAD_SAMPLES").ok().and_then(|text| text.parse().ok());
    wanted.unwrap_or(usual)
}
