//! Judges an OpenTimestamps proof beside what it stamps: a file, or a checkpoint of a receipt.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::anchor::TrustedBlocks;
use crate::answer::{ACCEPTED, Answer, INCOMPLETE};
use crate::checkpoint::{Checkpoint, TlogProof};
use crate::merkle::Hash;
use crate::ots::{Attestation, Timestamp};
use crate::verify::parse;
use crate::words::Language;

/// Whether the proof `ots` stamps `content`, or the text of a checkpoint in it when it is a receipt, and in
/// which blocks. What else a receipt says is not judged here. The words are English in every language.
#[must_use]
pub fn judge(content: &str, ots: &[u8], trusted: &TrustedBlocks) -> Answer {
    let refused = |problem: &str| Answer::refused("ots", problem, Language::English);
    let stamp = match Timestamp::parse(ots) {
        Ok(stamp) => stamp,
        Err(error) => return refused(&error.to_string()),
    };
    let Some(what) = stamped(content, &stamp.digest) else {
        return refused("it stamps neither this file nor a checkpoint in it");
    };
    let mut lines = vec![format!("proved: the proof stamps {what}")];
    let (mut blocks, mut is_proved) = (Vec::new(), false);
    for attestation in &stamp.attestations {
        let Attestation::Bitcoin { height, merkle_root } = attestation else { continue };
        let header = trusted.with_merkle_root(merkle_root);
        is_proved |= header.is_some();
        let (line, block) = block(*height, merkle_root, header);
        lines.push(line);
        blocks.push(block);
    }
    if blocks.is_empty() {
        lines.push("not proved: since when; the proof leads to no Bitcoin block".to_owned());
    }
    let json = json!({
        "verdict": if is_proved { "accepted" } else { "incomplete" },
        "stamped": what,
        "digest": hex::encode(stamp.digest),
        "blocks": blocks,
    });
    Answer { exit_code: if is_proved { ACCEPTED } else { INCOMPLETE }, json, lines }
}

fn block(height: u64, merkle_root: &Hash, header: Option<(&str, u32)>) -> (String, Value) {
    let root: String = hex::encode(merkle_root.iter().rev().copied().collect::<Vec<u8>>());
    match header {
        Some((hash, time)) => {
            let time = crate::utc(time.into());
            let line = format!("proved: it existed when block {hash} was made, {time}");
            (line, json!({ "height": height, "merkle_root": root, "block": hash, "time": time }))
        }
        None => {
            let line = format!("proved given that block {height} has the Merkle root {root}");
            (line, json!({ "height": height, "merkle_root": root }))
        }
    }
}

/// What in the content has this hash.
fn stamped(content: &str, digest: &Hash) -> Option<String> {
    let is_it = |text: &str| <Hash>::from(Sha256::digest(text)) == *digest;
    if is_it(content) {
        return Some("this file".to_owned());
    }
    let receipt = parse(content).ok()?;
    let proof = TlogProof::parse(&receipt.proof).ok().map(|proof| proof.checkpoint);
    let later = receipt.anchors.iter().filter_map(|anchor| anchor.checkpoint.as_deref());
    let later = later.filter_map(|note| Checkpoint::parse(note).ok());
    let found = proof.into_iter().chain(later).find(|one| is_it(one.note.text()))?;
    Some(format!("the checkpoint of {} at {} entries", found.origin, found.size))
}
