//! Auditing a whole log from its C2SP `tlog-tiles` files, without a word from its keeper's software:
//! every entry, every tile, every root, and every checkpoint or receipt that somebody kept.

use std::collections::BTreeMap;

use crate::checkpoint::{Checkpoint, CheckpointError, TlogProof};
use crate::leaf::Leaf;
use crate::merkle::{Hash, empty_root, leaf_hash, node_hash};
use crate::note::NoteError;
use crate::policy::Policy;
use crate::receipt::Receipt;
use crate::text;

const WIDTH: u64 = 256;

/// Why a log is not what it should be. Each names the first bad index, or where it is to be found.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The log's checkpoint, or one that was kept.
    #[error("the checkpoint cannot be read: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// A signature of a trusted key is false.
    #[error("the checkpoint is forged: {0}")]
    Forged(#[from] NoteError),
    /// No trusted key signed the log's checkpoint.
    #[error("the checkpoint is not signed by a log that you trust for its size: it names {0:?}")]
    UntrustedLog(String),
    /// A kept checkpoint or receipt is of another log.
    #[error("what was kept is of another log, {0:?}")]
    OtherLog(String),
    /// A file is not there.
    #[error("entry {index}: {file} is missing or too short")]
    Missing {
        /// The first index that it should hold.
        index: u64,
        /// The file.
        file: String,
    },
    /// An entry is not the one that the tree holds.
    #[error("entry {index}: it is not the entry that the log committed to")]
    Entry {
        /// Its index.
        index: u64,
    },
    /// An entry is no record.
    #[error("entry {index}: {reason}")]
    Leaf {
        /// Its index.
        index: u64,
        /// What is wrong.
        reason: String,
    },
    /// A tile does not follow from the one below it.
    #[error("entries {first} to {last}: a tile of level {level} does not follow from them")]
    Tile {
        /// Of the tile that is wrong, or right while those below it were rewritten.
        level: u32,
        /// The first index below it.
        first: u64,
        /// The last index below it.
        last: u64,
    },
    /// The tree has another root than a checkpoint says: entries and tiles were rewritten.
    #[error(
        "entries {first} to {last}: the log has another root at {size} entries than was signed"
    )]
    Root {
        /// The size of the checkpoint.
        size: u64,
        /// The size of the largest smaller checkpoint that is right.
        first: u64,
        /// The last index that the checkpoint covers.
        last: u64,
    },
    /// The log is smaller than it once was.
    #[error("entry {size}: the log ends here, and once had {known} entries")]
    RolledBack {
        /// Its size: the first index that is missing.
        size: u64,
        /// The size that was kept.
        known: u64,
    },
}

/// What somebody kept of the log: roots at sizes, and leaves at indices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    roots: BTreeMap<u64, Hash>,
    leaves: BTreeMap<u64, Hash>,
    origins: Vec<String>,
    forked: Option<u64>,
}

impl Known {
    /// Adds a checkpoint.
    pub fn add_checkpoint(&mut self, checkpoint: &Checkpoint) {
        self.origins.push(checkpoint.origin.clone());
        let before = self.roots.insert(checkpoint.size, checkpoint.root);
        // Two signed roots at one size need no log to be wrong.
        if before.is_some_and(|before| before != checkpoint.root) {
            self.forked = Some(checkpoint.size);
        }
    }

    /// Adds what a receipt holds: its record's leaf, and its checkpoints.
    ///
    /// # Errors
    /// [`CheckpointError`] when it cannot be read; whether it is true is not judged here.
    pub fn add_receipt(&mut self, receipt: &Receipt) -> Result<(), CheckpointError> {
        let proof = TlogProof::parse(&receipt.proof)?;
        let leaf = text::base64(&receipt.record.leaf).unwrap_or_default();
        self.leaves.insert(proof.index, leaf_hash(&leaf));
        self.add_checkpoint(&proof.checkpoint);
        for note in receipt.anchors.iter().filter_map(|anchor| anchor.checkpoint.as_ref()) {
            self.add_checkpoint(&Checkpoint::parse(note)?);
        }
        Ok(())
    }
}

