#![doc = include_str!("../README.md")]

mod address;
mod error;
mod repo;
mod retry;
mod secret;
mod sender;
mod vault;
mod webhooks;

pub use address::is_public;
pub use error::{SendError, WebhookError};
pub use repo::{DeadLetter, Endpoint};
pub use secret::Secret;
pub use sender::{Policy, Sender, SystemResolver};
pub use vault::{Vault, VaultError};
pub use webhooks::{ENDPOINTS_MAX, Report, Webhooks};
