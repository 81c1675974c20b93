use std::collections::BTreeSet;
use std::path::PathBuf;

use chain_core::{Amount, AssetId, ChainId};
use serde::Deserialize;

/// When something on a chain counts as final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finality {
    /// When the chain says so (EVM and Solana `finalized`).
    Finalized,
    /// With this many confirmations, the block itself counted.
    #[serde(untagged)]
    Confirmations(u32),
}

/// A network.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainConfig {
    /// Its short name in the API, for example `bitcoin`.
    pub name: String,
    /// Its CAIP-2 id.
    pub id: ChainId,
    /// The URL of a node's JSON-RPC interface.
    pub rpc_url: String,
    /// Bitcoin: the user of the RPC interface.
    #[serde(default)]
    pub rpc_user: Option<String>,
    /// Bitcoin: a file with that user's password.
    #[serde(default)]
    pub rpc_password_file: Option<PathBuf>,
    /// When deposits, payouts and anchors count as final.
    pub finality: Finality,
    /// How often to look for new blocks.
    #[serde(default = "default_poll_ms")]
    pub poll_ms: u64,
    /// The first block to scan when nothing was scanned yet; the tip when absent.
    #[serde(default)]
    pub start_height: Option<u64>,
    /// The most that one transaction may cost, in minor units of the native coin.
    pub fee_max: Amount,
    /// Bitcoin on regtest, where no estimate can be had: satoshi per 1,000 weight units.
    #[serde(default)]
    pub fallback_fee_sat_per_kwu: Option<u64>,
    /// Whether checkpoints are anchored here.
    #[serde(default)]
    pub anchor: bool,
    /// Solana: how many durable nonce accounts to keep, the number of transactions at one time.
    #[serde(default = "default_nonce_accounts")]
    pub nonce_accounts: u32,
    /// Bitcoin: headers after the anchor's block that its evidence carries.
    #[serde(default = "default_headers_after")]
    pub evidence_headers: u32,
}

const fn default_poll_ms() -> u64 {
    2_000
}

const fn default_nonce_accounts() -> u32 {
    4
}

const fn default_headers_after() -> u32 {
    6
}

/// A rule of the finality table: amounts up to this need that.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinalityTier {
    /// Up to and including this many minor units.
    pub amount_up_to: Amount,
    /// What is needed.
    pub finality: Finality,
}

/// An asset of a network.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssetConfig {
    /// Its code in the API and in the books, for example `BTC`.
    pub code: String,
    /// Its CAIP-19 id.
    pub id: AssetId,
    /// How many decimals one unit has.
    pub decimals: u8,
    /// Sweep a deposit address that holds at least this much.
    #[serde(default)]
    pub sweep_min: Amount,
    /// Tokens on EVM chains: wei sent to a deposit address before its sweep.
    #[serde(default)]
    pub fuel: Amount,
    /// Finality by amount, smallest first; above them the chain's own applies.
    #[serde(default)]
    pub finality: Vec<FinalityTier>,
}

/// Fiat money.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FiatConfig {
    /// ISO 4217 codes.
    #[serde(default)]
    pub currencies: BTreeSet<String>,
    /// A folder where the bank's statements arrive as CSV files.
    #[serde(default)]
    pub statement_folder: Option<PathBuf>,
}
