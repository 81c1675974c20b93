#![doc = include_str!("../README.md")]
#![warn(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

pub mod calendar;
pub mod care;
pub mod cost;
mod error;
mod fraction;
pub mod input;
pub mod loan;
pub mod messages;
mod money;
pub mod paper;
mod rate;
pub mod reminders;
mod repo;
pub mod schedule;
pub mod scorecard;
mod service;
pub mod terms;

pub use error::LoanError;
pub use fraction::{Fraction, Rounding};
pub use money::Money;
pub use rate::Rate;
pub use service::*;
