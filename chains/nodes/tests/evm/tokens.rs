//! Tokens that arrive, honest and hostile ones.

use alloy_primitives::{U256, U512};
use chain_core::ScannedAmount;

use crate::world::{
    FeeOnTransferToken, NoReturnToken, OUTSIDER, ReturnFalseToken, SpoofToken, TestToken, World,
    brief, exact,
};

fn wide(amount: u64) -> U256 {
    U256::from(amount)
}

#[tokio::test(flavor = "multi_thread")]
async fn honest_tokens_are_credited_as_sent_and_unregistered_ones_not_at_all() {
    let world = World::new().await;
    let (_, alice) = world.key(31);
    let token = world.deploy_test_token().await;
    let look_alike = world.deploy_test_token().await;
    let minted = world.call(token, 0, &TestToken::mintCall { to: alice, value: wide(40) }).await;
    let outsider = OUTSIDER.parse().unwrap();
    world.call(token, 0, &TestToken::mintCall { to: outsider, value: wide(100) }).await;
    world.call(look_alike, 0, &TestToken::mintCall { to: alice, value: wide(999) }).await;
    let sent = world.call(token, 0, &TestToken::transferCall { to: alice, value: wide(60) }).await;
    let approve = TestToken::approveCall { spender: outsider, value: wide(5) };
    world.call(token, 0, &approve).await;
    let from = TestToken::transferFromCall { from: outsider, to: alice, value: wide(5) };
    let from = world.call(token, 0, &from).await;
    let too_much = TestToken::transferCall { to: alice, value: wide(1_000) };
    let failed = world.call(token, 0, &too_much).await;
    assert_eq!(world.receipt(&failed).await["status"], "0x0");

    let deposits = world.deposits(&[alice], &[token]).await;
    assert_eq!(
        brief(&deposits),
        [
            (minted.as_str(), "log:0", exact(40)),
            (sent.as_str(), "log:0", exact(60)),
            (from.as_str(), "log:0", exact(5)),
        ]
    );
    assert!(deposits.iter().all(|deposit| deposit.asset == world.asset(token)));
    assert_eq!(world.held(&world.asset(token), alice).await, 105);
}

/// A credited amount is what the balance grew by, whatever the contract's events and return values
/// say.
#[tokio::test(flavor = "multi_thread")]
async fn promise_20_hostile_tokens_are_credited_by_change_of_balance_alone() {
    let world = World::new().await;
    let (_, alice) = world.key(32);
    let outsider = OUTSIDER.parse().unwrap();
    let fee = world.deploy(&FeeOnTransferToken::BYTECODE).await;
    let silent = world.deploy(&NoReturnToken::BYTECODE).await;
    let lying = world.deploy(&ReturnFalseToken::BYTECODE).await;
    let spoof = world.deploy(&SpoofToken::BYTECODE).await;
    for token in [fee, silent, lying, spoof] {
        let mint = TestToken::mintCall { to: outsider, value: wide(1_000_000) };
        world.call(token, 0, &mint).await;
    }
    let transfer = TestToken::transferCall { to: alice, value: wide(1_000) };
    let with_fee = world.call(fee, 0, &transfer).await;
    let without_answer = world.call(silent, 0, &transfer).await;
    let false_answer = world.call(lying, 0, &transfer).await;
    let zero = TestToken::transferCall { to: alice, value: U256::ZERO };
    let zero = world.call(fee, 0, &zero).await;
    let spoofed = SpoofToken::spoofCall { from: outsider, to: alice, value: wide(77) };
    let spoofed = world.call(spoof, 0, &spoofed).await;
    let twice = SpoofToken::transferTwiceCall { to: alice, value: wide(500) };
    let twice = world.call(spoof, 0, &twice).await;
    for hash in [&with_fee, &without_answer, &false_answer, &zero, &spoofed, &twice] {
        assert_eq!(world.receipt(hash).await["status"], "0x1", "{hash}");
    }

    let deposits = world.deposits(&[alice], &[fee, silent, lying, spoof]).await;
    assert_eq!(
        brief(&deposits),
        [
            (with_fee.as_str(), "log:0", exact(900)),
            (without_answer.as_str(), "log:0", exact(1_000)),
            (twice.as_str(), "log:0", exact(250)),
            (twice.as_str(), "log:1", exact(250)),
        ]
    );
}

