//! Whose is it? Every operation of the OpenAPI document, with every wrong caller.

use serde_json::{Value, json};

use crate::bank::top_up;
use crate::http::{Answer, Call, Operation, operations};
use crate::world::{ETH, PATIENCE, Setup, World, items, new_tenant, outside, text, unique};

const NOBODYS: &str = "01890000-0000-7000-8000-000000000000";

/// What may be asked without any key.
const PUBLIC: [&str; 11] = [
    "/v1/opt-out/",
    "/v1/receipts/",
    "/v1/chains",
    "/v1/assets",
    "/v1/anchors",
    "/v1/audit/consistency",
    "/v1/audit/anchors",
    "/log/",
    "/logs/",
    "/health/live",
    "/health/ready",
];

/// Something of each kind, of one tenant.
pub(crate) struct Belongings {
    pub(crate) alice: String,
    bob: String,
    product: String,
    ledger: OwnAccounts,
    ids: Vec<(&'static str, String)>,
}

impl Belongings {
    pub(crate) async fn of(world: &World) -> Self {
        let alice = world.funded_customer("alice", "ETH", 4 * ETH).await;
        let bob = world.customer("bob").await;
        top_up(world, &alice, 500_000).await;
        let deposit = text(&world.deposits().await[0], "id");
        let withdrawal = world.withdraw(&alice, "ETH", ETH, &outside("ETH")).await;
        let body = json!({ "from": alice, "to": bob, "asset": "ETH", "amount": "5" });
        let transfer = world.tenant.post_once("/v1/transfers", &unique(), body).await.unwrap();
        let product = world.tenant.post("/v1/loan-products", product("starter")).await.unwrap();
        let product = text(&product, "id");
        let loan = json!({ "customer": alice, "product": product, "principal": "120000" });
        let loan = world.tenant.post_once("/v1/loans", &unique(), loan).await.unwrap();
        let record = text(&transfer, "record");
        let is_logged = |answer: &Value| answer["checkpoint"].is_u64();
        let path = format!("/v1/audit/records/{record}");
        world.tenant.wait_for(&path, PATIENCE, is_logged).await.unwrap();
        let key = json!({ "name": "another", "scopes": ["read"] });
        let key = world.tenant.post("/v1/api-keys", key).await.unwrap();
        let ledger = OwnAccounts::of(world).await;
        let transfer_id =
            world.tenant.post("/v1/ledger/transfers", ledger.transfer()).await.unwrap();
        let quote = world.tenant.post("/v1/ledger/quotes", quote()).await.unwrap();
        let hook = json!({ "url": "http://127.0.0.1:9/" });
        let hook = world.tenant.post("/v1/webhooks", hook).await.unwrap();
        let intents = world.operator.get("/v1/treasury/intents").await.unwrap();
        let ids = vec![
            ("/v1/customers/", alice.clone()),
            ("/v1/deposits/", deposit),
            ("/v1/withdrawals/", withdrawal),
            ("/v1/transfers/", text(&transfer, "id")),
            ("/v1/ledger/accounts/", ledger.0[0].clone()),
            ("/v1/ledger/transfers/", text(&transfer_id, "id")),
            ("/v1/ledger/quotes/", text(&quote, "id")),
            ("/v1/webhooks/", text(&hook, "id")),
            ("/v1/loans/", text(&loan, "id")),
            ("/v1/loan-products/", product.clone()),
            ("/v1/audit/records/", record),
            ("/v1/audit/subjects/", format!("customer:{alice}")),
            ("/v1/api-keys/", text(&key, "id")),
            ("/v1/treasury/intents/", text(&items(&intents)[0], "id")),
        ];
        Self { alice, bob, product, ledger, ids }
    }

    /// The path with these belongings' ids in it, or with `id`.
    pub(crate) fn path(&self, operation: &Operation, id: Option<&str>) -> String {
        let own = self.ids.iter().find(|(start, _)| operation.path.starts_with(start));
        let id = id.or_else(|| own.map(|(_, id)| id.as_str())).unwrap_or(NOBODYS);
        let mut path = operation.path.replace("{id}", id).replace("{asset}", "ETH");
        path = path.replace("{name}", "evm").replace("{letter}", NOBODYS);
        path = path.replace("{window_secs}", "60");
        path = path.replace("{channel}", "email");
        if let Some((start, _)) = path.split_once('{') {
            path = format!("{start}0/000");
        }
        if operation.path == "/v1/audit/consistency" { format!("{path}?from=1&to=1") } else { path }
    }

