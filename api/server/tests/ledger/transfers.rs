//! Transfers one by one and in batches, pending money, corrections, conversion, events.

use std::collections::BTreeSet;

use api_store::Engine;
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::Server;
use crate::world::{World, about, leg, pending, transfer, uuid};

on_both_engines! {
    the_same_transfer_again_is_answered_with_the_first_result
    promise_28_a_key_beside_ids_is_refused_and_not_ignored
    refusals_have_the_ledgers_own_codes
    pending_money_is_posted_in_part_or_whole_voided_or_expires
    a_transfer_is_reversed_once
    a_batch_answers_each_and_a_group_is_all_or_nothing
    a_transfer_of_a_batch_that_cannot_be_read_is_named_and_refused_alone
    a_full_batch_of_8190_is_posted_in_one_call
    a_dry_run_answers_the_same_and_writes_nothing
    a_conversion_is_two_legs_and_rounds_where_it_is_told
    events_are_in_order_and_without_gaps
    promise_27_one_of_64_clients_withdraws_the_whole_balance
    promise_28_a_transfer_that_64_clients_send_happens_once
}

fn the_same_transfer_again_is_answered_with_the_first_result(world: &World) {
    let (bank, ann) = world.bank_and_customer(0);
    let body = json!({
        "id": uuid(), "legs": [leg(&bank, &ann, 5), leg(&bank, &ann, 6)], "code": "topup",
        "reference": "line 17", "effective_on": "2026-01-31",
    });
    let first = world.post(&body).expect(201);
    assert_eq!(first["status"], "executed");
    let again = world.post(&body);
    assert!(again.head.contains("idempotency-replayed: true"), "{again:?}");
    let again = again.expect(200);
    assert_eq!(again["status"], "already_applied");
    assert_eq!((&again["seq"], &again["recorded_at"]), (&first["seq"], &first["recorded_at"]));
    let mut other = body.clone();
    other["reference"] = json!("line 18");
    assert_eq!(world.refused(&other), (409, "transfer_id_conflict".into()));
    world.assert_balance(&ann, "11", "0", "11");

    let path = format!("/v1/ledger/transfers/{}", body["id"].as_str().unwrap());
    let stored = world.tenant.get(&path).expect(200);
    assert_eq!(stored["legs"], body["legs"]);
    let parts = ["kind", "code", "reference", "effective_on"].map(|name| &stored[name]);
    assert_eq!(parts, ["transfer", "topup", "line 17", "2026-01-31"]);
    // The commit is in the audit log; without a signer it waits for its checkpoint.
    let record = format!("/v1/audit/records/{}", stored["record"].as_str().unwrap());
    world.tenant.get(&record).expect(200);
    let stranger = world.server.tenant(&crate::world::unique("stranger"));
    assert_eq!(stranger.get(&record).refusal(), (404, "not_found"));

    // Without an id, the key stands for it.
    let keyed = json!({ "legs": [leg(&bank, &ann, 1)] });
    assert_eq!(world.refused(&keyed), (400, "idempotency_key_missing".into()));
    let send = |body: &Value| with_key(world, "/v1/ledger/transfers", body);
    let first = send(&keyed).expect(201);
    let again = send(&keyed).expect(200);
    assert_eq!((&again["id"], &again["status"]), (&first["id"], &json!("already_applied")));
    let other = json!({ "legs": [leg(&bank, &ann, 2)] });
    assert_eq!(send(&other).refusal(), (409, "idempotency_conflict"));
    world.assert_balance(&ann, "12", "0", "12");
}

fn with_key(world: &World, path: &str, body: &Value) -> crate::support::Answer {
    world.tenant.send("POST", path, "idempotency-key: top-up-1\r\n", Some(body))
}

