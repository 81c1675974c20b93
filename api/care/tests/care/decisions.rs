//! Decisions are recorded, with their reasons, in the log and in the outbox, in one transaction.

use std::time::Instant;

use api_care::SendState;
use api_loans::reminders::{Channel, Decision, Reason};
use api_loans::{DisputeOutcome, Resolution};
use api_store::{Engine, args};
use jiff::civil::date;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::world::{LATE, World};

const BOTH: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

#[tokio::test]
async fn every_decision_has_a_record_and_every_send_a_place_in_the_outbox() {
    for engine in BOTH {
        let world = World::new(engine).await;
        let (ada, _) = world.borrower().await;
        let (bob, _) = world.borrower().await;
        world.reach(ada, "en", &[(Channel::InApp, "")]).await;
        let done = world.care.decide_due().await.unwrap();
        assert_eq!((done.sends, done.suppressed), (1, 1));
        let all = world.decisions(ada).await;
        assert!(matches!(all[0].reminder.decision, Decision::Send { .. }), "{all:?}");
        assert_eq!(world.state(ada).await, SendState::Queued);
        let none = world.decisions(bob).await;
        let Decision::Suppress { reason, .. } = none[0].reminder.decision else { panic!() };
        assert_eq!((reason, none[0].sent.is_none()), (Reason::UnknownDebtor, true));
        // Both are in the log, under the id of the decision.
        for one in all.iter().chain(&none) {
            let record = one.record.unwrap();
            let mut tx = world.db().read().await.unwrap();
            assert_eq!(world.audit.status(&mut tx, record).await.unwrap().state, "queued");
            let owner = world.audit.tenant_of(&mut tx, record).await.unwrap();
            assert_eq!(owner, Some(world.tenant.get().to_string()));
        }
        assert_eq!(world.care.decide_due().await.unwrap().sends, 0, "decided for now");
        world.care.deliver_due().await.unwrap();
        assert_eq!(world.state(ada).await, SendState::Delivered);
        let mut tx = world.db().begin().await.unwrap();
        let inbox = world.care.inbox(&mut tx, world.tenant, ada, None, 10).await.unwrap();
        assert_eq!(inbox.len(), 1);
        assert!(inbox[0].subject.contains("5 days late"), "{inbox:?}");
        assert!(inbox[0].body.contains("1066.19 CNY") && inbox[0].body.contains("deferral"));
        let letter = inbox[0].id;
        world.care.mark_read(&mut tx, world.tenant, ada, letter).await.unwrap();
        let other = world.care.mark_read(&mut tx, world.tenant, bob, letter).await;
        assert!(other.is_err(), "another customer's letter");
        let inbox = world.care.inbox(&mut tx, world.tenant, ada, None, 10).await.unwrap();
        assert!(inbox[0].read_at.is_some());
    }
}

#[tokio::test]
async fn what_changes_a_decision_is_looked_at_at_once() {
    let world = World::new(Engine::Sqlite).await;
    let (ada, _) = world.borrower().await;
    world.care.decide_due().await.unwrap();
    // A day later it would be looked at anyway; this is the same minute.
    world.reach(ada, "en", &[(Channel::InApp, "")]).await;
    world.move_clock(SignedDuration::from_secs(1));
    assert_eq!(world.care.decide_due().await.unwrap().sends, 1);
}

