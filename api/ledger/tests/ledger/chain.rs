//! The chain of an account's history: long ones are read right from any place, damage is found, and
//! books from before it had one get theirs.

use api_ledger::*;
use api_store::test_db::TestDb;
use api_store::{Db, Engine, args};

use crate::common::{Fixture, run};

/// 200 legs on one account, every seventh of which only reserves or releases.
async fn long_history(engine: Engine) -> (Fixture, AccountId, AccountId) {
    let f = Fixture::new(engine).await;
    let (bank, ann) = (f.bank().await, f.customer("ann").await);
    for start in (0..200).step_by(50) {
        let one = |number: u128| match number % 7 {
            3 => f.pending(number + 1, ann, bank, 1),
            _ => f.transfer(number + 1, bank, ann, number + 1),
        };
        let batch: Vec<Transfer> = (start..start + 50).map(one).collect();
        let results = f.ledger.post_batch(&batch).await.unwrap();
        assert!(results.iter().all(Result::is_ok));
    }
    f.assert_clean().await;
    (f, bank, ann)
}

/// Also when marks are still in the tail, known to this process or not, and when they are missing.
async fn every_page_is_the_same_part(engine: Engine) {
    let (f, bank, ann) = long_history(engine).await;
    same_parts(&f, &f.ledger, [bank, ann]).await;
    same_parts(&f, &f.another(), [bank, ann]).await;
    f.ledger.fold().await.unwrap();
    same_parts(&f, &f.ledger, [bank, ann]).await;
    let mut tx = f.begin().await;
    assert_eq!(tx.execute("DELETE FROM ledger_marks", args![]).await.unwrap(), 12);
    tx.commit().await.unwrap();
    same_parts(&f, &f.ledger, [bank, ann]).await;
}

async fn same_parts(f: &Fixture, ledger: &Ledger, accounts: [AccountId; 2]) {
    let mut tx = f.test_db.db.read().await.unwrap();
    let all = StatementPage { after: 0, limit: 1_000 };
    for account in accounts {
        let whole = ledger.statement(&mut tx, account, all).await.unwrap();
        assert_eq!(whole.lines.len(), 171);
        let balance = |line: Option<&Line>| line.map(|line| line.balance);
        for limit in [1, 31, 32, 33, 50, 170, 171] {
            let (mut after, mut lines) = (0, Vec::new());
            loop {
                let page = StatementPage { after, limit };
                let page = ledger.statement(&mut tx, account, page).await.unwrap();
                assert_eq!(Some(page.opening), balance(lines.last()).or(Some(whole.opening)));
                assert_eq!(Some(page.closing), balance(page.lines.last()).or(Some(page.opening)));
                lines.extend(page.lines);
                match page.next {
                    Some(next) => after = next,
                    None => break,
                }
                if limit == 1 && lines.len() > 70 {
                    break;
                }
            }
            assert_eq!(lines, whole.lines[..lines.len()], "pages of {limit}");
            let (mut before, mut back) = (i64::MAX, Vec::new());
            loop {
                let page = ledger.statement_before(&mut tx, account, before, limit).await.unwrap();
                let earlier = whole.lines.len() - back.len();
                assert_eq!(Some(page.closing), balance(whole.lines[..earlier].last()));
                back.extend(page.lines);
                let earlier = whole.lines.len() - back.len();
                let opening = balance(whole.lines[..earlier].last()).unwrap_or(whole.opening);
                assert_eq!(page.opening, opening);
                match page.next {
                    Some(next) => before = next,
                    None => break,
                }
                if limit == 1 && back.len() > 70 {
                    break;
                }
            }
            back.reverse();
            assert_eq!(back, whole.lines[171 - back.len()..], "pages of {limit}, newest first");
        }
    }
}

