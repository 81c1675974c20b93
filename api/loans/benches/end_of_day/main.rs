//! The end of the day for many active loans.
//!
//! `cargo bench -p api-loans --bench end_of_day -- --engine sqlite|postgres --loans N` prints one
//! JSON line. Some hundred loans are made through the service and copied in the database; what is
//! measured is one day of accrual, billing and late fees for all of them.
#![expect(
    clippy::print_stdout,
    clippy::float_arithmetic,
    reason = "a benchmark: it prints rates, and a failure ends it"
)]

mod repo;
#[path = "../../tests/common/mod.rs"]
mod tests;

use std::time::Instant;

use api_loans::loan::RepaymentMode;
use api_loans::{Disburse, Repay};
use api_store::Engine;
use clap::Parser;
use jiff::civil::{Date, date};
use serde_json::json;
use tests::world::World;
use uuid::Uuid;

const TEMPLATES: u64 = 365;
const BATCH_LOANS: u32 = 4000;

#[derive(Parser)]
struct Options {
    /// sqlite or postgres.
    #[arg(long, default_value_t = Engine::Sqlite)]
    engine: Engine,
    /// How many active loans.
    #[arg(long, default_value_t = 100_000)]
    loans: u64,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let today = date(2025, 3, 1);
    let world = World::new(options.engine, today).await?;
    for index in 0..TEMPLATES {
        template(&world, index, today).await?;
    }
    let copies = options.loans.saturating_sub(TEMPLATES).div_ceil(TEMPLATES);
    repo::copy_loans(world.db(), copies).await?;
    world.loans.end_of_day(world.db(), today.yesterday()?, BATCH_LOANS).await?;

    forget_peak();
    let begun = Instant::now();
    let done = world.loans.end_of_day(world.db(), today, BATCH_LOANS).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let again = world.loans.end_of_day(world.db(), today, BATCH_LOANS).await?;
    assert_eq!(again.loans, 0, "a day was run twice");
    let line = json!({
        "bench": "end_of_day",
        "engine": options.engine.to_string(),
        "loans": done.loans,
        "transfers": done.transfers,
        "seconds": (seconds * 1000.0).round() / 1000.0,
        "loans_per_s": (done.loans as f64 / seconds).round(),
        "peak_rss_mb": peak_rss_mb(),
    });
    println!("{line}");
    Ok(())
}

/// A loan that started on a day of its own within the last year, with three payments.
async fn template(world: &World, index: u64, today: Date) -> anyhow::Result<()> {
    let days = i64::try_from(index)?.saturating_add(1);
    let start = today.checked_sub(jiff::Span::new().days(days))?;
    let base = u128::from(index.saturating_add(1)) << 64;
    let loan = Uuid::from_u128(base);
    let mut tx = world.db().begin().await?;
    let disbursal = Disburse { start, ..world.disbursal(loan) };
    world.loans.disburse(&mut tx, world.tenant, &disbursal).await?;
    for number in 1..=3u8 {
        let on = start.checked_add(jiff::Span::new().months(number))?;
        if on >= today {
            break;
        }
        let payment = Repay {
            id: Uuid::from_u128(base | (u128::from(number) << 48)),
            mode: RepaymentMode::Hold,
            ..world.payment(loan, on, 106_619)
        };
        world.loans.repay(&mut tx, world.tenant, &payment).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Lets the kernel count the peak from now on (Linux; elsewhere the peak of the whole run stays).
fn forget_peak() {
    let _unsupported = std::fs::write("/proc/self/clear_refs", "5");
}

fn peak_rss_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    kib.checked_div(1024)
}