/// A client that makes a new id for each attempt and sends them under one key must not pay twice.
fn promise_28_a_key_beside_ids_is_refused_and_not_ignored(world: &World) {
    let (bank, ann) = world.bank_and_customer(100);
    let batch = || json!({ "transfers": [transfer(&ann, &bank, 10)] });
    for _ in 0..2 {
        for (path, body) in [
            ("/v1/ledger/transfers", transfer(&ann, &bank, 10)),
            ("/v1/ledger/transfers/batch", batch()),
            ("/v1/ledger/transfers/dry-run", batch()),
            (
                &format!("/v1/ledger/quotes/{}/convert", uuid()),
                json!({
                    "amount": "1", "seller": ann, "buyer": ann, "position_sold": bank,
                    "position_bought": bank, "rounding": ann,
                }),
            ),
        ] {
            let answer = with_key(world, path, &body);
            assert_eq!(answer.refusal(), (400, "idempotency_key_beside_id"), "{path}");
        }
    }
    let empty = "idempotency-key: \r\n";
    let answer =
        world.tenant.send("POST", "/v1/ledger/transfers", empty, Some(&transfer(&ann, &bank, 10)));
    assert_eq!(answer.refusal(), (400, "idempotency_key_missing"));
    world.assert_balance(&ann, "100", "0", "100");
}

fn refusals_have_the_ledgers_own_codes(world: &World) {
    let (bank, ann) = world.bank_and_customer(10);
    let yuan = world.account_in("CNY", "assets:yuan", "debit", "none");
    let legs = |legs: Value| json!({ "id": uuid(), "legs": legs });
    let one = |debit: &str, credit: &str, amount: &str| {
        legs(json!([{ "debit": debit, "credit": credit, "amount": amount }]))
    };
    let with = |name: &str, value: Value| {
        let mut body = transfer(&bank, &ann, 1);
        body[name] = value;
        body
    };
    let nobodys = json!({ "id": uuid() });
    let many = |count: usize| vec![leg(&bank, &ann, 1); count];
    let max = u128::MAX.to_string();
    let mut never = pending(&bank, &ann, 1);
    never["timeout_secs"] = json!(0);
    let cases = [
        (one("999999999", &ann, "1"), 404, "unknown_account"),
        (one("ann", &ann, "1"), 404, "unknown_account"),
        (one(&yuan, &ann, "1"), 409, "asset_mismatch"),
        (one(&bank, &ann, "0"), 400, "zero_amount"),
        (one(&bank, &ann, "-1"), 400, "invalid_amount"),
        (one(&bank, &ann, "340282366920938463463374607431768211456"), 400, "invalid_amount"),
        (one(&bank, &ann, &max), 409, "balance_overflow"),
        (one(&ann, &ann, "1"), 409, "same_account"),
        (one(&ann, &bank, "11"), 409, "insufficient_funds"),
        (legs(json!([])), 422, "leg_count"),
        (legs(json!(many(101))), 422, "leg_count"),
        (with("code", json!("x".repeat(65))), 422, "invalid_text"),
        (with("reference", json!("a\nb")), 422, "invalid_text"),
        (with("effective_on", json!("2026-13-01")), 422, "invalid_date"),
        (with("id", json!("ffffffff-0000-7000-8000-000000000000")), 422, "reserved_id"),
        (with("id", json!("17")), 422, "unprocessable"),
        (never, 422, "invalid_date"),
        (about("post_pending", &nobodys), 404, "pending_not_found"),
        (about("void_pending", &nobodys), 404, "pending_not_found"),
        (about("reversal", &nobodys), 404, "original_not_found"),
    ];
    for (body, status, code) in cases {
        assert_eq!(world.refused(&body), (status, code.into()), "{body}");
    }
    world.assert_balance(&ann, "10", "0", "10");
}

