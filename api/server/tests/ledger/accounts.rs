//! Accounts, the chart, balances, statements and limits.

use serde_json::{Value, json};

use crate::on_both_engines;
use crate::world::{World, about, id, leg, pending, transfer, unique, uuid};

on_both_engines! {
    an_account_has_its_properties_and_is_found_by_each_of_them
    accounts_balances_and_statements_say_the_decimals_of_their_asset
    a_list_goes_on_where_its_page_ended_or_not_at_all
    what_changes_nothing_about_an_account_is_no_record
    a_chart_is_summed_at_every_place
    a_frozen_account_refuses_and_a_closed_one_for_good
    balances_are_answered_as_of_any_time
    a_statement_adds_up_and_its_pages_do_not_shift
    limits_are_set_and_kept
}

fn an_account_has_its_properties_and_is_found_by_each_of_them(world: &World) {
    let external = unique("kontonummer");
    let new = json!({
        "code": "cash", "parent": "assets", "asset": "EUR", "side": "debit", "floor": "-500",
        "external_id": external,
    });
    let account = world.tenant.post("/v1/ledger/accounts", &new).expect(201);
    let expected = [
        ("code", json!("assets:cash")),
        ("parent", json!("assets")),
        ("asset", json!("EUR")),
        ("side", json!("debit")),
        ("floor", json!("-500")),
        ("external_id", json!(external)),
        ("managed", json!(false)),
        ("history", json!(true)),
        ("frozen", json!(false)),
        ("closed", json!(false)),
    ];
    for (name, value) in expected {
        assert_eq!(account[name], value, "{name} in {account}");
    }
    let again = world.tenant.post("/v1/ledger/accounts", &new).expect(200);
    assert_eq!(again, account, "the same request finds it");
    let mut other = new.clone();
    other["side"] = json!("credit");
    let answer = world.tenant.post("/v1/ledger/accounts", &other);
    assert_eq!(answer.refusal(), (409, "already_exists"));

    let path = format!("/v1/ledger/accounts/{}", id(&account));
    assert_eq!(world.tenant.get(&path).expect(200), account);
    let path = format!("/v1/ledger/accounts?external_id={external}");
    assert_eq!(world.tenant.get(&path).expect(200)["items"], json!([account]));
    for number in 0..5 {
        world.account(&format!("assets:stock:{number}"), "debit", "0");
    }
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("/v1/ledger/accounts?under=assets&limit=2&after={after}");
        let page = world.tenant.get(&path).expect(200);
        let codes = page["items"].as_array().unwrap().iter();
        seen.extend(codes.map(|account| account["code"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        after = next.replace(' ', "%20");
    }
    assert_eq!(seen.len(), 6, "{seen:?}");
    assert!(seen.is_sorted(), "{seen:?}");
    for (field, value, status, code) in [
        ("asset", json!("XYZ"), 400, "unknown_asset"),
        ("floor", json!("much"), 400, "invalid_amount"),
        ("code", json!("a::b"), 422, "unprocessable"),
        ("code", json!(""), 422, "unprocessable"),
        ("side", json!("left"), 422, "unprocessable"),
    ] {
        let mut bad = new.clone();
        bad[field] = value;
        let answer = world.tenant.post("/v1/ledger/accounts", &bad);
        assert_eq!(answer.refusal(), (status, code), "{bad}");
    }
    // Any ISO 4217 currency has its own scale and needs no configuration.
    world.account_in("JPY", "assets:yen", "debit", "0");
}

fn accounts_balances_and_statements_say_the_decimals_of_their_asset(world: &World) {
    let known = [("JPY", 0), ("EUR", 2), ("CNY", 2), ("KWD", 3), ("CLF", 4)];
    for (asset, decimals) in known {
        let account = world.account_in(asset, "assets:cash", "debit", "none");
        let path = format!("/v1/ledger/accounts/{account}");
        for end in ["", "/balance", "/balance?effective_on=2020-01-31", "/statement"] {
            let answer = world.tenant.get(&format!("{path}{end}")).expect(200);
            assert_eq!(answer["decimals"], decimals, "{asset}{end}: {answer}");
        }
    }
    let listed = world.tenant.get("/v1/ledger/accounts?under=assets").expect(200);
    let listed: Vec<(&str, u64)> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["asset"].as_str().unwrap(), one["decimals"].as_u64().unwrap()))
        .collect();
    assert_eq!(listed.len(), known.len());
    assert!(known.iter().all(|one| listed.contains(one)), "{listed:?}");
    let new = json!({ "code": "assets:cash", "asset": "XYZ", "side": "debit" });
    let answer = world.tenant.post("/v1/ledger/accounts", &new);
    assert_eq!(answer.refusal(), (400, "unknown_asset"));
    assert!(answer.body["title"].as_str().unwrap().contains("ISO 4217"), "{answer:?}");
}

