//! The brakes: a frozen asset, and a payment that the signer's policy does not allow.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use testnets::binaries;

use crate::world::{ETH, PATIENCE, RTT, Setup, World, edit, items, outside};

#[tokio::test(flavor = "multi_thread")]
async fn promise_16_a_frozen_asset_waits_also_across_restarts_until_it_is_thawed() {
    let mut world = World::start(Setup::EVM).await;
    world.fill_treasury().await;
    let alice = world.funded_customer("alice", "ETH", 2 * ETH).await;
    world.credit(&alice, "RTT", 10 * RTT).await;
    let body = json!({ "asset": "ETH", "reason": "a leak is being looked into" });
    let frozen = world.operator.post("/v1/treasury/freezes", body).await.unwrap();
    assert_eq!(items(&frozen).len(), 1, "{frozen}");
    let destination = outside("ETH");
    let id = world.withdraw(&alice, "ETH", ETH, &destination).await;
    wait_problem(&world, &id, "frozen").await;
    assert_eq!(world.available(&alice, "ETH").await, ETH, "the hold stays");
    // What is not frozen goes on, also on the same chain and from the same account.
    let other = outside("RTT");
    let token = world.withdraw(&alice, "RTT", RTT, &other).await;
    world.wait_withdrawal(&token, "settled").await;
    assert_eq!(world.on_chain("RTT", &other).await, RTT);
    world.stack.kill_server();
    world.stack.kill_signer();
    world.stack.start_signer().await.unwrap();
    world.stack.start_server(&[]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    wait_problem(&world, &id, "frozen").await;
    assert_eq!(world.on_chain("ETH", &destination).await, 0);
    // The signer's own command thaws, on the signer's machine, while the signer is down.
    world.stack.kill_signer();
    let asset = frozen[0]["asset"].as_str().unwrap();
    thaw(&world, asset).await;
    world.stack.start_signer().await.unwrap();
    let settled = world.wait_withdrawal(&id, "settled").await;
    assert_eq!(items(&settled["attempts"]).len(), 1);
    assert!(settled["problem"].is_null(), "{settled}");
    assert_eq!(world.on_chain("ETH", &destination).await, ETH);
    world.books_agree().await;
}

async fn wait_problem(world: &World, id: &str, word: &str) -> Value {
    let is_there =
        |answer: &Value| answer["problem"].as_str().is_some_and(|problem| problem.contains(word));
    let path = format!("/v1/withdrawals/{id}");
    let waiting = world.tenant.wait_for(&path, PATIENCE, is_there).await.unwrap();
    assert!(["reserved", "built"].contains(&waiting["state"].as_str().unwrap()), "{waiting}");
    assert!(waiting["tx"].is_null(), "{waiting}");
    waiting
}

pub(crate) async fn thaw(world: &World, asset: &str) {
    let folder = world.stack.folder();
    let output = Command::new(&binaries().await.unwrap().signer)
        .arg("--config")
        .arg(folder.join("signer.toml"))
        .arg("thaw")
        .args(["--asset", asset, "--reason", "looked into"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_16_what_the_policy_refuses_fails_and_gives_the_money_back() {
    let mut world = World::start(Setup::EVM).await;
    world.fill_treasury().await;
    let alice = world.funded_customer("alice", "ETH", 4 * ETH).await;
    world.stack.kill_signer();
    edit(&world.stack, "policy.toml", |text| {
        text.replace("amount_max = \"1000000000000000000000\"", &format!("amount_max = \"{ETH}\""))
    });
    world.stack.start_signer().await.unwrap();
    let (refused, allowed) = (outside("ETH"), outside("ETH"));
    let id = world.withdraw(&alice, "ETH", ETH + 1, &refused).await;
    let failed = world.wait_withdrawal(&id, "failed").await;
    assert!(failed["problem"].as_str().unwrap().contains("policy"), "{failed}");
    assert!(items(&failed["attempts"]).is_empty(), "{failed}");
    assert_eq!(world.available(&alice, "ETH").await, 4 * ETH, "the hold is released");
    // The place on the chain that it had taken is free again.
    let id = world.withdraw(&alice, "ETH", ETH, &allowed).await;
    world.wait_withdrawal(&id, "settled").await;
    assert_eq!(world.on_chain("ETH", &refused).await, 0);
    assert_eq!(world.on_chain("ETH", &allowed).await, ETH);
    assert_eq!(world.available(&alice, "ETH").await, 3 * ETH);
    world.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_payment_does_not_hold_up_those_behind_it() {
    let mut world = World::start(Setup::EVM).await;
    world.fill_treasury().await;
    let alice = world.funded_customer("alice", "ETH", 4 * ETH).await;
    world.stack.kill_signer();
    edit(&world.stack, "policy.toml", |text| {
        text.replace("amount_max = \"1000000000000000000000\"", &format!("amount_max = \"{ETH}\""))
    });
    // Both wait for the signer, so both have had the time to take a place on the chain.
    let refused = world.withdraw(&alice, "ETH", ETH + 1, &outside("ETH")).await;
    let destination = outside("ETH");
    let allowed = world.withdraw(&alice, "ETH", ETH, &destination).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.stack.start_signer().await.unwrap();
    let settled = world.wait_withdrawal(&allowed, "settled").await;
    assert_eq!(items(&settled["attempts"]).len(), 1, "{settled}");
    assert_eq!(world.on_chain("ETH", &destination).await, ETH);
    let refused = world.tenant.get(&format!("/v1/withdrawals/{refused}")).await.unwrap();
    // An unanswered request may have been signed: then it waits for ever rather than pay twice.
    assert!(refused["state"] != "settled" && refused["state"] != "sent", "{refused}");
    assert_eq!(items(&refused["attempts"]).len(), 0, "{refused}");
}
