//! What is read of a node's answers: only the fields that are used, so that networks with transaction
//! types of their own are read too.

use alloy_primitives::{Address, B256, Bloom, Bytes, Log, LogData, U64, U256};
use chain_core::BlockRef;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BlockHeader {
    pub(super) hash: B256,
    pub(super) number: U64,
}

impl BlockHeader {
    pub(super) fn block_ref(&self) -> BlockRef {
        BlockRef { height: self.number.to(), hash: self.hash.to_string() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FullBlock {
    #[serde(flatten)]
    pub(super) header: BlockHeader,
    pub(super) parent_hash: B256,
    pub(super) timestamp: U64,
    pub(super) transactions: Vec<Transaction>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Transaction {
    pub(super) hash: B256,
    pub(super) to: Option<Address>,
    pub(super) value: U256,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Receipt {
    pub(super) transaction_hash: B256,
    pub(super) block_hash: B256,
    pub(super) block_number: U64,
    pub(super) transaction_index: U64,
    pub(super) from: Address,
    /// Absent before the Byzantium fork, where success cannot be read off a receipt.
    pub(super) status: Option<U64>,
    #[serde(rename = "type", default)]
    pub(super) kind: U64,
    pub(super) gas_used: U256,
    pub(super) cumulative_gas_used: U64,
    pub(super) effective_gas_price: Option<U256>,
    /// What an OP-stack rollup charges for the data on its parent chain.
    pub(super) l1_fee: Option<U256>,
    pub(super) logs_bloom: Bloom,
    pub(super) logs: Vec<LogEntry>,
}

impl Receipt {
    pub(super) fn succeeded(&self) -> bool {
        self.status == Some(U64::from(1))
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct LogEntry {
    pub(super) address: Address,
    pub(super) topics: Vec<B256>,
    pub(super) data: Bytes,
}

impl LogEntry {
    pub(super) fn to_log(&self) -> Log {
        let data = LogData::new_unchecked(self.topics.clone(), self.data.clone());
        Log { address: self.address, data }
    }
}
