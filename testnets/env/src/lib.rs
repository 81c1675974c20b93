#![doc = include_str!("../README.md")]

mod binaries;
mod bitcoin;
mod cache;
mod coins;
mod env;
mod error;
mod evm;
mod ports;
pub mod provision;
mod rpc;
mod solana;
pub mod spl;
pub mod stack;
mod token;
mod watchdog;

pub use binaries::{Binaries, binaries};
pub use bitcoin::{Bitcoin, BitcoinOptions};
pub use cache::cache_dir;
pub use coins::{family_of, parse_amount};
pub use env::{TestEnv, TestEnvBuilder};
pub use error::{Error, Result};
pub use evm::{Evm, EvmOptions};
pub use ports::{Port, PortPair};
pub use rpc::Rpc;
pub use solana::{Solana, SolanaOptions};
pub use token::TestToken;
pub use watchdog::Watched;

/// The developer mnemonic of every local network: anvil's, known to the whole world. Never put
/// money behind it.
pub const DEV_MNEMONIC: &str = "test test test test test test test test test test test junk";
