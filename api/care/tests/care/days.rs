//! The end of the day: by the tenant's business date, once, and in whatever parts.

use api_loans::Money;
use api_store::Engine;
use jiff::civil::date;
use uuid::Uuid;

use crate::world::{LATE, START, World};

const ACCOUNTS: [&str; 5] = [
    "loans:receivable:principal",
    "loans:receivable:interest",
    "loans:receivable:penalty",
    "loans:income:interest",
    "loans:suspense",
];

async fn balances(world: &World) -> Vec<String> {
    let mut tx = world.db().read().await.unwrap();
    let mut found = Vec::new();
    for code in ACCOUNTS {
        let account = world.ledger.find_account(&mut tx, world.tenant, code, "CNY").await.unwrap();
        found.push(account.map_or_else(String::new, |(_, balance)| balance.posted().to_string()));
    }
    found
}

/// A replay of a day changes nothing, whether it is closed again, in parts, or from two servers.
#[tokio::test]
async fn promise_33_closing_a_day_again_in_parts_or_twice_at_once_changes_nothing() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (whole, parts) = (World::new(engine).await, World::new(engine).await);
        let mut loans = Vec::new();
        for world in [&whole, &parts] {
            world.set_day(START);
            for _ in 0..3 {
                loans.push(world.borrower().await.1);
            }
            world.set_day(LATE);
        }
        let all = whole.care.close_days(None).await.unwrap();
        assert_eq!(all.days, 32, "a first run takes the last month day by day");
        assert_eq!(all.loans, 32 * 3);
        // In parts, from two servers at once, and days that were closed before once more.
        let other = parts.restarted(None);
        for day in [date(2024, 1, 31), date(2024, 2, 14), date(2024, 2, 14), date(2024, 2, 19)] {
            let (one, two) =
                tokio::join!(parts.care.close_days(Some(day)), other.close_days(Some(day)));
            one.unwrap();
            two.unwrap();
        }
        let again = parts.care.close_days(None).await.unwrap();
        assert_eq!((again.days, again.loans, again.transfers), (0, 0, 0));
        assert_eq!(balances(&whole).await, balances(&parts).await);
        // The books are what the loans say they are.
        for world in [&whole, &parts] {
            let mut tx = world.db().read().await.unwrap();
            let mut interest = Money::ZERO;
            for loan in &loans {
                if let Ok(fold) =
                    world.loans.fold(&mut tx, world.tenant, *loan, date(2024, 2, 19)).await
                {
                    let found = fold.outstanding().unwrap();
                    interest =
                        interest.plus(found.of(api_loans::terms::Component::Interest)).unwrap();
                }
            }
            assert_eq!(balances(world).await[1], interest.to_string());
            assert!(world.ledger.check(&mut tx).await.unwrap().is_clean());
        }
    }
}

#[tokio::test]
async fn a_tenants_day_ends_by_its_own_business_date() {
    let world = World::new(Engine::Sqlite).await;
    world.set_day(START);
    world.borrower().await;
    assert_eq!(world.care.close_days(None).await.unwrap().loans, 0, "nothing before the loan");
    let mut tx = world.db().begin().await.unwrap();
    world.loans.set_business_date(&mut tx, world.tenant, date(2024, 1, 20)).await.unwrap();
    tx.commit().await.unwrap();
    let calendar = world.care.calendars().await.unwrap();
    assert_eq!(calendar[0].business_date, date(2024, 1, 20));
    let closed = world.care.close_days(None).await.unwrap();
    assert_eq!((closed.days, closed.loans), (4, 4), "the 16th to the 19th");
    let calendar = world.care.calendars().await.unwrap();
    assert_eq!(calendar[0].last_closed, Some(date(2024, 1, 19)));
    // A tenant without loans has no days.
    let mut tx = world.db().begin().await.unwrap();
    let sql = "INSERT INTO tenants (id, name, created_at) VALUES ($1, 'another', 1)";
    tx.execute(sql, api_store::args![Uuid::now_v7()]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(world.care.calendars().await.unwrap().len(), 1);
}
