//! What each fuzz target does with its bytes. `api/verify/tests/corpus.rs` does the same with the kept
//! corpus on every `cargo test`.

use std::sync::LazyLock;

use api_verify::Language;
use api_verify::anchor::TrustedBlocks;
use api_verify::answer::Answer;
use api_verify::checkpoint::{Checkpoint, TlogProof};
use api_verify::leaf::Leaf;
use api_verify::log::{Known, audit};
use api_verify::note::{SignedNote, VerifierKey};
use api_verify::ots::Timestamp;
use api_verify::policy::Policy;
use api_verify::receipt::Receipt;

/// The good vectors: what a fuzzer makes of them may not be more than they are.
const GOOD: [&str; 3] = [
    include_str!("../../api/verify/vectors/v1/good-plain.json"),
    include_str!("../../api/verify/vectors/v1/good-anchored.json"),
    include_str!("../../api/verify/vectors/v1/good-cosigned.json"),
];
const CASES: &str = include_str!("../../api/verify/vectors/v1/cases.json");

/// The keys of all vectors.
static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let cases: serde_json::Value = serde_json::from_str(CASES).unwrap_or_default();
    let mut keys: Vec<&str> = cases
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|case| case["keys"].as_array().into_iter().flatten())
        .filter_map(|key| key.as_str())
        .collect();
    keys.sort_unstable();
    keys.dedup();
    assert!(keys.len() > 3, "{keys:?}");
    Policy::from_keys(keys.into_iter().filter_map(|key| key.parse().ok()).collect())
});

fn receipt_of(text: &str) -> Option<Receipt> {
    api_verify::parse(text).ok()
}

/// A receipt: read, examined with the keys of the vectors, and reported in both languages.
pub fn receipt(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some(receipt) = receipt_of(text) else { return };
    let written = serde_json::to_string(&receipt).unwrap_or_default();
    assert_eq!(receipt_of(&written).as_ref(), Some(&receipt), "it is read as it is written");
    for policy in [&Policy::default(), &POLICY] {
        for language in [Language::English, Language::Chinese] {
            match api_verify::examine(&receipt, policy, &TrustedBlocks::default()) {
                Err(error) => drop(Answer::refused(error.code(), &error.to_string(), language)),
                Ok(report) => {
                    drop(Answer::judged(&report, policy, Vec::new(), language));
                    assert!(
                        report.signed_by.is_empty() || is_known(&receipt),
                        "a record that nobody logged is accepted"
                    );
                }
            }
        }
    }
}

/// Whether the record and the place of a receipt are those of a vector that was signed.
fn is_known(receipt: &Receipt) -> bool {
    static KNOWN: LazyLock<Vec<Receipt>> =
        LazyLock::new(|| GOOD.iter().filter_map(|text| receipt_of(text)).collect());
    let same = |known: &Receipt| {
        let key = |receipt: &Receipt| Some(TlogProof::parse(&receipt.proof).ok()?.index);
        known.record.leaf == receipt.record.leaf && key(known) == key(receipt)
    };
    // Seeds may be any vector; a note of theirs is signed for other leaves too.
    KNOWN.iter().any(same) || vectors().iter().any(same)
}

fn vectors() -> &'static [Receipt] {
    static ALL: LazyLock<Vec<Receipt>> = LazyLock::new(|| {
        let folder = if std::path::Path::new("vectors/v1").is_dir() {
            "vectors/v1"
        } else {
            "api/verify/vectors/v1"
        };
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let texts = files.filter(|file| file.file_name().to_string_lossy().starts_with("good"));
        let texts = texts.filter_map(|file| std::fs::read_to_string(file.path()).ok());
        texts.filter_map(|text| receipt_of(&text)).collect()
    });
    &ALL
}

/// A signed note, a verifier key, a policy, a list of blocks: all that is text and not JSON.
pub fn note(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = text.parse::<Policy>();
    let _ = TrustedBlocks::parse(text);
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string(), text, "a key has one spelling");
    }
    let Ok(note) = SignedNote::parse(text) else { return };
    assert!(text.starts_with(note.text()) && note.text().ends_with('\n'));
    assert!(note.claimed_signers().count() > 0);
    for key in &POLICY.logs {
        let _ = note.signed_by(key);
    }
    for (_, key) in &POLICY.witnesses {
        let _ = note.cosigned_by(key);
    }
}

/// A checkpoint and a `.tlog-proof`.
pub fn proof(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        let head = format!("{}\n{}\n", checkpoint.origin, checkpoint.size);
        assert!(checkpoint.note.text().starts_with(&head), "a number has one spelling");
    }
    if let Ok(proof) = TlogProof::parse(text) {
        let index = format!("\nindex {}\n", proof.index);
        assert!(text.contains(&index), "a number has one spelling");
        let _ = proof.check(&[0; 32]);
    }
}

/// A log's files: the first two lengths of two bytes each split the input into the checkpoint, a tile
/// of hashes and a bundle of entries, and every other path has the rest.
pub fn tile(bytes: &[u8]) {
    let _ = Leaf::parse(bytes);
    let Some((lengths, rest)) = bytes.split_first_chunk::<4>() else { return };
    let note = usize::from(u16::from_be_bytes([lengths[0], lengths[1]])).min(rest.len());
    let (note, rest) = rest.split_at(note);
    let hashes = usize::from(u16::from_be_bytes([lengths[2], lengths[3]])).min(rest.len());
    let (hashes, entries) = rest.split_at(hashes);
    let read = |path: &str| {
        Some(match path {
            "checkpoint" => note.to_vec(),
            _ if path.starts_with("tile/entries/") => entries.to_vec(),
            _ => hashes.to_vec(),
        })
    };
    if let Ok(found) = audit(read, &Policy::default(), &Known::default()) {
        assert!(
            found.size <= (entries.len() / 2) as u64 || found.size > 256,
            "every entry was read"
        );
    }
}

/// An OpenTimestamps proof.
pub fn ots(bytes: &[u8]) {
    if let Ok(timestamp) = Timestamp::parse(bytes) {
        assert!(!timestamp.attestations.is_empty(), "a proof leads somewhere");
    }
}
