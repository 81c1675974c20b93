use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

/// The signer's own settings, from `signer.toml`. Unknown keys are refused; no secret is in it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Keystore, journal and lock; only the signer's user can enter it.
    pub state_dir: PathBuf,
    /// Where the high-water mark of the journal is kept: another disk, or at least a folder that
    /// no restore of `state_dir` touches.
    pub high_water_dir: PathBuf,
    /// The socket that the server connects to.
    pub socket: PathBuf,
    /// The policy, read again for each request.
    pub policy: PathBuf,
    /// Users whose processes may connect; the signer's own alone when absent.
    pub allowed_uids: Option<Vec<u32>>,
    /// Lets the socket's group connect too (mode 0660), for a server of another user.
    #[serde(default)]
    pub socket_group_access: bool,
    /// The most connections at a time.
    #[serde(default = "connections_max")]
    pub connections_max: usize,
    /// A frame must be complete this many seconds after its first byte, and an answer be taken.
    #[serde(default = "request_timeout_seconds")]
    pub request_timeout_seconds: u64,
    /// A connection without a request is closed after this many seconds.
    #[serde(default = "idle_timeout_seconds")]
    pub idle_timeout_seconds: u64,
}

const fn connections_max() -> usize {
    32
}

const fn request_timeout_seconds() -> u64 {
    10
}

const fn idle_timeout_seconds() -> u64 {
    600
}

/// Why the settings were refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path} cannot be read: {error}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It is not understood.
    #[error("{path}: {reason}")]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl Config {
    /// Reads the settings; relative paths in it start at its own folder.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::Read { path: path.to_owned(), error })?;
        let invalid = |reason: String| ConfigError::Invalid { path: path.to_owned(), reason };
        let mut config: Self = toml::from_str(&text).map_err(|error| invalid(error.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        for entry in [
            &mut config.state_dir,
            &mut config.high_water_dir,
            &mut config.socket,
            &mut config.policy,
        ] {
            *entry = folder.join(&*entry);
        }
        let (state, mark) = (&config.state_dir, &config.high_water_dir);
        if mark.starts_with(state) || state.starts_with(mark) {
            return Err(invalid("high_water_dir must be apart from state_dir".to_owned()));
        }
        let limits = [config.request_timeout_seconds, config.idle_timeout_seconds];
        if config.connections_max == 0 || limits.contains(&0) {
            return Err(invalid("connections_max and time-outs are at least 1".to_owned()));
        }
        Ok(config)
    }

    /// The encrypted seed.
    #[must_use]
    pub fn keystore(&self) -> PathBuf {
        self.state_dir.join("keystore.json")
    }

    /// The journal.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.state_dir.join("journal.jsonl")
    }

    /// [`Config::request_timeout_seconds`] as a duration.
    #[must_use]
    pub const fn request_timeout(&self) -> Duration {
        Duration::from_secs(self.request_timeout_seconds)
    }

    /// [`Config::idle_timeout_seconds`] as a duration.
    #[must_use]
    pub const fn idle_timeout(&self) -> Duration {
        Duration::from_secs(self.idle_timeout_seconds)
    }
}
