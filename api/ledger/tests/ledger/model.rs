//! Random histories on both engines, predicted by a second, naive implementation that keeps a list
//! of what was accepted and adds it all up again for every question.

use crate::common::Fixture;
use crate::naive::Naive;
use api_ledger::*;
use api_store::{Engine, Tx};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

const ROUNDS: usize = 12;
const CALLERS_MAX: usize = 24;

/// What makes requests, good ones and bad ones.
struct Generator<'f> {
    random: StdRng,
    fixture: &'f Fixture,
    accounts: Vec<AccountId>,
    sent: Vec<Transfer>,
}

impl Generator<'_> {
    fn id(&mut self) -> TransferId {
        TransferId::from_u128(self.random.random())
    }

    fn account(&mut self) -> AccountId {
        let at = self.random.random_range(0..self.accounts.len());
        self.accounts[at]
    }

    fn legs(&mut self) -> Vec<Leg> {
        let count = self.random.random_range(1..=3);
        let leg = |generator: &mut Self| Leg {
            debit: generator.account(),
            credit: generator.account(),
            amount: generator.random.random_range(0..60),
        };
        (0..count).map(|_| leg(self)).collect()
    }

    /// An id that was sent before, mostly.
    fn known(&mut self) -> TransferId {
        if self.sent.is_empty() || self.random.random_ratio(1, 20) {
            return self.id();
        }
        let at = self.random.random_range(0..self.sent.len());
        self.sent[at].id
    }

    fn transfer(&mut self) -> Transfer {
        let (tenant, id) = (self.fixture.tenant, self.id());
        let transfer = match self.random.random_range(0..20) {
            0..=7 => Transfer::new(tenant, id, self.legs()),
            8..=11 => {
                let timeout = self.random.random_range(0..4);
                let timeout = (timeout > 0).then_some(timeout * 30);
                Transfer::pending(tenant, id, self.legs(), timeout)
            }
            12..=13 => Transfer::post_pending(tenant, id, self.known()),
            14 => {
                let count = self.random.random_range(1..=3);
                let amounts = (0..count).map(|_| self.random.random_range(0..40)).collect();
                Transfer::post_pending_part(tenant, id, self.known(), amounts)
            }
            15 => Transfer::void_pending(tenant, id, self.known()),
            16 => Transfer::reverse(tenant, id, self.known()),
            17 => {
                let pending = self.known();
                let mut expire = Transfer::void_pending(tenant, id, pending);
                expire.action = Action::ExpirePending { pending };
                expire
            }
            18 if !self.sent.is_empty() => {
                let at = self.random.random_range(0..self.sent.len());
                self.sent[at].clone()
            }
            _ => Transfer::new(tenant, self.known(), self.legs()),
        };
        self.sent.push(transfer.clone());
        transfer
    }

    fn group(&mut self) -> Vec<Transfer> {
        let lone = self.random.random_ratio(3, 4);
        let length = if lone { 1 } else { self.random.random_range(2..5) };
        (0..length).map(|_| self.transfer()).collect()
    }
}

/// Sends the groups by concurrent callers. On one thread tasks begin in the order in which they were
/// spawned, so the queue has this order, however it is cut into commits.
async fn send(front: &GroupCommit, groups: &[Vec<Transfer>]) -> Vec<Vec<Result<Posted, Refusal>>> {
    let callers: Vec<_> = groups
        .iter()
        .map(|group| {
            let (front, group) = (front.clone(), group.clone());
            tokio::spawn(async move { front.post_group(group).await.unwrap() })
        })
        .collect();
    let mut results = Vec::new();
    for caller in callers {
        results.push(caller.await.unwrap());
    }
    results
}

/// Each by the ledger itself.
async fn each(ledger: &Ledger, groups: &[Vec<Transfer>]) -> Vec<Vec<Result<Posted, Refusal>>> {
    let mut results = Vec::new();
    for group in groups {
        results.push(ledger.post_group(group).await.unwrap());
    }
    results
}