/// What an audit found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogAudit {
    /// The log.
    pub origin: String,
    /// The number of entries, all of which are right.
    pub size: u64,
    /// How many roots were compared, the newest included.
    pub roots: u64,
    /// Whether a trusted key signed the newest checkpoint.
    pub signed: bool,
}

/// Audits a log whose files `read` gives by their paths: `checkpoint`, `tile/0/000`,
/// `tile/entries/000`, ….
///
/// # Errors
/// [`LogError`], naming the first bad index.
pub fn audit(
    read: impl Fn(&str) -> Option<Vec<u8>>,
    policy: &Policy,
    known: &Known,
) -> Result<LogAudit, LogError> {
    let missing = || LogError::Missing { index: 0, file: "checkpoint".to_owned() };
    let note = read("checkpoint").and_then(|bytes| String::from_utf8(bytes).ok());
    let newest = Checkpoint::parse(&note.ok_or_else(missing)?)?;
    let signed = is_signed(&newest, policy)?;
    if let Some(other) = known.origins.iter().find(|origin| **origin != newest.origin) {
        return Err(LogError::OtherLog(other.clone()));
    }
    let mut known = known.clone();
    known.add_checkpoint(&newest);
    let mut audit = Audit { read, size: newest.size, peaks: Vec::new(), good: 0, roots: 0 };
    audit.run(&known)?;
    let largest = known.roots.last_key_value().map_or(0, |(size, _)| *size);
    if largest > newest.size {
        return Err(LogError::RolledBack { size: newest.size, known: largest });
    }
    if let Some(size) = known.forked {
        let first = known.roots.range(..size).next_back().map_or(0, |(size, _)| *size);
        return Err(LogError::Root { size, first, last: size.saturating_sub(1) });
    }
    Ok(LogAudit { origin: newest.origin, size: newest.size, roots: audit.roots, signed })
}

fn is_signed(checkpoint: &Checkpoint, policy: &Policy) -> Result<bool, LogError> {
    let signers = policy.signers(checkpoint)?;
    let signers = signers.ok_or_else(|| LogError::UntrustedLog(checkpoint.origin.clone()))?;
    Ok(!signers.is_empty())
}

struct Audit<R> {
    read: R,
    size: u64,
    /// Complete subtrees from the left: the level and the root of each.
    peaks: Vec<(u32, Hash)>,
    /// The largest size whose root was right.
    good: u64,
    roots: u64,
}

impl<R: Fn(&str) -> Option<Vec<u8>>> Audit<R> {
    fn run(&mut self, known: &Known) -> Result<(), LogError> {
        self.check_root(0, known)?;
        // Roots of full tiles, level by level: what the next level must hold.
        let mut level = self.check_entries(known)?;
        let mut number = 1;
        while !level.is_empty() {
            level = self.check_level(number, &level)?;
            number += 1;
        }
        Ok(())
    }

    fn check_entries(&mut self, known: &Known) -> Result<Vec<Hash>, LogError> {
        let mut roots = Vec::new();
        for tile in 0..self.size.div_ceil(WIDTH) {
            let first = tile * WIDTH;
            let width = WIDTH.min(self.size - first);
            let hashes = self.tile("0", tile, width, first)?;
            let entries = self.entries(tile, width, first)?;
            for (index, (entry, hash)) in (first..).zip(entries.iter().zip(&hashes)) {
                self.check_entry(index, entry, hash, known)?;
            }
            if width == WIDTH {
                roots.push(complete_root(&hashes));
            }
        }
        Ok(roots)
    }

    fn check_entry(
        &mut self,
        index: u64,
        entry: &[u8],
        hash: &Hash,
        known: &Known,
    ) -> Result<(), LogError> {
        let found = leaf_hash(entry);
        if found != *hash || known.leaves.get(&index).is_some_and(|kept| *kept != found) {
            return Err(LogError::Entry { index });
        }
        Leaf::parse(entry).map_err(|error| LogError::Leaf { index, reason: error.to_string() })?;
        self.push(found);
        self.check_root(index + 1, known)
    }

