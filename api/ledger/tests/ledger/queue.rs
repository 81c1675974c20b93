//! More transfers than the group commit takes on, on both engines.

use std::pin::pin;
use std::time::Duration;

use api_ledger::*;
use api_store::{Engine, Tx, args};
use tokio::time::timeout;

use crate::common::Fixture;

on_both_engines! {
    what_does_not_fit_is_refused_at_once_and_not_done
    the_queue_has_room_for_eight_full_commits
}

const A_MOMENT: Duration = Duration::from_millis(100);

/// Nothing can be posted until this ends.
async fn hold_up(f: &Fixture) -> Tx {
    let mut tx = f.begin().await;
    if tx.engine() == Engine::Postgres {
        let sql = "LOCK TABLE ledger_commits IN EXCLUSIVE MODE";
        tx.execute(sql, args![]).await.unwrap();
    }
    tx
}

/// Transfers of 1 with the ids from `first` on.
fn batch(
    f: &Fixture,
    (from, to): (AccountId, AccountId),
    first: u128,
    count: u128,
) -> Vec<Transfer> {
    (first..first + count).map(|id| f.transfer(id, from, to, 1)).collect()
}

async fn what_does_not_fit_is_refused_at_once_and_not_done(engine: Engine) {
    let f = Fixture::new(engine).await;
    let between = (f.bank().await, f.customer("ann").await);
    // No less than a full commit, however little is asked for.
    let front = GroupCommit::with_queue(Ledger::new(f.test_db.db.clone()), 1);
    let held_up = hold_up(&f).await;
    let mut first = pin!(front.post_batch(batch(&f, between, 1, 8000)));
    let mut second = pin!(front.post_group(batch(&f, between, 8001, 100)));
    let mut last = pin!(front.post_batch(batch(&f, between, 8101, 90)));
    assert!(timeout(A_MOMENT, &mut first).await.is_err(), "it waits");
    assert!(timeout(A_MOMENT, &mut second).await.is_err(), "it waits");
    let too_many = front.post_batch(batch(&f, between, 9001, 91));
    assert!(matches!(timeout(A_MOMENT, too_many).await, Ok(Err(LedgerError::Busy))));
    assert!(timeout(A_MOMENT, &mut last).await.is_err(), "90 fit");
    let one = f.transfer(9999, between.0, between.1, 1);
    let refused = timeout(A_MOMENT, front.post(one.clone())).await;
    assert!(matches!(refused, Ok(Err(PostError::Ledger(LedgerError::Busy)))), "{refused:?}");
    let refused = timeout(A_MOMENT, front.post_group(vec![one.clone()])).await;
    assert!(matches!(refused, Ok(Err(LedgerError::Busy))), "{refused:?}");

    held_up.rollback().await.unwrap();
    let executed = |results: Vec<Result<Posted, Refusal>>| {
        let posted = results.into_iter().map(Result::unwrap);
        posted.filter(|posted| posted.outcome == Outcome::Executed).count()
    };
    assert_eq!(executed(first.await.unwrap()), 8000);
    assert_eq!(executed(second.await.unwrap()), 100);
    assert_eq!(executed(last.await.unwrap()), 90);
    // There is room again, and what was refused had not been done.
    assert_eq!(front.post(one).await.unwrap().outcome, Outcome::Executed);
    assert_eq!(executed(front.post_batch(batch(&f, between, 9001, 91)).await.unwrap()), 91);
    assert_eq!(f.balance(between.1).await.posted().or_zero(), 8000 + 100 + 90 + 1 + 91);
    f.assert_clean().await;
}

async fn the_queue_has_room_for_eight_full_commits(engine: Engine) {
    let f = Fixture::new(engine).await;
    let between = (f.bank().await, f.customer("ann").await);
    let front = GroupCommit::start(f.ledger.clone());
    let _held_up = hold_up(&f).await;
    let mut waiting = Vec::new();
    for number in 0..8 {
        let mut full = Box::pin(front.post_batch(batch(&f, between, 1 + number * 8190, 8190)));
        assert!(timeout(A_MOMENT, &mut full).await.is_err(), "{number} waits");
        waiting.push(full);
    }
    let one_more = timeout(A_MOMENT, front.post(f.transfer(99_999, between.0, between.1, 1))).await;
    assert!(matches!(one_more, Ok(Err(PostError::Ledger(LedgerError::Busy)))), "{one_more:?}");
    assert_eq!(f.balance(between.1).await.posted(), Net::default());
}
