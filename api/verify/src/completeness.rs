//! Completeness: that a stream of events (a loan) is these events and no others.
//!
//! The log keeps a map from streams to the heads of their chains of events, and writes the map's
//! root as the last leaf before each checkpoint. A map has one place for each stream, so the log can
//! tell no two readers of one checkpoint different stories about the same loan.

use sha2::{Digest as _, Sha256};

use crate::checkpoint::Checkpoint;
use crate::leaf::{Leaf, LeafError};
use crate::merkle::{Hash, MerkleError, leaf_hash, verify_inclusion};
use crate::receipt::{Completeness, Record};
use crate::text;

const STREAM_TAG: &[u8] = b"roadstead.stream/v1";
const MAP_LEAF: u8 = 2;
const MAP_NODE: u8 = 3;
const EVENT: u8 = 4;
const PATH_MAX: usize = 256;
const MAP_KIND: &str = "log.map";

/// Why the events of a stream are not proved to be complete.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompletenessError {
    /// It is not what it should be.
    #[error("{0}")]
    Malformed(&'static str),
    /// The record is not among the stream's events.
    #[error("the record is not among the stream's events")]
    NotAnEvent,
    /// The events do not lead to the map's root.
    #[error("the events are not all and only those of the stream")]
    OtherEvents,
    /// The map's record.
    #[error("the map's record: {0}")]
    Map(#[from] LeafError),
    /// The map's record is not the last leaf of the checkpoint.
    #[error("the map's record is not the last leaf of the checkpoint: {0}")]
    NotLast(#[from] MerkleError),
}

/// Checks the events against the checkpoint; answers how many they are, and which of them, from
/// one, is `leaf`.
///
/// # Errors
/// [`CompletenessError`].
pub fn check(
    proof: &Completeness,
    leaf: &Hash,
    checkpoint: &Checkpoint,
) -> Result<(u64, u64), CompletenessError> {
    let malformed = CompletenessError::Malformed;
    let hashes = |list: &[String]| list.iter().map(|hash| text::base64_hash(hash)).collect();
    let events: Option<Vec<Hash>> = hashes(&proof.events);
    let events = events.ok_or(malformed("an event is not a hash"))?;
    let path: Option<Vec<Hash>> = hashes(&proof.path);
    let path = path.filter(|path| path.len() <= PATH_MAX);
    let path = path.ok_or(malformed("the path in the map is not one"))?;
    let map_proof: Option<Vec<Hash>> = hashes(&proof.map_proof);
    let map_proof = map_proof.ok_or(malformed("the map's proof is not one"))?;

    let place = events.iter().position(|event| event == leaf);
    let place = place.ok_or(CompletenessError::NotAnEvent)? as u64 + 1;
    let count = events.len() as u64;
    let (map_leaf, root) = open_map(&proof.map)?;
    if map_root(&proof.stream, count, &chain_head(&events), &path) != root {
        return Err(CompletenessError::OtherEvents);
    }
    let last = checkpoint.size.saturating_sub(1);
    verify_inclusion(last, checkpoint.size, &map_leaf, &map_proof, &checkpoint.root)?;
    Ok((count, place))
}

/// The leaf hash and the root that a map's record holds.
fn open_map(record: &Record) -> Result<(Hash, Hash), CompletenessError> {
    let malformed = CompletenessError::Malformed;
    let bytes = text::base64(&record.leaf).ok_or(malformed("the map's leaf is not base64"))?;
    Leaf::parse(&bytes)?.check(&record.fields)?;
    let field = |name: &str| {
        record.fields.iter().find(|field| field.name == name).map(|field| field.value.as_str())
    };
    if field("kind") != Some(MAP_KIND) {
        return Err(malformed("the map's record is of another kind"));
    }
    let root = field("root").and_then(text::base64_hash);
    Ok((leaf_hash(&bytes), root.ok_or(malformed("the map's record shows no root"))?))
}

fn chain_head(events: &[Hash]) -> Hash {
    let link = |head: Hash, event: &Hash| {
        Sha256::new().chain_update([EVENT]).chain_update(head).chain_update(event).finalize().into()
    };
    events.iter().fold([0; 32], link)
}

fn map_root(stream: &str, count: u64, head: &Hash, path: &[Hash]) -> Hash {
    let key: Hash = Sha256::new().chain_update(STREAM_TAG).chain_update(stream).finalize().into();
    let leaf = Sha256::new().chain_update([MAP_LEAF]).chain_update(key);
    let leaf: Hash = leaf.chain_update(count.to_be_bytes()).chain_update(head).finalize().into();
    let depths = (0..path.len()).rev();
    depths.zip(path).fold(leaf, |hash, (depth, sibling)| {
        let goes_right = key[depth / 8] >> (7 - depth % 8) & 1 == 1;
        let (left, right) = if goes_right { (sibling, &hash) } else { (&hash, sibling) };
        let node = Sha256::new().chain_update([MAP_NODE]).chain_update(left);
        node.chain_update(right).finalize().into()
    })
}
