//! Sending, and where a transaction is.

use chain_core::{AnchorEvidence, BlockRef, BroadcastOutcome, NodeError, SignedTx, TxId, TxStatus};
use serde_json::{Value, json};

use super::cost::cost;
use super::rpc::RpcError;
use super::wire::{At, SignatureStatus, WireTransaction, encode};
use super::{SolanaNode, VERSION_MAX};

/// Errors by which a node says that this transaction, as it is, cannot be taken: invalid
/// parameters, a failed preflight, a bad signature. Others are troubles of the node.
const REJECTIONS: [i64; 3] = [-32_602, -32_002, -32_003];

impl SolanaNode {
    /// Sends with preflight, so that a transaction that would fail costs nothing and, on networks
    /// that do not advance a nonce on failure, leaves it usable.
    pub(super) async fn send(&self, tx: &SignedTx) -> Result<BroadcastOutcome, NodeError> {
        if tx.chain != self.chain {
            return Err(NodeError::Refused(format!("a transaction of {}", tx.chain)));
        }
        let params = json!([encode(&tx.bytes), {
            "encoding": "base64",
            "preflightCommitment": "confirmed",
        }]);
        match self.rpc.call::<String>("sendTransaction", params).await {
            Ok(signature) if signature == tx.id.0 => Ok(BroadcastOutcome::Accepted),
            Ok(other) => Err(NodeError::Malformed(format!("another transaction id: {other}"))),
            Err(RpcError::Refused(refusal)) if refusal.is_already_processed() => {
                Ok(BroadcastOutcome::AlreadyKnown)
            }
            Err(RpcError::Refused(refusal)) if REJECTIONS.contains(&refusal.code) => {
                // A nonce that has moved on is refused in the same words, whether this transaction
                // moved it or another one did.
                let reason = refusal.reason();
                Ok(match self.signature_status(&tx.id).await?.value {
                    Some(_) => BroadcastOutcome::AlreadyKnown,
                    None => BroadcastOutcome::Rejected { reason },
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn read_status(&self, tx: &TxId) -> Result<TxStatus, NodeError> {
        let At { context, value } = self.signature_status(tx).await?;
        let Some(found) = value else { return Ok(TxStatus::NotFound) };
        let finalized = match found.confirmation_status.as_deref() {
            Some("finalized") => true,
            Some("confirmed") => false,
            _ => return Ok(TxStatus::Pending),
        };
        // Status and transaction are indexed apart; the second may lag.
        let Some(transaction) = self.transaction(tx).await? else { return Ok(TxStatus::Pending) };
        let Some(block) = self.read_block_at(transaction.slot).await? else {
            return Ok(TxStatus::Pending);
        };
        Ok(TxStatus::Included {
            confirmations: confirmations(context.slot, &block),
            block,
            finalized,
            success: found.err.is_null(),
            fee: cost(&self.chain, &transaction)?,
        })
    }

    pub(super) async fn read_evidence(&self, tx: &TxId) -> Result<AnchorEvidence, NodeError> {
        let status = self.signature_status(tx).await?.value;
        let not_yet = |what: &str| NodeError::NotAvailable(format!("{tx} is {what}"));
        let status = status.ok_or_else(|| not_yet("not found"))?;
        if !status.err.is_null() {
            return Err(not_yet("on the chain, but failed"));
        }
        if status.confirmation_status.as_deref() != Some("finalized") {
            return Err(not_yet("not final"));
        }
        let transaction = self.transaction(tx).await?;
        let transaction = transaction.ok_or_else(|| not_yet("not in the node's history"))?;
        Ok(AnchorEvidence::Solana {
            chain: self.chain.clone(),
            signature: tx.0.clone(),
            slot: transaction.slot,
            transaction: hex::encode(transaction.bytes()?),
        })
    }

    async fn signature_status(&self, tx: &TxId) -> Result<At<Option<SignatureStatus>>, NodeError> {
        let params = json!([[tx.0], { "searchTransactionHistory": true }]);
        let answer: At<Vec<Option<SignatureStatus>>> =
            self.rpc.call("getSignatureStatuses", params).await?;
        let At { context, value } = answer;
        match <[_; 1]>::try_from(value) {
            Ok([value]) => Ok(At { context, value }),
            Err(_) => Err(NodeError::Malformed("getSignatureStatuses: not one".to_owned())),
        }
    }

    async fn transaction(&self, tx: &TxId) -> Result<Option<WireTransaction>, NodeError> {
        let params: Value = json!([tx.0, {
            "encoding": "base64",
            "commitment": "confirmed",
            "maxSupportedTransactionVersion": VERSION_MAX,
        }]);
        Ok(self.rpc.call("getTransaction", params).await?)
    }
}

/// 1 for a block at the newest slot.
fn confirmations(newest: u64, block: &BlockRef) -> u64 {
    newest.saturating_sub(block.height).saturating_add(1)
}
