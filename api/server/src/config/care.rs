use std::path::PathBuf;

use serde::Deserialize;

use super::source::read;
use super::{ConfigError, read_secret};

/// Reminders and their channels.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CareConfig {
    /// Where the server is for the world, for the links in messages, such as
    /// `https://wallet.example`; the address it listens on when absent.
    #[serde(default)]
    pub public_url: Option<String>,
    /// How often to look for loans about which a decision is due.
    #[serde(default = "default_decide_ms")]
    pub decide_ms: u64,
    /// How often to look for messages that are to leave.
    #[serde(default = "default_deliver_ms")]
    pub deliver_ms: u64,
    /// Lets gateways be on private addresses and without TLS, for local networks alone.
    #[serde(default)]
    pub local_gateways: bool,
    /// The relay for mail.
    #[serde(default)]
    pub smtp: Option<SmtpConfig>,
}

impl Default for CareConfig {
    fn default() -> Self {
        Self {
            public_url: None,
            decide_ms: default_decide_ms(),
            deliver_ms: default_deliver_ms(),
            local_gateways: false,
            smtp: None,
        }
    }
}

const fn default_decide_ms() -> u64 {
    30_000
}

const fn default_deliver_ms() -> u64 {
    1_000
}

/// The relay for mail.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpConfig {
    /// Its name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// `implicit` (the default), `starttls`, or `none` for a relay on this machine.
    #[serde(default)]
    pub tls: api_care::SmtpTls,
    /// A file with a certificate authority of one's own, PEM.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The user, when the relay wants one.
    #[serde(default)]
    pub user: Option<String>,
    /// A file with that user's password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Who writes, such as `First Harbour Bank <loans@bank.example>`.
    pub from: String,
}

impl SmtpConfig {
    /// The relay, with its secret read.
    ///
    /// # Errors
    /// [`ConfigError`] for a file that cannot be read, a user without password, or a sender that is
    /// no mailbox.
    pub(crate) fn open(&self) -> Result<api_care::Smtp, ConfigError> {
        let credentials = match (&self.user, &self.password_file) {
            (None, None) => None,
            (Some(user), Some(file)) => Some((user.clone(), read_secret(file)?)),
            _ => {
                let reason = "care.smtp: user and password_file belong together".to_owned();
                return Err(ConfigError::Invalid(reason));
            }
        };
        let ca_pem = self.ca_file.as_deref().map(read).transpose()?.map(String::into_bytes);
        let config = api_care::SmtpConfig {
            host: self.host.clone(),
            port: self.port,
            tls: self.tls,
            ca_pem,
            credentials,
            from: self.from.clone(),
        };
        api_care::Smtp::new(config)
            .map_err(|error| ConfigError::Invalid(format!("care.smtp.from: {error}")))
    }
}
