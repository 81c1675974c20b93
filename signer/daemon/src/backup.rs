//! One encrypted file with everything that cannot be derived again, and the drill that proves it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use custody::sealed::SealedFile;
use custody::{durable, keystore};
use serde::{Deserialize, Serialize};
use signer_protocol::JournalHead;

use crate::config::Config;
use crate::engine::derive;
use crate::journal::Contents;
use crate::state::State;

const KIND: &str = "roadstead-backup";
const EXTENSION: &str = "roadstead-backup";

/// What a backup says of itself, inside the encryption.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Seconds since 1970.
    pub created: u64,
    /// The journal's head in it.
    pub head: JournalHead,
}

/// What an opened backup holds.
pub struct Backup {
    /// Of itself.
    pub manifest: Manifest,
    keystore: Vec<u8>,
    journal: Vec<u8>,
}

/// Writes keystore and journal, the journal as far as it is whole, to one encrypted file. The signer
/// may run meanwhile. The passphrase must be the keystore's: a backup that cannot be opened later is
/// none.
///
/// # Errors
/// When the state cannot be read or is damaged, or `to` exists.
pub fn back_up(config: &Config, passphrase: &[u8], to: &Path, now: u64) -> Result<Manifest> {
    keystore::open(&config.keystore(), passphrase)?;
    let sealed_seed = std::fs::read(config.keystore())?;
    let mut journal = std::fs::read(config.journal()).context("the journal cannot be read")?;
    journal.truncate(journal.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
    let head = Contents::parse(&journal)?.head();
    let manifest = Manifest { created: now, head };
    let about = serde_json::to_vec(&manifest)?;
    let records: [(&str, &[u8]); 3] =
        [("manifest", &about), ("keystore", &sealed_seed), ("journal", &journal)];
    let file = SealedFile::seal(KIND, passphrase, &records)?;
    let place = || format!("the backup {} cannot be written", to.display());
    durable::create(to, &file.to_json()?).with_context(place)?;
    Ok(manifest)
}

/// The name of a backup made at `now`; names sort by age.
#[must_use]
pub fn file_name(now: u64) -> String {
    format!("roadstead-signer-{now:012}.{EXTENSION}")
}

/// The newest backup in a folder, by its name.
///
/// # Errors
/// When there is none.
pub fn newest_in(dir: &Path) -> Result<PathBuf> {
    let entries = std::fs::read_dir(dir).with_context(|| dir.display().to_string())?;
    let mut newest = None;
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            newest = newest.max(Some(path));
        }
    }
    newest.with_context(|| format!("{} holds no backup", dir.display()))
}

impl Backup {
    /// Decrypts a backup and checks its journal.
    ///
    /// # Errors
    /// When the passphrase is wrong or the file was changed.
    pub fn open(path: &Path, passphrase: &[u8]) -> Result<Self> {
        let json = std::fs::read(path).with_context(|| path.display().to_string())?;
        let file = SealedFile::from_json(KIND, &json)?;
        let mut records = file.open_all(passphrase, &["manifest", "keystore", "journal"])?;
        let mut take = || std::mem::take(&mut *records.remove(0));
        let manifest: Manifest = serde_json::from_slice(&take())?;
        let backup = Self { manifest, keystore: take(), journal: take() };
        let head = Contents::parse(&backup.journal)?.head();
        ensure!(head == backup.manifest.head, "the journal in the backup is not the manifest's");
        Ok(backup)
    }

    /// Puts keystore and journal in place, where there is none. It writes no high-water mark: until it
    /// is reconciled, a restored signer signs nothing.
    ///
    /// # Errors
    /// When there is a keystore or a journal already.
    pub fn restore(&self, config: &Config) -> Result<()> {
        durable::create_private_dir(&config.state_dir)?;
        let place = || format!("{} is in use", config.state_dir.display());
        ensure!(!config.journal().try_exists()?, place());
        durable::create(&config.keystore(), &self.keystore).with_context(place)?;
        durable::create(&config.journal(), &self.journal).with_context(place)
    }
}

/// What a drill found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DrillReport {
    /// True when every address came out the same and nothing that was issued since is missing.
    pub ok: bool,
    /// The backup.
    pub backup: PathBuf,
    /// Seconds since it was made.
    pub age_seconds: u64,
    /// Addresses that the backup knows.
    pub issued: usize,
    /// Those that were derived again and are the same.
    pub rederived: usize,
    /// Those that are not.
    pub mismatched: Vec<String>,
    /// Addresses that were issued since, which the mnemonic still derives, but the backup does not
    /// list; `None` where there is no live signer to compare with.
    pub issued_since: Option<usize>,
    /// Journal records of the backup.
    pub records: u64,
    /// Journal records since; `None` as above.
    pub records_since: Option<u64>,
}

/// Restores the backup in a scratch folder, opens the seed there, and derives every issued address
/// again.
///
/// # Errors
/// When the backup cannot be opened or restored.
pub fn drill(config: &Config, from: &Path, passphrase: &[u8], now: u64) -> Result<DrillReport> {
    let backup = Backup::open(from, passphrase)?;
    let scratch = Scratch::new()?;
    let restored = Config { state_dir: scratch.0.join("state"), ..config.clone() };
    backup.restore(&restored)?;
    let keys = keystore::open(&restored.keystore(), passphrase)?;
    let contents = Contents::parse(&std::fs::read(restored.journal())?)?;
    let state = fold(&contents);
    let mismatched: Vec<String> = state
        .issued()
        .filter(|(chain, text, key)| {
            !derive(&keys, chain, *key).is_ok_and(|address| address.as_str() == *text)
        })
        .map(|(chain, text, key)| format!("{chain} {key} {text}"))
        .collect();
    let issued = state.issued().count();
    let live = std::fs::read(config.journal()).ok();
    let live = live.map(|bytes| Contents::parse(&bytes)).transpose()?;
    let related = live.as_ref().is_none_or(|live| live.contains(&contents.head()));
    Ok(DrillReport {
        ok: mismatched.is_empty() && related,
        backup: from.to_owned(),
        age_seconds: now.saturating_sub(backup.manifest.created),
        issued,
        rederived: issued.saturating_sub(mismatched.len()),
        mismatched,
        issued_since: live.as_ref().map(|live| fold(live).issued().count().saturating_sub(issued)),
        records: contents.head().records,
        records_since: live
            .as_ref()
            .map(|live| live.head().records.saturating_sub(contents.head().records)),
    })
}

pub(crate) fn fold(contents: &Contents) -> State {
    let mut state = State::default();
    contents.entries.iter().for_each(|entry| state.apply(entry));
    state
}

/// A private folder that is gone when this is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let name: [u8; 8] = custody::entropy::array()?;
        let path = std::env::temp_dir().join(format!("roadstead-drill-{}", hex::encode(name)));
        durable::create_private_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
