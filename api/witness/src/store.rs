//! What a witness remembers, in a folder: its key, and for each log the last checkpoint cosigned.
//!
//! ```text
//! key               the signing key, for the owner alone
//! lock              held by the one process that works here
//! logs/<hash>.json  a log: origin, keys, size, root, the checkpoint's note
//! ```
//!
//! A log's file is replaced whole: written beside, synced, renamed, and the folder synced. A folder
//! that lost a log's file does not know that log, and so signs nothing for it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use api_verify::merkle::{Hash, empty_root};
use api_verify::note::{KeyKind, VerifierKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::key::{KeyError, WitnessKey};

/// Why the folder cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// Another process works in the folder.
    #[error("another process works in this folder")]
    Locked,
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A log's file is not what was written.
    #[error("{}: {reason}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// What was asked for does not go together with what is there.
    #[error("{0}")]
    Refused(&'static str),
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> StoreError + '_ {
    move |error| StoreError::File { path: path.to_owned(), error }
}

/// A log that is watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchedLog {
    /// Its origin line.
    pub origin: String,
    /// The verifier keys that may sign for it.
    pub keys: Vec<String>,
    /// The size of the last checkpoint cosigned; 0 before the first.
    pub size: u64,
    /// Its root, hex.
    pub root: String,
    /// The note that was cosigned; evidence, should the log ever fork.
    pub note: Option<String>,
}

impl WatchedLog {
    /// The root of the last checkpoint cosigned.
    #[must_use]
    pub fn root(&self) -> Option<Hash> {
        hex::decode(&self.root).ok()?.try_into().ok()
    }

    pub(crate) fn verifier_keys(&self) -> Vec<VerifierKey> {
        self.keys.iter().filter_map(|key| key.parse().ok()).collect()
    }

    fn is_whole(&self) -> bool {
        let note_fits = match &self.note {
            None => self.size == 0,
            Some(note) => api_verify::checkpoint::Checkpoint::parse(note).is_ok_and(|note| {
                (note.origin, note.size, Some(note.root))
                    == (self.origin.clone(), self.size, self.root())
            }),
        };
        note_fits && self.root().is_some() && self.verifier_keys().len() == self.keys.len()
    }
}

/// The folder, held by this process.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    _lock: File,
}

impl Store {
    /// Makes a folder with a new key; answers the verifier key.
    ///
    /// # Errors
    /// [`StoreError`], also when there is a key already.
    pub fn init(folder: &Path, name: &str) -> Result<String, StoreError> {
        let key = WitnessKey::generate(name)?;
        let logs = folder.join("logs");
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&logs);
        made.map_err(file_error(&logs))?;
        let path = folder.join("key");
        let secret = key.secret();
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| {
                file.write_all(secret.as_bytes())?;
                file.write_all(b"\n")?;
                file.sync_all()
            })
            .and_then(|()| sync_folder(folder))
            .map_err(file_error(&path))?;
        Ok(key.verifier_key())
    }

    /// Opens a folder for this process alone.
    ///
    /// # Errors
    /// [`StoreError::Locked`] while another has it; [`StoreError`] when a file in it is not whole.
    pub fn open(folder: &Path) -> Result<(Self, WitnessKey), StoreError> {
        let path = folder.join("key");
        let secret = Zeroizing::new(fs::read_to_string(&path).map_err(file_error(&path))?);
        let key: WitnessKey = secret.parse()?;
        let path = folder.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(file_error(&path))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => StoreError::Locked,
            TryLockError::Error(error) => StoreError::File { path, error },
        })?;
        let store = Self { folder: folder.to_owned(), _lock: lock };
        store.logs()?;
        Ok((store, key))
    }

    /// Watches a log from now on, or accepts one more key of it.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the key is not a log's, or is there already.
    pub fn add_log(&self, key: &VerifierKey) -> Result<WatchedLog, StoreError> {
        if key.kind != KeyKind::Log {
            return Err(StoreError::Refused("that is a witness's key, not a log's"));
        }
        let new = || WatchedLog {
            origin: key.name.clone(),
            keys: Vec::new(),
            size: 0,
            root: hex::encode(empty_root()),
            note: None,
        };
        let mut log = self.log(&key.name)?.unwrap_or_else(new);
        if log.keys.contains(&key.to_string()) {
            return Err(StoreError::Refused("this key is there already"));
        }
        log.keys.push(key.to_string());
        self.save(&log)?;
        Ok(log)
    }

    fn path(&self, origin: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{}.json", hex::encode(Sha256::digest(origin))))
    }

    /// The log of this origin, if it is watched.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn log(&self, origin: &str) -> Result<Option<WatchedLog>, StoreError> {
        let path = self.path(origin);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::File { path, error }),
            Ok(bytes) => read_log(&path, &bytes).map(Some),
        }
    }

    /// All logs that are watched.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn logs(&self) -> Result<Vec<WatchedLog>, StoreError> {
        let folder = self.folder.join("logs");
        let mut logs = Vec::new();
        for entry in fs::read_dir(&folder).map_err(file_error(&folder))? {
            let path = entry.map_err(file_error(&folder))?.path();
            // What a killed process left half written was never renamed.
            if path.extension().is_some_and(|extension| extension == "json") {
                logs.push(read_log(&path, &fs::read(&path).map_err(file_error(&path))?)?);
            }
        }
        logs.sort_by(|one, other| one.origin.cmp(&other.origin));
        Ok(logs)
    }

    /// Replaces a log's file. When this answers, the disk has it.
    ///
    /// # Errors
    /// [`StoreError`]; the disk has the old state or the new one then.
    pub fn save(&self, log: &WatchedLog) -> Result<(), StoreError> {
        let path = self.path(&log.origin);
        let damaged = |reason| StoreError::Damaged { path: path.clone(), reason };
        let bytes = serde_json::to_vec_pretty(log).map_err(|error| damaged(error.to_string()))?;
        let new = path.with_extension("new");
        File::create(&new)
            .and_then(|mut file| {
                file.write_all(&bytes)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&new, &path))
            .and_then(|()| sync_folder(&self.folder.join("logs")))
            .map_err(file_error(&path))
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn read_log(path: &Path, bytes: &[u8]) -> Result<WatchedLog, StoreError> {
    let damaged = |reason: String| StoreError::Damaged { path: path.to_owned(), reason };
    let log: WatchedLog =
        serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    if log.is_whole() { Ok(log) } else { Err(damaged("its parts do not fit together".to_owned())) }
}
