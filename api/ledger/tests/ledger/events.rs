//! The event stream, on both engines.

use api_ledger::*;
use api_store::{Engine, args};
use serde_json::json;

use crate::common::Fixture;

on_both_engines! {
    events_come_in_order_and_without_gaps
    an_event_that_commits_late_is_not_skipped
    a_rolled_back_event_was_never_there
    concurrent_sequencers_give_each_place_once
    a_place_of_another_past_is_refused
}

async fn page(f: &Fixture, tenant: TenantId, after: i64, limit: u32) -> Vec<Event> {
    let mut tx = f.test_db.db.read().await.unwrap();
    f.ledger.events(&mut tx, tenant, after, limit).await.unwrap()
}

async fn all(f: &Fixture, tenant: TenantId, limit: u32) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    loop {
        let after = events.last().map_or(0, |event| event.sequence);
        let next = page(f, tenant, after, limit).await;
        if next.is_empty() {
            return events;
        }
        events.extend(next);
    }
}

fn assert_sequence(events: &[Event]) {
    for (place, event) in (1..).zip(events) {
        assert_eq!(event.sequence, place, "{event:?}");
    }
}

fn told(f: &Fixture, subject: &str) -> NewEvent {
    let data = json!({ "amount": "5" });
    let (kind, subject) = ("withdrawal.settled".to_owned(), subject.to_owned());
    NewEvent { tenant: f.tenant, kind, subject, data }
}

async fn events_come_in_order_and_without_gaps(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann) = (f.bank().await, f.customer("ann").await);
    let other = TenantId::new(uuid::Uuid::new_v4());
    let till = NewAccount::new(other, "till", "EUR", Side::Debit).with_floor(Floor::None);
    let (till, bob) =
        (f.open(till).await, f.open(NewAccount::new(other, "bob", "EUR", Side::Credit)).await);
    let leg = Leg { debit: till, credit: bob, amount: 1 };
    let theirs = |id| Transfer::new(other, TransferId::from_u128(id), vec![leg, leg]);
    // One commit of two tenants, with legs and a refusal between.
    let batch = [
        f.transfer(1, bank, ann, 10),
        theirs(1),
        f.transfer(2, ann, bank, 99),
        f.pending(3, ann, bank, 4),
        theirs(2),
        f.transfer(4, bank, ann, 1),
    ];
    f.ledger.post_batch(&batch).await.unwrap();
    let mut tx = f.begin().await;
    f.ledger.emit(&mut tx, &told(&f, "w1")).await.unwrap();
    tx.commit().await.unwrap();
    f.post(&f.transfer(5, bank, ann, 2)).await.unwrap();
    assert_eq!(page(&f, f.tenant, 0, 10).await, [], "no places before the job ran");
    while f.ledger.place_events(2).await.unwrap() > 0 {}
    for limit in [1, 2, 3, 100] {
        let events = all(&f, f.tenant, limit).await;
        assert_sequence(&events);
        let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(
            kinds,
            [
                "ledger.transfer",
                "ledger.pending",
                "ledger.transfer",
                "withdrawal.settled",
                "ledger.transfer"
            ],
            "by {limit}"
        );
        assert_eq!(events[1].data["legs"][0]["amount"], "4");
        assert_eq!(events[3].subject, "w1");
    }
    let theirs = all(&f, other, 1).await;
    assert_sequence(&theirs);
    assert_eq!(theirs.len(), 2);
    assert_eq!(theirs[0].data["legs"].as_array().unwrap().len(), 2);
}

/// PostgreSQL only: SQLite has one writer at a time.
async fn an_event_that_commits_late_is_not_skipped(engine: Engine) {
    if engine == Engine::Sqlite {
        return;
    }
    let f = Fixture::new(engine).await;
    let mut slow = f.begin().await;
    f.ledger.emit(&mut slow, &told(&f, "slow")).await.unwrap();
    let mut fast = f.begin().await;
    f.ledger.emit(&mut fast, &told(&f, "fast")).await.unwrap();
    fast.commit().await.unwrap();
    f.ledger.place_events(10).await.unwrap();
    let seen = page(&f, f.tenant, 0, 10).await;
    assert_eq!(seen.len(), 1);
    slow.commit().await.unwrap();
    f.ledger.place_events(10).await.unwrap();
    let later = page(&f, f.tenant, seen[0].sequence, 10).await;
    let subjects: Vec<&str> = later.iter().map(|event| event.subject.as_str()).collect();
    assert_eq!(subjects, ["slow"], "it began first, and comes second");
    assert_sequence(&all(&f, f.tenant, 10).await);
}

