//! Records of an integrator: many at once, each once, each with its receipt.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use api_store::Engine;
use serde_json::{Value, json};

use crate::http::Call;
use crate::offline::{python_accepts, verify};
use crate::world::{PATIENCE, Setup, World, items, text};

/// A record as a bank would send it.
fn repayment(id: &str, amount: u64) -> Value {
    json!({ "id": id, "kind": "loan.repayment", "stream": "loan-7", "subject": "person-3",
            "fields": { "amount": amount.to_string(), "currency": "EUR" },
            "personal": { "payer": "Ann Example" } })
}

async fn append(world: &World, records: &[Value]) -> Value {
    let body = json!({ "records": records });
    world.tenant.post("/v1/audit/records", body).await.unwrap()
}

pub(crate) async fn wait_logged(world: &World, id: &str) -> Value {
    let is_logged = |answer: &Value| answer["checkpoint"].is_u64();
    let path = format!("/v1/audit/records/{id}");
    world.tenant.wait_for(&path, PATIENCE, is_logged).await.unwrap()
}

async fn records_get_receipts(engine: Engine) {
    let world = World::start(Setup::NONE.on(engine)).await;
    let sent = [repayment("R/1", 12_500), repayment("R/2", 300)];
    let answer = append(&world, &sent).await;
    assert_eq!((&answer["created"], &answer["refused"]), (&json!(2), &json!(0)), "{answer}");
    let status = wait_logged(&world, "R%2F1").await;
    assert_eq!(status["record"], answer["results"][0]["record"], "{status}");
    // By its own id and by the record's the receipt is the same.
    let receipt = world.tenant.get_text("/v1/audit/records/R%2F1/receipt").await.unwrap();
    let by_record = format!("/v1/audit/records/{}/receipt", text(&status, "record"));
    assert_eq!(world.tenant.get_text(&by_record).await.unwrap(), receipt);
    let (accepted, said) = verify(&world, &receipt);
    assert!(accepted, "{said}");
    let fields = &said["report"]["record"]["fields"];
    assert_eq!(fields["amount"], "12500", "{said}");
    assert_eq!(fields["external_id"], "client:R/1", "{said}");
    assert_eq!(fields["kind"], "client.loan.repayment", "{said}");
    assert_eq!(said["report"]["completeness"]["events"], 2, "{said}");
    let file = world.stack.folder().join("receipt.json");
    let key = world.stack.log_key().unwrap();
    assert!(python_accepts(&file, &key));
    // What is not disclosed stays sealed, and a changed one is refused by both.
    let path = "/v1/audit/records/R%2F1/receipt?fields=amount";
    let part = world.tenant.get_text(path).await.unwrap();
    assert!(part.contains("12500") && !part.contains("Ann Example") && !part.contains("R/1"));
    assert!(verify(&world, &part).0);
    assert!(python_accepts(&file, &key));
    let (accepted, said) = verify(&world, &part.replacen("12500", "12501", 1));
    assert!(!accepted && said["code"] == "record", "{said}");
    assert!(!python_accepts(&file, &key));
    let proof = world.tenant.get_text("/v1/audit/records/R%2F2/tlog-proof").await.unwrap();
    assert!(proof.starts_with("c2sp.org/tlog-proof@v1\nindex "), "{proof}");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_39_records_of_an_integrator_get_receipts_on_sqlite() {
    records_get_receipts(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_39_records_of_an_integrator_get_receipts_on_postgresql() {
    records_get_receipts(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_record_has_a_result_of_its_own_and_is_written_once() {
    let world = World::start(Setup::NONE).await;
    let first = append(&world, &[repayment("a", 1), repayment("b", 2)]).await;
    let bad_kind = json!({ "id": "c", "kind": "Loan Repayment" });
    let bad_field = json!({ "id": "d", "kind": "x", "fields": { "tenant": "another" } });
    let ownerless = json!({ "id": "e", "kind": "x", "personal": { "name": "Bob" } });
    let sent = [
        repayment("a", 1),
        repayment("b", 3),
        bad_kind,
        bad_field,
        ownerless,
        json!({ "id": "two words", "kind": "x" }),
        repayment("f", 4),
        repayment("f", 4),
        repayment("f", 5),
    ];
    let answer = append(&world, &sent).await;
    let results = items(&answer["results"]);
    let said: Vec<_> = results
        .iter()
        .map(|one| (one["status"].as_str().unwrap(), one["code"].as_str().unwrap_or("")))
        .collect();
    let form = ("refused", "unprocessable");
    let wanted = [
        ("known", ""),
        ("refused", "already_exists"),
        form,
        form,
        form,
        form,
        ("created", ""),
        ("known", ""),
        form,
    ];
    assert_eq!(said, wanted, "{answer}");
    assert_eq!(results[0]["record"], first["results"][0]["record"]);
    assert_eq!(results[6]["record"], results[7]["record"]);
    // Nothing of what was refused is there.
    for id in ["c", "d", "e", "two%20words"] {
        let missing = world.tenant.get(&format!("/v1/audit/records/{id}")).await.unwrap_err();
        assert_eq!(missing.status, 404, "{id}");
    }
    for count in [0, 10_001] {
        let many: Vec<Value> =
            (0..count).map(|n| json!({ "id": n.to_string(), "kind": "x" })).collect();
        let body = json!({ "records": many });
        let refused = world.tenant.post("/v1/audit/records", body).await.unwrap_err();
        assert_eq!((refused.status, refused.code.as_str()), (422, "unprocessable"), "{count}");
    }
}

/// Ids, streams and subjects of one tenant, of another and of the server itself never meet.
#[tokio::test(flavor = "multi_thread")]
async fn promise_34_records_of_two_tenants_with_one_id_are_two_records() {
    let world = World::start(Setup::NONE).await;
    let other = world.another_tenant("Second Harbour Bank").await;
    let mine = append(&world, &[repayment("R-1", 100)]).await;
    let body = json!({ "records": [repayment("R-1", 999)] });
    let theirs = other.post("/v1/audit/records", body).await.unwrap();
    assert_eq!(theirs["created"], 1, "{theirs}");
    let record = text(&mine["results"][0], "record");
    assert_ne!(theirs["results"][0]["record"], mine["results"][0]["record"]);
    wait_logged(&world, "R-1").await;
    let (_, said) =
        verify(&world, &world.tenant.get_text("/v1/audit/records/R-1/receipt").await.unwrap());
    assert_eq!(said["report"]["record"]["fields"]["amount"], "100", "{said}");
    // Two streams, though both are called loan-7.
    assert_eq!(said["report"]["completeness"]["events"], 1, "{said}");
    for path in ["", "/receipt", "/tlog-proof"] {
        let path = format!("/v1/audit/records/{record}{path}");
        assert_eq!(other.get(&path).await.unwrap_err().status, 404, "{path}");
    }
    // Another tenant's person of the same name is another person.
    other.post("/v1/audit/subjects/person-3/erasure", Value::Null).await.unwrap();
    let kept = world.tenant.get_text("/v1/audit/records/R-1/receipt").await.unwrap();
    assert!(kept.contains("Ann Example"));
    // The server's own ids cannot be taken or read under `client:`.
    let customer = world.customer("alice").await;
    let posing = json!({ "records": [
        { "id": format!("erasure:{customer}"), "kind": "log.map", "stream": format!("loan:{customer}"),
          "fields": { "root": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" } } ] });
    let posing = world.tenant.post("/v1/audit/records", posing).await.unwrap();
    let id = text(&posing["results"][0], "record");
    wait_logged(&world, &id).await;
    let receipt = format!("/v1/audit/records/{id}/receipt");
    let (accepted, said) = verify(&world, &world.tenant.get_text(&receipt).await.unwrap());
    assert!(accepted, "{said}");
    let fields = &said["report"]["record"]["fields"];
    assert_eq!(fields["kind"], "client.log.map", "{said}");
    assert!(fields["stream"].as_str().unwrap().starts_with("client:"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_records_go_in_one_call_and_again_change_nothing() {
    let world = World::start(Setup::NONE).await;
    let records: Vec<Value> = (0..10_000).map(|n| repayment(&format!("R-{n}"), n)).collect();
    let body = json!({ "records": records });
    let call = Call::new(&world, "post", "/v1/audit/records").key(&world.tenant_key).json(&body);
    let answer = call.send().await;
    assert_eq!((answer.status, &answer.body["created"]), (200, &json!(10_000)), "{answer:?}");
    let again = call.send().await;
    assert_eq!((again.status, &again.body["known"]), (200, &json!(10_000)), "{again:?}");
    wait_logged(&world, "R-9999").await;
    let receipt = world.tenant.get_text("/v1/audit/records/R-4711/receipt").await.unwrap();
    let (accepted, said) = verify(&world, &receipt);
    assert!(accepted, "{said}");
    assert_eq!(said["report"]["completeness"]["events"], 10_000, "{said}");
    // A body beyond the limit is refused as such, before it is sent: this is what `curl` waits for.
    let address = world.stack.url().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&address).unwrap();
    let head = format!(
        "POST /v1/audit/records HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\
         connection: close\r\n\r\n",
        world.tenant_key,
        17 << 20
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("\"body_too_large\""), "{answer}");
}
