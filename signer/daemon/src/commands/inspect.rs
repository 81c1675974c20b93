use anyhow::{Context as _, Result};
use clap::Subcommand;
use serde::Serialize;

use super::{say, say_json};
use crate::backup::fold;
use crate::config::Config;
use crate::engine::{load_policy, log_keys};
use crate::journal::Contents;
use crate::passphrase::PassphraseSource;

#[derive(Serialize)]
struct IssuedAddress<'a> {
    chain: &'a str,
    address: &'a str,
    key: String,
    path: String,
}

/// A JSON line for each issued address; the signer may run, and no passphrase is needed.
pub(super) fn addresses(config: &Config) -> Result<()> {
    let bytes = std::fs::read(config.journal()).context("the journal cannot be read")?;
    for (chain, address, key) in fold(&Contents::parse(&bytes)?).issued() {
        let path = custody::path_text(chain, key)?;
        let line = IssuedAddress { chain: chain.as_str(), address, key: key.to_string(), path };
        say(&serde_json::to_string(&line)?)?;
    }
    Ok(())
}

#[derive(Debug, clap::Args)]
pub(super) struct LogKey {
    /// The log's origin; each one of the policy when absent
    #[arg(long)]
    origin: Option<String>,
    #[command(flatten)]
    passphrase: PassphraseSource,
}

impl LogKey {
    pub(super) fn run(self, config: &Config) -> Result<()> {
        let keys = custody::keystore::open(&config.keystore(), &self.passphrase.read()?)?;
        let policy = load_policy(&config.policy)?;
        let origins = match self.origin {
            Some(origin) => vec![origin],
            None => policy.named_logs().cloned().collect(),
        };
        log_keys(&keys, &policy, origins.iter())?.iter().try_for_each(|key| say(key))
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Read the policy as the running signer would, and say what is wrong with it
    Check,
}

#[derive(Serialize)]
struct Summary<'a> {
    ok: bool,
    chains: &'a [chain_core::ChainId],
    log_origins: &'a [String],
    rules: usize,
}

impl PolicyCommand {
    pub(super) fn run(self, config: &Config) -> Result<()> {
        let Self::Check = self;
        let policy = load_policy(&config.policy)?;
        say_json(&Summary {
            ok: true,
            chains: policy.chains(),
            log_origins: policy.log_origins(),
            rules: policy.rule_count(),
        })
    }
}
