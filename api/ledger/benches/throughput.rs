//! How many transfers a second, against the bare inserts of the same rows on the same engine.
//!
//! `cargo bench -p api-ledger --bench throughput -- --engine sqlite|postgres` prints one JSON line.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::float_arithmetic,
    clippy::unwrap_used,
    reason = "a benchmark: it prints rates, and a failure ends it"
)]

mod floor;
mod load;

use std::time::{Duration, Instant};

use api_ledger::*;
use api_store::Engine;
use api_store::test_db::TestDb;
use clap::Parser;
use serde_json::json;

use crate::load::{Load, per_second, percentile, two_digits};

const CALLERS: usize = 64;

#[derive(Parser)]
struct Options {
    /// sqlite or postgres.
    #[arg(long, default_value_t = Engine::Sqlite)]
    engine: Engine,
    /// How many accounts the transfers are spread over.
    #[arg(long, default_value_t = 10_000)]
    accounts: i64,
    /// Batches of 8,190 that are posted before anything is measured.
    #[arg(long, default_value_t = 0)]
    preload: usize,
    /// Batches of 8,190 that are measured.
    #[arg(long, default_value_t = 20)]
    batches: usize,
    /// Seconds for each of the two measurements with 64 callers.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Only the hot account.
    #[arg(long)]
    hot: bool,
    /// Recompute everything at the end.
    #[arg(long)]
    check: bool,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let test_db = TestDb::new(options.engine).await?;
    let load = Load::new(&test_db, options.accounts).await?;
    floor::prepare(&test_db.db).await?;
    let mut report = json!({
        "engine": options.engine.to_string(), "accounts": options.accounts, "preload": options.preload,
    });
    load.preload(options.preload, options.hot, &mut report).await;
    let (spread, floor) = batches(&load, &test_db.url, options.batches, options.hot).await?;
    let (hot, hot_floor) = if options.hot {
        (spread, floor)
    } else {
        batches(&load, &test_db.url, options.batches, true).await?
    };
    report["batch_per_s"] = json!(spread.round());
    report["hot_batch_per_s"] = json!(hot.round());
    report["floor_per_s"] = json!(floor.round());
    report["ratio"] = json!(two_digits(spread / floor));
    report["hot_floor_per_s"] = json!(hot_floor.round());
    report["hot_ratio"] = json!(two_digits(hot / hot_floor));
    report["bytes_per_transfer"] = json!(floor::bytes_per_row(&test_db.db).await?);
    let seconds = Duration::from_secs(options.seconds);
    let mut unbatched = callers(&load, seconds, options.hot, None).await;
    let front = GroupCommit::start(load.ledger.clone());
    let mut single = callers(&load, seconds, options.hot, Some(front)).await;
    report["unbatched_per_s"] = json!(unbatched.rate().round());
    report["unbatched_p99_us"] = json!(percentile(&mut unbatched.micros, 99));
    report["single_per_s"] = json!(single.rate().round());
    report["single_ratio"] = json!(two_digits(single.rate() / unbatched.rate()));
    report["p50_us"] = json!(percentile(&mut single.micros, 50));
    report["p99_us"] = json!(percentile(&mut single.micros, 99));
    load.read_latencies(&mut report).await?;
    if options.check {
        let mut tx = test_db.db.read().await?;
        let check = load.ledger.check(&mut tx).await?;
        anyhow::ensure!(check.is_clean(), "{:?}", check.difference);
        report["checked_legs"] = json!(check.legs);
    }
    println!("{report}");
    Ok(())
}

/// Transfers a second through the ledger, and rows a second by bare inserts of the same rows,
/// batch by batch in turn so that both meet the same weather. On SQLite each pays for the
/// checkpoint of what it wrote, and not by chance for that of the other.
async fn batches(load: &Load, url: &str, count: usize, hot: bool) -> anyhow::Result<(f64, f64)> {
    let (mut ledger, mut floor) = <(Duration, Duration)>::default();
    let mut checkpoints = floor::Checkpoints::new(url).await?;
    for number in 0..count + 2 {
        let (mut posted, first_seq) = load.post(&load.batch(hot)).await;
        posted += checkpoints.run().await?;
        let inserted = floor::insert_same_rows(load.ledger.db(), first_seq).await?;
        let inserted = inserted + checkpoints.run().await?;
        if number >= 2 {
            ledger += posted;
            floor += inserted;
        }
    }
    let transfers = count * TRANSFERS_MAX;
    Ok((per_second(transfers, ledger), per_second(transfers, floor)))
}

struct Latencies {
    micros: Vec<u128>,
    wall: Duration,
}

impl Latencies {
    fn rate(&self) -> f64 {
        per_second(self.micros.len(), self.wall)
    }
}

/// 64 callers, each with one transfer at a time: through the group commit, or each with a
/// commit of its own.
async fn callers(load: &Load, time: Duration, hot: bool, front: Option<GroupCommit>) -> Latencies {
    let start = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| tokio::spawn(caller(load.clone(), start + time, hot, front.clone())))
        .collect();
    let mut micros = Vec::new();
    for caller in callers {
        micros.extend(caller.await.unwrap());
    }
    Latencies { micros, wall: start.elapsed() }
}

async fn caller(load: Load, end: Instant, hot: bool, front: Option<GroupCommit>) -> Vec<u128> {
    let mut micros = Vec::new();
    while Instant::now() < end {
        let transfer = load.transfer(hot);
        let start = Instant::now();
        match &front {
            Some(front) => front.post(transfer).await.unwrap(),
            None => load.ledger.post(&transfer).await.unwrap(),
        };
        micros.push(start.elapsed().as_micros());
    }
    micros
}