fn pending_money_is_posted_in_part_or_whole_voided_or_expires(world: &World) {
    let (bank, ann) = world.bank_and_customer(100);
    let whole = pending(&ann, &bank, 40);
    world.post(&whole).expect(201);
    world.assert_balance(&ann, "100", "40", "60");
    assert_eq!(world.refused(&transfer(&ann, &bank, 61)), (409, "insufficient_funds".into()));
    world.post(&about("post_pending", &whole)).expect(201);
    world.assert_balance(&ann, "60", "0", "60");
    let codes =
        [("post_pending", "pending_already_posted"), ("void_pending", "pending_already_posted")];
    for (kind, code) in codes {
        assert_eq!(world.refused(&about(kind, &whole)), (409, code.into()));
    }

    let part = pending(&ann, &bank, 30);
    world.post(&part).expect(201);
    let mut too_much = about("post_pending", &part);
    too_much["amounts"] = json!(["31"]);
    assert_eq!(world.refused(&too_much), (422, "pending_amounts".into()));
    let mut some = about("post_pending", &part);
    some["amounts"] = json!(["10"]);
    world.post(&some).expect(201);
    world.assert_balance(&ann, "50", "0", "50");

    let voided = pending(&ann, &bank, 50);
    world.post(&voided).expect(201);
    world.post(&about("void_pending", &voided)).expect(201);
    assert_eq!(
        world.refused(&about("post_pending", &voided)),
        (409, "pending_already_voided".into())
    );
    world.assert_balance(&ann, "50", "0", "50");

    let mut short = pending(&ann, &bank, 50);
    short["timeout_secs"] = json!(1);
    world.post(&short).expect(201);
    // The job releases it.
    let path = format!("/v1/ledger/accounts/{ann}/balance");
    world.tenant.wait_for(&path, |balance| balance["available"] == "50");
    assert_eq!(world.refused(&about("post_pending", &short)), (409, "pending_expired".into()));
    world.server.assert_clean();
}

fn a_transfer_is_reversed_once(world: &World) {
    let (bank, ann) = world.bank_and_customer(100);
    let paid = transfer(&ann, &bank, 30);
    world.post(&paid).expect(201);
    let back = about("reversal", &paid);
    world.post(&back).expect(201);
    world.assert_balance(&ann, "100", "0", "100");
    assert_eq!(world.refused(&about("reversal", &paid)), (409, "already_reversed".into()));
    let path = format!("/v1/ledger/transfers/{}", back["id"].as_str().unwrap());
    let stored = world.tenant.get(&path).expect(200);
    assert_eq!((&stored["kind"], &stored["target"]), (&json!("reversal"), &paid["id"]));
}

fn results(answer: &Value) -> Vec<String> {
    let word = |result: &Value| {
        let code = result["code"].as_str();
        code.or(result["status"].as_str()).unwrap().to_owned()
    };
    answer["results"].as_array().unwrap().iter().map(word).collect()
}

