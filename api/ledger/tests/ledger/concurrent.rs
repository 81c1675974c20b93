//! Writers that are concurrent in truth, on two servers: there is an order of what they did in which each
//! gets the answer that the naive ledger gives, and which respects who was answered before who began.
//!
//! Of what was done the order is known: that of `seq`. Who was refused, or told of an earlier answer, must
//! have been so at one moment between the call and its answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use api_ledger::*;
use api_store::Engine;
use rand::Rng as _;
use tokio::task::JoinSet;

use crate::common::Fixture;
use crate::model::generator::Generator;
use crate::model::{all_totals, apply, opened};
use crate::naive::{Answer, Change, Naive, agrees};
use crate::servers::another_server;

const WRITERS: usize = 12;
const CALLS: usize = 8;
const PHASES: usize = 3;

on_both_engines! {
    concurrent_writers_leave_a_legal_order
}

/// What a writer does at once: all or nothing.
#[derive(Clone, Debug)]
struct Work {
    group: Vec<Transfer>,
    /// Done before it in the same transaction; then the group is one transfer that nothing refuses.
    change: Option<(AccountId, Change)>,
}

/// Something that was done, with the moments before and after it.
#[derive(Clone, Debug)]
struct Call {
    work: Work,
    begun: usize,
    ended: usize,
    changed: bool,
    results: Vec<Result<Posted, Refusal>>,
}

impl Call {
    /// Where it is in the books, if it is there by itself.
    fn place(&self) -> Option<i64> {
        let own = |result: &Result<Posted, Refusal>| {
            result
                .as_ref()
                .ok()
                .filter(|posted| posted.outcome == Outcome::Executed)
                .map(|of| of.seq)
        };
        self.results.iter().filter_map(own).min()
    }

    fn agrees(&self, expected: &[Answer]) -> bool {
        let outcome = |result: &Result<Posted, Refusal>| Ok(result.clone()?.outcome);
        let found: Vec<_> = self.results.iter().map(outcome).collect();
        expected.len() == found.len()
            && expected.iter().zip(&found).all(|(expected, found)| agrees(expected, found))
    }

    /// What is to be answered at this moment, and whether it was.
    fn fits(&self, naive: &mut Naive, now: i64) -> bool {
        let expected = naive.would(&self.work.group, now);
        self.agrees(&expected)
    }
}

/// A way to the books.
#[derive(Clone)]
enum Way {
    Front(GroupCommit),
    Alone(Ledger),
    OwnTransaction(Ledger),
}

impl Way {
    async fn go(&self, work: &Work) -> (bool, Vec<Result<Posted, Refusal>>) {
        match self {
            Self::Front(front) => (true, front.post_group(work.group.clone()).await.unwrap()),
            Self::Alone(ledger) => (true, ledger.post_group(&work.group).await.unwrap()),
            Self::OwnTransaction(ledger) => loop {
                match in_own_transaction(ledger, work).await {
                    Ok(done) => return done,
                    Err(error) => assert!(error.is_retryable(), "{error}"),
                }
            },
        }
    }
}

async fn in_own_transaction(
    ledger: &Ledger,
    work: &Work,
) -> Result<(bool, Vec<Result<Posted, Refusal>>), LedgerError> {
    let mut tx = ledger.db().begin().await?;
    let mut changed = true;
    if let Some((id, change)) = &work.change {
        changed = apply(ledger, &mut tx, *id, change).await;
    }
    let results = ledger.post_group_in(&mut tx, &work.group).await?;
    tx.commit().await?;
    Ok((changed, results))
}

/// All writers at once, each one call after the other.
async fn run(ways: &[Way], works: Vec<Vec<Work>>) -> Vec<Call> {
    let moment = Arc::new(AtomicUsize::new(0));
    let start = Arc::new(tokio::sync::Barrier::new(works.len()));
    let mut writers = JoinSet::new();
    for (number, works) in works.into_iter().enumerate() {
        let (own, changing) = (ways[number % ways.len()].clone(), ways[ways.len() - 1].clone());
        let (moment, start) = (Arc::clone(&moment), Arc::clone(&start));
        writers.spawn(async move {
            start.wait().await;
            let mut calls = Vec::new();
            for work in works {
                let way = if work.change.is_some() { &changing } else { &own };
                let begun = moment.fetch_add(1, Ordering::SeqCst);
                let (changed, results) = way.go(&work).await;
                let ended = moment.fetch_add(1, Ordering::SeqCst);
                calls.push(Call { work, begun, ended, changed, results });
            }
            calls
        });
    }
    writers.join_all().await.concat()
}

/// Follows the calls in the order of the books; those without a place have to fit at one of the moments
/// that are left for them.
fn find_order(naive: &mut Naive, calls: Vec<Call>, now: i64) {
    let (mut done, mut other): (BTreeMap<i64, Call>, Vec<Call>) = (BTreeMap::new(), Vec::new());
    for call in calls {
        match call.place() {
            Some(seq) => assert!(done.insert(seq, call).is_none(), "two at {seq}"),
            None => other.push(call),
        }
    }
    let done: Vec<Call> = done.into_values().collect();
    for (number, call) in done.iter().enumerate() {
        let overtaken = done[number..].iter().find(|later| later.ended < call.begun);
        assert!(overtaken.is_none(), "{call:?} is before {overtaken:?} in the books");
    }
    for number in 0..=done.len() {
        other.retain(|call| {
            let is_late = number.checked_sub(1).is_some_and(|last| done[last].begun > call.ended);
            assert!(!is_late, "at no moment {:?} for {call:?}", naive.would(&call.work.group, now));
            let is_early = done[number..].iter().any(|next| next.ended < call.begun);
            is_early || !call.fits(naive, now)
        });
        let Some(call) = done.get(number) else { break };
        if let Some((id, change)) = &call.work.change {
            assert_eq!(naive.change(*id, change), call.changed, "{call:?}");
        }
        let expected = naive.post(&call.work.group, now);
        assert!(call.agrees(&expected), "{expected:?} for {call:?}");
    }
    assert!(other.is_empty(), "at no moment: {other:?}");
}

