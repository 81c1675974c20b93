//! Processes die at the worst moment; money moves exactly once.

use std::time::Duration;

use serde_json::Value;

use crate::world::{BTC, ETH, RTT, SOL, Setup, World, items, outside};

/// Stops the executor just before a signed transaction is sent. It blocks a thread, so there are more.
const STOP: &[(&str, &str)] = &[("ROADSTEAD_STOP_AT", "signed"), ("TOKIO_WORKER_THREADS", "4")];

async fn killed_between_signed_and_sent(setup: Setup, asset: &str, amount: u128) {
    let mut world = World::start(setup).await;
    world.fill_treasury().await;
    let customer = world.funded_customer("alice", asset, 3 * amount).await;
    world.stack.kill_server();
    world.stack.start_server(STOP).await.unwrap();
    let destination = outside(asset);
    let id = world.withdraw(&customer, asset, amount, &destination).await;
    let signed = world.wait_withdrawal(&id, "signed").await;
    let tx = signed["tx"].as_str().unwrap().to_owned();
    world.stack.kill_server();
    world.blocks(3).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.on_chain(asset, &destination).await, 0, "it was sent already");
    world.stack.start_server(&[]).await.unwrap();
    let settled = world.wait_withdrawal(&id, "settled").await;
    assert_eq!(settled["tx"], tx.as_str(), "another transaction than the one that was signed");
    assert_eq!(items(&settled["attempts"]).len(), 1, "{settled}");
    // Once more: nothing is sent again by a server that starts after the end.
    world.stack.kill_server();
    world.stack.start_server(&[]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.on_chain(asset, &destination).await, amount);
    assert_eq!(world.available(&customer, asset).await, 2 * amount);
    world.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_29_killed_between_signed_and_sent_pays_once_on_bitcoin() {
    killed_between_signed_and_sent(Setup::BITCOIN, "BTC", BTC / 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_29_killed_between_signed_and_sent_pays_once_on_evm() {
    killed_between_signed_and_sent(Setup::EVM, "ETH", ETH).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_29_killed_between_signed_and_sent_pays_once_on_solana() {
    killed_between_signed_and_sent(Setup::SOLANA, "SOL", SOL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_29_killed_between_signed_and_sent_pays_once_an_erc20() {
    killed_between_signed_and_sent(Setup::EVM, "RTT", 7 * RTT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_40_kills_at_random_moments_lose_and_double_nothing() {
    const KILLS: u32 = 8;
    let mut world = World::start(Setup::ALL).await;
    world.fill_treasury().await;
    let alice = world.customer("alice").await;
    let plan = [("BTC", BTC / 50), ("ETH", ETH / 10), ("SOL", SOL / 5)];
    for (asset, amount) in plan {
        world.credit(&alice, asset, 10 * amount).await;
    }
    let seed: u64 = rand::random();
    let mut state = seed;
    let mut paid = Vec::new();
    for round in 0..KILLS {
        for (asset, amount) in plan.iter().take(if round < 4 { 3 } else { 0 }) {
            let destination = outside(asset);
            let id = world.withdraw(&alice, asset, *amount, &destination).await;
            paid.push((id, *asset, *amount, destination));
        }
        // Knuth's generator: any spread of moments will do, and the seed is printed on failure.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        tokio::time::sleep(Duration::from_millis((state >> 33) % 700)).await;
        world.stack.kill_server();
        world.stack.start_server(&[]).await.unwrap();
    }
    for (id, asset, amount, destination) in &paid {
        let settled = world.wait_withdrawal(id, "settled").await;
        assert_eq!(items(&settled["attempts"]).len(), 1, "seed {seed}: {settled}");
        assert_eq!(world.on_chain(asset, destination).await, *amount, "seed {seed}: {asset}");
    }
    for (asset, amount) in plan {
        assert_eq!(world.available(&alice, asset).await, 6 * amount, "seed {seed}: {asset}");
    }
    world.wait_idle().await;
    world.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn withdrawals_wait_for_a_signer_that_is_gone() {
    let mut world = World::start(Setup::EVM).await;
    world.fill_treasury().await;
    let alice = world.funded_customer("alice", "ETH", 4 * ETH).await;
    world.stack.kill_signer();
    let mut paid = Vec::new();
    for _ in 0..3 {
        let destination = outside("ETH");
        let id = world.withdraw(&alice, "ETH", ETH, &destination).await;
        paid.push((id, destination));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.available(&alice, "ETH").await, ETH, "the holds are there");
    for (id, destination) in &paid {
        let waiting: Value = world.tenant.get(&format!("/v1/withdrawals/{id}")).await.unwrap();
        assert!(["reserved", "built"].contains(&waiting["state"].as_str().unwrap()), "{waiting}");
        assert!(waiting["tx"].is_null(), "{waiting}");
        assert_eq!(world.on_chain("ETH", destination).await, 0);
    }
    let health = world.tenant.get("/health/ready").await.unwrap_err();
    assert_eq!(health.status, 503, "{health}");
    world.stack.start_signer().await.unwrap();
    for (id, destination) in &paid {
        let settled = world.wait_withdrawal(id, "settled").await;
        assert_eq!(items(&settled["attempts"]).len(), 1, "{settled}");
        assert_eq!(world.on_chain("ETH", destination).await, ETH);
    }
    world.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_processes_die_together_and_the_money_is_where_it_was() {
    let mut world = World::start(Setup::BITCOIN).await;
    world.fill_treasury().await;
    let alice = world.funded_customer("alice", "BTC", BTC / 2).await;
    let destination = outside("BTC");
    let id = world.withdraw(&alice, "BTC", BTC / 10, &destination).await;
    world.stack.kill_signer();
    world.stack.kill_server();
    world.stack.start_signer().await.unwrap();
    world.stack.start_server(&[]).await.unwrap();
    let settled = world.wait_withdrawal(&id, "settled").await;
    assert_eq!(items(&settled["attempts"]).len(), 1, "{settled}");
    assert_eq!(world.on_chain("BTC", &destination).await, BTC / 10);
    assert_eq!(world.available(&alice, "BTC").await, BTC / 2 - BTC / 10);
    world.books_agree().await;
}
