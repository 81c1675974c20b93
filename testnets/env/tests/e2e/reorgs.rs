//! Deposits are credited once, never too early, and taken back when the chain takes them back.

use std::time::Duration;

use api_store::Engine;
use chain_core::Amount;
use serde_json::{Value, json};

use crate::http::Call;
use crate::world::{BTC, ETH, PATIENCE, SOL, Setup, World, items, outside};

/// Longer than several polls of the server.
const A_WHILE: Duration = Duration::from_millis(1_200);

#[tokio::test(flavor = "multi_thread")]
async fn promise_18_a_deposit_is_credited_once_however_often_it_is_seen() {
    let mut world = World::start(Setup::ALL).await;
    let alice = world.customer("alice").await;
    let plan = [("BTC", BTC / 4), ("ETH", ETH), ("SOL", SOL)];
    for (asset, amount) in plan {
        let address = world.address(&alice, crate::world::chain_of(asset)).await;
        // Twice to the same address: two deposits, one credit each.
        world.send(asset, &address, amount).await;
        world.send(asset, &address, amount + 1).await;
    }
    for _ in 0..2 {
        for (asset, amount) in plan {
            world.wait_available(&alice, asset, 2 * amount + 1).await;
        }
        world.stack.kill_server();
        world.stack.start_server(&[]).await.unwrap();
        tokio::time::sleep(A_WHILE).await;
    }
    let deposits = world.deposits().await;
    assert_eq!(deposits.len(), 6, "{deposits:?}");
    assert!(deposits.iter().all(|deposit| deposit["state"] == "final"), "{deposits:?}");
    world.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_19_bitcoin_below_finality_is_taken_back_and_credited_once() {
    let world = World::start(Setup::BITCOIN.by_hand()).await;
    let bitcoin = world.env.bitcoin().unwrap();
    let alice = world.customer("alice").await;
    let address = world.address(&alice, "bitcoin").await;
    world.blocks(3).await;
    world.send("BTC", &address, BTC).await;
    tokio::time::sleep(A_WHILE).await;
    assert!(world.deposits().await.is_empty(), "seen in the mempool is not seen");
    world.blocks(1).await;
    let seen = world.wait_deposit("seen").await;
    assert_eq!(world.available(&alice, "BTC").await, 0, "credited with one confirmation");
    bitcoin.reorg_empty(1).await.unwrap();
    let orphaned = world.wait_deposit("orphaned").await;
    assert_eq!(orphaned["id"], seen["id"]);
    assert_eq!(world.available(&alice, "BTC").await, 0);
    world.blocks(1).await;
    let again = world.wait_deposit("seen").await;
    assert_ne!(again["block_hash"], seen["block_hash"]);
    // Moved to another block of the same kind: still one deposit.
    bitcoin.reorg(1).await.unwrap();
    let credited = world.wait_deposit("final").await;
    assert_eq!(credited["id"], seen["id"]);
    world.wait_available(&alice, "BTC", BTC).await;
    world.blocks(3).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(world.available(&alice, "BTC").await, BTC, "credited twice");
    assert!(world.halted("bitcoin").await.is_none());
    world.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_19_evm_below_finality_is_taken_back_and_credited_once() {
    let world = World::start(Setup::EVM.by_hand()).await;
    let evm = world.env.evm().unwrap();
    let alice = world.customer("alice").await;
    let address = world.address(&alice, "evm").await;
    world.blocks(3).await;
    let hash = world.send("ETH", &address, ETH).await;
    let seen = world.wait_deposit("seen").await;
    assert_eq!(world.available(&alice, "ETH").await, 0, "credited before it is final");
    let raw: String = evm.rpc().call("eth_getRawTransactionByHash", json!([hash])).await.unwrap();
    evm.reorg(1).await.unwrap();
    world.wait_deposit("orphaned").await;
    assert_eq!(world.available(&alice, "ETH").await, 0);
    let again: String = evm.rpc().call("eth_sendRawTransaction", json!([raw])).await.unwrap();
    assert_eq!(again, hash);
    let moved = world.wait_deposit("seen").await;
    assert_eq!(moved["id"], seen["id"]);
    world.blocks(1).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(world.available(&alice, "ETH").await, 0, "one block too early");
    world.blocks(2).await;
    world.wait_deposit("final").await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(world.available(&alice, "ETH").await, ETH);
    assert!(world.halted("evm").await.is_none());
    world.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_19_bitcoin_below_its_finality_halts_until_the_operator_resumes() {
    let world = World::start(Setup::BITCOIN.by_hand()).await;
    world.fill_treasury().await;
    let alice = world.funded_customer("alice", "BTC", BTC).await;
    world.blocks(4).await;
    world.wait_scanned("bitcoin").await;
    let bitcoin = world.env.bitcoin().unwrap();
    bitcoin.reorg_empty(7).await.unwrap();
    let halted = wait_halted(&world, "bitcoin").await;
    assert!(halted.contains("reorganisation"), "{halted}");
    // No rule can take back what was credited; a withdrawal is accepted and waits.
    assert_eq!(world.available(&alice, "BTC").await, BTC);
    let destination = outside("BTC");
    let id = world.withdraw(&alice, "BTC", BTC / 5, &destination).await;
    world.blocks(4).await;
    tokio::time::sleep(A_WHILE).await;
    let waiting = world.tenant.get(&format!("/v1/withdrawals/{id}")).await.unwrap();
    assert_eq!(waiting["state"], "reserved", "{waiting}");
    assert_eq!(world.on_chain("BTC", &destination).await, 0);
    // Only the operator resumes, and only what is halted.
    let resume = Call::new(&world, "post", "/v1/treasury/chains/bitcoin/resume");
    assert_eq!(resume.clone().send().await.status, 401);
    assert_eq!(resume.clone().key(&world.tenant_key).send().await.status, 401);
    let resume = resume.key(&world.stack.operator_key);
    assert_eq!(resume.send().await.status, 204);
    assert_eq!(resume.send().await.status, 404, "there is no halt any more");
    let settled = world.wait_withdrawal(&id, "settled").await;
    assert_eq!(items(&settled["attempts"]).len(), 1);
    assert_eq!(world.on_chain("BTC", &destination).await, BTC / 5);
    assert_eq!(world.available(&alice, "BTC").await, BTC - BTC / 5, "credited once");
    world.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_19_evm_below_its_finality_halts_and_the_books_say_what_is_missing() {
    let world = World::start(Setup::EVM.by_hand()).await;
    let evm = world.env.evm().unwrap();
    let alice = world.customer("alice").await;
    let address = world.address(&alice, "evm").await;
    world.blocks(3).await;
    let hash = world.send("ETH", &address, ETH).await;
    let raw: String = evm.rpc().call("eth_getRawTransactionByHash", json!([hash])).await.unwrap();
    world.blocks(3).await;
    world.wait_available(&alice, "ETH", ETH).await;
    world.wait_scanned("evm").await;
    evm.reorg(4).await.unwrap();
    wait_halted(&world, "evm").await;
    let missing = reconciled(&world, "ETH").await;
    assert_eq!(missing["agrees"], false, "{missing}");
    assert_eq!(missing["covered"], false, "{missing}");
    let _: String = evm.rpc().call("eth_sendRawTransaction", json!([raw])).await.unwrap();
    world.blocks(3).await;
    world.wait_scanned("evm").await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(world.available(&alice, "ETH").await, ETH, "the same deposit twice");
    world.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_19_a_settled_payout_that_is_reorganised_away_halts_the_chain() {
    let world = World::start(Setup::EVM.by_hand()).await;
    world.fill_treasury().await;
    let alice = world.funded_customer("alice", "ETH", 2 * ETH).await;
    world.blocks(4).await;
    let destination = outside("ETH");
    let id = world.withdraw(&alice, "ETH", ETH, &destination).await;
    let settled = world.wait_withdrawal(&id, "settled").await;
    world.wait_scanned("evm").await;
    let evm = world.env.evm().unwrap();
    let depth = evm.height().await.unwrap() - settled["height"].as_u64().unwrap() + 1;
    evm.reorg(depth).await.unwrap();
    assert_eq!(world.on_chain("ETH", &destination).await, 0);
    wait_halted(&world, "evm").await;
    assert_eq!(reconciled(&world, "ETH").await["agrees"], false);
}

async fn wait_halted(world: &World, chain: &str) -> String {
    let is_halted = |answer: &Value| {
        items(answer).iter().any(|one| one["name"] == chain && one["halted"].is_string())
    };
    let waited = world.tenant.wait_for("/v1/chains", PATIENCE / 3, is_halted).await;
    waited.unwrap_or_else(|error| panic!("{error}\n{}", world.stack.server_log()));
    world.halted(chain).await.unwrap()
}

async fn reconciled(world: &World, asset: &str) -> Value {
    let findings = world.operator.get("/v1/treasury/reconciliation").await.unwrap();
    items(&findings).iter().find(|one| one["asset"] == asset).unwrap().clone()
}

/// The books count in 128 bits, the chain in 256: what is larger is told in full, and credited to nobody.
async fn a_deposit_past_128_bits_waits_whole(engine: Engine) {
    let world = World::start(Setup::EVM.on(engine)).await;
    let alice = world.customer("alice").await;
    let address = world.address(&alice, "evm").await;
    let (evm, token) = (world.env.evm().unwrap(), &world.stack.tokens[0]);
    evm.fund_token_past_128_bits(token, &address, Amount::new(7)).await.unwrap();
    let waits = world.wait_deposit("suspense").await;
    assert_eq!(waits["amount"], "340282366920938463463374607431768211463");
    // What comes after it is not held up.
    world.send("ETH", &address, ETH).await;
    world.wait_available(&alice, "ETH", ETH).await;
    assert_eq!(world.available(&alice, "RTT").await, 0);

    let listed = world.operator.get("/v1/treasury/suspended-deposits").await.unwrap();
    assert_eq!((items(&listed).len(), &items(&listed)[0]["id"]), (1, &waits["id"]));
    assert_eq!(items(&listed)[0]["amount"], waits["amount"]);
    assert!(items(&listed)[0]["tenant"].is_string(), "{listed}");
    assert!(world.tenant.get("/v1/treasury/suspended-deposits").await.is_err(), "the operator's");

    // The token cannot be compared with the chain, and says why; everything else is.
    let is_eth_right = |answer: &Value| {
        items(answer).iter().any(|one| one["asset"] == "ETH" && one["agrees"] == true)
    };
    let path = "/v1/treasury/reconciliation";
    let found = world.operator.wait_for(path, PATIENCE, is_eth_right).await.unwrap();
    let rtt = items(&found).iter().find(|one| one["asset"] == "RTT").unwrap();
    assert_eq!((&rtt["agrees"], &rtt["covered"]), (&json!(false), &json!(false)));
    assert!(rtt["problem"].as_str().unwrap().contains("128 bits"), "{rtt}");
    let check = world.operator.get("/v1/treasury/ledger-check").await.unwrap();
    assert_eq!(check["clean"], true, "{check}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_past_128_bits_waits_whole_on_sqlite() {
    a_deposit_past_128_bits_waits_whole(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_past_128_bits_waits_whole_on_postgres() {
    a_deposit_past_128_bits_waits_whole(Engine::Postgres).await;
}
