//! Random histories on both engines, predicted by a second, naive implementation that keeps a list
//! of what was accepted and adds it all up again for every question.

pub(crate) mod generator;
mod views;

use std::collections::{BTreeMap, HashMap};

use api_ledger::*;
use api_store::{Engine, Tx};
use jiff::Timestamp;
use rand::Rng as _;
use uuid::Uuid;

use crate::common::Fixture;
use crate::naive::{Answer, Change, Naive, agrees};
use generator::Generator;

const ROUNDS: usize = 10;
const CALLERS_MAX: usize = 20;

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

/// All of them one by one, in one transaction.
async fn in_a_batch(
    ledger: &Ledger,
    groups: &[Vec<Transfer>],
) -> Vec<Vec<Result<Posted, Refusal>>> {
    let batch: Vec<Transfer> = groups.concat();
    ledger.post_batch(&batch).await.unwrap().into_iter().map(|result| vec![result]).collect()
}

/// Each in a transaction of the caller, a first one of which is taken back, with a change of an account.
async fn in_own_transactions(
    ledger: &Ledger,
    groups: &[Vec<Transfer>],
    changes: &[(AccountId, Change)],
) -> Vec<Vec<Result<Posted, Refusal>>> {
    let mut results = Vec::new();
    for (group, (id, change)) in groups.iter().zip(changes.iter().cycle()) {
        let mut tx = ledger.db().begin().await.unwrap();
        apply(ledger, &mut tx, *id, change).await;
        ledger.post_group_in(&mut tx, group).await.unwrap();
        tx.rollback().await.unwrap();
        let mut tx = ledger.db().begin().await.unwrap();
        results.push(ledger.post_group_in(&mut tx, group).await.unwrap());
        tx.commit().await.unwrap();
    }
    results
}

/// False when it is refused.
pub(crate) async fn apply(ledger: &Ledger, tx: &mut Tx, id: AccountId, change: &Change) -> bool {
    let done = match change {
        Change::Frozen(frozen) => ledger.set_frozen(tx, id, *frozen).await.map(drop),
        Change::Close => ledger.close_account(tx, id).await.map(drop),
        Change::Floor(floor) => ledger.set_floor(tx, id, *floor).await,
        Change::Limit(limit) => ledger.set_limit(tx, id, limit).await,
        Change::Unlimit(window) => ledger.remove_limit(tx, id, *window).await,
    };
    match done {
        Ok(()) => true,
        Err(LedgerError::NotEmpty | LedgerError::NoHistory | LedgerError::UnknownAccount) => false,
        Err(error) => panic!("{error}"),
    }
}

/// All accounts of both tenants, in the order in which they were opened.
async fn all_accounts(
    ledger: &Ledger,
    tx: &mut Tx,
    tenants: [TenantId; 2],
) -> Vec<(Account, Totals)> {
    let mut found = Vec::new();
    for tenant in tenants {
        let accounts = ledger.accounts(tx, tenant, "", ("", ""), 100).await.unwrap();
        found.extend(accounts.into_iter().map(|(account, balance)| (account, balance.totals)));
    }
    found
}

pub(crate) async fn all_totals(
    ledger: &Ledger,
    tx: &mut Tx,
    tenants: [TenantId; 2],
) -> Vec<Totals> {
    let accounts = all_accounts(ledger, tx, tenants).await;
    accounts.into_iter().map(|(_, totals)| totals).collect()
}

/// The accounts of a tenant, as [`generator`] counts on them.
pub(crate) fn new_accounts(tenant: TenantId) -> Vec<NewAccount> {
    let floors = [Floor::None, Floor::Zero, Floor::Zero, Floor::At(-40), Floor::At(5)];
    let account = |n: usize| {
        let side = if n.is_multiple_of(2) { Side::Debit } else { Side::Credit };
        let (code, asset, floor) = match n {
            5 => ("a", "USD", Floor::None),
            6 | 7 => ("a", "EUR", Floor::None),
            8 | 9 => ("b", "BIG", Floor::None),
            _ => ("a", "EUR", floors[n]),
        };
        let new = NewAccount::new(tenant, &format!("{code}:{n}"), asset, side).with_floor(floor);
        let new = if [0, 1, 3, 6].contains(&n) { new.for_clients() } else { new };
        if n == 4 { new.without_history() } else { new }
    };
    (0..10).map(account).collect()
}

