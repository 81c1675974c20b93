//! The command: exit codes and what it prints.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/v1")
}

fn case(file: &str) -> Value {
    let cases: Value =
        serde_json::from_str(&std::fs::read_to_string(vectors().join("cases.json")).unwrap())
            .unwrap();
    cases.as_array().unwrap().iter().find(|case| case["file"] == file).unwrap().clone()
}

fn run(arguments: &[&str], input: &str) -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_roadstead-verify"))
        .args(arguments)
        .current_dir(vectors())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads no input may have closed it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let Output { status, stdout, .. } = child.wait_with_output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap())
}

fn key() -> String {
    case("good-plain.json")["keys"][0].as_str().unwrap().to_owned()
}

#[test]
fn a_good_receipt_is_accepted_in_plain_words() {
    let (code, said) = run(&["good-anchored.json", "--key", &key()], "");
    assert_eq!(code, Some(0), "{said}");
    for words in [
        "proved: this record is entry ",
        "which you trust",
        "anchor bip122:0f9188f13cb7b2c71f2a335e3a4fc328: proved given that header ",
        "anchor eip155:31337: proved given that header 0x",
        "anchor solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1: needs a node",
        "ACCEPTED",
    ] {
        assert!(said.contains(words), "{words:?} is not in:\n{said}");
    }
}

#[test]
fn trusted_headers_make_it_proved_and_give_a_time() {
    let case = case("good-trusted-headers.json");
    let headers = case["headers"].as_array().unwrap();
    let headers: Vec<&str> = headers.iter().map(|line| line.as_str().unwrap()).collect();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "# kept by the auditor\n\n{}\n", headers.join("\n")).unwrap();
    let path = file.path().to_str().unwrap();
    let arguments = ["good-trusted-headers.json", "--key", &key(), "--headers", path, "--json"];
    let (code, said) = run(&arguments, "");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &said["verdict"]), (Some(0), &Value::from("accepted")));
    assert_eq!(said["since"], "2026-03-01T12:01:40Z");
    assert_eq!(said["report"]["anchors"][0]["status"], "proved");
}

#[test]
fn a_policy_asks_for_witnesses_and_anchors() {
    let keys = case("good-cosigned.json")["keys"].clone();
    let key = |at: usize| keys[at].as_str().unwrap();
    let run_with = |lines: &str| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let (log, w1, w2) = (key(0), key(1), key(2));
        write!(file, "log {log}\nwitness w1 {w1}\nwitness w2 {w2}\n{lines}").unwrap();
        run(&["good-cosigned.json", "--policy", file.path().to_str().unwrap()], "")
    };
    let (code, said) = run_with("group both all w1 w2\nquorum both\n");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the witness w2 saw this checkpoint at 2026-03-01T12:01:01Z"), "{said}");
    let (code, said) = run_with("quorum none\nanchors 1\n");
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("0 of the 1 that the policy asks for are proved"), "{said}");
    let elsewhere = "quorum none\nanchor eip155:31337 0x0000000000000000000000000000000000000001\n";
    let (code, said) = run_with(elsewhere);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.starts_with("REFUSED (contract)"), "{said}");
    let (code, said) = run_with("quorum nobody\n");
    assert_eq!(code, Some(2), "{said}");
}

#[test]
fn exit_codes_tell_refused_wrong_usage_and_incomplete_apart() {
    let key = key();
    let (code, said) = run(&["bad-field-value.json", "--key", &key], "");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.starts_with("REFUSED (record)"), "{said}");
    assert_eq!(run(&["-", "--key", &key], "{}").0, Some(1));
    assert_eq!(run(&["no-such-file.json"], "").0, Some(2));
    assert_eq!(run(&[], "").0, Some(2));
    assert_eq!(run(&["good-plain.json", "--key", "nonsense"], "").0, Some(2));
    let (code, said) = run(&["good-plain.json"], "");
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("not proved: who keeps the log"), "{said}");
}

#[test]
fn a_node_that_does_not_answer_leaves_it_incomplete() {
    // Nothing listens on port 1.
    let node = "evm=http://127.0.0.1:1";
    let (code, said) = run(&["good-anchored.json", "--key", &key(), "--node", node], "");
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("an answer of the node of eip155:31337"), "{said}");
}

/// A proof of one step: the digest of the stamped file is the Merkle root of a block.
#[test]
fn an_ots_proof_is_judged_beside_what_it_stamps() {
    use sha2::{Digest as _, Sha256};
    let folder = tempfile::TempDir::new().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let file = folder.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let receipt: Value =
        serde_json::from_slice(&std::fs::read(vectors().join("good-plain.json")).unwrap()).unwrap();
    let note = receipt["proof"].as_str().unwrap().split_once("\n\n").unwrap().1;
    let text = format!("{}\n", note.split_once("\n\n").unwrap().0);
    let digest = Sha256::digest(&text);
    let magic = b"\x00OpenTimestamps\x00\x00Proof\x00\xbf\x89\xe2\xe8\x84\xe8\x92\x94\x01\x08";
    let bitcoin = [0x00, 0x05, 0x88, 0x96, 0x0d, 0x73, 0xd7, 0x19, 0x01, 1, 7];
    let proof = write("proof.ots", &[&magic[..], &digest, &bitcoin].concat());
    let mut header = [0_u8; 80];
    header[36..68].copy_from_slice(&digest);
    header[68..72].copy_from_slice(&1_772_366_400_u32.to_le_bytes());
    let headers = write("headers", format!("bip122:x {}\n", hex::encode(header)).as_bytes());
    let file = write("text", text.as_bytes());
    for stamped in [file.as_str(), "good-plain.json"] {
        let (code, said) = run(&[stamped, "--ots", &proof], "");
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains("proved given that block 7 has the Merkle root"), "{said}");
        let (code, said) = run(&[stamped, "--ots", &proof, "--headers", &headers], "");
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("2026-03-01T12:00:00Z"), "{said}");
    }
    let (code, said) = run(&["cases.json", "--ots", &proof, "--headers", &headers], "");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.starts_with("REFUSED (ots)"), "{said}");
    assert_eq!(run(&[&file, "--ots", &file], "").0, Some(1), "a text is no proof");
    assert_eq!(run(&[&file, "--ots", "no-such-file"], "").0, Some(2));
}
