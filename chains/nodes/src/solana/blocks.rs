//! Tip and blocks.

use chain_core::{Block, BlockRef, ChainEvent, NodeError, Tip, WatchSet};
use serde_json::json;
use tokio::task::JoinSet;

use super::deposits::deposits;
use super::rpc::{Rpc, RpcError};
use super::wire::WireBlock;
use super::{SolanaNode, VERSION_MAX};

/// The most slots that one scan may cover.
const SLOTS_MAX: u64 = 500;

/// How many blocks are fetched at once.
const AT_ONCE: usize = 8;

/// Errors for a slot that has no block and never will: skipped, or missing in long-term storage.
const SKIPPED: [i64; 2] = [-32_007, -32_009];

impl SolanaNode {
    pub(super) async fn read_tip(&self) -> Result<Tip, NodeError> {
        let finalized = self.slot("finalized").await?;
        let confirmed = self.slot("confirmed").await?.max(finalized);
        // The newest slot may have no block yet, or none at all.
        let from = finalized.max(confirmed.saturating_sub(SLOTS_MAX));
        let height = self.slots(from, confirmed).await?.last().copied().unwrap_or(finalized);
        let head = self.read_block_at(height).await?.ok_or_else(|| {
            NodeError::NotAvailable(format!("the node has no block at its tip, slot {height}"))
        })?;
        Ok(Tip { head, finalized: Some(finalized) })
    }

    pub(super) async fn read_block_at(&self, slot: u64) -> Result<Option<BlockRef>, NodeError> {
        let block = block(&self.rpc, slot, "none").await?;
        Ok(block.map(|block| BlockRef { height: slot, hash: block.blockhash }))
    }

    /// The confirmed blocks of a range of slots. The caller credits nothing above the finalized
    /// slot of the tip.
    pub(super) async fn read_blocks(
        &self,
        from: u64,
        to: u64,
        watch: &WatchSet,
    ) -> Result<Vec<Block>, NodeError> {
        if to < from {
            return Ok(Vec::new());
        }
        if to.saturating_sub(from) >= SLOTS_MAX {
            return Err(NodeError::Refused(format!("at most {SLOTS_MAX} slots a scan")));
        }
        let head = self.slot("confirmed").await?;
        if head < to {
            return Err(NodeError::NotAvailable(format!("the node is at slot {head}, not {to}")));
        }
        let mut blocks: Vec<Block> = Vec::new();
        for slots in self.slots(from, to).await?.chunks(AT_ONCE) {
            for (slot, wire) in self.fetch(slots).await? {
                let block = self.block(slot, &wire, watch)?;
                // A node that forgot a block in between would hide deposits.
                let parent = blocks.last().map(|parent| parent.block.hash.as_str());
                if parent.is_some_and(|parent| parent != block.parent_hash) {
                    let reason = format!("there is a hole in the chain below slot {slot}");
                    return Err(NodeError::NotAvailable(reason));
                }
                blocks.push(block);
            }
        }
        Ok(blocks)
    }

    async fn slot(&self, commitment: &str) -> Result<u64, NodeError> {
        Ok(self.rpc.call("getSlot", json!([{ "commitment": commitment }])).await?)
    }

    /// The slots of a range that have a confirmed block, in order.
    async fn slots(&self, from: u64, to: u64) -> Result<Vec<u64>, NodeError> {
        let params = json!([from, to, { "commitment": "confirmed" }]);
        let slots: Vec<u64> = self.rpc.call("getBlocks", params).await?;
        let inside = slots.iter().all(|slot| (from..=to).contains(slot));
        if inside && slots.is_sorted_by(|left, right| left < right) {
            Ok(slots)
        } else {
            Err(NodeError::Malformed("getBlocks: slots out of order or range".to_owned()))
        }
    }

    async fn fetch(&self, slots: &[u64]) -> Result<Vec<(u64, WireBlock)>, NodeError> {
        let mut tasks = JoinSet::new();
        for slot in slots.iter().copied() {
            let rpc = self.rpc.clone();
            tasks.spawn(async move { (slot, block(&rpc, slot, "accounts").await) });
        }
        let mut blocks = Vec::new();
        while let Some(done) = tasks.join_next().await {
            let (slot, block) = done.map_err(|error| NodeError::Unreachable(error.to_string()))?;
            let missing = || NodeError::NotAvailable(format!("the node has lost block {slot}"));
            blocks.push((slot, block?.ok_or_else(missing)?));
        }
        blocks.sort_unstable_by_key(|(slot, _)| *slot);
        Ok(blocks)
    }

    fn block(&self, slot: u64, wire: &WireBlock, watch: &WatchSet) -> Result<Block, NodeError> {
        let missing = |what: &str| NodeError::Malformed(format!("block {slot} without {what}"));
        let transactions = wire.transactions.as_ref().ok_or_else(|| missing("transactions"))?;
        let mut events = Vec::new();
        for transaction in transactions {
            let found = deposits(&self.chain, transaction, watch)?;
            events.extend(found.into_iter().map(ChainEvent::Deposit));
        }
        let time = wire.block_time.and_then(|time| u64::try_from(time).ok());
        Ok(Block {
            block: BlockRef { height: slot, hash: wire.blockhash.clone() },
            parent_hash: wire.previous_blockhash.clone(),
            time: time.ok_or_else(|| missing("a time"))?,
            events,
        })
    }
}

async fn block(rpc: &Rpc, slot: u64, details: &str) -> Result<Option<WireBlock>, NodeError> {
    let params = json!([slot, {
        "commitment": "confirmed",
        "encoding": "base64",
        "transactionDetails": details,
        "rewards": false,
        "maxSupportedTransactionVersion": VERSION_MAX,
    }]);
    match rpc.call("getBlock", params).await {
        Err(RpcError::Refused(refusal)) if SKIPPED.contains(&refusal.code) => Ok(None),
        answer => Ok(answer?),
    }
}
