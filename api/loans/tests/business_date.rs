//! The business date: each tenant's own, moved by hand or by the calendar.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use api_ledger::TenantId;
use api_loans::loan::Status;
use api_loans::{DateSource, LoanError, Repay, ServiceError};
use common::world::{World, on_both};
use jiff::civil::{Date, date};
use uuid::Uuid;

async fn set(world: &World, tenant: TenantId, day: Date) -> Result<(), ServiceError> {
    let mut tx = world.db().begin().await?;
    world.loans.set_business_date(&mut tx, tenant, day).await?;
    tx.commit().await?;
    Ok(())
}

fn goes_back(refused: Result<(), ServiceError>) -> bool {
    matches!(refused, Err(ServiceError::Loan(LoanError::DateGoesBack)))
}

#[tokio::test]
async fn a_tenants_day_is_moved_by_hand_and_never_goes_back() -> anyhow::Result<()> {
    on_both(|engine| async move {
        let world = World::new(engine, date(2026, 11, 22)).await?;
        set(&world, world.tenant, date(2024, 1, 20)).await?;
        let loan = world.lend().await?;
        // Another tenant follows the calendar.
        let mut tx = world.db().begin().await?;
        let stranger = TenantId::new(Uuid::now_v7());
        let theirs = world.loans.business_date(&mut tx, stranger).await?;
        assert_eq!(theirs, (date(2026, 11, 22), DateSource::Calendar));
        let ours = world.loans.business_date(&mut tx, world.tenant).await?;
        assert_eq!(ours, (date(2024, 1, 20), DateSource::Operator));
        let now = world.loans.now_in(&mut tx, world.tenant).await?;
        assert_eq!(now.to_string(), "2024-01-20T12:00:00Z");
        tx.rollback().await?;
        // A payment of the day after tomorrow is one of the future.
        let early = world.payment(loan, date(2024, 1, 22), 100);
        let refused = world.pay(&early).await.unwrap_err();
        assert!(matches!(refused, ServiceError::Loan(LoanError::Date(_))), "{refused}");
        // The end of a calendar day brings the loan up to its own day and no further.
        world.loans.end_of_day(world.db(), date(2026, 11, 22), 10).await?;
        world.assert_books(&[loan], date(2024, 1, 20)).await?;
        set(&world, world.tenant, date(2024, 4, 20)).await?;
        let done = world.loans.end_of_day(world.db(), date(2026, 11, 22), 10).await?;
        assert_eq!((done.loans, done.transfers), (1, 1));
        world.assert_books(&[loan], date(2024, 4, 20)).await?;
        let again = world.loans.end_of_day(world.db(), date(2026, 11, 22), 10).await?;
        assert_eq!((again.loans, again.transfers), (0, 0), "a day counts once");
        assert!(goes_back(set(&world, world.tenant, date(2024, 4, 19)).await));
        set(&world, world.tenant, date(2024, 4, 20)).await?;
        let late = Repay { effective: date(2024, 4, 20), ..early };
        assert_eq!(world.pay(&late).await?.1.status, Status::Overdue);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_calendar_tells_the_day_again_once_it_is_there() -> anyhow::Result<()> {
    on_both(|engine| async move {
        let world = World::new(engine, date(2024, 3, 1)).await?;
        let follow = || async {
            let mut tx = world.db().begin().await?;
            world.loans.follow_calendar(&mut tx, world.tenant).await?;
            tx.commit().await?;
            Ok(())
        };
        set(&world, world.tenant, date(2024, 3, 9)).await?;
        assert!(goes_back(follow().await), "it would be the first of March again");
        let other = World::new(engine, date(2024, 3, 1)).await?;
        set(&other, other.tenant, date(2024, 2, 1)).await?;
        let mut tx = other.db().begin().await?;
        other.loans.follow_calendar(&mut tx, other.tenant).await?;
        let (day, source) = other.loans.business_date(&mut tx, other.tenant).await?;
        assert_eq!((day, source), (date(2024, 3, 1), DateSource::Calendar));
        tx.commit().await?;
        // A loan that is posted up to a day holds the day there.
        let loan = other.lend().await?;
        other.pay(&other.payment(loan, date(2024, 2, 20), 100)).await?;
        assert!(goes_back(set(&other, other.tenant, date(2024, 2, 19)).await));
        set(&other, other.tenant, date(2024, 2, 20)).await?;
        Ok(())
    })
    .await
}
