//! Money that is reserved, posted in part, and released.
//!
//! `cargo run -p api-ledger --example pending`
#![expect(clippy::print_stdout, reason = "an example")]

use api_ledger::{
    AsOf, Floor, Ledger, Leg, NewAccount, PostError, Refusal, Side, TenantId, Transfer, TransferId,
};
use uuid::Uuid;

#[tokio::main]
pub(crate) async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let db = api_store::Db::open_sqlite(&folder.path().join("books.db")).await?;
    db.migrate().await?;
    let ledger = Ledger::new(db);
    let bank = TenantId::new(Uuid::now_v7());
    let mut tx = ledger.db().begin().await?;
    let vault = NewAccount::new(bank, "assets:vault", "EUR", Side::Debit).with_floor(Floor::None);
    let vault = ledger.open_account(&mut tx, &vault).await?;
    // A customer's account does not go below zero.
    let ann = NewAccount::new(bank, "customers:ann", "EUR", Side::Credit);
    let ann = ledger.open_account(&mut tx, &ann).await?;
    tx.commit().await?;
    let id = TransferId::generate;
    let leg = |debit, credit, amount| vec![Leg { debit, credit, amount }];
    ledger.post(&Transfer::new(bank, id(), leg(vault, ann, 10_000))).await?;

    // A hotel reserves 80.00 for an hour.
    let hold = id();
    let reserve = Transfer::pending(bank, hold, leg(ann, vault, 8_000), Some(3600));
    ledger.post(&reserve).await?;
    let balance = async || {
        let mut tx = ledger.db().read().await?;
        ledger.balance(&mut tx, ann, AsOf::Now).await
    };
    let held = balance().await?;
    println!("posted {}, available {}", held.posted(), held.available());
    assert_eq!(held.available().to_string(), "2000");

    // What is reserved cannot be spent.
    let too_much = ledger.post(&Transfer::new(bank, id(), leg(ann, vault, 2_001))).await;
    assert!(matches!(too_much, Err(PostError::Refused(Refusal::InsufficientFunds))));

    // The bill is 65.50; the rest is free again. The hold ends once, whoever asks first.
    ledger.post(&Transfer::post_pending_part(bank, id(), hold, vec![6_550])).await?;
    let again = ledger.post(&Transfer::void_pending(bank, id(), hold)).await;
    assert!(matches!(again, Err(PostError::Refused(Refusal::PendingAlreadyPosted))));
    assert_eq!(balance().await?.available().to_string(), "3450");
    Ok(())
}
