use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Action, Address, Amount, AmountError, ChainId, IdError, KeyPath, KeyedAddress};

/// A transaction id in its chain's usual text: `0x…` hash, reversed hex of the txid, base58 of the
/// first signature.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TxId(pub String);

impl fmt::Display for TxId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A transaction before it is signed: the exact bytes, and which keys are ours in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UnsignedTx {
    /// The network.
    pub chain: ChainId,
    /// EVM: the EIP-2718 signing payload of an EIP-1559 transaction. Bitcoin: a PSBT version 0.
    /// Solana: a serialised legacy message.
    #[serde(with = "hex::serde")]
    pub bytes: Vec<u8>,
    /// Who signs, in order. Bitcoin: one for each input. EVM: exactly one. Solana: one for each
    /// required signature, the fee payer first.
    pub signers: Vec<KeyedAddress>,
    /// Outputs that come back to us as change (Bitcoin).
    pub change: Vec<KeyedAddress>,
}

/// The place that a transaction takes on its chain, of which there is only one: two transactions
/// that share a slot cannot both confirm.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Slot {
    /// The account's nonce (EVM).
    EvmNonce {
        /// The sender.
        account: Address,
        /// The nonce.
        nonce: u64,
    },
    /// A coin that is spent (Bitcoin): transaction id and output index.
    BitcoinOutpoint {
        /// The funding transaction.
        txid: TxId,
        /// The output's index.
        vout: u32,
    },
    /// A durable nonce's value (Solana).
    SolanaNonce {
        /// The nonce account.
        account: Address,
        /// The value, base58.
        value: String,
    },
    /// The creation of an account, which can happen only once (Solana).
    SolanaAccount {
        /// The account.
        account: Address,
    },
}

impl fmt::Display for Slot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EvmNonce { account, nonce } => write!(formatter, "nonce {nonce} of {account}"),
            Self::BitcoinOutpoint { txid, vout } => write!(formatter, "coin {txid}:{vout}"),
            Self::SolanaNonce { account, value } => {
                write!(formatter, "durable nonce {value} of {account}")
            }
            Self::SolanaAccount { account } => write!(formatter, "creation of {account}"),
        }
    }
}

/// What the bytes of a transaction would do, read back from the bytes alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TxSummary {
    /// The network that the bytes are bound to. Solana bytes name none: there it is the request's.
    pub chain: ChainId,
    /// What it does.
    pub action: Action,
    /// The most that it can cost in native coin, rent for accounts that it creates included.
    pub fee_max: Amount,
    /// Where it sits on the chain.
    pub slots: Vec<Slot>,
    /// Change that comes back (Bitcoin): each output's address and amount in satoshi.
    pub change: Vec<(Address, Amount)>,
}

/// Which signature a payload needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// ECDSA over secp256k1 (RFC 6979 nonce, low S); 64 bytes r || s and a recovery byte 0 or 1.
    Secp256k1Ecdsa,
    /// BIP-340 Schnorr with the key tweaked as in BIP-86 (no script tree); 64 bytes.
    TaprootKeySpend,
    /// Ed25519 (RFC 8032); 64 bytes.
    Ed25519,
}

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// A 32-byte digest that the signer computed itself from the bytes.
    Digest([u8; 32]),
    /// A whole message, for Ed25519.
    Bytes(Vec<u8>),
}

/// One signature that a transaction needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SigningPayload {
    /// By which key.
    pub key: KeyPath,
    /// How.
    pub algorithm: Algorithm,
    /// Over what.
    pub message: Message,
}

/// A signature, in the order of [`UnsignedTx::signers`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Signature {
    /// As [`Algorithm`] says: 65 bytes for ECDSA, else 64.
    #[serde(with = "hex::serde")]
    pub bytes: Vec<u8>,
    /// The public key that verifies it: 33 bytes compressed for ECDSA, 32 x-only *output* key for
    /// Taproot, 32 for Ed25519.
    #[serde(with = "hex::serde")]
    pub public_key: Vec<u8>,
}

/// A transaction ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SignedTx {
    /// The network.
    pub chain: ChainId,
    /// Its id, known before it is sent.
    pub id: TxId,
    /// The bytes that go to a node.
    #[serde(with = "hex::serde")]
    pub bytes: Vec<u8>,
}

/// Why a transaction could not be built, read or assembled. Nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// An address or asset was refused.
    #[error(transparent)]
    Id(#[from] IdError),
    /// A sum left the 128 bits, or 64 where the chain has no more.
    #[error(transparent)]
    Amount(#[from] AmountError),
    /// Nothing to pay.
    #[error("the amount is zero")]
    Zero,
    /// The chain would not relay so small an output.
    #[error("{amount} is below the dust limit of {limit}")]
    Dust {
        /// What was asked.
        amount: Amount,
        /// The least that the chain relays.
        limit: Amount,
    },
    /// There is not enough to pay amount and fee.
    #[error("{needed} are needed, fee included, and {available} are there")]
    Insufficient {
        /// What is needed.
        needed: Amount,
        /// What is there.
        available: Amount,
    },
    /// The fee is over the intent's cap.
    #[error("the fee of {fee} is over the cap of {cap}")]
    FeeOverCap {
        /// What it would cost.
        fee: Amount,
        /// The cap.
        cap: Amount,
    },
    /// The family cannot do this.
    #[error("{0}")]
    Unsupported(String),
    /// The bytes are not a transaction of the kind that is built here.
    #[error("the bytes are not what is built here: {0}")]
    Malformed(String),
    /// A signature does not verify.
    #[error("signature {0} does not verify")]
    BadSignature(usize),
}
