//! Posting, on both engines.

use crate::common::Fixture;
use api_ledger::*;
use api_store::{Engine, args};

on_both_engines! {
    money_moves_and_the_same_request_is_answered_again
    bad_requests_have_their_own_codes
    promise_26_entries_balance_and_are_immutable
    a_group_is_all_or_nothing
    a_batch_answers_each
    what_was_done_is_known_again
    promise_25_the_full_128_bits_are_kept_and_no_more
    a_dry_run_answers_the_same_and_writes_nothing
    the_caller_owns_the_transaction
}

async fn money_moves_and_the_same_request_is_answered_again(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann) = (f.bank().await, f.customer("ann").await);
    let top_up = f.transfer(1, bank, ann, 1000).with_code("top_up").with_reference("r1");
    let first = f.post(&top_up).await.unwrap();
    assert_eq!(first.outcome, Outcome::Executed);
    f.sleep(3600);
    let again = f.post(&top_up).await.unwrap();
    assert_eq!(again, Posted { outcome: Outcome::AlreadyApplied, ..first });
    assert_eq!(f.balance(ann).await.available().to_string(), "1000");
    assert_eq!(f.balance(bank).await.posted().to_string(), "1000");
    let other_bodies = [
        f.transfer(1, bank, ann, 1001).with_code("top_up").with_reference("r1"),
        f.transfer(1, bank, ann, 1000).with_code("top_up").with_reference("r2"),
        f.transfer(1, bank, ann, 1000).with_code("other").with_reference("r1"),
        f.transfer(1, ann, bank, 1000).with_code("top_up").with_reference("r1"),
        f.pending(1, bank, ann, 1000).with_code("top_up").with_reference("r1"),
        top_up.clone().with_effective_on(jiff::civil::date(2026, 2, 1)),
    ];
    for other in other_bodies {
        assert_eq!(f.post(&other).await, Err(Refusal::IdConflict), "{other:?}");
    }
    let mut tx = f.begin().await;
    let stored = f.ledger.transfer(&mut tx, f.tenant, top_up.id).await.unwrap().unwrap();
    assert_eq!((stored.code.as_str(), stored.reference.as_str()), ("top_up", "r1"));
    assert_eq!(stored.legs, [StoredLeg { debit: bank, credit: ann, amount: 1000 }]);
    tx.rollback().await.unwrap();
    f.assert_clean().await;
}

async fn bad_requests_have_their_own_codes(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann) = (f.bank().await, f.customer("ann").await);
    let dollars = f.open(NewAccount::new(f.tenant, "bank", "USD", Side::Debit)).await;
    let nobody = AccountId::new(999_999);
    let legs = |count| vec![Leg { debit: bank, credit: ann, amount: 1 }; count];
    let id = TransferId::from_u128;
    let cases = [
        (f.transfer(1, bank, nobody, 5), Refusal::UnknownAccount),
        (f.transfer(2, dollars, ann, 5), Refusal::AssetMismatch),
        (f.transfer(3, bank, ann, 0), Refusal::ZeroAmount),
        (f.transfer(4, ann, ann, 5), Refusal::SameAccount),
        (f.transfer(5, ann, bank, 5), Refusal::InsufficientFunds),
        (Transfer::new(f.tenant, id(6), vec![]), Refusal::LegCount),
        (Transfer::new(f.tenant, id(7), legs(101)), Refusal::LegCount),
        (f.transfer(8, bank, ann, 5).with_code("a\0b"), Refusal::InvalidText),
        (f.transfer(9, bank, ann, 5).with_reference(&"x".repeat(257)), Refusal::InvalidText),
        (Transfer::post_pending(f.tenant, id(10), id(99)), Refusal::PendingNotFound),
        (Transfer::void_pending(f.tenant, id(11), id(99)), Refusal::PendingNotFound),
        (Transfer::reverse(f.tenant, id(12), id(99)), Refusal::OriginalNotFound),
        (
            f.transfer(13, bank, ann, 5).with_not_after(jiff::Timestamp::UNIX_EPOCH),
            Refusal::TooLate,
        ),
    ];
    for (transfer, refusal) in cases {
        assert_eq!(f.post(&transfer).await, Err(refusal), "{transfer:?}");
    }
    let at_most = Transfer::new(f.tenant, id(20), legs(100));
    f.post(&at_most).await.unwrap();
    assert_eq!(f.balance(ann).await.available().to_string(), "100");
    f.assert_clean().await;
}

