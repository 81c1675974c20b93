//! The parts of a node's answers that are read. Transaction errors stay JSON: a kind of failure
//! that is newer than this code must not hide a block.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chain_core::NodeError;
use serde::Deserialize;
use serde_json::Value;

/// An answer together with the slot that it was given at.
#[derive(Debug, Deserialize)]
pub(super) struct At<T> {
    pub(super) context: AtSlot,
    pub(super) value: T,
}

/// The slot of an answer.
#[derive(Debug, Deserialize)]
pub(super) struct AtSlot {
    pub(super) slot: u64,
}

/// A block; `transactions` is there when they were asked for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireBlock {
    pub(super) blockhash: String,
    pub(super) previous_blockhash: String,
    pub(super) block_time: Option<i64>,
    pub(super) transactions: Option<Vec<BlockTransaction>>,
}

/// A transaction of a block, as the accounts that it names.
#[derive(Debug, Deserialize)]
pub(super) struct BlockTransaction {
    pub(super) transaction: AccountList,
    pub(super) meta: Option<Meta>,
}

/// A transaction's signatures and accounts, those from address tables included.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccountList {
    pub(super) signatures: Vec<String>,
    pub(super) account_keys: Vec<ListedAccount>,
}

/// An account of a transaction.
#[derive(Debug, Deserialize)]
pub(super) struct ListedAccount {
    pub(super) pubkey: String,
}

/// What a transaction did.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta {
    /// Present and not null when the transaction failed.
    pub(super) err: Value,
    pub(super) fee: u64,
    pub(super) pre_balances: Vec<u64>,
    pub(super) post_balances: Vec<u64>,
    pub(super) pre_token_balances: Option<Vec<TokenBalance>>,
    pub(super) post_token_balances: Option<Vec<TokenBalance>>,
}

/// The tokens of an account before or after a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TokenBalance {
    pub(super) account_index: usize,
    pub(super) mint: String,
    pub(super) owner: Option<String>,
    pub(super) program_id: Option<String>,
    pub(super) ui_token_amount: TokenAmount,
}

/// An amount of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct TokenAmount {
    /// In minor units, decimal.
    pub(super) amount: String,
}

/// A single transaction with its bytes.
#[derive(Debug, Deserialize)]
pub(super) struct WireTransaction {
    pub(super) slot: u64,
    /// Base64, and the word `base64`.
    pub(super) transaction: (String, String),
    pub(super) meta: Option<Meta>,
}

impl WireTransaction {
    /// The serialised transaction.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, NodeError> {
        decode(&self.transaction)
    }
}

/// Where a transaction is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SignatureStatus {
    pub(super) err: Value,
    pub(super) confirmation_status: Option<String>,
}

/// An account.
#[derive(Debug, Deserialize)]
pub(super) struct WireAccount {
    pub(super) lamports: u64,
    /// The program that owns it.
    pub(super) owner: String,
    data: (String, String),
}

impl WireAccount {
    /// Its contents.
    pub(super) fn data(&self) -> Result<Vec<u8>, NodeError> {
        decode(&self.data)
    }
}

/// A blockhash.
#[derive(Debug, Deserialize)]
pub(super) struct LatestBlockhash {
    pub(super) blockhash: String,
}

/// What a recent slot's transactions paid for their place.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PrioritizationFee {
    /// Micro-lamports for a compute unit.
    pub(super) prioritization_fee: u64,
}

/// Bytes as base64.
pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn decode((text, encoding): &(String, String)) -> Result<Vec<u8>, NodeError> {
    let malformed = || NodeError::Malformed("bytes that are not base64".to_owned());
    if encoding != "base64" {
        return Err(malformed());
    }
    STANDARD.decode(text).map_err(|_| malformed())
}