/// Between two movements, thousands of holds that were released and moved nothing.
async fn what_moved_nothing_is_passed_over(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann) = (f.bank().await, f.customer("ann").await);
    f.post(&f.transfer(1, bank, ann, 10)).await.unwrap();
    for start in [10_000, 20_000] {
        let void = |number: u128| {
            let pending = TransferId::from_u128(number);
            Transfer {
                action: Action::VoidPending { pending },
                ..f.transfer(number + 5_000, ann, bank, 1)
            }
        };
        let holds = (start..start + 2_500)
            .flat_map(|number| [f.pending(number, ann, bank, 1), void(number)]);
        let results = f.ledger.post_batch(&holds.collect::<Vec<_>>()).await.unwrap();
        assert!(results.iter().all(Result::is_ok));
    }
    f.post(&f.transfer(2, bank, ann, 5)).await.unwrap();
    let mut tx = f.test_db.db.read().await.unwrap();
    let first =
        f.ledger.statement(&mut tx, ann, StatementPage { after: 0, limit: 1 }).await.unwrap();
    let page = StatementPage { after: first.next.unwrap(), limit: 1 };
    let second = f.ledger.statement(&mut tx, ann, page).await.unwrap();
    let amounts =
        |statement: &Statement| statement.lines.iter().map(|line| line.amount).collect::<Vec<_>>();
    assert_eq!((amounts(&first), amounts(&second), second.next), (vec![10], vec![5], None));
    let newest = f.ledger.statement_before(&mut tx, ann, i64::MAX, 1).await.unwrap();
    let before = f.ledger.statement_before(&mut tx, ann, newest.next.unwrap(), 1).await.unwrap();
    assert_eq!((amounts(&newest), amounts(&before), before.next), (vec![5], vec![10], None));
    assert_eq!(newest.opening, before.closing);
}

async fn damage_to_the_chain_is_found(engine: Engine) {
    let (f, _, ann) = long_history(engine).await;
    f.ledger.fold().await.unwrap();
    let unlock = match engine {
        Engine::Sqlite => "DROP TRIGGER ledger_transfers_no_update",
        Engine::Postgres => "DROP TRIGGER ledger_transfers_no_change ON ledger_transfers",
    };
    let damages = [
        "UPDATE ledger_transfers SET credit_prev = 0 WHERE credit = $1 AND id =
             (SELECT id FROM ledger_transfers WHERE credit = $1 ORDER BY seq LIMIT 1 OFFSET 9)",
        "UPDATE ledger_transfers SET credit_prev = NULL WHERE credit = $1 AND id =
             (SELECT id FROM ledger_transfers WHERE credit = $1 ORDER BY seq LIMIT 1 OFFSET 9)",
        "UPDATE ledger_balances SET last_seq = last_seq - 1 WHERE account = $1",
        "UPDATE ledger_balances SET legs = legs + 1 WHERE account = $1",
        "DELETE FROM ledger_marks WHERE account = $1 AND seq =
             (SELECT max(seq) FROM ledger_marks WHERE account = $1)",
        "UPDATE ledger_marks SET seq = seq + 1 WHERE account = $1 AND seq =
             (SELECT max(seq) FROM ledger_marks WHERE account = $1)",
        "INSERT INTO ledger_marks (account, seq) SELECT account, last_seq FROM ledger_balances
             WHERE account = $1",
    ];
    for damage in damages {
        let mut tx = f.begin().await;
        tx.execute(unlock, args![]).await.unwrap();
        assert_eq!(tx.execute(damage, args![ann.get()]).await.unwrap(), 1, "{damage}");
        let report = f.ledger.check(&mut tx).await.unwrap();
        assert!(!report.is_clean(), "{damage}");
        tx.rollback().await.unwrap();
    }
    f.assert_clean().await;
}

on_both_engines! {
    every_page_is_the_same_part
    what_moved_nothing_is_passed_over
    damage_to_the_chain_is_found
}

const OLD: &str = "
    INSERT INTO ledger_books (tenant) VALUES ('1b4e28ba-2fa1-11d2-883f-0016d3cca427');
    INSERT INTO ledger_accounts (book, code, asset, side, created_at) VALUES
        (1, 'bank', 'EUR', 0, 0), (1, 'ann', 'EUR', 1, 0), (1, 'fees', 'EUR', 1, 0);
    INSERT INTO ledger_balances (account, flags) VALUES (1, 1), (2, 1), (3, 0);
    INSERT INTO ledger_commits (recorded_at) VALUES (5);
    INSERT INTO events_outbox (tenant, kind, subject, body, commit_id, count, created_at)
        VALUES ('1b4e28ba-2fa1-11d2-883f-0016d3cca427', 'ledger', '', '', 1, 100, 5);
    UPDATE ledger_balances SET changed_at = 5;";

