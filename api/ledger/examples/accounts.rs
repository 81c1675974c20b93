//! Accounts, a transfer of several legs, and the chart with its totals.
//!
//! `cargo run -p api-ledger --example accounts`
#![expect(clippy::print_stdout, reason = "an example")]

use api_ledger::{Floor, Ledger, Leg, NewAccount, Side, TenantId, Transfer, TransferId};
use uuid::Uuid;

#[tokio::main]
pub(crate) async fn main() -> anyhow::Result<()> {
    // Your own database: SQLite in a file, or `Db::connect("postgres://…")`.
    let folder = tempfile::tempdir()?;
    let db = api_store::Db::open_sqlite(&folder.path().join("books.db")).await?;
    db.migrate().await?;
    let ledger = Ledger::new(db);
    let shop = TenantId::new(Uuid::now_v7());

    // Opening an account again finds it, so this can run at every start.
    let mut tx = ledger.db().begin().await?;
    let open = |code, side| NewAccount::new(shop, code, "EUR", side).with_floor(Floor::None);
    let till = ledger.open_account(&mut tx, &open("assets:cash:till", Side::Debit)).await?;
    let sales = ledger.open_account(&mut tx, &open("income:sales", Side::Credit)).await?;
    let vat = ledger.open_account(&mut tx, &open("liabilities:vat", Side::Credit)).await?;
    tx.commit().await?;

    // 119.00 EUR in cash: 100.00 are ours, 19.00 the state's. Both legs or none.
    let legs = vec![
        Leg { debit: till, credit: sales, amount: 10_000 },
        Leg { debit: till, credit: vat, amount: 1_900 },
    ];
    let sale = Transfer::new(shop, TransferId::generate(), legs)
        .with_code("sale")
        .with_reference("receipt 4711");
    println!("posted at {}", ledger.post(&sale).await?.recorded_at);

    let mut tx = ledger.db().read().await?;
    for node in ledger.chart(&mut tx, shop, "", 1).await? {
        let totals = &node.totals[0].totals;
        println!(
            "{}: {} debited, {} credited",
            node.code, totals.debits_posted, totals.credits_posted
        );
    }
    let chart = ledger.chart(&mut tx, shop, "assets", 0).await?;
    assert_eq!(chart[0].totals[0].totals.debits_posted, 11_900);
    assert!(ledger.check(&mut tx).await?.is_clean());
    Ok(())
}
