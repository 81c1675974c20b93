//! The Merkle tree as C2SP tiles: which hashes a proof needs, which tiles hold them, and how tiles
//! grow. No database.

use std::collections::{BTreeMap, BTreeSet};

use api_verify::merkle::{Hash, empty_root, leaf_hash, node_hash};

use crate::AuditError;

/// Hashes in a full tile.
pub(crate) const TILE_WIDTH: u64 = 256;
/// Levels of the tree in one tile.
const TILE_HEIGHT: u32 = 8;

/// A tile by its level and its index in the level.
pub(crate) type TileId = (u32, u64);

/// Consecutive leaves `start..end` whose subtree's hash is wanted. `start` is a multiple of the
/// largest power of two that is not above the range's length.
pub(crate) type Range = (u64, u64);

/// A complete subtree: the `index`-th of those with `2^level` leaves.
type Node = (u32, u64);

/// The ranges of an inclusion proof (RFC 6962 section 2.1.1), from the leaf's sibling up.
pub(crate) fn inclusion_ranges(index: u64, size: u64) -> Vec<Range> {
    let mut ranges = Vec::new();
    let (mut start, mut end) = (0, size);
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            ranges.push((middle, end));
            end = middle;
        } else {
            ranges.push((start, middle));
            start = middle;
        }
    }
    ranges.reverse();
    ranges
}

/// The ranges of a consistency proof (RFC 6962 section 2.1.2), `0 < from <= to`.
pub(crate) fn consistency_ranges(from: u64, to: u64) -> Vec<Range> {
    let mut ranges = Vec::new();
    let (mut start, mut end) = (0, to);
    while end != from {
        let middle = start + split(end - start);
        if from <= middle {
            ranges.push((middle, end));
            end = middle;
        } else {
            ranges.push((start, middle));
            start = middle;
        }
    }
    // The older tree itself is known to the reader when it is a complete subtree from the left.
    if start != 0 {
        ranges.push((start, end));
    }
    ranges.reverse();
    ranges
}

/// The largest power of two below `length`.
const fn split(length: u64) -> u64 {
    1 << (length - 1).ilog2()
}

/// The complete subtrees of a range, from the left.
fn nodes((mut start, end): Range) -> Vec<Node> {
    let mut nodes = Vec::new();
    while start < end {
        let aligned = if start == 0 { u64::BITS } else { start.trailing_zeros() };
        let level = aligned.min((end - start).ilog2());
        nodes.push((level, start >> level));
        start += 1 << level;
    }
    nodes
}

/// The tile that holds a complete subtree, and the hashes in it that make it up.
fn place((level, index): Node) -> (TileId, std::ops::Range<usize>) {
    let above = level % TILE_HEIGHT;
    let first = index << above;
    let from = usize::try_from(first % TILE_WIDTH).unwrap_or_default();
    ((level / TILE_HEIGHT, first / TILE_WIDTH), from..from + (1 << above))
}

/// The tiles that these ranges are made from.
pub(crate) fn tiles_of(ranges: &[Range]) -> BTreeSet<TileId> {
    ranges.iter().flat_map(|range| nodes(*range)).map(|node| place(node).0).collect()
}

/// Tiles in memory.
pub(crate) type Tiles = BTreeMap<TileId, Vec<Hash>>;

/// The hash of each range, from the tiles that `tile` finds.
pub(crate) fn hashes<'t>(
    ranges: &[Range],
    tile: impl Fn(TileId) -> Option<&'t [Hash]>,
) -> Result<Vec<Hash>, AuditError> {
    ranges.iter().map(|range| range_hash(*range, &tile)).collect()
}

/// The hash of the subtree over a range.
fn range_hash<'t>(
    range: Range,
    tile: impl Fn(TileId) -> Option<&'t [Hash]>,
) -> Result<Hash, AuditError> {
    let mut hashes = Vec::new();
    for node in nodes(range) {
        hashes.push(node_root(node, &tile)?);
    }
    let last = hashes.pop();
    Ok(last.map_or_else(empty_root, |last| {
        hashes.iter().rev().fold(last, |right, left| node_hash(left, &right))
    }))
}

/// The hash of a complete subtree.
fn node_root<'t>(
    node: Node,
    tile: impl Fn(TileId) -> Option<&'t [Hash]>,
) -> Result<Hash, AuditError> {
    let (id, part) = place(node);
    let part = tile(id).and_then(|tile| tile.get(part));
    let part = part.ok_or_else(|| {
        AuditError::damaged(format!("tile {} of level {} is not there", id.1, id.0))
    })?;
    Ok(complete_root(part))
}

/// The root over a power of two of hashes.
fn complete_root(hashes: &[Hash]) -> Hash {
    let mut level = hashes.to_vec();
    while level.len() > 1 {
        level = level.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
    }
    level.first().copied().unwrap_or_default()
}