#[tokio::test]
async fn each_hold_suppresses_and_says_why() {
    let world = World::new(Engine::Sqlite).await;
    let (ada, loan) = world.borrower().await;
    world.reach(ada, "en", &[(Channel::InApp, "")]).await;
    let hold = |deceased, legal_hold, hardship_until| api_care::LenderHolds {
        hardship_until,
        deceased,
        legal_hold,
    };
    let cases = [
        (hold(true, false, None), Reason::Deceased),
        (hold(false, true, None), Reason::LegalHold),
        (hold(false, false, Some(date(2024, 3, 1))), Reason::Hardship),
    ];
    for (holds, expected) in cases {
        let mut tx = world.db().begin().await.unwrap();
        world.care.set_holds(&mut tx, world.tenant, ada, holds).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(reason(&world, ada).await, expected);
    }
    let mut tx = world.db().begin().await.unwrap();
    world.care.set_holds(&mut tx, world.tenant, ada, Default::default()).await.unwrap();
    let dispute = Uuid::now_v7();
    let opened = world.loans.open_dispute(&mut tx, world.tenant, (dispute, loan), None, "paid");
    opened.await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(reason(&world, ada).await, Reason::Dispute);
    let mut tx = world.db().begin().await.unwrap();
    let outcome = DisputeOutcome::Withdrawn;
    let end = Resolution { outcome, note: "a mistake".to_owned(), correction: None };
    world.loans.resolve_dispute(&mut tx, world.tenant, dispute, &end).await.unwrap();
    let past = world.care.promise(&mut tx, world.tenant, ada, date(2024, 2, 19)).await;
    assert!(past.is_err(), "a promise for yesterday");
    let far = world.care.promise(&mut tx, world.tenant, ada, date(2024, 9, 1)).await;
    assert!(far.is_err(), "a promise for half a year ahead");
    world.care.promise(&mut tx, world.tenant, ada, date(2024, 2, 23)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(reason(&world, ada).await, Reason::Promise);
    // The promise is broken: from the day after it reminders may come again.
    world.set_day(date(2024, 2, 24));
    assert_eq!(world.care.decide_due().await.unwrap().sends, 1);
}

/// The reason of the newest decision, made now.
async fn reason(world: &World, customer: Uuid) -> Reason {
    world.move_clock(SignedDuration::from_secs(1));
    world.care.decide_due().await.unwrap();
    match world.decisions(customer).await[0].reminder.decision {
        Decision::Suppress { reason, .. } => reason,
        Decision::Send { .. } => panic!("sent"),
    }
}

#[tokio::test]
async fn the_tenants_own_hours_count_at_once_and_at_the_borrowers_place() {
    let world = World::new(Engine::Sqlite).await;
    let (ada, _) = world.borrower().await;
    world.reach(ada, "en", &[(Channel::InApp, "")]).await;
    // 20:00 in Berlin, the first minute that is too late there by the profile `eu`.
    let evening: Timestamp = "2024-02-20T19:00:00Z".parse().unwrap();
    world.set_clock(evening);
    assert_eq!(reason(&world, ada).await, Reason::QuietHours);
    let mut tx = world.db().begin().await.unwrap();
    let mut own = api_loans::reminders::Profile::built_in("eu").unwrap();
    own.hours.until = jiff::civil::time(21, 0, 0, 0);
    world.loans.put_profile(&mut tx, world.tenant, &own).await.unwrap();
    tx.commit().await.unwrap();
    world.set_clock(evening.checked_add(SignedDuration::from_hours(24)).unwrap());
    assert_eq!(world.care.decide_due().await.unwrap().sends, 1);
    assert_eq!(LATE, date(2024, 2, 20));
}

/// A round of the job reads the loans that are due, however many wait: this is measured, with the index
/// and, for comparison, without it.
#[tokio::test]
async fn a_hundred_thousand_loans_that_wait_are_not_read() {
    const LOANS: i64 = 100_000;
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let world = World::new(engine).await;
        let (_, loan) = world.borrower().await;
        let mut tx = world.db().begin().await.unwrap();
        // They differ in their ids alone, and wait for a day that is far away.
        let trigger = match engine {
            Engine::Sqlite => "DROP TRIGGER loans_are_due_when_made",
            Engine::Postgres => "DROP TRIGGER loans_are_due_when_made ON loans",
        };
        tx.execute(trigger, args![]).await.unwrap();
        let copies = "INSERT INTO loans (id, tenant_id, product_id, borrower, contract, accounts, head,
                posted, posted_on, running, created_at)
            WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $2)
            SELECT id || '-' || n, tenant_id, product_id, borrower, contract, accounts, head, posted,
                posted_on, running, created_at
            FROM loans, numbers WHERE id = $1";
        tx.execute(copies, args![loan, LOANS]).await.unwrap();
        let wait = "INSERT INTO loan_reminders_due (loan_id, tenant_id, remind_at)
            SELECT id, tenant_id, 4000000000000000 FROM loans WHERE id <> $1";
        assert_eq!(tx.execute(wait, args![loan]).await.unwrap(), 100_000);
        tx.execute("ANALYZE", args![]).await.unwrap();
        tx.commit().await.unwrap();
        let round = async || {
            let start = Instant::now();
            let mut tx = world.db().read().await.unwrap();
            let due =
                world.loans.loans_to_remind_of(&mut tx, world.tenant, None, 200).await.unwrap();
            (due.iter().map(|due| due.loan).collect::<Vec<_>>(), start.elapsed())
        };
        let (due, _) = round().await;
        assert_eq!(due, [loan]);
        let mut rounds = Vec::new();
        for _ in 0..20 {
            rounds.push(round().await.1);
        }
        rounds.sort_unstable();
        let indexed = rounds[10];
        let mut tx = world.db().begin().await.unwrap();
        tx.execute("DROP INDEX loan_reminders_due_by_time", args![]).await.unwrap();
        tx.commit().await.unwrap();
        let without = round().await.1.min(round().await.1);
        println!(
            "{engine:?}: {indexed:?} for a round with {LOANS} loans that wait, {without:?} without index"
        );
        assert!(indexed * 2 < without, "{indexed:?} and {without:?} without the index");
    }
}
