#![doc = include_str!("../README.md")]

pub mod backup;
mod checkpoint;
pub mod commands;
mod config;
mod engine;
mod harden;
pub mod journal;
mod lock;
mod passphrase;
mod reconcile;
mod record;
mod server;
mod signing;
mod state;

pub use config::{Config, ConfigError};
pub use engine::{Clock, Engine, EngineError, load_policy, show, system_clock};
pub use harden::{harden, lock_memory};
pub use lock::{StateLock, lock};
pub use passphrase::{PassphraseError, PassphraseSource};
pub use reconcile::{Exported, Imported};
pub use record::{ChargeRecord, Entry, Record, SignedRecord};
pub use server::Server;
