use alloy_primitives::{B256, Bytes};
use chain_core::{Amount, BlockRef, BroadcastOutcome, NodeError, SignedTx, TxId, TxStatus};
use serde::de::IgnoredAny;

use super::answers::Receipt;
use super::rpc::{CallError, Rpc, quantity};

/// Sends a transaction. Whatever the node answers, it is only `Rejected` when the node does not have
/// it: "nonce too low" is also what a node says of a transaction that is in a block already.
pub(super) async fn broadcast(rpc: &Rpc, tx: &SignedTx) -> Result<BroadcastOutcome, NodeError> {
    if chain_evm::tx_id(&tx.bytes) != tx.id {
        return Err(NodeError::Malformed(format!("{} is not the hash of those bytes", tx.id)));
    }
    let sent: Result<B256, CallError> =
        rpc.ask("eth_sendRawTransaction", (Bytes::from(tx.bytes.clone()),)).await;
    match sent {
        Ok(hash) if hash.to_string() == tx.id.0 => Ok(BroadcastOutcome::Accepted),
        Ok(other) => Err(NodeError::Malformed(format!("sent {}, node says {other}", tx.id))),
        Err(CallError::Failed(error)) => Err(error),
        Err(error) if is_known(rpc, hash_of(&tx.id)?).await? => {
            tracing::debug!(tx = %tx.id, error = %NodeError::from(error), "already known");
            Ok(BroadcastOutcome::AlreadyKnown)
        }
        Err(CallError::Answered { code, message }) if is_verdict(code) => {
            Ok(BroadcastOutcome::Rejected { reason: message })
        }
        Err(error) => Err(error.into()),
    }
}

/// True for the codes by which nodes speak about the transaction, not about the request or about
/// themselves. -32005 is the rate limit.
fn is_verdict(code: i64) -> bool {
    code == 3 || ((-32010..=-32000).contains(&code) && code != -32005)
}

async fn is_known(rpc: &Rpc, hash: B256) -> Result<bool, NodeError> {
    let found: Option<IgnoredAny> = rpc.call("eth_getTransactionByHash", (hash,)).await?;
    Ok(found.is_some())
}

/// Where a transaction is, on the best chain.
pub(super) async fn status(rpc: &Rpc, tx: &TxId) -> Result<TxStatus, NodeError> {
    let hash = hash_of(tx)?;
    let Some(receipt) = receipt(rpc, hash).await? else {
        let known = is_known(rpc, hash).await?;
        return Ok(if known { TxStatus::Pending } else { TxStatus::NotFound });
    };
    let height: u64 = receipt.block_number.to();
    let block = BlockRef { height, hash: receipt.block_hash.to_string() };
    let head = rpc.block_ref("latest").await?;
    let on_best_chain = rpc.block_ref(&quantity(height)).await?.as_ref() == Some(&block);
    let (true, Some(head)) = (on_best_chain, head) else {
        // Its block was just replaced: the pool may or may not have it again.
        return Ok(TxStatus::Pending);
    };
    let finalized = rpc.finalized().await?;
    Ok(TxStatus::Included {
        block,
        confirmations: head.height.saturating_sub(height).saturating_add(1),
        finalized: finalized.is_some_and(|finalized| height <= finalized),
        success: receipt.succeeded(),
        fee: fee_paid(&receipt)?,
    })
}

/// The receipt of a transaction in a block; `None` otherwise.
pub(super) async fn receipt(rpc: &Rpc, hash: B256) -> Result<Option<Receipt>, NodeError> {
    rpc.call("eth_getTransactionReceipt", (hash,)).await
}

/// The hash in a transaction's id.
pub(super) fn hash_of(tx: &TxId) -> Result<B256, NodeError> {
    tx.0.parse().map_err(|_| NodeError::Malformed(format!("{tx} is not a transaction hash")))
}

fn fee_paid(receipt: &Receipt) -> Result<Amount, NodeError> {
    let fee = receipt
        .effective_gas_price
        .and_then(|price| receipt.gas_used.checked_mul(price))
        .and_then(|fee| fee.checked_add(receipt.l1_fee.unwrap_or_default()))
        .and_then(|fee| u128::try_from(fee).ok());
    fee.map(Amount::new)
        .ok_or_else(|| NodeError::Malformed("a receipt tells no fee that makes sense".to_owned()))
}
