use api_store::{StoreError, Tx, args};
use chain_core::BlockRef;

use super::{stored, unstored};

/// How many scanned blocks are kept for finding the fork point of a reorganisation.
const KEPT: u64 = 2_000;

#[derive(sqlx::FromRow)]
struct Row {
    height: i64,
    hash: String,
}

impl Row {
    fn check(self) -> Result<BlockRef, StoreError> {
        Ok(BlockRef { height: unstored(self.height)?, hash: self.hash })
    }
}

/// The newest scanned block.
pub(crate) async fn newest(tx: &mut Tx, chain: &str) -> Result<Option<BlockRef>, StoreError> {
    let sql =
        "SELECT height, hash FROM scanned_blocks WHERE chain = $1 ORDER BY height DESC LIMIT 1";
    tx.fetch_optional::<Row>(sql, args![chain]).await?.map(Row::check).transpose()
}

/// True while `block` is the newest scanned block; it stays so until the transaction ends, because
/// its row is locked.
pub(crate) async fn is_newest(
    tx: &mut Tx,
    chain: &str,
    block: &BlockRef,
) -> Result<bool, StoreError> {
    let sql =
        "SELECT height, hash FROM scanned_blocks WHERE chain = $1 ORDER BY height DESC LIMIT 1";
    let newest: Option<Row> = tx.lock_optional(sql, args![chain]).await?;
    Ok(newest.map(Row::check).transpose()?.as_ref() == Some(block))
}

/// The newest scanned block below `height`.
pub(crate) async fn below(
    tx: &mut Tx,
    chain: &str,
    height: u64,
) -> Result<Option<BlockRef>, StoreError> {
    let sql = "SELECT height, hash FROM scanned_blocks WHERE chain = $1 AND height < $2 \
               ORDER BY height DESC LIMIT 1";
    tx.fetch_optional::<Row>(sql, args![chain, stored(height)?]).await?.map(Row::check).transpose()
}

/// Adds a block and drops those that are too old to matter.
pub(crate) async fn insert(tx: &mut Tx, chain: &str, block: &BlockRef) -> Result<(), StoreError> {
    let sql = "INSERT INTO scanned_blocks (chain, height, hash) VALUES ($1, $2, $3)";
    tx.execute(sql, args![chain, stored(block.height)?, &block.hash]).await?;
    let oldest = stored(block.height.saturating_sub(KEPT))?;
    tx.execute("DELETE FROM scanned_blocks WHERE chain = $1 AND height < $2", args![chain, oldest])
        .await
        .map(|_| ())
}

/// Forgets the blocks above `height`, which a reorganisation took away.
pub(crate) async fn forget_above(tx: &mut Tx, chain: &str, height: u64) -> Result<u64, StoreError> {
    let sql = "DELETE FROM scanned_blocks WHERE chain = $1 AND height > $2";
    tx.execute(sql, args![chain, stored(height)?]).await
}