/// In one block two deposits arrive, and the contract claims that much more went out, and as much
/// came in again.
#[tokio::test(flavor = "multi_thread")]
async fn promise_20_events_that_claim_a_way_out_do_not_inflate_what_came_in() {
    let world = World::new().await;
    let (_, alice) = world.key(33);
    let outsider = OUTSIDER.parse().unwrap();
    let token = world.deploy(&SpoofToken::BYTECODE).await;
    world.hold_mining().await;
    let mint = |value| TestToken::mintCall { to: alice, value: wide(value) };
    let first = world.call(token, 0, &mint(30)).await;
    let out = SpoofToken::spoofCall { from: alice, to: outsider, value: wide(5_000) };
    world.call(token, 0, &out).await;
    let back = SpoofToken::spoofCall { from: outsider, to: alice, value: wide(42) };
    let back = world.call(token, 0, &back).await;
    let second = world.call(token, 0, &mint(12)).await;
    world.mine_together().await;

    let deposits = world.deposits(&[alice], &[token]).await;
    let total: U512 = deposits.iter().map(|deposit| total_of(&deposit.amount)).sum();
    assert_eq!(total, U512::from(42), "the balance grew by 42: {deposits:?}");
    assert_eq!(
        brief(&deposits),
        [
            (first.as_str(), "log:0", exact(15)),
            (back.as_str(), "log:0", exact(21)),
            (second.as_str(), "log:0", exact(6)),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_in_the_same_block_does_not_hide_a_deposit() {
    let world = World::new().await;
    let (key, alice) = world.key(35);
    let (_, treasury) = world.key(36);
    let token = world.deploy_test_token().await;
    world.call(token, 0, &TestToken::mintCall { to: alice, value: wide(10_000) }).await;
    world.fund(alice, 10_u128.pow(18)).await;
    let sweep = world.pay(treasury, world.asset(token), 10_000);
    let context = world.context(&key, &sweep).await;
    let sweep = world.sign(&key, &sweep, &context);

    world.hold_mining().await;
    let before = world.call(token, 0, &TestToken::mintCall { to: alice, value: wide(30) }).await;
    world.send(&sweep).await;
    let after = world.call(token, 0, &TestToken::mintCall { to: alice, value: wide(12) }).await;
    world.mine_together().await;

    assert_eq!(world.held(&world.asset(token), treasury).await, 10_000);
    let deposits = world.deposits(&[alice, treasury], &[token]).await;
    let mut found = brief(&deposits)[2..].to_vec();
    found.sort_by_key(|(_, _, amount)| total_of(amount));
    assert_eq!(
        found,
        [
            (after.as_str(), "log:0", exact(12)),
            (before.as_str(), "log:0", exact(30)),
            (sweep.id.0.as_str(), "log:0", exact(10_000)),
        ]
    );
}

fn total_of(amount: &ScannedAmount) -> U512 {
    match amount {
        ScannedAmount::Exact(amount) => U512::from(amount.minor()),
        ScannedAmount::TooLarge(text) => text.parse().unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn amounts_past_128_bits_are_told_and_not_credited() {
    let world = World::new().await;
    let (_, alice) = world.key(37);
    let token = world.deploy_test_token().await;
    let huge = U256::from(u128::MAX) + U256::from(1);
    let hash = world.call(token, 0, &TestToken::mintCall { to: alice, value: huge }).await;
    let deposits = world.deposits(&[alice], &[token]).await;
    let too_large = ScannedAmount::TooLarge("340282366920938463463374607431768211456".to_owned());
    assert_eq!(brief(&deposits), [(hash.as_str(), "log:0", too_large)]);
}
