use std::collections::{HashMap, HashSet};

use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::{BlockHash, ScriptBuf, Transaction, Txid};
use chain_core::{
    Address, Amount, Block, BlockRef, ChainEvent, NodeError, OutPoint, ScannedAmount,
    ScannedDeposit, TxId, UncheckedAddress, WatchSet,
};
use serde_json::json;

use super::{BitcoinNode, malformed};

/// Our addresses by their locking scripts.
type Watched = HashMap<ScriptBuf, Address>;

impl BitcoinNode {
    pub(super) async fn scan_blocks(
        &self,
        from: u64,
        to: u64,
        watch: &WatchSet,
    ) -> Result<Vec<Block>, NodeError> {
        let watched = self.watched(watch)?;
        let mut blocks: Vec<Block> = Vec::new();
        for height in from..=to {
            let Some(hash) = self.hash_at(height).await? else { break };
            let block = self.raw_block(hash).await?;
            let read = self.read_block(height, &block, &watched);
            if blocks.last().is_some_and(|last| last.block.hash != read.parent_hash) {
                return Err(NodeError::NotAvailable(
                    "the chain was reorganised while it was read; scan again".to_owned(),
                ));
            }
            blocks.push(read);
        }
        Ok(blocks)
    }

    /// A whole block, checked against its hash; what the node says of it beside that is not asked.
    pub(super) async fn raw_block(&self, hash: BlockHash) -> Result<bitcoin::Block, NodeError> {
        let hex: String = self.rpc.call("getblock", json!([hash, 0])).await?;
        let block: bitcoin::Block = deserialize_hex(&hex).map_err(malformed)?;
        if block.block_hash() != hash || !block.check_merkle_root() || lists_twice(&block) {
            return Err(malformed(format!("block {hash} is not what its hash says")));
        }
        Ok(block)
    }

    fn watched(&self, watch: &WatchSet) -> Result<Watched, NodeError> {
        let script = |text: &String| {
            let unchecked = UncheckedAddress(text.clone());
            let address = chain_bitcoin::check_address(&self.chain, &unchecked)?;
            Ok((chain_bitcoin::script_of(&address)?, address))
        };
        watch
            .addresses
            .iter()
            .map(script)
            .collect::<Result<_, chain_core::IdError>>()
            .map_err(|error| NodeError::Refused(error.to_string()))
    }

    fn read_block(&self, height: u64, block: &bitcoin::Block, watched: &Watched) -> Block {
        let events = block.txdata.iter().flat_map(|tx| self.events(tx, watched)).collect();
        Block {
            block: BlockRef { height, hash: block.block_hash().to_string() },
            parent_hash: block.header.prev_blockhash.to_string(),
            time: u64::from(block.header.time),
            events,
        }
    }

    /// The coins that a transaction spends, then the deposits that it makes.
    fn events(&self, tx: &Transaction, watched: &Watched) -> Vec<ChainEvent> {
        let by = TxId(tx.compute_txid().to_string());
        let coinbase = tx.is_coinbase();
        let spent = tx.input.iter().filter(|_| !coinbase).map(|input| ChainEvent::Spent {
            coin: OutPoint {
                txid: TxId(input.previous_output.txid.to_string()),
                vout: input.previous_output.vout,
            },
            by: by.clone(),
        });
        let deposits = (0_u32..).zip(&tx.output).filter_map(|(vout, output)| {
            let to = watched.get(&output.script_pubkey)?;
            Some(ChainEvent::Deposit(ScannedDeposit {
                tx: by.clone(),
                position: format!("vout:{vout}"),
                to: to.clone(),
                asset: self.chain.native(),
                amount: ScannedAmount::Exact(Amount::from(output.value.to_sat())),
                coinbase,
            }))
        });
        spent.chain(deposits).collect()
    }
}

/// The Merkle tree repeats the last node of an odd level, so that a block whose last transactions are
/// listed twice has the hash of the one where they are not (CVE-2012-2459).
fn lists_twice(block: &bitcoin::Block) -> bool {
    let txids: HashSet<Txid> = block.txdata.iter().map(Transaction::compute_txid).collect();
    txids.len() != block.txdata.len()
}
