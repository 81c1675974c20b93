#![doc = include_str!("../README.md")]

mod address;
mod deliver;
mod error;
mod repo;
mod retry;
mod secret;
mod sender;
mod types;
mod vault;
mod webhooks;

pub use address::is_public;
pub use error::{SendError, WebhookError};
pub use repo::{DeadLetter, Endpoint, NewEndpoint};
pub use secret::Secret;
pub use sender::{Policy, Sender, SystemResolver};
pub use types::{EventTypes, TYPES_MAX, TypesError};
pub use vault::{Vault, VaultError};
pub use webhooks::{ENDPOINTS_MAX, Report, Webhooks};