fn a_batch_answers_each_and_a_group_is_all_or_nothing(world: &World) {
    let (bank, ann) = world.bank_and_customer(10);
    let mut bad_amount = transfer(&bank, &ann, 1);
    bad_amount["legs"][0]["amount"] = json!("1.5");
    let good = transfer(&bank, &ann, 5);
    let batch = json!({ "transfers": [
        good, good, transfer(&ann, &bank, 100), bad_amount, transfer(&ann, &bank, 15),
        transfer(&ann, &bank, 1),
    ]});
    let answer = world.tenant.post("/v1/ledger/transfers/batch", &batch).expect(200);
    let words = [
        "executed",
        "already_applied",
        "insufficient_funds",
        "invalid_amount",
        "executed",
        "insufficient_funds",
    ];
    assert_eq!(results(&answer), words);
    let counts = ["executed", "already_applied", "refused"].map(|name| answer[name].as_u64());
    assert_eq!(counts, [Some(2), Some(1), Some(3)]);
    world.assert_balance(&ann, "0", "0", "0");

    let group = |transfers: Vec<Value>| {
        let body = json!({ "transfers": transfers, "atomic": true });
        world.tenant.post("/v1/ledger/transfers/batch", &body).expect(200)
    };
    let refused = group(vec![transfer(&bank, &ann, 7), transfer(&ann, &bank, 8)]);
    assert_eq!(results(&refused), ["group_refused", "insufficient_funds"]);
    let refused = group(vec![transfer(&bank, &ann, 7), bad_amount]);
    assert_eq!(results(&refused), ["group_refused", "invalid_amount"]);
    world.assert_balance(&ann, "0", "0", "0");
    // Money that an earlier transfer of the group brings can be spent by a later one.
    let done = group(vec![transfer(&bank, &ann, 7), transfer(&ann, &bank, 7)]);
    assert_eq!(results(&done), ["executed", "executed"]);
    for (body, code) in [
        (json!({ "transfers": [] }), "unprocessable"),
        (json!({ "transfers": {} }), "unprocessable"),
        (json!({ "transfers": [transfer(&bank, &ann, 1)], "atomc": true }), "unprocessable"),
        (json!({ "transfers": vec![transfer(&bank, &ann, 1); 8191] }), "too_many_transfers"),
        (json!({ "transfers": vec![0; 8191] }), "too_many_transfers"),
    ] {
        let answer = world.tenant.post("/v1/ledger/transfers/batch", &body);
        assert_eq!(answer.refusal(), (422, code));
    }
    world.assert_balance(&ann, "0", "0", "0");
}

fn a_transfer_of_a_batch_that_cannot_be_read_is_named_and_refused_alone(world: &World) {
    let (bank, ann) = world.bank_and_customer(0);
    let post = |transfers: &[Value], atomic: bool| {
        let body = json!({ "transfers": transfers, "atomic": atomic });
        world.tenant.post("/v1/ledger/transfers/batch", &body)
    };
    let with = |name: &str, value: Value| {
        let mut body = transfer(&bank, &ann, 1);
        body[name] = value;
        body
    };
    let unreadable = [
        (with("kind", json!("transfr")), "unknown variant `transfr`"),
        (with("kind", json!(5)), "expected value"),
        (with("timeout_secs", json!(-1)), "invalid value"),
        (with("legs", json!([{ "debit": bank, "credit": ann, "amount": 1 }])), "invalid type"),
        (with("memo", json!("x")), "unknown field `memo`"),
        (with("target", json!("17")), "UUID"),
    ];
    for (number, (bad, why)) in (1..).zip(unreadable) {
        let transfers = [transfer(&bank, &ann, 1), bad.clone(), transfer(&bank, &ann, 1)];
        let answer = post(&transfers, true).expect(200);
        assert_eq!(results(&answer), ["group_refused", "unprocessable", "group_refused"]);
        let answer = post(&transfers, false).expect(200);
        assert_eq!(results(&answer), ["executed", "unprocessable", "executed"]);
        let result = &answer["results"][1];
        let detail = result["detail"].as_str().unwrap();
        assert!(detail.starts_with("transfers[1]: ") && detail.contains(why), "{detail}");
        assert!(!detail.contains("column"), "{detail}");
        assert_eq!(result["id"], bad["id"]);
        assert_eq!(answer["refused"], 1);
        let posted = (2 * number).to_string();
        world.assert_balance(&ann, &posted, "0", &posted);
    }
    // Without an id there is no name for the result.
    let unnamed = [json!({ "legs": [] }), with("id", Value::Null), with("id", json!("17"))];
    let odd = [json!(5), json!({ "kind": 5 })];
    for bad in unnamed.iter().chain(&odd) {
        let answer = post(&[transfer(&bank, &ann, 1), bad.clone()], false);
        assert_eq!(answer.refusal(), (400, "bad_request"), "{bad}");
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.starts_with("transfers[1]"), "{detail}");
    }
    world.assert_balance(&ann, "12", "0", "12");
}

