//! The body of `add-checkpoint`.

use std::str::FromStr;

use api_verify::checkpoint::Checkpoint;
use api_verify::merkle::Hash;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::witness::Refusal;

/// More than any consistency proof has.
const PROOF_LINES_MAX: usize = 63;

/// A request to cosign: `old <size>`, the consistency proof, an empty line, and the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size that the witness cosigned last, as the log believes.
    pub old: u64,
    /// The consistency proof from there (RFC 6962 section 2.1.2).
    pub proof: Vec<Hash>,
    /// The signed note.
    pub note: String,
    /// The same, read.
    pub checkpoint: Checkpoint,
}

impl AddCheckpoint {
    /// Puts a request together.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] when the note is no checkpoint.
    pub fn new(old: u64, proof: Vec<Hash>, note: &str) -> Result<Self, Refusal> {
        let checkpoint =
            Checkpoint::parse(note).map_err(|error| Refusal::Malformed(error.to_string()))?;
        Ok(Self { old, proof, note: note.to_owned(), checkpoint })
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> String {
        let mut lines = vec![format!("old {}", self.old)];
        lines.extend(self.proof.iter().map(|hash| STANDARD.encode(hash)));
        format!("{}\n\n{}", lines.join("\n"), self.note)
    }
}

impl FromStr for AddCheckpoint {
    type Err = Refusal;

    fn from_str(body: &str) -> Result<Self, Refusal> {
        let malformed = |what: &str| Refusal::Malformed(what.to_owned());
        let (head, note) =
            body.split_once("\n\n").ok_or_else(|| malformed("there is no checkpoint"))?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(decimal);
        let old = old.ok_or_else(|| malformed("the first line is not `old <size>`"))?;
        let proof: Option<Vec<Hash>> =
            lines.map(|line| STANDARD.decode(line).ok()?.try_into().ok()).collect();
        let proof = proof.ok_or_else(|| malformed("a line of the proof is not a hash"))?;
        if proof.len() > PROOF_LINES_MAX {
            return Err(malformed("the proof has more than 63 lines"));
        }
        Self::new(old, proof, note)
    }
}

/// A decimal number without sign or leading zeros.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}
