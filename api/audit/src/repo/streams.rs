//! Streams and the nodes of the map.

use api_store::{Engine, Tx, args};
use api_verify::merkle::Hash;

use super::{from_db, hash_from_db, json, to_db};
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

/// These streams; those that are not there are left out.
pub(crate) async fn streams(
    tx: &mut Tx,
    log: i64,
    names: &[&str],
) -> Result<Vec<Head>, AuditError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let select = match tx.engine() {
        Engine::Sqlite => {
            "SELECT s.stream, s.events, s.head FROM json_each($2) AS j \
             CROSS JOIN audit_streams AS s ON s.log_id = $1 AND s.stream = j.value"
        }
        Engine::Postgres => {
            "SELECT s.stream, s.events, s.head FROM jsonb_array_elements_text($2::JSONB) AS j \
             CROSS JOIN LATERAL (SELECT * FROM audit_streams \
             WHERE log_id = $1 AND stream = j.value LIMIT 1) AS s"
        }
    };
    let rows: Vec<HeadRow> = tx.fetch_all(select, args![log, json(names)?]).await?;
    rows.into_iter().map(head).collect()
}

pub(crate) async fn save_streams(
    tx: &mut Tx,
    log: i64,
    heads: impl Iterator<Item = &Head>,
) -> Result<(), AuditError> {
    let row = |Head { stream, events, head }: &Head| {
        Ok(args![log, stream, to_db(*events)?, *head, false])
    };
    let rows = heads.map(row).collect::<Result<_, AuditError>>()?;
    let longer = "ON CONFLICT (log_id, stream) DO UPDATE SET \
                  events = excluded.events, head = excluded.head, in_map = excluded.in_map";
    let columns = "log_id, stream, events, head, in_map";
    tx.insert_many("audit_streams", columns, rows, longer).await?;
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

pub(crate) async fn save_map_nodes(
    tx: &mut Tx,
    nodes: impl Iterator<Item = (Hash, Node)>,
) -> Result<(), AuditError> {
    let row = |(hash, node): (Hash, Node)| {
        let (left, right, key) = match node {
            Node::Inner { left, right } => (Some(left.to_vec()), Some(right.to_vec()), None),
            Node::Leaf { key } => (None, None, Some(key.to_vec())),
        };
        args![hash, left, right, key]
    };
    let columns = "hash, left_hash, right_hash, leaf_key";
    let keep = "ON CONFLICT (hash) DO NOTHING";
    tx.insert_many("audit_map_nodes", columns, nodes.map(row).collect(), keep).await?;
    Ok(())
}