fn a_full_batch_of_8190_is_posted_in_one_call(world: &World) {
    let (bank, ann) = world.bank_and_customer(0);
    let transfers: Vec<Value> = (0..8190).map(|_| transfer(&bank, &ann, 1)).collect();
    let body = json!({ "transfers": transfers });
    let answer = world.tenant.post("/v1/ledger/transfers/batch", &body).expect(200);
    assert_eq!(answer["executed"], 8190);
    let again = world.tenant.post("/v1/ledger/transfers/batch", &body).expect(200);
    assert_eq!(again["already_applied"], 8190);
    world.assert_balance(&ann, "8190", "0", "8190");
    // All of them are listed, each once, in the order of the batch.
    let (mut listed, mut after) = (Vec::new(), 0);
    while listed.len() < 8190 {
        let path = format!("/v1/ledger/transfers?after={after}&limit=500");
        let page = world.tenant.wait_for(&path, |page| page["next"].as_i64() > Some(after));
        let ids = page["items"].as_array().unwrap().iter().map(|item| item["id"].clone());
        listed.extend(ids);
        after = page["next"].as_i64().unwrap();
    }
    let sent: Vec<Value> = transfers.iter().map(|transfer| transfer["id"].clone()).collect();
    assert_eq!(listed, sent);
    world.server.assert_clean();
}

fn a_dry_run_answers_the_same_and_writes_nothing(world: &World) {
    let (bank, ann) = world.bank_and_customer(10);
    let transfers = vec![transfer(&ann, &bank, 6), transfer(&ann, &bank, 6)];
    for (atomic, words) in [
        (false, ["executed", "insufficient_funds"]),
        (true, ["group_refused", "insufficient_funds"]),
    ] {
        let body = json!({ "transfers": transfers, "atomic": atomic });
        let answer = world.tenant.post("/v1/ledger/transfers/dry-run", &body).expect(200);
        assert_eq!(results(&answer), words);
        world.assert_balance(&ann, "10", "0", "10");
    }
    let path = format!("/v1/ledger/transfers/{}", transfers[0]["id"].as_str().unwrap());
    assert_eq!(world.tenant.get(&path).refusal(), (404, "not_found"));
    world.post(&transfers[0]).expect(201);
}

