//! A statement, and balances of other days and of what was known at another time.
//!
//! `cargo run -p api-ledger --example statement`
#![expect(clippy::print_stdout, reason = "an example")]

use api_ledger::{
    AsOf, Floor, Ledger, Leg, NewAccount, Side, StatementPage, TenantId, Transfer, TransferId,
};
use jiff::civil::date;
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
    let ann = NewAccount::new(bank, "customers:ann", "EUR", Side::Credit);
    let ann = ledger.open_account(&mut tx, &ann).await?;
    tx.commit().await?;
    let leg = |amount| vec![Leg { debit: vault, credit: ann, amount }];

    // Today it turns out that 25.00 arrived on 31 January.
    let late = Transfer::new(bank, TransferId::generate(), leg(2_500))
        .with_effective_on(date(2026, 1, 31));
    let late = ledger.post(&late).await?;
    ledger.post(&Transfer::new(bank, TransferId::generate(), leg(1_000))).await?;

    let mut tx = ledger.db().read().await?;
    let january = AsOf::Effective(date(2026, 1, 31));
    let as_known_then = AsOf::Bitemporal {
        effective: date(2026, 1, 31),
        recorded: late.recorded_at - jiff::SignedDuration::from_secs(1),
    };
    let now = ledger.balance(&mut tx, ann, january).await?;
    let then = ledger.balance(&mut tx, ann, as_known_then).await?;
    println!("31 January: {} as is known now, {} as was known before", now.posted(), then.posted());
    assert_eq!((now.posted().to_string(), then.posted().to_string()), ("2500".into(), "0".into()));

    let page = StatementPage { after: 0, limit: 50 };
    let statement = ledger.statement(&mut tx, ann, page).await?;
    println!("opening {}", statement.opening.posted());
    for line in &statement.lines {
        println!("{} {:>6} {:>6}", line.effective_on, line.amount, line.balance.posted());
    }
    println!("closing {}", statement.closing.posted());
    assert_eq!(statement.closing.posted().to_string(), "3500");
    Ok(())
}
