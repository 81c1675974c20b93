//! Reminders with a database: every decision is recorded, and no payment is overtaken.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api_loans::loan::Body;
use api_loans::reminders::{Channel, Debtor, Decision, Holds, Profile, Reason};
use api_loans::{Contact, DueLoan, Reminder, SEND_WITHIN};
use api_store::{Engine, args};
use common::world::{World, on_both};
use jiff::civil::date;
use uuid::Uuid;

fn contact() -> Contact {
    Contact {
        debtor: Debtor {
            zone: "Europe/Berlin".to_owned(),
            language: "en".to_owned(),
            consents: BTreeSet::from([Channel::Email]),
            opted_out: false,
            holds: Holds::default(),
        },
        profile: Profile { per_day: 5000, per_week: 5000, ..Profile::built_in("eu").unwrap() },
    }
}

async fn remind(world: &World, loan: Uuid) -> anyhow::Result<Reminder> {
    let mut tx = world.db().begin().await?;
    let reminder = world.loans.remind(&mut tx, world.tenant, loan).await?;
    tx.commit().await?;
    Ok(reminder)
}

async fn set_contact(world: &World, contact: &Contact) -> anyhow::Result<()> {
    let mut tx = world.db().begin().await?;
    world.loans.set_contact(&mut tx, world.tenant, "customer-1", contact).await?;
    tx.commit().await?;
    Ok(())
}

fn reason(reminder: &Reminder) -> Option<Reason> {
    match reminder.decision {
        Decision::Suppress { reason, .. } => Some(reason),
        Decision::Send { .. } => None,
    }
}