async fn promise_26_entries_balance_and_are_immutable(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann) = (f.bank().await, f.customer("ann").await);
    f.post(&f.transfer(1, bank, ann, 1000)).await.unwrap();
    let forbidden = [
        "UPDATE ledger_transfers SET reference = 'x'",
        "DELETE FROM ledger_transfers",
        "UPDATE ledger_commits SET recorded_at = 0",
        "DELETE FROM ledger_commits",
        "UPDATE ledger_accounts SET asset = 'USD'",
        "DELETE FROM ledger_accounts",
    ];
    for sql in forbidden {
        let mut tx = f.begin().await;
        let error = tx.execute(sql, args![]).await.unwrap_err();
        assert!(error.to_string().contains("immutable"), "{sql}: {error}");
    }
    let unbalanced = [
        "INSERT INTO ledger_transfers (seq, book, id, leg, kind, debit, credit, amount, code,
             reference) SELECT seq + 1, book, id, 1, 1, debit, debit, amount, '', ''
         FROM ledger_transfers",
        "INSERT INTO ledger_transfers (seq, book, id, leg, kind, debit, credit, amount, code,
             reference) SELECT seq + 1, book, id, 0, 1, debit, credit, amount, '', ''
         FROM ledger_transfers",
    ];
    for sql in unbalanced {
        assert!(f.begin().await.execute(sql, args![]).await.is_err(), "{sql}");
    }
    f.assert_clean().await;

    f.ledger.fold().await.unwrap();
    let mut tx = f.begin().await;
    let sql = "UPDATE ledger_balances SET credits_posted = debits_posted WHERE account = $1";
    tx.execute(sql, args![ann.get()]).await.unwrap();
    tx.commit().await.unwrap();
    let difference = f.check().await.difference.unwrap();
    assert_eq!(difference.place, format!("account {ann}"), "{difference}");
}

async fn a_group_is_all_or_nothing(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann, bob) = (f.bank().await, f.customer("ann").await, f.customer("bob").await);
    let group =
        [f.transfer(1, bank, ann, 10), f.transfer(2, ann, bob, 11), f.transfer(3, bank, ann, 1)];
    let refused = TransferId::from_u128(2);
    assert_eq!(
        f.ledger.post_group(&group).await.unwrap(),
        [
            Err(Refusal::GroupRefused(refused)),
            Err(Refusal::InsufficientFunds),
            Err(Refusal::GroupRefused(refused)),
        ]
    );
    assert_eq!(f.balance(ann).await.totals, Totals::default());
    let sorted = [group[0].clone(), group[2].clone(), group[1].clone()];
    let results = f.ledger.post_group(&sorted).await.unwrap();
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(f.balance(bob).await.available().to_string(), "11");

    let legs = vec![
        Leg { debit: bob, credit: ann, amount: 11 },
        Leg { debit: bob, credit: ann, amount: 1 },
    ];
    let two_legs = Transfer::new(f.tenant, TransferId::from_u128(4), legs);
    let refused = f.post(&two_legs).await.unwrap_err();
    let cause = Box::new(Refusal::InsufficientFunds);
    assert_eq!(refused, Refusal::AtLeg { leg: 1, cause }, "the first one is covered");
    assert_eq!((refused.code(), refused.leg()), ("insufficient_funds", Some(1)));
    assert_eq!(refused.to_string(), "leg 1: insufficient funds");
    assert_eq!(f.balance(bob).await.available().to_string(), "11");
    f.assert_clean().await;
}

