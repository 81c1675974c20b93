//! Anchors: what shows that a checkpoint was on a public chain, checked offline.

mod bitcoin;
mod evm;
mod rlp;
mod solana;
mod trie;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::merkle::Hash;
use crate::receipt::Evidence;
use crate::text;

/// What an anchor writes to its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commitment {
    /// SHA-256 of the log's origin line.
    pub origin: Hash,
    /// The number of leaves.
    pub size: u64,
    /// SHA-256 of the checkpoint's note text.
    pub checkpoint: Hash,
}

/// How far an anchor is proved. There is no value for "false": a false anchor is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is in a block that the reader trusts, by a header or by a node.
    Proved,
    /// It is in the block that is named; whether that block is on the chain was not checked.
    ProvedGivenHeader,
    /// The transaction is complete and signed; whether it is on the chain, only a node can say.
    NeedsNode,
}

/// What was found out about one anchor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AnchorReport {
    /// The chain's CAIP-2 id.
    pub chain: String,
    /// How far it is proved.
    pub status: Status,
    /// The size of the tree that was anchored.
    pub size: u64,
    /// The transaction, where the evidence proves it: Bitcoin and Solana.
    pub transaction: Option<String>,
    /// The block's hash in the chain's usual text.
    pub block: Option<String>,
    /// The block's height (Solana: the slot), where it is proved: on EVM, or by a node.
    pub height: Option<u64>,
    /// The height or slot that the operator claims, where it is not.
    pub claimed_height: Option<u64>,
    /// The block's time in seconds since 1970, as its maker says.
    pub time: Option<u64>,
    /// EVM: the contract, and who called it.
    pub contract: Option<String>,
    /// EVM: the sender of the anchor. Solana: the fee payer.
    pub sender: Option<String>,
    /// Bitcoin: the number of headers, and the least number of hashes, as a power of two, that each
    /// of them took.
    pub work: Option<(u64, u32)>,
    /// What raised the status to proved.
    pub trusted_by: Option<String>,
    /// Hashes of all headers of the evidence.
    #[serde(skip)]
    pub blocks: Vec<String>,
}

/// Why an anchor is false.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// The evidence is not what it should be.
    #[error("{0}")]
    Malformed(&'static str),
    /// The transaction, event or memo does not hold this checkpoint.
    #[error("{0} does not hold this checkpoint")]
    OtherCommitment(&'static str),
    /// The parts do not hang together.
    #[error("{0}")]
    NotIncluded(&'static str),
    /// A signature is false.
    #[error("the signature of the transaction is false")]
    Signature,
}

/// Blocks that the reader holds to be on their chains, by whatever means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedBlocks {
    hashes: BTreeSet<(String, String)>,
    /// The Merkle roots of Bitcoin headers that were given whole, with hash and time.
    merkle_roots: BTreeMap<Hash, (String, u32)>,
}

impl TrustedBlocks {
    /// Reads lines of `<CAIP-2 id> <block hash>`; a Bitcoin header of 80 bytes in hex may stand for
    /// its hash. Empty lines and lines that begin with `#` are passed over.
    ///
    /// # Errors
    /// The number of the first line that is neither.
    pub fn parse(lines: &str) -> Result<Self, usize> {
        let mut trusted = Self::default();
        for (number, line) in (1..).zip(lines.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (chain, block) = line.split_once(char::is_whitespace).ok_or(number)?;
            let bytes = text::hex_bytes(block.trim()).ok_or(number)?;
            let hash = match bytes.len() {
                32 => hex::encode(bytes),
                80 => trusted.add_header(&bytes),
                _ => return Err(number),
            };
            trusted.hashes.insert((chain.to_owned(), hash));
        }
        Ok(trusted)
    }

    /// Adds a Bitcoin header of 80 bytes; its hash.
    fn add_header(&mut self, header: &[u8]) -> String {
        let hash = bitcoin::display_hash(&bitcoin::double_sha256(header));
        let (root, rest) = header[36..].split_first_chunk::<32>().unwrap_or((&[0; 32], &[]));
        let time = rest.first_chunk::<4>().map_or(0, |time| u32::from_le_bytes(*time));
        self.merkle_roots.insert(*root, (hash.clone(), time));
        hash
    }

    /// The hash and the time of the Bitcoin header with this Merkle root (in the order in which it stands
    /// there), if that was given whole.
    #[must_use]
    pub fn with_merkle_root(&self, root: &Hash) -> Option<(&str, u32)> {
        self.merkle_roots.get(root).map(|(hash, time)| (hash.as_str(), *time))
    }

    fn has(&self, chain: &str, block: &str) -> bool {
        let block = block.strip_prefix("0x").unwrap_or(block);
        self.hashes.contains(&(chain.to_owned(), block.to_owned()))
    }
}

/// Checks one anchor's evidence.
///
/// # Errors
/// [`AnchorError`] when it is false.
pub fn check(
    evidence: &Evidence,
    commitment: &Commitment,
    trusted: &TrustedBlocks,
) -> Result<AnchorReport, AnchorError> {
    let mut report = match evidence {
        Evidence::Bitcoin { chain, transaction, branch, position, headers, height } => {
            let found = bitcoin::check(commitment, transaction, branch, *position, headers)?;
            AnchorReport { claimed_height: Some(*height), chain: chain.clone(), ..found }
        }
        Evidence::Evm { chain, index, proof, header, contract, log, .. } => {
            let place = evm::Place { index: *index, contract, log: *log };
            let found = evm::check(commitment, &place, proof, header)?;
            AnchorReport { chain: chain.clone(), ..found }
        }
        Evidence::Solana { chain, signature, slot, transaction } => {
            let found = solana::check(commitment, signature, transaction)?;
            AnchorReport { claimed_height: Some(*slot), chain: chain.clone(), ..found }
        }
    };
    if !report.chain.starts_with(namespace(evidence)) {
        return Err(AnchorError::Malformed("the evidence is of another family than its chain"));
    }
    if report.blocks.iter().any(|block| trusted.has(&report.chain, block)) {
        report.status = Status::Proved;
        report.trusted_by = Some("a header that you gave".to_owned());
    }
    Ok(report)
}

const fn namespace(evidence: &Evidence) -> &'static str {
    match evidence {
        Evidence::Bitcoin { .. } => "bip122:",
        Evidence::Evm { .. } => "eip155:",
        Evidence::Solana { .. } => "solana:",
    }
}

fn report(status: Status, size: u64) -> AnchorReport {
    AnchorReport {
        chain: String::new(),
        status,
        size,
        transaction: None,
        block: None,
        height: None,
        claimed_height: None,
        time: None,
        contract: None,
        sender: None,
        work: None,
        trusted_by: None,
        blocks: Vec::new(),
    }
}
