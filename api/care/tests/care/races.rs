//! Real concurrency on both databases, through the jobs that the server runs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api_care::SendState;
use api_loans::loan::Body;
use api_loans::reminders::{Channel, Decision, Reason};
use api_store::Engine;
use uuid::Uuid;

use crate::receiver::Receiver;
use crate::world::{LATE, World};

const ROUNDS: usize = 8;
const AT_ONCE: usize = 25;

/// Borrowers who pay while the jobs decide and send: whoever's payment was committed before the
/// decision gets no reminder, and whoever's was committed before the look at the moment of sending
/// gets no message.
async fn payments_are_never_overtaken(engine: Engine) {
    let world = Arc::new(World::new(engine).await);
    let receiver = Receiver::start().await;
    world.sms_gateway(&receiver.url()).await;
    world.lift_caps().await;
    let clock = Arc::new(AtomicU64::new(1));
    let (mut sent, mut withdrawn, mut suppressed) = (0, 0, 0);
    for round in 0..ROUNDS {
        let mut borrowers = Vec::new();
        for _ in 0..AT_ONCE {
            let (customer, loan) = world.borrower().await;
            world.reach(customer, "en", &[(Channel::Sms, "+4915112345678")]).await;
            borrowers.push((customer, loan));
        }
        let mut payers = Vec::new();
        for (index, (customer, loan)) in borrowers.iter().copied().enumerate() {
            let (world, clock) = (Arc::clone(&world), Arc::clone(&clock));
            payers.push(tokio::spawn(async move {
                // Some before, some while the jobs run.
                let wait = u64::try_from(index * (round % 4) * 12).unwrap();
                tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
                world.pay(customer, loan, LATE).await;
                clock.fetch_add(1, Ordering::SeqCst)
            }));
        }
        let began = clock.fetch_add(1, Ordering::SeqCst);
        world.care.decide_due().await.unwrap();
        let sending = clock.fetch_add(1, Ordering::SeqCst);
        world.care.deliver_due().await.unwrap();
        let arrived: BTreeSet<String> = receiver.take().into_iter().map(|got| got.id).collect();
        for ((customer, loan), payer) in borrowers.into_iter().zip(payers) {
            let paid_at = payer.await.unwrap();
            let decided = world.decisions(customer).await.pop().unwrap();
            let payment = payment(&world, loan).await;
            let id = format!("msg_{}", decided.reminder.id.simple());
            match decided.reminder.decision {
                Decision::Suppress { reason, .. } => {
                    suppressed += 1;
                    assert_eq!(reason, Reason::TooEarly, "its next instalment is far");
                    assert!(decided.reminder.head >= payment, "suppressed without a payment");
                }
                Decision::Send { .. } => {
                    assert!(decided.reminder.head < payment, "it knew of the payment");
                    assert!(began < paid_at, "the payment was over before the job began");
                    let state = decided.sent.unwrap().state;
                    if paid_at < sending {
                        assert_eq!(state, SendState::Withdrawn, "paid before the sending began");
                    }
                    let has_arrived = arrived.contains(&id);
                    assert_eq!(has_arrived, state == SendState::Sent, "{state:?}");
                    if has_arrived { sent += 1 } else { withdrawn += 1 }
                }
            }
        }
    }
    assert_eq!(sent + withdrawn + suppressed, ROUNDS * AT_ONCE);
    println!("{sent} sent, {withdrawn} withdrawn, {suppressed} suppressed");
    assert!(sent + withdrawn > 0 && suppressed > 0, "no race");
}

async fn payment(world: &World, loan: Uuid) -> u64 {
    let mut tx = world.db().read().await.unwrap();
    let events = world.loans.events(&mut tx, world.tenant, loan).await.unwrap();
    let payment = events.iter().find(|event| matches!(event.body, Body::Repaid { .. }));
    payment.unwrap().seq
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn payments_are_never_overtaken_on_sqlite() {
    payments_are_never_overtaken(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn payments_are_never_overtaken_on_postgres() {
    payments_are_never_overtaken(Engine::Postgres).await;
}

/// An opt-out while the sender is at work: who is withdrawn gets nothing, and nobody gets anything
/// after a look that came after the opt-out.
async fn opt_outs_count_while_messages_leave(engine: Engine) {
    let world = Arc::new(World::new(engine).await);
    let receiver = Receiver::start().await;
    world.sms_gateway(&receiver.url()).await;
    let mut borrowers = Vec::new();
    for _ in 0..60 {
        let (customer, _) = world.borrower().await;
        world.reach(customer, "en", &[(Channel::Sms, "+4915112345678")]).await;
        borrowers.push(customer);
    }
    assert_eq!(world.care.decide_due().await.unwrap().sends, 60);
    let (before, during) = borrowers.split_at(10);
    for customer in before {
        opt_out(&world, *customer).await;
    }
    let stopper = {
        let (world, during) = (Arc::clone(&world), during.to_vec());
        tokio::spawn(async move {
            for customer in during.iter().rev() {
                opt_out(&world, *customer).await;
            }
        })
    };
    world.care.deliver_due().await.unwrap();
    stopper.await.unwrap();
    let arrived: BTreeSet<String> = receiver.take().into_iter().map(|got| got.id).collect();
    let mut withdrawn = 0;
    for (number, customer) in borrowers.iter().enumerate() {
        let decided = world.decisions(*customer).await.pop().unwrap();
        let id = format!("msg_{}", decided.reminder.id.simple());
        let state = decided.sent.unwrap().state;
        assert_eq!(arrived.contains(&id), state == SendState::Sent, "{state:?}");
        if state == SendState::Withdrawn {
            withdrawn += 1;
            assert_eq!(decided.reminder.withdrawn, Some(Reason::OptedOut));
        }
        assert!(number >= 10 || state == SendState::Withdrawn, "opted out before it began");
    }
    assert!(withdrawn >= 10, "{withdrawn}");
    // Later nothing leaves any more.
    world.move_clock(jiff::SignedDuration::from_hours(24));
    world.care.decide_due().await.unwrap();
    world.care.deliver_due().await.unwrap();
    assert!(receiver.take().is_empty());
}

async fn opt_out(world: &World, customer: Uuid) {
    let mut tx = world.db().begin().await.unwrap();
    world.care.opt_out(&mut tx, world.tenant, customer, "a call").await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn opt_outs_count_while_messages_leave_on_sqlite() {
    opt_outs_count_while_messages_leave(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn opt_outs_count_while_messages_leave_on_postgres() {
    opt_outs_count_while_messages_leave(Engine::Postgres).await;
}