#[tokio::test]
async fn every_decision_is_recorded_with_its_reason() -> anyhow::Result<()> {
    on_both(|engine| async move {
        let world = World::new(engine, date(2024, 2, 20)).await?;
        let loan = world.lend().await?;
        let other = world.lend().await?;
        let mut tx = world.db().begin().await?;
        let due = world.loans.loans_to_remind_of(&mut tx, world.tenant, None, 10).await?;
        assert_eq!(due, [loan, other].map(|loan| DueLoan { since: 0, loan }));
        let rest = world.loans.loans_to_remind_of(&mut tx, world.tenant, Some(due[0]), 10).await?;
        assert_eq!(rest, due[1..]);
        tx.rollback().await?;
        assert_eq!(reason(&remind(&world, loan).await?), Some(Reason::UnknownDebtor));
        let strict = Contact { profile: Profile::built_in("eu")?, ..contact() };
        set_contact(&world, &strict).await?;
        let sent = remind(&world, loan).await?;
        assert_eq!(reason(&sent), None, "five days late, at 13:00 in Berlin, with consent");
        assert_eq!(sent.send_before, Some(sent.decided_at + SEND_WITHIN));
        assert_eq!(reason(&remind(&world, loan).await?), Some(Reason::AlreadySent));
        // The caps protect the person, not the loan.
        assert_eq!(reason(&remind(&world, other).await?), Some(Reason::DayCap));
        let mut tx = world.db().begin().await?;
        let due = world.loans.loans_to_remind_of(&mut tx, world.tenant, None, 10).await?;
        assert!(due.is_empty(), "all are decided for now: {due:?}");
        let letter = world.loans.letter(&mut tx, world.tenant, &sent).await?;
        assert!(letter.subject.contains("5 days late"), "{}", letter.subject);
        assert!(letter.body.contains("1066.19 CNY"), "{}", letter.body);
        world.loans.note_delivery(&mut tx, world.tenant, sent.id, "250 queued").await?;
        assert!(world.loans.opt_out(&mut tx, world.tenant, "customer-1").await?);
        assert!(!world.loans.opt_out(&mut tx, world.tenant, "nobody").await?);
        tx.commit().await?;
        assert_eq!(reason(&remind(&world, other).await?), Some(Reason::OptedOut));
        let mut tx = world.db().begin().await?;
        let all = world.loans.reminders(&mut tx, world.tenant, loan).await?;
        let reasons: Vec<Option<Reason>> = all.iter().map(reason).collect();
        assert_eq!(reasons, [Some(Reason::UnknownDebtor), None, Some(Reason::AlreadySent)]);
        assert_eq!(all[1].delivery.as_deref(), Some("250 queued"));
        let stranger = api_ledger::TenantId::new(Uuid::now_v7());
        assert!(world.loans.reminders(&mut tx, stranger, loan).await?.is_empty());
        assert!(world.loans.contact(&mut tx, stranger, "customer-1").await?.is_none());
        assert!(world.loans.note_delivery(&mut tx, stranger, sent.id, "x").await.is_err());
        assert!(world.loans.remind(&mut tx, stranger, loan).await.is_err());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_loan_is_looked_at_while_it_runs_and_no_longer() -> anyhow::Result<()> {
    on_both(|engine| async move {
        let world = World::new(engine, date(2024, 2, 20)).await?;
        let (loan, other) = (world.lend().await?, world.lend().await?);
        let due = async || -> anyhow::Result<Vec<Uuid>> {
            let mut tx = world.db().begin().await?;
            let due = world.loans.loans_to_remind_of(&mut tx, world.tenant, None, 10).await?;
            Ok(due.into_iter().map(|due| due.loan).collect())
        };
        let mut tx = world.db().begin().await?;
        tx.execute("UPDATE loans SET running = FALSE WHERE id = $1", args![loan]).await?;
        tx.commit().await?;
        assert_eq!(due().await?, [other]);
        let mut tx = world.db().begin().await?;
        tx.execute("UPDATE loans SET running = TRUE", args![]).await?;
        tx.commit().await?;
        assert_eq!(due().await?, [loan, other]);
        remind(&world, other).await?;
        assert_eq!(due().await?, [loan], "the other waits");
        set_contact(&world, &contact()).await?;
        let mut tx = world.db().begin().await?;
        let update = world.loans.update_contact(&mut tx, world.tenant, "customer-1", |_| ());
        update.await?;
        tx.commit().await?;
        assert_eq!(due().await?, [loan, other], "what is known has changed");
        Ok(())
    })
    .await
}

const TRIES: usize = 1000;
const AT_ONCE: usize = 25;

/// A payment and a reminder of the same overdue instalment at the same time, 1,000 times: whenever
/// the payment was committed before the decision, the decision is to send nothing.
async fn race(engine: Engine) -> anyhow::Result<()> {
    let world = Arc::new(World::new(engine, date(2024, 2, 20)).await?);
    set_contact(&world, &contact()).await?;
    let clock = Arc::new(AtomicU64::new(1));
    let (mut sent, mut suppressed) = (0, 0);
    for round in 0..TRIES.div_ceil(AT_ONCE) {
        let mut loans = Vec::new();
        let mut tx = world.db().begin().await?;
        for _ in 0..AT_ONCE {
            let loan = Uuid::now_v7();
            world.loans.disburse(&mut tx, world.tenant, &world.disbursal(loan)).await?;
            loans.push(loan);
        }
        tx.commit().await?;
        let mut tries = Vec::new();
        for (index, loan) in loans.into_iter().enumerate() {
            let (payer, reminder) = (world.clone(), world.clone());
            let (payers_clock, reminders_clock) = (clock.clone(), clock.clone());
            let pay = async move {
                let request = payer.payment(loan, date(2024, 2, 20), 106_619);
                payer.pay(&request).await.unwrap();
                payers_clock.fetch_add(1, Ordering::SeqCst)
            };
            let send = async move {
                let before = reminders_clock.fetch_add(1, Ordering::SeqCst);
                (before, remind(&reminder, loan).await.unwrap())
            };
            // Either may be first in the queue for the database.
            let pair = if (index + round) % 2 == 0 {
                let (pay, send) = (tokio::spawn(pay), tokio::spawn(send));
                (pay, send)
            } else {
                let send = tokio::spawn(send);
                (tokio::spawn(pay), send)
            };
            tries.push((loan, pair));
        }
        for (loan, (pay, send)) in tries {
            let (paid_at, (began_at, reminder)) = (pay.await?, send.await?);
            let mut tx = world.db().read().await?;
            let events = world.loans.events(&mut tx, world.tenant, loan).await?;
            let payment = events.iter().find(|event| matches!(event.body, Body::Repaid { .. }));
            let payment = payment.unwrap().seq;
            match reason(&reminder) {
                None => {
                    sent += 1;
                    assert!(reminder.head < payment, "it knew of the payment");
                    assert!(began_at < paid_at, "the payment was over before the decision began");
                }
                Some(why) => {
                    suppressed += 1;
                    assert!(matches!(why, Reason::NothingDue | Reason::TooEarly), "{why:?}");
                    assert!(reminder.head >= payment, "suppressed without a payment");
                }
            }
        }
    }
    assert_eq!(sent + suppressed, TRIES);
    assert!(sent > 0 && suppressed > 0, "{sent} sent, {suppressed} suppressed: no race");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_payment_is_never_overtaken_by_a_reminder_sqlite() -> anyhow::Result<()> {
    race(Engine::Sqlite).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_payment_is_never_overtaken_by_a_reminder_postgres() -> anyhow::Result<()> {
    race(Engine::Postgres).await
}
