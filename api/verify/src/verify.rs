//! The whole examination of a receipt.

use crate::anchor::{self, AnchorError, AnchorReport, Commitment, TrustedBlocks};
use crate::checkpoint::{Checkpoint, CheckpointError, TlogProof};
use crate::completeness::{self, CompletenessError};
use crate::leaf::{Leaf, LeafError};
use crate::merkle::{Hash, MerkleError, leaf_hash, verify_consistency};
use crate::note::NoteError;
use crate::policy::Policy;
use crate::receipt::{Anchor, Completeness, FORMAT, Receipt, Record};
use crate::report::{CompletenessReport, Cosignature, LogReport, RecordReport, Report};
use crate::text;

/// Why a receipt is refused: something that it says is not so.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It is no receipt of a version that this verifier knows.
    #[error("this is not a receipt that can be read: {0}")]
    Malformed(String),
    /// The record's leaf or a disclosed field.
    #[error("the record is not what was logged: {0}")]
    Record(#[from] LeafError),
    /// The proof is not one.
    #[error("the proof cannot be read: {0}")]
    Proof(#[from] CheckpointError),
    /// The record is not in the log at that place.
    #[error("the record is not in the log: {0}")]
    NotInLog(MerkleError),
    /// The signature of a key that the reader trusts is false.
    #[error("the checkpoint is forged: {0}")]
    Forged(#[from] NoteError),
    /// The log is none of those that the reader trusts.
    #[error("the checkpoint is not signed by a log that you trust for its size: it names {0:?}")]
    UntrustedLog(String),
    /// An anchored checkpoint does not continue the one of the proof.
    #[error("anchor {number}: its checkpoint does not continue the log of the proof: {reason}")]
    Fork {
        /// From one.
        number: usize,
        /// What is wrong.
        reason: String,
    },
    /// An anchor is false.
    #[error("anchor {number} on {chain} is false: {error}")]
    Anchor {
        /// From one.
        number: usize,
        /// CAIP-2 id.
        chain: String,
        /// What is wrong.
        error: AnchorError,
    },
    /// An anchor is on a chain by a contract that the policy does not name.
    #[error("anchor {number} on {chain} was recorded by another contract than your policy names")]
    Contract {
        /// From one.
        number: usize,
        /// CAIP-2 id.
        chain: String,
    },
    /// The stream's events.
    #[error("the events are not proved to be complete: {0}")]
    Completeness(#[from] CompletenessError),
}

impl VerifyError {
    /// A stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Record(_) => "record",
            Self::Proof(_) => "proof",
            Self::NotInLog(_) => "not_in_log",
            Self::Forged(_) => "forged",
            Self::UntrustedLog(_) => "untrusted_log",
            Self::Fork { .. } => "fork",
            Self::Anchor { .. } => "anchor",
            Self::Contract { .. } => "contract",
            Self::Completeness(_) => "completeness",
        }
    }
}

/// Reads a receipt.
///
/// # Errors
/// [`VerifyError::Malformed`].
pub fn parse(json: &str) -> Result<Receipt, VerifyError> {
    let receipt: Receipt =
        serde_json::from_str(json).map_err(|error| VerifyError::Malformed(error.to_string()))?;
    if receipt.format != FORMAT {
        return Err(VerifyError::Malformed(format!("its format is {:?}", receipt.format)));
    }
    Ok(receipt)
}

/// Examines a receipt, offline. What the report shows as proved is so; what is missing for the
/// policy is in [`Report::shortfalls`].
///
/// # Errors
/// [`VerifyError`] when anything that the receipt says is false.
pub fn examine(
    receipt: &Receipt,
    policy: &Policy,
    trusted: &TrustedBlocks,
) -> Result<Report, VerifyError> {
    let (leaf, record) = open_record(&receipt.record)?;
    let proof = TlogProof::parse(&receipt.proof)?;
    proof.check(&leaf).map_err(VerifyError::NotInLog)?;
    let checkpoint = &proof.checkpoint;
    let signed_by = signers(checkpoint, policy)?;
    let witnessed_by = cosigners(checkpoint, policy)?;
    let completeness = receipt
        .completeness
        .as_ref()
        .map(|events| complete(events, &leaf, &record, checkpoint))
        .transpose()?;
    let anchors = (1..)
        .zip(&receipt.anchors)
        .map(|(number, anchor)| check_anchor(number, anchor, checkpoint, policy, trusted))
        .collect::<Result<Vec<AnchorReport>, VerifyError>>()?;
    let log = LogReport {
        origin: checkpoint.origin.clone(),
        index: proof.index,
        size: checkpoint.size,
        root: hex::encode(checkpoint.root),
        checkpoint: hex::encode(checkpoint.note.text_hash()),
        claimed_signers: checkpoint.note.claimed_signers().map(str::to_owned).collect(),
    };
    Ok(Report { record, log, signed_by, witnessed_by, anchors, completeness })
}

fn open_record(record: &Record) -> Result<(Hash, RecordReport), VerifyError> {
    let bytes = text::base64(&record.leaf)
        .ok_or_else(|| VerifyError::Malformed("its leaf is not base64".to_owned()))?;
    let leaf = Leaf::parse(&bytes)?;
    leaf.check(&record.fields)?;
    let shown = |name: &String| record.fields.iter().any(|field| field.name == *name);
    let sealed = leaf.fields.into_iter().map(|(name, _)| name).filter(|name| !shown(name));
    let fields =
        record.fields.iter().map(|field| (field.name.clone(), field.value.clone())).collect();
    Ok((leaf_hash(&bytes), RecordReport { fields, sealed: sealed.collect() }))
}

/// The trusted keys of this log that signed the checkpoint. A policy that names logs demands one.
fn signers(checkpoint: &Checkpoint, policy: &Policy) -> Result<Vec<String>, VerifyError> {
    let signers = policy.signers(checkpoint)?;
    signers.ok_or_else(|| VerifyError::UntrustedLog(checkpoint.origin.clone()))
}

fn cosigners(checkpoint: &Checkpoint, policy: &Policy) -> Result<Vec<Cosignature>, VerifyError> {
    let mut witnessed_by = Vec::new();
    for (name, key) in &policy.witnesses {
        if let Some(time) = checkpoint.note.cosigned_by(key)? {
            witnessed_by.push(Cosignature { name: name.clone(), time });
        }
    }
    Ok(witnessed_by)
}

fn complete(
    events: &Completeness,
    leaf: &Hash,
    record: &RecordReport,
    checkpoint: &Checkpoint,
) -> Result<CompletenessReport, VerifyError> {
    if record.fields.get("stream").is_some_and(|stream| *stream != events.stream) {
        return Err(CompletenessError::NotAnEvent.into());
    }
    let (count, place) = completeness::check(events, leaf, checkpoint)?;
    Ok(CompletenessReport { stream: events.stream.clone(), events: count, place })
}

fn check_anchor(
    number: usize,
    anchor: &Anchor,
    proved: &Checkpoint,
    policy: &Policy,
    trusted: &TrustedBlocks,
) -> Result<AnchorReport, VerifyError> {
    let fork = |reason: String| VerifyError::Fork { number, reason };
    let path: Option<Vec<Hash>> =
        anchor.consistency.iter().map(|hash| text::base64_hash(hash)).collect();
    let path = path.ok_or_else(|| fork("the consistency proof is not base64".to_owned()))?;
    let later = match &anchor.checkpoint {
        Some(note) => Some(Checkpoint::parse(note)?),
        None => None,
    };
    let anchored = later.as_ref().unwrap_or(proved);
    if anchored.origin != proved.origin {
        return Err(fork("it is of another log".to_owned()));
    }
    verify_consistency(proved.size, anchored.size, &proved.root, &anchored.root, &path)
        .map_err(|error| fork(error.to_string()))?;
    if later.is_some() {
        signers(anchored, policy)?;
        cosigners(anchored, policy)?;
    }
    let commitment = Commitment {
        origin: anchored.origin_hash(),
        size: anchored.size,
        checkpoint: anchored.note.text_hash(),
    };
    let chain = anchor.evidence.chain().to_owned();
    let report = anchor::check(&anchor.evidence, &commitment, trusted)
        .map_err(|error| VerifyError::Anchor { number, chain: chain.clone(), error })?;
    if names_other_contract(policy, &report) {
        return Err(VerifyError::Contract { number, chain });
    }
    Ok(report)
}

fn names_other_contract(policy: &Policy, report: &AnchorReport) -> bool {
    let rule = policy.anchors.iter().find(|rule| rule.chain == report.chain);
    let wanted = rule.and_then(|rule| rule.contract.as_ref());
    wanted.zip(report.contract.as_ref()).is_some_and(|(a, b)| !a.eq_ignore_ascii_case(b))
}
