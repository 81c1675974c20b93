//! What batches changed lies in the tail and in memory first: nobody can tell.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::common::{Fixture, run};
use api_ledger::*;
use api_store::{Engine, Tx, args};
use rand::Rng as _;

/// So that nothing is folded by itself, and every batch is alone.
const NEVER: TailOptions = TailOptions {
    alone_from: 1,
    alone_if_free_from: 1,
    fold_from: 1_000,
    fold_ratio: 1,
    slice: 1,
    accounts: 1_000,
    wary: 0,
};

async fn fixture(engine: Engine) -> (Fixture, AccountId, AccountId) {
    let mut f = Fixture::new(engine).await;
    f.ledger = f.ledger.clone().with_tail(NEVER);
    let (bank, ann) = (f.bank().await, f.customer("ann").await);
    (f, bank, ann)
}

async fn stored(f: &Fixture, sql: &'static str) -> i64 {
    let mut tx = f.test_db.db.read().await.unwrap();
    let (count,): (i64,) = tx.fetch_one(sql, args![]).await.unwrap();
    count
}

async fn rows_follow_when_they_are_folded(engine: Engine) {
    let (f, bank, ann) = fixture(engine).await;
    for id in 1..=3 {
        f.post(&f.transfer(id, bank, ann, 7)).await.unwrap();
    }
    let (tail, rows) = (
        "SELECT COUNT(*) FROM ledger_tail",
        "SELECT COUNT(*) FROM ledger_balances WHERE commit_id = 3 AND legs = 3",
    );
    assert_eq!((stored(&f, tail).await, stored(&f, rows).await), (3, 0));
    f.ledger.fold().await.unwrap();
    assert_eq!((stored(&f, tail).await, stored(&f, rows).await), (0, 2));
    assert_eq!(f.balance(ann).await.posted().or_zero(), 21);
    f.assert_clean().await;
    f.ledger.fold().await.unwrap();
    f.post(&f.transfer(4, bank, ann, 1)).await.unwrap();
    assert_eq!((stored(&f, tail).await, stored(&f, rows).await), (1, 2));
    assert_eq!(f.balance(ann).await.posted().or_zero(), 22);
}

