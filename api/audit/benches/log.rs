//! How fast the log is, against floors that are measured in the same run.
//!
//! `cargo bench -p api-audit --bench log -- --engine sqlite|postgres [--records <n>]` prints one line
//! of JSON:
//!
//! - `append_ratio`: 1,000,000 entries appended in memory, with the root taken every 1,000; the floor is
//!   the bare SHA-256 of as many leaves and nodes. 1 would be as fast as the floor.
//! - `durable_ratio`: records written in transactions of 1,000 and given their indices; the floor is the
//!   insertion of the same rows into a table of their own, in as many transactions.
//! - `proof_us`: an inclusion proof from the database; `proof_tiles`: the tiles it reads, for a log of
//!   100 million entries.
//! - `path_us`, `verify_us`: the path alone, and a whole receipt with one signature.
//! - `receipt_bytes`, `tlog_proof_bytes`, `bytes_per_record`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::float_arithmetic,
    reason = "a benchmark"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::time::{Duration, Instant};

use api_audit::{AuditLog, Disclosure, MemoryTree, Record, RecordId};
use api_store::test_db::TestDb;
use api_store::{Db, Engine, args};
use api_verify::anchor::TrustedBlocks;
use api_verify::merkle::{leaf_hash, node_hash, verify_inclusion};
use api_verify::policy::Policy;
use serde_json::json;
use support::{NOW_MS, NoteKey, ORIGIN, checkpoint};

const MEMORY_ENTRIES: u32 = 1_000_000;
const CHECKPOINT_EVERY: u32 = 1_000;
const BATCH: u32 = 1_000;
const ENTRY_BYTES: usize = 320;
const ROUNDS: u32 = 2_000;

fn argument(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1)
}

fn ratio(floor: Duration, ours: Duration) -> f64 {
    floor.as_secs_f64() / ours.as_secs_f64()
}

fn micros(time: Duration, rounds: u32) -> f64 {
    time.as_secs_f64() * 1e6 / f64::from(rounds)
}

fn entry(number: u32) -> [u8; ENTRY_BYTES] {
    let mut entry = [0x5a; ENTRY_BYTES];
    entry[..4].copy_from_slice(&number.to_be_bytes());
    entry
}

fn append_ratio() -> f64 {
    let start = Instant::now();
    let mut node = [0; 32];
    for number in 0..MEMORY_ENTRIES {
        let leaf = leaf_hash(&entry(number));
        node = node_hash(&leaf, &node);
    }
    black_box(node);
    let floor = start.elapsed();
    let start = Instant::now();
    let mut tree = MemoryTree::default();
    for number in 0..MEMORY_ENTRIES {
        tree.push(&entry(number));
        if (number + 1) % CHECKPOINT_EVERY == 0 {
            black_box(tree.root().unwrap());
        }
    }
    ratio(floor, start.elapsed())
}

fn record(number: u32) -> Record {
    Record::new("loan.repayment", NOW_MS)
        .field("loan", format!("0198f000-0000-7000-8000-{:012}", number % 5_000))
        .field("amount", number.to_string())
        .field("currency", "EUR")
        .field("effective", "2026-03-01")
}

/// Writes and sequences; answers the ids and the time.
async fn write(db: &Db, log: &AuditLog, records: u32) -> (Vec<RecordId>, Duration) {
    let lists: Vec<Vec<Record>> = (0..records / BATCH)
        .map(|batch| (0..BATCH).map(|number| record(batch * BATCH + number)).collect())
        .collect();
    let mut ids = Vec::new();
    let start = Instant::now();
    for list in &lists {
        let mut tx = db.begin().await.unwrap();
        ids.extend(log.append_many_in(&mut tx, list).await.unwrap());
        tx.commit().await.unwrap();
        log.sequence(db, BATCH).await.unwrap();
    }
    (ids, start.elapsed())
}