struct Writers {
    fixture: Fixture,
    naive: Naive,
    generator: Generator,
    /// No other work touches these accounts.
    marks: [AccountId; 2],
    accounts: Vec<AccountId>,
}

impl Writers {
    async fn new(engine: Engine, seed: u64) -> Self {
        let fixture = Fixture::new(engine).await;
        let (mut naive, tenants, accounts) = opened(&fixture).await;
        let mut tx = fixture.begin().await;
        let mut marks = Vec::new();
        for code in ["z:0", "z:1"] {
            let new = NewAccount::new(tenants[0], code, "MARK", Side::Debit);
            let new = new.with_floor(Floor::None);
            let id = fixture.ledger.open_account(&mut tx, &new).await.unwrap();
            naive.open(id, &new);
            marks.push(id);
        }
        tx.commit().await.unwrap();
        let all = accounts.concat();
        let generator = Generator::new(seed, tenants, accounts);
        Self { fixture, naive, generator, marks: marks.try_into().unwrap(), accounts: all }
    }

    /// What each writer does: some of it is what another one does too.
    fn works(&mut self) -> Vec<Vec<Work>> {
        let mut works = vec![Vec::new(); WRITERS];
        for number in 0..WRITERS * CALLS {
            let work = if self.generator.once_in(8) {
                let [debit, credit] = self.marks;
                let leg = Leg { debit, credit, amount: 1 };
                let id = TransferId::from_u128(self.generator.random.random());
                let mark = Transfer::new(self.generator.tenants[0], id, vec![leg]);
                Work { group: vec![mark], change: Some(self.generator.change()) }
            } else {
                Work { group: self.generator.group(), change: None }
            };
            if work.change.is_none() && self.generator.once_in(5) {
                let at = self.generator.random.random_range(0..WRITERS);
                works[at].push(work.clone());
            }
            works[number % WRITERS].push(work);
        }
        works
    }

    async fn fund(&mut self, now: i64) {
        for group in self.generator.funds() {
            let results = self.fixture.ledger.post_group(&group).await.unwrap();
            assert!(results.iter().all(Result::is_ok));
            self.naive.post(&group, now);
        }
        let mut tx = self.fixture.begin().await;
        for (id, change) in self.generator.first_limits() {
            assert!(apply(&self.fixture.ledger, &mut tx, id, &change).await);
            assert!(self.naive.change(id, &change));
        }
        tx.commit().await.unwrap();
    }

    async fn phase(&mut self) -> usize {
        let now = self.fixture.now().as_second();
        self.generator.now = now;
        if self.naive.accepted.is_empty() {
            self.fund(now).await;
        }
        let servers = [self.fixture.another(), another_server(&self.fixture).await];
        let front = |server: &Ledger| Way::Front(GroupCommit::start(server.clone()));
        let ways = [
            front(&servers[0]),
            front(&servers[1]),
            Way::Alone(servers[0].clone()),
            Way::OwnTransaction(servers[1].clone()),
        ];
        let works = self.works();
        let calls = run(&ways, works).await;
        let concurrent = calls.iter().filter(|call| call.ended > call.begun + 1).count();
        let before = self.naive.accepted.len();
        find_order(&mut self.naive, calls, now);
        let new = self.naive.accepted[before..].iter().map(|accepted| accepted.request.clone());
        self.generator.accepted.extend(new);
        self.compare(&servers).await;
        concurrent
    }

    async fn compare(&self, servers: &[Ledger]) {
        let totals: Vec<Totals> = self.accounts.iter().map(|id| self.naive.totals(*id)).collect();
        for server in servers {
            let mut tx = server.db().read().await.unwrap();
            let mut found = all_totals(server, &mut tx, self.generator.tenants).await;
            // After the first tenant's accounts come the marks.
            found.drain(10..12);
            assert_eq!(found, totals);
        }
    }
}

async fn concurrent_writers_leave_a_legal_order(engine: Engine) {
    for seed in [1, 2] {
        write_at_once(engine, seed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a campaign, for .ci/long"]
async fn many_concurrent_writers_leave_a_legal_order() {
    for seed in 100..200 {
        write_at_once(Engine::Sqlite, seed).await;
        write_at_once(Engine::Postgres, seed).await;
    }
}

async fn write_at_once(engine: Engine, seed: u64) {
    let mut writers = Writers::new(engine, seed).await;
    let mut concurrent = 0;
    for _ in 0..PHASES {
        concurrent += writers.phase().await;
        let seconds = writers.generator.random.random_range(0..60);
        writers.fixture.sleep(seconds);
    }
    let accepted = writers.naive.accepted.len();
    println!("{engine:?}: {accepted} accepted, {concurrent} calls at once with others");
    assert!(concurrent > PHASES * CALLS, "the writers waited for one another");
    writers.fixture.assert_clean().await;
}
