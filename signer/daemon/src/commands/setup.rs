use std::io::Read;

use anyhow::{Context as _, Result, bail};
use custody::{Phrase, durable, keystore};
use zeroize::Zeroizing;

use super::say;
use crate::config::Config;
use crate::journal::Journal;
use crate::passphrase::PassphraseSource;

/// The most bytes of standard input that are read.
const INPUT_BYTES_MAX: u64 = 4096;

#[derive(Debug, clap::Args)]
pub(super) struct Init {
    /// Read the mnemonic from the first line of standard input instead of making one
    #[arg(long)]
    import: bool,
    /// Read a BIP-39 passphrase from the next line of standard input
    #[arg(long)]
    bip39_passphrase: bool,
    #[command(flatten)]
    passphrase: PassphraseSource,
}

impl Init {
    pub(super) fn run(self, config: &Config) -> Result<()> {
        if config.keystore().try_exists()? || config.journal().try_exists()? {
            bail!("{} is in use: nothing was changed", config.state_dir.display());
        }
        let passphrase = self.passphrase.read()?;
        let input = if self.import || self.bip39_passphrase { read_input()? } else { empty() };
        let mut lines = input.lines();
        let phrase = if self.import {
            Phrase::parse(lines.next().context("standard input is empty")?)?
        } else {
            Phrase::generate()?
        };
        let extra = if self.bip39_passphrase {
            lines.next().context("standard input has no line with the BIP-39 passphrase")?
        } else {
            ""
        };
        // Shown before anything is kept: there is never a keystore whose mnemonic nobody saw.
        if !self.import {
            say(&phrase.words())?;
        }
        durable::create_private_dir(&config.state_dir)?;
        keystore::create(&config.keystore(), &passphrase, &phrase.seed(extra))?;
        Journal::create(&config.journal(), &config.high_water_dir)?;
        Ok(())
    }
}

fn empty() -> Zeroizing<String> {
    Zeroizing::new(String::new())
}

fn read_input() -> Result<Zeroizing<String>> {
    // Room for all of it at once: a string that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(8192));
    std::io::stdin()
        .take(INPUT_BYTES_MAX)
        .read_to_string(&mut text)
        .context("standard input cannot be read as text")?;
    Ok(text)
}
