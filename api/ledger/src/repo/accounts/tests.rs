#![expect(clippy::unwrap_used, reason = "tests")]
use api_store::Engine;
use api_store::test_db::TestDb;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::*;

const CODES: [&str; 12] =
    ["a", "a-b", "a1", "a:", "a:b", "a:b:c", "a:b;", "a:é", "a;", "ab", "b", "b:a"];

async fn opened(tx: &mut Tx) -> (TenantId, Vec<(String, String)>) {
    let tenant = TenantId::new(Uuid::from_u128(1));
    let mut all = Vec::new();
    for code in CODES {
        for asset in ["EUR", "JPY", "USD"] {
            for tenant in [tenant, TenantId::new(Uuid::from_u128(2))] {
                let new = NewAccount::new(tenant, code, asset, Side::Credit);
                insert_account(tx, &new, 0).await.unwrap().unwrap();
            }
            all.push((code.to_owned(), asset.to_owned()));
        }
    }
    all.sort_unstable();
    (tenant, all)
}

#[tokio::test]
async fn pages_are_the_accounts_at_a_code_and_below_it_in_order() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let test_db = TestDb::new(engine).await.unwrap();
        let mut tx = test_db.db.begin().await.unwrap();
        let (tenant, all) = opened(&mut tx).await;
        for under in CODES.into_iter().chain(["", "c", "a:b:"]) {
            let below = format!("{under}:");
            let is_under =
                |code: &str| under.is_empty() || code == under || code.starts_with(&below);
            let expected: Vec<_> = all.iter().filter(|(code, _)| is_under(code)).cloned().collect();
            for limit in [1, 2, 5, 100] {
                let (mut found, mut after) = (Vec::new(), (String::new(), String::new()));
                loop {
                    let cursor = (after.0.as_str(), after.1.as_str());
                    let page = accounts_under(&mut tx, tenant, under, cursor, limit).await.unwrap();
                    if page.is_empty() {
                        break;
                    }
                    assert!(page.len() <= limit as usize);
                    let mut rows = accounts(&mut tx, &page).await.unwrap();
                    rows.sort_by_key(|(row, _)| page.iter().position(|id| *id == row.id));
                    found.extend(rows.into_iter().map(|(row, _)| (row.code, row.asset)));
                    after = found.last().unwrap().clone();
                }
                assert_eq!(found, expected, "under {under:?} by {limit} on {engine:?}");
            }
        }
    }
}

async fn run(tx: &mut Tx, sql: &str) {
    let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
    match tx {
        Tx::Sqlite(tx) => drop(sql.execute(&mut **tx).await.unwrap()),
        Tx::Postgres(tx) => drop(sql.execute(&mut **tx).await.unwrap()),
    }
}

/// How the database will run the statement.
async fn plan(tx: &mut Tx, sql: &'static str, values: Vec<api_store::Arg>) -> String {
    match tx.engine() {
        Engine::Sqlite => {
            let sql: &'static str = format!("EXPLAIN QUERY PLAN {sql}").leak();
            let rows: Vec<(i64, i64, i64, String)> = tx.fetch_all(sql, values).await.unwrap();
            rows.into_iter().map(|row| row.3 + "\n").collect()
        }
        Engine::Postgres => {
            let sql: &'static str = format!("EXPLAIN {sql}").leak();
            let rows: Vec<(String,)> = tx.fetch_all(sql, values).await.unwrap();
            rows.into_iter().map(|row| row.0 + "\n").collect()
        }
    }
}

/// A page begins where the index says and ends where the page ends, however far it is.
#[tokio::test]
async fn pages_are_ranges_of_the_index() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let test_db = TestDb::new(engine).await.unwrap();
        let mut tx = test_db.db.begin().await.unwrap();
        let tenant = TenantId::new(Uuid::from_u128(1));
        let new = NewAccount::new(tenant, "a", "EUR", Side::Credit);
        insert_account(&mut tx, &new, 0).await.unwrap();
        let numbers = match engine {
            Engine::Sqlite => {
                "(WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 5000)
                     SELECT n FROM n)"
            }
            Engine::Postgres => "(SELECT n FROM generate_series(1, 5000) AS n) AS numbers",
        };
        run(
            &mut tx,
            &format!(
                "INSERT INTO ledger_accounts (book, code, asset, side, created_at)
                     SELECT 1, 'customer:' || n, 'EUR', 0, 0 FROM {numbers};
                 ANALYZE ledger_accounts"
            ),
        )
        .await;
        let id = tenant.get();
        let at = plan(&mut tx, AT, args![id, "customer:7", "", 50_i64]).await;
        let last = "customer:4000";
        let values = args![id, last, "EUR", "customer;", 50_i64];
        let between = plan(&mut tx, BETWEEN, values).await;
        let after = plan(&mut tx, AFTER, args![id, last, "EUR", 50_i64]).await;
        let all = [&at, &between, &after];
        let (ranges, others): ([&str; 3], &[&str]) = match engine {
            Engine::Sqlite => (
                [
                    "(book=? AND code=? AND asset>?)",
                    "(book=? AND (code,asset)>(?,?) AND code<?)",
                    "(book=? AND (code,asset)>(?,?))",
                ],
                &["SCAN", "TEMP B-TREE"],
            ),
            Engine::Postgres => (
                ["(asset > ''::text)", "(code < 'customer;'::text)", "(ROW(code, asset) > ROW("],
                &["Filter", "Seq Scan on ledger_accounts", "Sort"],
            ),
        };
        for (plan, range) in all.into_iter().zip(ranges) {
            assert!(plan.contains(range), "{plan}");
            assert!(others.iter().all(|other| !plan.contains(other)), "{plan}");
        }
        if engine == Engine::Postgres {
            let condition = between.lines().find(|line| line.contains("Index Cond: ((book"));
            assert!(condition.unwrap().contains("ROW(code, asset) > ROW("), "{between}");
        }
    }
}
