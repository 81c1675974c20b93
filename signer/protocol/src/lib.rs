#![doc = include_str!("../README.md")]

mod frame;

pub use frame::{FrameError, decode, encode, frame_bytes};

use std::future::Future;

use chain_core::{
    Address, AssetId, ChainId, Intent, IntentId, KeyPath, KeyedAddress, Signature, TxId, UnsignedTx,
};
use serde::{Deserialize, Serialize};

/// The version of this protocol; both sides refuse another.
pub const VERSION: u32 = 1;

/// The largest frame that either side accepts.
pub const FRAME_BYTES_MAX: u32 = 1 << 20;

/// A place in the signer's journal: how many records it has, and the hash that chains them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalHead {
    /// The number of records.
    pub records: u64,
    /// SHA-256 over the last record and the head before it.
    #[serde(with = "hex::serde")]
    pub hash: [u8; 32],
}

/// What the server asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "request")]
pub enum Request {
    /// Says hello; the first request of a connection.
    Hello(Hello),
    /// Asks for an address.
    Address(AddressRequest),
    /// Asks for the signatures of a transaction.
    Sign(Box<SignRequest>),
    /// Asks for the signature of a log checkpoint.
    Checkpoint(CheckpointRequest),
    /// Asks that an intent is never signed.
    Cancel(CancelRequest),
    /// Freezes; only an operator at the signer itself can thaw.
    Freeze(FreezeRequest),
    /// Asks what is frozen.
    Frozen,
}

/// The first request of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`] of the client.
    pub version: u32,
    /// The newest journal head that the client has ever seen. A signer whose journal does not
    /// contain it is running on an older copy: it refuses to sign until it is reconciled.
    pub journal_seen: Option<JournalHead>,
}

/// Asks for the address of a key on a network. The signer records the path as issued before it
/// answers, so that `roadstead-signer drill` covers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressRequest {
    /// The network.
    pub chain: ChainId,
    /// The key.
    pub key: KeyPath,
}

/// Asks for the signatures of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignRequest {
    /// What is meant.
    pub intent: Intent,
    /// The exact bytes, which the signer describes for itself and compares with `intent`.
    pub unsigned: UnsignedTx,
}

/// Asks for a signature on a checkpoint of the audit log (C2SP `tlog-checkpoint`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointRequest {
    /// The log's origin line, which is also the key's name in the signed note.
    pub origin: String,
    /// The number of leaves.
    pub size: u64,
    /// The RFC 6962 root at that size.
    #[serde(with = "hex::serde")]
    pub root: [u8; 32],
}

/// Asks for the promise that an intent was not signed and never will be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRequest {
    /// Which.
    pub intent: IntentId,
    /// Why, in at most 1,000 bytes.
    pub reason: String,
}

/// What to freeze: all of it when a field is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeRequest {
    /// An asset, or every one.
    pub asset: Option<AssetId>,
    /// The hardened account (wallet), or every one.
    pub account: Option<u32>,
    /// Why, for the operator who is to thaw it.
    pub reason: String,
}

/// What the signer answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "response")]
pub enum Response {
    /// To [`Request::Hello`].
    Hello(HelloAnswer),
    /// To [`Request::Address`].
    Address(KeyedAddress),
    /// To [`Request::Sign`].
    Signed(Signed),
    /// To [`Request::Checkpoint`].
    Checkpoint(CheckpointSigned),
    /// To [`Request::Cancel`].
    Cancelled(Cancelled),
    /// To [`Request::Freeze`] and [`Request::Frozen`]: everything that is frozen now.
    Frozen {
        /// The freezes.
        freezes: Vec<FreezeRequest>,
    },
    /// No, and why.
    Refused(Refusal),
}

/// What the signer says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloAnswer {
    /// [`VERSION`] of the signer.
    pub version: u32,
    /// The networks that its policy names.
    pub chains: Vec<ChainId>,
    /// The head of its journal.
    pub journal: JournalHead,
    /// The C2SP verifier key of its log key, `<name>+<hash>+<base64>`, one for each origin of the
    /// policy.
    pub log_keys: Vec<String>,
}