async fn a_batch_answers_each(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann, bob) = (f.bank().await, f.customer("ann").await, f.customer("bob").await);
    let batch = [
        f.transfer(1, bank, ann, 10),
        f.transfer(2, ann, bob, 11),
        f.transfer(1, bank, ann, 10),
        f.transfer(1, bank, ann, 12),
        f.pending(3, ann, bob, 6),
        f.transfer(4, ann, bob, 5),
        Transfer::post_pending(f.tenant, TransferId::from_u128(5), TransferId::from_u128(3)),
        Transfer::void_pending(f.tenant, TransferId::from_u128(6), TransferId::from_u128(3)),
        Transfer::reverse(f.tenant, TransferId::from_u128(7), TransferId::from_u128(5)),
        Transfer::reverse(f.tenant, TransferId::from_u128(8), TransferId::from_u128(5)),
    ];
    let results = f.ledger.post_batch(&batch).await.unwrap();
    let outcomes: Vec<_> =
        results.iter().map(|result| result.as_ref().map(|posted| posted.outcome)).collect();
    assert_eq!(
        outcomes,
        [
            Ok(Outcome::Executed),
            Err(&Refusal::InsufficientFunds),
            Ok(Outcome::AlreadyApplied),
            Err(&Refusal::IdConflict),
            Ok(Outcome::Executed),
            Err(&Refusal::InsufficientFunds),
            Ok(Outcome::Executed),
            Err(&Refusal::PendingAlreadyPosted),
            Ok(Outcome::Executed),
            Err(&Refusal::AlreadyReversed),
        ]
    );
    assert_eq!(results[0].as_ref().unwrap().seq, results[2].as_ref().unwrap().seq);
    // A refused transfer leaves no trace; an accepted one is answered again.
    let (sent, first): (Vec<_>, Vec<_>) = batch
        .iter()
        .zip(&results)
        .filter_map(|(transfer, result)| Some((transfer.clone(), result.clone().ok()?)))
        .unzip();
    let again = f.ledger.post_batch(&sent).await.unwrap();
    for (first, again) in first.into_iter().zip(again) {
        assert_eq!(again, Ok(Posted { outcome: Outcome::AlreadyApplied, ..first }));
    }
    assert_eq!(f.balance(ann).await.available().to_string(), "10");
    assert!(matches!(
        f.ledger.post_batch(&vec![batch[0].clone(); 8191]).await,
        Err(LedgerError::TooMany)
    ));
    f.assert_clean().await;
}

/// Ids are taken for new at first: what was done before is still answered with its first result, whether
/// it collides, or would be refused as new, or makes its group be refused.
async fn what_was_done_is_known_again(engine: Engine) {
    for alone_from in [1, 1_000] {
        let f = Fixture::new(engine).await;
        let (bank, ann, bob) = (f.bank().await, f.customer("ann").await, f.customer("bob").await);
        let trusting = TailOptions {
            alone_from,
            alone_if_free_from: alone_from,
            wary: 0,
            ..crate::common::SMALL
        };
        let ledger = f.ledger.clone().with_tail(trusting);
        let outcomes = async |batch: &[Transfer], group: bool| {
            let results = if group {
                ledger.post_group(batch).await.unwrap()
            } else {
                ledger.post_batch(batch).await.unwrap()
            };
            results.into_iter().map(|result| Ok(result?.outcome)).collect::<Vec<_>>()
        };
        let (done, again) = (Ok(Outcome::Executed), Ok(Outcome::AlreadyApplied));
        let (first, spent) = (f.transfer(1, bank, ann, 10), f.transfer(2, ann, bob, 10));
        let both = [first.clone(), spent.clone()];
        assert_eq!(outcomes(&both, false).await, [done.clone(), done.clone()]);
        // It collides; it would be refused; both.
        assert_eq!(outcomes(&both[..1], false).await, std::slice::from_ref(&again));
        assert_eq!(outcomes(&both[1..], false).await, std::slice::from_ref(&again));
        assert_eq!(outcomes(&both, false).await, [again.clone(), again.clone()]);
        let other = f.transfer(2, ann, bob, 11);
        assert_eq!(outcomes(&[other], false).await, [Err(Refusal::IdConflict)]);
        let group = [spent.clone(), f.transfer(3, bank, ann, 5), f.transfer(4, ann, bob, 5)];
        let answers = [again.clone(), done.clone(), done.clone()];
        assert_eq!(outcomes(&group, true).await, answers);
        assert_eq!(outcomes(&group, true).await, [again.clone(), again.clone(), again.clone()]);
        let refused = f.transfer(5, ann, bob, 1);
        let batch = [f.transfer(6, bank, ann, 1), first, refused, f.transfer(7, ann, bob, 1)];
        let answers = [done.clone(), again.clone(), done, Err(Refusal::InsufficientFunds)];
        assert_eq!(outcomes(&batch, false).await, answers);
        let pending = f.pending(8, bob, ann, 16);
        let post = Transfer::post_pending(f.tenant, TransferId::from_u128(9), pending.id);
        for answer in [Ok(Outcome::Executed), again.clone()] {
            let batch = [pending.clone(), post.clone()];
            assert_eq!(outcomes(&batch, false).await, [answer.clone(), answer]);
        }
        assert_eq!(f.balance(ann).await.available().to_string(), "16");
        assert_eq!(f.balance(bob).await.available().to_string(), "0");
        f.assert_clean().await;
    }
}