/// A tile that is not full.
#[derive(Default)]
struct Growing {
    tile: u64,
    hashes: Vec<Hash>,
    /// Whether it is wider than it was stored.
    wider: bool,
}

/// A tree that grows: every hash is computed once.
pub(crate) struct Growth {
    size: u64,
    /// By level, the complete subtree that waits for its right neighbour: one for each bit of the size.
    peaks: Vec<Hash>,
    /// The last tile of each level of tiles.
    growing: Vec<Growing>,
    /// The tiles that became full.
    full: Tiles,
}

impl Growth {
    /// The partial tiles that [`Growth::new`] needs.
    pub(crate) fn needed(size: u64) -> BTreeSet<TileId> {
        let levels = (0..).map(|level| (level, size.checked_shr(level * TILE_HEIGHT).unwrap_or(0)));
        let levels = levels.take_while(|(_, width)| *width > 0);
        let partial = levels.filter(|(_, width)| width % TILE_WIDTH != 0);
        partial.map(|(level, width)| (level, width / TILE_WIDTH)).collect()
    }

    /// The tree of `size` leaves with the partial tiles that it needs.
    pub(crate) fn new(size: u64, mut tiles: Tiles) -> Result<Self, AuditError> {
        let mut peaks = vec![Hash::default(); u64::BITS as usize];
        for level in (0..u64::BITS).filter(|level| size >> level & 1 == 1) {
            let node = (level, (size >> level) - 1);
            peaks[level as usize] = node_root(node, |id| tiles.get(&id).map(Vec::as_slice))?;
        }
        let last = |level| size.checked_shr(level * TILE_HEIGHT).unwrap_or(0) / TILE_WIDTH;
        let growing = (0..u64::BITS / TILE_HEIGHT).map(|level| {
            let tile = last(level);
            let hashes = tiles.remove(&(level, tile)).unwrap_or_default();
            Growing { tile, hashes, wider: false }
        });
        Ok(Self { size, peaks, growing: growing.collect(), full: Tiles::new() })
    }

    /// The empty tree.
    pub(crate) fn empty() -> Self {
        let growing = (0..u64::BITS / TILE_HEIGHT).map(|_| Growing::default()).collect();
        Self { size: 0, peaks: vec![Hash::default(); 64], growing, full: Tiles::new() }
    }

    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf by its hash.
    pub(crate) fn push(&mut self, leaf: Hash) {
        let (mut hash, mut level) = (leaf, 0);
        loop {
            if level % TILE_HEIGHT == 0 {
                self.store(level / TILE_HEIGHT, hash);
            }
            let peak = &mut self.peaks[level as usize];
            if self.size >> level & 1 == 0 {
                *peak = hash;
                break;
            }
            hash = node_hash(peak, &hash);
            level += 1;
        }
        self.size += 1;
    }

    /// Puts a hash at the end of a level of tiles.
    fn store(&mut self, level: u32, hash: Hash) {
        let growing = &mut self.growing[level as usize];
        if growing.hashes.is_empty() {
            growing.hashes.reserve_exact(256);
        }
        growing.hashes.push(hash);
        growing.wider = true;
        if growing.hashes.len() as u64 == TILE_WIDTH {
            let tile = growing.tile;
            let next = Growing { tile: tile + 1, ..Growing::default() };
            self.full.insert((level, tile), std::mem::replace(growing, next).hashes);
        }
    }

    /// The root.
    pub(crate) fn root(&self) -> Hash {
        let levels = (0..u64::BITS).filter(|level| self.size >> level & 1 == 1);
        let mut peaks = levels.map(|level| self.peaks[level as usize]);
        let Some(smallest) = peaks.next() else { return empty_root() };
        peaks.fold(smallest, |right, left| node_hash(&left, &right))
    }

    /// A tile that became full here or is still growing.
    fn tile(&self, id: TileId) -> Option<&[Hash]> {
        let growing = self.growing.get(id.0 as usize);
        match growing.filter(|growing| growing.tile == id.1) {
            Some(growing) => Some(&growing.hashes),
            None => self.full.get(&id).map(Vec::as_slice),
        }
    }

    /// The tiles that are new or wider than before.
    pub(crate) fn changed(&self) -> impl Iterator<Item = (TileId, &[Hash])> {
        let full = self.full.iter().map(|(id, hashes)| (*id, hashes.as_slice()));
        let growing = (0..).zip(&self.growing).filter(|(_, growing)| growing.wider);
        full.chain(growing.map(|(level, growing)| ((level, growing.tile), &growing.hashes[..])))
    }
}

/// A whole tree in memory, of the same tiles: for tools that have the entries.
pub struct MemoryTree(Growth);

impl Default for MemoryTree {
    fn default() -> Self {
        Self(Growth::empty())
    }
}

impl MemoryTree {
    /// Adds an entry.
    pub fn push(&mut self, entry: &[u8]) {
        self.0.push(leaf_hash(entry));
    }