async fn batches_obey_what_others_set_meanwhile(engine: Engine) {
    let (f, bank, ann) = fixture(engine).await;
    f.post(&f.transfer(1, bank, ann, 100)).await.unwrap();
    let other = f.another();
    let mut tx = f.begin().await;
    other.set_frozen(&mut tx, ann, true).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(f.post(&f.transfer(2, bank, ann, 1)).await, Err(Refusal::AccountFrozen));
    let mut tx = f.begin().await;
    other.set_frozen(&mut tx, ann, false).await.unwrap();
    other.set_floor(&mut tx, ann, Floor::At(90)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(f.post(&f.transfer(3, ann, bank, 11)).await, Err(Refusal::InsufficientFunds));
    f.post(&f.transfer(4, ann, bank, 10)).await.unwrap();
    let mut tx = f.begin().await;
    let limit = VelocityLimit { window_secs: 60, count_max: None, sum_max: Some(10) };
    other.set_limit(&mut tx, ann, &limit).await.unwrap();
    other.set_floor(&mut tx, ann, Floor::Zero).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(f.post(&f.transfer(5, ann, bank, 1)).await, Err(Refusal::VelocityExceeded));
    // A close that began is not overtaken by a batch, and an account with money is not closed.
    let mut tx = f.begin().await;
    assert!(matches!(other.close_account(&mut tx, ann).await.unwrap_err(), LedgerError::NotEmpty));
    tx.rollback().await.unwrap();
    f.sleep(61);
    let (ledger, last) = (f.ledger.clone(), f.transfer(6, ann, bank, 10));
    let mut tx = f.begin().await;
    other.post_one_in(&mut tx, &f.transfer(7, bank, ann, 5)).await.unwrap();
    let batch = tokio::spawn(async move { ledger.post(&last).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!batch.is_finished(), "a batch does not pass a transaction that posted");
    tx.commit().await.unwrap();
    batch.await.unwrap().unwrap();
    assert_eq!(f.balance(ann).await.posted().or_zero(), 85);
    f.assert_clean().await;
}

async fn damage_to_the_tail_is_found(engine: Engine) {
    let (f, bank, ann) = fixture(engine).await;
    for id in 1..=3 {
        f.post(&f.transfer(id, bank, ann, 7)).await.unwrap();
    }
    f.assert_clean().await;
    let damages = [
        "DELETE FROM ledger_tail WHERE commit_id = 3",
        "UPDATE ledger_tail SET states = (SELECT states FROM ledger_tail WHERE commit_id = 2)
             WHERE commit_id = 3",
        "UPDATE ledger_tail SET states = (SELECT states FROM ledger_tail WHERE commit_id = 2)
             WHERE commit_id = 1",
        "UPDATE ledger_balances SET commit_id = 3",
        "UPDATE ledger_state SET folded = 3",
        "UPDATE ledger_state SET folded = 2; DELETE FROM ledger_tail WHERE commit_id = 3",
        "UPDATE ledger_state SET folded = 4",
        "UPDATE ledger_balances SET commit_id = 2, legs = 2 WHERE account = 1",
    ];
    for damage in damages {
        let mut tx = f.begin().await;
        run(&mut tx, damage).await;
        assert!(!f.ledger.check(&mut tx).await.unwrap().is_clean(), "{damage}");
        tx.rollback().await.unwrap();
    }
}

async fn marks_wait_in_the_tail(engine: Engine) {
    let (f, bank, ann) = fixture(engine).await;
    let batch: Vec<Transfer> = (1..=33).map(|id| f.transfer(id, bank, ann, 7)).collect();
    f.ledger.post_batch(&batch).await.unwrap();
    let marks = "SELECT COUNT(*) FROM ledger_marks";
    assert_eq!(stored(&f, marks).await, 0);
    f.assert_clean().await;
    let mut tx = f.begin().await;
    let sql = "SELECT states FROM ledger_tail";
    let (states,): (Vec<u8>,) = tx.fetch_one(sql, args![]).await.unwrap();
    // At the end are two marks, of a byte for the account and one for the place in the commit.
    let (rest, marked) = states.split_at(states.len() - 5);
    assert_eq!((marked[0], marked[2], marked[4]), (2, 31 * 2, 31 * 2));
    let (mut moved, none) = (states.clone(), [rest, &[0]].concat());
    *moved.last_mut().unwrap() += 2;
    for damaged in [moved, none] {
        let sql = "UPDATE ledger_tail SET states = $1";
        tx.execute(sql, args![damaged]).await.unwrap();
        assert!(!f.ledger.check(&mut tx).await.unwrap().is_clean());
    }
    tx.rollback().await.unwrap();
    f.another().fold().await.unwrap();
    assert_eq!(stored(&f, marks).await, 2);
    f.assert_clean().await;
    // What another one folded is folded again, to the same effect, or is known to be there.
    f.ledger.fold().await.unwrap();
    f.post(&f.transfer(34, bank, ann, 7)).await.unwrap();
    f.ledger.fold().await.unwrap();
    assert_eq!(stored(&f, marks).await, 2);
    f.assert_clean().await;
}

/// The database is restored under a running server, which goes on first, or after another one.
async fn another_past_is_noticed(engine: Engine) {
    for goes_on_first in [true, false] {
        another_past(engine, goes_on_first).await;
    }
}

async fn another_past(engine: Engine, goes_on_first: bool) {
    let (f, bank, ann) = fixture(engine).await;
    for id in 1..=5 {
        f.post(&f.transfer(id, bank, ann, 100)).await.unwrap();
        if id == 3 {
            saved_or_restored(&f).await;
        }
    }
    saved_or_restored(&f).await;
    let mut tx = f.test_db.db.read().await.unwrap();
    let balance = f.ledger.balance(&mut tx, ann, AsOf::Now).await.unwrap();
    assert_eq!(balance.posted().or_zero(), 300, "read");
    tx.rollback().await.unwrap();
    f.sleep(1);
    if goes_on_first {
        let refused = f.post(&f.transfer(10, ann, bank, 301)).await;
        assert_eq!(refused, Err(Refusal::InsufficientFunds));
    }
    let other = f.another().with_tail(NEVER);
    for id in 11..=13 {
        other.post(&f.transfer(id, bank, ann, 1)).await.unwrap();
    }
    f.post(&f.transfer(14, ann, bank, 303)).await.unwrap();
    assert_eq!(f.post(&f.transfer(15, ann, bank, 1)).await, Err(Refusal::InsufficientFunds));
    assert_eq!(f.balance(ann).await.posted().or_zero(), 0);
    f.assert_clean().await;
}

/// The database without what was done since it was `saved`, which is made when there is none.
async fn saved_or_restored(f: &Fixture) {
    let mut tx = f.begin().await;
    let tables = "CREATE TABLE saved_balances AS SELECT * FROM ledger_balances;
        CREATE TABLE saved_tail AS SELECT * FROM ledger_tail;
        CREATE TABLE saved_state AS SELECT * FROM ledger_state;
        CREATE TABLE saved_commits AS SELECT * FROM ledger_commits;";
    let exists = match &tx {
        Tx::Sqlite(_) => "SELECT COUNT(*) FROM sqlite_master WHERE name = 'saved_tail'",
        Tx::Postgres(_) => "SELECT COUNT(*) FROM pg_tables WHERE tablename = 'saved_tail'",
    };
    let (exists,): (i64,) = tx.fetch_one(exists, args![]).await.unwrap();
    if exists == 0 {
        run(&mut tx, tables).await;
        return tx.commit().await.unwrap();
    }
    let sql = "SELECT COALESCE(MAX(id), 0) FROM saved_commits";
    let (last,): (i64,) = tx.fetch_one(sql, args![]).await.unwrap();
    let (triggers, numbers) = match &tx {
        Tx::Sqlite(_) => (
            "DROP TRIGGER ledger_transfers_no_delete; DROP TRIGGER ledger_commits_no_delete",
            format!("UPDATE sqlite_sequence SET seq = {last} WHERE name = 'ledger_commits'"),
        ),
        Tx::Postgres(_) => (
            "DROP TRIGGER ledger_transfers_no_change ON ledger_transfers;
             DROP TRIGGER ledger_commits_no_change ON ledger_commits",
            format!("ALTER TABLE ledger_commits ALTER COLUMN id RESTART WITH {}", last + 1),
        ),
    };
    let restored = format!(
        "DELETE FROM ledger_tail;
         DELETE FROM ledger_transfers WHERE seq >= ({last} + 1) * 1048576;
         DELETE FROM ledger_commits WHERE id > {last};
         DELETE FROM events_outbox WHERE commit_id > {last};
         INSERT INTO ledger_tail SELECT * FROM saved_tail;
         UPDATE ledger_state SET folded = (SELECT folded FROM saved_state);
         UPDATE ledger_balances SET debits_posted = s.debits_posted,
             credits_posted = s.credits_posted, changed_at = s.changed_at, last_seq = s.last_seq,
             legs = s.legs, commit_id = s.commit_id
         FROM saved_balances AS s WHERE s.account = ledger_balances.account"
    );
    run(&mut tx, &format!("{triggers};{restored};{numbers}")).await;
    tx.commit().await.unwrap();
}

/// What a business transaction brought is lost, after a batch that wrote nothing has read it.
async fn what_another_posted_is_lost(engine: Engine) {
    let (f, bank, ann) = fixture(engine).await;
    f.post(&f.transfer(1, bank, ann, 100)).await.unwrap();
    saved_or_restored(&f).await;
    let (other, mut tx) = (f.another(), f.begin().await);
    other.post_one_in(&mut tx, &f.transfer(2, bank, ann, 1_000)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(f.post(&f.transfer(3, ann, bank, 5_000)).await, Err(Refusal::InsufficientFunds));
    saved_or_restored(&f).await;
    assert_eq!(f.post(&f.transfer(4, ann, bank, 500)).await, Err(Refusal::InsufficientFunds));
    f.post(&f.transfer(5, ann, bank, 100)).await.unwrap();
    f.assert_clean().await;
}

/// The rows that followed are lost, but nothing that was posted.
async fn what_was_folded_is_lost(engine: Engine) {
    let (f, bank, ann) = fixture(engine).await;
    let bob = f.customer("bob").await;
    f.post(&f.transfer(1, bank, ann, 10)).await.unwrap();
    f.post(&f.transfer(2, bank, bob, 20)).await.unwrap();
    saved_or_restored(&f).await;
    f.ledger.fold().await.unwrap();
    saved_or_restored(&f).await;
    f.post(&f.transfer(3, bank, ann, 1)).await.unwrap();
    f.ledger.fold().await.unwrap();
    f.assert_clean().await;
    assert_eq!(f.balance(bob).await.posted().or_zero(), 20);
}

/// A long history whose marks are in memory is lost, and its places are taken by another account's.
async fn what_was_marked_is_lost(engine: Engine) {
    let (f, bank, ann) = fixture(engine).await;
    let bob = f.customer("bob").await;
    f.post(&f.transfer(1, bank, ann, 1)).await.unwrap();
    saved_or_restored(&f).await;
    let batch: Vec<Transfer> = (2..=70).map(|id| f.transfer(id, bank, ann, 1)).collect();
    f.ledger.post_batch(&batch).await.unwrap();
    saved_or_restored(&f).await;
    f.sleep(1);
    let (other, mut tx) = (f.another(), f.begin().await);
    let batch: Vec<Transfer> = (102..=170).map(|id| f.transfer(id, bank, bob, 1)).collect();
    other.post_in(&mut tx, &batch).await.unwrap();
    tx.commit().await.unwrap();
    let (mut tx, last) = (f.begin().await, f.transfer(171, bank, ann, 1));
    other.post_one_in(&mut tx, &last).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = f.test_db.db.read().await.unwrap();
    let page = StatementPage { after: 1, limit: 50 };
    let statement = f.ledger.statement(&mut tx, ann, page).await.unwrap();
    assert_eq!(statement.opening.posted().or_zero(), 0);
    let ids: Vec<TransferId> = statement.lines.iter().map(|line| line.transfer).collect();
    assert_eq!(ids, [TransferId::from_u128(1), last.id]);
    tx.rollback().await.unwrap();
    f.assert_clean().await;
}

/// Two servers with a group commit each, and business transactions that post, all over the same accounts.
async fn all_kinds_of_postings_at_once(engine: Engine) {
    let f = Arc::new(Fixture::new(engine).await);
    let bank = f.bank().await;
    let mut accounts = Vec::new();
    for n in 0..12 {
        accounts.push(f.customer(&format!("c{n}")).await);
    }
    for (id, account) in (1..).zip(&accounts) {
        f.post(&f.transfer(id, bank, *account, 1_000)).await.unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let servers = [f.ledger.clone(), f.another()];
    let mut callers = Vec::new();
    for (number, ledger) in servers.iter().enumerate() {
        let front = GroupCommit::start(ledger.clone());
        for kind in 0..3 {
            let (f, ledger, front) = (Arc::clone(&f), ledger.clone(), front.clone());
            let (accounts, stop) = (accounts.clone(), Arc::clone(&stop));
            callers.push(tokio::spawn(async move {
                let mut posted = 0;
                while !stop.load(Ordering::SeqCst) {
                    let (from, to, length) = {
                        let mut random = rand::rng();
                        let from = random.random_range(0..12);
                        (from, (from + random.random_range(1..12)) % 12, random.random_range(1..6))
                    };
                    let transfer = || {
                        let id = TransferId::generate();
                        let leg = Leg { debit: accounts[from], credit: accounts[to], amount: 3 };
                        Transfer::new(f.tenant, id, vec![leg])
                    };
                    let transfers: Vec<Transfer> = (0..length).map(|_| transfer()).collect();
                    let results = match kind {
                        0 => front.post_batch(transfers).await.unwrap(),
                        1 => ledger.post_group(&transfers).await.unwrap(),
                        _ => {
                            let mut tx = ledger.db().begin().await.unwrap();
                            let results = ledger.post_in(&mut tx, &transfers).await.unwrap();
                            tx.commit().await.unwrap();
                            results
                        }
                    };
                    posted += results.iter().filter(|result| result.is_ok()).count();
                }
                (number, kind, posted)
            }));
        }
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    stop.store(true, Ordering::SeqCst);
    for caller in callers {
        let (number, kind, posted) = caller.await.unwrap();
        assert!(posted > 0, "server {number}, kind {kind}");
    }
    f.assert_clean().await;
    for ledger in [&servers[0], &servers[1], &f.another()] {
        let mut tx = ledger.db().read().await.unwrap();
        let mut sum = 0;
        for id in &accounts {
            sum += ledger.balance(&mut tx, *id, AsOf::Now).await.unwrap().posted().or_zero();
        }
        assert_eq!(sum, 12_000);
    }
}

on_both_engines! {
    rows_follow_when_they_are_folded
    batches_obey_what_others_set_meanwhile
    damage_to_the_tail_is_found
    marks_wait_in_the_tail
    another_past_is_noticed
    what_another_posted_is_lost
    what_was_folded_is_lost
    what_was_marked_is_lost
    all_kinds_of_postings_at_once
}
