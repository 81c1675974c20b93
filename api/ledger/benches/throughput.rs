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

use std::time::{Duration, Instant};

use api_ledger::*;
use api_store::test_db::TestDb;
use api_store::{Engine, args};
use clap::Parser;
use rand::Rng as _;
use serde_json::json;
use uuid::Uuid;

const CALLERS: usize = 64;
/// Reads that are not measured, and those that are.
const FIRST_READS: u32 = 200;
const READS: u32 = 2000;

#[derive(Parser)]
struct Options {
    /// sqlite or postgres.
    #[arg(long, default_value = "sqlite")]
    engine: String,
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

struct Bench {
    ledger: Ledger,
    url: String,
    tenant: TenantId,
    first: i64,
    accounts: i64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let engine = match options.engine.as_str() {
        "sqlite" => Engine::Sqlite,
        "postgres" => Engine::Postgres,
        other => anyhow::bail!("--engine is sqlite or postgres, not {other}"),
    };
    let test_db = TestDb::new(engine).await?;
    let bench = Bench::new(&test_db, options.accounts).await?;
    floor::prepare(&test_db.db).await?;
    let mut report = json!({
        "engine": options.engine, "accounts": options.accounts, "preload": options.preload,
    });
    bench.preload(options.preload, options.hot, &mut report).await;
    let (spread, floor) = bench.batches(options.batches, options.hot).await?;
    let (hot, hot_floor) =
        if options.hot { (spread, floor) } else { bench.batches(options.batches, true).await? };
    report["batch_per_s"] = json!(spread.round());
    report["hot_batch_per_s"] = json!(hot.round());
    report["floor_per_s"] = json!(floor.round());
    report["ratio"] = json!(two_digits(spread / floor));
    report["hot_floor_per_s"] = json!(hot_floor.round());
    report["hot_ratio"] = json!(two_digits(hot / hot_floor));
    report["bytes_per_transfer"] = json!(floor::bytes_per_row(&test_db.db).await?);
    let seconds = Duration::from_secs(options.seconds);
    let mut unbatched = bench.callers(seconds, options.hot, None).await;
    let front = GroupCommit::start(bench.ledger.clone());
    let mut single = bench.callers(seconds, options.hot, Some(front)).await;
    report["unbatched_per_s"] = json!(unbatched.rate().round());
    report["unbatched_p99_us"] = json!(unbatched.percentile(99));
    report["single_per_s"] = json!(single.rate().round());
    report["single_ratio"] = json!(two_digits(single.rate() / unbatched.rate()));
    report["p50_us"] = json!(single.percentile(50));
    report["p99_us"] = json!(single.percentile(99));
    bench.read_latencies(&mut report).await?;
    if options.check {
        let mut tx = test_db.db.read().await?;
        let check = bench.ledger.check(&mut tx).await?;
        anyhow::ensure!(check.is_clean(), "{:?}", check.difference);
        report["checked_legs"] = json!(check.legs);
    }
    println!("{report}");
    Ok(())
}

fn two_digits(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

struct Latencies {
    micros: Vec<u128>,
    wall: Duration,
}

impl Latencies {
    fn rate(&self) -> f64 {
        per_second(self.micros.len(), self.wall)
    }

    fn percentile(&mut self, percent: usize) -> u128 {
        self.micros.sort_unstable();
        self.micros[(self.micros.len() - 1) * percent / 100]
    }
}

fn per_second(count: usize, wall: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap()) / wall.as_secs_f64()
}

impl Bench {
    async fn new(test_db: &TestDb, accounts: i64) -> anyhow::Result<Self> {
        let ledger = Ledger::new(test_db.db.clone());
        let tenant = TenantId::new(Uuid::now_v7());
        let mut tx = test_db.db.begin().await?;
        let first = NewAccount::new(tenant, "first", "EUR", Side::Credit).with_floor(Floor::None);
        let first = ledger.open_account(&mut tx, &first).await?.get();
        floor::open_accounts(&mut tx, first, accounts).await?;
        tx.commit().await?;
        let url = test_db.url.clone();
        Ok(Self { ledger, url, tenant, first, accounts })
    }

    fn transfer(&self, hot: bool) -> Transfer {
        let mut rng = rand::rng();
        let end = self.first + self.accounts;
        let debit = rng.random_range(self.first + 1..end);
        let credit = if hot { self.first } else { rng.random_range(self.first + 1..end) };
        let credit = if credit == debit { self.first } else { credit };
        let amount = rng.random_range(1..100_000);
        let leg = Leg { debit: AccountId::new(debit), credit: AccountId::new(credit), amount };
        Transfer::new(self.tenant, TransferId::generate(), vec![leg]).with_code("payment")
    }

    fn batch(&self, length: usize, hot: bool) -> Vec<Transfer> {
        (0..length).map(|_| self.transfer(hot)).collect()
    }

    async fn post(&self, batch: &[Transfer]) -> (Duration, i64) {
        let start = Instant::now();
        let results = self.ledger.post_batch(batch).await.unwrap();
        let wall = start.elapsed();
        assert!(results.iter().all(Result::is_ok));
        (wall, results[0].as_ref().unwrap().seq)
    }

