//! What accounts refuse, keep and limit, on both engines.

use crate::common::Fixture;
use api_ledger::*;
use api_store::Engine;

on_both_engines! {
    frozen_and_closed_accounts_refuse
    tenants_do_not_see_each_other
    accounts_are_opened_once
    accounts_without_history_still_balance
    velocity_limits_hold_for_any_window
    a_conversion_uses_its_quote_once_and_in_time
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
