//! A log that was written before records had batches is the same log afterwards.
#![expect(clippy::unwrap_used, reason = "tests")]

use api_store::test_db::TestDb;
use api_store::{Db, Engine, Tx, args};
use sqlx::AssertSqlSafe;

const OLD: &str = "
    INSERT INTO audit_logs (origin, size, map_root) VALUES ('log', 3, '');
    INSERT INTO audit_records (id, log_id, kind, leaf, open_fields, leaf_index, created_at) VALUES
        ('a', 1, 'k', 'A', '{}', 1, 5), ('b', 1, 'k', 'B', '{}', 0, 6),
        ('c', 1, 'k', 'C', '{}', 2, 7), ('d', 1, 'k', 'D', '{}', NULL, 8);";

async fn run(tx: &mut Tx, sql: &str) {
    let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
    match tx {
        Tx::Sqlite(tx) => drop(sql.execute(&mut **tx).await.unwrap()),
        Tx::Postgres(tx) => drop(sql.execute(&mut **tx).await.unwrap()),
    }
}

async fn old_records_keep_their_indices(engine: Engine) {
    let folder = tempfile::TempDir::new().unwrap();
    let (db, _test_db) = match engine {
        Engine::Sqlite => (Db::open_sqlite(&folder.path().join("old.db")).await.unwrap(), None),
        Engine::Postgres => {
            let test_db = TestDb::new(engine).await.unwrap();
            (test_db.db.clone(), Some(test_db))
        }
    };
    let mut tx = db.begin().await.unwrap();
    let (old, new) = match engine {
        Engine::Sqlite => (
            include_str!("../../store/migrations/sqlite/0020_audit.sql"),
            include_str!("../../store/migrations/sqlite/0021_audit_batches.sql"),
        ),
        Engine::Postgres => {
            run(&mut tx, "CREATE SCHEMA old; SET LOCAL search_path = old").await;
            (
                include_str!("../../store/migrations/postgres/0020_audit.sql"),
                include_str!("../../store/migrations/postgres/0021_audit_batches.sql"),
            )
        }
    };
    for sql in [old, OLD, new] {
        run(&mut tx, sql).await;
    }
    let leaves = "SELECT leaf_index, id FROM audit_leaves ORDER BY leaf_index";
    let leaves: Vec<(i64, String)> = tx.fetch_all(leaves, args![]).await.unwrap();
    assert_eq!(leaves, [(0, "b".to_owned()), (1, "a".to_owned()), (2, "c".to_owned())]);
    let waiting = "SELECT id FROM audit_records JOIN audit_batches ON first_seq = seq \
                   WHERE first_index IS NULL";
    let waiting: Vec<(String,)> = tx.fetch_all(waiting, args![]).await.unwrap();
    assert_eq!(waiting, [("d".to_owned(),)]);
    if engine == Engine::Postgres {
        let next = "INSERT INTO audit_batches (log_id, records) VALUES (1, 1) RETURNING first_seq";
        let (next,): (i64,) = tx.fetch_one(next, args![]).await.unwrap();
        assert_eq!(next, 5 << 14, "new numbers come after the old ones");
    }
}

#[tokio::test]
async fn old_records_keep_their_indices_on_both_engines() {
    old_records_keep_their_indices(Engine::Sqlite).await;
    old_records_keep_their_indices(Engine::Postgres).await;
}
