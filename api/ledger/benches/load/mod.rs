//! A ledger under load: accounts, batches of transfers, and what they take.

use std::time::{Duration, Instant};

use api_ledger::*;
use api_store::test_db::TestDb;
use api_store::{Tx, args};
use rand::Rng as _;
use serde_json::{Value, json};
use uuid::Uuid;

/// Reads that are not measured, and those that are.
const FIRST_READS: u32 = 200;
const READS: u32 = 2000;

/// A ledger and the accounts that transfers are spread over.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) ledger: Ledger,
    tenant: TenantId,
    first: i64,
    accounts: i64,
}

impl Load {
    pub(crate) async fn new(test_db: &TestDb, accounts: i64) -> anyhow::Result<Self> {
        let ledger = Ledger::new(test_db.db.clone());
        let tenant = TenantId::new(Uuid::now_v7());
        let mut tx = test_db.db.begin().await?;
        let first = NewAccount::new(tenant, "first", "EUR", Side::Credit).with_floor(Floor::None);
        let first = ledger.open_account(&mut tx, &first).await?.get();
        open_accounts(&mut tx, first, accounts).await?;
        tx.commit().await?;
        Ok(Self { ledger, tenant, first, accounts })
    }

    /// Between two accounts by chance; when `hot`, all credit the same.
    pub(crate) fn transfer(&self, hot: bool) -> Transfer {
        let mut rng = rand::rng();
        let end = self.first + self.accounts;
        let debit = rng.random_range(self.first + 1..end);
        let credit = if hot { self.first } else { rng.random_range(self.first + 1..end) };
        let credit = if credit == debit { self.first } else { credit };
        let amount = rng.random_range(1..100_000);
        let leg = Leg { debit: AccountId::new(debit), credit: AccountId::new(credit), amount };
        Transfer::new(self.tenant, TransferId::generate(), vec![leg]).with_code("payment")
    }

    pub(crate) fn batch(&self, hot: bool) -> Vec<Transfer> {
        (0..TRANSFERS_MAX).map(|_| self.transfer(hot)).collect()
    }

    /// Returns how long it took, and the first number that was given.
    pub(crate) async fn post(&self, batch: &[Transfer]) -> (Duration, i64) {
        let start = Instant::now();
        let results = self.ledger.post_batch(batch).await.unwrap();
        let wall = start.elapsed();
        assert!(results.iter().all(Result::is_ok));
        (wall, results[0].as_ref().unwrap().seq)
    }

    /// How long `count` batches take, with the checkpoints that the store makes by itself.
    pub(crate) async fn turn(&self, count: usize, hot: bool) -> Duration {
        let mut wall = Duration::ZERO;
        for _ in 0..count {
            wall += self.post(&self.batch(hot)).await.0;
        }
        wall
    }

    /// Posts `count` batches. Reports the rate of each tenth, and processor time: of this process, in which SQLite
    /// works too.
    pub(crate) async fn preload(&self, count: usize, hot: bool, report: &mut Value) {
        let mut tenths = Vec::new();
        let mut cpu_us = Vec::new();
        for tenth in 0..10 {
            let batches = count * (tenth + 1) / 10 - count * tenth / 10;
            let cpu = cpu_time();
            let wall = self.turn(batches, hot).await;
            if batches > 0 {
                let transfers = batches * TRANSFERS_MAX;
                tenths.push(json!(per_second(transfers, wall).round()));
                let cpu = per_second(transfers, cpu_time() - cpu).recip() * 1e6;
                cpu_us.push(json!(two_digits(cpu)));
                eprintln!("{} of 10: {}/s, {cpu:.1} us", tenth + 1, tenths[tenths.len() - 1]);
            }
        }
        report["preload_per_s"] = json!(tenths);
        report["preload_cpu_us"] = json!(cpu_us);
    }

    /// How long a balance and a statement page of 50 lines take, each of an account by chance, and how long when
    /// the same are read again: then they come from memory. Every connection has prepared its statements before,
    /// which the first reads see to.
    pub(crate) async fn read_latencies(&self, report: &mut Value) -> anyhow::Result<()> {
        let mut rng = rand::rng();
        let mut account =
            || AccountId::new(rng.random_range(self.first + 1..self.first + self.accounts));
        for _ in 0..FIRST_READS {
            self.read(account()).await?;
        }
        let accounts: Vec<AccountId> = (0..READS).map(|_| account()).collect();
        for again in ["", "_again"] {
            let (mut balances, mut pages) = (Vec::new(), Vec::new());
            for account in &accounts {
                let (balance, page) = self.read(*account).await?;
                balances.push(balance.as_micros());
                pages.push(page.as_micros());
            }
            for (name, micros) in [("balance", &mut balances), ("statement", &mut pages)] {
                report[format!("{name}{again}_p50_us")] = json!(percentile(micros, 50));
                report[format!("{name}{again}_p99_us")] = json!(percentile(micros, 99));
            }
        }
        let mut tx = self.ledger.db().read().await?;
        let sql = "SELECT COUNT(*) FROM ledger_transfers";
        let (count,): (i64,) = tx.fetch_one(sql, args![]).await?;
        report["transfers"] = json!(count);
        Ok(())
    }

    async fn read(&self, account: AccountId) -> anyhow::Result<(Duration, Duration)> {
        let mut tx = self.ledger.db().read().await?;
        let start = Instant::now();
        self.ledger.balance(&mut tx, account, AsOf::Now).await?;
        let balance = start.elapsed();
        let start = Instant::now();
        self.ledger.statement(&mut tx, account, StatementPage { after: 0, limit: 50 }).await?;
        let page = start.elapsed();
        tx.rollback().await?;
        Ok((balance, page))
    }
}

/// Opens `count` accounts like the one with the number `first`.
async fn open_accounts(tx: &mut Tx, first: i64, count: i64) -> anyhow::Result<()> {
    let accounts = match tx {
        Tx::Sqlite(_) => {
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n + 1 < $2)
             INSERT INTO ledger_accounts (book, code, asset, side, created_at)
             SELECT book, 'account:' || n.n, asset, side, created_at
             FROM n, ledger_accounts WHERE key = $1"
        }
        Tx::Postgres(_) => {
            "INSERT INTO ledger_accounts (book, code, asset, side, created_at)
             SELECT book, 'account:' || n, asset, side, created_at
             FROM generate_series(1, $2 - 1) AS n, ledger_accounts WHERE key = $1"
        }
    };
    tx.execute(accounts, args![first, count]).await?;
    let balances = "INSERT INTO ledger_balances (account, flags)
        SELECT a.key, b.flags FROM ledger_accounts AS a, ledger_balances AS b
        WHERE b.account = $1 AND a.key > $1";
    tx.execute(balances, args![first]).await?;
    Ok(())
}

/// The time that all threads of this process have had a processor.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let ticks = fields.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

pub(crate) fn two_digits(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

pub(crate) fn percentile(micros: &mut [u128], percent: usize) -> u128 {
    micros.sort_unstable();
    micros[(micros.len() - 1) * percent / 100]
}

pub(crate) fn per_second(count: usize, wall: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap()) / wall.as_secs_f64()
}
