//! RFC 6962 section 2.1 hashing and RFC 9162 section 2.1.3 and 2.1.4 verification.

use sha2::{Digest as _, Sha256};

/// A SHA-256 digest.
pub type Hash = [u8; 32];

/// Why a Merkle proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MerkleError {
    /// The leaf's index is not below the size of the tree.
    #[error("index {index} is outside a tree of {size} leaves")]
    IndexOutside {
        /// The index.
        index: u64,
        /// The size.
        size: u64,
    },
    /// The sizes of a consistency proof are in the wrong order, or the older tree is empty: every
    /// tree is an extension of the empty one, so such a proof says nothing.
    #[error("no consistency proof leads from {from} to {to} leaves")]
    Sizes {
        /// The older size.
        from: u64,
        /// The newer size.
        to: u64,
    },
    /// The proof has too few or too many hashes for these sizes.
    #[error("the proof has the wrong number of hashes")]
    Length,
    /// The proof leads to another root.
    #[error("the proof leads to another root hash")]
    Root,
}

/// The root of the empty tree: the hash of nothing.
#[must_use]
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// The hash of a leaf: `SHA-256(0x00 || entry)`.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(entry).finalize().into()
}

/// The hash of an inner node: `SHA-256(0x01 || left || right)`.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The root of the tree of `size` leaves that has the leaf at `index`, if `proof` is right (RFC 9162
/// section 2.1.3.2). `proof` runs from the leaf's sibling up.
///
/// # Errors
/// [`MerkleError::IndexOutside`]; [`MerkleError::Length`].
pub fn inclusion_root(
    index: u64,
    size: u64,
    leaf: &Hash,
    proof: &[Hash],
) -> Result<Hash, MerkleError> {
    if index >= size {
        return Err(MerkleError::IndexOutside { index, size });
    }
    let mut node = index;
    let mut last = size - 1;
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(MerkleError::Length);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 { Ok(hash) } else { Err(MerkleError::Length) }
}

/// Checks that the leaf is at `index` of the tree of `size` leaves with this root.
///
/// # Errors
/// [`MerkleError`] when the proof does not show that.
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf: &Hash,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), MerkleError> {
    if inclusion_root(index, size, leaf, proof)? == *root { Ok(()) } else { Err(MerkleError::Root) }
}

/// Checks that the tree of `to` leaves begins with the tree of `from` leaves (RFC 9162 section
/// 2.1.4.2).
///
/// # Errors
/// [`MerkleError`] when the proof does not show that.
pub fn verify_consistency(
    from: u64,
    to: u64,
    from_root: &Hash,
    to_root: &Hash,
    proof: &[Hash],
) -> Result<(), MerkleError> {
    if from == 0 || from > to {
        return Err(MerkleError::Sizes { from, to });
    }
    if from == to {
        return match (proof.is_empty(), from_root == to_root) {
            (true, true) => Ok(()),
            (true, false) => Err(MerkleError::Root),
            (false, _) => Err(MerkleError::Length),
        };
    }
    // A complete older tree is a node of the newer one, and its hash is not in the proof.
    let (first, rest) = if from.is_power_of_two() {
        (from_root, proof)
    } else {
        proof.split_first().ok_or(MerkleError::Length)?
    };
    let shared_levels = (from - 1).trailing_ones();
    let mut node = (from - 1) >> shared_levels;
    let mut last = (to - 1) >> shared_levels;
    let (mut older, mut newer) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return Err(MerkleError::Length);
        }
        if node & 1 == 1 || node == last {
            older = node_hash(sibling, &older);
            newer = node_hash(sibling, &newer);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            newer = node_hash(&newer, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(MerkleError::Length);
    }
    if older == *from_root && newer == *to_root { Ok(()) } else { Err(MerkleError::Root) }
}