async fn promise_25_the_full_128_bits_are_kept_and_no_more(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann, bob) = (f.bank().await, f.customer("ann").await, f.customer("bob").await);
    f.post(&f.transfer(1, bank, ann, u128::MAX)).await.unwrap();
    assert_eq!(f.balance(ann).await.available().or_zero(), u128::MAX);
    assert_eq!(f.post(&f.transfer(2, bank, bob, 1)).await, Err(Refusal::BalanceOverflow));
    assert_eq!(f.post(&f.pending(3, bank, bob, 1)).await, Err(Refusal::BalanceOverflow));
    f.post(&f.transfer(4, ann, bob, u128::MAX)).await.unwrap();
    assert_eq!(f.balance(ann).await.available().or_zero(), 0);
    assert_eq!(f.balance(bob).await.available().or_zero(), u128::MAX);
    f.assert_clean().await;
}

async fn a_dry_run_answers_the_same_and_writes_nothing(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann) = (f.bank().await, f.customer("ann").await);
    let batch = [f.transfer(1, bank, ann, 10), f.transfer(2, ann, bank, 11)];
    let dry = f.ledger.dry_run(&batch).await.unwrap();
    assert_eq!(f.balance(ann).await.totals, Totals::default());
    let wet = f.ledger.post_batch(&batch).await.unwrap();
    let errors = |results: &[Result<Posted, Refusal>]| -> Vec<_> {
        results.iter().map(|result| result.clone().err()).collect()
    };
    assert_eq!(errors(&dry), errors(&wet));
    assert_eq!(
        f.ledger.dry_run(&batch).await.unwrap()[0],
        wet[0].clone().map(|posted| Posted { outcome: Outcome::AlreadyApplied, ..posted })
    );
}

async fn the_caller_owns_the_transaction(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann) = (f.bank().await, f.customer("ann").await);
    let mut tx = f.begin().await;
    f.ledger.post_one_in(&mut tx, &f.transfer(1, bank, ann, 10)).await.unwrap();
    drop(tx);
    assert_eq!(f.balance(ann).await.totals, Totals::default());

    let mut tx = f.begin().await;
    f.ledger.post_one_in(&mut tx, &f.transfer(1, bank, ann, 10)).await.unwrap();
    let refused = f.ledger.post_one_in(&mut tx, &f.transfer(2, ann, bank, 11)).await;
    assert!(matches!(refused, Err(PostError::Refused(Refusal::InsufficientFunds))));
    f.ledger.post_one_in(&mut tx, &f.transfer(3, ann, bank, 4)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(f.balance(ann).await.available().or_zero(), 6);
    f.assert_clean().await;
}
