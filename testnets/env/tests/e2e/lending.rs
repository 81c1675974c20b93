//! Loans over the public API: what is refused, and everything that can happen to a loan.

use api_store::Engine;
use serde_json::{Value, json};

use crate::bank::{deliver, top_up};
use crate::http::Call;
use crate::loans::{Lending, annuity};
use crate::world::{Setup, items, text, unique};

const NOBODYS: &str = "01890000-0000-7000-8000-000000000000";

impl Lending {
    async fn post(&self, path: &str, body: Value) -> Value {
        self.world.tenant.post_once(path, &unique(), body).await.unwrap()
    }

    async fn euros(&self) -> u128 {
        self.world.available(&self.borrower, "EUR").await
    }

    async fn assert_clean(&self) {
        let check = self.world.operator.get("/v1/treasury/ledger-check").await.unwrap();
        assert_eq!(check["clean"], true, "{check}");
    }
}

async fn bad_input_has_its_code(engine: Engine) {
    let lending = Lending::start(Setup::NONE.on(engine), "2026-01-15").await;
    let loan = lending.lend("1200000").await;
    let terms = |pointer: &str, value: Value| {
        let mut body = annuity(&unique());
        *body["terms"].pointer_mut(pointer).unwrap() = value;
        body
    };
    let products = "/v1/loan-products";
    let mut cases = vec![
        (products, terms("/rate", json!("10.5")), "loan_rate_out_of_range"),
        (products, terms("/rate", json!(0.06)), "loan_rate_out_of_range"),
        (products, terms("/penalty/rate", json!("-1")), "loan_rate_out_of_range"),
        (products, terms("/instalments", json!(0)), "loan_term_out_of_range"),
        (products, terms("/instalments", json!(1201)), "loan_term_out_of_range"),
        (products, terms("/fees/late/fixed", json!("1.50")), "loan_amount_syntax"),
        (products, terms("/fees/late/fixed", json!("-5")), "loan_terms_invalid"),
        (products, terms("/frequency/every", json!(13)), "loan_terms_invalid"),
        (products, terms("/currency", json!("XXX")), "unknown_asset"),
        (products, terms("/day_count", json!("ACT/366")), "unprocessable"),
        (products, annuity("starter"), "loan_id_reused"),
    ];
    let quote = |change: Value| {
        let mut body = json!({ "product": lending.product, "principal": "1000" });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        body
    };
    cases.extend([
        ("/v1/loan-quotes", quote(json!({ "product": NOBODYS })), "loan_product_unknown"),
        ("/v1/loan-quotes", quote(json!({ "principal": "0" })), "zero_amount"),
        ("/v1/loan-quotes", quote(json!({ "principal": "1" })), ""),
        (
            "/v1/loan-quotes",
            quote(json!({ "principal": "100000000000000001" })),
            "loan_amount_out_of_range",
        ),
        ("/v1/loan-quotes", quote(json!({ "first_due": "2020-01-01" })), "loan_date_invalid"),
        ("/v1/loan-quotes", quote(json!({ "terms": {} })), "unprocessable"),
    ]);
    let new = |change: Value| {
        let mut body = json!({ "customer": lending.borrower, "product": lending.product, "principal": "1000" });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        body
    };
    cases.extend([
        ("/v1/loans", new(json!({ "product": NOBODYS })), "loan_product_unknown"),
        ("/v1/loans", new(json!({ "customer": NOBODYS })), "not_found"),
        ("/v1/loans", new(json!({ "start": "2026-01-17" })), "loan_date_invalid"),
        ("/v1/loans", new(json!({ "borrower_key": "00".repeat(32) })), "borrower_key_invalid"),
        ("/v1/loans", new(json!({ "borrower_key": "xyz" })), "borrower_key_invalid"),
    ]);
    let repayments = format!("/v1/loans/{loan}/repayments");
    let pay = |change: Value| {
        let mut body = json!({ "amount": "1000", "currency": "EUR" });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        body
    };
    let part = |name: &str| format!("/v1/loans/{loan}/{name}");
    let (fees, waivers, reversals) = (part("fees"), part("waivers"), part("reversals"));
    let (refunds, settlement, previews) = (part("refunds"), part("settlement"), part("previews"));
    let (quotes, asset, disputes) =
        (part("asset-quotes"), part("asset-repayments"), part("disputes"));
    let pause = |change: Value| {
        let mut body =
            json!({ "pause": 1, "interest": "accrue", "fees": "charge", "arrears": "keep" });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        json!({ "change": body })
    };
    cases.extend([
        (repayments.as_str(), pay(json!({ "currency": "CNY" })), "loan_currency_mismatch"),
        (&repayments, pay(json!({ "currency": "XXX" })), "unknown_asset"),
        (&repayments, pay(json!({ "effective": "2026-01-14" })), "loan_event_before_disbursement"),
        (&repayments, pay(json!({ "effective": "2026-02-14" })), "loan_date_invalid"),
        (&repayments, pay(json!({ "amount": "0" })), "zero_amount"),
        (&repayments, pay(json!({ "amount": "9000000" })), "insufficient_funds"),
        (&repayments, pay(json!({ "mode": "guess" })), "unprocessable"),
        (&fees, json!({ "amount": "5", "reason": "" }), "unprocessable"),
        (&waivers, json!({ "amounts": { "fee": "1" }, "reason": "r" }), "loan_forgives_too_much"),
        (
            &waivers,
            json!({ "amounts": { "fee": "-1" }, "reason": "r" }),
            "loan_amount_out_of_range",
        ),
        (&waivers, json!({ "amounts": { "fee": "x" }, "reason": "r" }), "loan_amount_syntax"),
        (&waivers, json!({ "amounts": {}, "reason": "r" }), "zero_amount"),
        (&reversals, json!({ "event": NOBODYS, "reason": "r" }), "loan_event_unknown"),
        (&reversals, json!({ "event": loan, "reason": "r" }), "loan_event_not_reversible"),
        (&refunds, json!({ "amount": "1", "reason": "r" }), "loan_refunds_too_much"),
        (&settlement, json!({ "valid_on": "2026-01-14", "to_pay": "1" }), "loan_quote_expired"),
        (&settlement, json!({ "valid_on": "2026-01-15", "to_pay": "1" }), "loan_quote_changed"),
        (&previews, pause(json!({ "pause": 121 })), "loan_term_out_of_range"),
        (&previews, pause(json!({ "rate": "11" })), "loan_rate_out_of_range"),
        (
            &previews,
            pause(json!({ "forgive": { "principal": "9999999" } })),
            "loan_forgives_too_much",
        ),
        (&quotes, json!({ "asset": "ETH", "amount": "1" }), "unknown_asset"),
        (&asset, json!({ "quote": NOBODYS }), "not_found"),
        (&disputes, json!({ "statement": "no", "event": NOBODYS }), "loan_event_unknown"),
    ]);
    for (path, body, code) in cases {
        if code.is_empty() {
            let call = Call::new(&lending.world, "post", path).key(&lending.world.tenant_key);
            assert!(call.json(&body).send().await.status < 300, "{path} {body}");
            continue;
        }
        assert_eq!(lending.refused(path, &body).await, code, "{path} {body}");
    }
    assert_eq!(lending.euros().await, 1_200_000);
    assert_eq!(lending.get(&loan, "events").await.as_array().unwrap().len(), 1);
    assert_eq!(items(&lending.world.tenant.get("/v1/loan-products").await.unwrap()).len(), 1);
    let date = format!("/v1/tenants/{}/business-date", lending.tenant);
    let back = Call::new(&lending.world, "put", &date).key(&lending.world.stack.operator_key);
    let back = back.json(&json!({ "date": "2026-01-14" })).send().await;
    assert_eq!((back.status, back.code()), (409, "loan_date_goes_back"));
    lending.assert_clean().await;
}

