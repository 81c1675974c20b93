use std::collections::BTreeSet;

use api_store::{StoreError, Tx, args};
use chain_core::{Amount, OutPoint, TxId};
use uuid::Uuid;

use super::{parse, stored};

/// An output of ours on Bitcoin.
#[derive(Clone, Debug)]
pub(crate) struct StoredCoin {
    pub(crate) outpoint: OutPoint,
    pub(crate) amount: Amount,
    pub(crate) address: String,
}

#[derive(sqlx::FromRow)]
struct Row {
    txid: String,
    vout: i64,
    amount: String,
    address: String,
}

impl Row {
    fn check(self) -> Result<StoredCoin, StoreError> {
        let vout = u32::try_from(self.vout).map_err(|_| StoreError::Damaged("vout".into()))?;
        Ok(StoredCoin {
            outpoint: OutPoint { txid: TxId(self.txid), vout },
            amount: parse("amount", &self.amount)?,
            address: self.address,
        })
    }
}

/// Adds a coin; one that is known moves to its new block.
pub(crate) async fn insert(
    tx: &mut Tx,
    chain: &str,
    coin: &StoredCoin,
    height: u64,
    coinbase: bool,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO coins (chain, txid, vout, amount, address, height, coinbase) \
               VALUES ($1, $2, $3, $4, $5, $6, $7) \
               ON CONFLICT (chain, txid, vout) DO UPDATE SET height = excluded.height";
    let outpoint = &coin.outpoint;
    let values = args![
        chain,
        &outpoint.txid.0,
        outpoint.vout,
        coin.amount.to_string(),
        &coin.address,
        stored(height)?,
        coinbase,
    ];
    tx.execute(sql, values).await.map(|_| ())
}

/// Every coin of ours that no block has spent yet.
pub(crate) async fn unspent(tx: &mut Tx, chain: &str) -> Result<BTreeSet<OutPoint>, StoreError> {
    let sql = "SELECT txid, vout, amount, address FROM coins WHERE chain = $1 AND spent_by IS NULL";
    let rows: Vec<Row> = tx.fetch_all(sql, args![chain]).await?;
    rows.into_iter().map(|row| Ok(row.check()?.outpoint)).collect()
}

/// Marks a coin of ours as spent in a block; does nothing for others' coins.
pub(crate) async fn spend(
    tx: &mut Tx,
    chain: &str,
    coin: &OutPoint,
    by: &TxId,
    height: u64,
) -> Result<(), StoreError> {
    let sql = "UPDATE coins SET spent_by = $1, spent_height = $2 WHERE chain = $3 AND txid = $4 AND vout = $5";
    tx.execute(sql, args![&by.0, stored(height)?, chain, &coin.txid.0, coin.vout]).await.map(|_| ())
}

/// Undoes what blocks above `height` did.
pub(crate) async fn forget_above(tx: &mut Tx, chain: &str, height: u64) -> Result<(), StoreError> {
    let height = stored(height)?;
    let sql = "UPDATE coins SET spent_by = NULL, spent_height = NULL WHERE chain = $1 AND spent_height > $2";
    tx.execute(sql, args![chain, height]).await?;
    tx.execute("DELETE FROM coins WHERE chain = $1 AND height > $2", args![chain, height])
        .await
        .map(|_| ())
}

/// The coins that may be spent now: in a block at or below `height_max` (coinbase: `coinbase_max`),
/// not spent and not reserved by another intent.
pub(crate) async fn spendable(
    tx: &mut Tx,
    chain: &str,
    height_max: u64,
    coinbase_max: u64,
) -> Result<Vec<StoredCoin>, StoreError> {
    let sql = "SELECT txid, vout, amount, address FROM coins \
               WHERE chain = $1 AND spent_by IS NULL AND reserved_by IS NULL \
                 AND ((NOT coinbase AND height <= $2) OR (coinbase AND height <= $3)) \
               ORDER BY height, txid, vout";
    let rows: Vec<Row> =
        tx.fetch_all(sql, args![chain, stored(height_max)?, stored(coinbase_max)?]).await?;
    rows.into_iter().map(Row::check).collect()
}

/// The coins that an intent has reserved.
pub(crate) async fn of_intent(tx: &mut Tx, intent: Uuid) -> Result<Vec<StoredCoin>, StoreError> {
    let sql =
        "SELECT txid, vout, amount, address FROM coins WHERE reserved_by = $1 ORDER BY txid, vout";
    let rows: Vec<Row> = tx.fetch_all(sql, args![intent]).await?;
    rows.into_iter().map(Row::check).collect()
}

/// Reserves a coin for an intent; false when another has it.
pub(crate) async fn reserve(
    tx: &mut Tx,
    chain: &str,
    coin: &OutPoint,
    intent: Uuid,
) -> Result<bool, StoreError> {
    let sql = "UPDATE coins SET reserved_by = $1 WHERE chain = $2 AND txid = $3 AND vout = $4 \
               AND spent_by IS NULL AND (reserved_by IS NULL OR reserved_by = $1)";
    Ok(tx.execute(sql, args![intent, chain, &coin.txid.0, coin.vout]).await? == 1)
}

/// Releases what an intent reserved: only before anything was signed for it, or once it is settled.
pub(crate) async fn release(tx: &mut Tx, intent: Uuid) -> Result<(), StoreError> {
    tx.execute("UPDATE coins SET reserved_by = NULL WHERE reserved_by = $1", args![intent])
        .await
        .map(|_| ())
}
