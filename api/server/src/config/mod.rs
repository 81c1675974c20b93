//! Configuration: a TOML file, with every setting also from the environment.
//!
//! `ROADSTEAD__SERVER__LISTEN=127.0.0.1:9000` overrides `server.listen`; items of a list are named
//! by their position: `ROADSTEAD__CHAINS__0__RPC_URL`. Unknown keys are refused. Secrets are never
//! values here, only the names of files that hold them.

mod care;
mod chains;
mod check;
mod log;
mod server;
mod source;

use std::path::{Path, PathBuf};

use serde::Deserialize;

pub(crate) use care::{CareConfig, SmtpConfig};
pub(crate) use chains::{AssetConfig, ChainConfig, FiatConfig, Finality};
pub(crate) use log::{LogConfig, WitnessConfig};
pub(crate) use server::{DatabaseConfig, ServerConfig, SignerConfig, WebhooksConfig};
pub(crate) use source::read_secret;
use source::{overlay, read};

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read {file}: {reason}")]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// Not TOML, an unknown key, a missing key, or a value of the wrong kind.
    #[error("{0}")]
    Syntax(String),
    /// An environment variable does not fit.
    #[error("environment variable {name}: {reason}")]
    Environment {
        /// Which.
        name: String,
        /// Why.
        reason: String,
    },
    /// The values contradict one another.
    #[error("{0}")]
    Invalid(String),
}

/// The whole configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The HTTP server.
    pub server: ServerConfig,
    /// The database.
    pub database: DatabaseConfig,
    /// The signer; without it there are no chains and no checkpoints, and the ledger alone is served.
    #[serde(default)]
    pub signer: Option<SignerConfig>,
    /// The audit log and its anchors.
    pub log: LogConfig,
    /// The networks.
    #[serde(default)]
    pub chains: Vec<ChainConfig>,
    /// The assets of the networks.
    #[serde(default)]
    pub assets: Vec<AssetConfig>,
    /// Fiat money.
    #[serde(default)]
    pub fiat: FiatConfig,
    /// Who is told about events over HTTP; nobody without it.
    #[serde(default)]
    pub webhooks: Option<WebhooksConfig>,
    /// Reminders and their channels.
    #[serde(default)]
    pub care: CareConfig,
}

impl Config {
    /// Where the server is for the world.
    pub(crate) fn public_url(&self) -> String {
        let listen = || format!("http://{}", self.server.listen);
        self.care.public_url.clone().unwrap_or_else(listen)
    }

    /// Reads the file, lays the environment over it, and checks the whole.
    ///
    /// # Errors
    /// [`ConfigError`], in words that name the key.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        Self::from_parts(&read(file)?, std::env::vars())
    }

    fn from_parts(
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut value: toml::Value =
            toml::from_str(text).map_err(|error| ConfigError::Syntax(error.to_string()))?;
        for (name, text) in environment {
            if let Some(path) = name.strip_prefix("ROADSTEAD__") {
                overlay(&mut value, path, &text)
                    .map_err(|reason| ConfigError::Environment { name: name.clone(), reason })?;
            }
        }
        let config: Self = value
            .try_into()
            .map_err(|error: toml::de::Error| ConfigError::Syntax(error.to_string()))?;
        config.check()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests;
