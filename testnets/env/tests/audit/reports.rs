//! Compliance reports: the same bytes for the same checkpoint, whatever happens later; and the records
//! of who read what.

use api_store::Engine;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::offline::verify;
use crate::records::wait_logged;
use crate::world::{Setup, World, items, text, unique};

async fn loan(world: &World, customer: &str, start: &str) -> String {
    let terms = json!({
        "currency": "EUR", "product": { "kind": "annuity" }, "rate": "0.06", "day_count": "30E/360",
        "frequency": { "unit": "monthly", "every": 1 }, "instalments": 12,
    });
    let product = json!({ "name": unique(), "terms": terms });
    let product = world.tenant.post("/v1/loan-products", product).await.unwrap();
    let body = json!({ "customer": customer, "product": product["id"], "principal": "120000",
                       "start": start });
    text(&world.tenant.post_once("/v1/loans", &unique(), body).await.unwrap(), "id")
}

async fn repay(world: &World, loan: &str, amount: u32) -> String {
    let body = json!({ "amount": amount.to_string(), "currency": "EUR" });
    let path = format!("/v1/loans/{loan}/repayments");
    text(&world.tenant.post_once(&path, &unique(), body).await.unwrap(), "record")
}

async fn fetch(world: &World, path: &str) -> Response {
    let url = format!("{}{path}", world.stack.url());
    let answer = reqwest::Client::new().get(url).bearer_auth(&world.tenant_key).send().await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 200, "{path}: {}", world.stack.server_log());
    answer
}

/// A report's bytes and the record that has their hash.
async fn report(world: &World, path: &str) -> (String, String) {
    let answer = fetch(world, path).await;
    let record = answer.headers()["roadstead-record"].to_str().unwrap().to_owned();
    (answer.text().await.unwrap(), record)
}

