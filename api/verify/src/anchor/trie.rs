//! Proofs in a Merkle-Patricia trie (Ethereum Yellow Paper, appendix D).

use sha3::{Digest as _, Keccak256};

use super::AnchorError;
use super::rlp::{self, Item};
use crate::merkle::Hash;

const BROKEN: AnchorError = AnchorError::NotIncluded("the receipt is not in the block's trie");

pub(super) fn keccak(bytes: &[u8]) -> Hash {
    Keccak256::digest(bytes).into()
}

/// How a node names its child.
enum Child<'a> {
    /// By the hash of the next node of the proof.
    Hash(&'a [u8]),
    /// By holding it, when it is shorter than a hash.
    Inside(Item<'a>),
}

/// What a node says about the rest of the path.
enum Step<'a> {
    Value(&'a [u8]),
    Down(Child<'a>, usize),
}

/// The value at `key`, where `proof` holds the trie's nodes from the root down.
pub(super) fn value<'a>(
    root: &'a Hash,
    key: &[u8],
    proof: &'a [Vec<u8>],
) -> Result<&'a [u8], AnchorError> {
    let path: Vec<u8> = key.iter().flat_map(|byte| [byte >> 4, byte & 15]).collect();
    let mut path = path.as_slice();
    let mut nodes = proof.iter();
    let mut next = Child::Hash(root);
    loop {
        let node = match next {
            Child::Inside(item) => item,
            Child::Hash(hash) => {
                let node = nodes.next().ok_or(BROKEN)?;
                if keccak(node) != hash {
                    return Err(BROKEN);
                }
                rlp::decode(node)?
            }
        };
        match step(node, path)? {
            Step::Value(value) if nodes.next().is_none() => return Ok(value),
            Step::Value(_) => return Err(BROKEN),
            Step::Down(child, nibbles) => {
                path = &path[nibbles..];
                next = child;
            }
        }
    }
}

fn step<'a>(node: Item<'a>, path: &[u8]) -> Result<Step<'a>, AnchorError> {
    match node.items()?.as_slice() {
        [part, next] => {
            let (nibbles, is_leaf) = compact_path(part.bytes()?)?;
            match path.strip_prefix(nibbles.as_slice()) {
                Some([]) if is_leaf => Ok(Step::Value(next.bytes()?)),
                Some([_, ..]) if !is_leaf && !nibbles.is_empty() => {
                    Ok(Step::Down(child(*next)?, nibbles.len()))
                }
                _ => Err(BROKEN),
            }
        }
        branch if branch.len() == 17 => match path.first() {
            Some(nibble) => Ok(Step::Down(child(branch[usize::from(*nibble)])?, 1)),
            None => Ok(Step::Value(branch[16].bytes()?)),
        },
        _ => Err(BROKEN),
    }
}

fn child(item: Item<'_>) -> Result<Child<'_>, AnchorError> {
    match item {
        Item::Bytes(hash) if hash.len() == 32 => Ok(Child::Hash(hash)),
        Item::List(_) => Ok(Child::Inside(item)),
        Item::Bytes(_) => Err(BROKEN),
    }
}

/// Undoes the hex-prefix encoding: the nibbles, and whether they end at a leaf.
fn compact_path(bytes: &[u8]) -> Result<(Vec<u8>, bool), AnchorError> {
    let (&first, rest) = bytes.split_first().ok_or(BROKEN)?;
    let (flags, nibble) = (first >> 4, first & 15);
    let mut nibbles = match (flags, nibble) {
        (0 | 2, 0) => Vec::new(),
        (1 | 3, nibble) => vec![nibble],
        _ => return Err(BROKEN),
    };
    nibbles.extend(rest.iter().flat_map(|byte| [byte >> 4, byte & 15]));
    Ok((nibbles, flags & 2 != 0))
}