/// A naive ledger and what it is compared with.
struct Model {
    engine: Engine,
    seed: u64,
    fixture: Fixture,
    /// Another server on the same database.
    other: Ledger,
    front: GroupCommit,
    naive: Naive,
    generator: Generator,
    accounts: Vec<AccountId>,
    /// The first answers.
    first: HashMap<(TenantId, TransferId), (i64, Timestamp)>,
    answered: Answered,
}

/// How often which answer came.
type Answered = BTreeMap<&'static str, u32>;

/// All that a few histories must come across; `reserved_id` and others are too rare.
const SEEN: [&str; 24] = [
    "executed",
    "already_applied",
    "unknown_account",
    "account_managed",
    "asset_mismatch",
    "zero_amount",
    "same_account",
    "leg_count",
    "invalid_text",
    "account_closed",
    "account_frozen",
    "insufficient_funds",
    "balance_overflow",
    "velocity_exceeded",
    "transfer_id_conflict",
    "pending_not_found",
    "pending_expired",
    "pending_not_expired",
    "pending_already_posted",
    "pending_already_voided",
    "pending_amounts",
    "already_reversed",
    "too_late",
    "group_refused",
];

/// Two tenants with the same accounts each, in the books and in the naive ledger.
pub(crate) async fn opened(fixture: &Fixture) -> (Naive, [TenantId; 2], [Vec<AccountId>; 2]) {
    let tenants = [fixture.tenant, TenantId::new(Uuid::new_v4())];
    let mut naive = Naive::default();
    let mut accounts = [Vec::new(), Vec::new()];
    let mut tx = fixture.begin().await;
    for (tenant, accounts) in tenants.into_iter().zip(&mut accounts) {
        for new in new_accounts(tenant) {
            let id = fixture.ledger.open_account(&mut tx, &new).await.unwrap();
            naive.open(id, &new);
            accounts.push(id);
        }
    }
    tx.commit().await.unwrap();
    (naive, tenants, accounts)
}

impl Model {
    async fn new(engine: Engine, seed: u64) -> Self {
        let fixture = Fixture::new(engine).await;
        let (naive, tenants, accounts) = opened(&fixture).await;
        let generator = Generator::new(seed, tenants, accounts.clone());
        let front = GroupCommit::start(fixture.ledger.clone());
        let (other, accounts) = (fixture.another(), accounts.concat());
        let (first, answered) = (HashMap::new(), Answered::new());
        Self { engine, seed, fixture, other, front, naive, generator, accounts, first, answered }
    }

    async fn change_accounts(&mut self) {
        let first = self.first.is_empty();
        let mut changes = if first { self.generator.first_limits() } else { Vec::new() };
        let more = self.generator.random.random_range(0..6);
        changes.extend((0..more).map(|_| self.generator.change()));
        for (id, change) in changes {
            let ledger = self.generator.pick(&[self.fixture.ledger.clone(), self.other.clone()]);
            let mut tx = ledger.db().begin().await.unwrap();
            let done = apply(&ledger, &mut tx, id, &change).await;
            tx.commit().await.unwrap();
            let expected = self.naive.change(id, &change);
            assert_eq!(done, expected, "seed {}: {change:?} of {id}", self.seed);
        }
    }

    async fn post(&mut self) {
        let callers = self.generator.random.random_range(1..=CALLERS_MAX);
        let mut groups = if self.first.is_empty() { self.generator.funds() } else { Vec::new() };
        groups.extend((0..callers).map(|_| self.generator.group()));
        let now = self.generator.now;
        let expected = self.naive.would(&groups[0], now);
        let tried = self.other.dry_run_group(&groups[0]).await.unwrap();
        self.agree(&groups[0], &tried, &expected);
        let results = match self.generator.random.random_range(0..6) {
            0 => each(&self.other, &groups).await,
            1 => {
                let changes: Vec<_> = (0..5).map(|_| self.generator.change()).collect();
                in_own_transactions(&self.fixture.ledger, &groups, &changes).await
            }
            2 => {
                let results = in_a_batch(&self.other, &groups).await;
                groups = groups.concat().into_iter().map(|transfer| vec![transfer]).collect();
                results
            }
            _ => send(&self.front, &groups).await,
        };
        for (group, results) in groups.iter().zip(results) {
            let expected = self.naive.post(group, now);
            self.agree(group, &results, &expected);
            self.remember(group, &results);
            for result in &results {
                let name = match result {
                    Ok(Posted { outcome: Outcome::Executed, .. }) => "executed",
                    Ok(_) => "already_applied",
                    Err(refusal) => refusal.code(),
                };
                *self.answered.entry(name).or_default() += 1;
            }
        }
    }