fn a_conversion_is_two_legs_and_rounds_where_it_is_told(world: &World) {
    let (bank, ann) = world.bank_and_customer(1000);
    let position = world.account("positions:eur", "debit", "none");
    let yuan = |code: &str, side: &str| world.account_in("CNY", code, side, "none");
    let (ann_cny, position_cny) =
        (yuan("liabilities:ann", "credit"), yuan("positions:cny", "debit"));
    let rounding = yuan("rounding", "credit");
    let quote = json!({
        "id": uuid(), "sell": "EUR", "buy": "CNY", "numerator": "77777", "denominator": "10000",
        "valid_secs": 60,
    });
    let shown = world.tenant.post("/v1/ledger/quotes", &quote).expect(201);
    assert_eq!(shown["used"], false);
    assert_eq!(world.tenant.post("/v1/ledger/quotes", &quote).expect(200), shown);
    let mut other = quote.clone();
    other["numerator"] = json!("77778");
    let answer = world.tenant.post("/v1/ledger/quotes", &other);
    assert_eq!(answer.refusal(), (409, "already_exists"));
    assert!(answer.body["detail"].as_str().unwrap().contains("another quote"), "{answer:?}");
    let path = format!("/v1/ledger/quotes/{}", quote["id"].as_str().unwrap());
    assert_eq!(world.tenant.get(&path).expect(200), shown);

    let body = json!({
        "amount": "101", "seller": ann, "buyer": ann_cny, "position_sold": position,
        "position_bought": position_cny, "rounding": rounding,
    });
    let mut wrong = body.clone();
    wrong["buyer"] = json!(bank);
    let convert = format!("{path}/convert");
    assert_eq!(world.tenant.post(&convert, &wrong).refusal(), (409, "asset_mismatch"));
    wrong["buyer"] = json!("0");
    assert_eq!(world.tenant.post(&convert, &wrong).refusal(), (404, "unknown_account"));
    let done = world.tenant.post(&convert, &body).expect(201);
    assert_eq!((&done["id"], &done["status"]), (&quote["id"], &json!("executed")));
    let again = world.tenant.post(&convert, &body);
    assert!(again.head.contains("idempotency-replayed: true"), "{again:?}");
    assert_eq!(again.expect(200)["status"], "already_applied");
    assert_eq!(world.tenant.get(&path).expect(200)["used"], true);
    assert_eq!(world.tenant.post("/v1/ledger/quotes", &quote).expect(200)["used"], true);
    let mut more = body.clone();
    more["amount"] = json!("102");
    let answer = world.tenant.post(&convert, &more);
    assert_eq!(answer.refusal(), (409, "transfer_id_conflict"), "a quote is used once");
    world.assert_balance(&ann, "899", "0", "899");
    // 101 * 7.7777 = 785.5477
    world.assert_balance(&ann_cny, "785", "0", "785");
    world.assert_balance(&rounding, "1", "0", "1");
    world.assert_balance(&position_cny, "786", "0", "786");

    let mut taken = quote.clone();
    let paid = transfer(&bank, &ann, 0);
    assert_eq!(world.refused(&paid), (400, "zero_amount".into()));
    taken["id"] = paid["id"].clone();
    world.tenant.post("/v1/ledger/quotes", &taken).expect(201);
    let paid = transfer(&bank, &ann, 1);
    world.post(&paid).expect(201);
    taken["id"] = paid["id"].clone();
    let answer = world.tenant.post("/v1/ledger/quotes", &taken);
    assert_eq!(answer.refusal(), (409, "transfer_id_conflict"), "it could never be used");

    let mut late = quote.clone();
    (late["id"], late["valid_secs"]) = (json!(uuid()), json!(1));
    world.tenant.post("/v1/ledger/quotes", &late).expect(201);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let path = format!("/v1/ledger/quotes/{}/convert", late["id"].as_str().unwrap());
    assert_eq!(world.tenant.post(&path, &body).refusal(), (409, "too_late"));
}

fn events_are_in_order_and_without_gaps(world: &World) {
    let (bank, ann) = world.bank_and_customer(1000);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let (bank, ann) = (&bank, &ann);
            let client = world.tenant.clone();
            scope.spawn(move || {
                for _ in 0..5 {
                    let hold = pending(ann, bank, 1);
                    client.post("/v1/ledger/transfers", &hold).expect(201);
                    let end = about("post_pending", &hold);
                    client.post("/v1/ledger/transfers", &end).expect(201);
                }
            });
        }
        // Reads while they write: nothing may appear behind the reader.
        let (mut after, mut subjects, mut kinds) = (0, BTreeSet::new(), BTreeSet::new());
        while after < 81 {
            let path = format!("/v1/events?after={after}&limit=7&wait_secs=5");
            let page = world.tenant.get(&path).expect(200);
            for event in page["items"].as_array().unwrap() {
                after += 1;
                assert_eq!(event["sequence"], after);
                assert_eq!(event["data"]["id"], event["subject"]);
                assert!(subjects.insert(event["subject"].to_string()));
                kinds.insert(event["type"].as_str().unwrap().to_owned());
            }
            assert_eq!(page["next"], after);
        }
        assert_eq!(kinds.len(), 3, "{kinds:?}");
    });
    let rest = world.tenant.get("/v1/events?after=81").expect(200);
    assert_eq!((&rest["items"], &rest["next"]), (&json!([]), &json!(81)));
}

#[test]
fn a_reader_whose_events_went_back_is_told_on_sqlite() {
    a_reader_whose_events_went_back_is_told(Engine::Sqlite);
}

