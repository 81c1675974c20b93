//! The happy path on PostgreSQL; `cargo demo` walks it on SQLite.

use api_store::Engine;
use serde_json::json;

use crate::world::{BTC, ETH, RTT, SOL, Setup, World, items, outside, unique};

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_on_postgresql_too() {
    let world = World::start(Setup::ALL.on(Engine::Postgres)).await;
    world.fill_treasury().await;
    let alice = world.customer("alice").await;
    let bob = world.customer("bob").await;
    let credited = [
        ("BTC", BTC / 2),
        ("ETH", 2 * ETH),
        ("RTT", 300 * RTT),
        ("SOL", 3 * SOL),
        ("RTT-SOL", 90 * RTT),
    ];
    for (asset, amount) in credited {
        world.credit(&alice, asset, amount).await;
    }
    assert_eq!(world.deposits().await.len(), credited.len());
    sweep_all(&world).await;
    let mut paid = Vec::new();
    for (asset, amount) in credited {
        let destination = outside(asset);
        let id = world.withdraw(&alice, asset, amount / 3, &destination).await;
        paid.push((id, asset, amount / 3, destination));
    }
    for (id, asset, amount, destination) in &paid {
        let settled = world.wait_withdrawal(id, "settled").await;
        assert_eq!(items(&settled["attempts"]).len(), 1, "{settled}");
        assert_eq!(world.on_chain(asset, destination).await, *amount, "{asset}");
    }
    let body = json!({ "from": alice, "to": bob, "asset": "ETH", "amount": ETH.to_string() });
    world.tenant.post_once("/v1/transfers", &unique(), body).await.unwrap();
    for (asset, amount) in credited {
        let moved = if asset == "ETH" { ETH } else { 0 };
        assert_eq!(world.available(&alice, asset).await, amount - amount / 3 - moved, "{asset}");
        assert_eq!(world.available(&bob, asset).await, moved, "{asset}");
    }
    world.wait_idle().await;
    world.books_agree().await;
}

/// Sweeps in rounds: a token's address gets its fuel in a round of its own.
async fn sweep_all(world: &World) {
    let mut swept = 0;
    loop {
        let mut started = 0;
        for asset in ["BTC", "ETH", "RTT", "SOL", "RTT-SOL"] {
            let body = json!({ "asset": asset });
            let answer = world.operator.post("/v1/treasury/sweeps", body).await.unwrap();
            started += items(&answer["intents"]).len();
        }
        if started == 0 {
            break;
        }
        swept += started;
        world.wait_idle().await;
    }
    assert!(swept >= 5, "{swept} sweeps and fuellings");
    let intents = world.operator.get("/v1/treasury/intents").await.unwrap();
    let failed = items(&intents).iter().find(|intent| intent["state"] == "failed");
    assert!(failed.is_none(), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_sees_what_the_api_sees() {
    let world = World::start(Setup::EVM).await;
    world.fill_treasury().await;
    let alice = world.funded_customer("alice", "ETH", ETH).await;
    let id = world.withdraw(&alice, "ETH", ETH / 4, &outside("ETH")).await;
    world.wait_withdrawal(&id, "settled").await;
    world.books_agree().await;
    let (check, fold) = (&["ledger", "check"][..], &["ledger", "fold"][..]);
    for command in [check, fold, check, &["reconcile"], &["migrate"], &["config", "check"]] {
        let output = world.stack.roadstead(command).unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {words}");
    }
    // Money that no book knows: the treasury is paid while the server is not looking.
    let mut world = world;
    world.stack.kill_server();
    let treasury = "anvil_setBalance";
    let address = treasury_address(&world).await;
    let evm = world.env.evm().unwrap();
    evm.rpc().call::<serde_json::Value>(treasury, json!([address, "0x1"])).await.unwrap();
    let output = world.stack.roadstead(&["reconcile"]).unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
}

async fn treasury_address(world: &World) -> String {
    // The treasury's only EVM account, the one that paid: the sender of its newest transaction.
    let evm = world.env.evm().unwrap();
    let height = evm.height().await.unwrap();
    for number in (0..=height).rev() {
        let query = json!([format!("{number:#x}"), true]);
        let block: serde_json::Value = evm.rpc().call("eth_getBlockByNumber", query).await.unwrap();
        for transaction in items(&block["transactions"]) {
            let from = transaction["from"].as_str().unwrap().to_owned();
            if from != "0xa0ee7a142d267c1f36714e4a8f75612f20a79720" {
                return from;
            }
        }
    }
    panic!("the treasury never paid")
}
