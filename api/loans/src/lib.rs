#![doc = include_str!("../README.md")]
#![warn(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

pub mod calendar;
pub mod cost;
mod error;
mod fraction;
pub mod loan;
mod money;
mod rate;
mod repo;
pub mod schedule;
mod service;
pub mod terms;

pub use error::LoanError;
pub use fraction::{Fraction, Rounding};
pub use money::Money;
pub use rate::Rate;
pub use service::*;