async fn everything_that_happens_to_a_loan(engine: Engine) {
    let lending = Lending::start(Setup::NONE.on(engine), "2026-01-15").await;
    top_up(&lending.world, &lending.borrower, 2_000_000).await;
    let loan = lending.lend("1200000").await;
    lending.move_to("2026-03-20").await;
    // A payment that was made in time and booked late: the penalty goes with it.
    let late = lending.position(&loan).await;
    assert_eq!(
        (late["days_past_due"].clone(), late["bucket"].clone()),
        (json!(33), json!("31-60"))
    );
    let path = format!("/v1/loans/{loan}/repayments");
    let backdated = json!({ "amount": "103280", "currency": "EUR", "effective": "2026-02-15" });
    let payment = lending.post(&path, backdated).await;
    assert_eq!(lending.position(&loan).await["days_past_due"], 5);
    // It bounces: the money goes back, the past is computed anew.
    let before = lending.euros().await;
    let reversals = format!("/v1/loans/{loan}/reversals");
    lending.post(&reversals, json!({ "event": payment["id"], "reason": "bounced" })).await;
    assert_eq!(lending.euros().await, before + 103_280);
    assert_eq!(lending.position(&loan).await["outstanding"], late["outstanding"]);
    // Fees, and what is forgiven of them.
    lending
        .post(&format!("/v1/loans/{loan}/fees"), json!({ "amount": "700", "reason": "letter" }))
        .await;
    let due = lending.position(&loan).await["due"].clone();
    let waiver =
        json!({ "amounts": { "fee": "700", "penalty": due["penalty"] }, "reason": "goodwill" });
    let waived = lending.post(&format!("/v1/loans/{loan}/waivers"), waiver).await;
    assert_eq!(waived["standing"]["due"]["penalty"], "0");
    // Prepayment: the rest of the term gets shorter, or the instalments smaller.
    let due = waived["standing"]["due"].clone();
    let due: i128 = ["principal", "interest", "fee", "penalty"]
        .map(|name| text(&due, name).parse::<i128>().unwrap())
        .iter()
        .sum();
    let coming = |answer: &Value| answer["coming"].as_array().unwrap().len();
    let count = coming(&lending.get(&loan, "schedule").await);
    let more =
        json!({ "amount": (due + 300_000).to_string(), "currency": "EUR", "mode": "shorter_term" });
    lending.post(&path, more).await;
    let shorter = coming(&lending.get(&loan, "schedule").await);
    assert!(shorter < count, "{shorter} of {count}");
    let next = text(&lending.get(&loan, "schedule").await["coming"][0], "principal");
    let more = json!({ "amount": "100000", "currency": "EUR", "mode": "smaller_instalments" });
    lending.post(&path, more).await;
    let plan = lending.get(&loan, "schedule").await;
    assert_eq!(coming(&plan), shorter);
    let smaller: i128 = text(&plan["coming"][0], "principal").parse().unwrap();
    assert!(smaller < next.parse().unwrap());
    // Too much is held, and paid back.
    lending.pay(&loan, "5000").await;
    let back = json!({ "amount": "5000", "reason": "paid too much" });
    let before = lending.euros().await;
    let refunded = lending.post(&format!("/v1/loans/{loan}/refunds"), back).await;
    assert_eq!(
        (refunded["standing"]["held"].clone(), lending.euros().await),
        (json!("0"), before + 5000)
    );
    // A quote that is valid for ten days settles it on any of them, at no more than it says.
    let quote = lending.get(&loan, "settlement-quote?on=2026-03-30").await;
    lending.move_to("2026-03-25").await;
    let body = json!({ "valid_on": quote["valid_on"], "to_pay": quote["to_pay"] });
    let settled = lending.post(&format!("/v1/loans/{loan}/settlement"), body.clone()).await;
    assert_eq!(settled["result"]["status"], "settled");
    let paid: i128 = text(&settled, "amount").parse().unwrap();
    assert!(paid <= text(&quote, "to_pay").parse().unwrap());
    assert_eq!(
        lending.refused(&format!("/v1/loans/{loan}/settlement"), &body).await,
        "loan_quote_changed"
    );
    let listed = lending.world.tenant.get("/v1/loans").await.unwrap();
    assert_eq!(items(&listed)[0]["standing"]["status"], "settled");
    write_offs_and_recoveries(&lending).await;
    disputes_are_answered_and_corrected(&lending).await;
    money_that_matches_no_loan(&lending).await;
    lending.assert_clean().await;
}