    /// A body that is right for its owner.
    pub(crate) fn body(&self, operation: &Operation) -> Option<Value> {
        if !operation.has_body {
            return None;
        }
        let (alice, bob) = (&self.alice, &self.bob);
        Some(match operation.path.as_str() {
            "/v1/tenants" => json!({ "name": unique() }),
            "/v1/api-keys" => json!({ "name": "k", "scopes": [] }),
            "/v1/customers" => json!({ "reference": unique() }),
            "/v1/customers/{id}/addresses" => json!({ "chain": "evm" }),
            "/v1/withdrawals" => crate::world::withdrawal(alice, "ETH", 1, &outside("ETH")),
            "/v1/transfers" => json!({ "from": alice, "to": bob, "asset": "ETH", "amount": "1" }),
            "/v1/loan-products" => product(&unique()),
            "/v1/loans" => {
                json!({ "customer": alice, "product": self.product, "principal": "1000" })
            }
            "/v1/loans/{id}/repayments" => json!({ "amount": "100", "currency": "EUR" }),
            "/v1/audit/records" => json!({ "records": [{ "id": "r-1", "kind": "note" }] }),
            "/v1/audit/subjects/{id}/legal-hold" => json!({ "reason": "case 7" }),
            "/v1/loan-quotes" => json!({ "product": self.product, "principal": "1000" }),
            "/v1/loans/{id}/settlement" => json!({ "valid_on": "2026-01-31", "to_pay": "1" }),
            "/v1/loans/{id}/previews" => json!({ "change": pause() }),
            "/v1/loans/{id}/changes" => {
                json!({ "change": pause(), "effective": "2026-01-31", "hash": "00" })
            }
            "/v1/loans/{id}/fees" => json!({ "amount": "1", "reason": "a test" }),
            "/v1/loans/{id}/waivers" => json!({ "amounts": { "fee": "1" }, "reason": "a test" }),
            "/v1/loans/{id}/charge-off" => json!({ "reason": "a test" }),
            "/v1/loans/{id}/reversals" => json!({ "event": NOBODYS, "reason": "a test" }),
            "/v1/loans/{id}/refunds" => json!({ "amount": "1", "reason": "a test" }),
            "/v1/loans/{id}/disputes" => json!({ "statement": "this is not so" }),
            "/v1/loan-disputes/{id}/answer" => json!({ "answer": "it is" }),
            "/v1/loan-disputes/{id}/resolution" => json!({ "outcome": "upheld", "note": "n" }),
            "/v1/loans/{id}/asset-quotes" => json!({ "asset": "ETH", "amount": "1" }),
            "/v1/loans/{id}/asset-repayments" => json!({ "quote": NOBODYS }),
            "/v1/loan-books/closed-through" => json!({ "date": "2020-01-31" }),
            "/v1/ledger/accounts" => {
                json!({ "code": unique(), "asset": "EUR", "side": "debit" })
            }
            "/v1/ledger/accounts/{id}/floor" => json!({ "floor": "0" }),
            "/v1/ledger/accounts/{id}/limits" => json!({ "window_secs": 60, "count_max": 9 }),
            "/v1/ledger/transfers" => self.ledger.transfer(),
            "/v1/ledger/transfers/batch" | "/v1/ledger/transfers/dry-run" => {
                json!({ "transfers": [self.ledger.transfer()] })
            }
            "/v1/webhooks" => json!({ "url": "http://127.0.0.1:9/" }),
            "/v1/webhooks/{id}/types" => json!({ "types": ["ledger.*"] }),
            "/v1/webhooks/{id}/replay" => json!({ "first": 1, "last": 2 }),
            "/v1/ledger/quotes" => quote(),
            "/v1/ledger/quotes/{id}/convert" => self.ledger.conversion(),
            "/v1/treasury/sweeps" => json!({ "asset": "ETH" }),
            "/v1/treasury/intents/{id}/cancel" => json!({ "reason": "a test" }),
            "/v1/treasury/freezes" => json!({ "asset": "RTT", "reason": "a test" }),
            "/v1/customers/{id}/contact" => {
                json!({ "zone": "Europe/Berlin", "language": "en", "profile": "eu" })
            }
            "/v1/customers/{id}/contact/{channel}" => json!({ "address": "a@mail.example" }),
            "/v1/customers/{id}/consents/{channel}" => {
                json!({ "granted": true, "proof": "form 3" })
            }
            "/v1/warning-rules" => json!({
                "warn": [], "history_days": 28, "alone": [], "together": 2,
                "afford": { "balance_share": "0.8", "floor_share": "0.5", "pause_when_short": 1 },
                "limits": { "pause_max": 3, "extend_max": 24, "interest": "accrue" }, "open_days": 7,
            }),
            "/v1/customers/{id}/credit-limits" => json!({ "currency": "EUR", "amount": "5" }),
            "/v1/customers/{id}/opt-in" => json!({ "proof": "form 3" }),
            "/v1/customers/{id}/promises" => json!({ "until": "2026-01-31" }),
            "/v1/reminder-gateways/{channel}" => json!({ "url": "https://gateway.example/in" }),
            "/v1/reminder-profiles/{name}" => {
                json!({ "hours": { "from": "08:00:00", "until": "20:00:00" }, "per_day": 1,
                    "per_week": 2, "ladder": [] })
            }
            "/v1/operator/end-of-day" => json!({ "through": "2020-01-01" }),
            // New here: refused for its form at the latest.
            _ => json!({}),
        })
    }

