use bitcoin::block::Header;
use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Transaction, TxMerkleNode, Txid};
use chain_core::{AnchorEvidence, NodeError, TxId};
use serde_json::json;

use super::broadcast::Place;
use super::{BitcoinNode, malformed};

/// Headers after the block's own that evidence may have.
const HEADERS_MAX: u32 = 2_000;

impl BitcoinNode {
    /// The Merkle branch is computed from the whole block, and checked; there are fewer headers than
    /// asked where the chain ends before.
    pub(super) async fn anchor_evidence(
        &self,
        tx: &TxId,
        headers_after: u32,
    ) -> Result<AnchorEvidence, NodeError> {
        let Place::Block { hash, found, .. } = self.find(tx).await? else {
            return Err(NodeError::NotAvailable(format!("{tx} is in no block")));
        };
        let height = self.height_of(hash).await?;
        let block = self.raw_block(hash).await?;
        let txids: Vec<Txid> = block.txdata.iter().map(Transaction::compute_txid).collect();
        let position = txids.iter().position(|txid| txid.to_string() == tx.0);
        let position = position.ok_or_else(|| malformed("the block lacks the transaction"))?;
        let branch = merkle_branch(&txids, position);
        if root(txids[position], &branch, position) != block.header.merkle_root {
            return Err(malformed("the Merkle branch does not lead to the block's root"));
        }
        let headers = self.headers(block.header, height, headers_after.min(HEADERS_MAX)).await?;
        Ok(AnchorEvidence::Bitcoin {
            chain: self.chain.clone(),
            transaction: without_witness(&found.hex)?,
            branch: branch.iter().map(serialize_hex).collect(),
            position: u64::try_from(position).map_err(malformed)?,
            headers: headers.iter().map(serialize_hex).collect(),
            height,
        })
    }

    async fn headers(
        &self,
        first: Header,
        height: u64,
        after: u32,
    ) -> Result<Vec<Header>, NodeError> {
        let mut headers = vec![first];
        let mut last = first.block_hash();
        for height in (height.saturating_add(1)..).take(after as usize) {
            let Some(hash) = self.hash_at(height).await? else { break };
            let header = self.header(hash).await?;
            if header.prev_blockhash != last {
                return Err(NodeError::NotAvailable(
                    "the chain was reorganised while it was read; ask again".to_owned(),
                ));
            }
            last = hash;
            headers.push(header);
        }
        Ok(headers)
    }

    async fn header(&self, hash: BlockHash) -> Result<Header, NodeError> {
        let hex: String = self.rpc.call("getblockheader", json!([hash, false])).await?;
        let header: Header = deserialize_hex(&hex).map_err(malformed)?;
        if header.block_hash() != hash {
            return Err(malformed(format!("header {hash} is not what its hash says")));
        }
        Ok(header)
    }
}

/// The bytes of a transaction whose double hash is its id, in hex.
pub(super) fn without_witness(hex: &str) -> Result<String, NodeError> {
    let mut tx: Transaction = deserialize_hex(hex).map_err(malformed)?;
    for input in &mut tx.input {
        input.witness.clear();
    }
    Ok(serialize_hex(&tx))
}

/// The siblings on the way from a leaf to the root; the last node of an odd level is its own.
fn merkle_branch(txids: &[Txid], mut position: usize) -> Vec<TxMerkleNode> {
    let mut level: Vec<TxMerkleNode> = txids.iter().map(|txid| (*txid).into()).collect();
    let mut branch = Vec::new();
    while level.len() > 1 {
        let sibling = level.get(position ^ 1).or_else(|| level.get(position));
        branch.extend(sibling.copied());
        let pair = |pair: &[TxMerkleNode]| parent(pair[0], pair.get(1).copied().unwrap_or(pair[0]));
        level = level.chunks(2).map(pair).collect();
        position /= 2;
    }
    branch
}

fn parent(left: TxMerkleNode, right: TxMerkleNode) -> TxMerkleNode {
    TxMerkleNode::hash(&[left.to_byte_array(), right.to_byte_array()].concat())
}

fn root(leaf: Txid, branch: &[TxMerkleNode], position: usize) -> TxMerkleNode {
    let climb = |(hash, position): (TxMerkleNode, usize), sibling: &TxMerkleNode| {
        let above = if position % 2 == 0 { parent(hash, *sibling) } else { parent(*sibling, hash) };
        (above, position / 2)
    };
    branch.iter().fold((leaf.into(), position), climb).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_lead_to_the_root_that_rust_bitcoin_computes() {
        for count in 1_u8..40 {
            let txids: Vec<Txid> = (0..count).map(|n| Txid::from_byte_array([n; 32])).collect();
            let nodes = txids.iter().map(|txid| TxMerkleNode::from(*txid));
            let expected = bitcoin::merkle_tree::calculate_root(nodes);
            for (position, txid) in txids.iter().enumerate() {
                let branch = merkle_branch(&txids, position);
                assert_eq!(Some(root(*txid, &branch, position)), expected, "{position} of {count}");
            }
        }
    }

    #[test]
    fn another_leaf_leads_elsewhere() {
        let txids: Vec<Txid> = (0..5).map(|n| Txid::from_byte_array([n; 32])).collect();
        let branch = merkle_branch(&txids, 2);
        assert_ne!(root(txids[3], &branch, 2), root(txids[2], &branch, 2));
    }
}
