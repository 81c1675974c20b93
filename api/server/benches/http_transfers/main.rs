//! How many transfers a second over HTTP, with authentication and an id for each that makes it safe to
//! send again.
//!
//! `cargo bench -p api-server --bench http_transfers -- --engine sqlite|postgres` prints one JSON line.
//! The real server runs as a process of its own; the load comes from this one, on the same machine.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::float_arithmetic,
    clippy::unwrap_used,
    reason = "a benchmark: it prints rates, and a failure ends it"
)]

mod library;
mod load;
#[path = "../../tests/support/mod.rs"]
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
mod support;
mod usage;

use std::time::Duration;

use api_store::Engine;
use clap::Parser;
use serde_json::{Value, json};

use load::{Measured, Request};
use support::{Client, Server};
use usage::Usage;

/// How many transfers are in a batch.
const BATCH: usize = 8190;
/// How many connections send batches.
const BATCH_CONNECTIONS: usize = 2;

#[derive(Parser)]
struct Options {
    /// sqlite or postgres.
    #[arg(long, default_value_t = Engine::Sqlite)]
    engine: Engine,
    /// How many connections, each kept, each with one request under way.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// How many accounts the transfers are spread over.
    #[arg(long, default_value_t = 1000)]
    accounts: usize,
    /// Seconds for each measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Stop before the measurements of the library.
    #[arg(long)]
    server_only: bool,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    let seconds = Duration::from_secs(options.seconds);
    let server = Server::start(options.engine);
    let tenant = server.tenant("bench");
    let accounts = open_accounts(&tenant, options.accounts);
    let target = load::Target { address: server.address, key: tenant.key, accounts };

    let mut report = json!({
        "engine": options.engine.to_string(), "connections": options.connections, "accounts": options.accounts,
        "batch": BATCH,
    });
    // What every request pays before the ledger sees it: connection, key, scope, JSON.
    let noop = load::run(&target, options.connections, seconds, Request::Refused);
    put(&mut report, "noop", &noop, 1);
    let single = load::run(&target, options.connections, seconds, Request::Single);
    put(&mut report, "transfers", &single, 1);
    let batch = load::run(&target, BATCH_CONNECTIONS, seconds, Request::Batch(BATCH));
    put(&mut report, "batch_transfers", &batch, BATCH);
    report["noop_ratio"] = ratio(single.per_second(1), noop.per_second(1));
    if !options.server_only {
        let library =
            library::measure(options.engine, options.accounts, options.connections, seconds);
        report["library_per_s"] = json!(library.single.round());
        report["library_batch_per_s"] = json!(library.batch.round());
        report["ratio"] = ratio(single.per_second(1), library.single);
        report["batch_ratio"] = ratio(batch.per_second(BATCH), library.batch);
    }
    server.assert_clean();
    println!("{report}");
}

fn open_accounts(tenant: &Client, count: usize) -> Vec<String> {
    let open = |number: usize| {
        let new = json!({
            "code": format!("bench:{number}"), "asset": "EUR", "side": "credit", "floor": "none",
        });
        let account = tenant.post("/v1/ledger/accounts", &new).expect(201);
        account["id"].as_str().unwrap().to_owned()
    };
    (0..count).map(open).collect()
}

fn put(report: &mut Value, name: &str, measured: &Measured, each: usize) {
    report[format!("{name}_per_s")] = json!(measured.per_second(each).round());
    report[format!("{name}_p50_us")] = json!(measured.percentile(50));
    report[format!("{name}_p99_us")] = json!(measured.percentile(99));
    let cost = |of: fn(&Usage) -> u64| json!(tenths(measured.cost_us(each, of)));
    report[format!("{name}_cpu_us")] = json!({
        "server": cost(|used| used.server),
        "database": cost(|used| used.database),
        "load": cost(|used| used.load),
        "machine": cost(|used| used.machine),
    });
    if let Some(answers) = measured.per_commit() {
        report[format!("{name}_per_commit")] = json!(tenths(answers));
    }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn ratio(rate: f64, floor: f64) -> Value {
    json!((rate / floor * 100.0).round() / 100.0)
}
