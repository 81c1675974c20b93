//! The cases of the frozen vectors of the receipt format, made anew. A version's vectors are written
//! once, when the version is made:
//! `ROADSTEAD_WRITE_VECTORS=<folder> cargo test -p api-audit --test vectors`.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::Path;

use api_audit::{AnchorUpdate, AuditLog, Commitment, Disclosure, Record, RecordId};
use api_store::test_db::TestDb;
use api_store::{Db, Engine};
use api_verify::VerifyError;
use api_verify::anchor::TrustedBlocks;
use api_verify::policy::Policy;
use serde_json::{Value, json};
use support::{NOW_MS, NoteKey, ORIGIN, checkpoint, evm_with_status};

/// A receipt, the keys to verify it with, and what is to come of it.
struct Case {
    name: String,
    text: String,
    keys: Vec<String>,
    headers: Vec<String>,
    verdict: &'static str,
    code: Option<&'static str>,
}

fn repayment(loan: u32, number: u32) -> Record {
    Record::new("loan.repayment", NOW_MS + i64::from(number))
        .stream(format!("loan:0198f000-0000-7000-8000-00000000000{loan}"))
        .field("amount", format!("{}", 10_000 + number))
        .field("currency", "EUR")
        .subject(format!("customer-{loan}"))
        .personal("payer", "Ann Example, Straße 1 \u{2014} \"A\"")
}

/// A log with three checkpoints; the second is cosigned, the third anchored on all chains.
struct World {
    _test_db: TestDb,
    db: Db,
    log: AuditLog,
    ids: Vec<RecordId>,
    commitment: Commitment,
    evidence: [Value; 3],
}

async fn append(db: &Db, log: &AuditLog, record: &Record) -> RecordId {
    let mut tx = db.begin().await.unwrap();
    let id = log.append_in(&mut tx, record).await.unwrap();
    tx.commit().await.unwrap();
    id
}

fn witnesses() -> [NoteKey; 2] {
    [NoteKey::witness("witness.example/w1", 11), NoteKey::witness("witness.example/w2", 12)]
}

async fn world() -> World {
    let test_db = TestDb::new(Engine::Sqlite).await.unwrap();
    let db = test_db.db.clone();
    let log = AuditLog::open(&db, ORIGIN).await.unwrap();
    let key = NoteKey::log(1);
    let mut ids = Vec::new();
    for number in 0..9 {
        ids.push(append(&db, &log, &repayment(number % 4, number)).await);
    }
    checkpoint(&db, &log, &key).await;
    for number in 9..14 {
        ids.push(append(&db, &log, &repayment(number % 4, number)).await);
    }
    let mut tx = db.begin().await.unwrap();
    log.erase_in(&mut tx, "customer-3", NOW_MS).await.unwrap();
    tx.commit().await.unwrap();
    let head = log.seal(&db, NOW_MS).await.unwrap().unwrap();
    let mut note = key.note(&head.text());
    for (witness, time) in witnesses().iter().zip([1_772_366_460, 1_772_366_461]) {
        note += &witness.cosign(&head.text(), time);
    }
    let mut tx = db.begin().await.unwrap();
    log.store_checkpoint_in(&mut tx, &note, NOW_MS).await.unwrap();
    tx.commit().await.unwrap();
    for number in 14..20 {
        ids.push(append(&db, &log, &repayment(number % 3, number)).await);
    }
    let anchored = checkpoint(&db, &log, &key).await;
    let mut tx = db.begin().await.unwrap();
    let commitment = log.commitment(&mut tx, anchored.size).await.unwrap();
    let evidence =
        [support::bitcoin(&commitment), support::evm(&commitment), support::solana(&commitment)];
    for evidence in &evidence {
        let chain = evidence["chain"].as_str().unwrap().to_owned();
        log.anchor_in(&mut tx, anchored.size, std::slice::from_ref(&chain), NOW_MS).await.unwrap();
        let included = AnchorUpdate::Included {
            tx: "t".to_owned(),
            fee: None,
            evidence: evidence.to_string(),
        };
        log.update_anchor_in(&mut tx, anchored.size, &chain, included, NOW_MS).await.unwrap();
    }
    tx.commit().await.unwrap();
    World { _test_db: test_db, db, log, ids, commitment, evidence }
}

