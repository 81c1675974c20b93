//! Many clients at once, on both databases.

use api_store::Engine;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::http::{Answer, Call};
use crate::world::{ETH, Setup, World, items, outside, text, unique, withdrawal};

const CLIENTS: usize = 64;

/// Sends all calls at once.
pub(crate) async fn at_once(calls: Vec<Call>) -> Vec<Answer> {
    let mut running = JoinSet::new();
    for call in calls {
        running.spawn(async move { call.send().await });
    }
    running.join_all().await
}

fn order(world: &World, path: &str, body: &Value) -> Call {
    Call::new(world, "post", path).key(&world.tenant_key).once(&unique()).json(body)
}

fn payout(world: &World, customer: &str, amount: u128) -> Call {
    order(world, "/v1/withdrawals", &withdrawal(customer, "ETH", amount, &outside("ETH")))
}

fn transfer(world: &World, from: &str, to: &str, amount: u128) -> Call {
    let body = json!({ "from": from, "to": to, "asset": "ETH", "amount": amount.to_string() });
    order(world, "/v1/transfers", &body)
}

fn assert_one_won(answers: &[Answer]) {
    let won = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(won, 1, "{answers:?}");
    for lost in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!((lost.status, lost.code()), (409, "insufficient_funds"), "{lost:?}");
    }
}

async fn the_whole_balance_goes_once(engine: Engine) {
    let world = World::start(Setup::EVM.on(engine)).await;
    let [alice, bob, carol] = {
        let alice = world.funded_customer("alice", "ETH", ETH).await;
        let bob = world.funded_customer("bob", "ETH", ETH).await;
        [alice, bob, world.funded_customer("carol", "ETH", ETH).await]
    };
    let dave = world.customer("dave").await;
    let payouts = (0..CLIENTS).map(|_| payout(&world, &alice, ETH)).collect();
    assert_one_won(&at_once(payouts).await);
    let transfers = (0..CLIENTS).map(|_| transfer(&world, &bob, &dave, ETH)).collect();
    assert_one_won(&at_once(transfers).await);
    let mixed = (0..CLIENTS).map(|number| {
        if number % 2 == 0 {
            payout(&world, &carol, ETH)
        } else {
            transfer(&world, &carol, &dave, ETH)
        }
    });
    assert_one_won(&at_once(mixed.collect()).await);
    for customer in [&alice, &bob, &carol] {
        assert_eq!(world.available(customer, "ETH").await, 0);
    }
    let paid = items(&world.tenant.get("/v1/withdrawals").await.unwrap()).len() as u128;
    assert_eq!(world.available(&dave, "ETH").await, (3 - paid) * ETH);
    let check = world.operator.get("/v1/treasury/ledger-check").await.unwrap();
    assert_eq!(check["clean"], true, "{check}");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_27_of_64_clients_who_take_the_whole_balance_one_gets_it_on_sqlite() {
    the_whole_balance_goes_once(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_27_of_64_clients_who_take_the_whole_balance_one_gets_it_on_postgresql() {
    the_whole_balance_goes_once(Engine::Postgres).await;
}

/// Money that goes around in a circle is neither made nor lost, and nobody falls below zero.
async fn a_circle_keeps_its_sum(engine: Engine) {
    const SHARE: u128 = ETH / 4;
    let world = World::start(Setup::EVM.on(engine)).await;
    let mut circle = vec![world.funded_customer("customer-0", "ETH", ETH).await];
    for number in 1..4 {
        circle.push(world.customer(&format!("customer-{number}")).await);
    }
    let calls = (0..CLIENTS).map(|number| {
        let (from, to) = (&circle[number % 4], &circle[(number + 1) % 4]);
        transfer(&world, from, to, SHARE)
    });
    for answer in at_once(calls.collect()).await {
        assert!(answer.status == 201 || answer.code() == "insufficient_funds", "{answer:?}");
    }
    let mut sum = 0;
    for customer in &circle {
        let balance = world.available(customer, "ETH").await;
        assert_eq!(balance % SHARE, 0);
        sum += balance;
    }
    assert_eq!(sum, ETH);
    let check = world.operator.get("/v1/treasury/ledger-check").await.unwrap();
    assert_eq!(check["clean"], true, "{check}");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_26_transfers_in_a_circle_keep_their_sum_on_sqlite() {
    a_circle_keeps_its_sum(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_26_transfers_in_a_circle_keep_their_sum_on_postgresql() {
    a_circle_keeps_its_sum(Engine::Postgres).await;
}

async fn things_made_at_once_are_all_different(engine: Engine) {
    let world = World::start(Setup::EVM.on(engine)).await;
    let new = |body: Value, path: &str| {
        Call::new(&world, "post", path).key(&world.tenant_key).json(&body)
    };
    let customers =
        (0..16).map(|number| new(json!({ "reference": format!("c-{number}") }), "/v1/customers"));
    let answers = at_once(customers.collect()).await;
    assert!(answers.iter().all(|answer| answer.status == 201), "{answers:?}");
    let alice = text(&answers[0].body, "id");
    // Each customer has keys of its own: the first address of two customers is never the same.
    let path = format!("/v1/customers/{alice}/addresses");
    let own = (0..16).map(|_| new(json!({ "chain": "evm" }), &path));
    let others = answers[1..].iter().map(|answer| {
        let path = format!("/v1/customers/{}/addresses", text(&answer.body, "id"));
        new(json!({ "chain": "evm" }), &path)
    });
    let answers = at_once(own.chain(others).collect()).await;
    assert!(answers.iter().all(|answer| answer.status == 201), "{answers:?}");
    let mut addresses: Vec<String> =
        answers.iter().map(|answer| text(&answer.body, "address")).collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 31, "an address was given twice: {addresses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_and_addresses_made_at_once_are_all_different_on_sqlite() {
    things_made_at_once_are_all_different(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_and_addresses_made_at_once_are_all_different_on_postgresql() {
    things_made_at_once_are_all_different(Engine::Postgres).await;
}