async fn a_rolled_back_event_was_never_there(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut tx = f.begin().await;
    f.ledger.emit(&mut tx, &told(&f, "never")).await.unwrap();
    tx.rollback().await.unwrap();
    let mut tx = f.begin().await;
    f.ledger.emit(&mut tx, &told(&f, "once")).await.unwrap();
    tx.commit().await.unwrap();
    f.ledger.place_events(10).await.unwrap();
    let events = all(&f, f.tenant, 10).await;
    assert_sequence(&events);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].subject, "once");
}

async fn concurrent_sequencers_give_each_place_once(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann) = (f.bank().await, f.customer("ann").await);
    let front = GroupCommit::start(f.ledger.clone());
    let callers: Vec<_> = (0..100)
        .map(|n| {
            let (front, transfer) = (front.clone(), f.transfer(n, bank, ann, 1));
            let ledger = f.ledger.clone();
            tokio::spawn(async move {
                front.post(transfer).await.unwrap();
                ledger.place_events(3).await.unwrap();
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    while f.ledger.place_events(100).await.unwrap() > 0 {}
    let events = all(&f, f.tenant, 7).await;
    assert_eq!(events.len(), 100);
    assert_sequence(&events);
    let mut subjects: Vec<_> = events.into_iter().map(|event| event.subject).collect();
    subjects.sort_unstable();
    subjects.dedup();
    assert_eq!(subjects.len(), 100, "each transfer once");
}

/// The mark at the place `after` for a reader that had this one there; else the last place that there is.
async fn mark(f: &Fixture, after: i64, mark: Option<&str>) -> Result<Option<String>, i64> {
    let mut tx = f.test_db.db.read().await.unwrap();
    match f.ledger.event_mark(&mut tx, f.tenant, after, mark).await {
        Err(LedgerError::CursorLost { after: given, last }) => {
            assert_eq!(given, after);
            Err(last)
        }
        found => Ok(found.unwrap()),
    }
}

async fn a_place_of_another_past_is_refused(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann) = (f.bank().await, f.customer("ann").await);
    assert_eq!(mark(&f, 0, None).await, Ok(None));
    assert_eq!(mark(&f, 1, None).await, Err(0));
    // One row of the outbox with three places, and three rows with one.
    let batch: Vec<Transfer> = (1..=3).map(|id| f.transfer(id, bank, ann, 1)).collect();
    f.ledger.post_batch(&batch).await.unwrap();
    for id in 4..=6 {
        f.post(&f.transfer(id, bank, ann, 1)).await.unwrap();
    }
    while f.ledger.place_events(100).await.unwrap() > 0 {}
    let mut marks = vec![None];
    for event in all(&f, f.tenant, 100).await {
        assert_eq!(mark(&f, event.sequence, None).await, Ok(Some(event.mark())));
        assert!(!marks.contains(&Some(event.mark())), "{event:?}");
        marks.push(Some(event.mark()));
    }
    assert_eq!(marks.len(), 7);
    assert_eq!(mark(&f, 7, None).await, Err(6));
    assert_eq!(mark(&f, i64::MAX, None).await, Err(6));
    assert_eq!(mark(&f, 0, marks[1].as_deref()).await, Err(6), "nothing is at 0");
    assert_eq!(mark(&f, 2, marks[3].as_deref()).await, Err(6));

    // The database is set back to the fourth event, and goes on.
    let mut tx = f.begin().await;
    tx.execute("DELETE FROM events_outbox WHERE position > 4", args![]).await.unwrap();
    let sql = "UPDATE events_heads SET next = 5 WHERE tenant <> ''";
    tx.execute(sql, args![]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(mark(&f, 6, None).await, Err(4));
    f.sleep(1);
    for id in 14..=16 {
        f.post(&f.transfer(id, bank, ann, 1)).await.unwrap();
    }
    while f.ledger.place_events(100).await.unwrap() > 0 {}
    assert!(mark(&f, 6, None).await.is_ok(), "a reader without a mark cannot be told any more");
    for (place, before) in (0..).zip(&marks) {
        let found = mark(&f, place, before.as_deref()).await;
        if place <= 4 {
            assert_eq!(found, Ok(before.clone()), "{place}");
        } else {
            assert_eq!(found, Err(7), "{place}");
        }
    }
}
