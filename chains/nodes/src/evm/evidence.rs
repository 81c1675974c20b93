use alloy_consensus::{Eip658Value, Header, ReceiptWithBloom};
use alloy_primitives::{B256, Log, hex, keccak256};
use chain_core::{AnchorEvidence, ChainId, NodeError, TxId};
use chain_evm::{anchor_contract_address, anchored_event, receipt_proof};

use super::answers::Receipt;
use super::rpc::Rpc;
use super::send::{hash_of, receipt};

/// Proves the receipt of an anchor in its block. Proof and header are checked here before they are
/// given away: a network whose headers or receipts have a form of their own gets an error, not a
/// proof that nobody can verify.
pub(super) async fn evidence(
    chain: &ChainId,
    rpc: &Rpc,
    tx: &TxId,
) -> Result<AnchorEvidence, NodeError> {
    let receipt = receipt(rpc, hash_of(tx)?).await?;
    let receipt =
        receipt.ok_or_else(|| NodeError::NotAvailable(format!("{tx} is in no block yet")))?;
    let log = anchor_log(chain, &receipt)
        .ok_or_else(|| NodeError::NotAvailable(format!("{tx} anchored nothing")))?;
    let header = header(rpc, receipt.block_hash).await?;
    let index = receipt.transaction_index.to::<u64>();
    let proof = proof(rpc, &header, receipt.block_hash, index).await?;
    Ok(AnchorEvidence::Evm {
        chain: chain.clone(),
        tx: tx.clone(),
        index,
        proof,
        header: hex::encode(alloy_rlp::encode(&header)),
        contract: anchor_contract_address(chain).to_string(),
        log,
    })
}

fn anchor_log(chain: &ChainId, receipt: &Receipt) -> Option<u64> {
    if !receipt.succeeded() {
        return None;
    }
    let is_anchor = |log: &Log| anchored_event(chain, log.address, &log.data).is_some();
    let index = receipt.logs.iter().position(|entry| is_anchor(&entry.to_log()))?;
    u64::try_from(index).ok()
}

async fn header(rpc: &Rpc, block: B256) -> Result<Header, NodeError> {
    let header: Option<Header> = rpc.call("eth_getBlockByHash", (block, false)).await?;
    let header = header.ok_or_else(|| NodeError::NotAvailable(format!("{block} is gone")))?;
    if keccak256(alloy_rlp::encode(&header)) == block {
        Ok(header)
    } else {
        Err(unprovable("the header", block))
    }
}

async fn proof(
    rpc: &Rpc,
    header: &Header,
    block: B256,
    index: u64,
) -> Result<Vec<String>, NodeError> {
    let receipts: Option<Vec<Receipt>> = rpc.call("eth_getBlockReceipts", (block,)).await?;
    let receipts = receipts.ok_or_else(|| NodeError::NotAvailable(format!("{block} is gone")))?;
    let encoded: Option<Vec<Vec<u8>>> = receipts.iter().map(encode).collect();
    let encoded = encoded.ok_or_else(|| unprovable("a receipt", block))?;
    let index = usize::try_from(index).map_err(|_| unprovable("the index", block))?;
    let proof = receipt_proof(&encoded, index)
        .map_err(|error| NodeError::Malformed(format!("block {block}: {error}")))?;
    if proof.root != header.receipts_root {
        return Err(unprovable("the receipts' root", block));
    }
    Ok(proof.nodes.iter().map(hex::encode).collect())
}

fn unprovable(what: &str, block: B256) -> NodeError {
    NodeError::Malformed(format!("{what} of block {block} does not have the hash that it should"))
}

/// A receipt as the trie holds it: the type byte, unless it is a legacy one, and the RLP (EIP-2718).
/// `None` for a type that cannot be.
fn encode(receipt: &Receipt) -> Option<Vec<u8>> {
    let consensus = alloy_consensus::Receipt {
        status: Eip658Value::Eip658(receipt.succeeded()),
        cumulative_gas_used: receipt.cumulative_gas_used.to(),
        logs: receipt.logs.iter().map(super::answers::LogEntry::to_log).collect::<Vec<Log>>(),
    };
    let with_bloom = ReceiptWithBloom { receipt: consensus, logs_bloom: receipt.logs_bloom };
    let mut bytes = Vec::new();
    match u8::try_from(receipt.kind).ok()? {
        0 => {}
        kind @ 1..=0x7f => bytes.push(kind),
        _ => return None,
    }
    alloy_rlp::Encodable::encode(&with_bloom, &mut bytes);
    Some(bytes)
}