fn a_list_goes_on_where_its_page_ended_or_not_at_all(world: &World) {
    let external = unique("client");
    let mut opened = Vec::new();
    for number in 0..5 {
        let new = json!({
            "code": format!("assets:of a client:{number}"), "asset": "EUR", "side": "debit",
            "external_id": external,
        });
        opened.push(id(&world.tenant.post("/v1/ledger/accounts", &new).expect(201)));
    }
    for list in [format!("external_id={external}"), "under=assets".to_owned()] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/ledger/accounts?{list}&limit=2&after={after}");
            let page = world.tenant.get(&path).expect(200);
            seen.extend(page["items"].as_array().unwrap().iter().map(id));
            let Some(next) = page["next"].as_str() else { break };
            after = next.replace(' ', "%20");
        }
        assert_eq!(seen, opened, "{list}");
    }
    for list in [
        "after=assets".to_owned(),
        "after=%20EUR".to_owned(),
        "after=assets%20".to_owned(),
        format!("external_id={external}&after=assets:of%20a%20client:0%20EUR"),
        format!("external_id={external}&after=-1"),
        format!("external_id={external}&after=99999999999999999999"),
    ] {
        let answer = world.tenant.get(&format!("/v1/ledger/accounts?{list}"));
        assert_eq!(answer.refusal(), (400, "bad_request"), "{list}");
    }
}

fn what_changes_nothing_about_an_account_is_no_record(world: &World) {
    let new = json!({ "code": "assets:till", "asset": "EUR", "side": "debit" });
    let gate = std::sync::Barrier::new(8);
    let answers: Vec<(u16, Value)> = std::thread::scope(|scope| {
        let openers: Vec<_> = (0..8)
            .map(|_| {
                let (client, new, gate) = (world.tenant.clone(), &new, &gate);
                scope.spawn(move || {
                    gate.wait();
                    let answer = client.post("/v1/ledger/accounts", new);
                    (answer.status, answer.body)
                })
            })
            .collect();
        openers.into_iter().map(|opener| opener.join().unwrap()).collect()
    });
    let mut statuses: Vec<u16> = answers.iter().map(|(status, _)| *status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 201]);
    let account = id(&answers[0].1);
    let act = |what: &str| {
        let path = format!("/v1/ledger/accounts/{account}/{what}");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let (client, path) = (world.tenant.clone(), &path);
                scope.spawn(move || client.post(path, &json!({})).expect(200));
            }
        });
    };
    for what in ["thaw", "freeze", "freeze", "thaw", "close", "close"] {
        act(what);
    }
    let records = ["opened", "frozen", "thawed", "closed"];
    let records = records.map(|what| format!("ledger.account_{what}"));
    assert_eq!(world.server.records_about(&account), records);
}

fn a_chart_is_summed_at_every_place(world: &World) {
    let equity = world.account("equity", "credit", "none");
    for (code, amount) in [("assets:cash:till", 5), ("assets:cash:safe", 7), ("assets:bank", 11)] {
        let account = world.account(code, "debit", "none");
        world.post(&transfer(&account, &equity, amount)).expect(201);
    }
    let sums = |path: &str| {
        let chart = world.tenant.get(path).expect(200);
        let sum = |node: &Value| {
            let totals = &node["totals"][0];
            format!("{} {} {}", node["code"], totals["debits_posted"], totals["credits_posted"])
                .replace('"', "")
        };
        chart["items"].as_array().unwrap().iter().map(sum).collect::<Vec<_>>()
    };
    assert_eq!(sums("/v1/ledger/chart"), ["assets 23 0", "equity 0 23"]);
    assert_eq!(
        sums("/v1/ledger/chart?under=assets&depth=1"),
        ["assets 23 0", "assets:bank 11 0", "assets:cash 12 0"]
    );
    let answer = world.tenant.get("/v1/ledger/chart?depth=21");
    assert_eq!(answer.refusal(), (400, "bad_request"));
}

