//! Euros into yen at a quoted price: a leg in each currency, and where the rest of a yen goes.
//!
//! `cargo run -p api-ledger --example conversion`
#![expect(clippy::print_stdout, reason = "an example")]

use api_ledger::{
    AsOf, ConversionAccounts, Floor, Ledger, Leg, NewAccount, Outcome, Quote, Side, TenantId,
    Transfer, TransferId, format_decimal, iso4217_decimals,
};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

#[tokio::main]
pub(crate) async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let db = api_store::Db::open_sqlite(&folder.path().join("books.db")).await?;
    db.migrate().await?;
    let ledger = Ledger::new(db);
    let bank = TenantId::new(Uuid::now_v7());
    let mut tx = ledger.db().begin().await?;
    let mut open = async |code: &str, asset: &str, side| {
        let account = NewAccount::new(bank, code, asset, side).with_floor(Floor::None);
        ledger.open_account(&mut tx, &account).await
    };
    let accounts = ConversionAccounts {
        seller: open("customers:ann", "EUR", Side::Credit).await?,
        buyer: open("customers:ann", "JPY", Side::Credit).await?,
        position_sold: open("positions", "EUR", Side::Debit).await?,
        position_bought: open("positions", "JPY", Side::Debit).await?,
        rounding: open("rounding", "JPY", Side::Credit).await?,
    };
    let vault = open("assets:vault", "EUR", Side::Debit).await?;
    tx.commit().await?;
    let cash = vec![Leg { debit: vault, credit: accounts.seller, amount: 10_000 }];
    ledger.post(&Transfer::new(bank, TransferId::generate(), cash)).await?;

    // 161.37 yen for a euro: in minor units 16137 yen for 10000 cents. It holds for 30 seconds.
    let quote = Quote {
        id: Uuid::now_v7(),
        numerator: 16_137,
        denominator: 10_000,
        expires_at: Timestamp::now() + SignedDuration::from_secs(30),
    };
    let conversion = quote.convert(bank, &accounts, 9_999)?;
    ledger.post(&conversion).await?;
    // The conversion has the quote's id: used again, it is the same one.
    assert_eq!(ledger.post(&conversion).await?.outcome, Outcome::AlreadyApplied);

    let mut tx = ledger.db().read().await?;
    let yen = ledger.balance(&mut tx, accounts.buyer, AsOf::Now).await?.posted();
    let rest = ledger.balance(&mut tx, accounts.rounding, AsOf::Now).await?.posted();
    let decimals = iso4217_decimals("JPY").unwrap_or(2);
    println!("Ann gets {} JPY", format_decimal(yen.magnitude(), decimals));
    // 99.99 EUR are 16135.3863 yen: 16135 for Ann, and the house gives 16136.
    assert_eq!((yen.magnitude(), rest.magnitude()), (16_135, 1));
    Ok(())
}
