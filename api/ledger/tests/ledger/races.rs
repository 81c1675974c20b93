//! What concurrent callers must not break, on both engines.

use std::sync::Arc;
use std::time::Duration;

use crate::common::Fixture;
use crate::servers::{another_server, server_ahead};
use api_ledger::*;
use api_store::Engine;
use tokio::sync::Barrier;

const CLIENTS: u128 = 64;

on_both_engines! {
    promise_27_one_of_64_withdrawals_of_the_whole_balance_succeeds
    promise_27_also_through_the_group_commit
    promise_28_the_same_transfer_sent_by_64_clients_happens_once
    promise_28_one_id_with_two_bodies_has_one_effect
    a_pending_transfer_ends_once_under_a_race
    transfers_in_both_directions_do_not_deadlock
    every_read_sees_the_same_total
}

/// Runs `work(0..CLIENTS)` at once; returns the results.
async fn race<T, F>(work: impl Fn(u128) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    race_of(CLIENTS, work).await
}

async fn race_of<T, F>(clients: u128, work: impl Fn(u128) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(Barrier::new(usize::try_from(clients).unwrap()));
    let clients: Vec<_> = (0..clients)
        .map(|client| {
            let (start, work) = (Arc::clone(&start), work(client));
            tokio::spawn(async move {
                start.wait().await;
                work.await
            })
        })
        .collect();
    let mut results = Vec::new();
    for client in clients {
        results.push(client.await.unwrap());
    }
    results
}

fn outcome(result: Result<Posted, PostError>) -> Result<Outcome, Refusal> {
    match result {
        Ok(posted) => Ok(posted.outcome),
        Err(PostError::Refused(refusal)) => Err(refusal),
        Err(PostError::Ledger(error)) => panic!("{error}"),
    }
}

fn count<T: PartialEq>(results: &[T], value: &T) -> usize {
    results.iter().filter(|result| *result == value).count()
}

async fn promise_27_one_of_64_withdrawals_of_the_whole_balance_succeeds(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann) = (f.bank().await, f.customer("ann").await);
    f.post(&f.transfer(1, bank, ann, 1000)).await.unwrap();
    let results = race(|client| {
        let (ledger, withdrawal) = (f.ledger.clone(), f.transfer(100 + client, ann, bank, 1000));
        async move { outcome(ledger.post(&withdrawal).await) }
    })
    .await;
    assert_eq!(count(&results, &Ok(Outcome::Executed)), 1);
    assert_eq!(count(&results, &Err(Refusal::InsufficientFunds)), 63);
    assert_eq!(f.balance(ann).await.available().or_zero(), 0);
    f.assert_clean().await;
}

async fn promise_27_also_through_the_group_commit(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann) = (f.bank().await, f.customer("ann").await);
    f.post(&f.transfer(1, bank, ann, 1000)).await.unwrap();
    // Two fronts, as of two processes, and one that commits by itself.
    let fronts = [GroupCommit::start(f.ledger.clone()), GroupCommit::start(f.ledger.clone())];
    let results = race(|client| {
        let (ledger, withdrawal) = (f.ledger.clone(), f.pending(100 + client, ann, bank, 1000));
        let front = fronts.get(usize::try_from(client % 3).unwrap()).cloned();
        async move {
            outcome(match front {
                Some(front) => front.post(withdrawal).await,
                None => ledger.post(&withdrawal).await,
            })
        }
    })
    .await;
    assert_eq!(count(&results, &Ok(Outcome::Executed)), 1);
    assert_eq!(count(&results, &Err(Refusal::InsufficientFunds)), 63);
    f.assert_clean().await;
}

async fn promise_28_the_same_transfer_sent_by_64_clients_happens_once(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann) = (f.bank().await, f.customer("ann").await);
    let front = GroupCommit::start(f.ledger.clone());
    let results = race(|client| {
        let (ledger, front) = (f.ledger.clone(), front.clone());
        let top_up = f.transfer(1, bank, ann, 1000);
        async move {
            let alone = client % 2 == 0;
            let result = if alone { ledger.post(&top_up).await } else { front.post(top_up).await };
            result.unwrap()
        }
    })
    .await;
    let executed = results.iter().filter(|posted| posted.outcome == Outcome::Executed).count();
    assert_eq!(executed, 1);
    assert!(results.iter().all(|posted| posted.seq == results[0].seq), "one answer for all");
    assert!(results.iter().all(|posted| posted.recorded_at == results[0].recorded_at));
    assert_eq!(f.balance(ann).await.available().or_zero(), 1000);
    f.assert_clean().await;
}

