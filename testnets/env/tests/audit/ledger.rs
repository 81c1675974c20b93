//! Commits of the ledger: a receipt binds every transfer of a commit, also against who can write to the
//! database.

use std::path::Path;
use std::process::Command;

use api_store::{Db, Engine, args};
use serde_json::{Value, json};

use crate::offline::{python_accepts, verify};
use crate::records::wait_logged;
use crate::world::{Setup, World, items, text};

const PAGE: &str = include_str!("../../../../docs/API-LEDGER.md");

fn id(number: u32) -> String {
    format!("018f3a3c-0000-7000-8000-{number:012}")
}

/// Accounts and a commit of three transfers, one of them of two legs; then two commits more.
async fn post(world: &World) {
    let open = async |code: &str, asset: &str| {
        let new = json!({ "code": code, "asset": asset, "side": "debit", "floor": "none" });
        text(&world.tenant.post("/v1/ledger/accounts", new).await.unwrap(), "id")
    };
    let (a, b) = (open("a", "EUR").await, open("b", "EUR").await);
    let (yen, more_yen) = (open("a", "JPY").await, open("b", "JPY").await);
    let leg = |debit: &str, credit: &str, amount: &str| json!({ "debit": debit, "credit": credit, "amount": amount });
    let batch = json!({ "transfers": [
        { "id": id(1), "legs": [leg(&a, &b, "1000")], "code": "rent", "reference": "Miete März, Zimmer 7" },
        { "id": id(2), "legs": [leg(&a, &b, "5"), leg(&more_yen, &yen, "340282366920938463463374607431768211455")],
          "effective_on": "2026-01-31" },
        { "id": id(3), "kind": "pending", "legs": [leg(&b, &a, "70")], "timeout_secs": 3600 },
    ] });
    let answer = world.tenant.post("/v1/ledger/transfers/batch", batch).await.unwrap();
    assert_eq!(answer["executed"], 3, "{answer}");
    for end in [
        json!({ "id": id(4), "kind": "post_pending", "target": id(3), "amounts": ["69"] }),
        json!({ "id": id(5), "kind": "reversal", "target": id(1) }),
    ] {
        world.tenant.post("/v1/ledger/transfers", end).await.unwrap();
    }
}

/// The record of the commit that a transfer came with, once it is under a checkpoint.
async fn record_of(world: &World, number: u32) -> String {
    let shown = world.tenant.get(&format!("/v1/ledger/transfers/{}", id(number))).await.unwrap();
    let record = text(&shown, "record");
    wait_logged(world, &record).await;
    record
}

/// What the script of the page says of the verifier's answer and the transfers as they are listed.
async fn page_accepts(world: &World, verified: &Value) -> (bool, String) {
    let mut blocks = PAGE.split("```python\n").skip(1);
    let script = blocks.find(|block| block.contains("verified.json")).unwrap();
    let script = script.split("```").next().unwrap();
    let listed = world.tenant.get("/v1/ledger/transfers").await.unwrap();
    let folder = world.stack.folder();
    std::fs::write(folder.join("verified.json"), verified.to_string()).unwrap();
    std::fs::write(folder.join("transfers.json"), listed.to_string()).unwrap();
    let output = Command::new("python3").args(["-c", script]).current_dir(folder).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// What somebody does who has the database in his hands: the triggers are in it as well.
async fn tamper(world: &World, change: &'static str) {
    let config = std::fs::read_to_string(world.stack.folder().join("roadstead.toml")).unwrap();
    let url = config.split("[database]\nurl = \"").nth(1).unwrap().split('"').next().unwrap();
    let db = Db::connect(url).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    let drop = match db.engine() {
        Engine::Sqlite => "DROP TRIGGER IF EXISTS ledger_transfers_no_update",
        Engine::Postgres => "DROP TRIGGER IF EXISTS ledger_transfers_no_change ON ledger_transfers",
    };
    tx.execute(drop, args![]).await.unwrap();
    assert_eq!(tx.execute(change, args![]).await.unwrap(), 1, "{change}");
    tx.commit().await.unwrap();
    db.close().await;
}

fn check(world: &World) -> (bool, String) {
    let output = world.stack.roadstead(&["ledger", "check"]).unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

async fn a_commit_has_a_receipt(engine: Engine) {
    let world = World::start(Setup::NONE.on(engine)).await;
    post(&world).await;
    let record = record_of(&world, 1).await;
    assert_eq!(record_of(&world, 2).await, record, "one commit, one record");
    assert_ne!(record_of(&world, 5).await, record);
    let path = format!("/v1/audit/records/{record}/receipt");
    let receipt = world.tenant.get_text(&path).await.unwrap();
    let (accepted, verified) = verify(&world, &receipt);
    assert!(accepted, "{verified}");
    let fields = &verified["report"]["record"]["fields"];
    assert_eq!((&fields["kind"], &fields["transfers"]), (&json!("ledger.commit"), &json!("3")));
    let (file, key) = (world.stack.folder().join("receipt.json"), world.stack.log_key().unwrap());
    assert!(python_accepts(Path::new(&file), &key));
    let (accepted, said) = page_accepts(&world, &verified).await;
    assert!(accepted && said.contains("3 transfers"), "{said}");

    // Only what is asked for is told, and it verifies as well.
    let part = world.tenant.get_text(&format!("{path}?fields=transfers")).await.unwrap();
    let hash = text(fields, "sha256");
    assert!(receipt.contains(&hash) && !part.contains(&hash), "{part}");
    let (accepted, told) = verify(&world, &part);
    assert!(accepted && told["report"]["record"]["fields"]["transfers"] == "3", "{told}");
    let (accepted, said) = verify(&world, &receipt.replacen(&hash, &"0".repeat(64), 1));
    assert!(!accepted, "{said}");
    let stranger = world.another_tenant("Another Bank").await;
    assert_eq!(stranger.get(&path).await.unwrap_err().status, 404);

    // A text that no balance depends on is changed in the database: the receipt tells.
    assert!(check(&world).0);
    let change =
        "UPDATE ledger_transfers SET reference = 'Miete Mai' WHERE code = 'rent' AND kind = 1";
    tamper(&world, change).await;
    let (accepted, said) = page_accepts(&world, &verified).await;
    assert!(!accepted && said.contains("not what the receipt binds"), "{said}");
    let back = "UPDATE ledger_transfers SET reference = 'Miete März, Zimmer 7' \
                WHERE code = 'rent' AND kind = 1";
    tamper(&world, back).await;
    assert!(page_accepts(&world, &verified).await.0);
    // An amount: the receipt tells, and so does the check of the books.
    let change = match engine {
        Engine::Sqlite => {
            "UPDATE ledger_transfers SET amount = x'03E9' WHERE code = 'rent' AND kind = 1"
        }
        Engine::Postgres => {
            "UPDATE ledger_transfers SET amount = '\\x03e9' WHERE code = 'rent' AND kind = 1"
        }
    };
    tamper(&world, change).await;
    let listed = world.tenant.get("/v1/ledger/transfers").await.unwrap();
    assert_eq!(items(&listed)[0]["legs"][0]["amount"], "1001", "it was not changed");
    assert!(!page_accepts(&world, &verified).await.0);
    let (clean, said) = check(&world);
    assert!(!clean, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_39_a_commit_of_the_ledger_has_a_receipt_on_sqlite() {
    a_commit_has_a_receipt(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_39_a_commit_of_the_ledger_has_a_receipt_on_postgresql() {
    a_commit_has_a_receipt(Engine::Postgres).await;
}
