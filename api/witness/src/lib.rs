#![doc = include_str!("../README.md")]

pub mod client;
pub mod http;
mod key;
mod request;
pub mod store;
mod witness;

pub use key::WitnessKey;
pub use request::AddCheckpoint;
pub use witness::{Refusal, Witness};
