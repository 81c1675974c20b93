//! How fast the log is, against floors that are measured in the same run.
//!
//! `cargo bench -p api-audit --bench log -- --engine sqlite|postgres [--records <n>] [--streams]
//! [--large <leaves>]` prints one line of JSON:
//!
//! - `append_ratio`: 1,000,000 entries appended in memory, with the root taken every 1,000; the floor is
//!   the bare SHA-256 of as many leaves and nodes. 1 would be as fast as the floor.
//! - `durable_ratio`: records written in transactions of 1,000 and given their indices and tiles
//!   10,000 at a time; the floor is the insertion of the same rows, in as many transactions, into tables
//!   with the same constraints and indexes (without the tiles: they are our work). Both pay for
//!   SQLite's checkpoints. `durable_cpu_ratio` is the same of processor time (SQLite only).
//! - `proof_us`: an inclusion proof from the database. `large`: proofs from a log of so many leaves.
//! - `path_us`, `verify_us`: the path alone, and a whole receipt with one signature. Like `proof_us`
//!   they are medians.
//! - `receipt_bytes`, `tlog_proof_bytes`, `bytes_per_record`; `tlog_proof_bytes_at_2_30`.
//!
//! With `--streams` each record belongs to one of 5,000 streams and has an external id.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::float_arithmetic,
    reason = "a benchmark"
)]

mod parts;
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
use parts::{Checkpoints, cpu_time, floor, large};
use serde_json::json;
use support::{NOW_MS, NoteKey, ORIGIN, checkpoint};

const MEMORY_ENTRIES: u32 = 1_000_000;
const CHECKPOINT_EVERY: u32 = 1_000;
const BATCH: u32 = 1_000;
/// Batches that are sequenced together.
const ROUND: u32 = 10;
const ENTRY_BYTES: usize = 320;
const ROUNDS: u32 = 2_000;

fn argument(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1)
}

fn ratio(floor: Duration, ours: Duration) -> f64 {
    floor.as_secs_f64() / ours.as_secs_f64()
}

/// The median of single measurements: other programs on the machine hardly move it.
fn median_us(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
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
            black_box(tree.root());
        }
    }
    ratio(floor, start.elapsed())
}

fn record(number: u32, streams: bool) -> Record {
    let loan = format!("0198f000-0000-7000-8000-{:012}", number.wrapping_mul(7_919) % 5_000);
    let record = Record::new("loan.repayment", NOW_MS)
        .field("loan", &loan)
        .field("amount", number.to_string())
        .field("currency", "EUR")
        .field("effective", "2026-03-01");
    match streams {
        true => record.stream(format!("loan:{loan}")).external_id("bank", number.to_string()),
        false => record,
    }
}

/// Writes the records of one round, a transaction for each list, and sequences them.
async fn write(db: &Db, log: &AuditLog, lists: &[Vec<Record>]) -> (Vec<RecordId>, Duration) {
    let mut ids = Vec::new();
    let start = Instant::now();
    for list in lists {
        let mut tx = db.begin().await.unwrap();
        ids.extend(log.append_many_in(&mut tx, list).await.unwrap());
        tx.commit().await.unwrap();
    }
    log.sequence(db, BATCH * ROUND).await.unwrap();
    (ids, start.elapsed())
}

#[derive(Default)]
struct Durable {
    ids: Vec<RecordId>,
    ours: Duration,
    floor: Duration,
    ours_cpu: Duration,
    floor_cpu: Duration,
}

