//! Native coin that arrives, from outside and from inside contracts.

use alloy_primitives::Bytes;
use alloy_sol_types::SolCall;

use crate::world::{Payer, World, brief, exact};

#[tokio::test(flavor = "multi_thread")]
async fn native_payments_are_seen_once_and_only_at_watched_addresses() {
    let world = World::new().await;
    let (_, alice) = world.key(11);
    let (_, bob) = world.key(12);
    let first = world.fund(alice, 5).await;
    world.fund(bob, 6).await;
    let second = world.fund(alice, 7).await;
    let nothing = world.submit(Some(alice), 0, Bytes::new()).await;

    let deposits = world.deposits(&[alice], &[]).await;
    assert_eq!(
        brief(&deposits),
        [(first.as_str(), "native", exact(5)), (second.as_str(), "native", exact(7))]
    );
    assert!(deposits.iter().all(|deposit| deposit.tx.0 != nothing && !deposit.coinbase));
    assert_eq!(deposits[0].asset, world.chain.native());
    assert_eq!(deposits[0].to.as_str(), alice.to_checksum(None));
    assert!(world.deposits(&[], &[]).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_20_payments_from_inside_contracts_are_seen_and_undone_ones_are_not() {
    let world = World::new().await;
    assert!(world.node.sees_internal_payments());
    let (_, alice) = world.key(21);
    let (_, bob) = world.key(22);
    let payer = world.deploy(&Payer::BYTECODE).await;

    let split = Payer::splitCall { first: alice, second: bob };
    let split = world.call(payer, 101, &split).await;
    let destroyed = world.call(payer, 30, &Payer::payByDestructionCall { to: alice }).await;
    let reverted = world.call(payer, 40, &Payer::payAndRevertCall { to: alice }).await;
    let caught = world.call(payer, 50, &Payer::payAndCatchCall { to: alice }).await;
    for (hash, status) in
        [(&split, "0x1"), (&destroyed, "0x1"), (&reverted, "0x0"), (&caught, "0x1")]
    {
        assert_eq!(world.receipt(hash).await["status"], status, "{hash}");
    }

    let deposits = world.deposits(&[alice, bob], &[]).await;
    assert_eq!(
        brief(&deposits),
        [
            (split.as_str(), "trace:0", exact(50)),
            (split.as_str(), "trace:1", exact(51)),
            (destroyed.as_str(), "trace:0.0", exact(30)),
        ]
    );
    assert_eq!(world.held(&world.chain.native(), alice).await, 80);
    assert_eq!(world.held(&world.chain.native(), bob).await, 51);
}

/// JSON of 128 levels is where a careless reader stops.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_from_far_below_neither_hides_nor_stops_the_scan() {
    let world = World::new().await;
    let (_, alice) = world.key(23);
    let payer = world.deploy(&Payer::BYTECODE).await;
    let depth = alloy_primitives::U256::from(200);
    let call = Payer::payFromBelowCall { to: alice, depth }.abi_encode();
    let deep = world.submit_with_gas(25_000_000, Some(payer), 9, call.into()).await;
    assert_eq!(world.receipt(&deep).await["status"], "0x1");
    let deposits = world.deposits(&[alice], &[]).await;
    assert_eq!(deposits.len(), 1);
    assert_eq!(deposits[0].amount, exact(9));
    assert_eq!(deposits[0].position, format!("trace:{}", ["0"; 201].join(".")));
}
