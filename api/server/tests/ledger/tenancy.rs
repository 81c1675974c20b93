//! What is another tenant's, or the system's, cannot be seen or moved.

use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::Client;
use crate::world::{World, about, id, leg, pending, transfer, unique, uuid};

on_both_engines! {
    promise_34_nothing_of_another_tenants_ledger_is_visible
    the_systems_accounts_are_read_and_never_moved
    a_customers_statement_is_read_in_both_orders
    a_key_without_the_scope_is_refused_and_a_revoked_one_at_once
}

fn promise_34_nothing_of_another_tenants_ledger_is_visible(world: &World) {
    let (bank, ann) = world.bank_and_customer(100);
    let hold = pending(&ann, &bank, 5);
    world.post(&hold).expect(201);
    let quote = json!({
        "id": uuid(), "sell": "EUR", "buy": "CNY", "numerator": "8", "denominator": "1",
        "valid_secs": 60,
    });
    world.tenant.post("/v1/ledger/quotes", &quote).expect(201);
    let stranger = world.server.tenant(&unique("stranger"));
    let (hold_id, quote_id) = (id(&hold), id(&quote));
    for path in [
        format!("/v1/ledger/accounts/{ann}"),
        format!("/v1/ledger/accounts/{ann}/balance"),
        format!("/v1/ledger/accounts/{ann}/statement"),
        format!("/v1/ledger/accounts/{ann}/limits"),
        format!("/v1/ledger/transfers/{hold_id}"),
        format!("/v1/ledger/quotes/{quote_id}"),
    ] {
        assert_eq!(stranger.get(&path).refusal(), (404, "not_found"), "{path}");
        world.tenant.get(&path).expect(200);
    }
    for what in ["freeze", "thaw", "close"] {
        let path = format!("/v1/ledger/accounts/{ann}/{what}");
        assert_eq!(stranger.post(&path, &json!({})).refusal(), (404, "not_found"));
    }
    let path = format!("/v1/ledger/accounts/{ann}/floor");
    let answer = stranger.put(&path, &json!({ "floor": "none" }));
    assert_eq!(answer.refusal(), (404, "not_found"));

    let new = json!({ "code": "mine", "asset": "EUR", "side": "credit", "floor": "none" });
    let mine = id(&stranger.post("/v1/ledger/accounts", &new).expect(201));
    let post = |body: &Value| {
        let answer = stranger.post("/v1/ledger/transfers", body);
        answer.refusal().1.to_owned()
    };
    assert_eq!(post(&transfer(&ann, &mine, 1)), "unknown_account");
    assert_eq!(post(&transfer(&bank, &ann, 1)), "unknown_account");
    assert_eq!(post(&about("post_pending", &hold)), "pending_not_found");
    assert_eq!(post(&about("void_pending", &hold)), "pending_not_found");
    assert_eq!(post(&about("reversal", &hold)), "original_not_found");
    // An id that another tenant used is free here.
    let more = json!({ "code": "more", "asset": "EUR", "side": "debit", "floor": "none" });
    let more = id(&stranger.post("/v1/ledger/accounts", &more).expect(201));
    let same_id = json!({ "id": hold_id, "legs": [leg(&more, &mine, 3)] });
    stranger.post("/v1/ledger/transfers", &same_id).expect(201);
    // Of its stream and lists it sees its own alone.
    let events = stranger.wait_for("/v1/events", |page| page["next"] == 1);
    assert_eq!(events["items"][0]["data"]["legs"][0]["debit"], more);
    let accounts = stranger.get("/v1/ledger/accounts").expect(200);
    assert_eq!(accounts["items"].as_array().unwrap().len(), 2);
    world.assert_balance(&ann, "100", "5", "95");
}

/// A customer with 50.00 EUR and one with nothing, as the server's flows keep them.
fn customers(world: &World) -> (String, String) {
    let create = |name: &str| {
        let body = json!({ "reference": unique(name) });
        id(&world.tenant.post("/v1/customers", &body).expect(201))
    };
    (create("alice"), create("bob"))
}

/// Two customers, of whom the first got 50.00 EUR from the bank and paid so much to the second.
fn customers_who_paid(world: &World, amounts: &[&str]) -> (String, String) {
    let (alice, bob) = customers(world);
    world.server.top_up(&alice, 5000);
    let path = format!("/v1/customers/{alice}/balances");
    world.tenant.wait_for(&path, |balances| balances[0]["available"] == "5000");
    for amount in amounts {
        let body = json!({ "from": alice, "to": bob, "asset": "EUR", "amount": amount });
        let key = format!("idempotency-key: {}\r\n", uuid());
        world.tenant.send("POST", "/v1/transfers", &key, Some(&body)).expect(201);
    }
    (alice, bob)
}

