use chain_core::{Amount, Intent, IntentId, KeyedAddress, Signature, Slot, TxId};
use serde::{Deserialize, Serialize};
use signer_protocol::{FreezeRequest, JournalHead};

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Seconds since 1970; never less than in the entry before.
    pub time: u64,
    /// What happened.
    pub record: Record,
}

/// What the journal remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Record {
    /// An address was given out.
    Issued {
        /// The key and its address.
        address: KeyedAddress,
    },
    /// A transaction was signed.
    Signed(Box<SignedRecord>),
    /// A checkpoint of the audit log was signed.
    Checkpoint {
        /// The log.
        origin: String,
        /// Leaves.
        size: u64,
        /// The root.
        #[serde(with = "hex::serde")]
        root: [u8; 32],
    },
    /// An intent that was not signed, and never will be.
    Cancelled {
        /// Which.
        intent: IntentId,
        /// Why, in the server's words.
        reason: String,
    },
    /// Something was frozen.
    Frozen {
        /// What and why.
        freeze: FreezeRequest,
    },
    /// The operator lifted the freezes of exactly this asset and account.
    Thawed {
        /// What, and why.
        thaw: FreezeRequest,
    },
    /// The operator accepted that a journal was lost, after importing what was known of it.
    Reconciled {
        /// Heads of the lost journal, which no longer count as newer.
        heads: Vec<JournalHead>,
        /// How many signatures were imported.
        imported: u64,
        /// In the operator's words.
        reason: String,
    },
}

/// A signed transaction: what was meant, where it sits, and what left the signer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedRecord {
    /// What was meant.
    pub intent: Intent,
    /// SHA-256 of the unsigned transaction with its signers and change, as JSON.
    #[serde(with = "hex::serde")]
    pub unsigned: [u8; 32],
    /// The places that it takes.
    pub slots: Vec<Slot>,
    /// Who signed.
    pub signers: Vec<KeyedAddress>,
    /// Where change goes.
    pub change: Vec<KeyedAddress>,
    /// What counts against the daily limits.
    pub charges: Vec<ChargeRecord>,
    /// The signatures.
    pub signatures: Vec<Signature>,
    /// The transaction's id.
    pub tx: TxId,
    /// True when it was imported from the server's records after a loss.
    #[serde(default)]
    pub imported: bool,
}

/// One entry against a daily limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChargeRecord {
    /// The asset's or chain's id.
    pub subject: String,
    /// Paid.
    pub amount: Amount,
    /// The most that the fees can be.
    pub fee: Amount,
}
