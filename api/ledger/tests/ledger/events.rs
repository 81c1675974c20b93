//! The event stream, on both engines.

use api_ledger::*;
use api_store::Engine;
use serde_json::json;

use crate::common::Fixture;

on_both_engines! {
    events_come_in_order_and_without_gaps
    an_event_that_commits_late_is_not_skipped
    a_rolled_back_event_was_never_there
    concurrent_sequencers_give_each_place_once
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
