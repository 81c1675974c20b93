use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::{ConfigError, read_secret};

/// The HTTP server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// Address and port to listen on.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// A file with the operator's key, at least 32 characters: it creates tenants and runs the
    /// treasury.
    pub operator_key_file: PathBuf,
    /// The largest request body in bytes.
    #[serde(default = "default_body_bytes_max")]
    pub body_bytes_max: usize,
    /// The largest body in bytes of a request that has many items.
    #[serde(default = "default_bulk_body_bytes_max")]
    pub bulk_body_bytes_max: usize,
    /// How many transfers of the ledger may wait for their commit or be in it, at least 8,190. Requests that
    /// do not fit are answered with 503 and the code `busy`.
    #[serde(default = "default_queued_transfers_max")]
    pub queued_transfers_max: usize,
    /// A request that takes longer is answered with 503.
    #[serde(default = "default_request_timeout_secs")]
    pub request_timeout_secs: u64,
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8080))
}

const fn default_body_bytes_max() -> usize {
    1 << 20
}

const fn default_bulk_body_bytes_max() -> usize {
    16 << 20
}

const fn default_queued_transfers_max() -> usize {
    api_ledger::QUEUE_DEFAULT
}

const fn default_request_timeout_secs() -> u64 {
    30
}

/// The database.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `sqlite:<file>` or `postgres://…`, without a password.
    #[serde(default)]
    pub url: Option<String>,
    /// A file with the URL, where it has a password in it.
    #[serde(default)]
    pub url_file: Option<PathBuf>,
}

impl DatabaseConfig {
    /// The URL, from wherever it is kept.
    ///
    /// # Errors
    /// [`ConfigError`] unless there is exactly one of the two.
    pub fn resolve(&self) -> Result<String, ConfigError> {
        match (&self.url, &self.url_file) {
            (Some(url), None) => Ok(url.clone()),
            (None, Some(file)) => read_secret(file),
            _ => Err(ConfigError::Invalid(
                "database: give exactly one of url (without password) and url_file".into(),
            )),
        }
    }
}

/// The signer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignerConfig {
    /// Its Unix socket.
    pub socket: PathBuf,
    /// The user id that its process must have; ours when absent.
    #[serde(default)]
    pub uid: Option<u32>,
    /// How long to wait for an answer.
    #[serde(default = "default_signer_timeout_ms")]
    pub timeout_ms: u64,
}

const fn default_signer_timeout_ms() -> u64 {
    10_000
}

/// Webhooks.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhooksConfig {
    /// A file with the keys that seal the secrets of receivers and of reminders' gateways in the database, one in each line as 64
    /// hexadecimal digits. The first seals, all open. `roadstead webhook-key` makes one.
    pub key_file: PathBuf,
    /// Also `http`, for local networks.
    #[serde(default)]
    pub allow_http: bool,
    /// Also receivers at private addresses, for local networks.
    #[serde(default)]
    pub allow_private: bool,
}
