//! Erasure by request, and legal hold against it: proofs stay valid, and the values are gone.

use serde_json::{Value, json};

use crate::offline::verify;
use crate::records::wait_logged;
use crate::world::{Setup, World, text};

#[tokio::test(flavor = "multi_thread")]
async fn promise_39_an_erased_person_is_gone_and_every_proof_stays_valid() {
    let world = World::start(Setup::NONE).await;
    let record = |id: &str, payer: &str| {
        json!({ "records": [{ "id": id, "kind": "repayment", "subject": "person-3",
                "fields": { "amount": "125" }, "personal": { "payer": payer } }] })
    };
    let path = "/v1/audit/records";
    world.tenant.post(path, record("r-1", "Ann Example")).await.unwrap();
    wait_logged(&world, "r-1").await;
    let before = world.tenant.get_text("/v1/audit/records/r-1/receipt").await.unwrap();
    assert!(before.contains("Ann Example") && verify(&world, &before).0);

    let subject = "/v1/audit/subjects/person-3";
    let hold = format!("{subject}/legal-hold");
    let erasure = format!("{subject}/erasure");
    let put = |body: Value| world.tenant.call(reqwest::Method::PUT, &hold, Some(body), None);
    put(json!({ "reason": "case 7" })).await.unwrap();
    let refused = world.tenant.post(&erasure, Value::Null).await.unwrap_err();
    assert_eq!((refused.status, refused.code.as_str()), (409, "legal_hold"));
    assert!(world.tenant.get_text("/v1/audit/records/r-1/receipt").await.unwrap() == before);
    assert_eq!(world.tenant.get(subject).await.unwrap()["legal_hold"], "case 7");
    let released = world.tenant.delete(&hold).await.unwrap();
    let done = world.tenant.post(&erasure, Value::Null).await.unwrap();
    let again = world.tenant.post(&erasure, Value::Null).await.unwrap();
    assert_eq!(again, done, "erased twice");

    let after = world.tenant.get_text("/v1/audit/records/r-1/receipt").await.unwrap();
    assert!(!after.contains("Ann Example"));
    let (accepted, said) = verify(&world, &after);
    assert!(accepted, "{said}");
    assert_eq!(said["report"]["record"]["sealed"], json!(["payer"]), "{said}");
    assert!(verify(&world, &before).0, "a receipt that was given out before stays valid");
    // Each decision has a receipt that names who took it.
    for answer in [&released, &done] {
        let id = text(answer, "record");
        wait_logged(&world, &id).await;
        let receipt = format!("/v1/audit/records/{id}/receipt");
        let (accepted, said) = verify(&world, &world.tenant.get_text(&receipt).await.unwrap());
        assert!(accepted, "{said}");
        assert!(said["report"]["record"]["fields"]["key"].is_string(), "{said}");
    }
    // The same record again is known, and nothing personal comes back.
    let known = world.tenant.post(path, record("r-1", "Ann Example")).await.unwrap();
    assert_eq!(known["known"], 1, "{known}");
    let new = world.tenant.post(path, record("r-2", "Ann Example")).await.unwrap();
    assert_eq!(new["results"][0]["code"], "erased", "{new}");
    let after = world.tenant.get_text("/v1/audit/records/r-1/receipt").await.unwrap();
    assert!(!after.contains("Ann Example"));
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_34_nobody_erases_a_person_of_another_tenant_or_without_the_scope() {
    let world = World::start(Setup::NONE).await;
    let other = world.another_tenant("Another Bank").await;
    let customer = world.customer("alice").await;
    let subject = format!("customer:{customer}");
    let record = json!({ "records": [{ "id": "r-1", "kind": "note", "subject": subject,
                                       "personal": { "name": "Ann Example" } }] });
    let refused = other.post("/v1/audit/records", record.clone()).await.unwrap();
    assert_eq!(refused["results"][0]["code"], "not_found", "{refused}");
    world.tenant.post("/v1/audit/records", record).await.unwrap();
    let path = format!("/v1/audit/subjects/{subject}");
    let erasure = format!("{path}/erasure");
    assert_eq!(other.get(&path).await.unwrap_err().status, 404);
    assert_eq!(other.post(&erasure, Value::Null).await.unwrap_err().status, 404);
    let body = json!({ "name": "writer", "scopes": ["read", "audit"] });
    let writer = text(&world.tenant.post("/v1/api-keys", body).await.unwrap(), "api_key");
    let writer = world.stack.tenant(&writer).unwrap();
    let refused = writer.post(&erasure, Value::Null).await.unwrap_err();
    assert_eq!((refused.status, refused.code.as_str()), (403, "forbidden"));
    let nobody = world.tenant.get("/v1/audit/subjects/nobody").await.unwrap_err();
    assert_eq!(nobody.status, 404);
    world.tenant.post(&erasure, Value::Null).await.unwrap();
}
