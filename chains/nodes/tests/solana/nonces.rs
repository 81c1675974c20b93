//! Durable nonces on a real network: the signer's sign-once rests on them.

use chain_core::{Amount, BroadcastOutcome, Node, NodeError, TxStatus};

use crate::world::{SOL, STRANGER, TREASURY, World};

#[tokio::test(flavor = "multi_thread")]
async fn promise_15_one_value_of_a_nonce_confirms_once() {
    let world = World::with_treasury().await;
    let sol = world.sol();
    let action = world.pay(STRANGER, &sol, SOL);
    let context = world.context(action.clone(), &[TREASURY]).await.unwrap();
    let first = world.signed_with(action, &context);
    let second = world.signed_with(world.pay(STRANGER, &sol, 2 * SOL), &context);

    assert_eq!(world.node.broadcast(&first).await.unwrap(), BroadcastOutcome::Accepted);
    world.settled(&first.id).await;
    let again = world.node.broadcast(&first).await.unwrap();
    assert_eq!(again, BroadcastOutcome::AlreadyKnown, "the same transaction");
    let other = world.node.broadcast(&second).await.unwrap();
    assert!(
        matches!(other, BroadcastOutcome::Rejected { .. }),
        "another over the value: {other:?}"
    );
    world.finalized(&first.id).await;
    assert_eq!(world.node.broadcast(&first).await.unwrap(), BroadcastOutcome::AlreadyKnown);
    assert_eq!(world.node.status(&second.id).await.unwrap(), TxStatus::NotFound);
    assert_eq!(world.balance(STRANGER, &sol).await, SOL);

    let next = world.context(world.pay(STRANGER, &sol, SOL), &[TREASURY]).await.unwrap();
    assert_ne!(next.nonce, context.nonce, "the value has moved on");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_30_of_two_sent_at_once_one_confirms() {
    let world = World::with_treasury().await;
    let sol = world.sol();
    let context = world.context(world.pay(STRANGER, &sol, SOL), &[TREASURY]).await.unwrap();
    let one = world.signed_with(world.pay(STRANGER, &sol, SOL), &context);
    let two = world.signed_with(world.pay(STRANGER, &sol, 2 * SOL), &context);
    let sent = tokio::join!(world.node.broadcast(&one), world.node.broadcast(&two));
    assert!(sent.0.is_ok() && sent.1.is_ok(), "{sent:?}");
    world.solana().mine(60).await.unwrap();
    let mut confirmed = 0;
    for tx in [&one, &two] {
        let status = world.node.status(&tx.id).await.unwrap();
        confirmed += u32::from(matches!(status, TxStatus::Included { success: true, .. }));
    }
    assert_eq!(confirmed, 1);
    let paid = world.balance(STRANGER, &sol).await;
    assert!(paid == SOL || paid == 2 * SOL, "{paid}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_account_is_created_once_and_outlives_blockhashes() {
    let world = World::start().await;
    world.fund(TREASURY, 10 * SOL).await;
    let create = world.create_nonce();
    let refused = world.context(world.pay(STRANGER, &world.sol(), SOL), &[TREASURY]).await;
    assert!(matches!(refused, Err(NodeError::NotAvailable(_))), "no nonce account: {refused:?}");

    let context = world.context(create.clone(), &[TREASURY]).await.unwrap();
    assert_eq!(context.rent_exempt_lamports, Amount::from(chain_solana::NONCE_ACCOUNT_RENT));
    let created = world.signed_with(create.clone(), &context);
    assert_eq!(world.node.broadcast(&created).await.unwrap(), BroadcastOutcome::Accepted);
    assert_eq!(world.cost(&created.id).await, 5_000 + u128::from(chain_solana::NONCE_ACCOUNT_RENT));

    let mut later = context;
    later.recent_blockhash =
        world.context(create.clone(), &[TREASURY]).await.unwrap().recent_blockhash;
    let again = world.signed_with(create, &later);
    assert_ne!(again.id, created.id);
    let again = world.node.broadcast(&again).await.unwrap();
    assert!(matches!(again, BroadcastOutcome::Rejected { .. }), "{again:?}");

    // Signed now, sent long after every blockhash of today has expired (150 blocks).
    let payment = world.signed(world.pay(STRANGER, &world.sol(), SOL), &[TREASURY]).await;
    world.solana().mine(200).await.unwrap();
    assert_eq!(world.node.broadcast(&payment).await.unwrap(), BroadcastOutcome::Accepted);
    world.cost(&payment.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_of_another_authority_is_refused() {
    let world = World::with_treasury().await;
    world.fund(STRANGER, SOL).await;
    let refused = world.context(world.pay(TREASURY, &world.sol(), SOL / 2), &[STRANGER]).await;
    assert!(matches!(refused, Err(NodeError::NotAvailable(_))), "{refused:?}");
}
