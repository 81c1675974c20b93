use api_store::{StoreError, Tx, args};
use chain_core::IntentId;

use super::unstored;

pub(crate) async fn insert(
    tx: &mut Tx,
    intent: IntentId,
    chain: &str,
    asset: &str,
    address: &str,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO sweeps (intent_id, chain, asset, address) VALUES ($1, $2, $3, $4)";
    tx.execute(sql, args![intent.0, chain, asset, address]).await.map(|_| ())
}

/// True while a sweep or fuelling of this address has not ended.
pub(crate) async fn is_busy(tx: &mut Tx, chain: &str, address: &str) -> Result<bool, StoreError> {
    let sql = "SELECT COUNT(*) FROM sweeps JOIN intents ON intents.id = sweeps.intent_id \
               WHERE sweeps.chain = $1 AND sweeps.address = $2 AND intents.state NOT IN ('settled', 'failed')";
    let (count,): (i64,) = tx.fetch_one(sql, args![chain, address]).await?;
    Ok(unstored(count)? > 0)
}
