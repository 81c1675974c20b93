#![expect(clippy::unwrap_used, reason = "tests")]
use std::sync::Arc;

use api_store::test_db::TestDb;
use jiff::Timestamp;
use jiff::civil::date;
use std::sync::atomic::{AtomicI64, Ordering};
use uuid::Uuid;

use super::*;
use crate::{AsOf, Floor, Ledger, Leg, NewAccount, Side, TenantId, Transfer, TransferId};

const DAY_SECS: i64 = 86_400;

/// A year in which each day's transfers count for the day before, as where business days end before
/// midnight in UTC: for each day only its own are read.
#[tokio::test]
async fn only_legs_on_the_other_side_of_the_day_are_read() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let test_db = TestDb::new(engine).await.unwrap();
        let seconds = Arc::new(AtomicI64::new(DAY_SECS));
        let clock = Arc::clone(&seconds);
        let now = move || Timestamp::from_second(clock.load(Ordering::SeqCst)).unwrap();
        let ledger = Ledger::with_clock(test_db.db.clone(), Arc::new(now));
        let tenant = TenantId::new(Uuid::from_u128(1));
        let mut tx = test_db.db.begin().await.unwrap();
        let bank = NewAccount::new(tenant, "bank", "EUR", Side::Debit).with_floor(Floor::None);
        let debit = ledger.open_account(&mut tx, &bank).await.unwrap();
        let ann = NewAccount::new(tenant, "ann", "EUR", Side::Credit);
        let credit = ledger.open_account(&mut tx, &ann).await.unwrap();
        tx.commit().await.unwrap();
        for day in 1..365_i64 {
            seconds.store(day * DAY_SECS + 3600, Ordering::SeqCst);
            let effective = date(1970, 1, 1).checked_add(jiff::Span::new().days(day - 1)).unwrap();
            let legs = vec![Leg { debit, credit, amount: 1 }];
            let transfer = Transfer::new(tenant, TransferId::generate(), legs);
            ledger.post(&transfer.with_effective_on(effective)).await.unwrap();
        }
        let mut tx = test_db.db.read().await.unwrap();
        for day in [0, 1, 100, 363, 364, 400] {
            // On day 0 nothing was recorded; the transfer of day n + 1 counts for day n.
            let (counted, last) = (day.min(364) << 20, 364 << 20);
            let correction = Correction { account: credit, day, counted, last };
            let read = dated_legs(&mut tx, correction).await.unwrap();
            let expected: &[DatedLeg] = if day < 364 { &[(0, 0, vec![1])] } else { &[] };
            assert_eq!(read, expected, "day {day}");
            let date = date(1970, 1, 1).checked_add(jiff::Span::new().days(day)).unwrap();
            let balance = ledger.balance(&mut tx, credit, AsOf::Effective(date)).await.unwrap();
            let posted = u128::try_from((day + 1).min(364)).unwrap();
            assert_eq!(balance.totals.credits_posted, posted, "day {day}");
        }
    }
}
