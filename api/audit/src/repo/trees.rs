//! Logs, tiles and checkpoints.

use std::collections::BTreeSet;

use api_store::{Tx, args};
use api_verify::merkle::Hash;

use super::{from_db, hash_from_db, to_db};
use crate::AuditError;
use crate::tree::{TileId, Tiles};

/// How far a log has come.
#[derive(Clone, Copy)]
pub(crate) struct LogState {
    pub(crate) size: u64,
    pub(crate) sealed_size: u64,
    pub(crate) map_root: Hash,
}

/// Makes the log when it is new; answers its id.
pub(crate) async fn open_log(tx: &mut Tx, origin: &str) -> Result<i64, AuditError> {
    let insert = "INSERT INTO audit_logs (origin, map_root) VALUES ($1, $2) \
                  ON CONFLICT (origin) DO NOTHING";
    tx.execute(insert, args![origin, [0_u8; 32]]).await?;
    let (id,): (i64,) =
        tx.fetch_one("SELECT id FROM audit_logs WHERE origin = $1", args![origin]).await?;
    Ok(id)
}

type StateRow = (i64, i64, Vec<u8>);

fn state(row: &StateRow) -> Result<LogState, AuditError> {
    Ok(LogState {
        size: from_db(row.0)?,
        sealed_size: from_db(row.1)?,
        map_root: hash_from_db(&row.2)?,
    })
}

pub(crate) async fn log_state(tx: &mut Tx, log: i64) -> Result<LogState, AuditError> {
    let select = "SELECT size, sealed_size, map_root FROM audit_logs WHERE id = $1";
    state(&tx.fetch_one(select, args![log]).await?)
}

/// The same, and no other server sequences this log until the transaction ends.
pub(crate) async fn lock_log(tx: &mut Tx, log: i64) -> Result<LogState, AuditError> {
    let select = "SELECT size, sealed_size, map_root FROM audit_logs WHERE id = $1";
    let row: Option<StateRow> = tx.lock_optional(select, args![log]).await?;
    state(&row.ok_or_else(|| AuditError::damaged("the log is gone"))?)
}

pub(crate) async fn save_log(tx: &mut Tx, log: i64, state: &LogState) -> Result<(), AuditError> {
    let update = "UPDATE audit_logs SET size = $1, sealed_size = $2, map_root = $3 WHERE id = $4";
    let arguments = args![to_db(state.size)?, to_db(state.sealed_size)?, state.map_root, log];
    tx.execute(update, arguments).await?;
    Ok(())
}

/// One tile, as wide as it is.
pub(crate) async fn tile(
    tx: &mut Tx,
    log: i64,
    (level, tile): TileId,
) -> Result<Option<Vec<u8>>, AuditError> {
    let select = "SELECT hashes FROM audit_tiles WHERE log_id = $1 AND level = $2 AND tile = $3";
    let row: Option<(Vec<u8>,)> =
        tx.fetch_optional(select, args![log, i64::from(level), to_db(tile)?]).await?;
    Ok(row.map(|(hashes,)| hashes))
}

/// These tiles; those that are not there are left out.
pub(crate) async fn tiles(
    tx: &mut Tx,
    log: i64,
    ids: &BTreeSet<TileId>,
) -> Result<Tiles, AuditError> {
    let mut tiles = Tiles::new();
    for id in ids {
        if let Some(bytes) = tile(tx, log, *id).await? {
            let (hashes, []) = bytes.as_chunks::<32>() else {
                return Err(AuditError::damaged(format!("tile {} of level {}", id.1, id.0)));
            };
            tiles.insert(*id, hashes.to_vec());
        }
    }
    Ok(tiles)
}

pub(crate) async fn save_tile(
    tx: &mut Tx,
    log: i64,
    (level, tile): TileId,
    hashes: &[Hash],
) -> Result<(), AuditError> {
    let upsert = "INSERT INTO audit_tiles (log_id, level, tile, hashes) VALUES ($1, $2, $3, $4) \
                  ON CONFLICT (log_id, level, tile) DO UPDATE SET hashes = excluded.hashes";
    let arguments = args![log, i64::from(level), to_db(tile)?, hashes.concat()];
    tx.execute(upsert, arguments).await?;
    Ok(())
}

/// A signed checkpoint as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// The number of leaves.
    pub size: u64,
    /// The root.
    pub root: Hash,
    /// The whole signed note.
    pub note: String,
}

type CheckpointRow = (i64, Vec<u8>, String);

fn checkpoint(row: CheckpointRow) -> Result<StoredCheckpoint, AuditError> {
    Ok(StoredCheckpoint { size: from_db(row.0)?, root: hash_from_db(&row.1)?, note: row.2 })
}

/// The smallest checkpoint of at least `size` leaves.
pub(crate) async fn checkpoint_from(
    tx: &mut Tx,
    log: i64,
    size: u64,
) -> Result<Option<StoredCheckpoint>, AuditError> {
    let select = "SELECT size, root, note FROM audit_checkpoints \
                  WHERE log_id = $1 AND size >= $2 ORDER BY size LIMIT 1";
    let row: Option<CheckpointRow> = tx.fetch_optional(select, args![log, to_db(size)?]).await?;
    row.map(checkpoint).transpose()
}

pub(crate) async fn latest_checkpoint(
    tx: &mut Tx,
    log: i64,
) -> Result<Option<StoredCheckpoint>, AuditError> {
    let select = "SELECT size, root, note FROM audit_checkpoints \
                  WHERE log_id = $1 ORDER BY size DESC LIMIT 1";
    let row: Option<CheckpointRow> = tx.fetch_optional(select, args![log]).await?;
    row.map(checkpoint).transpose()
}

pub(crate) async fn checkpoints(
    tx: &mut Tx,
    log: i64,
) -> Result<Vec<StoredCheckpoint>, AuditError> {
    let select = "SELECT size, root, note FROM audit_checkpoints WHERE log_id = $1 ORDER BY size";
    let rows: Vec<CheckpointRow> = tx.fetch_all(select, args![log]).await?;
    rows.into_iter().map(checkpoint).collect()
}

/// Adds lines to a checkpoint's note.
pub(crate) async fn append_note(
    tx: &mut Tx,
    log: i64,
    size: u64,
    lines: &str,
) -> Result<(), AuditError> {
    let update = "UPDATE audit_checkpoints SET note = note || $1 WHERE log_id = $2 AND size = $3";
    tx.execute(update, args![lines, log, to_db(size)?]).await?;
    Ok(())
}

/// How many records have an index.
pub(crate) async fn numbered(tx: &mut Tx, log: i64) -> Result<u64, AuditError> {
    let select = "SELECT count(*) FROM audit_records WHERE log_id = $1 AND leaf_index IS NOT NULL";
    let (count,): (i64,) = tx.fetch_one(select, args![log]).await?;
    from_db(count)
}

/// Stores a checkpoint; one of the same size keeps the note that it has.
pub(crate) async fn insert_checkpoint(
    tx: &mut Tx,
    log: i64,
    checkpoint: &StoredCheckpoint,
    at_ms: i64,
) -> Result<(), AuditError> {
    let insert = "INSERT INTO audit_checkpoints (log_id, size, root, note, created_at) \
                  VALUES ($1, $2, $3, $4, $5) ON CONFLICT (log_id, size) DO NOTHING";
    let StoredCheckpoint { size, root, note } = checkpoint;
    tx.execute(insert, args![log, to_db(*size)?, *root, note, at_ms]).await?;
    Ok(())
}