async fn write_offs_and_recoveries(lending: &Lending) {
    let loan = lending.lend("100000").await;
    lending.move_to("2026-08-01").await;
    assert_eq!(lending.position(&loan).await["stage"], "three");
    let off =
        lending.post(&format!("/v1/loans/{loan}/charge-off"), json!({ "reason": "lost" })).await;
    assert_eq!(off["standing"]["status"], "charged_off");
    let recovered = lending.pay(&loan, "40000").await;
    let parts = recovered["result"]["allocations"].as_array().unwrap();
    assert!(parts.iter().all(|part| part["recovery"] == true), "{recovered}");
    let closed = json!({ "amounts": { "principal": "1" }, "reason": "r" });
    assert_eq!(lending.refused(&format!("/v1/loans/{loan}/waivers"), &closed).await, "loan_closed");
    let record = lending.get(&loan, "credit-record?lang=zh").await;
    let reasons = record["explained"].as_array().unwrap();
    assert!(reasons.iter().any(|one| one["code"] == "written_off" && one["points"] == -200));
    let card = lending.world.tenant.get("/v1/loan-scorecard").await.unwrap();
    let sum = record["score"]["reasons"].as_array().unwrap().iter();
    let sum: i64 = sum.map(|one| one["points"].as_i64().unwrap()).sum();
    let points = (card["start"].as_i64().unwrap() + sum).clamp(0, 1000);
    assert_eq!(record["score"]["points"], points, "the score is the sum of its reasons");
}

