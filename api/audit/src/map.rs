//! The map from streams to the heads of their chains of events: a sparse Merkle tree of 256 levels
//! in which a subtree with one leaf is that leaf. Nodes are kept by their hash, so that every version
//! of the map can still be read.

use std::collections::HashMap;

use api_store::Tx;
use api_verify::merkle::Hash;
use sha2::{Digest as _, Sha256};

use crate::AuditError;
use crate::repo::streams::{self, Head};

const STREAM_TAG: &[u8] = b"roadstead.stream/v1";
const LEAF: u8 = 2;
const INNER: u8 = 3;
const EVENT: u8 = 4;
/// The hash of a subtree without leaves.
pub(crate) const EMPTY: Hash = [0; 32];
const DEPTH_MAX: usize = 256;

/// A node, named by its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Leaf { key: Hash },
    Inner { left: Hash, right: Hash },
}

/// Where a stream is in the map.
pub(crate) fn key(stream: &str) -> Hash {
    Sha256::new().chain_update(STREAM_TAG).chain_update(stream).finalize().into()
}

/// The head of a chain after one more event.
pub(crate) fn link(head: &Hash, leaf_hash: &Hash) -> Hash {
    Sha256::new().chain_update([EVENT]).chain_update(head).chain_update(leaf_hash).finalize().into()
}

fn leaf(key: &Hash, head: &Head) -> Hash {
    let hash = Sha256::new().chain_update([LEAF]).chain_update(key);
    hash.chain_update(head.events.to_be_bytes()).chain_update(head.head).finalize().into()
}

fn inner(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([INNER]).chain_update(left).chain_update(right).finalize().into()
}

const fn goes_right(key: &Hash, depth: usize) -> bool {
    key[depth / 8] >> (7 - depth % 8) & 1 == 1
}

/// A map in a transaction: reads nodes as they are needed, and keeps the new ones until
/// [`Map::save`].
#[derive(Default)]
pub(crate) struct Map {
    known: HashMap<Hash, Node>,
    new: Vec<Hash>,
}

impl Map {
    async fn node(&mut self, tx: &mut Tx, hash: &Hash) -> Result<Node, AuditError> {
        if let Some(node) = self.known.get(hash) {
            return Ok(*node);
        }
        let node = streams::map_node(tx, hash).await?;
        if let Node::Inner { left, right } = &node
            && inner(left, right) != *hash
        {
            return Err(AuditError::damaged(format!("node {} of the map", hex::encode(hash))));
        }
        self.known.insert(*hash, node);
        Ok(node)
    }

    fn add(&mut self, hash: Hash, node: Node) -> Hash {
        if self.known.insert(hash, node).is_none() {
            self.new.push(hash);
        }
        hash
    }

    /// The way from the root towards `key`: the siblings from the root down, and the leaf at its end.
    async fn descend(
        &mut self,
        tx: &mut Tx,
        root: &Hash,
        key: &Hash,
    ) -> Result<(Vec<Hash>, Option<(Hash, Hash)>), AuditError> {
        let (mut siblings, mut at) = (Vec::new(), *root);
        for depth in 0..=DEPTH_MAX {
            if at == EMPTY {
                return Ok((siblings, None));
            }
            match self.node(tx, &at).await? {
                Node::Leaf { key } => return Ok((siblings, Some((key, at)))),
                Node::Inner { .. } if depth == DEPTH_MAX => break,
                Node::Inner { left, right } => {
                    let (next, sibling) =
                        if goes_right(key, depth) { (right, left) } else { (left, right) };
                    siblings.push(sibling);
                    at = next;
                }
            }
        }
        Err(AuditError::damaged("the map is too deep"))
    }

    /// Puts a stream's head into the map; answers the new root.
    pub(crate) async fn insert(
        &mut self,
        tx: &mut Tx,
        root: &Hash,
        head: &Head,
    ) -> Result<Hash, AuditError> {
        let key = key(&head.stream);
        let (mut siblings, end) = self.descend(tx, root, &key).await?;
        // Another stream's leaf is at the end: both go down until they part.
        if let Some((other_key, other)) = end.filter(|(other_key, _)| *other_key != key) {
            while goes_right(&key, siblings.len()) == goes_right(&other_key, siblings.len()) {
                siblings.push(EMPTY);
            }
            siblings.push(other);
        }
        let mut hash = self.add(leaf(&key, head), Node::Leaf { key });
        for (depth, sibling) in siblings.iter().enumerate().rev() {
            let (left, right) =
                if goes_right(&key, depth) { (*sibling, hash) } else { (hash, *sibling) };
            hash = self.add(inner(&left, &right), Node::Inner { left, right });
        }
        Ok(hash)
    }

    /// The siblings from the stream's leaf up to the root.
    pub(crate) async fn path(
        &mut self,
        tx: &mut Tx,
        root: &Hash,
        stream: &str,
    ) -> Result<Vec<Hash>, AuditError> {
        let key = key(stream);
        match self.descend(tx, root, &key).await? {
            (mut siblings, Some((found, _))) if found == key => {
                siblings.reverse();
                Ok(siblings)
            }
            _ => Err(AuditError::damaged(format!("{stream} is not in the map"))),
        }
    }

    pub(crate) async fn save(&mut self, tx: &mut Tx) -> Result<(), AuditError> {
        let new = std::mem::take(&mut self.new);
        let nodes = new.into_iter().filter_map(|hash| Some((hash, *self.known.get(&hash)?)));
        streams::save_map_nodes(tx, nodes).await?;
        Ok(())
    }
}
