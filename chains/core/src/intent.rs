use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Address, Amount, AssetId, ChainId};

/// The identity of an intent. One intent confirms at most once, whatever is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IntentId(pub Uuid);

impl fmt::Display for IntentId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Why money moves. The signer's policy has rules per purpose; none is exempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// A payout from the treasury to an outside address.
    Withdrawal,
    /// From deposit addresses to the treasury.
    Sweep,
    /// Native coin from the treasury to one of our own addresses, to pay for a token's sweep.
    Fuel,
    /// A checkpoint of the audit log written to a chain.
    Anchor,
    /// Preparation that moves no customer money: a nonce account, the anchor contract.
    Setup,
}

impl fmt::Display for Purpose {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Withdrawal => "withdrawal",
            Self::Sweep => "sweep",
            Self::Fuel => "fuel",
            Self::Anchor => "anchor",
            Self::Setup => "setup",
        })
    }
}

/// One payment of an intent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Payment {
    /// Who is paid. For an SPL token the owner's wallet, not its associated account.
    pub to: Address,
    /// In what.
    pub asset: AssetId,
    /// How much, in minor units.
    pub amount: Amount,
}

/// What an anchor writes to a chain: the SHA-256 of the signed checkpoint's note text (the bytes
/// that the log's key signed), and the size of the tree.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AnchorCommitment {
    /// SHA-256 of the log's origin line, which names the log.
    #[serde(with = "hex::serde")]
    pub origin: [u8; 32],
    /// The number of leaves.
    pub size: u64,
    /// SHA-256 of the checkpoint's note text.
    #[serde(with = "hex::serde")]
    pub checkpoint: [u8; 32],
}

/// What a transaction is to do: the same vocabulary in an intent and in a summary, so that the two
/// can be compared with `==`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Action {
    /// Pay these, in this order. EVM and Solana tokens take exactly one.
    Pay {
        /// The payments.
        payments: Vec<Payment>,
    },
    /// Write a checkpoint to the chain: OP_RETURN, contract call or memo.
    Anchor {
        /// What is written.
        commitment: AnchorCommitment,
        /// The anchor contract, on EVM chains.
        contract: Option<Address>,
    },
    /// Deploy the anchor contract at its deterministic address (EVM).
    DeployAnchorContract,
    /// Create the durable nonce account `nonce_account` of the fee payer (Solana), derived from the
    /// payer's address with the seed text `roadstead-nonce-<number>`.
    CreateNonceAccount {
        /// Which of the payer's nonce accounts.
        number: u32,
        /// Its address.
        nonce_account: Address,
    },
}

/// What the server asks for, in full: the signer reads it, compares it with the bytes, and believes
/// neither.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Intent {
    /// Its identity.
    pub id: IntentId,
    /// The network.
    pub chain: ChainId,
    /// Why.
    pub purpose: Purpose,
    /// What.
    pub action: Action,
    /// The most that may be paid in fees (rent for accounts that are created included), in minor
    /// units of the native coin.
    pub fee_max: Amount,
}