async fn disputes_are_answered_and_corrected(lending: &Lending) {
    let loan = lending.lend("100000").await;
    let path = format!("/v1/loans/{loan}/disputes");
    let opened = lending.post(&path, json!({ "statement": "I paid in cash at the desk" })).await;
    let id = text(&opened, "id");
    let (answer, end) =
        (format!("/v1/loan-disputes/{id}/answer"), format!("/v1/loan-disputes/{id}/resolution"));
    lending.post(&answer, json!({ "answer": "we look for the slip" })).await;
    assert_eq!(
        lending.refused(&answer, &json!({ "answer": "again" })).await,
        "loan_dispute_closed"
    );
    let shown = lending.get(&loan, "credit-record").await;
    assert_eq!(shown["disputes"][0]["state"], "answered");
    let unnamed = json!({ "outcome": "corrected", "note": "found" });
    assert_eq!(lending.refused(&end, &unnamed).await, "loan_event_unknown");
    let payment = lending.pay(&loan, "8607").await;
    let named = json!({ "outcome": "corrected", "note": "the slip was found", "correction": payment["id"] });
    let resolved = lending.post(&end, named.clone()).await;
    assert_eq!(
        (resolved["state"].clone(), resolved["outcome"].clone()),
        (json!("resolved"), json!("corrected"))
    );
    assert_eq!(lending.refused(&end, &named).await, "loan_dispute_closed");
}

/// A bank line that names a loan repays it from its own day; what the loan cannot take waits until the
/// operator says whose it is.
async fn money_that_matches_no_loan(lending: &Lending) {
    let (world, loan) = (&lending.world, lending.lend("100000").await);
    let tag = hex::encode(rand::random::<[u8; 6]>());
    let lines = format!(
        "id,booked_on,currency,amount,reference\n\
         a-{tag},2026-08-01,EUR,2000,{loan}\nb-{tag},2026-08-01,EUR,3000,loan:{loan}\n\
         c-{tag},2026-07-31,EUR,4000,{loan}\nd-{tag},2026-08-01,CNY,5000,{loan}\n\
         e-{tag},2026-08-01,EUR,6000,loan {loan}\nf-{tag},2026-08-01,EUR,7000,{NOBODYS}\n"
    );
    assert_eq!(deliver(world, &format!("{tag}.csv"), &lines).await, format!("{tag}.csv.done"));
    let paid = lending.get(&loan, "repayments").await;
    let amounts: Vec<&Value> = paid.as_array().unwrap().iter().map(|one| &one["amount"]).collect();
    assert_eq!(amounts, [&json!("2000"), &json!("3000")]);
    let waiting = world.operator.get("/v1/treasury/suspense").await.unwrap();
    let ours = |id: &str| {
        let lines =
            items(&waiting).iter().filter(|line| line["id"].as_str().unwrap().ends_with(id));
        lines.map(|line| text(line, "id")[..1].to_owned()).collect::<String>()
    };
    assert_eq!(ours(&tag), "cdef", "{waiting}");
    let matches = "/v1/treasury/suspense-matches";
    let resolve = |body: Value| async move {
        let call = Call::new(world, "post", matches).key(&world.stack.operator_key);
        call.once(&unique()).json(&body).send().await
    };
    // What was booked before the loan was paid out is no repayment of it, whoever says so.
    let early = resolve(json!({ "line": format!("c-{tag}"), "loan": loan })).await;
    assert_eq!((early.status, early.code()), (400, "loan_event_before_disbursement"));
    let before = lending.euros().await;
    let given = resolve(json!({ "line": format!("c-{tag}"), "customer": lending.borrower })).await;
    assert_eq!(given.status, 201, "{given:?}");
    assert_eq!(lending.euros().await, before + 4000);
    let again = resolve(json!({ "line": format!("c-{tag}"), "customer": lending.borrower })).await;
    assert_eq!((again.status, again.code()), (404, "not_found"), "it is moved once");
    let other = resolve(json!({ "line": format!("d-{tag}"), "loan": loan })).await;
    assert_eq!((other.status, other.code()), (400, "loan_currency_mismatch"));
    let repaid = resolve(json!({ "line": format!("e-{tag}"), "loan": loan })).await;
    assert_eq!(repaid.status, 201, "{repaid:?}");
    assert_eq!(lending.get(&loan, "repayments").await[2]["amount"], "6000");
    assert_eq!(lending.euros().await, before + 4000);
    let both = resolve(json!({ "line": "x", "loan": loan, "customer": lending.borrower })).await;
    assert_eq!(both.code(), "unprocessable");
}