impl World {
    async fn receipt(&self, place: usize, shown: &Disclosure) -> Value {
        let mut tx = self.db.read().await.unwrap();
        let receipt = self.log.receipt(&mut tx, self.ids[place], shown).await.unwrap();
        serde_json::to_value(receipt).unwrap()
    }
}

fn good(name: &str, receipt: &Value, keys: &[&NoteKey]) -> Case {
    Case {
        name: format!("good-{name}"),
        text: serde_json::to_string_pretty(receipt).unwrap(),
        keys: keys.iter().map(|key| key.vkey()).collect(),
        headers: Vec::new(),
        verdict: if keys.is_empty() { "incomplete" } else { "accepted" },
        code: None,
    }
}

fn bad(name: &str, code: &'static str, text: String) -> Case {
    let [w1, w2] = witnesses();
    let keys = [NoteKey::log(1), w1, w2].iter().map(NoteKey::vkey).collect();
    let name = format!("bad-{name}");
    Case { name, text, keys, headers: Vec::new(), verdict: "refused", code: Some(code) }
}

/// Changes one character in the middle of a text to another of the same alphabet.
fn flip(text: &str) -> String {
    let middle = text.len() / 2;
    let other = if text.as_bytes()[middle] == b'1' { "2" } else { "1" };
    format!("{}{other}{}", &text[..middle], &text[middle + 1..])
}

/// Where a Bitcoin header names its parent: after the four bytes of its version.
const PREVIOUS_HASH: usize = 4;

fn flip_at(receipt: &mut Value, pointer: &str) {
    let place = receipt.pointer_mut(pointer).unwrap();
    *place = json!(flip(place.as_str().unwrap()));
}

/// Gives the later checkpoint of the first anchor a line of a witness, who cosigned it or another text.
fn cosign_anchor(receipt: &mut Value, witness: &NoteKey, other: Option<&str>) {
    let note = receipt["anchors"][0]["checkpoint"].as_str().unwrap().to_owned();
    let text = format!("{}\n", note.split_once("\n\n").unwrap().0);
    let line = witness.cosign(other.unwrap_or(&text), 1_772_366_470);
    receipt["anchors"][0]["checkpoint"] = json!(note + &line);
}

async fn good_cases(world: &World) -> Vec<Case> {
    let key = NoteKey::log(1);
    let [w1, w2] = witnesses();
    let (all, open) = (Disclosure::All, Disclosure::Open);
    let only = Disclosure::Only(vec!["amount".to_owned()]);
    let none = Disclosure::Only(Vec::new());
    let mut plain = world.receipt(19, &all).await;
    plain["anchors"] = json!([]);
    plain.as_object_mut().unwrap().remove("completeness");
    let full = world.receipt(12, &all).await;
    let mut trusted = good("trusted-headers", &full, &[&key]);
    let (bitcoin, evm) = (&full["anchors"][0]["evidence"], &full["anchors"][1]["evidence"]);
    assert_eq!(bitcoin["type"], "bitcoin");
    let header = hex::decode(evm["header"].as_str().unwrap()).unwrap();
    trusted.headers = vec![
        format!(
            "{} {}",
            bitcoin["chain"].as_str().unwrap(),
            bitcoin["headers"][1].as_str().unwrap()
        ),
        format!("{} 0x{}", evm["chain"].as_str().unwrap(), support::keccak_hex(&header)),
    ];
    let mut later_cosigned = world.receipt(0, &all).await;
    cosign_anchor(&mut later_cosigned, &w1, None);
    vec![
        good("later-cosigned", &later_cosigned, &[&key, &w1, &w2]),
        good("plain", &plain, &[&key]),
        good("anchored", &world.receipt(19, &all).await, &[&key]),
        good("later-anchor", &world.receipt(0, &all).await, &[&key]),
        good("cosigned", &full, &[&key, &w1, &w2]),
        good("open-fields", &world.receipt(5, &open).await, &[&key]),
        good("one-field", &world.receipt(6, &only).await, &[&key]),
        good("no-field", &world.receipt(7, &none).await, &[&key]),
        good("erased", &world.receipt(3, &all).await, &[&key]),
        good("no-key", &full, &[]),
        good("rotated-key", &full, &[&NoteKey::log(9), &key]),
        trusted,
    ]
}

