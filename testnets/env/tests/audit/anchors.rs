//! Anchors on real nodes: stuck ones pay more, lateness is an alarm, and what a reorganisation takes
//! is anchored again.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::offline::{statuses, verify};
use crate::records::wait_logged;
use crate::world::{PATIENCE, Setup, World, edit, items, text};

async fn append(world: &World, ids: std::ops::Range<u32>) {
    let records: Vec<Value> =
        ids.clone().map(|n| json!({ "id": format!("r{n}"), "kind": "note" })).collect();
    let body = json!({ "records": records });
    world.tenant.post("/v1/audit/records", body).await.unwrap();
    wait_logged(world, &format!("r{}", ids.end - 1)).await;
}

async fn report(world: &World) -> Value {
    world.tenant.get("/v1/audit/anchors").await.unwrap()
}

/// Waits for an anchor, of a checkpoint of at least `size` leaves, that is as it should be. Mines a
/// block at each look where `mine` says so.
async fn wait_anchor(world: &World, size: u64, mine: bool, done: impl Fn(&Value) -> bool) -> Value {
    let limit = Instant::now() + PATIENCE;
    loop {
        let report = report(world).await;
        let covers = |one: &&Value| one["size"].as_u64().unwrap() >= size;
        let found = items(&report["anchors"]).iter().filter(covers).find(|one| done(one));
        if let Some(found) = found {
            return found.clone();
        }
        let log = || world.stack.server_log().lines().rev().take(8).collect::<Vec<_>>().join("\n");
        assert!(Instant::now() < limit, "{report}\n{}", log());
        if mine {
            world.blocks(1).await;
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}

fn in_state(state: &str) -> impl Fn(&Value) -> bool {
    move |anchor: &Value| anchor["state"] == state
}

/// A counter or gauge of the server, summed over its labels.
async fn metric(world: &World, name: &str) -> u64 {
    let text = world.tenant.get_text("/metrics").await.unwrap();
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_39_an_anchor_that_is_reorganised_out_is_anchored_again() {
    let world = World::start(Setup::BITCOIN.by_hand().anchored()).await;
    world.fill_treasury().await;
    append(&world, 0..5).await;
    let size = wait_logged(&world, "r4").await["checkpoint"].as_u64().unwrap();
    wait_anchor(&world, size, false, in_state("sent")).await;
    world.blocks(1).await;
    let first = wait_anchor(&world, size, false, in_state("included")).await;
    let covered = first["size"].as_u64().unwrap();
    let receipt = || async {
        let text = world.tenant.get_text("/v1/audit/records/r4/receipt").await.unwrap();
        verify(&world, &text)
    };
    let (accepted, said) = receipt().await;
    assert!(accepted && statuses(&said) == ["proved_given_header"], "{said}");
    // Evidence is fetched once for each block, not at each look.
    let fetched = metric(&world, "roadstead_anchor_evidence_total").await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(metric(&world, "roadstead_anchor_evidence_total").await, fetched);

    world.env.bitcoin().unwrap().reorg_empty(1).await.unwrap();
    let is_it = |one: &Value| one["size"] == covered && one["state"] == "sent";
    let out = wait_anchor(&world, size, false, is_it).await;
    assert_eq!((&out["attempts"], &out["block"]), (&json!(1), &Value::Null), "{out}");
    assert!(text(&out, "problem").contains("reorganised out"), "{out}");
    let (accepted, said) = receipt().await;
    assert!(accepted && statuses(&said).is_empty(), "evidence of a block that is gone: {said}");

    world.blocks(1).await;
    let is_in = |one: &Value| one["size"] == covered && one["state"] == "included";
    let again = wait_anchor(&world, size, false, is_in).await;
    assert_eq!(again["tx"], first["tx"], "the same transaction");
    assert_ne!(again["block"], first["block"]);
    let is_final = |one: &Value| one["size"] == covered && one["state"] == "final";
    wait_anchor(&world, size, true, is_final).await;
    let (accepted, said) = receipt().await;
    assert!(accepted && statuses(&said) == ["proved_given_header"], "{said}");
    let status = world.tenant.get("/v1/audit/records/r4").await.unwrap();
    assert_eq!((&status["state"], &status["anchors_wanted"]), (&json!("final"), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_anchor_pays_more_and_a_late_one_is_an_alarm() {
    let mut world = World::start(Setup::EVM.by_hand().anchored()).await;
    world.fill_treasury().await;
    world.stack.kill_server();
    edit(&world.stack, "roadstead.toml", |text| {
        let more = "anchor_ms = 1500\nanchor_bump_ms = 1200\nanchor_deadline_ms = 2500";
        text.replace("anchor_ms = 1500", more)
    });
    world.stack.start_server(&[]).await.unwrap();
    // The first anchor waits for the contract.
    append(&world, 0..1).await;
    let size = wait_logged(&world, "r0").await["checkpoint"].as_u64().unwrap();
    wait_anchor(&world, size, true, in_state("final")).await;
    // From now on blocks come on request alone.
    let rpc = world.env.evm().unwrap().rpc();
    let _: Value = rpc.call("evm_setAutomine", json!([false])).await.unwrap();
    append(&world, 1..2).await;
    let size = wait_logged(&world, "r1").await["checkpoint"].as_u64().unwrap();
    let first = wait_anchor(&world, size, false, in_state("sent")).await;
    let is_other = |one: &Value| one["size"] == first["size"] && one["tx"] != first["tx"];
    let bumped = wait_anchor(&world, size, false, is_other).await;
    assert_eq!(bumped["state"], "sent", "{bumped}");
    assert!(metric(&world, "roadstead_anchor_bumps_total").await >= 1);
    // Of the same intent, in the same place: at most one of the two can be mined.
    assert_eq!(bumped["intent_id"], first["intent_id"]);
    let limit = Instant::now() + PATIENCE;
    while report(&world).await["service_level"]["late"] != true {
        assert!(Instant::now() < limit, "never late");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(metric(&world, "roadstead_anchors_late").await, 1);
    let alarms = || world.stack.server_log().matches("anchors are late").count();
    let raised = alarms();
    assert!(raised >= 1);
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(alarms(), raised, "raised once, not at each look");

    let included = wait_anchor(&world, size, true, |one| {
        one["size"] == first["size"] && one["state"] == "final"
    })
    .await;
    assert!(text(&included, "fee_per_record").parse::<f64>().unwrap() > 0.0, "{included}");
    let limit = Instant::now() + PATIENCE;
    while metric(&world, "roadstead_anchors_late").await != 0 {
        assert!(Instant::now() < limit, "late for ever: {}", report(&world).await);
        world.blocks(1).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(world.stack.server_log().contains("anchors are in time again"));
}

/// Bumps stop at the chain's `fee_max`; the anchor stays sent, and is included when a block takes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_anchor_never_pays_more_than_the_cap() {
    let mut world = World::start(Setup::EVM.by_hand().anchored()).await;
    world.fill_treasury().await;
    append(&world, 0..1).await;
    let size = wait_logged(&world, "r0").await["checkpoint"].as_u64().unwrap();
    let paid = wait_anchor(&world, size, true, in_state("final")).await;
    let rpc = world.env.evm().unwrap().rpc();
    let _: Value = rpc.call("evm_setAutomine", json!([false])).await.unwrap();
    let cap = most(rpc, &paid).await * 14 / 10;
    world.stack.kill_server();
    edit(&world.stack, "roadstead.toml", |text| {
        let text = text.replace("anchor_ms = 1500", "anchor_ms = 1500\nanchor_bump_ms = 600");
        let is_cap = |line: &&str| line.starts_with("fee_max");
        let old = text.lines().find(is_cap).unwrap().to_owned();
        text.replace(&old, &format!("fee_max = \"{cap}\""))
    });
    world.stack.start_server(&[]).await.unwrap();
    append(&world, 1..2).await;
    let size = wait_logged(&world, "r1").await["checkpoint"].as_u64().unwrap();
    let first = wait_anchor(&world, size, false, in_state("sent")).await;
    let refused = || world.stack.server_log().matches("is over the cap of").count();
    let limit = Instant::now() + PATIENCE;
    while refused() < 3 {
        assert!(Instant::now() < limit, "{}", world.stack.server_log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let is_it = |one: &Value| one["size"] == first["size"];
    let kept = wait_anchor(&world, size, false, is_it).await;
    assert_eq!(kept["state"], "sent", "{kept}");
    let offered = most(rpc, &kept).await;
    assert!(offered <= cap, "{kept} offers {offered}, more than {cap}");
    // The next step up is refused: each is at least a tenth, and what is fresh at most an eighth for a block.
    assert!(offered * 14 / 10 > cap, "{kept} offers {offered}, long before {cap}");
    let done = |one: &Value| one["size"] == first["size"] && one["state"] == "final";
    let done = wait_anchor(&world, size, true, done).await;
    assert!(text(&done, "fee").parse::<u128>().unwrap() <= cap, "{done}");
}

/// What a transaction can cost at most.
async fn most(rpc: &testnets::Rpc, anchor: &Value) -> u128 {
    let found: Value =
        rpc.call("eth_getTransactionByHash", json!([text(anchor, "tx")])).await.unwrap();
    let number =
        |name: &str| u128::from_str_radix(text(&found, name).trim_start_matches("0x"), 16).unwrap();
    number("gas") * number("maxFeePerGas")
}

/// One anchor costs the same however many records it covers.
#[tokio::test(flavor = "multi_thread")]
async fn the_cost_of_a_record_falls_as_one_over_n() {
    let world = World::start(Setup::EVM.anchored()).await;
    world.fill_treasury().await;
    append(&world, 0..1).await;
    let size = wait_logged(&world, "r0").await["checkpoint"].as_u64().unwrap();
    wait_anchor(&world, size, false, in_state("final")).await;
    append(&world, 1..2).await;
    let size = wait_logged(&world, "r1").await["checkpoint"].as_u64().unwrap();
    let few = wait_anchor(&world, size, false, in_state("final")).await;
    append(&world, 2..2_002).await;
    let size = wait_logged(&world, "r2001").await["checkpoint"].as_u64().unwrap();
    let many = wait_anchor(&world, size, false, in_state("final")).await;
    let cost = |one: &Value| {
        let fee: u128 = text(one, "fee").parse().unwrap();
        (one["records"].as_u64().unwrap(), fee)
    };
    let ((few_records, few_fee), (many_records, many_fee)) = (cost(&few), cost(&many));
    println!(
        "{}",
        json!({ "few": { "records": few_records, "fee": few_fee.to_string(), "fee_per_record": few["fee_per_record"] },
                "many": { "records": many_records, "fee": many_fee.to_string(), "fee_per_record": many["fee_per_record"] } })
    );
    assert!(few_records < 10 && many_records > 2_000, "{few} {many}");
    // The fees differ by what gas costs at the time, not by the number of records.
    assert!(many_fee < 3 * few_fee, "{few} {many}");
}
