use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use super::{now, say, say_json};
use crate::backup::{Backup, back_up, drill, file_name, newest_in};
use crate::config::Config;
use crate::passphrase::PassphraseSource;

#[derive(Debug, clap::Args)]
pub(super) struct BackUp {
    /// The folder that backups are kept in; its files are named by time
    #[arg(long)]
    dir: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseSource,
}

impl BackUp {
    pub(super) fn run(self, config: &Config) -> Result<()> {
        let now = now()?;
        let to = self.dir.join(file_name(now));
        let passphrase = self.passphrase.read()?;
        back_up(config, &passphrase, &to, now)?;
        say(&to.display().to_string())
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    /// The backup
    #[arg(long)]
    from: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseSource,
}

impl Restore {
    pub(super) fn run(self, config: &Config) -> Result<()> {
        Backup::open(&self.from, &self.passphrase.read()?)?.restore(config)?;
        say("restored; the signer signs nothing until `roadstead-signer reconcile`")
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Drill {
    /// A backup
    #[arg(long, conflicts_with = "dir", required_unless_present = "dir")]
    from: Option<PathBuf>,
    /// The folder whose newest backup is used
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Fail when the backup is older
    #[arg(long, value_name = "SECONDS")]
    age_max: Option<u64>,
    #[command(flatten)]
    passphrase: PassphraseSource,
}

impl Drill {
    pub(super) fn run(self, config: &Config) -> Result<()> {
        let from = match (self.from, self.dir) {
            (Some(file), _) => file,
            (None, Some(dir)) => newest_in(&dir)?,
            (None, None) => anyhow::bail!("name a backup"),
        };
        let report = drill(config, &from, &self.passphrase.read()?, now()?).context("drill")?;
        say_json(&report)?;
        ensure!(report.ok, "the backup does not restore every address");
        ensure!(
            self.age_max.is_none_or(|limit| report.age_seconds <= limit),
            "the backup is {} seconds old",
            report.age_seconds
        );
        Ok(())
    }
}
