//! How many schedules a second the engine makes, against the calculators the tests compare with.
//!
//! `cargo bench -p api-loans --bench schedule` prints one JSON line. The peers run in the virtual
//! environment of the tests (`tests/golden.rs` makes it); without it their figures are null.
#![expect(clippy::print_stdout, clippy::float_arithmetic, reason = "a benchmark: it prints rates")]

#[path = "../tests/common/mod.rs"]
mod tests;

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use api_loans::Money;
use api_loans::schedule::Schedule;
use serde_json::{Value, json};

const SCHEDULES: u32 = 20_000;
const INSTALMENTS: u32 = 36;

const PEERS: &str = r#"
import json, time
import numpy as np
import numpy_financial as npf
from amortization.schedule import amortization_schedule
def rate(make, count):
    begun = time.perf_counter()
    for k in range(count):
        make(1_000_000 + k)
    return round(count / (time.perf_counter() - begun))
periods = np.arange(1, 37)
def numpy(principal):
    return npf.ipmt(0.12 / 12, periods, 36, principal), npf.ppmt(0.12 / 12, periods, 36, principal)
print(json.dumps({
    "numpy_financial_per_s": rate(numpy, 4000),
    "amortization_per_s": rate(lambda p: list(amortization_schedule(p / 100, 0.12, 36)), 4000),
}))
"#;

fn main() -> anyhow::Result<()> {
    let mut contract = tests::plain_contract();
    contract.terms.instalments = INSTALMENTS;
    let begun = Instant::now();
    let mut interest = Money::ZERO;
    for number in 0..SCHEDULES {
        contract.principal = Money::new(100_000_000_i128.saturating_add(number.into()));
        interest = interest.plus(Schedule::build(&contract)?.total_interest)?;
    }
    let per_second = f64::from(SCHEDULES) / begun.elapsed().as_secs_f64();
    anyhow::ensure!(interest.is_positive(), "the schedules were computed");
    let line = json!({
        "bench": "schedule",
        "instalments": INSTALMENTS,
        "schedules_per_s": per_second.round(),
        "peers": peers(),
    });
    println!("{line}");
    Ok(())
}

fn peers() -> Option<Value> {
    let home = PathBuf::from(std::env::var_os("HOME")?);
    let python = home.join(".cache/roadstead/loans-py/bin/python");
    let done = Command::new(python).args(["-c", PEERS]).output().ok()?;
    serde_json::from_slice(&done.stdout).ok()
}