/// False in its record, its proof or its form.
async fn bad_log_cases(world: &World) -> Vec<Case> {
    let full = world.receipt(12, &Disclosure::All).await;
    let other = world.receipt(13, &Disclosure::All).await;
    let text = |change: &dyn Fn(&mut Value)| {
        let mut receipt = full.clone();
        change(&mut receipt);
        serde_json::to_string_pretty(&receipt).unwrap()
    };
    let proof = full["proof"].as_str().unwrap().to_owned();
    let in_proof = |from: &str, to: &str| {
        assert!(proof.contains(from));
        text(&|receipt| receipt["proof"] = json!(proof.replacen(from, to, 1)))
    };
    let lines: Vec<&str> = proof.split('\n').collect();
    let index = full["proof"].as_str().unwrap().split('\n').nth(1).unwrap();
    let blank = lines.iter().position(|line| line.is_empty()).unwrap();
    let root = lines[blank + 3];
    let signature = lines.iter().find(|line| line.starts_with("— roadstead")).unwrap();
    let cosignature = lines.iter().find(|line| line.starts_with("— witness")).unwrap();
    let head = lines[blank + 1..blank + 4].join("\n") + "\n";
    let foreign = NoteKey::log(9).note(&head);
    let whole = serde_json::to_string(&full).unwrap();
    vec![
        bad("leaf-byte", "record", text(&|r| flip_at(r, "/record/leaf"))),
        bad("field-value", "record", text(&|r| r["record"]["fields"][0]["value"] = json!("99999"))),
        bad("field-salt", "record", text(&|r| flip_at(r, "/record/fields/0/salt"))),
        bad(
            "field-salt-short",
            "record",
            text(&|r| r["record"]["fields"][0]["salt"] = json!("00")),
        ),
        bad(
            "field-unknown",
            "record",
            text(&|r| r["record"]["fields"][0]["name"] = json!("amounts")),
        ),
        bad(
            "field-twice",
            "record",
            text(&|r| {
                let field = r["record"]["fields"][0].clone();
                r["record"]["fields"].as_array_mut().unwrap().push(field);
            }),
        ),
        bad("swapped-record", "not_in_log", text(&|r| r["record"] = other["record"].clone())),
        bad("swapped-proof", "not_in_log", text(&|r| r["proof"] = other["proof"].clone())),
        bad("index", "not_in_log", in_proof(index, "index 3")),
        bad("index-outside", "not_in_log", in_proof(index, "index 4000")),
        bad("index-zero-led", "proof", in_proof("index ", "index 0")),
        bad("path-short", "not_in_log", in_proof(&format!("{}\n", lines[2]), "")),
        bad("path-long", "not_in_log", in_proof("\n\n", &format!("\n{}\n\n", lines[2]))),
        bad("path-byte", "not_in_log", in_proof(lines[2], &flip(lines[2]))),
        bad("path-no-hash", "proof", in_proof(lines[2], "AAAA")),
        bad("root", "not_in_log", in_proof(root, &flip(root))),
        bad(
            "size",
            "not_in_log",
            in_proof(&format!("\n{}\n{root}", lines[blank + 2]), &format!("\n40\n{root}")),
        ),
        bad(
            "origin",
            "untrusted_log",
            in_proof("\n\nroadstead.example/log\n", "\n\nroadstead.example/lot\n"),
        ),
        bad("signature", "forged", in_proof(signature, &flip(signature))),
        bad("cosignature", "forged", in_proof(cosignature, &flip(cosignature))),
        bad("unsigned", "untrusted_log", in_proof(&format!("{signature}\n"), "")),
        bad(
            "foreign-key",
            "untrusted_log",
            text(&|r| {
                let at = proof.find("\n\n").unwrap();
                r["proof"] = json!(format!("{}\n\n{foreign}", &proof[..at]));
            }),
        ),
        bad("no-newline-at-end", "proof", text(&|r| r["proof"] = json!(proof.trim_end()))),
        bad("carriage-return", "proof", in_proof("\n\n", "\r\n\n")),
        bad("format", "malformed", text(&|r| r["format"] = json!("roadstead.receipt/v2"))),
        bad("unknown-member", "malformed", text(&|r| r["note"] = json!("hello"))),
        bad(
            "member-twice",
            "malformed",
            whole.replacen('{', "{\"format\":\"roadstead.receipt/v1\",", 1),
        ),
        bad(
            "member-missing",
            "malformed",
            text(&|r| drop(r.as_object_mut().unwrap().remove("proof"))),
        ),
        bad(
            "member-type",
            "malformed",
            text(&|r| r["record"]["fields"][0]["value"] = json!(99_999)),
        ),
        bad("cut-short", "malformed", whole[..whole.len() - 1].to_owned()),
        bad("trailing", "malformed", format!("{whole}x")),
        bad(
            "event-missing",
            "completeness",
            text(&|r| {
                let events = r["completeness"]["events"].as_array_mut().unwrap();
                events.remove(0);
            }),
        ),
        bad(
            "event-added",
            "completeness",
            text(&|r| {
                let events = r["completeness"]["events"].as_array_mut().unwrap();
                events.push(events[0].clone());
            }),
        ),
        bad(
            "events-reordered",
            "completeness",
            text(&|r| {
                r["completeness"]["events"].as_array_mut().unwrap().swap(0, 1);
            }),
        ),
        bad(
            "event-not-this",
            "completeness",
            text(&|r| r["completeness"] = other["completeness"].clone()),
        ),
        bad("stream-renamed", "completeness", text(&|r| flip_at(r, "/completeness/stream"))),
        bad("map-path", "completeness", text(&|r| flip_at(r, "/completeness/path/0"))),
        bad(
            "map-root",
            "completeness",
            text(&|r| {
                let fields = r["completeness"]["map"]["fields"].as_array_mut().unwrap();
                let root = fields.iter_mut().find(|field| field["name"] == "root").unwrap();
                flip_at(root, "/value");
            }),
        ),
        bad(
            "map-proof",
            "completeness",
            text(&|r| {
                r["completeness"]["map_proof"].as_array_mut().unwrap().pop();
            }),
        ),
        bad(
            "map-is-other-record",
            "completeness",
            text(&|r| r["completeness"]["map"] = r["record"].clone()),
        ),
    ]
}

