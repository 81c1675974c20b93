//! All cases of transparency-dev/merkle, the must-fail ones included.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::path::{Path, PathBuf};

use api_verify::merkle::{
    Hash, empty_root, leaf_hash, node_hash, verify_consistency, verify_inclusion,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

fn vectors() -> Option<PathBuf> {
    let named = std::env::var_os("ROADSTEAD_VECTORS").map(PathBuf::from);
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let folder = named.unwrap_or_else(beside).join("merkle-rfc6962");
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "no vectors at {folder:?}");
    eprintln!("not run: no vectors at {}", folder.display());
    None
}

/// No bytes are no hash, and refused by the type. Some cases write a short text for "some hash":
/// those are filled up, one to one.
fn hash(value: &Value) -> Option<Hash> {
    let bytes = STANDARD.decode(value.as_str().unwrap()).unwrap();
    let mut hash = [0; 32];
    hash.get_mut(..bytes.len())?.copy_from_slice(&bytes);
    (!bytes.is_empty()).then_some(hash)
}

fn proof(case: &Value) -> Option<Vec<Hash>> {
    case["proof"].as_array().into_iter().flatten().map(hash).collect()
}

fn is_included(case: &Value) -> Option<bool> {
    let (leaf, root) = (hash(&case["leafHash"])?, hash(&case["root"])?);
    let (index, size) = (case["leafIdx"].as_u64()?, case["treeSize"].as_u64()?);
    Some(verify_inclusion(index, size, &leaf, &proof(case)?, &root).is_ok())
}

fn is_consistent(case: &Value) -> Option<bool> {
    let (from, to) = (case["size1"].as_u64()?, case["size2"].as_u64()?);
    let (from_root, to_root) = (hash(&case["root1"])?, hash(&case["root2"])?);
    Some(verify_consistency(from, to, &from_root, &to_root, &proof(case)?).is_ok())
}

fn cases(folder: &Path, found: &mut Vec<(PathBuf, Value)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            cases(&path, found);
        } else {
            let case = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            found.push((path, case));
        }
    }
}

#[test]
fn every_published_inclusion_and_consistency_case_is_judged_as_published() {
    let Some(folder) = vectors() else { return };
    let mut found = Vec::new();
    cases(&folder.join("testdata"), &mut found);
    assert_eq!(found.len(), 196);
    for (path, case) in found {
        let inclusion = path.components().any(|part| part.as_os_str() == "inclusion");
        let accepted = if inclusion { is_included(&case) } else { is_consistent(&case) };
        let accepted = accepted.unwrap_or(false);
        assert_eq!(!accepted, case["wantErr"].as_bool().unwrap(), "{}", path.display());
    }
}

/// RFC 6962 section 2.1, as it is written there.
fn root(leaves: &[Vec<u8>]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => leaf_hash(leaf),
        _ => {
            let half = leaves.len().next_power_of_two() / 2;
            node_hash(&root(&leaves[..half]), &root(&leaves[half..]))
        }
    }
}

#[test]
fn the_hashes_are_those_of_the_published_trees() {
    let Some(folder) = vectors() else { return };
    let trees: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("trees.json")).unwrap()).unwrap();
    let list = |name: &str| -> Vec<Vec<u8>> {
        let texts = trees[name].as_array().unwrap();
        texts.iter().map(|text| hex::decode(text.as_str().unwrap()).unwrap()).collect()
    };
    assert_eq!(list("empty_root_hex"), [empty_root()]);
    let leaves = list("leaf_inputs_hex");
    for (size, wanted) in (1..).zip(list("root_hashes_hex")) {
        assert_eq!(root(&leaves[..size]).to_vec(), wanted, "size {size}");
    }
}