    /// The number of entries.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.0.size()
    }

    /// The root (RFC 6962 section 2.1).
    #[must_use]
    pub fn root(&self) -> Hash {
        self.0.root()
    }

    /// The inclusion proof of the entry at `index`.
    ///
    /// # Errors
    /// [`AuditError::OutOfRange`].
    pub fn inclusion_proof(&self, index: u64) -> Result<Vec<Hash>, AuditError> {
        let size = self.size();
        if index >= size {
            return Err(AuditError::OutOfRange { wanted: index, size });
        }
        hashes(&inclusion_ranges(index, size), |id| self.0.tile(id))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api_verify::merkle::{verify_consistency, verify_inclusion};
    use proptest::prelude::*;

    use super::*;

    fn grown(size: u64) -> (Vec<Hash>, Tiles) {
        let leaves: Vec<Hash> = (0..size).map(|leaf| leaf_hash(&leaf.to_be_bytes())).collect();
        let mut tree = Growth::empty();
        leaves.iter().for_each(|leaf| tree.push(*leaf));
        (leaves, tree.changed().map(|(id, tile)| (id, tile.to_vec())).collect())
    }

    fn root_of(tiles: &Tiles, size: u64) -> Hash {
        range_hash((0, size), |id| tiles.get(&id).map(Vec::as_slice)).unwrap()
    }

    fn proof(ranges: &[Range], tiles: &Tiles) -> Vec<Hash> {
        hashes(ranges, |id| tiles.get(&id).map(Vec::as_slice)).unwrap()
    }

    /// RFC 6962 section 2.1, as it is written there.
    fn root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
                node_hash(&root(left), &root(right))
            }
        }
    }

    #[test]
    fn roots_are_those_of_the_definition_at_every_size() {
        let (leaves, tiles) = grown(700);
        let mut tree = Growth::empty();
        for size in 0..=700 {
            let wanted = root(&leaves[..size]);
            assert_eq!(root_of(&tiles, size as u64), wanted, "size {size}");
            assert_eq!(tree.root(), wanted, "size {size}");
            leaves.get(size).into_iter().for_each(|leaf| tree.push(*leaf));
        }
    }

    #[test]
    fn a_proof_from_a_hundred_million_leaves_reads_at_most_eight_tiles() {
        for index in [0, 1, 255, 256, 65_535, 12_345_678, 50_000_000, 99_999_999] {
            let read = tiles_of(&inclusion_ranges(index, 100_000_000));
            assert!(read.len() <= 8, "index {index} reads {read:?}");
        }
    }

    #[test]
    fn a_tree_of_256_leaves_has_the_tiles_of_the_specification() {
        let (_, tiles) = grown(70_000);
        let width = |id: TileId| tiles.get(&id).map(Vec::len);
        assert_eq!(tiles.keys().filter(|id| id.0 == 0).count(), 274);
        assert_eq!(width((0, 273)), Some(112));
        assert_eq!((width((1, 0)), width((1, 1))), (Some(256), Some(17)));
        assert_eq!((width((2, 0)), width((3, 0))), (Some(1), None));
        assert_eq!(Growth::needed(70_000), BTreeSet::from([(0, 273), (1, 1), (2, 0)]));
        assert_eq!(Growth::needed(256), BTreeSet::from([(1, 0)]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_proof_verifies(size in 1_u64..1_500, a in any::<u64>(), b in any::<u64>()) {
            let (leaves, tiles) = grown(size);
            let root = root_of(&tiles, size);
            let index = a % size;
            let path = proof(&inclusion_ranges(index, size), &tiles);
            prop_assert_eq!(
                verify_inclusion(index, size, &leaves[index as usize], &path, &root), Ok(())
            );
            let from = b % size + 1;
            let older = root_of(&tiles, from);
            let path = proof(&consistency_ranges(from, size), &tiles);
            prop_assert_eq!(verify_consistency(from, size, &older, &root, &path), Ok(()));
        }

        #[test]
        fn a_tree_grows_alike_in_pieces(size in 1_u64..2_000, piece in 1_u64..600) {
            let (leaves, whole) = grown(size);
            let mut kept = Tiles::new();
            let mut done = 0;
            for piece in leaves.chunks(piece as usize) {
                let needed = Growth::needed(done);
                let tiles = kept.iter().filter(|(id, _)| needed.contains(id));
                let tiles = tiles.map(|(id, tile)| (*id, tile.clone())).collect();
                let mut tree = Growth::new(done, tiles).unwrap();
                piece.iter().for_each(|leaf| tree.push(*leaf));
                done = tree.size();
                kept.extend(tree.changed().map(|(id, tile)| (id, tile.to_vec())));
                prop_assert_eq!(tree.root(), root_of(&kept, done));
            }
            prop_assert_eq!(kept, whole);
        }
    }
}