/// False in an anchor.
async fn bad_anchor_cases(world: &World) -> Vec<Case> {
    let full = world.receipt(0, &Disclosure::All).await;
    let late = world.receipt(19, &Disclosure::All).await;
    let text = |change: &dyn Fn(&mut Value)| {
        let mut receipt = full.clone();
        change(&mut receipt);
        serde_json::to_string_pretty(&receipt).unwrap()
    };
    let with = |evidence: Value| text(&|r| r["anchors"][0]["evidence"] = evidence.clone());
    let Commitment { origin, size, checkpoint } = world.commitment;
    let other = Commitment { origin, size, checkpoint: [9; 32] };
    let small = Commitment { origin, size: size - 1, checkpoint };
    let foreign = Commitment { origin: [9; 32], size, checkpoint };
    let [bitcoin, evm, solana] = &world.evidence;
    let changed = |evidence: &Value, name: &str, value: Value| {
        let mut evidence = evidence.clone();
        evidence[name] = value;
        with(evidence)
    };
    let flipped = |evidence: &Value, pointer: &str| {
        let mut evidence = evidence.clone();
        flip_at(&mut evidence, pointer);
        with(evidence)
    };
    let mut cases = Vec::new();
    for (name, wrong) in [("checkpoint", other), ("size", small), ("origin", foreign)] {
        for (chain, evidence) in [
            ("bitcoin", support::bitcoin(&wrong)),
            ("evm", support::evm(&wrong)),
            ("solana", support::solana(&wrong)),
        ] {
            cases.push(bad(&format!("{chain}-other-{name}"), "anchor", with(evidence)));
        }
    }
    cases.extend([
        bad("anchor-cosignature", "forged", {
            let [witness, _] = witnesses();
            text(&|receipt| cosign_anchor(receipt, &witness, Some("another text\n")))
        }),
        bad(
            "anchor-no-checkpoint",
            "fork",
            text(&|r| {
                r["anchors"][0].as_object_mut().unwrap().remove("checkpoint");
            }),
        ),
        bad(
            "anchor-no-consistency",
            "fork",
            text(&|r| {
                r["anchors"][0].as_object_mut().unwrap().remove("consistency");
            }),
        ),
        bad("anchor-consistency-byte", "fork", text(&|r| flip_at(r, "/anchors/0/consistency/1"))),
        bad("anchor-older-checkpoint", "fork", {
            let mut receipt = late.clone();
            let note = full["proof"].as_str().unwrap().split_once("\n\n").unwrap().1;
            receipt["anchors"][0]["checkpoint"] = json!(note);
            serde_json::to_string_pretty(&receipt).unwrap()
        }),
        bad(
            "anchor-unsigned-checkpoint",
            "untrusted_log",
            text(&|r| {
                let note = r["anchors"][0]["checkpoint"].as_str().unwrap();
                let text = format!("{}\n", note.split_once("\n\n").unwrap().0);
                r["anchors"][0]["checkpoint"] = json!(NoteKey::log(9).note(&text));
            }),
        ),
        bad("chain-of-other-family", "anchor", changed(bitcoin, "chain", json!("eip155:1"))),
        bad("evidence-type", "malformed", changed(bitcoin, "type", json!("dogecoin"))),
        bad("bitcoin-transaction", "anchor", flipped(bitcoin, "/transaction")),
        bad("bitcoin-branch", "anchor", flipped(bitcoin, "/branch/0")),
        bad("bitcoin-branch-repeats", "anchor", {
            let mut evidence = bitcoin.clone();
            let id = support::txid(evidence["transaction"].as_str().unwrap());
            evidence["branch"][0] = json!(id);
            with(evidence)
        }),
        bad("bitcoin-position", "anchor", changed(bitcoin, "position", json!(0))),
        bad("bitcoin-position-outside", "anchor", changed(bitcoin, "position", json!(5))),
        bad("bitcoin-header", "anchor", flipped(bitcoin, "/headers/0")),
        bad("bitcoin-header-unlinked", "anchor", {
            // Another byte could leave a header that is linked and has its little work.
            let mut unlinked = hex::decode(bitcoin["headers"][1].as_str().unwrap()).unwrap();
            unlinked[PREVIOUS_HASH] ^= 1;
            let headers = json!([bitcoin["headers"][0], hex::encode(unlinked)]);
            changed(bitcoin, "headers", headers)
        }),
        bad("bitcoin-no-header", "anchor", changed(bitcoin, "headers", json!([]))),
        bad("bitcoin-64-bytes", "anchor", changed(bitcoin, "transaction", json!("00".repeat(64)))),
        bad("bitcoin-cut-short", "anchor", {
            let transaction = bitcoin["transaction"].as_str().unwrap();
            changed(bitcoin, "transaction", json!(transaction[..transaction.len() - 2]))
        }),
        bad("evm-failed", "anchor", with(evm_with_status(&world.commitment, 0))),
        bad("evm-index", "anchor", changed(evm, "index", json!(0))),
        bad("evm-log", "anchor", changed(evm, "log", json!(0))),
        bad("evm-log-outside", "anchor", changed(evm, "log", json!(2))),
        bad("evm-contract", "anchor", flipped(evm, "/contract")),
        bad("evm-header", "anchor", {
            let branch = hex::decode(evm["proof"][0].as_str().unwrap()).unwrap();
            let root = support::keccak_hex(&branch);
            let header = evm["header"].as_str().unwrap().replacen(&root, &flip(&root), 1);
            assert_ne!(header, evm["header"].as_str().unwrap());
            changed(evm, "header", json!(header))
        }),
        bad("evm-node", "anchor", flipped(evm, "/proof/1")),
        bad("evm-node-missing", "anchor", changed(evm, "proof", json!([evm["proof"][0]]))),
        bad("evm-node-extra", "anchor", {
            changed(evm, "proof", json!([evm["proof"][0], evm["proof"][1], evm["proof"][1]]))
        }),
        bad("evm-negative", "malformed", changed(evm, "index", json!(-1))),
        bad("solana-signature", "anchor", flipped(solana, "/signature")),
        bad("solana-transaction", "anchor", flipped(solana, "/transaction")),
        bad("solana-cut-short", "anchor", {
            let transaction = solana["transaction"].as_str().unwrap();
            changed(solana, "transaction", json!(transaction[..transaction.len() - 2]))
        }),
        bad("solana-slot-missing", "malformed", {
            let mut evidence = solana.clone();
            evidence.as_object_mut().unwrap().remove("slot");
            with(evidence)
        }),
    ]);
    cases
}