/// A quote holds for its time, once, for what the borrower has.
#[tokio::test(flavor = "multi_thread")]
async fn a_quote_in_a_chain_asset_is_used_once_while_it_holds() {
    let lending = Lending::start(Setup::EVM, "2026-01-15").await;
    let (world, loan) = (&lending.world, lending.lend("1200000").await);
    let (quotes, pay) =
        (format!("/v1/loans/{loan}/asset-quotes"), format!("/v1/loans/{loan}/asset-repayments"));
    let ask = |amount: &str| json!({ "asset": "ETH", "amount": amount });
    assert_eq!(lending.refused(&quotes, &ask("100")).await, "rate_unknown");
    let set = |price: &'static str, seconds: u32| async move {
        let body = json!({ "base": "ETH", "quote": "EUR", "price": price, "source": "test", "valid_seconds": seconds });
        let call = Call::new(world, "put", "/v1/treasury/rates").key(&world.stack.operator_key);
        call.json(&body).send().await
    };
    for (price, seconds) in [("0", 60), ("-1", 60), ("1e3", 60), ("2000", 0), ("2000", 604_801)] {
        assert_eq!(set(price, seconds).await.code(), "unprocessable", "{price} {seconds}");
    }
    assert_eq!(set("2000.00", 1).await.status, 200);
    let quote = |amount: &str| world.tenant.post(&quotes, ask(amount));
    let brief = quote("100").await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let by = |quote: &Value| json!({ "quote": quote["id"] });
    assert_eq!(lending.refused(&pay, &by(&brief)).await, "loan_quote_expired");
    assert_eq!(lending.refused(&quotes, &ask("100")).await, "rate_unknown", "the price is too old");
    assert_eq!(set("2000.00", 3600).await.status, 200);
    let good = quote("20000").await.unwrap();
    assert_eq!(good["sold"]["amount"], "100000000000000000");
    assert_eq!(lending.refused(&pay, &by(&good)).await, "insufficient_funds");
    world.credit(&lending.borrower, "ETH", 150_000_000_000_000_000).await;
    // What was refused has used up nothing.
    let key = unique();
    let paid = world.tenant.post_once(&pay, &key, by(&good)).await.unwrap();
    let again = world.tenant.post_once(&pay, &key, by(&good)).await.unwrap();
    assert_eq!(paid, again);
    assert_eq!(lending.refused(&pay, &by(&good)).await, "not_found", "a quote is used once");
    assert_eq!(world.available(&lending.borrower, "ETH").await, 50_000_000_000_000_000);
    assert_eq!(lending.euros().await, 1_200_000, "the euros went straight to the loan");
    assert_eq!(lending.position(&loan).await["received"], "20000");
    // Taken back, it comes as the currency that it had bought.
    let back = json!({ "event": paid["id"], "reason": "a test" });
    lending.post(&format!("/v1/loans/{loan}/reversals"), back).await;
    assert_eq!(lending.euros().await, 1_220_000);
    lending.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_about_loans_has_its_code_and_changes_nothing_on_sqlite() {
    bad_input_has_its_code(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_about_loans_has_its_code_and_changes_nothing_on_postgresql() {
    bad_input_has_its_code(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_happens_to_a_loan_is_in_the_books_on_sqlite() {
    everything_that_happens_to_a_loan(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_happens_to_a_loan_is_in_the_books_on_postgresql() {
    everything_that_happens_to_a_loan(Engine::Postgres).await;
}
