//! Transfers about an earlier one: reserved money that is posted, voided or expires, and reversals.

use crate::common::Fixture;
use api_ledger::*;
use api_store::Engine;

on_both_engines! {
    pending_money_is_reserved_and_ends_once
    a_part_of_a_pending_transfer_is_posted
    pending_transfers_expire
    a_transfer_is_reversed_once
}

async fn pending_money_is_reserved_and_ends_once(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann) = (f.bank().await, f.customer("ann").await);
    let id = TransferId::from_u128;
    f.post(&f.transfer(1, bank, ann, 100)).await.unwrap();
    f.post(&f.pending(2, ann, bank, 60)).await.unwrap();
    let balance = f.balance(ann).await;
    assert_eq!(balance.posted().to_string(), "100");
    assert_eq!(balance.pending_out(), 60);
    assert_eq!(balance.available().to_string(), "40");
    assert_eq!(f.post(&f.transfer(3, ann, bank, 41)).await, Err(Refusal::InsufficientFunds));
    assert_eq!(f.check().await.open, 1);

    f.post(&Transfer::void_pending(f.tenant, id(4), id(2))).await.unwrap();
    assert_eq!(f.balance(ann).await.available().to_string(), "100");
    let post = Transfer::post_pending(f.tenant, id(5), id(2));
    assert_eq!(f.post(&post).await, Err(Refusal::PendingAlreadyVoided));
    let reverse = Transfer::reverse(f.tenant, id(6), id(2));
    assert_eq!(f.post(&reverse).await, Err(Refusal::NotReversible));

    f.post(&f.pending(7, ann, bank, 60)).await.unwrap();
    let post = Transfer::post_pending(f.tenant, id(8), id(7));
    f.post(&post).await.unwrap();
    assert_eq!(f.post(&post).await.unwrap().outcome, Outcome::AlreadyApplied);
    assert_eq!(f.balance(ann).await.posted().to_string(), "40");
    let void = Transfer::void_pending(f.tenant, id(9), id(7));
    assert_eq!(f.post(&void).await, Err(Refusal::PendingAlreadyPosted));
    assert_eq!(f.check().await.open, 0);
    f.assert_clean().await;
}

async fn a_part_of_a_pending_transfer_is_posted(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann) = (f.bank().await, f.customer("ann").await);
    let fees = f.open(NewAccount::new(f.tenant, "fees", "EUR", Side::Credit)).await;
    let id = TransferId::from_u128;
    f.post(&f.transfer(1, bank, ann, 100)).await.unwrap();
    let legs = vec![
        Leg { debit: ann, credit: bank, amount: 60 },
        Leg { debit: ann, credit: fees, amount: 5 },
    ];
    f.post(&Transfer::pending(f.tenant, id(2), legs, Some(60))).await.unwrap();
    let amounts = [vec![61, 5], vec![60, 6], vec![0, 0], vec![60], vec![60, 5, 0]];
    for (amounts, leg) in amounts.into_iter().zip([Some(0), Some(1), None, None, None]) {
        let post = Transfer::post_pending_part(f.tenant, id(3), id(2), amounts);
        let refused = f.post(&post).await.unwrap_err();
        assert_eq!((refused.cause(), refused.leg()), (&Refusal::PendingAmounts, leg));
    }
    let post = Transfer::post_pending_part(f.tenant, id(3), id(2), vec![59, 0]);
    f.post(&post).await.unwrap();
    assert_eq!(f.post(&post).await.unwrap().outcome, Outcome::AlreadyApplied);
    let whole = Transfer::post_pending(f.tenant, id(3), id(2));
    assert_eq!(f.post(&whole).await, Err(Refusal::IdConflict));
    let balance = f.balance(ann).await;
    assert_eq!((balance.available().or_zero(), balance.pending_out()), (41, 0));
    assert_eq!(f.balance(fees).await.totals, Totals::default());
    f.post(&Transfer::reverse(f.tenant, id(4), id(3))).await.unwrap();
    assert_eq!(f.balance(ann).await.available().or_zero(), 100);
    f.assert_clean().await;
}

async fn pending_transfers_expire(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann) = (f.bank().await, f.customer("ann").await);
    let id = TransferId::from_u128;
    f.post(&f.transfer(1, bank, ann, 100)).await.unwrap();
    let legs = vec![Leg { debit: ann, credit: bank, amount: 60 }];
    let pending = Transfer::pending(f.tenant, id(2), legs, Some(60));
    f.post(&pending).await.unwrap();
    f.sleep(59);
    assert_eq!(f.ledger.expire_pending(10).await.unwrap(), 0);
    f.sleep(1);
    assert_eq!(f.post(&pending).await.unwrap().outcome, Outcome::AlreadyApplied);
    let post = Transfer::post_pending(f.tenant, id(3), id(2));
    assert_eq!(f.post(&post).await, Err(Refusal::PendingExpired));
    assert_eq!(f.balance(ann).await.available().or_zero(), 40);
    assert_eq!(f.ledger.expire_pending(10).await.unwrap(), 1);
    assert_eq!(f.ledger.expire_pending(10).await.unwrap(), 0);
    assert_eq!(f.balance(ann).await.available().or_zero(), 100);
    assert_eq!(f.post(&post).await, Err(Refusal::PendingExpired));
    f.assert_clean().await;
}

async fn a_transfer_is_reversed_once(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann, bob) = (f.bank().await, f.customer("ann").await, f.customer("bob").await);
    let id = TransferId::from_u128;
    f.post(&f.transfer(1, bank, ann, 100)).await.unwrap();
    f.post(&f.transfer(2, ann, bob, 70)).await.unwrap();
    let reversal = Transfer::reverse(f.tenant, id(3), id(1));
    assert_eq!(f.post(&reversal).await, Err(Refusal::InsufficientFunds), "Ann has spent it");
    f.post(&Transfer::reverse(f.tenant, id(4), id(2))).await.unwrap();
    f.post(&reversal).await.unwrap();
    assert_eq!(f.post(&reversal).await.unwrap().outcome, Outcome::AlreadyApplied);
    let twice = Transfer::reverse(f.tenant, id(5), id(1));
    assert_eq!(f.post(&twice).await, Err(Refusal::AlreadyReversed));
    for account in [bank, ann, bob] {
        assert_eq!(f.balance(account).await.posted(), Net::default());
    }
    f.assert_clean().await;
}