#[test]
fn a_reader_whose_events_went_back_is_told_on_postgres() {
    a_reader_whose_events_went_back_is_told(Engine::Postgres);
}

/// On a server of its own: its books have transfers that were never told.
fn a_reader_whose_events_went_back_is_told(engine: Engine) {
    let world = &World::of(Server::start(engine));
    let (bank, ann) = world.bank_and_customer(1);
    let post = |count: i64, until: i64| {
        for _ in 0..count {
            world.post(&transfer(&bank, &ann, 1)).expect(201);
        }
        world.tenant.wait_for("/v1/events", |page| page["next"] == until)
    };
    let read = |query: &str| world.tenant.get(&format!("/v1/events?{query}"));
    assert_eq!(read("after=0&limit=1&types=ledger.reversal").status, 200);
    let mark = post(3, 4)["mark"].as_str().unwrap().to_owned();
    let at = |place: i64| read(&format!("after={place}&mark={mark}"));
    let page = at(4).expect(200);
    assert_eq!(page, json!({ "items": [], "next": 4, "mark": mark }));
    let chosen = read("types=ledger.reversal").expect(200);
    assert_eq!((&chosen["next"], &chosen["mark"]), (&json!(4), &json!(mark)));
    let past = "after=5&wait_secs=20";
    assert_eq!(read(past).refusal(), (409, "event_cursor_lost"), "at once, not nothing new");
    let second = read("limit=2").expect(200)["mark"].as_str().unwrap().to_owned();

    world.server.set_events_back(&ann, 2);
    let answer = at(4);
    assert_eq!(answer.refusal(), (409, "event_cursor_lost"));
    assert!(answer.body["detail"].as_str().unwrap().contains("end at 2"), "{answer:?}");
    let listed = world.tenant.get("/v1/ledger/transfers?after=4");
    assert_eq!(listed.refusal(), (409, "event_cursor_lost"));
    let hook = json!({ "url": "http://127.0.0.1:9/", "after": 4 });
    let hook = world.tenant.post("/v1/webhooks", &hook);
    assert_eq!(hook.refusal(), (409, "event_cursor_lost"));
    // Other events come to the places that were read, and past them.
    post(3, 5);
    assert_eq!(at(4).refusal(), (409, "event_cursor_lost"));
    let rest = read(&format!("after=2&mark={second}")).expect(200);
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next"]), (3, &json!(5)));
    assert_eq!(read("after=0&mark=").expect(200)["next"], 5);
    world.server.kill();
}

/// Runs `act` on 64 connections at once; returns the answers' statuses.
fn at_once(world: &World, act: impl Fn(&crate::support::Client, usize) -> u16 + Sync) -> Vec<u16> {
    let gate = std::sync::Barrier::new(64);
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..64)
            .map(|number| {
                let (client, gate, act) = (world.tenant.clone(), &gate, &act);
                scope.spawn(move || {
                    gate.wait();
                    act(&client, number)
                })
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    })
}

fn promise_27_one_of_64_clients_withdraws_the_whole_balance(world: &World) {
    let (bank, ann) = world.bank_and_customer(100);
    let statuses = at_once(world, |client, number| {
        let body =
            if number % 2 == 0 { transfer(&ann, &bank, 100) } else { pending(&ann, &bank, 100) };
        client.post("/v1/ledger/transfers", &body).status
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 63, "{statuses:?}");
    assert_eq!(world.balance(&ann, "")["available"], "0");
    world.server.assert_clean();
}

fn promise_28_a_transfer_that_64_clients_send_happens_once(world: &World) {
    let (bank, ann) = world.bank_and_customer(100);
    let body = transfer(&ann, &bank, 7);
    let statuses = at_once(world, |client, _| client.post("/v1/ledger/transfers", &body).status);
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 63, "{statuses:?}");
    world.assert_balance(&ann, "93", "0", "93");
}