/// Inserts the same rows, in as many transactions, into a table of their own.
async fn floor(db: &Db, records: u32) -> Duration {
    let mut tx = db.begin().await.unwrap();
    tx.execute("CREATE TABLE floor AS SELECT * FROM audit_records WHERE false", args![])
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let start = Instant::now();
    for batch in 0..records / BATCH {
        let mut tx = db.begin().await.unwrap();
        let copy = "INSERT INTO floor SELECT * FROM audit_records \
                    WHERE leaf_index >= $1 AND leaf_index < $2";
        let from = i64::from(batch * BATCH);
        assert_eq!(tx.execute(copy, args![from, from + i64::from(BATCH)]).await.unwrap(), 1_000);
        tx.commit().await.unwrap();
    }
    start.elapsed()
}

async fn size_of(db: &Db) -> i64 {
    let sql = match db.engine() {
        Engine::Sqlite => "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
        Engine::Postgres => "SELECT pg_database_size(current_database())",
    };
    let mut tx = db.read().await.unwrap();
    let (bytes,): (i64,) = tx.fetch_one(sql, args![]).await.unwrap();
    bytes
}

#[tokio::main]
async fn main() {
    let engine = match argument("--engine").as_deref() {
        Some("postgres") => Engine::Postgres,
        _ => Engine::Sqlite,
    };
    let records = argument("--records").map_or(100_000, |text| text.parse().unwrap());
    let test_db = TestDb::new(engine).await.unwrap();
    let db = &test_db.db;
    let log = AuditLog::open(db, ORIGIN).await.unwrap();
    let empty = size_of(db).await;
    let (ids, durable) = write(db, &log, records).await;
    let bytes_per_record = (size_of(db).await - empty) / i64::from(records);
    let bare = floor(db, records).await;
    let key = NoteKey::log(1);
    let head = checkpoint(db, &log, &key).await;

    let start = Instant::now();
    let mut tx = db.read().await.unwrap();
    for round in 0..ROUNDS {
        let index = u64::from(round) * 7_919 % head.size;
        black_box(log.inclusion_proof(&mut tx, index, head.size).await.unwrap());
    }
    let proof_us = micros(start.elapsed(), ROUNDS);
    let proof_tiles = AuditLog::tiles_read(99_999_999 / 3, 100_000_000);

    let id = ids[ids.len() / 3];
    let receipt = log.receipt(&mut tx, id, &Disclosure::All).await.unwrap();
    let tlog_proof = log.tlog_proof(&mut tx, id).await.unwrap();
    let index = log.status(&mut tx, id).await.unwrap().index.unwrap();
    let path = log.inclusion_proof(&mut tx, index, head.size).await.unwrap();
    let text = serde_json::to_string(&receipt).unwrap();
    let parsed = api_verify::parse(&text).unwrap();
    let leaf =
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, &parsed.record.leaf);
    let leaf = leaf_hash(&leaf.unwrap());
    let start = Instant::now();
    for _ in 0..ROUNDS {
        verify_inclusion(index, head.size, black_box(&leaf), &path, &head.root).unwrap();
    }
    let path_us = micros(start.elapsed(), ROUNDS);
    let policy = Policy::from_keys(vec![key.vkey().parse().unwrap()]);
    let start = Instant::now();
    for _ in 0..ROUNDS {
        let receipt = api_verify::parse(black_box(&text)).unwrap();
        api_verify::examine(&receipt, &policy, &TrustedBlocks::default()).unwrap();
    }
    let verify_us = micros(start.elapsed(), ROUNDS);
    println!(
        "{}",
        json!({
            "engine": format!("{engine:?}").to_lowercase(),
            "records": records,
            "append_ratio": append_ratio(),
            "durable_ratio": ratio(bare, durable),
            "records_per_second": f64::from(records) / durable.as_secs_f64(),
            "proof_us": proof_us,
            "proof_tiles": proof_tiles,
            "path_us": path_us,
            "verify_us": verify_us,
            "receipt_bytes": text.len(),
            "tlog_proof_bytes": tlog_proof.len(),
            "bytes_per_record": bytes_per_record,
        })
    );
}
