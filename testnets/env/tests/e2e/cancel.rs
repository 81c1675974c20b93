//! An operator cancels payouts: what was not signed gives its money back, what was signed is paid.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::http::Call;
use crate::world::{ETH, PATIENCE, RTT, Setup, World, items, outside, text};

async fn intent_of(world: &World, withdrawal: &str) -> String {
    // The newest 200, of which the tests make fewer.
    let intents = world.operator.get("/v1/treasury/intents").await.unwrap();
    let payouts = items(&intents).iter().filter(|one| one["purpose"] == "withdrawal");
    let mut ids: Vec<String> = payouts.map(|one| text(one, "id")).collect();
    assert_eq!(ids.len(), 1, "{withdrawal}: {intents}");
    ids.remove(0)
}

fn order(world: &World, intent: &str) -> Call {
    let path = format!("/v1/treasury/intents/{intent}/cancel");
    let body = json!({ "reason": "the customer asked for it" });
    Call::new(world, "post", &path).key(&world.stack.operator_key).json(&body)
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_29_a_cancelled_payout_gives_its_hold_back_and_is_never_signed() {
    let mut world = World::start(Setup::EVM).await;
    world.fill_treasury().await;
    let alice = world.funded_customer("alice", "ETH", 2 * ETH).await;
    let body = json!({ "asset": "ETH", "reason": "a leak is being looked into" });
    world.operator.post("/v1/treasury/freezes", body).await.unwrap();
    let destination = outside("ETH");
    let id = world.withdraw(&alice, "ETH", ETH, &destination).await;
    let path = format!("/v1/withdrawals/{id}");
    let waits =
        |answer: &Value| answer["problem"].as_str().is_some_and(|why| why.contains("frozen"));
    world.tenant.wait_for(&path, PATIENCE, waits).await.unwrap();
    assert_eq!(world.available(&alice, "ETH").await, ETH, "it is held");
    let intent = intent_of(&world, &id).await;

    // Without the signer's word nothing is given back.
    world.stack.kill_signer();
    let answer = order(&world, &intent).try_send().await.unwrap();
    assert_eq!((answer.status, answer.code()), (503, "unavailable"), "{answer:?}");
    assert_eq!(world.available(&alice, "ETH").await, ETH);
    world.stack.start_signer().await.unwrap();
    let tenants = order(&world, &intent).key(&world.tenant_key).send().await;
    assert_eq!(tenants.status, 401, "only the operator cancels");
    let answer = order(&world, &intent).send().await;
    assert_eq!((answer.status, &answer.body["state"]), (200, &json!("failed")), "{answer:?}");
    assert_eq!(world.available(&alice, "ETH").await, 2 * ETH, "the hold is released");
    let shown = world.tenant.get(&path).await.unwrap();
    assert!(shown["problem"].as_str().unwrap().contains("the customer asked"), "{shown}");
    let again = order(&world, &intent).send().await;
    assert_eq!((again.status, again.code()), (409, "invalid_state"), "{again:?}");

    // Thawed and started anew, nothing of it is left to be paid.
    world.stack.kill_signer();
    let asset = format!("{}/slip44:60", world.env.evm().unwrap().chain());
    crate::freeze::thaw(&world, &asset).await;
    world.stack.start_signer().await.unwrap();
    world.stack.kill_server();
    world.stack.start_server(&[]).await.unwrap();
    let other = outside("ETH");
    let paid = world.withdraw(&alice, "ETH", ETH, &other).await;
    let settled = world.wait_withdrawal(&paid, "settled").await;
    assert_eq!(items(&settled["attempts"]).len(), 1);
    assert_eq!(world.on_chain("ETH", &destination).await, 0);
    world.books_agree().await;
}

/// Cancels come at every moment of payouts that are under way: each is paid or given back, never both.
#[tokio::test(flavor = "multi_thread")]
async fn promise_29_a_cancel_and_a_signature_never_both_happen() {
    const PAYOUTS: u32 = 12;
    let world = World::start(Setup::EVM).await;
    world.fill_treasury().await;
    let alice = world.funded_customer("alice", "ETH", ETH).await;
    world.credit(&alice, "RTT", u128::from(PAYOUTS) * RTT).await;
    let mut payouts = Vec::new();
    for number in 0..PAYOUTS {
        let destination = outside("RTT");
        let id = world.withdraw(&alice, "RTT", RTT, &destination).await;
        payouts.push((id, destination));
        tokio::time::sleep(Duration::from_millis(u64::from(number % 4) * 15)).await;
        let intents = world.operator.get("/v1/treasury/intents").await.unwrap();
        let open = |one: &&Value| one["purpose"] == "withdrawal" && one["state"] != "failed";
        let newest: Vec<Value> = items(&intents).iter().filter(open).take(3).cloned().collect();
        let mut cancels = JoinSet::new();
        for one in newest.into_iter().skip((number % 3) as usize) {
            let call = order(&world, &text(&one, "id"));
            cancels.spawn(async move { call.send().await });
        }
        for answer in cancels.join_all().await {
            let expected = answer.status == 200 || answer.code() == "invalid_state";
            assert!(expected, "{answer:?}");
        }
    }
    world.wait_idle().await;
    let (mut paid, mut cancelled) = (0, 0);
    for (id, destination) in &payouts {
        let shown = world.tenant.get(&format!("/v1/withdrawals/{id}")).await.unwrap();
        let on_chain = world.on_chain("RTT", destination).await;
        match shown["state"].as_str().unwrap() {
            "settled" => {
                paid += 1;
                assert_eq!(on_chain, RTT, "{shown}");
            }
            "failed" => {
                cancelled += 1;
                assert_eq!(on_chain, 0, "cancelled and paid: {shown}");
                assert!(items(&shown["attempts"]).is_empty(), "{shown}");
            }
            other => panic!("{other}: {shown}"),
        }
    }
    assert_eq!(paid + cancelled, PAYOUTS);
    assert_eq!(world.available(&alice, "RTT").await, u128::from(cancelled) * RTT);
    world.books_agree().await;
}
