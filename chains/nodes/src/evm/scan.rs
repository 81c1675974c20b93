use std::collections::BTreeSet;

use alloy_primitives::Address as RawAddress;
use chain_core::{Block, ChainEvent, ChainId, NodeError, WatchSet};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::answers::{FullBlock, Receipt, Transaction};
use super::deposits::{Deposit, native_payments};
use super::rpc::{Rpc, quantity};
use super::tokens;
use super::traces::Traces;

/// Blocks that one scan reads at most; the caller goes on after the last.
const BLOCKS_MAX: u64 = 500;

/// Blocks that are asked for at the same time.
const BLOCKS_AT_ONCE: usize = 8;

/// One scan: what is looked for, in bytes, and where.
pub(super) struct Scan<'a> {
    pub(super) chain: &'a ChainId,
    pub(super) rpc: &'a Rpc,
    pub(super) traces: Traces,
    pub(super) addresses: BTreeSet<RawAddress>,
    pub(super) tokens: BTreeSet<RawAddress>,
}

impl<'a> Scan<'a> {
    pub(super) fn new(
        chain: &'a ChainId,
        rpc: &'a Rpc,
        traces: Traces,
        watch: &WatchSet,
    ) -> Result<Self, NodeError> {
        let parse = |texts: &BTreeSet<String>| {
            let parse = |text: &String| {
                text.parse().map_err(|_| NodeError::Malformed(format!("{text:?} is no address")))
            };
            texts.iter().map(parse).collect::<Result<_, _>>()
        };
        let (addresses, tokens) = (parse(&watch.addresses)?, parse(&watch.tokens)?);
        Ok(Self { chain, rpc, traces, addresses, tokens })
    }

    /// The blocks `from..=to`, as far as the chain goes.
    pub(super) async fn blocks(&self, from: u64, to: u64) -> Result<Vec<Block>, NodeError> {
        let to = to.min(from.saturating_add(BLOCKS_MAX - 1));
        let mut blocks: Vec<Block> = Vec::new();
        let mut answers =
            stream::iter(from..=to).map(|height| self.block(height)).buffered(BLOCKS_AT_ONCE);
        while let Some(block) = answers.try_next().await? {
            let Some(block) = block else { break };
            if blocks.last().is_some_and(|last| last.block.hash != block.parent_hash) {
                return Err(reorganised(block.block.height));
            }
            blocks.push(block);
        }
        Ok(blocks)
    }

    async fn block(&self, height: u64) -> Result<Option<Block>, NodeError> {
        let block: Option<FullBlock> =
            self.rpc.call("eth_getBlockByNumber", (quantity(height), true)).await?;
        let Some(block) = block else { return Ok(None) };
        if block.header.number.to::<u64>() != height {
            return Err(NodeError::Malformed(format!("asked for block {height}, got another")));
        }
        let nothing_to_see = block.transactions.is_empty() || self.addresses.is_empty();
        let deposits = if nothing_to_see { Vec::new() } else { self.deposits(&block).await? };
        let deposits = deposits.into_iter().map(|deposit| deposit.named(self.chain));
        Ok(Some(Block {
            block: block.header.block_ref(),
            parent_hash: block.parent_hash.to_string(),
            time: block.timestamp.to(),
            events: deposits
                .map(|deposit| deposit.map(ChainEvent::Deposit))
                .collect::<Result<_, _>>()?,
        }))
    }

    async fn deposits(&self, block: &FullBlock) -> Result<Vec<Deposit>, NodeError> {
        let receipts = self.receipts(block).await?;
        let mut deposits = native_payments(block, &receipts, &self.addresses);
        deposits.extend(self.traces.internal_payments(self, block, &receipts).await?);
        deposits.extend(tokens::deposits(self, block, &receipts).await?);
        deposits.sort_by(|left, right| left.place.cmp(&right.place));
        Ok(deposits)
    }

    /// The receipts of exactly these transactions in exactly this block.
    async fn receipts(&self, block: &FullBlock) -> Result<Vec<Receipt>, NodeError> {
        let hash = block.header.hash;
        let receipts: Option<Vec<Receipt>> = self.rpc.call("eth_getBlockReceipts", (hash,)).await?;
        let height = block.header.number.to();
        let receipts = receipts.ok_or_else(|| reorganised(height))?;
        let belongs = |(receipt, transaction): (&Receipt, &Transaction)| {
            receipt.transaction_hash == transaction.hash && receipt.block_hash == hash
        };
        let complete = receipts.len() == block.transactions.len()
            && receipts.iter().zip(&block.transactions).all(belongs);
        if !complete {
            return Err(NodeError::Malformed(format!(
                "receipts of block {height} are not its own"
            )));
        }
        Ok(receipts)
    }
}

fn reorganised(height: u64) -> NodeError {
    NodeError::NotAvailable(format!("the chain was reorganised at {height} during the scan"))
}
