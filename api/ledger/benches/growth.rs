//! Whether a ledger slows as it grows: a small one and a large one post in turn, so that both meet the same
//! weather, for about a second each, so that neither is slow because the other emptied the processor's caches.
//!
//! `cargo bench -p api-ledger --bench growth -- --engine sqlite|postgres` prints one JSON line.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::float_arithmetic,
    clippy::unwrap_used,
    reason = "a benchmark: it prints rates, and a failure ends it"
)]

mod load;

use std::time::Duration;

use api_ledger::TRANSFERS_MAX;
use api_store::Engine;
use api_store::test_db::TestDb;
use clap::Parser;
use serde_json::{Value, json};

use crate::load::{Load, per_second, two_digits};

#[derive(Parser)]
struct Options {
    /// sqlite or postgres.
    #[arg(long, default_value_t = Engine::Sqlite)]
    engine: Engine,
    /// Accounts of the small ledger.
    #[arg(long, default_value_t = 10_000)]
    small_accounts: i64,
    /// Batches of 8,190 transfers that the small ledger has before anything is measured.
    #[arg(long, default_value_t = 122)]
    small_preload: usize,
    /// Accounts of the large ledger.
    #[arg(long, default_value_t = 1_000_000)]
    accounts: i64,
    /// Batches of 8,190 transfers that the large ledger has before anything is measured.
    #[arg(long, default_value_t = 2442)]
    preload: usize,
    /// Batches of 8,190 transfers that each is measured with, at least. Over a million accounts, folding them and removing
    /// what is folded comes round about every thousand batches.
    #[arg(long, default_value_t = 1000)]
    batches: usize,
    /// Batches in one turn.
    #[arg(long, default_value_t = 25)]
    turn: usize,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The time that batches took.
#[derive(Default)]
struct Turns {
    small: Duration,
    large: Duration,
}

impl Turns {
    /// The rate of the large ledger as a part of that of the small one.
    fn ratio(&self) -> f64 {
        two_digits(self.small.as_secs_f64() / self.large.as_secs_f64())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let (small_db, large_db) =
        (TestDb::new(options.engine).await?, TestDb::new(options.engine).await?);
    let (small, mut of_small) =
        grown(&small_db, options.small_accounts, options.small_preload).await?;
    let (large, mut of_large) = grown(&large_db, options.accounts, options.preload).await?;
    let mut all = Turns::default();
    let mut tenths = Vec::new();
    let turns_in_tenth = options.batches.div_ceil(options.turn * 10);
    for tenth in 0..10 {
        let mut turns = Turns::default();
        for _ in 0..turns_in_tenth {
            turns.small += small.turn(options.turn, false).await;
            turns.large += large.turn(options.turn, false).await;
        }
        eprintln!("measured {} of 10: {}", tenth + 1, turns.ratio());
        tenths.push(turns.ratio());
        all.small += turns.small;
        all.large += turns.large;
    }
    let transfers = turns_in_tenth * 10 * options.turn * TRANSFERS_MAX;
    of_small["batch_per_s"] = json!(per_second(transfers, all.small).round());
    of_large["batch_per_s"] = json!(per_second(transfers, all.large).round());
    let report = json!({
        "engine": options.engine.to_string(), "small": of_small, "large": of_large,
        "ratio": all.ratio(), "ratio_tenths": tenths,
    });
    println!("{report}");
    Ok(())
}

/// A ledger with that many accounts and batches, and how long its balances and statements take to read.
async fn grown(db: &TestDb, accounts: i64, batches: usize) -> anyhow::Result<(Load, Value)> {
    let load = Load::new(db, accounts).await?;
    let mut report = json!({ "accounts": accounts });
    load.preload(batches, false, &mut report).await;
    load.read_latencies(&mut report).await?;
    Ok((load, report))
}
