//! The stream of events, read from where the reader was, and the second opinion on the books.
//!
//! `cargo run -p api-ledger --example events`
#![expect(clippy::print_stdout, reason = "an example")]

use api_ledger::{Floor, Ledger, Leg, NewAccount, NewEvent, Side, TenantId, Transfer, TransferId};
use uuid::Uuid;

#[tokio::main]
pub(crate) async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let db = api_store::Db::open_sqlite(&folder.path().join("books.db")).await?;
    db.migrate().await?;
    let ledger = Ledger::new(db);
    let shop = TenantId::new(Uuid::now_v7());
    let mut tx = ledger.db().begin().await?;
    let open = |code, side| NewAccount::new(shop, code, "EUR", side).with_floor(Floor::None);
    let till = ledger.open_account(&mut tx, &open("assets:till", Side::Debit)).await?;
    let sales = ledger.open_account(&mut tx, &open("income:sales", Side::Credit)).await?;
    tx.commit().await?;

    // A sale and what the shop itself has to tell about it, in one transaction: both or none.
    let legs = vec![Leg { debit: till, credit: sales, amount: 10_000 }];
    let sale = Transfer::new(shop, TransferId::generate(), legs);
    let mut tx = ledger.db().begin().await?;
    ledger.post_one_in(&mut tx, &sale).await?;
    let shipped = NewEvent {
        tenant: shop,
        kind: "order.shipped".to_owned(),
        subject: "order 7".to_owned(),
        data: serde_json::json!({ "parcel": "JD0140" }),
    };
    ledger.emit(&mut tx, &shipped).await?;
    tx.commit().await?;
    ledger.post(&Transfer::reverse(shop, TransferId::generate(), sale.id)).await?;

    // A job gives what was committed its place; the sequence has no gaps, and places never change.
    while ledger.place_events(100).await? > 0 {}
    let mut tx = ledger.db().read().await?;
    let mut seen = 0;
    let mut kinds = Vec::new();
    loop {
        let page = ledger.events(&mut tx, shop, seen, 2).await?;
        let Some(last) = page.last() else { break };
        // What a reader keeps: where it was.
        seen = last.sequence;
        for event in page {
            println!("{} {} {} {}", event.sequence, event.kind, event.subject, event.data);
            kinds.push(event.kind);
        }
    }
    assert_eq!(kinds, ["ledger.transfer", "order.shipped", "ledger.reversal"]);
    assert_eq!(ledger.last_event(&mut tx, shop).await?, 3);

    // Every balance, computed again from the transfers by other code than posts them.
    let report = ledger.check(&mut tx).await?;
    println!("{} legs of {} accounts are right", report.legs, report.accounts);
    assert!(report.is_clean(), "{:?}", report.difference);
    assert_eq!((report.accounts, report.legs, report.open), (2, 2, 0));
    Ok(())
}
