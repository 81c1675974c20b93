//! The floor: the rows that were written, inserted again into tables with the same columns,
//! constraints and indexes, by the same kind of statement and in as many transactions.

use std::time::{Duration, Instant};

use api_store::{Arg, Db, Tx, args};
use sqlx::{AssertSqlSafe, Executor as _, Row as _};

use super::cpu_time;

type Wide = (
    i64,
    String,
    i64,
    Option<String>,
    Option<String>,
    String,
    Option<String>,
    Option<String>,
    Vec<u8>,
    Vec<u8>,
    Option<Vec<u8>>,
    i64,
);

/// Makes empty copies of the tables, with their constraints and indexes.
pub(crate) async fn prepare(db: &Db) {
    let mut tx = db.begin().await.unwrap();
    match &mut tx {
        Tx::Sqlite(tx) => {
            let sql = "SELECT sql FROM sqlite_master WHERE type IN ('table', 'index')
                AND tbl_name IN ('audit_records', 'audit_batches') AND sql IS NOT NULL
                ORDER BY type DESC";
            for row in tx.fetch_all(sql).await.unwrap() {
                let statement: String = row.get(0);
                let statement = statement
                    .replace("audit_records", "floor_records")
                    .replace("audit_batches", "floor_batches");
                tx.execute(AssertSqlSafe(statement)).await.unwrap();
            }
        }
        Tx::Postgres(tx) => {
            for table in ["records", "batches"] {
                let sql = format!("CREATE TABLE floor_{table} (LIKE audit_{table} INCLUDING ALL)");
                tx.execute(AssertSqlSafe(sql)).await.unwrap();
            }
            let keys = "ALTER TABLE floor_records
                    ADD FOREIGN KEY (subject_id) REFERENCES audit_subjects (id);
                ALTER TABLE floor_batches ADD FOREIGN KEY (log_id) REFERENCES audit_logs (id)";
            tx.execute(keys).await.unwrap();
        }
    }
    tx.commit().await.unwrap();
}

/// Reads the batches from `first_index` on with their records; returns how long their insertion
/// takes, a transaction for each batch.
pub(crate) async fn insert_same_rows(db: &Db, first_index: i64) -> (Duration, Duration) {
    let mut tx = db.read().await.unwrap();
    let select = "SELECT first_seq, log_id, records, first_index FROM audit_batches
        WHERE first_index >= $1 ORDER BY first_index";
    let batches: Vec<(i64, i64, i64, i64)> =
        tx.fetch_all(select, args![first_index]).await.unwrap();
    let mut lists = Vec::new();
    for batch in batches {
        let select = "SELECT seq, id, log_id, tenant_id, external_id, kind, stream, subject_id,
            leaf, open_fields, personal_fields, created_at
            FROM audit_records WHERE seq >= $1 AND seq < $1 + 16384 ORDER BY seq";
        let rows: Vec<Wide> = tx.fetch_all(select, args![batch.0]).await.unwrap();
        lists.push((batch, rows.into_iter().map(wide).collect::<Vec<_>>()));
    }
    tx.rollback().await.unwrap();
    let (start, cpu) = (Instant::now(), cpu_time());
    for ((first_seq, log, records, index), rows) in lists {
        let mut tx = db.begin().await.unwrap();
        let insert = "INSERT INTO floor_batches (first_seq, log_id, records, first_index)
            VALUES ($1, $2, $3, $4)";
        tx.execute(insert, args![first_seq, log, records, index]).await.unwrap();
        let columns = "seq, id, log_id, tenant_id, external_id, kind, stream, subject_id, leaf,
            open_fields, personal_fields, created_at";
        tx.insert_many("floor_records", columns, rows, "").await.unwrap();
        tx.commit().await.unwrap();
    }
    (start.elapsed(), cpu_time() - cpu)
}

fn wide(row: Wide) -> Vec<Arg> {
    args![row.0, row.1, row.2, row.3, row.4, row.5, row.6, row.7, row.8, row.9, row.10, row.11]
}