    fn push(&mut self, leaf: Hash) {
        let (mut level, mut hash) = (0, leaf);
        while let Some(&(_, left)) = self.peaks.last().filter(|(other, _)| *other == level) {
            self.peaks.pop();
            hash = node_hash(&left, &hash);
            level += 1;
        }
        self.peaks.push((level, hash));
    }

    fn check_root(&mut self, size: u64, known: &Known) -> Result<(), LogError> {
        let Some(wanted) = known.roots.get(&size) else { return Ok(()) };
        let mut peaks = self.peaks.iter().rev().map(|(_, hash)| *hash);
        let last = peaks.next().unwrap_or_else(empty_root);
        let root = peaks.fold(last, |right, left| node_hash(&left, &right));
        if root != *wanted {
            return Err(LogError::Root { size, first: self.good, last: size.saturating_sub(1) });
        }
        self.good = size;
        self.roots += 1;
        Ok(())
    }

    /// Compares a level with what it must hold; answers what the next one must.
    fn check_level(&self, level: u32, wanted: &[Hash]) -> Result<Vec<Hash>, LogError> {
        let below = WIDTH.saturating_pow(level);
        let mut roots = Vec::new();
        for (tile, wanted) in (0..).zip(wanted.chunks(256)) {
            let first = tile * WIDTH * below;
            let hashes = self.tile(&level.to_string(), tile, wanted.len() as u64, first)?;
            for (place, (found, wanted)) in (0..).zip(hashes.iter().zip(wanted)) {
                if found != wanted {
                    let first = first + place * below;
                    return Err(LogError::Tile { level, first, last: first + below - 1 });
                }
            }
            if wanted.len() == 256 {
                roots.push(complete_root(&hashes));
            }
        }
        Ok(roots)
    }

    /// The file of a tile, or of the full tile that has replaced it.
    fn file(&self, level: &str, tile: u64, width: u64) -> (String, Option<Vec<u8>>) {
        let full = format!("tile/{level}/{}", number_path(tile));
        if width == WIDTH {
            let bytes = (self.read)(&full);
            return (full, bytes);
        }
        let part = format!("{full}.p/{width}");
        let bytes = (self.read)(&part).or_else(|| (self.read)(&full));
        (part, bytes)
    }

    fn tile(&self, level: &str, tile: u64, width: u64, index: u64) -> Result<Vec<Hash>, LogError> {
        let (file, bytes) = self.file(level, tile, width);
        let bytes = bytes.unwrap_or_default();
        let hashes: Vec<Hash> =
            bytes.chunks_exact(32).map_while(|hash| hash.try_into().ok()).collect();
        let hashes = usize::try_from(width).ok().and_then(|width| hashes.get(..width));
        Ok(hashes.ok_or(LogError::Missing { index, file })?.to_vec())
    }

    fn entries(&self, tile: u64, width: u64, first: u64) -> Result<Vec<Vec<u8>>, LogError> {
        let (file, bytes) = self.file("entries", tile, width);
        let bytes = bytes.unwrap_or_default();
        let mut rest = bytes.as_slice();
        let mut entries = Vec::new();
        for index in first..first + width {
            let entry = rest.split_first_chunk::<2>().and_then(|(length, rest)| {
                rest.split_at_checked(u16::from_be_bytes(*length).into())
            });
            let Some((entry, after)) = entry else {
                return Err(LogError::Missing { index, file });
            };
            entries.push(entry.to_vec());
            rest = after;
        }
        Ok(entries)
    }
}

/// The path of a tile's number: `x001/x234/067`.
fn number_path(tile: u64) -> String {
    let mut path = format!("{:03}", tile % 1_000);
    let mut rest = tile / 1_000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1_000);
        rest /= 1_000;
    }
    path
}

fn complete_root(hashes: &[Hash]) -> Hash {
    let mut level = hashes.to_vec();
    while level.len() > 1 {
        level = level.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
    }
    level.first().copied().unwrap_or_default()
}