/// The writer of today makes receipts that are judged like the frozen ones.
#[tokio::test]
async fn promise_39_new_receipts_are_judged_like_the_frozen_ones() {
    let world = world().await;
    let mut cases = good_cases(&world).await;
    cases.extend(bad_log_cases(&world).await);
    cases.extend(bad_anchor_cases(&world).await);
    for case in &cases {
        let keys = case.keys.iter().map(|key| key.parse().unwrap()).collect();
        let policy = Policy::from_keys(keys);
        let trusted = TrustedBlocks::parse(&case.headers.join("\n")).unwrap();
        let receipt = api_verify::parse(&case.text);
        let judged = receipt.and_then(|receipt| api_verify::examine(&receipt, &policy, &trusted));
        let code = judged.as_ref().err().map(VerifyError::code);
        assert_eq!(code, case.code, "{}: {judged:?}", case.name);
        if let Ok(report) = judged {
            let accepted = report.shortfalls(&policy).is_empty();
            assert_eq!(accepted, case.verdict == "accepted", "{}", case.name);
        }
    }
    if let Some(folder) = std::env::var_os("ROADSTEAD_WRITE_VECTORS") {
        write(Path::new(&folder), &cases);
    }
}

fn write(folder: &Path, cases: &[Case]) {
    std::fs::create_dir_all(folder).unwrap();
    let mut index = Vec::new();
    for case in cases {
        let file = format!("{}.json", case.name);
        std::fs::write(folder.join(&file), &case.text).unwrap();
        index.push(json!({
            "file": file, "keys": case.keys, "headers": case.headers,
            "verdict": case.verdict, "code": case.code,
        }));
    }
    let index = serde_json::to_string_pretty(&index).unwrap();
    std::fs::write(folder.join("cases.json"), index + "\n").unwrap();
}
