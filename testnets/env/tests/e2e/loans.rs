//! Loans over the public API: the business date moves by hand, the borrower signs.

use api_store::Engine;
use ed25519_dalek::{Signer as _, SigningKey};
use reqwest::Method;
use serde_json::{Value, json};

use crate::http::Call;
use crate::world::{Setup, World, text, unique};

/// A lender whose business date the operator moves, a borrower with a key, and a product.
pub(crate) struct Lending {
    pub(crate) world: World,
    pub(crate) tenant: String,
    pub(crate) borrower: String,
    pub(crate) key: SigningKey,
    pub(crate) product: String,
}

pub(crate) fn annuity(name: &str) -> Value {
    json!({ "name": name, "terms": {
        "currency": "EUR", "product": { "kind": "annuity" }, "rate": "0.06", "day_count": "30E/360",
        "frequency": { "unit": "monthly", "every": 1 }, "instalments": 12,
        "penalty": { "rate": "0.12", "grace_days": 5 }, "fees": { "late": { "fixed": "500" } },
    }})
}

impl Lending {
    pub(crate) async fn start(setup: Setup, day: &str) -> Self {
        let mut world = World::start(setup).await;
        let made = world.operator.post("/v1/tenants", json!({ "name": "Harbour Lending" })).await;
        let made = made.unwrap();
        world.tenant_key = text(&made, "api_key");
        world.tenant = world.stack.tenant(&world.tenant_key).unwrap();
        let mut lending = Self {
            tenant: text(&made, "id"),
            borrower: String::new(),
            key: SigningKey::from_bytes(&[7; 32]),
            product: String::new(),
            world,
        };
        lending.move_to(day).await;
        lending.borrower = lending.world.customer("borrower").await;
        let product = lending.world.tenant.post("/v1/loan-products", annuity("starter")).await;
        lending.product = text(&product.unwrap(), "id");
        lending
    }

    /// Moves the business date.
    pub(crate) async fn move_to(&self, day: &str) {
        let path = format!("/v1/tenants/{}/business-date", self.tenant);
        let body = Some(json!({ "date": day }));
        let moved = self.world.operator.call(Method::PUT, &path, body, None).await.unwrap();
        assert_eq!(moved, json!({ "date": day, "source": "operator" }));
    }

    pub(crate) async fn lend(&self, principal: &str) -> String {
        let body = json!({
            "customer": self.borrower, "product": self.product, "principal": principal,
            "borrower_key": hex::encode(self.key.verifying_key().to_bytes()),
        });
        text(&self.world.tenant.post_once("/v1/loans", &unique(), body).await.unwrap(), "id")
    }

    pub(crate) async fn pay(&self, loan: &str, amount: &str) -> Value {
        let path = format!("/v1/loans/{loan}/repayments");
        let body = json!({ "amount": amount, "currency": "EUR" });
        self.world.tenant.post_once(&path, &unique(), body).await.unwrap()
    }

    pub(crate) async fn position(&self, loan: &str) -> Value {
        self.world.tenant.get(&format!("/v1/loans/{loan}")).await.unwrap()["position"].clone()
    }

    pub(crate) async fn get(&self, loan: &str, part: &str) -> Value {
        self.world.tenant.get(&format!("/v1/loans/{loan}/{part}")).await.unwrap()
    }

    pub(crate) async fn preview(&self, loan: &str, change: &Value) -> Value {
        let path = format!("/v1/loans/{loan}/previews");
        self.world.tenant.post(&path, json!({ "change": change })).await.unwrap()
    }

    /// What the borrower sends back: the preview's hash, signed.
    pub(crate) fn signed(&self, change: &Value, preview: &Value) -> Value {
        let signature = self.key.sign(text(preview, "message").as_bytes());
        json!({
            "change": change, "effective": preview["preview"]["effective"],
            "hash": preview["hash"], "signature": hex::encode(signature.to_bytes()),
        })
    }

    /// The refusal's code; nothing of it may have been booked.
    pub(crate) async fn refused(&self, path: &str, body: &Value) -> String {
        let call = Call::new(&self.world, "post", path).key(&self.world.tenant_key);
        let answer = call.once(&unique()).json(body).send().await;
        assert!(answer.status >= 400, "{path} {body}: {answer:?}");
        answer.code().to_owned()
    }
}

