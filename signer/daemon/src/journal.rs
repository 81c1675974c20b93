//! The append-only journal and its high-water mark.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use custody::durable;
use sha2::{Digest, Sha256};
use signer_protocol::JournalHead;

use crate::record::Entry;

/// The head of an empty journal.
pub const EMPTY: JournalHead = JournalHead { records: 0, hash: [0; 32] };

/// The append-only journal: a line for each record, its hash and its JSON. The hash is SHA-256 of the
/// hash before it and the JSON, so a line can be neither changed nor left out. A record counts once it
/// is on the disk; after a failed write nothing more is written until a restart has read the file.
pub struct Journal {
    file: File,
    mark: Mark,
    /// The hash after each record.
    hashes: Vec<[u8; 32]>,
    /// False while the journal may be an old copy: the mark is then evidence, and left alone.
    marking: bool,
    failed: bool,
}

/// The high-water mark: the newest head, kept apart from the journal.
struct Mark(PathBuf);

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system's.
    #[error("{path}: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A complete line is not what was written.
    #[error("line {0} of the journal was changed or is damaged")]
    Damaged(u64),
    /// A write failed before; it is unknown what the disk holds.
    #[error("a write to the journal failed; restart the signer once the disk is sound")]
    Failed,
}

/// How the journal stands to its high-water mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It contains the mark.
    Current,
    /// There is no mark, or one that the journal does not contain: it may be an old copy.
    Behind(Option<JournalHead>),
}

/// What is in a journal file.
pub struct Contents {
    /// In order.
    pub entries: Vec<Entry>,
    hashes: Vec<[u8; 32]>,
    /// Bytes of whole lines.
    whole_bytes: u64,
}

impl Contents {
    /// Reads and checks a journal. A last line without its newline was never acknowledged (a crash cut
    /// it) and does not count.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when any other line is not as it was written.
    pub fn parse(bytes: &[u8]) -> Result<Self, JournalError> {
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let (mut entries, mut hashes) = (Vec::new(), Vec::<[u8; 32]>::new());
        for line in bytes[..whole].split_inclusive(|byte| *byte == b'\n') {
            let damaged = || JournalError::Damaged(hashes.len() as u64 + 1);
            let (hash, json) = split_line(line).ok_or_else(damaged)?;
            let before = hashes.last().copied().unwrap_or(EMPTY.hash);
            if chained(&before, json) != hash {
                return Err(damaged());
            }
            entries.push(serde_json::from_slice(json).map_err(|_| damaged())?);
            hashes.push(hash);
        }
        Ok(Self { entries, hashes, whole_bytes: whole as u64 })
    }

    /// Its head.
    #[must_use]
    pub fn head(&self) -> JournalHead {
        head(&self.hashes)
    }

    /// True when `seen` is a place in it.
    #[must_use]
    pub fn contains(&self, seen: &JournalHead) -> bool {
        contains(&self.hashes, seen)
    }
}

