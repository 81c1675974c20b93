//! Connections to nodes.

pub mod bitcoin;
pub mod evm;
pub mod solana;
