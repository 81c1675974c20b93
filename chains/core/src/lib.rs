#![doc = include_str!("../README.md")]

mod amount;
mod id;
mod intent;
mod key;
mod node;
mod tx;

pub use amount::{Amount, AmountError, ScannedAmount};
pub use id::{Address, AssetId, AssetKind, ChainFamily, ChainId, IdError, UncheckedAddress};
pub use intent::{Action, AnchorCommitment, Intent, IntentId, Payment, Purpose};
pub use key::{Branch, KeyPath, KeyPathError, KeyScheme, KeyedAddress};
pub use node::{
    AnchorEvidence, BitcoinContext, Block, BlockRef, BroadcastOutcome, ChainEvent, Coin, Context,
    ContextRequest, EvmContext, FeeTier, Node, NodeError, OutPoint, ScannedDeposit, SolanaContext,
    Tip, TxStatus, WatchSet,
};
pub use tx::{
    Algorithm, BuildError, Message, Signature, SignedTx, SigningPayload, Slot, TxId, TxSummary,
    UnsignedTx,
};
