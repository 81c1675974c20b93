//! The three verifiers, asked alike: this crate, the one in Python, and the page in a browser.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use api_verify::Language;
use api_verify::anchor::TrustedBlocks;
use api_verify::answer::{Answer, Question};
use api_verify::policy::Policy;
use api_verify::report::Report;
use serde::Deserialize;
use serde_json::{Value, json};

/// A line of `cases.json`.
#[derive(Clone, Deserialize)]
pub(crate) struct Case {
    pub(crate) file: String,
    pub(crate) keys: Vec<String>,
    pub(crate) headers: Vec<String>,
    pub(crate) verdict: String,
    pub(crate) code: Option<String>,
}

impl Case {
    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(folder().join(&self.file)).unwrap()
    }

    pub(crate) fn question(&self, receipt: String) -> Question {
        let headers = (!self.headers.is_empty()).then(|| self.headers.join("\n"));
        Question { receipt, keys: self.keys.clone(), policy: None, headers }
    }

    /// What this crate finds in `text` with the case's keys and headers, if it is not refused.
    pub(crate) fn report(&self, text: &str) -> Option<Report> {
        let policy = Policy::from_keys(self.keys.iter().map(|key| key.parse().unwrap()).collect());
        let trusted = TrustedBlocks::parse(&self.headers.join("\n")).unwrap();
        api_verify::examine(&api_verify::parse(text).ok()?, &policy, &trusted).ok()
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/v1")
}

pub(crate) fn cases() -> Vec<Case> {
    serde_json::from_str(&std::fs::read_to_string(folder().join("cases.json")).unwrap()).unwrap()
}

/// The verdict and the anchors' statuses: what all verifiers must agree on.
pub(crate) fn gist(answer: &Value) -> Value {
    let anchors = answer["report"]["anchors"].as_array();
    let statuses = anchors.into_iter().flatten().map(|anchor| anchor["status"].clone());
    json!([answer["verdict"], Value::Array(statuses.collect())])
}

pub(crate) fn in_rust(question: &Question) -> Answer {
    question.answer(Language::English)
}

/// Runs a program that reads `input`; `None` where it is not installed, which CI does not allow.
fn output(command: &mut Command, input: &str, missing: &str) -> Option<Vec<u8>> {
    let spawned =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = spawned else { return not_run(missing) };
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    // What went wrong is in what the program says, not in the pipe that it closed.
    let _ = writer.join().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

fn not_run<T>(missing: &str) -> Option<T> {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "there is no {missing}");
    eprintln!("not run: there is no {missing}");
    None
}

/// The gists by the Python verifier, all in one process.
pub(crate) fn in_python(questions: &[Question]) -> Option<Vec<Value>> {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = crate_folder.join("python/run");
    if !Command::new(&python).args(["-c", ""]).status().unwrap().success() {
        return not_run("Python with pip and its packages");
    }
    let lines: Vec<String> = questions.iter().map(|question| asked(question).to_string()).collect();
    let mut command = Command::new(python);
    command.arg(crate_folder.join("tests/vectors/driver.py")).arg(crate_folder.join("python"));
    let answers = output(&mut command, &lines.join("\n"), "python3")?;
    let answers = String::from_utf8(answers).unwrap();
    Some(answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn asked(question: &Question) -> Value {
    let Question { receipt, keys, policy, headers } = question;
    json!({ "receipt": receipt, "keys": keys, "policy": policy, "headers": headers })
}

/// The page's answers to questions, each with what else the browser is told (`by`, `language`).
pub(crate) fn in_page(questions: &[(Question, Value)]) -> Option<Vec<Value>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = root.join("target/roadstead-verify.html");
    if !page.is_file() {
        return not_run("target/roadstead-verify.html; api/verify-wasm/build makes it");
    }
    if Command::new("chromium").arg("--version").output().is_err() {
        return not_run("chromium");
    }
    let list: Vec<Value> = questions
        .iter()
        .map(|(question, how)| {
            let mut asked = asked(question);
            let how = how.as_object().into_iter().flatten();
            how.for_each(|(name, value)| asked[name] = value.clone());
            asked
        })
        .collect();
    let driver = root.join("api/verify-wasm/tests/chromium.mjs");
    let mut command = Command::new("node");
    let found = output(command.arg(driver).arg(&page), &json!(list).to_string(), "node")?;
    let found: Value = serde_json::from_slice(&found).unwrap();
    assert_eq!(found["requests"], json!([]), "the page used the network");
    assert_eq!(found["errors"], json!([]));
    let answers = found["answers"].as_array().unwrap().clone();
    assert_eq!(answers.len(), questions.len());
    Some(answers)
}