fn a_frozen_account_refuses_and_a_closed_one_for_good(world: &World) {
    let (bank, ann) = world.bank_and_customer(100);
    let hold = pending(&ann, &bank, 60);
    world.post(&hold).expect(201);
    let act = |what: &str| {
        let path = format!("/v1/ledger/accounts/{ann}/{what}");
        world.tenant.post(&path, &json!({}))
    };
    assert_eq!(act("freeze").expect(200)["frozen"], true);
    assert_eq!(world.refused(&transfer(&ann, &bank, 1)), (409, "account_frozen".into()));
    assert_eq!(world.refused(&transfer(&bank, &ann, 1)), (409, "account_frozen".into()));
    world.post(&about("post_pending", &hold)).expect(201);
    assert_eq!(act("thaw").expect(200)["frozen"], false);
    assert_eq!(act("close").refusal(), (409, "account_not_empty"));
    world.post(&transfer(&ann, &bank, 40)).expect(201);
    assert_eq!(act("close").expect(200)["closed"], true);
    assert_eq!(world.refused(&transfer(&bank, &ann, 1)), (409, "account_closed".into()));

    let path = format!("/v1/ledger/accounts/{bank}/floor");
    let account = world.tenant.put(&path, &json!({ "floor": "0" })).expect(200);
    assert_eq!(account["floor"], "0");
    world.server.assert_clean();
}

fn balances_are_answered_as_of_any_time(world: &World) {
    let (bank, ann) = world.bank_and_customer(100);
    let before = world.balance(&ann, "?effective_on=2020-01-31");
    assert_eq!(before["posted"], "0");
    let early = json!({
        "id": uuid(), "legs": [leg(&bank, &ann, 7)], "effective_on": "2020-01-15",
    });
    let posted = world.post(&early).expect(201);
    let recorded = posted["recorded_at"].as_str().unwrap();
    assert_eq!(world.balance(&ann, "?effective_on=2020-01-31")["posted"], "7");
    assert_eq!(world.balance(&ann, "?effective_on=2020-01-14")["posted"], "0");
    assert_eq!(world.balance(&ann, &format!("?recorded_at={recorded}"))["posted"], "107");
    let known_before = "?effective_on=2020-01-31&recorded_at=2021-01-01T00:00:00Z";
    assert_eq!(world.balance(&ann, known_before)["posted"], "0");
    // What was reserved then is not known, so nothing is said about it.
    world.post(&pending(&ann, &bank, 60)).expect(201);
    world.assert_balance(&ann, "107", "60", "47");
    let about_pending =
        ["pending_in", "pending_out", "available", "debits_pending", "credits_pending"];
    let now = world.balance(&ann, "");
    assert!(about_pending.iter().all(|name| now[name].is_string()), "{now}");
    let today = world.post(&transfer(&bank, &ann, 1)).expect(201);
    let today = today["recorded_at"].as_str().unwrap();
    for query in ["?effective_on=2030-01-01", &format!("?recorded_at={today}"), known_before] {
        let then = world.balance(&ann, query);
        assert!(then["credits_posted"].is_string() && then["debits_posted"].is_string(), "{then}");
        assert!(about_pending.iter().all(|name| then.get(name).is_none()), "{query}: {then}");
    }
    let both = format!("?effective_on=2020-01-31&recorded_at={recorded}");
    assert_eq!(world.balance(&ann, &both)["posted"], "7");
    let answer = world.tenant.get(&format!("/v1/ledger/accounts/{ann}/balance?effective_on=now"));
    assert_eq!(answer.refusal(), (422, "invalid_date"));

    let plain = json!({ "code": "plain", "asset": "EUR", "side": "debit", "history": false });
    let plain = id(&world.tenant.post("/v1/ledger/accounts", &plain).expect(201));
    let path = format!("/v1/ledger/accounts/{plain}/balance?effective_on=2020-01-31");
    assert_eq!(world.tenant.get(&path).refusal(), (409, "no_history"), "never silently empty");
}

