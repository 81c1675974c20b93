//! The frozen vectors of every receipt format ever issued, judged by this verifier and by the one in
//! Python.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Command;

use api_verify::anchor::{AnchorReport, Status, TrustedBlocks};
use api_verify::policy::Policy;
use api_verify::report::Report;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Case {
    file: String,
    keys: Vec<String>,
    headers: Vec<String>,
    verdict: String,
    code: Option<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/v1")
}

fn cases() -> Vec<Case> {
    serde_json::from_str(&std::fs::read_to_string(folder().join("cases.json")).unwrap()).unwrap()
}

/// The verdict, the code of a refusal, and the anchors' statuses.
fn judge(text: &str, keys: &[String], headers: &[String]) -> (String, Option<String>, Value) {
    let policy = Policy::from_keys(keys.iter().map(|key| key.parse().unwrap()).collect());
    let trusted = TrustedBlocks::parse(&headers.join("\n")).unwrap();
    let receipt = api_verify::parse(text);
    match receipt.and_then(|receipt| api_verify::examine(&receipt, &policy, &trusted)) {
        Err(error) => ("refused".to_owned(), Some(error.code().to_owned()), json!([])),
        Ok(report) => {
            let accepted = report.shortfalls(&policy).is_empty();
            let verdict = if accepted { "accepted" } else { "incomplete" };
            let anchors = report.anchors.iter().map(|anchor| json!(anchor.status)).collect();
            (verdict.to_owned(), None, Value::Array(anchors))
        }
    }
}

#[test]
fn promise_39_every_vector_is_judged_as_it_always_was() {
    let cases = cases();
    assert!(cases.len() > 80, "{}", cases.len());
    for case in cases {
        let text = std::fs::read_to_string(folder().join(&case.file)).unwrap();
        let (verdict, code, _) = judge(&text, &case.keys, &case.headers);
        assert_eq!((verdict, code), (case.verdict, case.code), "{}", case.file);
    }
}

fn report(text: &str, case: &Case) -> Option<Report> {
    let policy = Policy::from_keys(case.keys.iter().map(|key| key.parse().unwrap()).collect());
    let trusted = TrustedBlocks::parse(&case.headers.join("\n")).unwrap();
    api_verify::examine(&api_verify::parse(text).ok()?, &policy, &trusted).ok()
}

/// Flips a bit of every byte of a receipt: what comes of it may prove less, never anything else.
#[test]
fn promise_39_no_flipped_byte_proves_anything_else() {
    let cases = cases();
    let case = cases.iter().find(|case| case.file == "good-trusted-headers.json").unwrap();
    let text = std::fs::read_to_string(folder().join(&case.file)).unwrap();
    let whole = report(&text, case).unwrap();
    assert_eq!(whole.anchors.iter().filter(|anchor| anchor.status == Status::Proved).count(), 2);
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        let flipped = String::from_utf8(bytes).ok();
        let Some(mut found) = flipped.and_then(|text| report(&text, case)) else { continue };
        found.log.claimed_signers.clone_from(&whole.log.claimed_signers);
        let before = || &text[text[..at].rfind('\n').unwrap_or(0)..=at];
        assert_eq!((&found.record, &found.log), (&whole.record, &whole.log), "{}", before());
        assert_eq!(found.signed_by, whole.signed_by, "{}", before());
        assert_eq!(found.witnessed_by, whole.witnessed_by, "{}", before());
        assert_eq!(found.completeness, whole.completeness, "{}", before());
        for (one, other) in found.anchors.into_iter().zip(&whole.anchors) {
            let one = AnchorReport { claimed_height: other.claimed_height, ..one };
            assert!(one.status != Status::Proved || one == *other, "{}", before());
        }
    }
}

const DRIVER: &str = r#"
import json, sys
sys.path.insert(0, sys.argv[1])
import verify
for line in sys.stdin:
    case = json.loads(line)
    blocks = set()
    for header in case["headers"]:
        chain, block = header.split()
        raw = verify.unhex(block)
        blocks.add((chain, (verify.H2(raw)[::-1] if len(raw) == 80 else raw).hex()))
    try:
        answer = verify.verify(case["text"], [verify.Key(key) for key in case["keys"]], blocks)
        print(json.dumps([answer["verdict"], answer["anchors"]]))
    except (verify.Refused, ValueError, RecursionError):
        print(json.dumps(["refused", []]))
"#;

/// Runs the Python verifier over many texts in one process.
fn judge_in_python(cases: &[(String, Vec<String>, Vec<String>)]) -> Option<Vec<Value>> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
    let input = tempfile::NamedTempFile::new().unwrap();
    let lines: Vec<String> = cases
        .iter()
        .map(|(text, keys, headers)| {
            json!({ "text": text, "keys": keys, "headers": headers }).to_string()
        })
        .collect();
    std::fs::write(input.path(), lines.join("\n")).unwrap();
    let output = Command::new("python3")
        .args(["-B", "-c", DRIVER])
        .arg(python)
        .stdin(std::fs::File::open(input.path()).unwrap())
        .output();
    let Ok(output) = output else {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "there is no python3");
        eprintln!("not run: no python3");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answers = String::from_utf8(output.stdout).unwrap();
    Some(answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn promise_39_the_python_verifier_agrees_on_all_vectors() {
    let cases: Vec<_> = cases()
        .into_iter()
        .map(|case| {
            let text = std::fs::read_to_string(folder().join(&case.file)).unwrap();
            (text, case.keys, case.headers)
        })
        .collect();
    compare(&cases);
}

#[test]
fn promise_39_the_python_verifier_agrees_on_damaged_receipts() {
    let cases = cases();
    let case = cases.iter().find(|case| case.file == "good-trusted-headers.json").unwrap();
    let text = std::fs::read_to_string(folder().join(&case.file)).unwrap();
    let damaged: Vec<_> = (0..text.len())
        .step_by(37)
        .filter_map(|at| {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= [1, 2, 4, 16, 32][at % 5];
            let text = String::from_utf8(bytes).ok()?;
            Some((text, case.keys.clone(), case.headers.clone()))
        })
        .collect();
    assert!(damaged.len() > 200, "{}", damaged.len());
    compare(&damaged);
}

fn compare(cases: &[(String, Vec<String>, Vec<String>)]) {
    let Some(answers) = judge_in_python(cases) else { return };
    assert_eq!(answers.len(), cases.len());
    for ((text, keys, headers), answer) in cases.iter().zip(answers) {
        let (verdict, code, anchors) = judge(text, keys, headers);
        assert_eq!(json!([verdict, anchors]), answer, "{code:?} {:.300}", text);
    }
}