impl Journal {
    /// Writes an empty journal and its mark, where there is none.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn create(path: &Path, high_water_dir: &Path) -> Result<(), JournalError> {
        durable::create(path, b"").map_err(|error| at(path, error))?;
        durable::create_private_dir(high_water_dir).map_err(|error| at(high_water_dir, error))?;
        Mark::in_dir(high_water_dir).write(&EMPTY)
    }

    /// Opens a journal for writing, cuts off what a crash left unfinished, and gives its contents.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(path: &Path, high_water_dir: &Path) -> Result<(Self, Contents), JournalError> {
        let failed = |error| at(path, error);
        let mut file =
            OpenOptions::new().read(true).write(true).mode(0o600).open(path).map_err(failed)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let contents = Contents::parse(&bytes)?;
        if contents.whole_bytes < bytes.len() as u64 {
            tracing::warn!("the journal's last line was cut by a crash and is removed");
            file.set_len(contents.whole_bytes).map_err(failed)?;
        }
        // Lines that a crash left in the page cache alone are made durable before they are believed.
        file.sync_all().map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        let hashes = contents.hashes.clone();
        let mark = Mark::in_dir(high_water_dir);
        let mut journal = Self { file, mark, hashes, marking: false, failed: false };
        journal.marking = journal.standing()? == Standing::Current;
        Ok((journal, contents))
    }

    /// Appends `entry`, on the disk when this returns, and moves the mark after it.
    ///
    /// # Errors
    /// [`JournalError`]; from then on every call fails.
    pub fn append(&mut self, entry: &Entry) -> Result<JournalHead, JournalError> {
        if self.failed {
            return Err(JournalError::Failed);
        }
        self.failed = true;
        let json = serde_json::to_vec(entry).map_err(|_| JournalError::Failed)?;
        let hash = chained(&self.head().hash, &json);
        let mut line = hex::encode(hash).into_bytes();
        line.push(b' ');
        line.extend_from_slice(&json);
        line.push(b'\n');
        self.file
            .write_all(&line)
            .and_then(|()| self.file.sync_all())
            .map_err(|error| JournalError::Io { path: PathBuf::from("journal"), error })?;
        self.hashes.push(hash);
        if self.marking {
            self.mark.write(&self.head())?;
        }
        self.failed = false;
        Ok(self.head())
    }

    /// From now on this journal is the one that counts: moves the mark to its head.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn accept(&mut self) -> Result<(), JournalError> {
        self.mark.write(&self.head())?;
        self.marking = true;
        Ok(())
    }

    /// The newest head.
    #[must_use]
    pub fn head(&self) -> JournalHead {
        head(&self.hashes)
    }

    /// True when `seen` is a place in this journal.
    #[must_use]
    pub fn contains(&self, seen: &JournalHead) -> bool {
        contains(&self.hashes, seen)
    }

    /// Compares the journal with its mark.
    ///
    /// # Errors
    /// [`JournalError::Io`] when the mark cannot be read.
    pub fn standing(&self) -> Result<Standing, JournalError> {
        Ok(match self.mark.read()? {
            Some(mark) if self.contains(&mark) => Standing::Current,
            mark => Standing::Behind(mark),
        })
    }
}

impl Mark {
    fn in_dir(dir: &Path) -> Self {
        Self(dir.join("high-water.json"))
    }

    fn read(&self) -> Result<Option<JournalHead>, JournalError> {
        match std::fs::read(&self.0) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| at(&self.0, io::Error::other(error))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at(&self.0, error)),
        }
    }

    fn write(&self, head: &JournalHead) -> Result<(), JournalError> {
        let json = serde_json::to_vec(head).map_err(|_| JournalError::Failed)?;
        durable::replace(&self.0, &json).map_err(|error| at(&self.0, error))
    }
}

fn split_line(line: &[u8]) -> Option<([u8; 32], &[u8])> {
    let line = line.strip_suffix(b"\n")?;
    let (hash, json) = line.split_at_checked(64)?;
    let mut bytes = [0; 32];
    hex::decode_to_slice(hash, &mut bytes).ok()?;
    Some((bytes, json.strip_prefix(b" ")?))
}

fn chained(before: &[u8; 32], json: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(before).chain_update(json).finalize().into()
}

fn head(hashes: &[[u8; 32]]) -> JournalHead {
    match hashes.last() {
        Some(hash) => JournalHead { records: hashes.len() as u64, hash: *hash },
        None => EMPTY,
    }
}

fn contains(hashes: &[[u8; 32]], seen: &JournalHead) -> bool {
    match usize::try_from(seen.records) {
        Ok(0) => *seen == EMPTY,
        Ok(records) => hashes.get(records - 1) == Some(&seen.hash),
        Err(_) => false,
    }
}

fn at(path: &Path, error: io::Error) -> JournalError {
    JournalError::Io { path: path.to_owned(), error }
}
