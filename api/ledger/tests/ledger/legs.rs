//! The refusal of a transfer of several legs says which one it was.

use crate::common::Fixture;
use api_ledger::*;
use api_store::Engine;

on_both_engines! { refusals_name_the_leg }

async fn refusals_name_the_leg(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann, bob) = (f.bank().await, f.customer("ann").await, f.customer("bob").await);
    let cold = f.customer("cold").await;
    let dollars = f.open(NewAccount::new(f.tenant, "usd", "USD", Side::Credit)).await;
    f.post(&f.transfer(1, bank, ann, 100)).await.unwrap();
    let full = f.open(NewAccount::new(f.tenant, "full", "EUR", Side::Credit)).await;
    f.post(&f.transfer(2, bank, full, u128::MAX - 1_000)).await.unwrap();
    let mut tx = f.begin().await;
    f.ledger.set_frozen(&mut tx, cold, true).await.unwrap();
    let limit = VelocityLimit { window_secs: 60, count_max: None, sum_max: Some(30) };
    f.ledger.set_limit(&mut tx, ann, &limit).await.unwrap();
    tx.commit().await.unwrap();
    let leg = |debit, credit, amount| Leg { debit, credit, amount };
    let nobody = AccountId::new(9_999);
    let wrong = [
        (leg(nobody, ann, 1), Refusal::UnknownAccount),
        (leg(ann, dollars, 1), Refusal::AssetMismatch),
        (leg(ann, bank, 0), Refusal::ZeroAmount),
        (leg(ann, ann, 1), Refusal::SameAccount),
        (leg(ann, cold, 1), Refusal::AccountFrozen),
        (leg(bob, bank, 11), Refusal::InsufficientFunds),
        (leg(bank, full, 5_000), Refusal::BalanceOverflow),
        (leg(ann, bank, 21), Refusal::VelocityExceeded),
    ];
    for (n, (wrong, cause)) in (10..).zip(wrong) {
        for at in 0..3_u32 {
            let mut legs = vec![leg(ann, bob, 5), leg(ann, bob, 5)];
            legs.insert(at as usize, wrong);
            if cause == Refusal::VelocityExceeded {
                // The sum is over with the last leg that leaves, wherever the large one is.
                legs.sort_by_key(|leg| leg.amount);
            }
            let id = TransferId::from_u128(n);
            let expected = if cause == Refusal::VelocityExceeded { 2 } else { at };
            for transfer in [
                Transfer::new(f.tenant, id, legs.clone()),
                Transfer::pending(f.tenant, id, legs.clone(), None),
            ] {
                let refused = f.post(&transfer).await.unwrap_err();
                assert_eq!((refused.cause(), refused.leg()), (&cause, Some(expected)));
                assert_eq!(refused.code(), cause.code());
            }
        }
        // Alone it needs no number.
        let alone = Transfer::new(f.tenant, TransferId::from_u128(n), vec![wrong]);
        if let Err(refused) = f.post(&alone).await {
            assert_eq!(refused, cause);
        }
    }
    // A reversal begins with the last leg: what Bob got first he has spent.
    let legs = vec![leg(bank, bob, 8), leg(bank, ann, 1)];
    f.post(&Transfer::new(f.tenant, TransferId::from_u128(50), legs)).await.unwrap();
    let bobs = f.balance(bob).await.available().or_zero();
    f.post(&f.transfer(51, bob, bank, bobs)).await.unwrap();
    let id = TransferId::from_u128(52);
    let refused = f.post(&Transfer::reverse(f.tenant, id, TransferId::from_u128(50))).await;
    let refused = refused.unwrap_err();
    assert_eq!((refused.cause(), refused.leg()), (&Refusal::InsufficientFunds, Some(1)));
    f.assert_clean().await;
}
