#![doc = include_str!("../README.md")]

pub mod anchor;
pub mod answer;
pub mod checkpoint;
pub mod completeness;
pub mod leaf;
pub mod log;
pub mod merkle;
pub mod note;
pub mod ots;
pub mod policy;
pub mod receipt;
pub mod report;
pub mod stamp;
mod text;
mod verify;
mod words;

pub use text::utc;
pub use verify::{VerifyError, examine, parse};
pub use words::Language;
