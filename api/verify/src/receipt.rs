//! The receipt: one JSON bundle, described in `docs/RECEIPT-FORMAT.md`.

use serde::{Deserialize, Serialize};

/// The value of [`Receipt::format`] that this verifier understands.
pub const FORMAT: &str = "roadstead.receipt/v1";

/// A receipt for one record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// [`FORMAT`].
    pub format: String,
    /// What was recorded.
    pub record: Record,
    /// A C2SP `.tlog-proof`.
    pub proof: String,
    /// What shows that the log, as it was then, is on public chains. May be empty.
    #[serde(default)]
    pub anchors: Vec<Anchor>,
    /// What shows that a loan has these events and no others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completeness: Option<Completeness>,
}

/// A record, opened in part or whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The leaf's canonical encoding, base64.
    pub leaf: String,
    /// The fields that are shown; the others stay sealed.
    pub fields: Vec<DisclosedField>,
}

/// A field with what it takes to check it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisclosedField {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Thirty-two bytes, hex.
    pub salt: String,
}

/// One anchor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// The signed note of the checkpoint that was anchored; absent when it is the one of the proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// The consistency proof from the proof's checkpoint to that one, base64; empty when they are
    /// the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consistency: Vec<String>,
    /// What shows that it is on its chain.
    pub evidence: Evidence,
}

/// Evidence that a transaction is on a chain. All bytes are in hex, with or without `0x`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type", deny_unknown_fields)]
pub enum Evidence {
    /// Bitcoin: the transaction, its Merkle branch and headers.
    Bitcoin {
        /// CAIP-2 id.
        chain: String,
        /// The transaction without witness.
        transaction: String,
        /// Sibling hashes from the leaf up, in internal byte order.
        branch: Vec<String>,
        /// The position of the transaction in the block.
        position: u64,
        /// The 80-byte header, then headers built on it.
        headers: Vec<String>,
        /// The height of the first header, as the node said.
        height: u64,
    },
    /// EVM: the transaction's receipt in the block's receipts trie, and the header.
    Evm {
        /// CAIP-2 id.
        chain: String,
        /// Transaction hash; where to look, not part of what is proved.
        tx: String,
        /// Index of the transaction in the block.
        index: u64,
        /// RLP of each trie node from the root to the receipt.
        proof: Vec<String>,
        /// RLP of the header.
        header: String,
        /// The anchor contract.
        contract: String,
        /// Which log of the receipt is the anchor's event.
        log: u64,
    },
    /// Solana: the signed transaction, and where to look.
    Solana {
        /// CAIP-2 id.
        chain: String,
        /// The signature, base58.
        signature: String,
        /// The slot, as the node said.
        slot: u64,
        /// The serialised transaction.
        transaction: String,
    },
}

impl Evidence {
    /// The CAIP-2 id of its chain.
    #[must_use]
    pub fn chain(&self) -> &str {
        match self {
            Self::Bitcoin { chain, .. } | Self::Evm { chain, .. } | Self::Solana { chain, .. } => {
                chain
            }
        }
    }
}

/// What shows that a stream (a loan) has these events and no others at the proof's checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Completeness {
    /// The stream's name, such as `loan:<id>`.
    pub stream: String,
    /// The leaf hash of every event of the stream, oldest first, base64.
    pub events: Vec<String>,
    /// From the stream's leaf in the map up to the map's root, base64.
    pub path: Vec<String>,
    /// The record that commits the map's root: the last leaf of the checkpoint.
    pub map: Record,
    /// The inclusion proof of that record in the checkpoint, base64.
    pub map_proof: Vec<String>,
}
