#![doc = include_str!("../README.md")]

mod any;
pub mod bitcoin;
pub mod evm;
pub mod solana;

pub use any::AnyNode;