async fn a_deferral_is_accepted_by_signature(engine: Engine) {
    let lending = Lending::start(Setup::NONE.on(engine), "2026-01-15").await;
    let loan = lending.lend("1200000").await;
    lending.move_to("2026-03-01").await;
    let before = lending.position(&loan).await;
    assert_eq!(before["status"], "overdue");
    assert_eq!(before["days_past_due"], 14);
    assert_eq!(before["bucket"], "1-30");
    let change = json!({ "pause": 2, "interest": "accrue", "fees": "waive", "arrears": "re_age" });
    let preview = lending.preview(&loan, &change).await;
    let (was, is) = (&preview["preview"]["before"], &preview["preview"]["after"]);
    assert_eq!(was["principal"], is["principal"], "{preview}");
    assert_eq!(was["days_past_due"], 14);
    assert_eq!(is["days_past_due"], 0);
    let changes = format!("/v1/loans/{loan}/changes");
    let right = lending.signed(&change, &preview);
    let with = |field: &str, value: Value| {
        let mut body = right.clone();
        body[field] = value;
        body
    };
    let other = SigningKey::from_bytes(&[8; 32]).sign(text(&preview, "message").as_bytes());
    for (body, code) in [
        (with("signature", json!(null)), "loan_acceptance_invalid"),
        (with("signature", json!(hex::encode(other.to_bytes()))), "loan_acceptance_invalid"),
        (with("signature", json!("00")), "loan_acceptance_invalid"),
        (with("hash", json!("0".repeat(64))), "loan_preview_changed"),
        (with("effective", json!("2026-02-28")), "loan_preview_changed"),
        (with("effective", json!("2026-02-01")), "loan_preview_changed"),
    ] {
        assert_eq!(lending.refused(&changes, &body).await, code, "{body}");
    }
    assert_eq!(
        lending.get(&loan, "events").await.as_array().unwrap().len(),
        1,
        "a refusal was kept"
    );
    let plain = lending.world.tenant.get_text(&format!("/v1/loans/{loan}/schedule.svg")).await;
    let key = unique();
    let done = lending.world.tenant.post_once(&changes, &key, right.clone()).await.unwrap();
    let again = lending.world.tenant.post_once(&changes, &key, right.clone()).await.unwrap();
    assert_eq!(done, again, "one key is one change");
    assert_eq!(done["standing"]["status"], "active");
    assert_eq!(done["standing"]["stage"], "two", "a deferral does not cure");
    assert_eq!(lending.refused(&changes, &right).await, "loan_preview_changed");
    // Anyone can check the consent without the server.
    let consents = lending.get(&loan, "changes").await;
    let consent = &consents[0];
    use sha2::{Digest as _, Sha256};
    let hash = hex::encode(Sha256::digest(text(consent, "preview")));
    assert_eq!(hash, text(&preview, "hash"));
    let signature: [u8; 64] = hex::decode(text(consent, "signature")).unwrap().try_into().unwrap();
    let message = format!("roadstead loan change {hash}");
    let verifying = lending.key.verifying_key();
    verifying.verify_strict(message.as_bytes(), &signature.into()).unwrap();
    // The plot shows both, the first one showed one.
    let svg =
        lending.world.tenant.get_text(&format!("/v1/loans/{loan}/schedule.svg?lang=zh")).await;
    let (plain, svg) = (plain.unwrap(), svg.unwrap());
    assert!(svg.starts_with("<svg") && svg.len() > plain.len(), "{svg}");
    assert!(plain.matches("<line").count() <= svg.matches("<line").count());
    // Undone while it is the last event.
    let undo = json!({ "event": done["id"], "reason": "the borrower changed their mind" });
    let reversals = format!("/v1/loans/{loan}/reversals");
    let undone = lending.world.tenant.post_once(&reversals, &unique(), undo.clone()).await.unwrap();
    assert_eq!(undone["standing"]["days_past_due"], 14);
    assert_eq!(lending.refused(&reversals, &undo).await, "loan_event_already_reversed");
    let after = lending.position(&loan).await;
    assert_eq!(after["outstanding"], before["outstanding"]);
    let check = lending.world.operator.get("/v1/treasury/ledger-check").await.unwrap();
    assert_eq!(check["clean"], true, "{check}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deferral_is_accepted_by_signature_on_sqlite() {
    a_deferral_is_accepted_by_signature(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deferral_is_accepted_by_signature_on_postgresql() {
    a_deferral_is_accepted_by_signature(Engine::Postgres).await;
}
