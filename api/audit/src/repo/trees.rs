//! Logs, tiles and checkpoints.

use std::collections::BTreeSet;

use api_store::{Engine, Tx, args};
use api_verify::merkle::Hash;

use super::{from_db, hash_from_db, json, to_db};
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

/// The same, and no other server sequences this log until the transaction ends. Records can still be
/// written: their foreign key needs the row to stay, not to stay as it is.
pub(crate) async fn lock_log(tx: &mut Tx, log: i64) -> Result<LogState, AuditError> {
    let select = match tx.engine() {
        Engine::Sqlite => "SELECT size, sealed_size, map_root FROM audit_logs WHERE id = $1",
        Engine::Postgres => {
            "SELECT size, sealed_size, map_root FROM audit_logs WHERE id = $1 FOR NO KEY UPDATE"
        }
    };
    let row: Option<StateRow> = tx.fetch_optional(select, args![log]).await?;
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

/// These tiles, with one statement; those that are not there are left out.
pub(crate) async fn tiles(
    tx: &mut Tx,
    log: i64,
    ids: &BTreeSet<TileId>,
) -> Result<Tiles, AuditError> {
    let select = match tx.engine() {
        Engine::Sqlite => {
            "SELECT t.level, t.tile, t.hashes FROM json_each($2) AS j \
             CROSS JOIN audit_tiles AS t ON t.log_id = $1 AND t.level = j.value ->> 0 \
             AND t.tile = j.value ->> 1"
        }
        // LATERAL with a LIMIT can only be done by the index, whatever the planner knows of the table.
        Engine::Postgres => {
            "SELECT t.level, t.tile, t.hashes FROM jsonb_array_elements($2::JSONB) AS j \
             CROSS JOIN LATERAL (SELECT * FROM audit_tiles WHERE log_id = $1 \
             AND level = (j.value ->> 0)::BIGINT AND tile = (j.value ->> 1)::BIGINT LIMIT 1) AS t"
        }
    };
    let rows: Vec<(i64, i64, Vec<u8>)> = tx.fetch_all(select, args![log, json(ids)?]).await?;
    let mut tiles = Tiles::new();
    for (level, tile, bytes) in rows {
        let (hashes, []) = bytes.as_chunks::<32>() else {
            return Err(AuditError::damaged(format!("tile {tile} of level {level}")));
        };
        let level = u32::try_from(level).map_err(|_| AuditError::damaged("a tile's level"))?;
        tiles.insert((level, from_db(tile)?), hashes.to_vec());
    }
    Ok(tiles)
}

pub(crate) async fn save_tiles(
    tx: &mut Tx,
    log: i64,
    tiles: impl Iterator<Item = (TileId, &[Hash])>,
) -> Result<(), AuditError> {
    let row = |((level, tile), hashes): (TileId, &[Hash])| {
        Ok(args![log, i64::from(level), to_db(tile)?, hashes.concat()])
    };
    let rows = tiles.map(row).collect::<Result<_, AuditError>>()?;
    let wider = "ON CONFLICT (log_id, level, tile) DO UPDATE SET hashes = excluded.hashes";
    tx.insert_many("audit_tiles", "log_id, level, tile, hashes", rows, wider).await?;
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
