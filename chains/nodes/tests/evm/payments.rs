//! From context to a confirmed payment.

use alloy_primitives::U256;
use chain_core::{
    Amount, BroadcastOutcome, Context, EvmContext, FeeTier, Node, NodeError, SignedTx, TxId,
    TxStatus,
};

use crate::world::{NoReturnToken, OUTSIDER, Payer, TestToken, World};

const ETHER: u128 = 10_u128.pow(18);

async fn fee_of(world: &World, tx: &SignedTx, expected_success: bool) -> u128 {
    match world.node.status(&tx.id).await.unwrap() {
        TxStatus::Included { success, fee, confirmations, .. } => {
            assert_eq!(success, expected_success);
            assert!(confirmations >= 1);
            fee.minor()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn native_coin_is_paid_once_and_costs_what_the_status_says() {
    let world = World::new().await;
    let (key, from) = world.key(51);
    let (_, to) = world.key(52);
    world.fund(from, ETHER).await;
    let action = world.pay_native(to, 1_000);
    let context = world.context(&key, &action).await;
    assert_eq!((context.nonce, context.gas_limit), (0, 21_000));
    assert_eq!(context.balance, Amount::new(ETHER));
    assert_eq!(context.token_balance, None);
    let signed = world.sign(&key, &action, &context);

    assert_eq!(world.node.status(&signed.id).await.unwrap(), TxStatus::NotFound);
    world.send(&signed).await;
    assert_eq!(world.node.broadcast(&signed).await.unwrap(), BroadcastOutcome::AlreadyKnown);
    let fee = fee_of(&world, &signed, true).await;
    let native = world.chain.native();
    assert_eq!(world.held(&native, to).await, 1_000);
    assert_eq!(world.held(&native, from).await, ETHER - 1_000 - fee);
    assert!(fee <= u128::from(context.gas_limit) * context.max_fee_per_gas);

    world.evm().mine(5).await.unwrap();
    let status = world.node.status(&signed.id).await.unwrap();
    let TxStatus::Included { confirmations, finalized, .. } = status else { panic!() };
    assert_eq!((confirmations, finalized), (6, true));
    assert_eq!(world.context(&key, &action).await.nonce, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_paid_also_where_the_contract_returns_nothing() {
    let world = World::new().await;
    let (key, from) = world.key(53);
    let (_, to) = world.key(54);
    world.fund(from, ETHER).await;
    for token in [world.deploy_test_token().await, world.deploy(&NoReturnToken::BYTECODE).await] {
        let asset = world.asset(token);
        let mint = TestToken::mintCall { to: from, value: U256::from(900) };
        world.call(token, 0, &mint).await;
        let action = world.pay(to, asset.clone(), 250);
        let context = world.context(&key, &action).await;
        assert_eq!(context.token_balance, Some(Amount::new(900)));
        let signed = world.sign(&key, &action, &context);
        world.send(&signed).await;
        fee_of(&world, &signed, true).await;
        assert_eq!((world.held(&asset, from).await, world.held(&asset, to).await), (650, 250));
    }
}

/// A deposit address that holds tokens and no coin is asked about before it is fuelled.
#[tokio::test(flavor = "multi_thread")]
async fn gas_is_estimated_for_a_sender_without_coin() {
    let world = World::new().await;
    let (key, from) = world.key(55);
    let (_, treasury) = world.key(56);
    let token = world.deploy_test_token().await;
    let mint = TestToken::mintCall { to: from, value: U256::from(900) };
    world.call(token, 0, &mint).await;
    let asset = world.asset(token);
    let context = world.context(&key, &world.pay(treasury, asset.clone(), 900)).await;
    assert_eq!(context.balance, Amount::ZERO);
    assert!((40_000..100_000).contains(&context.gas_limit), "{}", context.gas_limit);

    let fuel = u128::from(context.gas_limit) * context.max_fee_per_gas;
    world.fund(from, fuel).await;
    let fuelled = EvmContext { balance: Amount::new(fuel), ..context };
    let all = chain_evm::sweepable(&fuelled, &asset).unwrap();
    let signed = world.sign(&key, &world.pay(treasury, asset.clone(), all.minor()), &fuelled);
    world.send(&signed).await;
    fee_of(&world, &signed, true).await;
    assert_eq!(world.held(&asset, treasury).await, 900);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_of_native_coin_takes_all_but_the_fee() {
    let world = World::new().await;
    let (key, from) = world.key(57);
    let (_, treasury) = world.key(58);
    world.fund(from, ETHER).await;
    // More than there is, because the amount is not known before the fee is.
    let context = world.context(&key, &world.pay_native(treasury, u128::MAX)).await;
    let native = world.chain.native();
    let all = chain_evm::sweepable(&context, &native).unwrap();
    let signed = world.sign(&key, &world.pay_native(treasury, all.minor()), &context);
    world.send(&signed).await;
    let fee = fee_of(&world, &signed, true).await;
    assert_eq!(world.held(&native, treasury).await, all.minor());
    assert_eq!(world.held(&native, from).await, ETHER - all.minor() - fee);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nonce_is_the_larger_of_the_chains_and_ours() {
    let world = World::new().await;
    let (key, from) = world.key(59);
    let (_, to) = world.key(60);
    world.fund(from, ETHER).await;
    let action = world.pay_native(to, 1);
    world.perform(&key, &action).await;
    for (floor, nonce) in [(0, 1), (1, 1), (7, 7)] {
        let request =
            chain_core::ContextRequest { nonce_floor: floor, ..world.request(&key, &action) };
        let Context::Evm(context) = world.node.context(&request).await.unwrap() else { panic!() };
        assert_eq!(context.nonce, nonce, "floor {floor}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faster_tiers_pay_no_less() {
    let world = World::new().await;
    let (key, from) = world.key(61);
    let (_, to) = world.key(62);
    world.fund(from, ETHER).await;
    let action = world.pay_native(to, 1);
    let mut last = 0;
    for tier in [FeeTier::Slow, FeeTier::Normal, FeeTier::Fast] {
        let request = chain_core::ContextRequest { tier, ..world.request(&key, &action) };
        let Context::Evm(context) = world.node.context(&request).await.unwrap() else { panic!() };
        assert!(context.max_fee_per_gas > last);
        assert!(context.max_priority_fee_per_gas <= context.max_fee_per_gas);
        last = context.max_fee_per_gas;
    }
}

/// What is in the pool is pending; a second transaction at its nonce is refused while it pays too
/// little, and replaces it when it pays enough. Then the first is refused, never called known.
#[tokio::test(flavor = "multi_thread")]
async fn only_one_of_two_transactions_at_a_nonce_confirms() {
    let world = World::new().await;
    let (key, from) = world.key(63);
    let (_, to) = world.key(64);
    world.fund(from, ETHER).await;
    let action = world.pay_native(to, 100);
    let context = world.context(&key, &action).await;
    let first = world.sign(&key, &action, &context);
    world.hold_mining().await;
    world.send(&first).await;
    assert_eq!(world.node.status(&first.id).await.unwrap(), TxStatus::Pending);

    let cheaper = EvmContext { max_fee_per_gas: context.max_fee_per_gas - 1, ..context.clone() };
    let cheaper = world.sign(&key, &action, &cheaper);
    let outcome = world.node.broadcast(&cheaper).await.unwrap();
    assert!(matches!(outcome, BroadcastOutcome::Rejected { .. }), "{outcome:?}");

    let bumped = chain_evm::replacement(&world.unsigned(&action, &context), &context).unwrap();
    let bumped = world.sign(&key, &action, &bumped);
    assert_eq!(world.node.broadcast(&bumped).await.unwrap(), BroadcastOutcome::Accepted);
    world.mine_together().await;
    fee_of(&world, &bumped, true).await;
    assert_eq!(world.node.status(&first.id).await.unwrap(), TxStatus::NotFound);
    let outcome = world.node.broadcast(&first).await.unwrap();
    assert!(matches!(outcome, BroadcastOutcome::Rejected { .. }), "{outcome:?}");
    assert_eq!(world.held(&world.chain.native(), to).await, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_fail_or_is_not_there_has_no_context() {
    let world = World::new().await;
    let (key, from) = world.key(65);
    let (_, to) = world.key(66);
    let nothing = world.request(&key, &world.pay_native(to, 1));
    let error = world.node.context(&nothing).await.unwrap_err();
    assert!(matches!(error, NodeError::NotAvailable(_)), "{error:?}");
    world.fund(from, ETHER).await;
    let no_contract = world.request(&key, &world.pay(to, world.asset(to), 1));
    let error = world.node.context(&no_contract).await.unwrap_err();
    assert!(matches!(error, NodeError::NotAvailable(_)), "{error:?}");
    let payer = world.deploy(&Payer::BYTECODE).await;
    let no_receiver = world.request(&key, &world.pay_native(payer, 1));
    let error = world.node.context(&no_receiver).await.unwrap_err();
    assert!(matches!(error, NodeError::Refused(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_transaction_is_told_as_failed_with_its_fee() {
    let world = World::new().await;
    let (key, from) = world.key(67);
    let (_, to) = world.key(68);
    world.fund(from, ETHER).await;
    let token = world.deploy_test_token().await;
    let mint = TestToken::mintCall { to: from, value: U256::from(10) };
    world.call(token, 0, &mint).await;
    let asset = world.asset(token);
    let context = world.context(&key, &world.pay(to, asset.clone(), 10)).await;
    // The contract refuses it, whatever the context believes.
    let lying = EvmContext { token_balance: Some(Amount::new(11)), ..context };
    let signed = world.sign(&key, &world.pay(to, asset.clone(), 11), &lying);
    world.send(&signed).await;
    let fee = fee_of(&world, &signed, false).await;
    assert!(fee > 0);
    assert_eq!(world.held(&world.chain.native(), from).await, ETHER - fee);
    assert_eq!(world.held(&asset, to).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn balances_leave_out_what_is_empty_and_ids_are_checked() {
    let world = World::new().await;
    let (_, empty) = world.key(69);
    let addresses = [world.address(OUTSIDER), world.address(&empty.to_checksum(None))];
    let balances = world.node.balances(&world.chain.native(), &addresses).await.unwrap();
    assert_eq!(balances.len(), 1);
    assert!(balances.contains_key(OUTSIDER));
    let nonsense = world.node.status(&TxId("0x12".to_owned())).await;
    assert!(matches!(nonsense, Err(NodeError::Malformed(_))));
    let chain = world.chain.clone();
    let wrong_id = SignedTx { chain, id: TxId(format!("0x{}", "11".repeat(32))), bytes: vec![2] };
    let outcome = world.node.broadcast(&wrong_id).await;
    assert!(matches!(outcome, Err(NodeError::Malformed(_))));
}
