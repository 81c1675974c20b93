//! A request that moves money has one effect, however often it is sent, also across a crash.

use std::time::Duration;

use api_store::Engine;
use serde_json::json;
use tokio::task::JoinSet;

use crate::http::Call;
use crate::races::at_once;
use crate::world::{ETH, Setup, World, items, new_tenant, outside, unique, withdrawal};

const SAME: usize = 16;

async fn the_same_key_has_one_effect(engine: Engine) {
    let mut world = World::start(Setup::EVM.on(engine)).await;
    let alice = world.funded_customer("alice", "ETH", 10 * ETH).await;
    let bob = world.customer("bob").await;
    let key = unique();
    let call = |world: &World, path: &str, body| {
        Call::new(world, "post", path).key(&world.tenant_key).once(&key).json(body)
    };
    let payout = withdrawal(&alice, "ETH", ETH, &outside("ETH"));
    let first = call(&world, "/v1/withdrawals", &payout);
    let answers = at_once(vec![first.clone(); SAME]).await;
    for answer in &answers {
        assert_eq!((answer.status, &answer.text), (201, &answers[0].text));
    }
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1, "{answers:?}");
    assert_eq!(world.available(&alice, "ETH").await, 9 * ETH, "one effect");
    // Another body, or another path, is another request.
    let other = withdrawal(&alice, "ETH", 2 * ETH, &outside("ETH"));
    let conflict = call(&world, "/v1/withdrawals", &other).send().await;
    assert_eq!((conflict.status, conflict.code()), (409, "idempotency_conflict"));
    let transfer = json!({ "from": alice, "to": bob, "asset": "ETH", "amount": "1" });
    let conflict = call(&world, "/v1/transfers", &transfer).send().await;
    assert_eq!((conflict.status, conflict.code()), (409, "idempotency_conflict"));
    // After a crash the answer is the same.
    world.stack.kill_server();
    world.stack.start_server(&[]).await.unwrap();
    let replay = first.send().await;
    assert_eq!((replay.status, replay.replayed), (201, true));
    assert_eq!(replay.text, answers[0].text);
    assert_eq!(world.available(&alice, "ETH").await, 9 * ETH);
    // A refusal leaves nothing behind: the key is free for the same request.
    let late = unique();
    let too_much = json!({ "from": bob, "to": alice, "asset": "ETH", "amount": "5" });
    let call = Call::new(&world, "post", "/v1/transfers").key(&world.tenant_key).once(&late);
    let call = call.json(&too_much);
    assert_eq!(call.send().await.code(), "insufficient_funds");
    let back = json!({ "from": alice, "to": bob, "asset": "ETH", "amount": "5" });
    world.tenant.post_once("/v1/transfers", &unique(), back).await.unwrap();
    assert_eq!(call.send().await.status, 201);
    assert!(call.send().await.replayed);
    // A key is its tenant's own.
    let stranger = new_tenant(&world.operator, "Another Bank").await;
    let theirs = Call::new(&world, "post", "/v1/transfers").key(&stranger).once(&key);
    let theirs = theirs.json(&transfer).send().await;
    assert_eq!((theirs.status, theirs.code()), (404, "not_found"), "not a replay, not a conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_28_the_same_key_has_one_effect_and_one_answer_on_sqlite() {
    the_same_key_has_one_effect(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_28_the_same_key_has_one_effect_and_one_answer_on_postgresql() {
    the_same_key_has_one_effect(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_28_money_does_not_move_without_a_key() {
    let world = World::start(Setup::EVM).await;
    let alice = world.funded_customer("alice", "ETH", ETH).await;
    let bob = world.customer("bob").await;
    let long = "k".repeat(129);
    for key in [None, Some(""), Some(" "), Some("a b"), Some("\u{e9}"), Some(long.as_str())] {
        let transfer = json!({ "from": alice, "to": bob, "asset": "ETH", "amount": "1" });
        let payout = withdrawal(&alice, "ETH", 1, &outside("ETH"));
        for (path, body) in [("/v1/transfers", transfer), ("/v1/withdrawals", payout)] {
            let mut call = Call::new(&world, "post", path).key(&world.tenant_key).json(&body);
            if let Some(key) = key {
                call = call.once(key);
            }
            let answer = call.send().await;
            assert_eq!((answer.status, answer.code()), (400, "idempotency_key_missing"), "{key:?}");
        }
    }
    assert_eq!(world.available(&alice, "ETH").await, ETH);
    let longest = "k".repeat(128);
    let transfer = json!({ "from": alice, "to": bob, "asset": "ETH", "amount": "1" });
    world.tenant.post_once("/v1/transfers", &longest, transfer).await.unwrap();
}

/// What was acknowledged is there, what was not is wholly there or wholly absent: the same requests
/// again with the same keys make it complete.
async fn a_storm_that_is_cut(engine: Engine) {
    const REQUESTS: u128 = 48;
    let mut world = World::start(Setup::EVM.on(engine)).await;
    let alice = world.funded_customer("alice", "ETH", ETH).await;
    let bob = world.customer("bob").await;
    let calls: Vec<Call> = (0..REQUESTS)
        .map(|_| {
            let body = json!({ "from": alice, "to": bob, "asset": "ETH", "amount": "1000" });
            let call = Call::new(&world, "post", "/v1/transfers").key(&world.tenant_key);
            call.once(&unique()).json(&body)
        })
        .collect();
    let mut storm = JoinSet::new();
    for call in calls.clone() {
        storm.spawn(async move { call.try_send().await.ok() });
    }
    // Some are done, some are under way.
    let mut acknowledged = Vec::new();
    while acknowledged.len() < 8 {
        acknowledged.extend(storm.join_next().await.unwrap().unwrap());
    }
    world.stack.kill_server();
    acknowledged.extend(storm.join_all().await.into_iter().flatten());
    world.stack.start_server(&[]).await.unwrap();
    for answer in acknowledged.iter().filter(|answer| answer.status == 201) {
        let id = answer.body["id"].as_str().unwrap();
        world.tenant.get(&format!("/v1/transfers/{id}")).await.unwrap();
    }
    let done = world.available(&bob, "ETH").await;
    assert_eq!(done + world.available(&alice, "ETH").await, ETH);
    assert_eq!(done % 1000, 0);
    for answer in at_once(calls).await {
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    assert_eq!(world.available(&bob, "ETH").await, REQUESTS * 1000);
    let check = world.operator.get("/v1/treasury/ledger-check").await.unwrap();
    assert_eq!(check["clean"], true, "{check}");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_28_a_storm_cut_by_kill_nine_is_completed_by_the_same_keys_on_sqlite() {
    a_storm_that_is_cut(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_28_a_storm_cut_by_kill_nine_is_completed_by_the_same_keys_on_postgresql() {
    a_storm_that_is_cut(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_is_found_by_the_clients_own_id() {
    let world = World::start(Setup::EVM).await;
    let alice = world.funded_customer("alice", "ETH", ETH).await;
    let mut body = withdrawal(&alice, "ETH", ETH / 10, &outside("ETH"));
    body["client_id"] = json!("invoice 17/b");
    let first = world.tenant.post_once("/v1/withdrawals", &unique(), body.clone()).await.unwrap();
    let again = world.tenant.post_once("/v1/withdrawals", &unique(), body).await.unwrap_err();
    assert_eq!((again.status, again.code.as_str()), (409, "already_exists"));
    let path = "/v1/withdrawals?client_id=invoice%2017%2Fb";
    let found = world.tenant.get(path).await.unwrap();
    assert_eq!(items(&found).len(), 1, "{found}");
    assert_eq!(items(&found)[0]["id"], first["id"]);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.available(&alice, "ETH").await, ETH - ETH / 10);
    let stranger = world.another_tenant("Another Bank").await;
    assert!(items(&stranger.get(path).await.unwrap()).is_empty());
}
