//! Payouts and sweeps.

use chain_core::{
    Action, Amount, AnchorCommitment, BroadcastOutcome, BuildError, Node, NodeError, TxId, TxStatus,
};

use crate::world::{CUSTOMER, SOL, STRANGER, TREASURY, World};

#[tokio::test(flavor = "multi_thread")]
async fn sol_is_paid_to_new_and_existing_wallets() {
    let world = World::with_treasury().await;
    let sol = world.sol();
    let before = world.balance(TREASURY, &sol).await;
    let mut fees = 0;
    for amount in [890_880, 1] {
        let action = world.pay(STRANGER, &sol, amount);
        let context = world.context(action.clone(), &[TREASURY]).await.unwrap();
        assert_eq!(context.recipient_is_new, amount > 1);
        let tx = world.run(action, &[TREASURY], false).await;
        fees += world.cost(&tx.id).await;
    }
    assert_eq!(fees, 10_000);
    assert_eq!(world.balance(STRANGER, &sol).await, 890_881);
    assert_eq!(world.balance(TREASURY, &sol).await, before - 890_881 - fees);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_network_would_refuse_is_refused_before() {
    let world = World::with_treasury().await;
    let dust = world.context(world.pay(STRANGER, &world.sol(), 890_879), &[TREASURY]).await;
    let intent = |action| chain_core::Intent {
        id: chain_core::IntentId(uuid::Uuid::nil()),
        chain: world.node.chain().clone(),
        purpose: chain_core::Purpose::Withdrawal,
        action,
        fee_max: Amount::new(5_000_000),
    };
    let refused =
        chain_solana::build(&intent(world.pay(STRANGER, &world.sol(), 890_879)), &dust.unwrap());
    assert!(matches!(refused, Err(BuildError::Dust { .. })), "{refused:?}");

    // A mint lies on the curve; only its account shows that it is no wallet.
    let token = world.token(6).await;
    let mint = chain_core::UncheckedAddress(token.token().unwrap().to_owned());
    let mint = chain_solana::check_address(world.node.chain(), &mint).unwrap();
    for asset in [world.sol(), token.clone()] {
        let payment = chain_core::Payment { to: mint.clone(), asset, amount: Amount::new(SOL) };
        let action = chain_core::Action::Pay { payments: vec![payment] };
        let refused = world.context(action, &[TREASURY]).await;
        assert!(matches!(refused, Err(NodeError::NotAvailable(_))), "{refused:?}");
    }

    let nothing = world.context(world.pay(STRANGER, &token, 1), &[TREASURY]).await.unwrap();
    assert_eq!((nothing.balance, nothing.token_decimals), (Amount::ZERO, Some(6)));
    let refused = chain_solana::build(&intent(world.pay(STRANGER, &token, 1)), &nothing);
    assert!(matches!(refused, Err(BuildError::Insufficient { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_paid_to_new_and_existing_accounts() {
    let world = World::with_treasury().await;
    let token = world.token(6).await;
    world.mint(&token, TREASURY, 5_000_000).await;
    assert_eq!(world.node.mint(&token).await.unwrap().decimals, 6);
    let mut costs = Vec::new();
    for amount in [1_000_000, 1] {
        let tx = world.run(world.pay(STRANGER, &token, amount), &[TREASURY], false).await;
        costs.push(world.cost(&tx.id).await);
    }
    let rent = u128::from(chain_solana::TOKEN_ACCOUNT_RENT);
    assert_eq!(costs, [5_000 + rent, 5_000], "the account is created once");
    assert_eq!(world.balance(STRANGER, &token).await, 1_000_001);
    assert_eq!(world.balance(TREASURY, &token).await, 3_999_999);
}

/// Networks change what their programs cost; a margin of one half must stay.
#[tokio::test(flavor = "multi_thread")]
async fn compute_units_stay_well_under_the_limit() {
    let world = World::with_treasury().await;
    let (sol, token) = (world.sol(), world.token(6).await);
    world.mint(&token, TREASURY, 5).await;
    let commitment = AnchorCommitment { origin: [1; 32], size: u64::MAX, checkpoint: [2; 32] };
    for action in [
        world.pay(STRANGER, &sol, SOL),
        world.pay(STRANGER, &token, 1),
        world.pay(STRANGER, &token, 1),
        Action::Anchor { commitment, contract: None },
    ] {
        let limit = chain_solana::compute_unit_limit(&action);
        let tx = world.run(action.clone(), &[TREASURY], false).await;
        world.settled(&tx.id).await;
        let used = world.units(&tx.id).await;
        assert!(used * 2 <= u64::from(limit), "{used} of {limit}: {action:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lamports_on_a_future_token_account_do_not_stop_a_payout() {
    let world = World::with_treasury().await;
    let token = world.token(0).await;
    world.mint(&token, TREASURY, 9).await;
    let account = chain_solana::token_account(&world.wallet(STRANGER), &token).unwrap();
    world.solana().fund(account.as_str(), Amount::new(1_000_000)).await.unwrap();
    let action = world.pay(STRANGER, &token, 9);
    assert!(world.context(action.clone(), &[TREASURY]).await.unwrap().recipient_is_new);
    let tx = world.run(action, &[TREASURY], false).await;
    let rent = u128::from(chain_solana::TOKEN_ACCOUNT_RENT);
    assert_eq!(world.cost(&tx.id).await, 5_000 + rent - 1_000_000);
    assert_eq!(world.balance(STRANGER, &token).await, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_empties_the_customers_address_and_the_treasury_pays_the_fee() {
    let world = World::with_treasury().await;
    let (sol, token) = (world.sol(), world.token(9).await);
    world.mint(&token, CUSTOMER, 777).await;
    world.fund(CUSTOMER, 2 * SOL).await;
    for (asset, all) in [(&token, 777), (&sol, 2 * SOL)] {
        let held = world.balance(TREASURY, &sol).await;
        let signers = [TREASURY, CUSTOMER];
        let context = world.context(world.pay(TREASURY, asset, 1), &signers).await.unwrap();
        assert_eq!(chain_solana::sweepable(&context, asset), Amount::new(all));
        let tx = world.run(world.pay(TREASURY, asset, all), &signers, false).await;
        let cost = world.cost(&tx.id).await;
        let created = if asset.is_native() { 0 } else { chain_solana::TOKEN_ACCOUNT_RENT };
        assert_eq!(cost, 10_000 + u128::from(created));
        assert_eq!(world.balance(CUSTOMER, asset).await, 0);
        let gained = if asset.is_native() { all } else { 0 };
        assert_eq!(world.balance(TREASURY, &sol).await, held + gained - cost);
    }
    assert_eq!(world.balance(TREASURY, &token).await, 777);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_can_give_away_all_that_it_has() {
    let world = World::with_treasury().await;
    world.fund(STRANGER, SOL).await;
    let sol = world.sol();
    let context = world.context(world.pay(STRANGER, &sol, 1), &[TREASURY]).await.unwrap();
    let all = chain_solana::sweepable(&context, &sol).minor();
    let tx = world.run(world.pay(STRANGER, &sol, all), &[TREASURY], false).await;
    assert_eq!(world.cost(&tx.id).await, 5_000);
    assert_eq!(world.balance(TREASURY, &sol).await, 0);
    assert_eq!(world.balance(STRANGER, &sol).await, SOL + all);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_transaction_is_not_found_and_a_broken_one_rejected() {
    let world = World::with_treasury().await;
    let mut tx = world.signed(world.pay(STRANGER, &world.sol(), SOL), &[TREASURY]).await;
    assert_eq!(world.node.status(&tx.id).await.unwrap(), TxStatus::NotFound);
    let last = tx.bytes.len() - 1;
    tx.bytes[last] ^= 1;
    let refused = world.node.broadcast(&tx).await.unwrap();
    assert!(matches!(refused, BroadcastOutcome::Rejected { .. }), "{refused:?}");
    let nonsense = world.node.status(&TxId("no signature".to_owned())).await;
    assert!(matches!(nonsense, Err(NodeError::Refused(_))), "{nonsense:?}");
}
