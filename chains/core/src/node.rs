use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use serde::{Deserialize, Serialize};

use crate::{
    Action, Address, Amount, AssetId, ChainId, KeyedAddress, ScannedAmount, SignedTx, TxId,
};

/// A block by height (Solana: slot) and hash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BlockRef {
    /// Height; on Solana the slot.
    pub height: u64,
    /// Hash in the chain's usual text.
    pub hash: String,
}

/// The head of the chain as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tip {
    /// The newest block.
    pub head: BlockRef,
    /// The newest height that the chain itself calls final, where it has such a notion (EVM
    /// `finalized`, Solana `finalized`); `None` on Bitcoin.
    pub finalized: Option<u64>,
}

/// What to look for in blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchSet {
    /// Addresses of ours, canonical text.
    pub addresses: BTreeSet<String>,
    /// Registered tokens: contracts (lower-case `0x…`) or mints.
    pub tokens: BTreeSet<String>,
}

/// Money that arrived at an address of ours, in one block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScannedDeposit {
    /// The transaction.
    pub tx: TxId,
    /// Where in it: `vout:0`, `native`, `trace:0.1`, `log:3`, `token:<account>`; with `tx` the
    /// deposit's identity.
    pub position: String,
    /// The address of ours.
    pub to: Address,
    /// Native coin or a registered token.
    pub asset: AssetId,
    /// How much arrived: the change of balance, not what a log claims.
    pub amount: ScannedAmount,
    /// True for a Bitcoin coinbase output, which needs 100 confirmations.
    pub coinbase: bool,
}

/// What happened in a block that concerns us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum ChainEvent {
    /// Money arrived. On Bitcoin also change and sweeps: every output to a watched address.
    Deposit(ScannedDeposit),
    /// A coin was spent (Bitcoin): reported for every input, for the caller to match with its own.
    Spent {
        /// The coin.
        coin: OutPoint,
        /// By which transaction.
        by: TxId,
    },
}

/// A block and what it holds for us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Which.
    pub block: BlockRef,
    /// Its parent's hash; a caller whose last block has another hash saw a reorganisation.
    pub parent_hash: String,
    /// Seconds since 1970 as the chain says.
    pub time: u64,
    /// In block order.
    pub events: Vec<ChainEvent>,
}

/// A transaction output (Bitcoin).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OutPoint {
    /// The transaction.
    pub txid: TxId,
    /// The output's index.
    pub vout: u32,
}

/// A coin of ours (Bitcoin).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Coin {
    /// Where it is.
    pub outpoint: OutPoint,
    /// Its value in satoshi.
    pub amount: Amount,
    /// Who can spend it.
    pub owner: KeyedAddress,
}

/// How urgent a transaction is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeeTier {
    /// Within hours.
    Slow,
    /// Within minutes.
    #[default]
    Normal,
    /// The next block, if money can buy it.
    Fast,
}

/// What the caller knows and the node must complete into a [`Context`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextRequest {
    /// What is to be built.
    pub action: Action,
    /// Who pays, the fee payer first. EVM: one. Solana: the fee payer, then the owner of the money
    /// where that is another (a sweep). Bitcoin: the owners of `coins`, unused.
    pub signers: Vec<KeyedAddress>,
    /// How urgent.
    pub tier: FeeTier,
    /// Bitcoin: coins that may be spent. A `Pay` of sweeps spends all of them.
    pub coins: Vec<Coin>,
    /// Bitcoin: for a replacement, coins of the transaction that is replaced; at least one. They
    /// need to be unspent in blocks only, because the pool holds the original. Else empty.
    pub must_spend: Vec<OutPoint>,
    /// Bitcoin: where change goes.
    pub change: Option<KeyedAddress>,
    /// EVM: the lowest nonce that none of our live transactions has; the node answers the larger of
    /// this and the chain's own.
    pub nonce_floor: u64,
    /// Solana: the durable nonce account to use; `None` only for its creation.
    pub nonce_account: Option<Address>,
}

/// What `build` needs to know of the world, from the node, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "family")]
pub enum Context {
    /// For an EVM chain.
    Evm(EvmContext),
    /// For Bitcoin.
    Bitcoin(BitcoinContext),
    /// For Solana.
    Solana(SolanaContext),
}