    pub(crate) fn call(&self, world: &World, operation: &Operation, id: Option<&str>) -> Call {
        let call = Call::new(world, &operation.method, &self.path(operation, id));
        let call = if operation.needs_idempotency { call.once(&unique()) } else { call };
        match self.body(operation) {
            Some(body) => call.json(&body),
            None => call,
        }
    }
}

fn pause() -> Value {
    json!({ "pause": 1, "interest": "accrue", "fees": "charge", "arrears": "keep" })
}

/// Ledger accounts of the tenant's own: two in euros, two in yuan.
struct OwnAccounts([String; 4]);

impl OwnAccounts {
    async fn of(world: &World) -> Self {
        let mut ids = Vec::new();
        for asset in ["EUR", "EUR", "CNY", "CNY"] {
            let new = json!({ "code": unique(), "asset": asset, "side": "debit", "floor": "none" });
            let account = world.tenant.post("/v1/ledger/accounts", new).await.unwrap();
            ids.push(text(&account, "id"));
        }
        Self(ids.try_into().unwrap())
    }

    fn transfer(&self) -> Value {
        let leg = json!({ "debit": self.0[0], "credit": self.0[1], "amount": "1" });
        json!({ "id": uuid(), "legs": [leg] })
    }

    fn conversion(&self) -> Value {
        let [seller, position_sold, buyer, position_bought] = &self.0;
        json!({
            "amount": "100", "seller": seller, "position_sold": position_sold, "buyer": buyer,
            "position_bought": position_bought, "rounding": buyer,
        })
    }
}

fn quote() -> Value {
    json!({
        "id": uuid(), "sell": "EUR", "buy": "CNY", "numerator": "8", "denominator": "1",
        "valid_secs": 600,
    })
}

fn uuid() -> String {
    let bits = hex::encode(rand::random::<[u8; 16]>());
    format!("{}-{}-{}-{}-{}", &bits[..8], &bits[8..12], &bits[12..16], &bits[16..20], &bits[20..])
}

fn product(name: &str) -> Value {
    json!({ "name": name, "terms": {
        "currency": "EUR", "product": { "kind": "annuity" }, "rate": "0.06", "day_count": "30E/360",
        "frequency": { "unit": "monthly", "every": 1 }, "instalments": 12,
    }})
}

/// What a refusal says, without what is different each time and without the id that was asked for.
fn words(answer: &Answer) -> (u16, [String; 3]) {
    let part = |name: &str| {
        let words = text(&answer.body, name);
        let is_id = |word: &str| word.len() == 36 && word.matches('-').count() == 4;
        words.split(' ').filter(|word| !is_id(word)).collect::<Vec<_>>().join(" ")
    };
    (answer.status, [part("code"), part("title"), part("detail")])
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_34_every_operation_is_closed_to_every_wrong_caller() {
    let world = World::start(Setup::EVM).await;
    let belongings = Belongings::of(&world).await;
    let stranger = new_tenant(&world.operator, "Another Bank").await;
    let weak = json!({ "name": "weak", "scopes": [] });
    let weak = text(&world.tenant.post("/v1/api-keys", weak).await.unwrap(), "api_key");
    let revoked = world.tenant.post("/v1/api-keys", json!({ "name": "r", "scopes": ["read"] }));
    let revoked = revoked.await.unwrap();
    let path = format!("/v1/api-keys/{}", text(&revoked, "id"));
    world.tenant.delete(&path).await.unwrap();
    let expired = json!({ "name": "e", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z" });
    let expired = text(&world.tenant.post("/v1/api-keys", expired).await.unwrap(), "api_key");
    let mut wrong_secret = world.tenant_key.clone();
    let last = wrong_secret.pop().unwrap();
    wrong_secret.push(if last == '0' { '1' } else { '0' });
    let wrong = [
        String::new(),
        "x".to_owned(),
        wrong_secret,
        world.tenant_key.to_uppercase(),
        format!("{} ", &world.tenant_key[..world.tenant_key.len() - 1]),
        text(&revoked, "api_key"),
        expired,
        format!("rsk_{}_", "0".repeat(32)),
    ];
    let balance = world.available(&belongings.alice, "ETH").await;
    for operation in operations(&world).await {
        let place = format!("{} {}", operation.method, operation.path);
        let is_public = PUBLIC.iter().any(|path| operation.path.starts_with(path));
        assert_eq!(!operation.needs_key, is_public, "{place}");
        let call = belongings.call(&world, &operation, None);
        if is_public {
            continue;
        }
        let nobody = call.send().await;
        assert_eq!((nobody.status, nobody.code()), (401, "unauthorized"), "{place}");
        for key in &wrong {
            let answer = call.clone().key(key).send().await;
            assert_eq!(words(&answer), words(&nobody), "{place} with {key:?}");
        }
        if operation.is_operators {
            let answer = call.clone().key(&world.tenant_key).send().await;
            assert_eq!(words(&answer), words(&nobody), "{place} with a tenant's key");
            continue;
        }
        let answer = call.clone().key(&world.stack.operator_key).send().await;
        assert_eq!(words(&answer), words(&nobody), "{place} with the operator's key");
        let answer = call.clone().key(&weak).send().await;
        assert!(
            (answer.status, answer.code()) == (403, "forbidden"),
            "{place} without scope: {answer:?}"
        );
        if operation.path.contains("{id}") {
            let foreign = call.clone().key(&stranger).send().await;
            assert_eq!((foreign.status, foreign.code()), (404, "not_found"), "{place}");
            let missing = belongings.call(&world, &operation, Some(NOBODYS));
            let missing = missing.key(&stranger).send().await;
            assert_eq!(words(&foreign), words(&missing), "{place}: it shows that it exists");
            let odd = belongings.call(&world, &operation, Some("no-uuid"));
            assert_eq!(odd.key(&stranger).send().await.status, 404, "{place}");
        } else if operation.method == "post" && operation.needs_idempotency {
            // The ids of another tenant's things in the body.
            let foreign = call.clone().key(&stranger).send().await;
            assert_eq!((foreign.status, foreign.code()), (404, "not_found"), "{place}");
        } else if operation.method == "get" && operation.path != "/v1/api-keys" {
            let listed = call.clone().key(&stranger).send().await;
            assert_eq!(listed.status, 200, "{place}");
            assert!(items(&listed.body).is_empty(), "{place}: {listed:?}");
        }
    }
    assert_eq!(world.available(&belongings.alice, "ETH").await, balance, "money moved");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_can_do_what_its_scopes_say_and_give_no_more_than_it_has() {
    let world = World::start(Setup::NONE).await;
    let make = |scopes: Value| {
        let body = json!({ "name": "k", "scopes": scopes });
        world.tenant.post("/v1/api-keys", body)
    };
    let read = text(&make(json!(["read"])).await.unwrap(), "api_key");
    let keys = text(&make(json!(["keys"])).await.unwrap(), "api_key");
    let read = world.stack.tenant(&read).unwrap();
    let keys = world.stack.tenant(&keys).unwrap();
    read.get("/v1/customers").await.unwrap();
    let refused = read.post("/v1/customers", json!({ "reference": "x" })).await.unwrap_err();
    assert_eq!((refused.status, refused.code.as_str()), (403, "forbidden"));
    assert_eq!(keys.get("/v1/customers").await.unwrap_err().status, 403);
    for scopes in [json!(["read"]), json!(["keys", "withdraw"])] {
        let body = json!({ "name": "more", "scopes": scopes });
        assert_eq!(keys.post("/v1/api-keys", body).await.unwrap_err().status, 403);
    }
    let same = json!({ "name": "same", "scopes": ["keys"] });
    keys.post("/v1/api-keys", same).await.unwrap();
    let odd = make(json!(["root"])).await.unwrap_err();
    assert_eq!((odd.status, odd.code.as_str()), (422, "unprocessable"));
    let listed = world.tenant.get("/v1/api-keys").await.unwrap().to_string();
    assert!(!listed.contains("rsk_") && !listed.contains("hash"), "{listed}");
}
