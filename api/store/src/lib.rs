#![doc = include_str!("../README.md")]

mod args;
mod db;
mod engine;
mod error;
mod rows;
pub mod test_db;
pub mod test_disk;
pub mod test_server;
mod tx;

pub use args::Arg;
pub use db::Db;
pub use engine::{Engine, UnknownEngine};
pub use error::StoreError;
pub use tx::{FromDb, Tx};