/// The world of an EVM transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvmContext {
    /// Who sends and pays.
    pub sender: KeyedAddress,
    /// The nonce to use.
    pub nonce: u64,
    /// EIP-1559 `maxFeePerGas` in wei.
    pub max_fee_per_gas: u128,
    /// EIP-1559 `maxPriorityFeePerGas` in wei.
    pub max_priority_fee_per_gas: u128,
    /// Gas limit, estimated with a margin.
    pub gas_limit: u64,
    /// The sender's native balance in wei.
    pub balance: Amount,
    /// The sender's balance of the token that is paid, if one is.
    pub token_balance: Option<Amount>,
}

/// The world of a Bitcoin transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BitcoinContext {
    /// Coins that may be spent, all unspent at this moment; not always all that were asked for.
    pub coins: Vec<Coin>,
    /// Coins that must be spent: all of them for a sweep, one shared with the original for a
    /// replacement.
    pub must_spend: Vec<OutPoint>,
    /// Satoshi per 1,000 weight units (`sat/vB` times 250).
    pub fee_rate_sat_per_kwu: u64,
    /// The height of the tip, for the lock time against fee sniping.
    pub height: u32,
    /// Where change goes.
    pub change: KeyedAddress,
    /// Raw transactions (hex, witness left out) that made the coins, unless all coins are Taproot. A
    /// P2WPKH signature proves its own input's amount alone, so the signer wants to see where all of
    /// them come from (BIP-174 `non_witness_utxo`).
    #[serde(default)]
    pub parents: Vec<String>,
    /// The fees, in satoshi, of what a replacement evicts from the pool, descendants included; the
    /// new fee must be higher. Zero when nothing is replaced.
    #[serde(default)]
    pub replaced_fee: Amount,
}

/// The world of a Solana transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SolanaContext {
    /// Who pays fees and rent.
    pub fee_payer: KeyedAddress,
    /// Whose money moves; the fee payer unless it is a sweep.
    pub owner: KeyedAddress,
    /// The durable nonce: account and value (base58). `None` only when the account is created.
    pub nonce: Option<(Address, String)>,
    /// A recent blockhash, base58; used only when there is no durable nonce.
    pub recent_blockhash: String,
    /// Compute-unit limit.
    pub compute_unit_limit: u32,
    /// Price of a compute unit in micro-lamports.
    pub compute_unit_price: u64,
    /// Lamports in the fee payer's account.
    pub fee_payer_balance: Amount,
    /// The owner's balance of what is paid: lamports or token units.
    pub balance: Amount,
    /// Lamports that keep an account of the created kind alive (rent exemption): a token account, a
    /// nonce account, or a new system account.
    pub rent_exempt_lamports: Amount,
    /// True when the recipient's account (associated token account, or system account) must be
    /// created or funded past the rent minimum.
    pub recipient_is_new: bool,
    /// Decimals of the token that is paid, if one is.
    pub token_decimals: Option<u8>,
}

/// What a node said to a broadcast. A time-out is a [`NodeError`]: unknown, not rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BroadcastOutcome {
    /// It is in the node's pool now.
    Accepted,
    /// The node had it already, in the pool or in a block.
    AlreadyKnown,
    /// The node refused it. It may still have been accepted elsewhere or before.
    Rejected {
        /// In the node's words.
        reason: String,
    },
}

/// Where a transaction is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum TxStatus {
    /// This node does not know it. That is no proof that it will never confirm.
    NotFound,
    /// In the pool.
    Pending,
    /// In a block of the best chain.
    Included {
        /// Which block.
        block: BlockRef,
        /// 1 for the tip.
        confirmations: u64,
        /// True when the chain itself calls the block final.
        finalized: bool,
        /// False when it failed there: fees were paid, nothing else happened.
        success: bool,
        /// What it cost in native coin, created accounts' rent included.
        fee: Amount,
    },
}

