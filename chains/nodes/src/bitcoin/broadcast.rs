use bitcoin::Txid;
use bitcoin::consensus::encode::{deserialize, serialize_hex};
use bitcoin::{BlockHash, Transaction};
use chain_core::{Amount, BlockRef, BroadcastOutcome, NodeError, SignedTx, TxId, TxStatus};
use serde::Deserialize;
use serde_json::json;

use super::rpc::{NOT_FOUND, RpcError};
use super::{BitcoinNode, malformed};

/// `RPC_VERIFY_ERROR`, for example inputs that are missing or spent.
const VERIFY_ERROR: i64 = -25;
/// `RPC_VERIFY_REJECTED`: the pool's rules.
const VERIFY_REJECTED: i64 = -26;
/// `RPC_VERIFY_ALREADY_IN_UTXO_SET`.
const ALREADY_MINED: i64 = -27;
/// `RPC_DESERIALIZATION_ERROR`.
const UNREADABLE: i64 = -22;

/// A transaction in the pool or in a block.
#[derive(Deserialize)]
pub(super) struct Found {
    pub(super) hex: String,
    pub(super) blockhash: Option<BlockHash>,
    confirmations: Option<u64>,
    #[serde(default, with = "bitcoin::amount::serde::as_btc::opt")]
    fee: Option<bitcoin::Amount>,
}

/// Where a transaction was found.
pub(super) enum Place {
    Nowhere,
    Pool,
    Block { hash: BlockHash, confirmations: u64, found: Found },
}

impl BitcoinNode {
    pub(super) async fn send(&self, tx: &SignedTx) -> Result<BroadcastOutcome, NodeError> {
        if tx.chain != self.chain {
            return Err(NodeError::Refused(format!("the transaction is of {}", tx.chain)));
        }
        let parsed: Transaction = deserialize(&tx.bytes).map_err(malformed)?;
        if parsed.compute_txid().to_string() != tx.id.0 {
            return Err(malformed("the transaction has another id than it says"));
        }
        let was_known = !matches!(self.find(&tx.id).await?, Place::Nowhere);
        let sent: Result<Txid, RpcError> =
            self.rpc.call("sendrawtransaction", json!([serialize_hex(&parsed)])).await;
        match sent {
            Ok(_) if was_known => Ok(BroadcastOutcome::AlreadyKnown),
            Ok(_) => Ok(BroadcastOutcome::Accepted),
            Err(RpcError::Answer { code: ALREADY_MINED, .. }) => Ok(BroadcastOutcome::AlreadyKnown),
            Err(RpcError::Answer { code, message, .. })
                if [VERIFY_ERROR, VERIFY_REJECTED, UNREADABLE].contains(&code) =>
            {
                self.refused(&tx.id, message).await
            }
            Err(other) => Err(other.into()),
        }
    }

    /// A transaction whose outputs were spent already, or that came in meanwhile, is refused in words
    /// that fit a bad one too: so it is looked for once more.
    async fn refused(&self, tx: &TxId, reason: String) -> Result<BroadcastOutcome, NodeError> {
        match self.find(tx).await? {
            Place::Nowhere => Ok(BroadcastOutcome::Rejected { reason }),
            Place::Pool | Place::Block { .. } => Ok(BroadcastOutcome::AlreadyKnown),
        }
    }

    pub(super) async fn transaction_status(&self, tx: &TxId) -> Result<TxStatus, NodeError> {
        let (hash, confirmations, found) = match self.find(tx).await? {
            Place::Nowhere => return Ok(TxStatus::NotFound),
            Place::Pool => return Ok(TxStatus::Pending),
            Place::Block { hash, confirmations, found } => (hash, confirmations, found),
        };
        let height = self.height_of(hash).await?;
        let fee = match found.fee {
            Some(fee) => fee.to_sat(),
            None => unpaid(&found)?,
        };
        Ok(TxStatus::Included {
            block: BlockRef { height, hash: hash.to_string() },
            confirmations,
            finalized: false,
            success: true,
            fee: Amount::from(fee),
        })
    }

    /// Looks in the pool and in the best chain.
    ///
    /// # Errors
    /// [`NodeError::NotAvailable`] while the transaction index is behind the chain and the answer
    /// would be a guess.
    pub(super) async fn find(&self, tx: &TxId) -> Result<Place, NodeError> {
        let txid: Txid =
            tx.0.parse().map_err(|_| NodeError::Refused(format!("{tx} is no transaction id")))?;
        let found: Found = match self.rpc.call("getrawtransaction", json!([txid, 2])).await {
            Err(RpcError::Answer { code: NOT_FOUND, .. }) => {
                self.await_index().await?;
                return self.find_again(txid).await;
            }
            other => other?,
        };
        place(found)
    }

    async fn find_again(&self, txid: Txid) -> Result<Place, NodeError> {
        match self.rpc.call("getrawtransaction", json!([txid, 2])).await {
            Err(RpcError::Answer { code: NOT_FOUND, .. }) => Ok(Place::Nowhere),
            other => place(other?),
        }
    }

    /// Waits for the transaction index, which follows the chain in the background.
    async fn await_index(&self) -> Result<(), NodeError> {
        #[derive(Deserialize)]
        struct Indexes {
            txindex: Index,
        }
        #[derive(Deserialize)]
        struct Index {
            best_block_height: u64,
        }
        let height = self.height().await?;
        for pause_ms in [0, 20, 50, 100, 200, 400, 800] {
            tokio::time::sleep(std::time::Duration::from_millis(pause_ms)).await;
            let indexes: Indexes = self.rpc.call("getindexinfo", json!(["txindex"])).await?;
            if indexes.txindex.best_block_height >= height {
                return Ok(());
            }
        }
        Err(NodeError::NotAvailable("the node's transaction index is behind".to_owned()))
    }

    pub(super) async fn height_of(&self, hash: BlockHash) -> Result<u64, NodeError> {
        #[derive(Deserialize)]
        struct Header {
            height: u64,
        }
        let header: Header = self.rpc.call("getblockheader", json!([hash])).await?;
        Ok(header.height)
    }
}

/// The index keeps blocks that were reorganised away; they have no confirmations.
fn place(found: Found) -> Result<Place, NodeError> {
    match (found.blockhash, found.confirmations) {
        (None, _) => Ok(Place::Pool),
        (Some(hash), Some(confirmations)) if confirmations > 0 => {
            Ok(Place::Block { hash, confirmations, found })
        }
        (Some(_), _) => Ok(Place::Nowhere),
    }
}

/// A coinbase pays no fee; for any other transaction an unpruned node knows it.
fn unpaid(found: &Found) -> Result<u64, NodeError> {
    let tx: Transaction =
        bitcoin::consensus::encode::deserialize_hex(&found.hex).map_err(malformed)?;
    if tx.is_coinbase() {
        Ok(0)
    } else {
        Err(malformed("getrawtransaction: no fee; is it pruned?"))
    }
}
