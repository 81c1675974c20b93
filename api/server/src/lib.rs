#![doc = include_str!("../README.md")]
#![warn(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

mod app;
mod books;
mod chains;
pub mod cli;
mod config;
mod error;
mod exchange;
mod flows;
mod http;
mod keys;
mod ledger_log;
mod reads;
mod repo;

pub use app::App;
pub use config::{Config, ConfigError};
pub use error::{Code, Error, Failure};
pub use http::openapi;