fn a_statement_adds_up_and_its_pages_do_not_shift(world: &World) {
    let (bank, ann) = world.bank_and_customer(1000);
    for amount in 1..=9 {
        world.post(&transfer(&ann, &bank, amount)).expect(201);
    }
    let path = format!("/v1/ledger/accounts/{ann}/statement");
    let first = world.tenant.get(&format!("{path}?limit=4")).expect(200);
    let (mut balance, mut lines, mut after) = (0_i64, 0, 0);
    loop {
        let page = world.tenant.get(&format!("{path}?limit=4&after={after}")).expect(200);
        assert_eq!(page["opening"], balance.to_string());
        for line in page["lines"].as_array().unwrap() {
            balance += line["change"].as_str().unwrap().parse::<i64>().unwrap();
            assert_eq!(line["balance"], balance.to_string());
            lines += 1;
        }
        assert_eq!(page["closing"], balance.to_string());
        let Some(next) = page["next"].as_i64() else { break };
        after = next;
        // What comes meanwhile is added at the end.
        if lines == 4 {
            world.post(&transfer(&ann, &bank, 10)).expect(201);
        }
    }
    assert_eq!((lines, balance), (11, 1000 - 55));
    assert_eq!(world.tenant.get(&format!("{path}?limit=4")).expect(200), first);
    let from = first["lines"][3]["recorded_at"].as_str().unwrap();
    let rest = world.tenant.get(&format!("{path}?from={from}")).expect(200);
    assert_eq!(rest["opening"], first["closing"]);
    assert_eq!(rest["lines"].as_array().unwrap().len(), 7);
    let upto = world.tenant.get(&format!("{path}?to={from}")).expect(200);
    assert_eq!((&upto["closing"], &upto["next"]), (&first["closing"], &json!(null)));
    assert_eq!(world.tenant.get(&format!("{path}?after=1&from={from}")).status, 400);
    newest_first(world, &path);
    let line = &first["lines"][1];
    assert_eq!(
        (&line["kind"], &line["side"], &line["other"]),
        (&json!("transfer"), &json!("debit"), &json!(bank))
    );
}

/// The same lines as oldest first, in pages that do not shift when something comes.
fn newest_first(world: &World, path: &str) {
    let all = world.tenant.get(path).expect(200);
    let get = |query: &str| world.tenant.get(&format!("{path}?order=desc{query}")).expect(200);
    let (mut lines, mut closing, mut cursor) = (Vec::new(), all["closing"].clone(), String::new());
    loop {
        let page = get(&format!("&limit=4{cursor}"));
        assert_eq!(page["closing"], closing);
        lines.extend(page["lines"].as_array().unwrap().clone());
        closing = page["opening"].clone();
        let Some(next) = page["next"].as_i64() else { break };
        cursor = format!("&after={next}");
    }
    assert_eq!(closing, "0");
    lines.reverse();
    assert_eq!(json!(lines), all["lines"]);

    let at = |line: usize| all["lines"][line]["recorded_at"].as_str().unwrap();
    let part = get(&format!("&from={}&to={}", at(3), at(7)));
    assert_eq!(
        (&part["opening"], &part["closing"]),
        (&all["lines"][3]["balance"], &all["lines"][7]["balance"])
    );
    assert_eq!((part["lines"].as_array().unwrap().len(), &part["next"]), (4, &json!(null)));
    let early = get("&to=2020-01-01T00:00:00Z");
    assert_eq!((&early["opening"], &early["closing"]), (&json!("0"), &json!("0")));
    let late = get(&format!("&from={}", at(10)));
    assert_eq!((&late["opening"], &late["closing"]), (&all["closing"], &all["closing"]));
    let both = world.tenant.get(&format!("{path}?order=desc&after=9&to={}", at(3)));
    assert_eq!(both.refusal(), (400, "bad_request"));
    assert_eq!(world.tenant.get(&format!("{path}?order=newest")).status, 400);
}

fn limits_are_set_and_kept(world: &World) {
    let (bank, ann) = world.bank_and_customer(1000);
    let path = format!("/v1/ledger/accounts/{ann}/limits");
    let day = json!({ "window_secs": 86_400, "count_max": 2, "sum_max": "100" });
    let limits = world.tenant.put(&path, &day).expect(200);
    assert_eq!(limits, json!([day]));
    assert_eq!(world.refused(&transfer(&ann, &bank, 101)), (409, "velocity_exceeded".into()));
    world.post(&transfer(&ann, &bank, 60)).expect(201);
    assert_eq!(world.refused(&transfer(&ann, &bank, 41)), (409, "velocity_exceeded".into()));
    world.post(&transfer(&ann, &bank, 1)).expect(201);
    assert_eq!(world.refused(&transfer(&ann, &bank, 1)), (409, "velocity_exceeded".into()));
    world.post(&transfer(&bank, &ann, 1)).expect(201);
    let answer = world.tenant.put(&path, &json!({ "window_secs": 60 }));
    assert_eq!(answer.refusal(), (422, "unprocessable"));
    assert_eq!(world.tenant.delete(&format!("{path}/86400")).status, 204);
    assert_eq!(world.tenant.delete(&format!("{path}/86400")).refusal(), (404, "not_found"));
    assert_eq!(world.tenant.get(&path).expect(200), json!([]));
    world.post(&transfer(&ann, &bank, 500)).expect(201);
}
