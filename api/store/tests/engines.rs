//! Both engines behave alike behind `Db`.
#![expect(clippy::unwrap_used, reason = "tests")]

use api_store::test_db::TestDb;
use api_store::{Engine, StoreError, args};

async fn rows_round_trip(engine: Engine) -> Result<(), StoreError> {
    let test_db = TestDb::new(engine).await?;
    let db = &test_db.db;
    let mut tx = db.begin().await?;
    let insert = "INSERT INTO tenants (id, name, created_at) VALUES ($1, $2, $3)";
    assert_eq!(tx.execute(insert, args!["t1", "Ann", 7_i64]).await?, 1);
    tx.commit().await?;

    let mut tx = db.begin().await?;
    let twice = tx.execute(insert, args!["t1", "Bob", 8_i64]).await.unwrap_err();
    assert!(twice.is_unique_violation(), "{twice}");
    drop(tx);

    let mut tx = db.begin().await?;
    tx.execute(insert, args!["t2", "Cid", 9_i64]).await?;
    drop(tx);

    let mut tx = db.read().await?;
    let all: Vec<(String, i64)> =
        tx.fetch_all("SELECT name, created_at FROM tenants ORDER BY name", args![]).await?;
    assert_eq!(all, [("Ann".to_owned(), 7)], "a dropped transaction leaves nothing");
    assert!(tx.execute(insert, args!["t3", "Dan", 9_i64]).await.is_err(), "a reader cannot write");
    Ok(())
}

#[tokio::test]
async fn sqlite_rows_round_trip() {
    rows_round_trip(Engine::Sqlite).await.unwrap();
}

#[tokio::test]
async fn postgres_rows_round_trip() {
    rows_round_trip(Engine::Postgres).await.unwrap();
}

async fn many_rows_are_inserted(engine: Engine) {
    let test_db = TestDb::new(engine).await.unwrap();
    let mut tx = test_db.db.begin().await.unwrap();
    let row = |number: i64| args![number.to_string(), format!("n{number}"), number];
    let (table, columns) = ("tenants", "id, name, created_at");
    assert_eq!(tx.insert_many(table, columns, vec![], "").await.unwrap(), 0);
    for length in [1, 5, 700] {
        let rows = (length * 1_000..length * 1_001).map(row).collect();
        assert_eq!(tx.insert_many(table, columns, rows, "").await.unwrap(), length as u64);
    }
    let sum = "SELECT CAST(sum(created_at) AS BIGINT) FROM tenants WHERE created_at >= 700000";
    let (sum,): (i64,) = tx.fetch_one(sum, args![]).await.unwrap();
    assert_eq!(sum, 700 * 700_000 + 699 * 350);
    let again = (0..1_001).map(row).collect();
    let ignored = "ON CONFLICT (id) DO NOTHING";
    assert_eq!(tx.insert_many(table, columns, again, ignored).await.unwrap(), 1_000);
    let uneven = vec![row(1), args!["x"]];
    assert!(tx.insert_many(table, columns, uneven, "").await.is_err(), "{engine:?}");
}

#[tokio::test]
async fn many_rows_are_inserted_on_both_engines() {
    many_rows_are_inserted(Engine::Sqlite).await;
    many_rows_are_inserted(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_writers_that_read_first_all_commit() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let test_db = TestDb::new(engine).await.unwrap();
        let mut tx = test_db.db.begin().await.unwrap();
        tx.execute("INSERT INTO tenants VALUES ('t', 'n', 0)", args![]).await.unwrap();
        tx.commit().await.unwrap();
        let writers: Vec<_> =
            (0..50).map(|_| tokio::spawn(increment(test_db.db.clone()))).collect();
        for writer in writers {
            writer.await.unwrap().unwrap();
        }
        let mut tx = test_db.db.read().await.unwrap();
        let (count,): (i64,) =
            tx.fetch_one("SELECT created_at FROM tenants", args![]).await.unwrap();
        assert_eq!(count, 50, "{engine:?} lost an update");
    }
}

async fn increment(db: api_store::Db) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    let read: Option<(i64,)> =
        tx.lock_optional("SELECT created_at FROM tenants WHERE id = $1", args!["t"]).await?;
    let next = read.map_or(0, |(count,)| count + 1);
    tx.execute("UPDATE tenants SET created_at = $1 WHERE id = $2", args![next, "t"]).await?;
    tx.commit().await
}

/// Whatever the server's defaults are.
#[tokio::test]
async fn connections_have_the_settings_that_promises_rest_on() {
    let test_db = TestDb::new(Engine::Postgres).await.unwrap();
    let mut tx = test_db.db.begin().await.unwrap();
    for (setting, value) in [
        ("synchronous_commit", "on"),
        ("lock_timeout", "20s"),
        ("jit", "off"),
        ("transaction_isolation", "read committed"),
    ] {
        let found: (String,) =
            tx.fetch_one("SELECT current_setting($1)", args![setting]).await.unwrap();
        assert_eq!(found.0, value, "{setting}");
    }
}

#[tokio::test]
async fn connections_that_the_server_ended_are_replaced() {
    let test_db = TestDb::new(Engine::Postgres).await.unwrap();
    let db = &test_db.db;
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(db.begin().await.unwrap());
    }
    let mut last = open.pop().unwrap();
    for tx in open {
        tx.commit().await.unwrap();
    }
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let (ended,): (i64,) = last.fetch_one(end, args![]).await.unwrap();
    assert_eq!(ended, 7);
    last.commit().await.unwrap();
    for number in 0..32 {
        let mut tx = if number % 2 == 0 { db.begin().await } else { db.read().await }.unwrap();
        tx.fetch_one::<(i64,)>("SELECT count(*) FROM tenants", args![]).await.unwrap();
        tx.rollback().await.unwrap();
    }
}