/// A transfer from the bank to ann, or to an account without history, as it was stored before.
fn old_transfer(number: i64, blob: &str) -> String {
    let credit = if number % 10 == 4 { 3 } else { 2 };
    let total = |count: i64| format!("{blob}{count:02x}'");
    let ann = number - (number + 5) / 10;
    let after = match credit {
        2 => format!("{blob}', {}", total(ann)),
        _ => "NULL, NULL".to_owned(),
    };
    format!(
        "INSERT INTO ledger_transfers (seq, book, id, leg, kind, debit, credit, amount, code,
             reference, debit_debits, debit_credits, credit_debits, credit_credits)
         VALUES ({}, 1, {blob}{number:032x}', 0, 1, 1, {credit}, {blob}01', '', '', {}, {blob}',
             {after});",
        (1 << 20) + number - 1,
        total(number),
    )
}

/// The migrations before the chain, a hundred transfers, and those since.
async fn old_books_get_a_chain(engine: Engine) {
    let folder = tempfile::TempDir::new().unwrap();
    let (db, _test_db) = match engine {
        Engine::Sqlite => (Db::open_sqlite(&folder.path().join("old.db")).await.unwrap(), None),
        Engine::Postgres => {
            let test_db = TestDb::new(engine).await.unwrap();
            (test_db.db.clone(), Some(test_db))
        }
    };
    let mut tx = db.begin().await.unwrap();
    let (old, new, blob) = match engine {
        Engine::Sqlite => (
            concat!(
                include_str!("../../../store/migrations/sqlite/0010_ledger.sql"),
                include_str!("../../../store/migrations/sqlite/0011_events.sql"),
            ),
            concat!(
                include_str!("../../../store/migrations/sqlite/0018_ledger_chain.sql"),
                include_str!("../../../store/migrations/sqlite/0019_ledger_tail.sql"),
            ),
            "x'",
        ),
        Engine::Postgres => {
            run(&mut tx, "CREATE SCHEMA old; SET LOCAL search_path = old").await;
            (
                concat!(
                    include_str!("../../../store/migrations/postgres/0010_ledger.sql"),
                    include_str!("../../../store/migrations/postgres/0011_events.sql"),
                ),
                concat!(
                    include_str!("../../../store/migrations/postgres/0018_ledger_chain.sql"),
                    include_str!("../../../store/migrations/postgres/0019_ledger_tail.sql"),
                ),
                "'\\x",
            )
        }
    };
    run(&mut tx, &format!("{old}{OLD}")).await;
    for number in 1..=100 {
        run(&mut tx, &old_transfer(number, blob)).await;
    }
    let balances = format!(
        "UPDATE ledger_balances SET debits_posted = {blob}64' WHERE account = 1;
         UPDATE ledger_balances SET credits_posted = {blob}5a' WHERE account = 2;
         UPDATE ledger_balances SET credits_posted = {blob}0a' WHERE account = 3;"
    );
    run(&mut tx, &format!("{balances}{new}")).await;
    let report = Ledger::new(db.clone()).check(&mut tx).await.unwrap();
    assert!(report.is_clean(), "{:?}", report.difference);
    assert_eq!(report.legs, 100);
    let marks = "SELECT count(*) FROM ledger_marks";
    let (marks,): (i64,) = tx.fetch_one(marks, args![]).await.unwrap();
    assert_eq!(marks, 3 + 2, "of 100 legs and of 90");
}

mod migration {
    use super::*;

    #[tokio::test]
    async fn old_books_get_a_chain_on_both_engines() {
        old_books_get_a_chain(Engine::Sqlite).await;
        old_books_get_a_chain(Engine::Postgres).await;
    }
}