/// What shows, years later and offline, that an anchor is on its chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum AnchorEvidence {
    /// The transaction, its Merkle branch and the block's header, all as consensus bytes in hex.
    Bitcoin {
        /// The network's CAIP-2 id.
        chain: ChainId,
        /// The raw transaction without witness (its double SHA-256 is the txid).
        transaction: String,
        /// Sibling hashes from the leaf up, in internal byte order, hex.
        branch: Vec<String>,
        /// The position of the transaction in the block.
        position: u64,
        /// The 80-byte header, then headers built on it, hex.
        headers: Vec<String>,
        /// The height of the first header.
        height: u64,
    },
    /// A proof of the receipt in the block's receipts trie, and the block's header as RLP.
    Evm {
        /// The network's CAIP-2 id.
        chain: ChainId,
        /// Transaction hash.
        tx: TxId,
        /// Index of the transaction in the block; the key of the trie is its RLP.
        index: u64,
        /// The RLP of each trie node from the root to the receipt, hex.
        proof: Vec<String>,
        /// The header's RLP, hex; its Keccak-256 is the block's hash.
        header: String,
        /// The anchor contract, EIP-55.
        contract: String,
        /// Which log of the receipt is the anchor's event.
        log: u64,
    },
    /// Where to look: Solana has no compact proof of inclusion.
    Solana {
        /// The network's CAIP-2 id.
        chain: ChainId,
        /// The signature, base58.
        signature: String,
        /// The slot.
        slot: u64,
        /// The serialised transaction, hex: its signature over the memo can be checked offline.
        transaction: String,
    },
}

/// Why a node gave no answer. None of these says that a transaction failed.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// No answer in time, or no connection.
    #[error("the node did not answer: {0}")]
    Unreachable(String),
    /// It answered something that makes no sense.
    #[error("the node's answer is not understood: {0}")]
    Malformed(String),
    /// It answered with an error.
    #[error("the node refused the request: {0}")]
    Refused(String),
    /// It follows another network than the one configured.
    #[error("the node follows {found}, not {wanted}")]
    WrongNetwork {
        /// What was configured.
        wanted: ChainId,
        /// What the node says.
        found: String,
    },
    /// A coin or a sum that the caller counted on is not there.
    #[error("{0}")]
    NotAvailable(String),
    /// There is more of something than 128 bits can say.
    #[error("{0}")]
    TooLarge(String),
}

/// A connection to one network. Every call has a time-out; none holds a key.
pub trait Node: Send + Sync {
    /// The network that is followed, checked against the node at connection.
    fn chain(&self) -> &ChainId;

    /// The newest block.
    fn tip(&self) -> impl Future<Output = Result<Tip, NodeError>> + Send;

    /// The blocks `from..=to` of the best chain, in order, with what concerns us. Solana slots
    /// without a block are left out. At most a few hundred blocks a call.
    fn scan(
        &self,
        from: u64,
        to: u64,
        watch: &WatchSet,
    ) -> impl Future<Output = Result<Vec<Block>, NodeError>> + Send;

    /// The reference of the best chain's block at `height`; `None` where there is none.
    fn block_at(
        &self,
        height: u64,
    ) -> impl Future<Output = Result<Option<BlockRef>, NodeError>> + Send;

    /// Nonce, fees, balances and the like for one transaction.
    fn context(
        &self,
        request: &ContextRequest,
    ) -> impl Future<Output = Result<Context, NodeError>> + Send;

    /// Sends a transaction; the same one again is [`BroadcastOutcome::AlreadyKnown`].
    fn broadcast(
        &self,
        tx: &SignedTx,
    ) -> impl Future<Output = Result<BroadcastOutcome, NodeError>> + Send;

    /// Where a transaction is.
    fn status(&self, tx: &TxId) -> impl Future<Output = Result<TxStatus, NodeError>> + Send;

    /// What these addresses hold of `asset` at the head, from the chain itself and not from our
    /// books; addresses that hold nothing may be left out.
    fn balances(
        &self,
        asset: &AssetId,
        addresses: &[Address],
    ) -> impl Future<Output = Result<BTreeMap<String, Amount>, NodeError>> + Send;

    /// The evidence of an anchor in a block; `headers_after` more headers on Bitcoin.
    fn evidence(
        &self,
        tx: &TxId,
        headers_after: u32,
    ) -> impl Future<Output = Result<AnchorEvidence, NodeError>> + Send;
}
