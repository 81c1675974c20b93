//! C2SP `tlog-checkpoint` and `tlog-proof`.

use sha2::{Digest as _, Sha256};

use crate::merkle::{Hash, MerkleError, verify_inclusion};
use crate::note::{NoteError, SignedNote};
use crate::text;

/// An inclusion proof in a tree of 2^64 leaves has no more hashes.
const PROOF_HASHES_MAX: usize = 64;

/// Why a text is not a checkpoint or a proof.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note around it.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The note's text is not a checkpoint.
    #[error("not a checkpoint: {0}")]
    Checkpoint(&'static str),
    /// It is not a `.tlog-proof`.
    #[error("not a tlog-proof: {0}")]
    Proof(&'static str),
}

/// The state of a log at one size, as a note says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// The number of leaves.
    pub size: u64,
    /// The RFC 6962 root.
    pub root: Hash,
    /// The note that carries it.
    pub note: SignedNote,
}

impl Checkpoint {
    /// Reads a signed note whose text is a checkpoint. Extension lines are signed and ignored.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn parse(note: &str) -> Result<Self, CheckpointError> {
        let note = SignedNote::parse(note)?;
        let malformed = CheckpointError::Checkpoint;
        let body = note.text().strip_suffix('\n').ok_or(malformed("it has no lines"))?;
        let mut lines = body.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(malformed("it has fewer than three lines"));
        };
        if origin.is_empty() || lines.any(str::is_empty) {
            return Err(malformed("a line is empty"));
        }
        let size = text::decimal(size).ok_or(malformed("its size is not a number"))?;
        let root = text::base64_hash(root).ok_or(malformed("its root is not a hash"))?;
        Ok(Self { origin: origin.to_owned(), size, root, note })
    }

    /// SHA-256 of the origin line, by which anchors name the log.
    #[must_use]
    pub fn origin_hash(&self) -> Hash {
        Sha256::digest(&self.origin).into()
    }
}

/// A C2SP `.tlog-proof`: where a record is in a log, and the checkpoint that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// The record's index.
    pub index: u64,
    /// From the leaf's sibling up.
    pub path: Vec<Hash>,
    /// The tree.
    pub checkpoint: Checkpoint,
}

impl TlogProof {
    /// Reads a proof. The `extra` line is allowed and ignored, being unauthenticated.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn parse(proof: &str) -> Result<Self, CheckpointError> {
        let malformed = CheckpointError::Proof;
        let (head, checkpoint) =
            proof.split_once("\n\n").ok_or(malformed("it has no checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some("c2sp.org/tlog-proof@v1") {
            return Err(malformed("its first line is not c2sp.org/tlog-proof@v1"));
        }
        if let Some(extra) = lines.next_if(|line| line.starts_with("extra ")) {
            text::base64(&extra["extra ".len()..]).ok_or(malformed("its extra is not base64"))?;
        }
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        let index = index.and_then(text::decimal).ok_or(malformed("it has no index"))?;
        let path: Option<Vec<Hash>> = lines.map(text::base64_hash).collect();
        let path = path.ok_or(malformed("a line of its path is not a hash"))?;
        if path.len() > PROOF_HASHES_MAX {
            return Err(malformed("its path is too long"));
        }
        Ok(Self { index, path, checkpoint: Checkpoint::parse(checkpoint)? })
    }

    /// Checks that the leaf is where the proof says.
    ///
    /// # Errors
    /// [`MerkleError`] when it is not.
    pub fn check(&self, leaf: &Hash) -> Result<(), MerkleError> {
        let Checkpoint { size, root, .. } = &self.checkpoint;
        verify_inclusion(self.index, *size, leaf, &self.path, root)
    }
}