async fn promise_28_one_id_with_two_bodies_has_one_effect(engine: Engine) {
    let f = Fixture::new(engine).await;
    // Accounts of their own, so that no lock on an account orders the two bodies.
    let (bank, ann, bob) = (f.bank().await, f.customer("ann").await, f.customer("bob").await);
    let till = NewAccount::new(f.tenant, "till", "EUR", Side::Debit).with_floor(Floor::None);
    let till = f.open(till).await;
    let results = race(|client| {
        let ledger = f.ledger.clone();
        let body = if client % 2 == 0 {
            f.transfer(1, bank, ann, 10)
        } else {
            f.transfer(1, till, bob, 20)
        };
        async move { outcome(ledger.post(&body).await) }
    })
    .await;
    assert_eq!(count(&results, &Ok(Outcome::Executed)), 1);
    assert_eq!(count(&results, &Ok(Outcome::AlreadyApplied)), 31);
    assert_eq!(count(&results, &Err(Refusal::IdConflict)), 32);
    let paid = (f.balance(ann).await.posted().or_zero(), f.balance(bob).await.posted().or_zero());
    assert!(paid == (10, 0) || paid == (0, 20), "{paid:?}");
    f.assert_clean().await;
}

/// How one of those who race to end a pending transfer tries to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Post,
    PostPart,
    Void,
    /// By the job of a server whose clock says that the time is over.
    Expire,
    /// By that server too: it never comes through.
    PostLate,
}

const ENDS: [End; 5] = [End::Post, End::PostPart, End::Void, End::Expire, End::PostLate];

impl End {
    /// What the others are told when this one was first, and what is available of 1,000 then.
    const fn told(self) -> (Refusal, u128) {
        match self {
            Self::Post => (Refusal::PendingAlreadyPosted, 300),
            Self::PostPart => (Refusal::PendingAlreadyPosted, 900),
            Self::Void => (Refusal::PendingAlreadyVoided, 1000),
            Self::Expire | Self::PostLate => (Refusal::PendingExpired, 1000),
        }
    }

    /// The transfer, unless it is the job that makes it.
    fn transfer(self, tenant: TenantId, id: TransferId, pending: TransferId) -> Option<Transfer> {
        match self {
            Self::Post | Self::PostLate => Some(Transfer::post_pending(tenant, id, pending)),
            Self::PostPart => Some(Transfer::post_pending_part(tenant, id, pending, vec![100])),
            Self::Void => Some(Transfer::void_pending(tenant, id, pending)),
            Self::Expire => None,
        }
    }
}

/// A pending transfer of 700 from 1,000 that can be posted for a minute, and everybody who may end it; who
/// begins changes with `round`. Returns who was first.
async fn race_to_end(f: &Fixture, round: usize) -> End {
    let ann = f.customer(&format!("ann{round}")).await;
    let bank = f.bank().await;
    let id = |number| TransferId::from_u128(1000 * (round as u128 + 1) + number);
    f.post(&f.transfer(1000 * (round as u128 + 1) + 1, bank, ann, 1000)).await.unwrap();
    let legs = vec![Leg { debit: ann, credit: bank, amount: 700 }];
    f.post(&Transfer::pending(f.tenant, id(2), legs, Some(60))).await.unwrap();
    let servers = [f.another(), another_server(f).await];
    let late = server_ahead(f, 60).await;
    let fronts = servers.each_ref().map(|server| GroupCommit::start(server.clone()));
    let results = race_of(25, |client| {
        let end = ENDS[usize::try_from(client).unwrap() % ENDS.len()];
        let transfer = end.transfer(f.tenant, id(100 + client), id(2));
        let at = usize::try_from(client / 5).unwrap();
        let (late, front, server) = (late.clone(), fronts[at % 2].clone(), servers[at % 2].clone());
        async move {
            if end != ENDS[round % ENDS.len()] {
                tokio::time::sleep(Duration::from_millis(1 + u64::try_from(client % 4).unwrap()))
                    .await;
            }
            let result = match (end, transfer) {
                (End::PostLate, Some(transfer)) => outcome(late.post(&transfer).await),
                (_, Some(transfer)) if at % 3 == 0 => outcome(server.post(&transfer).await),
                (_, Some(transfer)) => outcome(front.post(transfer).await),
                (_, None) => match late.expire_pending(10).await.unwrap() {
                    0 => Err(Refusal::PendingExpired),
                    _ => Ok(Outcome::Executed),
                },
            };
            (end, result)
        }
    })
    .await;
    let first: Vec<End> =
        results.iter().filter(|(_, result)| result.is_ok()).map(|(end, _)| *end).collect();
    assert_eq!(first.len(), 1, "{results:?}");
    let (told, available) = first[0].told();
    for (end, result) in results.iter().filter(|(_, result)| result.is_err()) {
        let of_late = [End::Expire, End::PostLate].contains(end);
        let fits =
            *result == Err(told.clone()) || of_late && *result == Err(Refusal::PendingExpired);
        assert!(fits, "{first:?} was first, and {end:?} was told {result:?}");
    }
    let balance = f.balance(ann).await;
    assert_eq!((balance.pending_out(), balance.available().or_zero()), (0, available));
    first[0]
}

