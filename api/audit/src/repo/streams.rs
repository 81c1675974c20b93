//! Streams and the nodes of the map.

use api_store::{Tx, args};
use api_verify::merkle::Hash;

use super::{from_db, hash_from_db, to_db};
use crate::AuditError;
use crate::map::Node;

/// The head of a stream's chain of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) stream: String,
    pub(crate) events: u64,
    pub(crate) head: Hash,
}

type HeadRow = (String, i64, Vec<u8>);

fn head(row: HeadRow) -> Result<Head, AuditError> {
    Ok(Head { stream: row.0, events: from_db(row.1)?, head: hash_from_db(&row.2)? })
}

pub(crate) async fn stream(
    tx: &mut Tx,
    log: i64,
    stream: &str,
) -> Result<Option<Head>, AuditError> {
    let select = "SELECT stream, events, head FROM audit_streams WHERE log_id = $1 AND stream = $2";
    let row: Option<HeadRow> = tx.fetch_optional(select, args![log, stream]).await?;
    row.map(head).transpose()
}

pub(crate) async fn save_stream(tx: &mut Tx, log: i64, head: &Head) -> Result<(), AuditError> {
    let upsert = "INSERT INTO audit_streams (log_id, stream, events, head, in_map) \
                  VALUES ($1, $2, $3, $4, $5) ON CONFLICT (log_id, stream) DO UPDATE SET \
                  events = excluded.events, head = excluded.head, in_map = excluded.in_map";
    let Head { stream, events, head } = head;
    tx.execute(upsert, args![log, stream, to_db(*events)?, *head, false]).await?;
    Ok(())
}

/// All streams.
pub(crate) async fn all_streams(tx: &mut Tx, log: i64) -> Result<Vec<Head>, AuditError> {
    let select = "SELECT stream, events, head FROM audit_streams WHERE log_id = $1 ORDER BY stream";
    let rows: Vec<HeadRow> = tx.fetch_all(select, args![log]).await?;
    rows.into_iter().map(head).collect()
}

/// The streams whose heads are not in the map yet.
pub(crate) async fn changed_streams(tx: &mut Tx, log: i64) -> Result<Vec<Head>, AuditError> {
    let select = "SELECT stream, events, head FROM audit_streams \
                  WHERE log_id = $1 AND NOT in_map ORDER BY stream";
    let rows: Vec<HeadRow> = tx.fetch_all(select, args![log]).await?;
    rows.into_iter().map(head).collect()
}

pub(crate) async fn mark_streams_mapped(tx: &mut Tx, log: i64) -> Result<(), AuditError> {
    let update = "UPDATE audit_streams SET in_map = $1 WHERE log_id = $2 AND NOT in_map";
    tx.execute(update, args![true, log]).await?;
    Ok(())
}

type NodeRow = (Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);

pub(crate) async fn map_node(tx: &mut Tx, hash: &Hash) -> Result<Node, AuditError> {
    let select = "SELECT left_hash, right_hash, leaf_key FROM audit_map_nodes WHERE hash = $1";
    let row: Option<NodeRow> = tx.fetch_optional(select, args![*hash]).await?;
    match row {
        Some((Some(left), Some(right), None)) => {
            Ok(Node::Inner { left: hash_from_db(&left)?, right: hash_from_db(&right)? })
        }
        Some((None, None, Some(key))) => Ok(Node::Leaf { key: hash_from_db(&key)? }),
        _ => Err(AuditError::damaged(format!("node {} of the map", hex::encode(hash)))),
    }
}

pub(crate) async fn save_map_node(tx: &mut Tx, hash: &Hash, node: &Node) -> Result<(), AuditError> {
    let insert = "INSERT INTO audit_map_nodes (hash, left_hash, right_hash, leaf_key) \
                  VALUES ($1, $2, $3, $4) ON CONFLICT (hash) DO NOTHING";
    let (left, right, key) = match node {
        Node::Inner { left, right } => (Some(left.to_vec()), Some(right.to_vec()), None),
        Node::Leaf { key } => (None, None, Some(key.to_vec())),
    };
    tx.execute(insert, args![*hash, left, right, key]).await?;
    Ok(())
}