    /// Posts `count` batches, with the checkpoints that the store makes by itself. Reports the rate
    /// of each tenth, and processor time: of this process, in which SQLite works too.
    async fn preload(&self, count: usize, hot: bool, report: &mut serde_json::Value) {
        let mut tenths = Vec::new();
        let mut cpu_us = Vec::new();
        for tenth in 0..10 {
            let batches = count * (tenth + 1) / 10 - count * tenth / 10;
            let (mut wall, cpu) = (Duration::ZERO, floor::cpu_time());
            for _ in 0..batches {
                wall += self.post(&self.batch(TRANSFERS_MAX, hot)).await.0;
            }
            if batches > 0 {
                let transfers = batches * TRANSFERS_MAX;
                tenths.push(json!(per_second(transfers, wall).round()));
                let cpu = per_second(transfers, floor::cpu_time() - cpu).recip() * 1e6;
                cpu_us.push(json!(two_digits(cpu)));
                eprintln!("{} of 10: {}/s, {cpu:.1} us", tenth + 1, tenths[tenths.len() - 1]);
            }
        }
        report["preload_per_s"] = json!(tenths);
        report["preload_cpu_us"] = json!(cpu_us);
    }

    /// Transfers a second through the ledger, and rows a second by bare inserts of the same rows,
    /// batch by batch in turn so that both meet the same weather. On SQLite each pays for the
    /// checkpoint of what it wrote, and not by chance for that of the other.
    async fn batches(&self, count: usize, hot: bool) -> anyhow::Result<(f64, f64)> {
        let (mut ledger, mut floor) = <(Duration, Duration)>::default();
        let mut checkpoints = floor::Checkpoints::new(&self.url).await?;
        for number in 0..count + 2 {
            let batch = self.batch(TRANSFERS_MAX, hot);
            let (mut posted, first_seq) = self.post(&batch).await;
            posted += checkpoints.run().await?;
            let inserted = floor::insert_same_rows(self.ledger.db(), first_seq).await?;
            let inserted = inserted + checkpoints.run().await?;
            if number >= 2 {
                ledger += posted;
                floor += inserted;
            }
        }
        let transfers = count * TRANSFERS_MAX;
        Ok((per_second(transfers, ledger), per_second(transfers, floor)))
    }

    /// 64 callers, each with one transfer at a time: through the group commit, or each with a
    /// commit of its own.
    async fn callers(&self, time: Duration, hot: bool, front: Option<GroupCommit>) -> Latencies {
        let start = Instant::now();
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let (front, ledger, url) = (front.clone(), self.ledger.clone(), String::new());
                let bench = Self { ledger, url, ..*self };
                tokio::spawn(async move { bench.caller(start + time, hot, front).await })
            })
            .collect();
        let mut micros = Vec::new();
        for caller in callers {
            micros.extend(caller.await.unwrap());
        }
        Latencies { micros, wall: start.elapsed() }
    }

    async fn caller(&self, end: Instant, hot: bool, front: Option<GroupCommit>) -> Vec<u128> {
        let mut micros = Vec::new();
        while Instant::now() < end {
            let transfer = self.transfer(hot);
            let start = Instant::now();
            match &front {
                Some(front) => front.post(transfer).await.unwrap(),
                None => self.ledger.post(&transfer).await.unwrap(),
            };
            micros.push(start.elapsed().as_micros());
        }
        micros
    }

    /// How long a balance and a statement page of 50 lines take, each of an account by chance; once every
    /// connection has prepared its statements, which the first reads see to.
    async fn read_latencies(&self, report: &mut serde_json::Value) -> anyhow::Result<()> {
        let (mut balances, mut pages) = (Vec::new(), Vec::new());
        for number in 0..FIRST_READS + READS {
            let account = rand::rng().random_range(self.first + 1..self.first + self.accounts);
            let account = AccountId::new(account);
            let mut tx = self.ledger.db().read().await?;
            let start = Instant::now();
            self.ledger.balance(&mut tx, account, AsOf::Now).await?;
            let balance = start.elapsed();
            let start = Instant::now();
            let page = StatementPage { after: 0, limit: 50 };
            self.ledger.statement(&mut tx, account, page).await?;
            let page = start.elapsed();
            tx.rollback().await?;
            if number >= FIRST_READS {
                balances.push(balance.as_micros());
                pages.push(page.as_micros());
            }
        }
        for (name, micros) in [("balance", balances), ("statement", pages)] {
            let mut latencies = Latencies { micros, wall: Duration::ZERO };
            report[format!("{name}_p50_us")] = json!(latencies.percentile(50));
            report[format!("{name}_p99_us")] = json!(latencies.percentile(99));
        }
        let mut tx = self.ledger.db().read().await?;
        let sql = "SELECT COUNT(*) FROM ledger_transfers";
        let (count,): (i64,) = tx.fetch_one(sql, args![]).await?;
        report["transfers"] = json!(count);
        Ok(())
    }
}