fn a_customers_statement_is_read_in_both_orders(world: &World) {
    let (alice, _) = customers_who_paid(world, &["1000", "200", "30"]);
    let path = format!("/v1/customers/{alice}/statement/EUR");
    let all = world.tenant.get(&path).expect(200);
    let lines = all["lines"].as_array().unwrap();
    let changes: Vec<_> = lines.iter().map(|line| line["change"].as_str().unwrap()).collect();
    assert_eq!(changes, ["5000", "-1000", "-200", "-30"]);
    assert_eq!((&lines[0]["code"], &lines[1]["code"]), (&json!("topup"), &json!("internal")));
    assert_eq!(
        (&all["opening"]["amount"], &all["closing"]["amount"]),
        (&json!("0"), &json!("3770"))
    );

    let newest = world.tenant.get(&format!("{path}?order=desc&limit=3")).expect(200);
    assert_eq!(
        newest["lines"].as_array().unwrap()[..],
        [&lines[3], &lines[2], &lines[1]].map(Value::clone)
    );
    assert_eq!(
        (&newest["opening"]["amount"], &newest["closing"]),
        (&json!("5000"), &all["closing"])
    );
    let next = &newest["next"];
    let rest = world.tenant.get(&format!("{path}?order=desc&after={next}")).expect(200);
    assert_eq!((&rest["lines"], &rest["closing"]), (&json!([lines[0]]), &newest["opening"]));
    assert_eq!((&rest["opening"], &rest["next"]), (&all["opening"], &json!(null)));
}

fn the_systems_accounts_are_read_and_never_moved(world: &World) {
    let (alice, _) = customers_who_paid(world, &["1000"]);

    let accounts = world.tenant.get("/v1/ledger/accounts").expect(200);
    let find = |code: &str| {
        let accounts = accounts["items"].as_array().unwrap().iter();
        let found = accounts.clone().find(|account| account["code"] == code);
        found.unwrap_or_else(|| panic!("no {code} in {accounts:?}")).clone()
    };
    let (wallet, bank) = (find(&format!("customer:{alice}")), find("bank"));
    assert_eq!((&wallet["managed"], &bank["managed"]), (&json!(true), &json!(true)));
    assert_eq!(wallet["balance"]["available"], "4000");
    let (wallet, bank) = (id(&wallet), id(&bank));
    let own = world.account("own", "debit", "none");

    for body in [
        transfer(&wallet, &own, 1),
        transfer(&own, &wallet, 1),
        transfer(&wallet, &bank, 1),
        pending(&wallet, &bank, 1),
    ] {
        assert_eq!(world.refused(&body), (403, "account_managed".into()), "{body}");
    }
    // What the flows posted cannot be undone past them.
    let posted = world.tenant.wait_for("/v1/ledger/transfers", |page| page["next"] == 2);
    for posted in posted["items"].as_array().unwrap() {
        assert!(posted["id"].as_str().unwrap().starts_with("ffffffff-"), "{posted}");
        assert_eq!(world.refused(&about("reversal", posted)), (403, "account_managed".into()));
    }
    for what in ["freeze", "thaw", "close"] {
        let path = format!("/v1/ledger/accounts/{wallet}/{what}");
        assert_eq!(world.tenant.post(&path, &json!({})).refusal(), (403, "account_managed"));
    }
    let path = format!("/v1/ledger/accounts/{wallet}");
    for (end, body) in [
        ("floor", json!({ "floor": "none" })),
        ("limits", json!({ "window_secs": 60, "count_max": 1 })),
    ] {
        let answer = world.tenant.put(&format!("{path}/{end}"), &body);
        assert_eq!(answer.refusal(), (403, "account_managed"));
    }
    for code in ["customer:x", "custody", "bank", "suspense", "fees:network", "loans:income:fee"] {
        let new = json!({ "code": code, "asset": "CNY", "side": "debit", "floor": "none" });
        let answer = world.tenant.post("/v1/ledger/accounts", &new);
        assert_eq!(answer.refusal(), (403, "account_managed"), "{code}");
    }
    world.assert_balance(&wallet, "4000", "0", "4000");
    let statement = world.tenant.get(&format!("{path}/statement")).expect(200);
    assert_eq!(statement["closing"], "4000");
    world.server.assert_clean();
}

fn a_key_without_the_scope_is_refused_and_a_revoked_one_at_once(world: &World) {
    let (bank, ann) = world.bank_and_customer(10);
    let key = |scopes: &[&str]| {
        let body = json!({ "name": "k", "scopes": scopes });
        let made = world.tenant.post("/v1/api-keys", &body).expect(201);
        (id(&made), Client::new(world.server.address, made["api_key"].as_str().unwrap()))
    };
    let (_, reader) = key(&["read"]);
    let body = transfer(&bank, &ann, 1);
    assert_eq!(reader.post("/v1/ledger/transfers", &body).refusal(), (403, "forbidden"));
    reader.get("/v1/ledger/accounts").expect(200);
    let (writer_id, writer) = key(&["ledger"]);
    assert_eq!(writer.get("/v1/events").refusal(), (403, "forbidden"));
    writer.post("/v1/ledger/transfers", &body).expect(201);
    // The copy of the key that served the request before serves none after the revocation.
    assert_eq!(world.tenant.delete(&format!("/v1/api-keys/{writer_id}")).status, 204);
    let answer = writer.post("/v1/ledger/transfers", &transfer(&bank, &ann, 1));
    assert_eq!(answer.refusal(), (401, "unauthorized"));
}