/// Each in a transaction of the caller, a first one of which is taken back.
async fn in_own_transactions(
    ledger: &Ledger,
    groups: &[Vec<Transfer>],
) -> Vec<Vec<Result<Posted, Refusal>>> {
    let mut results = Vec::new();
    for group in groups {
        for is_kept in [false, true] {
            let mut tx = ledger.db().begin().await.unwrap();
            let answer = ledger.post_group_in(&mut tx, group).await.unwrap();
            if is_kept {
                tx.commit().await.unwrap();
                results.push(answer);
            } else {
                tx.rollback().await.unwrap();
            }
        }
    }
    results
}

async fn all_totals(ledger: &Ledger, tx: &mut Tx, ids: &[AccountId]) -> Vec<Totals> {
    let mut totals = Vec::new();
    for id in ids {
        totals.push(ledger.balance(tx, *id, AsOf::Now).await.unwrap().totals);
    }
    totals
}

async fn follow_the_model(engine: Engine, seed: u64) {
    let fixture = Fixture::new(engine).await;
    let mut naive = Naive::new();
    let mut accounts = Vec::new();
    for n in 0..6 {
        let side = if n % 2 == 0 { Side::Debit } else { Side::Credit };
        let floor = [Floor::None, Floor::Zero, Floor::Zero, Floor::At(-40), Floor::At(5)][n % 5];
        let asset = if n == 5 { "USD" } else { "EUR" };
        let new = NewAccount::new(fixture.tenant, &format!("a{n}"), asset, side).with_floor(floor);
        let new = if n == 4 { new.without_history() } else { new };
        let id = fixture.open(new.clone()).await;
        naive.open(id, &new);
        accounts.push(id);
    }
    accounts.push(AccountId::new(1_000_000));
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = StdRng::from_seed(bytes);
    let mut generator =
        Generator { random, fixture: &fixture, accounts: accounts.clone(), sent: Vec::new() };
    let front = GroupCommit::start(fixture.ledger.clone());
    // Another server on the same database.
    let other = fixture.another();
    let mut reader = None;
    for round in 0..ROUNDS {
        let callers = generator.random.random_range(1..=CALLERS_MAX);
        let groups: Vec<_> = (0..callers).map(|_| generator.group()).collect();
        let now = fixture.now().as_second();
        let results = match generator.random.random_range(0..5) {
            0 => each(&other, &groups).await,
            1 => in_own_transactions(&fixture.ledger, &groups).await,
            _ => send(&front, &groups).await,
        };
        for (group, results) in groups.iter().zip(results) {
            let answers: Vec<_> =
                results.into_iter().map(|result| result.map(|posted| posted.outcome)).collect();
            let expected = naive.post(group, now);
            assert_eq!(answers, expected, "seed {seed}, {engine:?}, round {round}: {group:?}");
        }
        let totals: Vec<Totals> = accounts[..6].iter().map(|id| naive.totals(*id)).collect();
        for ledger in [&fixture.ledger, &other, &fixture.another()] {
            let mut tx = ledger.db().read().await.unwrap();
            let found = all_totals(ledger, &mut tx, &accounts[..6]).await;
            assert_eq!(found, totals, "seed {seed}, {engine:?}, round {round}");
            tx.rollback().await.unwrap();
        }
        // A reader that began some rounds ago sees what was then, whatever came or was folded since.
        let (mut tx, then) = match reader.take() {
            Some(reader) => reader,
            None => (fixture.test_db.db.read().await.unwrap(), totals),
        };
        assert_eq!(all_totals(&fixture.ledger, &mut tx, &accounts[..6]).await, then);
        reader = generator.random.random_ratio(3, 4).then_some((tx, then));
        fixture.sleep(generator.random.random_range(0..40));
    }
    fixture.assert_clean().await;
}

#[tokio::test]
async fn the_ledger_on_sqlite_agrees_with_a_naive_one() {
    for seed in 0..12 {
        follow_the_model(Engine::Sqlite, seed).await;
    }
}

#[tokio::test]
async fn the_ledger_on_postgres_agrees_with_a_naive_one() {
    for seed in 100..112 {
        follow_the_model(Engine::Postgres, seed).await;
    }
}