    fn agree(&self, group: &[Transfer], results: &[Result<Posted, Refusal>], expected: &[Answer]) {
        let outcome = |result: &Result<Posted, Refusal>| Ok(result.clone()?.outcome);
        let found: Vec<_> = results.iter().map(outcome).collect();
        let agree = expected.iter().zip(&found).all(|(expected, found)| agrees(expected, found));
        let (seed, engine) = (self.seed, self.engine);
        assert!(
            agree && expected.len() == found.len(),
            "seed {seed}, {engine:?}: {found:?} and not {expected:?} for {group:?}"
        );
    }

    /// A repetition is answered with the first answer.
    fn remember(&mut self, group: &[Transfer], results: &[Result<Posted, Refusal>]) {
        for (transfer, result) in group.iter().zip(results) {
            let Ok(posted) = result else { continue };
            let key = (transfer.tenant, transfer.id);
            let answer = (posted.seq, posted.recorded_at);
            let first = *self.first.entry(key).or_insert(answer);
            assert_eq!((posted.id, answer), (transfer.id, first));
            if posted.outcome == Outcome::Executed {
                self.generator.accepted.push(transfer.clone());
                assert_eq!(posted.recorded_at.as_second(), self.generator.now);
            }
        }
    }

    /// All servers see what the naive ledger says; returns the totals.
    async fn read(&mut self, start: i64) -> Vec<Totals> {
        let totals: Vec<Totals> = self.accounts.iter().map(|id| self.naive.totals(*id)).collect();
        let asked = self.generator.random.random_range(0..3);
        for (number, ledger) in
            [&self.fixture.ledger, &self.other, &self.fixture.another()].into_iter().enumerate()
        {
            let mut tx = ledger.db().read().await.unwrap();
            let found = all_totals(ledger, &mut tx, self.generator.tenants).await;
            assert_eq!(found, totals, "seed {}, {:?}", self.seed, self.engine);
            if number == asked {
                views::compare(ledger, &mut tx, &self.naive, &mut self.generator, start).await;
            }
            tx.rollback().await.unwrap();
        }
        totals
    }
}

async fn follow_the_model(engine: Engine, seed: u64) -> Answered {
    let mut model = Model::new(engine, seed).await;
    let start = model.fixture.now().as_second();
    let mut reader = None;
    for _ in 0..ROUNDS {
        model.generator.now = model.fixture.now().as_second();
        model.change_accounts().await;
        model.post().await;
        let totals = model.read(start).await;
        // A reader that began some rounds ago sees what was then, whatever came or was folded since.
        let (mut tx, then) = match reader.take() {
            Some(reader) => reader,
            None => (model.fixture.test_db.db.read().await.unwrap(), totals),
        };
        let seen = all_totals(&model.fixture.ledger, &mut tx, model.generator.tenants).await;
        assert_eq!(seen, then);
        reader = model.generator.random.random_ratio(3, 4).then_some((tx, then));
        let seconds = model.generator.random.random_range(0..40);
        let days = if model.generator.once_in(4) { 86_400 } else { 0 };
        model.fixture.sleep(seconds + days);
    }
    views::compare_events(&model.other, &model.naive, model.generator.tenants).await;
    model.fixture.assert_clean().await;
    model.answered
}

async fn follow_all(engine: Engine, seeds: std::ops::Range<u64>) {
    let mut answered = Answered::new();
    for seed in seeds {
        for (name, count) in follow_the_model(engine, seed).await {
            *answered.entry(name).or_default() += count;
        }
    }
    println!("{answered:?}");
    for name in SEEN {
        assert!(answered.contains_key(name), "{name} never came: {answered:?}");
    }
}

#[tokio::test]
async fn the_ledger_on_sqlite_agrees_with_a_naive_one() {
    follow_all(Engine::Sqlite, 0..8).await;
}

#[tokio::test]
async fn the_ledger_on_postgres_agrees_with_a_naive_one() {
    follow_all(Engine::Postgres, 100..106).await;
}

#[tokio::test]
#[ignore = "a campaign, for .ci/long"]
async fn the_ledger_agrees_with_a_naive_one_for_long() {
    follow_all(Engine::Sqlite, 1_000..1_300).await;
    follow_all(Engine::Postgres, 2_000..2_100).await;
}
