//! The verifiers, on files.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::world::World;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// What `roadstead-verify` says of a receipt.
pub(crate) fn verify(world: &World, receipt: &str) -> (bool, Value) {
    let file = world.stack.folder().join("receipt.json");
    std::fs::write(&file, receipt).unwrap();
    verify_file(world, &file, &world.stack.log_key().unwrap())
}

pub(crate) fn verify_file(world: &World, file: &Path, key: &str) -> (bool, Value) {
    let (accepted, answer) = world.stack.verify(file, key).unwrap();
    (accepted, serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{answer:?}")))
}

/// Runs `roadstead-verify --json` with these arguments: its exit code and its answer.
pub(crate) async fn run_verify<S: AsRef<OsStr>>(arguments: &[S]) -> (Option<i32>, Value) {
    let program = &testnets::binaries().await.unwrap().verify;
    let output = Command::new(program).args(arguments).arg("--json").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), serde_json::from_str(&said).unwrap_or_else(|_| panic!("{output:?}")))
}

/// Whether the independent verifier accepts the receipt.
pub(crate) fn python_accepts(file: &Path, key: &str) -> bool {
    let program = Path::new(ROOT).join("api/verify/python/verify.py");
    let output = python().arg(program).arg(file).args(["--key", key]).output().unwrap();
    output.status.success()
}

/// Python with the packages of the independent verifier.
fn python() -> Command {
    Command::new(Path::new(ROOT).join("api/verify/python/run"))
}

/// What the independent verifier says of each question `{receipt, keys, policy, headers}`, all in one
/// process.
pub(crate) fn python_says(questions: &[Value]) -> Vec<Value> {
    let lines: Vec<String> = questions.iter().map(Value::to_string).collect();
    let mut command = python();
    command.arg(Path::new(ROOT).join("api/verify/tests/vectors/driver.py"));
    let answers = ask(command.arg(Path::new(ROOT).join("api/verify/python")), lines.join("\n"));
    answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What the page in a browser without a network says of each question; `None` where there is no page
/// or no browser, which CI does not allow.
pub(crate) fn page_says(questions: &[Value]) -> Option<Vec<Value>> {
    let page = Path::new(ROOT).join("target/roadstead-verify.html");
    let browser = Command::new("chromium").arg("--version").output();
    if !page.is_file() || browser.is_err() {
        eprintln!("not run: no page (api/verify-wasm/build) or no browser");
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "no page or no browser");
        return None;
    }
    let mut command = Command::new("node");
    command.arg(Path::new(ROOT).join("api/verify-wasm/tests/chromium.mjs")).arg(page);
    let said: Value =
        serde_json::from_str(&ask(&mut command, json!(questions).to_string())).unwrap();
    assert_eq!((&said["requests"], &said["errors"]), (&json!([]), &json!([])));
    Some(said["answers"].as_array().unwrap().clone())
}

/// Runs a program that reads `input`; what it prints.
fn ask(command: &mut Command, input: String) -> String {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The statuses of a receipt's anchors, sorted.
pub(crate) fn statuses(answer: &Value) -> Vec<String> {
    let anchors = answer["report"]["anchors"].as_array();
    let status = |anchor: &Value| anchor["status"].as_str().map(str::to_owned);
    let mut found: Vec<String> = anchors.into_iter().flatten().filter_map(status).collect();
    found.sort_unstable();
    found
}

/// What the public OpenTimestamps client says of a stamped file, asking this Bitcoin node; `None`
/// when it cannot be installed here.
pub(crate) fn ots_says(stamp: &Path, node: &str) -> Option<(bool, String)> {
    match install_ots() {
        Ok(client) => {
            let arguments = ["--btc-regtest", "--no-cache", "--bitcoin-node", node, "verify"];
            let output = Command::new(client).args(arguments).arg(stamp).output().unwrap();
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            Some((output.status.success(), words))
        }
        Err(reason) => {
            eprintln!("not run: the ots client: {reason}");
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{reason}");
            None
        }
    }
}

/// The client in a virtual environment of its own, at pinned versions.
fn install_ots() -> Result<PathBuf, String> {
    let cache = std::env::var_os("ROADSTEAD_CACHE").map(PathBuf::from).or_else(|| {
        std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/roadstead"))
    });
    let folder = cache.ok_or("no cache folder")?.join("ots-0.7.2");
    let client = folder.join("bin/ots");
    if run(Command::new(&client).arg("--version")).is_ok() {
        return Ok(client);
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let requirements =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audit/requirements-ots.txt");
    let pip = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "-r"];
    run(Command::new(folder.join("bin/python")).args(pip).arg(requirements))?;
    Ok(client)
}

fn run(command: &mut Command) -> Result<(), String> {
    let done = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    match done.status.success() {
        true => Ok(()),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&done.stderr))),
    }
}