async fn reports_are_made_again(engine: Engine) {
    let mut world = World::start(Setup::NONE.on(engine)).await;
    let alice = world.customer("alice").await;
    let late = loan(&world, &alice, "2026-01-15").await;
    let new = loan(&world, &alice, "2026-11-20").await;
    repay(&world, &late, 5_000).await;
    let last = repay(&world, &new, 700).await;
    let size = wait_logged(&world, &last).await["checkpoint"].as_u64().unwrap();
    let path =
        |kind: &str, format: &str| format!("/v1/reports/{kind}?checkpoint={size}&format={format}");
    let kinds = ["repayments", "overdue", "contacts"];
    let mut made = Vec::new();
    for kind in kinds {
        for format in ["json", "csv"] {
            made.push((path(kind, format), report(&world, &path(kind, format)).await));
        }
    }
    // The report names its checkpoint, and the log has its hash.
    let (repayments, record) = made[0].1.clone();
    let parsed: Value = serde_json::from_str(&repayments).unwrap();
    assert_eq!(parsed["checkpoint"]["size"], size);
    let note = world.tenant.get_text(&format!("/log/checkpoints/{size}")).await.unwrap();
    assert_eq!(note.lines().nth(2).unwrap(), text(&parsed["checkpoint"], "root"));
    let amounts: Vec<&Value> = items(&parsed["rows"]).iter().map(|row| &row[7]).collect();
    assert_eq!(amounts, [&json!("5000"), &json!("700")], "{parsed}");
    let (overdue, _) = made[2].1.clone();
    let overdue: Value = serde_json::from_str(&overdue).unwrap();
    let rows = items(&overdue["rows"]);
    assert_eq!(rows.len(), 1, "{overdue}");
    assert_eq!(rows[0][0], json!(late));
    assert!(rows[0][2].as_str().unwrap().parse::<u32>().unwrap() > 200, "{overdue}");
    wait_logged(&world, &record).await;
    let receipt = world.tenant.get_text(&format!("/v1/audit/records/{record}/receipt")).await;
    let (accepted, said) = verify(&world, &receipt.unwrap());
    assert!(accepted, "{said}");
    let fields = &said["report"]["record"]["fields"];
    assert_eq!(fields["sha256"], hex::encode(Sha256::digest(&repayments)), "{said}");

    // More happens: payments, another late loan, an erasure, a new day of the server's life.
    for loan in [&late, &new] {
        repay(&world, loan, 1_234).await;
    }
    loan(&world, &alice, "2026-02-01").await;
    let body =
        json!({ "records": [{ "id": "x", "kind": "loan.repayment", "fields": { "loan": late } }] });
    world.tenant.post("/v1/audit/records", body).await.unwrap();
    world
        .tenant
        .post(&format!("/v1/audit/subjects/customer:{alice}/erasure"), Value::Null)
        .await
        .unwrap();
    wait_logged(&world, "x").await;
    world.stack.kill_server();
    world.stack.start_server(&[]).await.unwrap();
    for (path, before) in &made {
        assert_eq!(&report(&world, path).await, before, "{path}");
    }
    let (newest, _) = report(&world, "/v1/reports/repayments").await;
    let newest: Value = serde_json::from_str(&newest).unwrap();
    assert_eq!(items(&newest["rows"]).len(), 4, "{newest}");
    // A day that the operator sets is the day of reports from then on.
    let tenant = text(&parsed, "tenant");
    let day = json!({ "date": "2027-06-01" });
    let path_of_day = format!("/v1/tenants/{tenant}/business-date");
    world.operator.call(Method::PUT, &path_of_day, Some(day), None).await.unwrap();
    let body = json!({ "records": [{ "id": "y", "kind": "note" }] });
    world.tenant.post("/v1/audit/records", body).await.unwrap();
    wait_logged(&world, "y").await;
    let (then, _) = report(&world, "/v1/reports/overdue").await;
    let then: Value = serde_json::from_str(&then).unwrap();
    assert_eq!((&then["as_of"], items(&then["rows"]).len()), (&json!("2027-06-01"), 3), "{then}");
    for (path, before) in &made {
        assert_eq!(&report(&world, path).await, before, "{path}");
    }
    // There is no report for a checkpoint that never was signed.
    for odd in [0, size - 1, size + 1_000_000, u64::MAX] {
        let path = format!("/v1/reports/repayments?checkpoint={odd}");
        assert_eq!(world.tenant.get(&path).await.unwrap_err().status, 404, "{odd}");
    }
    let other = world.another_tenant("Another Bank").await;
    let empty = other.get(&path("repayments", "json")).await.unwrap();
    assert!(items(&empty["rows"]).is_empty(), "{empty}");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_39_a_report_is_made_again_byte_for_byte_on_sqlite() {
    reports_are_made_again(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_39_a_report_is_made_again_byte_for_byte_on_postgresql() {
    reports_are_made_again(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_39_what_staff_and_operators_read_is_recorded() {
    let world = World::start(Setup::NONE).await;
    let customer = world.customer("alice").await;
    world.tenant.get(&format!("/v1/customers/{customer}")).await.unwrap();
    assert!(items(&world.tenant.get("/v1/audit/reads").await.unwrap()).is_empty(), "of a machine");
    let body = json!({ "name": "Ann, auditor", "scopes": ["read", "keys"], "staff": true });
    let made = world.tenant.post("/v1/api-keys", body).await.unwrap();
    let ann = world.stack.tenant(&text(&made, "api_key")).unwrap();
    let path = format!("/v1/customers/{customer}?");
    ann.get(&path).await.unwrap();
    ann.get(&path).await.unwrap();
    ann.get("/v1/customers/01890000-0000-7000-8000-000000000000").await.unwrap_err();
    // A key that she makes for herself is hers, too.
    let body = json!({ "name": "another", "scopes": ["read"], "staff": false });
    let second = ann.post("/v1/api-keys", body).await.unwrap();
    let second = world.stack.tenant(&text(&second, "api_key")).unwrap();
    second.get("/v1/withdrawals").await.unwrap();
    let reads = world.tenant.get("/v1/audit/reads").await.unwrap();
    let said: Vec<&str> = items(&reads).iter().map(|one| one["path"].as_str().unwrap()).collect();
    // The newest first; the same again is one read, unless a minute went by between the two.
    assert_eq!(said[0], "/v1/withdrawals", "{reads}");
    assert_eq!(said[1], "/v1/customers/01890000-0000-7000-8000-000000000000", "{reads}");
    assert!(said[2..].iter().all(|one| *one == path) && (3..=4).contains(&said.len()), "{reads}");
    assert_eq!(items(&reads)[1]["key"], made["id"], "{reads}");
    // Each is provable.
    let record = text(&items(&reads)[2], "record");
    wait_logged(&world, &record).await;
    let receipt = world.tenant.get_text(&format!("/v1/audit/records/{record}/receipt")).await;
    let (accepted, answer) = verify(&world, &receipt.unwrap());
    assert!(accepted, "{answer}");
    assert_eq!(answer["report"]["record"]["fields"]["path"], path.as_str(), "{answer}");
    assert_eq!(answer["report"]["record"]["fields"]["key"], made["id"], "{answer}");
    // Another tenant sees none of it; the operator's reads are the operator's to see.
    let other = world.another_tenant("Another Bank").await;
    assert!(items(&other.get("/v1/audit/reads").await.unwrap()).is_empty());
    world.operator.get("/v1/treasury/ledger-check").await.unwrap();
    let reads = world.operator.get("/v1/treasury/reads").await.unwrap();
    let of = |one: &Value| one["path"] == "/v1/treasury/ledger-check" && one["key"] == "operator";
    assert!(items(&reads).iter().any(of), "{reads}");
}
