//! How often and how much may leave an account within a day, and an account that is frozen.
//!
//! `cargo run -p api-ledger --example limits`
#![expect(clippy::print_stdout, reason = "an example")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use api_ledger::{
    Floor, Ledger, Leg, NewAccount, PostError, Posted, Refusal, Side, TenantId, Transfer,
    TransferId, VelocityLimit,
};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

const DAY: u32 = 86_400;

#[tokio::main]
pub(crate) async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let db = api_store::Db::open_sqlite(&folder.path().join("books.db")).await?;
    db.migrate().await?;
    // A clock that this example moves on.
    let hours = Arc::new(AtomicI64::new(0));
    let passed = Arc::clone(&hours);
    let clock = move || {
        Timestamp::UNIX_EPOCH + SignedDuration::from_hours(500_000 + passed.load(Ordering::SeqCst))
    };
    let ledger = Ledger::with_clock(db, Arc::new(clock));
    let bank = TenantId::new(Uuid::now_v7());
    let mut tx = ledger.db().begin().await?;
    let vault = NewAccount::new(bank, "assets:vault", "EUR", Side::Debit).with_floor(Floor::None);
    let vault = ledger.open_account(&mut tx, &vault).await?;
    let ann = NewAccount::new(bank, "customers:ann", "EUR", Side::Credit);
    let ann = ledger.open_account(&mut tx, &ann).await?;
    // At most three payments and 500.00 within any 24 hours.
    let daily = VelocityLimit { window_secs: DAY, count_max: Some(3), sum_max: Some(50_000) };
    ledger.set_limit(&mut tx, ann, &daily).await?;
    tx.commit().await?;
    let leg = |debit, credit, amount| vec![Leg { debit, credit, amount }];
    let id = TransferId::generate;
    ledger.post(&Transfer::new(bank, id(), leg(vault, ann, 200_000))).await?;
    let pay = async |amount| ledger.post(&Transfer::new(bank, id(), leg(ann, vault, amount))).await;
    let refusal = |result: Result<Posted, PostError>| match result {
        Err(PostError::Refused(refusal)) => Some(refusal),
        _ => None,
    };

    pay(30_000).await?;
    assert_eq!(refusal(pay(20_001).await), Some(Refusal::VelocityExceeded), "500.01 in all");
    // What is only reserved counts too.
    hours.fetch_add(12, Ordering::SeqCst);
    let hold = Transfer::pending(bank, id(), leg(ann, vault, 20_000), None);
    ledger.post(&hold).await?;
    assert_eq!(refusal(pay(1).await), Some(Refusal::VelocityExceeded));
    // A day after the first payment only the second one is in the window.
    hours.fetch_add(12, Ordering::SeqCst);
    pay(30_000).await?;
    println!("paid {} minor units within the limit", 30_000 + 30_000);

    // A frozen account refuses what is new; what is reserved can still be ended.
    let mut tx = ledger.db().begin().await?;
    ledger.remove_limit(&mut tx, ann, DAY).await?;
    ledger.set_frozen(&mut tx, ann, true).await?;
    tx.commit().await?;
    assert_eq!(refusal(pay(1).await), Some(Refusal::AccountFrozen));
    ledger.post(&Transfer::post_pending(bank, id(), hold.id)).await?;
    Ok(())
}