async fn a_pending_transfer_ends_once_under_a_race(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut first = Vec::new();
    for round in 0..2 * ENDS.len() {
        first.push(race_to_end(&f, round).await);
        f.sleep(100);
    }
    println!("{engine:?}: first were {first:?}");
    assert!(!first.contains(&End::PostLate), "posted after its time");
    f.assert_clean().await;
}

async fn transfers_in_both_directions_do_not_deadlock(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann, bob) = (f.bank().await, f.customer("ann").await, f.customer("bob").await);
    f.post(&f.transfer(1, bank, ann, 1000)).await.unwrap();
    f.post(&f.transfer(2, bank, bob, 1000)).await.unwrap();
    let results = race(|client| {
        let ledger = f.ledger.clone();
        let (from, to) = if client % 2 == 0 { (ann, bob) } else { (bob, ann) };
        let transfers: Vec<_> =
            (0..5).map(|n| f.transfer(100 + client * 5 + n, from, to, 1 + n)).collect();
        async move {
            for transfer in transfers {
                outcome(ledger.post(&transfer).await).unwrap();
            }
        }
    })
    .await;
    assert_eq!(results.len(), 64);
    assert_eq!(f.balance(ann).await.available().or_zero(), 1000);
    f.assert_clean().await;
}

/// Jepsen's `bank`: money moves among the customers, and no reader ever sees it made or lost.
async fn every_read_sees_the_same_total(engine: Engine) {
    let f = Fixture::new(engine).await;
    let bank = f.bank().await;
    let mut customers = Vec::new();
    for n in 0..5 {
        let customer = f.customer(&format!("c{n}")).await;
        f.post(&f.transfer(n, bank, customer, 1000)).await.unwrap();
        customers.push(customer);
    }
    // Two servers, each with a group commit and with callers who commit by themselves.
    let servers = [f.another(), another_server(&f).await];
    let fronts = servers.each_ref().map(|server| GroupCommit::start(server.clone()));
    let (tenant, customers) = (f.tenant, Arc::new(customers));
    let reads = race(|client| {
        let at = usize::try_from(client).unwrap() % 2;
        let (front, ledger) = (fronts[at].clone(), servers[at].clone());
        let customers = Arc::clone(&customers);
        async move {
            if client % 8 < 2 {
                return read_totals(&ledger, tenant).await;
            }
            for n in 0..10_usize {
                let at = usize::try_from(client).unwrap() + n;
                let (debit, credit) = (customers[at % 5], customers[(at + 1 + n % 4) % 5]);
                let legs = vec![Leg { debit, credit, amount: 1 + client }];
                let id = TransferId::from_u128(1000 + client * 10 + u128::try_from(n).unwrap());
                let transfer = Transfer::new(tenant, id, legs);
                let result = match client % 8 {
                    2 | 3 => ledger.post(&transfer).await,
                    _ => front.post(transfer).await,
                };
                let expected = [Ok(Outcome::Executed), Err(Refusal::InsufficientFunds)];
                assert!(expected.contains(&outcome(result)));
            }
            Vec::new()
        }
    })
    .await;
    let reads: Vec<String> = reads.into_iter().flatten().collect();
    assert_eq!(reads.len(), 16 * 10);
    assert!(reads.iter().all(|total| total == "5000"), "{reads:?}");
    f.assert_clean().await;
}

/// What all customers own, ten times.
async fn read_totals(ledger: &Ledger, tenant: TenantId) -> Vec<String> {
    let mut reads = Vec::new();
    for _ in 0..10 {
        let mut tx = ledger.db().read().await.unwrap();
        let sums = ledger.account_totals(&mut tx, tenant, "customer").await.unwrap();
        tx.rollback().await.unwrap();
        let balance = Balance { side: Side::Credit, totals: sums[0].totals };
        reads.push(balance.posted().to_string());
    }
    reads
}
