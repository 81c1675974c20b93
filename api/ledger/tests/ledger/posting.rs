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
    pending_money_is_reserved_and_ends_once
    a_part_of_a_pending_transfer_is_posted
    pending_transfers_expire
    a_transfer_is_reversed_once
    frozen_and_closed_accounts_refuse
    the_full_128_bits_are_kept_and_no_more
    tenants_do_not_see_each_other
    a_dry_run_answers_the_same_and_writes_nothing
    the_caller_owns_the_transaction
    accounts_are_opened_once
    accounts_without_history_still_balance
    velocity_limits_hold_for_any_window
    a_conversion_uses_its_quote_once_and_in_time
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
    assert_eq!(f.post(&two_legs).await, Err(Refusal::InsufficientFunds));
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
    for amounts in [vec![61, 5], vec![0, 0], vec![60], vec![60, 5, 0]] {
        let post = Transfer::post_pending_part(f.tenant, id(3), id(2), amounts);
        assert_eq!(f.post(&post).await, Err(Refusal::PendingAmounts));
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

async fn frozen_and_closed_accounts_refuse(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann) = (f.bank().await, f.customer("ann").await);
    let id = TransferId::from_u128;
    f.post(&f.transfer(1, bank, ann, 100)).await.unwrap();
    f.post(&f.pending(2, ann, bank, 60)).await.unwrap();
    let mut tx = f.begin().await;
    f.ledger.set_frozen(&mut tx, ann, true).await.unwrap();
    assert!(matches!(f.ledger.close_account(&mut tx, ann).await, Err(LedgerError::NotEmpty)));
    tx.commit().await.unwrap();
    assert_eq!(f.post(&f.transfer(3, bank, ann, 1)).await, Err(Refusal::AccountFrozen));
    assert_eq!(f.post(&f.transfer(4, ann, bank, 1)).await, Err(Refusal::AccountFrozen));
    f.post(&Transfer::post_pending(f.tenant, id(5), id(2))).await.unwrap();

    let mut tx = f.begin().await;
    f.ledger.set_frozen(&mut tx, ann, false).await.unwrap();
    tx.commit().await.unwrap();
    f.post(&f.transfer(6, ann, bank, 40)).await.unwrap();
    let mut tx = f.begin().await;
    f.ledger.close_account(&mut tx, ann).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(f.post(&f.transfer(7, bank, ann, 1)).await, Err(Refusal::AccountClosed));
    let mut tx = f.begin().await;
    let (account, _) = f.ledger.account(&mut tx, ann).await.unwrap().unwrap();
    assert!(account.closed && !account.frozen);
    drop(tx);
    f.assert_clean().await;
}