/// The signatures of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// In the order of [`UnsignedTx::signers`].
    pub signatures: Vec<Signature>,
    /// The id of the transaction once assembled.
    pub tx: TxId,
    /// The journal's head after this; the client keeps the newest and shows it at the next hello.
    pub journal: JournalHead,
}

/// A signed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointSigned {
    /// The whole C2SP signed note.
    pub note: String,
    /// The journal's head after this.
    pub journal: JournalHead,
}

/// The promise that an intent is never signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    /// The journal's head after this.
    pub journal: JournalHead,
}

/// Why the signer refused. Nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Refusal {
    /// A stable code.
    pub code: RefusalCode,
    /// What is wrong and what to do.
    pub detail: String,
}

/// Stable codes of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// The request makes no sense.
    BadRequest,
    /// Client and signer speak different versions.
    Version,
    /// The journal is older than the client knows it to have been.
    JournalRolledBack,
    /// The bytes do not do what the intent says.
    IntentMismatch,
    /// An address does not belong to the key that is named with it.
    KeyMismatch,
    /// No rule of the policy allows it.
    Policy,
    /// A limit of the policy is reached; it may be allowed later.
    Limit,
    /// The asset or wallet is frozen.
    Frozen,
    /// The slot was already signed for another intent, or the intent for another slot; or what is to be
    /// cancelled was signed.
    Conflict,
    /// The intent was cancelled before it was signed.
    Cancelled,
    /// Another root was signed at this size, or a larger size was signed before.
    CheckpointConflict,
    /// The signer cannot write its journal or read its clock or policy; it signs nothing until it can.
    Unavailable,
}

impl std::fmt::Display for RefusalCode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::BadRequest => "bad_request",
            Self::Version => "version",
            Self::JournalRolledBack => "journal_rolled_back",
            Self::IntentMismatch => "intent_mismatch",
            Self::KeyMismatch => "key_mismatch",
            Self::Policy => "policy",
            Self::Limit => "limit",
            Self::Frozen => "frozen",
            Self::Conflict => "conflict",
            Self::Cancelled => "cancelled",
            Self::CheckpointConflict => "checkpoint_conflict",
            Self::Unavailable => "unavailable",
        })
    }
}

impl RefusalCode {
    /// True when the same request may be granted later without any change.
    #[must_use]
    pub const fn is_temporary(self) -> bool {
        matches!(self, Self::Limit | Self::Frozen | Self::Unavailable | Self::JournalRolledBack)
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The signer refused.
    #[error("the signer refused: {0}")]
    Refused(#[from] Refusal),
    /// The signer cannot be reached, or did not answer in time. It may have signed: ask again with
    /// the same request, and the same signatures come back.
    #[error("the signer did not answer: {0}")]
    Unreachable(String),
    /// The answer makes no sense, or comes from a process of another user.
    #[error("the signer's answer is not understood: {0}")]
    Malformed(String),
}

/// The signer, in its own process or in a test.
pub trait Signer: Send + Sync {
    /// Asks for the address of a key.
    fn address(
        &self,
        request: &AddressRequest,
    ) -> impl Future<Output = Result<Address, SignerError>> + Send;

    /// Asks for the signatures of a transaction. The same request gives the same signatures.
    fn sign(
        &self,
        request: &SignRequest,
    ) -> impl Future<Output = Result<Signed, SignerError>> + Send;

    /// Asks for a signed checkpoint.
    fn checkpoint(
        &self,
        request: &CheckpointRequest,
    ) -> impl Future<Output = Result<CheckpointSigned, SignerError>> + Send;

    /// Has an intent cancelled for good, if it was not signed; again is the same.
    fn cancel(
        &self,
        request: &CancelRequest,
    ) -> impl Future<Output = Result<Cancelled, SignerError>> + Send;

    /// Freezes an asset or a wallet, or both.
    fn freeze(
        &self,
        request: &FreezeRequest,
    ) -> impl Future<Output = Result<Vec<FreezeRequest>, SignerError>> + Send;
}