/// Rounds of our own and of the floor by turns, so that both meet the same weather.
async fn durable(test_db: &TestDb, log: &AuditLog, records: u32, streams: bool) -> Durable {
    let db = &test_db.db;
    let mut checkpoints = Checkpoints::new(&test_db.url).await;
    floor::prepare(db).await;
    let mut all = Durable::default();
    for round in 0..records / (BATCH * ROUND) {
        let first = round * BATCH * ROUND;
        let list = |batch: u32| {
            let first = first + batch * BATCH;
            (first..first + BATCH).map(|number| record(number, streams)).collect()
        };
        let lists: Vec<Vec<Record>> = (0..ROUND).map(list).collect();
        let cpu = cpu_time();
        let (ids, time) = write(db, log, &lists).await;
        all.ours += time + checkpoints.run().await;
        all.ours_cpu += cpu_time() - cpu;
        all.ids.extend(ids);
        let (time, cpu) = floor::insert_same_rows(db, first.into()).await;
        let before = cpu_time();
        all.floor += time + checkpoints.run().await;
        all.floor_cpu += cpu + (cpu_time() - before);
    }
    all
}

/// The text of a proof with `hashes` hashes and a checkpoint of 2^30 leaves.
fn tlog_proof_bytes(key: &NoteKey, hashes: usize) -> usize {
    let hash = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, [0x5a; 32]);
    let note = key.note(&format!("{ORIGIN}\n{}\n{hash}\n", 1_u64 << 30));
    let path = format!("{hash}\n").repeat(hashes);
    format!("c2sp.org/tlog-proof@v1\nindex {}\n{path}\n{note}", (1_u64 << 30) - 1).len()
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
    let engine = argument("--engine").map_or(Engine::Sqlite, |text| text.parse().unwrap());
    let records = argument("--records").map_or(100_000, |text| text.parse().unwrap());
    let test_db = TestDb::new(engine).await.unwrap();
    let db = &test_db.db;
    let log = AuditLog::open(db, ORIGIN).await.unwrap();
    let empty = size_of(db).await;
    let streams = std::env::args().any(|argument| argument == "--streams");
    let durable = durable(&test_db, &log, records, streams).await;
    let ids = durable.ids;
    // The floor's copy has the same size, but for the tiles.
    let bytes_per_record = (size_of(db).await - empty) / i64::from(records) / 2;
    let key = NoteKey::log(1);
    let head = checkpoint(db, &log, &key).await;

    let mut tx = db.read().await.unwrap();
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let index = u64::from(round) * 7_919 % head.size;
        let start = Instant::now();
        black_box(log.inclusion_proof(&mut tx, index, head.size).await.unwrap());
        times.push(start.elapsed());
    }
    let proof_us = median_us(times);
    drop(tx);
    let large = match argument("--large") {
        Some(leaves) => large::proofs(db, leaves.parse().unwrap()).await,
        None => json!(null),
    };
    let mut tx = db.read().await.unwrap();

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
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        verify_inclusion(index, head.size, black_box(&leaf), &path, &head.root).unwrap();
        times.push(start.elapsed());
    }
    let path_us = median_us(times);
    let policy = Policy::from_keys(vec![key.vkey().parse().unwrap()]);
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let receipt = api_verify::parse(black_box(&text)).unwrap();
        api_verify::examine(&receipt, &policy, &TrustedBlocks::default()).unwrap();
        times.push(start.elapsed());
    }
    let verify_us = median_us(times);
    println!(
        "{}",
        json!({
            "engine": engine.to_string(),
            "records": records,
            "append_ratio": append_ratio(),
            "durable_ratio": ratio(durable.floor, durable.ours),
            "durable_cpu_ratio": (engine == Engine::Sqlite)
                .then(|| ratio(durable.floor_cpu, durable.ours_cpu)),
            "records_per_second": f64::from(records) / durable.ours.as_secs_f64(),
            "floor_per_second": f64::from(records) / durable.floor.as_secs_f64(),
            "proof_us": proof_us,
            "large": large,
            "path_us": path_us,
            "verify_us": verify_us,
            "receipt_bytes": text.len(),
            "tlog_proof_bytes": tlog_proof.len(),
            "tlog_proof_bytes_at_2_30": tlog_proof_bytes(&key, 30),
            "bytes_per_record": bytes_per_record,
        })
    );
}