async fn the_full_128_bits_are_kept_and_no_more(engine: Engine) {
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

async fn tenants_do_not_see_each_other(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann) = (f.bank().await, f.customer("ann").await);
    let other = TenantId::new(uuid::Uuid::new_v4());
    let theirs = NewAccount::new(other, "bank", "EUR", Side::Debit).with_floor(Floor::None);
    let theirs = f.open(theirs).await;
    assert_ne!(theirs, bank);
    f.post(&f.transfer(1, bank, ann, 100)).await.unwrap();
    let id = TransferId::from_u128;
    let leg = |debit, credit| vec![Leg { debit, credit, amount: 1 }];
    let stolen = Transfer::new(other, id(2), leg(ann, theirs));
    assert_eq!(f.post(&stolen).await, Err(Refusal::UnknownAccount));
    let reversed = Transfer::reverse(other, id(3), id(1));
    assert_eq!(f.post(&reversed).await, Err(Refusal::OriginalNotFound));
    let their_ann = f.open(NewAccount::new(other, "customer:ann", "EUR", Side::Credit)).await;
    let same_id = Transfer::new(other, id(1), leg(theirs, their_ann));
    assert_eq!(f.post(&same_id).await.unwrap().outcome, Outcome::Executed);
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

async fn accounts_are_opened_once(engine: Engine) {
    let f = Fixture::new(engine).await;
    let ann = NewAccount::new(f.tenant, "customer:ann", "EUR", Side::Credit)
        .with_floor(Floor::At(-50))
        .with_external_id("crm-7");
    let id = f.open(ann.clone()).await;
    assert_eq!(f.open(ann.clone()).await, id);
    let mut tx = f.begin().await;
    let (account, _) =
        f.ledger.find_account(&mut tx, f.tenant, "customer:ann", "EUR").await.unwrap().unwrap();
    assert_eq!((account.id, account.floor), (id, Floor::At(-50)));
    assert_eq!(account.external_id.as_deref(), Some("crm-7"));
    let other = NewAccount { side: Side::Debit, ..ann.clone() };
    let error = f.ledger.open_account(&mut tx, &other).await.unwrap_err();
    assert!(matches!(error, LedgerError::AccountConflict(_)));
    let nameless = NewAccount { code: String::new(), ..ann };
    let error = f.ledger.open_account(&mut tx, &nameless).await.unwrap_err();
    assert!(matches!(error, LedgerError::AccountText));
    drop(tx);
    let bank = f.bank().await;
    f.post(&f.transfer(1, id, bank, 50)).await.unwrap();
    assert_eq!(f.balance(id).await.available().to_string(), "-50");
    assert_eq!(f.post(&f.transfer(2, id, bank, 1)).await, Err(Refusal::InsufficientFunds));
    f.assert_clean().await;
}

async fn accounts_without_history_still_balance(engine: Engine) {
    let f = Fixture::new(engine).await;
    let bank = NewAccount::new(f.tenant, "bank", "EUR", Side::Debit).without_history();
    let bank = f.open(bank.with_floor(Floor::None)).await;
    let ann = f.customer("ann").await;
    f.post(&f.transfer(1, bank, ann, 10)).await.unwrap();
    let mut tx = f.begin().await;
    let page = StatementPage { after: 0, limit: 10 };
    let refused = f.ledger.statement(&mut tx, bank, page).await;
    assert!(matches!(refused, Err(LedgerError::NoHistory)), "never silently empty");
    assert_eq!(f.ledger.statement(&mut tx, ann, page).await.unwrap().lines.len(), 1);
    drop(tx);
    f.assert_clean().await;
}

async fn velocity_limits_hold_for_any_window(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann) = (f.bank().await, f.customer("ann").await);
    f.post(&f.transfer(1, bank, ann, 1000)).await.unwrap();
    let hourly = VelocityLimit { window_secs: 3600, count_max: Some(3), sum_max: Some(100) };
    let mut tx = f.begin().await;
    f.ledger.set_limit(&mut tx, ann, &hourly).await.unwrap();
    assert_eq!(f.ledger.limits(&mut tx, ann).await.unwrap(), [hourly]);
    tx.commit().await.unwrap();
    let exceeded = Err(Refusal::VelocityExceeded);
    assert_eq!(f.post(&f.transfer(2, ann, bank, 101)).await, exceeded);
    f.post(&f.transfer(3, ann, bank, 60)).await.unwrap();
    f.sleep(1800);
    f.post(&f.pending(4, ann, bank, 40)).await.unwrap();
    assert_eq!(f.post(&f.transfer(5, ann, bank, 1)).await, exceeded, "the sum is used up");
    f.post(&f.transfer(6, bank, ann, 500)).await.unwrap();
    f.sleep(1801);
    let batch: Vec<_> = (7..=9).map(|n| f.transfer(n, ann, bank, 1)).collect();
    let results = f.ledger.post_batch(&batch).await.unwrap();
    let refusals: Vec<_> = results.into_iter().map(Result::err).collect();
    let third = Some(Refusal::VelocityExceeded);
    assert_eq!(refusals, [None, None, third], "three with the pending one");
    let id = TransferId::from_u128(10);
    f.post(&Transfer::post_pending(f.tenant, id, TransferId::from_u128(4))).await.unwrap();
    let mut tx = f.begin().await;
    f.ledger.remove_limit(&mut tx, ann, 3600).await.unwrap();
    tx.commit().await.unwrap();
    f.post(&f.transfer(11, ann, bank, 500)).await.unwrap();
    f.assert_clean().await;
}

async fn a_conversion_uses_its_quote_once_and_in_time(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann) = (f.bank().await, f.customer("ann").await);
    let open = async |code: &str, asset, floor| {
        let account = NewAccount::new(f.tenant, code, asset, Side::Credit).with_floor(floor);
        f.open(account).await
    };
    let accounts = ConversionAccounts {
        seller: ann,
        position_sold: open("fx:position", "EUR", Floor::None).await,
        position_bought: open("fx:position", "JPY", Floor::None).await,
        buyer: open("customer:ann:available", "JPY", Floor::Zero).await,
        rounding: open("fx:rounding", "JPY", Floor::Zero).await,
    };
    f.post(&f.transfer(1, bank, ann, 1000)).await.unwrap();
    let expires_at = f.now() + jiff::SignedDuration::from_secs(30);
    let quote = |id| Quote {
        id: uuid::Uuid::from_u128(id),
        numerator: 1_625_501,
        denominator: 1_000_000,
        expires_at,
    };
    let conversion = quote(7).convert(f.tenant, &accounts, 1000).unwrap();
    f.post(&conversion).await.unwrap();
    assert_eq!(f.balance(accounts.buyer).await.available().or_zero(), 1625);
    assert_eq!(f.balance(accounts.rounding).await.available().or_zero(), 1);
    assert_eq!(f.balance(accounts.position_bought).await.posted().to_string(), "-1626");
    let more = quote(7).convert(f.tenant, &accounts, 900).unwrap();
    assert_eq!(f.post(&more).await, Err(Refusal::IdConflict), "one quote, one conversion");
    f.post(&f.transfer(2, bank, ann, 1000)).await.unwrap();
    f.sleep(31);
    let late = quote(8).convert(f.tenant, &accounts, 1000).unwrap();
    assert_eq!(f.post(&late).await, Err(Refusal::TooLate));
    assert_eq!(f.post(&conversion).await.unwrap().outcome, Outcome::AlreadyApplied);
    f.assert_clean().await;
}
