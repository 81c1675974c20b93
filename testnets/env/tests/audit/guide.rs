//! The integrators' guide and the examples, run against a real server as they are printed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use serde_json::{Value, json};

use crate::offline::verify_file;
use crate::world::{Setup, World};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn root(path: &str) -> PathBuf {
    Path::new(ROOT).join(path)
}

/// The lines of all `sh` blocks of a page, in their order.
fn commands(page: &str) -> String {
    let text = std::fs::read_to_string(root(page)).unwrap();
    let blocks = text.split("\n```sh\n").skip(1);
    let blocks: Vec<&str> = blocks.map(|rest| rest.split("\n```").next().unwrap()).collect();
    assert!(blocks.len() >= 6, "{page} has {} blocks of commands", blocks.len());
    blocks.join("\n")
}

async fn programs() -> String {
    let verify = &testnets::binaries().await.unwrap().verify;
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{}:{path}", verify.parent().unwrap().display())
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}\n{}", output.status, text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guides_commands_lead_to_a_verified_receipt() {
    let world = World::start(Setup::NONE).await;
    let folder = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &commands("docs/INTEGRATORS.md")])
        .current_dir(folder.path())
        .env("PATH", programs().await)
        .env("URL", world.stack.url())
        .env("OPERATOR_KEY", &world.stack.operator_key)
        .env("LOG_KEY", world.stack.log_key().unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let words = said(&output);
    for wanted in ["proved: this record is entry", "accepted", "refused"] {
        assert!(words.contains(wanted), "no {wanted:?} in {words}");
    }
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

const LINES: &str = "id,loan,borrower,amount,currency,booked_on,payer\n\
    P/1,loan-7,person-3,12500,EUR,2026-11-01,Ann Example\n\
    P/2,loan-7,person-3,12500,EUR,2026-12-01,Ann Example\n\
    P/3,loan-8,person-4,300,EUR,2026-12-02,Bob Example\n";

/// Runs an example twice: what it does again changes nothing, and each receipt verifies.
fn run_twice(world: &World, program: &Path, input: &Path, prefix: &str, interpreter: &str) {
    let receipts = input.parent().unwrap().join("receipts");
    for _ in 0..2 {
        let output = Command::new(interpreter)
            .arg(program)
            .arg(input)
            .arg(&receipts)
            .env("ROADSTEAD_URL", world.stack.url())
            .env("ROADSTEAD_KEY", &world.tenant_key)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer, json!({ "repayments": 3, "refused": 0, "receipts": 3 }));
    }
    let key = world.stack.log_key().unwrap();
    for number in 1..=3 {
        let file = receipts.join(format!("{prefix}%2F{number}.json"));
        let (accepted, answer) = verify_file(world, &file, &key);
        assert!(accepted, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_example_gets_a_receipt_for_each_repayment() {
    let world = World::start(Setup::NONE).await;
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("repayments.csv");
    std::fs::write(&input, LINES).unwrap();
    let program = root("examples/integrator/python/integrator.py");
    run_twice(&world, &program, &input, "P", "python3");
    // Another payment under a used id is refused, and said so.
    std::fs::write(&input, LINES.replace("P/3,loan-8,person-4,300", "P/3,loan-8,person-4,301"))
        .unwrap();
    let output = Command::new("python3")
        .arg(&program)
        .arg(&input)
        .arg(folder.path().join("receipts"))
        .env("ROADSTEAD_URL", world.stack.url())
        .env("ROADSTEAD_KEY", &world.tenant_key)
        .output()
        .unwrap();
    assert!(said(&output).contains("P/3: already_exists"), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_typescript_example_gets_a_receipt_for_each_repayment() {
    let world = World::start(Setup::NONE).await;
    let folder = tempfile::tempdir().unwrap();
    let example = root("examples/integrator/typescript");
    let copy = folder.path().join("example");
    std::fs::create_dir_all(copy.join("src")).unwrap();
    for name in ["package.json", "package-lock.json", "tsconfig.json", "src/integrator.ts"] {
        std::fs::copy(example.join(name), copy.join(name)).unwrap();
    }
    for step in [["ci", "--no-audit", "--no-fund"], ["run", "--silent", "build"]] {
        let output = Command::new("npm").args(step).current_dir(&copy).output().unwrap();
        assert!(output.status.success(), "npm {step:?}: {}", said(&output));
    }
    let repayments: Vec<Value> = (1..=3)
        .map(|number| {
            json!({ "id": format!("T/{number}"), "loan": "loan-9", "borrower": "person-5",
                    "amount": "12500", "currency": "EUR", "payer": "Cleo Example" })
        })
        .collect();
    let input = folder.path().join("repayments.json");
    std::fs::write(&input, json!(repayments).to_string()).unwrap();
    run_twice(&world, &copy.join("dist/integrator.js"), &input, "T", "node");
}
