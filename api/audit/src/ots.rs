//! OpenTimestamps proofs of Bitcoin anchors: what the public `ots` client verifies against a node.
//!
//! The file that is stamped is the checkpoint's text. Its SHA-256 is in the transaction, so the proof
//! is the way from it to the block's Merkle root: no calendar server has a part in it.

use api_store::Tx;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::repo::{anchors, trees};
use crate::{AuditError, AuditLog};

const MAGIC: &[u8] = b"\x00OpenTimestamps\x00\x00Proof\x00\xbf\x89\xe2\xe8\x84\xe8\x92\x94\x01";
const SHA256: u8 = 0x08;
const APPEND: u8 = 0xf0;
const PREPEND: u8 = 0xf1;
const ATTESTATION: u8 = 0x00;
/// Names an attestation that the digest is the Merkle root of the block at a height.
const BITCOIN_BLOCK: [u8; 8] = [0x05, 0x88, 0x96, 0x0d, 0x73, 0xd7, 0x19, 0x01];

/// A file and its detached timestamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ots {
    /// The checkpoint's text: save it as `checkpoint.txt`.
    pub text: String,
    /// The proof: save it beside it as `checkpoint.txt.ots`.
    pub proof: Vec<u8>,
}

/// The part of Bitcoin's evidence that is needed.
#[derive(Deserialize)]
struct Evidence {
    #[serde(rename = "type")]
    family: String,
    #[serde(default)]
    transaction: String,
    #[serde(default)]
    branch: Vec<String>,
    #[serde(default)]
    position: u64,
    #[serde(default)]
    height: u64,
}

impl AuditLog {
    /// The OpenTimestamps proof of the first checkpoint of at least `size` leaves that is anchored on
    /// Bitcoin, with its size; `None` while there is none.
    ///
    /// # Errors
    /// [`AuditError::Store`].
    pub async fn ots_from(&self, tx: &mut Tx, size: u64) -> Result<Option<(u64, Ots)>, AuditError> {
        for anchor in anchors::from_size(tx, self.id, size).await? {
            if anchor.chain.starts_with("bip122:")
                && anchor.evidence.is_some()
                && let Some(ots) = self.ots(tx, anchor.size).await?
            {
                return Ok(Some((anchor.size, ots)));
            }
        }
        Ok(None)
    }

    /// The OpenTimestamps proof of the checkpoint of `size` leaves; `None` while it is not anchored
    /// on Bitcoin.
    ///
    /// # Errors
    /// [`AuditError::Store`].
    pub async fn ots(&self, tx: &mut Tx, size: u64) -> Result<Option<Ots>, AuditError> {
        let checkpoint = trees::checkpoint_from(tx, self.id, size).await?;
        let Some(checkpoint) = checkpoint.filter(|checkpoint| checkpoint.size == size) else {
            return Ok(None);
        };
        let text = self.head_at(size, checkpoint.root).text();
        for anchor in anchors::from_size(tx, self.id, size).await? {
            let Some(evidence) = anchor.evidence.filter(|_| anchor.size == size) else { continue };
            let evidence: Evidence = serde_json::from_str(&evidence)
                .map_err(|error| AuditError::damaged(format!("evidence: {error}")))?;
            if evidence.family == "bitcoin" {
                let proof = proof(&text, &evidence)
                    .ok_or_else(|| AuditError::damaged("Bitcoin's evidence"))?;
                return Ok(Some(Ots { text, proof }));
            }
        }
        Ok(None)
    }
}

fn proof(text: &str, evidence: &Evidence) -> Option<Vec<u8>> {
    let digest = Sha256::digest(text);
    let transaction = hex::decode(&evidence.transaction).ok()?;
    let at = transaction.windows(32).position(|window| window == digest.as_slice())?;
    let mut proof = [MAGIC, &[SHA256], &digest].concat();
    operation(&mut proof, PREPEND, &transaction[..at]);
    operation(&mut proof, APPEND, transaction.get(at + 32..)?);
    proof.extend([SHA256, SHA256]);
    for (level, sibling) in evidence.branch.iter().enumerate() {
        let is_right = evidence.position.checked_shr(u32::try_from(level).ok()?)? & 1 == 1;
        let kind = if is_right { PREPEND } else { APPEND };
        operation(&mut proof, kind, &hex::decode(sibling).ok()?);
        proof.extend([SHA256, SHA256]);
    }
    proof.push(ATTESTATION);
    proof.extend(BITCOIN_BLOCK);
    let height = variable(evidence.height);
    proof.extend(variable(height.len() as u64));
    proof.extend(height);
    Some(proof)
}

fn operation(proof: &mut Vec<u8>, kind: u8, argument: &[u8]) {
    proof.push(kind);
    proof.extend(variable(argument.len() as u64));
    proof.extend(argument);
}

/// A number in LEB128.
fn variable(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}
