//! A small log in memory, written from RFC 6962 section 2.1 as it stands there.

use api_verify::merkle::{Hash, empty_root, leaf_hash, node_hash};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest as _, Sha256};

pub(crate) const ORIGIN: &str = "log.example/test";

/// A log whose leaves are numbers, from `fork` on other ones.
#[derive(Clone, Copy)]
pub(crate) struct Log {
    pub(crate) key: u8,
    pub(crate) fork: u64,
}

pub(crate) const HONEST: Log = Log { key: 1, fork: u64::MAX };

impl Log {
    fn leaves(self, size: u64) -> Vec<Hash> {
        let leaf = |index: u64| {
            leaf_hash(
                format!("{} {index}", if index < self.fork { "leaf" } else { "fork" }).as_bytes(),
            )
        };
        (0..size).map(leaf).collect()
    }

    fn signer(self) -> SigningKey {
        SigningKey::from_bytes(&[self.key; 32])
    }

    fn id(self) -> Vec<u8> {
        let typed = [&[1_u8][..], self.signer().verifying_key().as_bytes()].concat();
        Sha256::digest([ORIGIN.as_bytes(), b"\n", &typed].concat())[..4].to_vec()
    }

    pub(crate) fn verifier_key(self) -> String {
        let typed = [&[1_u8][..], self.signer().verifying_key().as_bytes()].concat();
        format!("{ORIGIN}+{}+{}", hex::encode(self.id()), STANDARD.encode(typed))
    }

    pub(crate) fn note(self, size: u64) -> String {
        let root = STANDARD.encode(root(&self.leaves(size)));
        let text = format!("{ORIGIN}\n{size}\n{root}\n");
        let signature = [self.id(), self.signer().sign(text.as_bytes()).to_vec()].concat();
        format!("{text}\n— {ORIGIN} {}\n", STANDARD.encode(signature))
    }

    pub(crate) fn proof(self, from: u64, to: u64) -> Vec<Hash> {
        if from == 0 || from >= to {
            return Vec::new();
        }
        subproof(usize::try_from(from).unwrap(), &self.leaves(to), true)
    }

    /// The body of a request to cosign `to` after `from`.
    pub(crate) fn body(self, from: u64, to: u64) -> String {
        let lines: String =
            self.proof(from, to).iter().map(|hash| STANDARD.encode(hash) + "\n").collect();
        format!("old {from}\n{lines}\n{}", self.note(to))
    }
}

fn split(size: usize) -> usize {
    size.next_power_of_two() / 2
}

fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

fn subproof(from: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if from == leaves.len() {
        return if whole { Vec::new() } else { vec![root(leaves)] };
    }
    let half = split(leaves.len());
    let (left, right) = leaves.split_at(half);
    let (mut proof, sibling) = if from <= half {
        (subproof(from, left, whole), root(right))
    } else {
        (subproof(from - half, right, false), root(left))
    };
    proof.push(sibling);
    proof
}
