//! The process is killed while it posts: what was acknowledged is there, nothing is half written.
//! (K2 and K5 of the fault campaign.) The killed process is the only one that has the database open, and
//! who looks afterwards opens it anew: what is seen was recovered from the file.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Fixture, SMALL};
use api_ledger::*;
use api_store::{Db, Engine};
use tokio::task::JoinSet;

const CHILD: &str = "ROADSTEAD_LEDGER_CRASH_CHILD";
const BATCH_CHILD: &str = "ROADSTEAD_LEDGER_BATCH_CHILD";
const BATCH: usize = 4_000;
pub(crate) const CHILD_LIFE_MAX: Duration = Duration::from_secs(15);
pub(crate) const CALLERS: usize = 8;
const RETRY_AFTER: Duration = Duration::from_millis(10);

/// Posts for ever and says what was acknowledged and what failed. Only runs as a child of the tests
/// below and of those in `faults`.
#[test]
fn crash_child() {
    let Ok(setup) = std::env::var(CHILD) else { return };
    let (url, tenant, leg) = parse(&setup);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let posting = post_for_ever(url, tenant, leg);
    // Should nobody kill it, it ends by itself.
    let _ = runtime.block_on(async { tokio::time::timeout(CHILD_LIFE_MAX, posting).await });
    // Without an end of the runtime, which callers would take for an answer.
    std::process::exit(0);
}

/// Commits one large batch and dies with the database open, so that all of it is in the file `-wal`. Only
/// runs as a child of the test of checkpoints.
#[tokio::test]
async fn batch_child() {
    let Ok(setup) = std::env::var(BATCH_CHILD) else { return };
    let (url, tenant, leg) = parse(&setup);
    let ledger = Ledger::new(Db::connect(url).await.unwrap());
    let transfer = || Transfer::new(tenant, TransferId::generate(), vec![leg, leg]);
    let batch: Vec<Transfer> = (0..BATCH).map(|_| transfer()).collect();
    for result in ledger.post_batch(&batch).await.unwrap() {
        say(&format!("acked {}", result.unwrap().id));
    }
    let _ = Command::new("kill").args(["-KILL", &std::process::id().to_string()]).status();
}

/// Where to post, in whose books, and what.
fn parse(setup: &str) -> (&str, TenantId, Leg) {
    let [url, tenant, bank, ann] = setup.split(' ').collect::<Vec<_>>()[..] else { panic!() };
    let account = |text: &str| AccountId::new(text.parse().unwrap());
    let leg = Leg { debit: account(bank), credit: account(ann), amount: 1 };
    (url, tenant.parse().unwrap(), leg)
}

async fn post_for_ever(url: &str, tenant: TenantId, leg: Leg) -> anyhow::Result<()> {
    let front = GroupCommit::start(Ledger::new(Db::connect(url).await?).with_tail(SMALL));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let front = front.clone();
        callers.spawn(async move {
            loop {
                let legs = vec![leg, leg];
                let transfer = Transfer::new(tenant, TransferId::generate(), legs);
                let id = transfer.id;
                while let Err(error) = front.post(transfer.clone()).await {
                    // The child ends, and this caller a moment after the ledger.
                    if matches!(error, PostError::Ledger(LedgerError::Stopped)) {
                        return;
                    }
                    say(&format!("failed {error}"));
                    tokio::time::sleep(RETRY_AFTER).await;
                }
                say(&format!("acked {id}"));
            }
        });
    }
    while callers.join_next().await.transpose()?.is_some() {}
    Ok(())
}

/// One write, so that a kill cannot tear the line.
fn say(line: &str) {
    let _ = std::io::stdout().write_all(format!("{line}\n").as_bytes());
}

/// What a child said before its end.
#[derive(Default)]
pub(crate) struct Said {
    /// In the order of the answers.
    pub(crate) acknowledged: Vec<TransferId>,
    pub(crate) failures: Vec<String>,
    /// How many were acknowledged after the first failure.
    pub(crate) recovered: usize,
}

impl Said {
    fn read(lines: impl Iterator<Item = String>) -> Self {
        let mut said = Self::default();
        for line in lines {
            if let Some((_, id)) = line.rsplit_once("acked ") {
                said.recovered += usize::from(!said.failures.is_empty());
                said.acknowledged.extend(id.parse::<TransferId>());
            } else if let Some((_, failure)) = line.split_once("failed ") {
                said.failures.push(failure.to_owned());
            }
        }
        said
    }
}

/// Runs the child under `wrapper` until it dies or `time` is over, and then kills it; returns what
/// it acknowledged.
fn run_child(wrapper: &[String], setup: &str, time: Duration, healed: Duration) -> Said {
    let test = std::env::current_exe().unwrap();
    let mut words = wrapper.iter().map(String::as_str).chain([
        test.to_str().unwrap(),
        "--exact",
        "crash::crash_child",
        "--nocapture",
    ]);
    let mut child = Command::new(words.next().unwrap())
        .args(words)
        .env(CHILD, setup)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // `strace` that is killed leaves its tracee alone: in the end both are killed as one group.
        .process_group(0)
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || Said::read(stdout.lines().map_while(Result::ok)));
    let end = Instant::now() + time;
    while child.try_wait().unwrap().is_none() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    if !healed.is_zero() {
        let _ = child.kill();
        std::thread::sleep(healed);
    }
    let group = format!("-{}", child.id());
    let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
    child.wait().unwrap();
    reader.join().unwrap()
}

/// A ledger in which child processes post, and which is closed meanwhile.
pub(crate) struct Crash {
    pub(crate) fixture: Fixture,
    pub(crate) ann: AccountId,
    leg: Leg,
    setup: String,
    pub(crate) acknowledged: HashSet<TransferId>,
    /// How often there was something to recover: transactions that were in the file `-wal` alone.
    recoveries: u32,
}

impl Crash {
    pub(crate) async fn new(engine: Engine) -> Self {
        Self::in_fixture(Fixture::new(engine).await).await
    }

    pub(crate) async fn in_fixture(fixture: Fixture) -> Self {
        let (bank, ann) = (fixture.bank().await, fixture.customer("ann").await);
        fixture.test_db.db.close().await;
        let setup = format!("{} {} {bank} {ann}", fixture.test_db.url, fixture.tenant);
        let leg = Leg { debit: bank, credit: ann, amount: 1 };
        Self { fixture, ann, leg, setup, acknowledged: HashSet::new(), recoveries: 0 }
    }

    /// A child commits a batch and dies; nothing of it is in the database's own file yet.
    pub(crate) fn run_batch(&mut self) {
        let ended = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::batch_child", "--nocapture"])
            .env(BATCH_CHILD, &self.setup)
            .stderr(Stdio::null())
            .output()
            .unwrap();
        let lines = String::from_utf8(ended.stdout).unwrap();
        let said = Said::read(lines.lines().map(str::to_owned));
        assert_eq!(said.acknowledged.len(), BATCH, "{:?}", ended.status);
        self.acknowledged.extend(said.acknowledged);
    }

    pub(crate) fn run(&mut self, wrapper: &[String], time: Duration) -> Said {
        self.run_and_heal(wrapper, time, Duration::ZERO)
    }

    /// The same; after `time` what the wrapper did to it ends, and it goes on for `healed`.
    pub(crate) fn run_and_heal(
        &mut self,
        wrapper: &[String],
        time: Duration,
        healed: Duration,
    ) -> Said {
        let said = run_child(wrapper, &self.setup, time, healed);
        self.acknowledged.extend(&said.acknowledged);
        said
    }

    /// `strace` on the database's own files, with this injection; `None` where there is no strace.
    pub(crate) fn injecting(
        &self,
        files: &[&str],
        syscall: &str,
        what: &str,
    ) -> Option<Vec<String>> {
        if !Path::new("/usr/bin/strace").exists() {
            assert!(std::env::var_os("CI").is_none(), "strace is not installed");
            eprintln!("not run: no strace");
            return None;
        }
        let file = self.fixture.test_db.url.trim_start_matches("sqlite:");
        let mut words = ["strace", "-f", "-qq", "-o", "/dev/null"].map(str::to_owned).to_vec();
        for suffix in files {
            words.extend(["-P".to_owned(), format!("{file}{suffix}")]);
        }
        words.extend(["-e".to_owned(), format!("trace={syscall}")]);
        words.extend(["-e".to_owned(), format!("inject={syscall}:{what}")]);
        Some(words)
    }

    /// Opens the database anew: clean, all acknowledged transfers are there, none of half its legs, and
    /// the work goes on.
    pub(crate) async fn verify(&mut self) {
        self.recoveries += u32::from(self.has_unsaved());
        let db = Db::connect(&self.fixture.test_db.url).await.unwrap();
        self.verify_in(&Ledger::new(db.clone())).await;
        db.close().await;
        assert!(!self.has_unsaved(), "somebody else has the database open");
    }

    /// True when there are transactions in the file `-wal`.
    fn has_unsaved(&self) -> bool {
        let url = &self.fixture.test_db.url;
        let file = url.strip_prefix("sqlite:").map(|file| format!("{file}-wal"));
        file.and_then(|wal| std::fs::metadata(wal).ok()).is_some_and(|wal| wal.len() > 0)
    }

    pub(crate) async fn verify_in(&mut self, ledger: &Ledger) {
        self.look(ledger).await;
        let legs = vec![self.leg, self.leg];
        let one_more = Transfer::new(self.fixture.tenant, TransferId::generate(), legs);
        ledger.post(&one_more).await.unwrap();
        self.acknowledged.insert(one_more.id);
    }

    async fn look(&self, ledger: &Ledger) {
        let mut tx = ledger.db().read().await.unwrap();
        let report = ledger.check(&mut tx).await.unwrap();
        assert!(report.is_clean(), "{:?}", report.difference);
        for id in &self.acknowledged {
            let found = ledger.transfer(&mut tx, self.fixture.tenant, *id).await;
            assert_eq!(found.unwrap().map(|stored| stored.legs.len()), Some(2), "{id} was lost");
        }
        let balance = ledger.balance(&mut tx, self.ann, AsOf::Now).await.unwrap();
        let balance = balance.posted().or_zero();
        let least = 2 * u128::try_from(self.acknowledged.len()).unwrap();
        assert!(balance.is_multiple_of(2) && balance >= least, "{balance} for {least}");
    }
}

async fn killed_at_random_times(engine: Engine) {
    let mut crash = Crash::new(engine).await;
    let mut acknowledged = 0;
    for milliseconds in [150, 301, 452, 603] {
        let said = crash.run(&["env".to_owned()], Duration::from_millis(milliseconds));
        acknowledged += said.acknowledged.len();
        crash.verify().await;
    }
    assert!(acknowledged > 0, "the child never posted");
    assert_eq!(crash.recoveries > 0, engine == Engine::Sqlite, "nothing was recovered");
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_survives_kill_at_random_times() {
    killed_at_random_times(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_survives_kill_of_the_client_at_random_times() {
    killed_at_random_times(Engine::Postgres).await;
}

/// The child dies at its N-th call of `syscall`, N = 1, 2, 4, ….
async fn killed_at_each(syscall: &str, numbers: &[u32]) {
    let mut crash = Crash::new(Engine::Sqlite).await;
    let mut posted = 0;
    for number in numbers {
        let kill = format!("signal=KILL:when={number}");
        let Some(wrapper) = crash.injecting(&["", "-wal"], syscall, &kill) else { return };
        let start = Instant::now();
        let acknowledged = crash.run(&wrapper, CHILD_LIFE_MAX).acknowledged.len();
        posted += acknowledged;
        println!("{acknowledged} acknowledged before {syscall} number {number}");
        assert!(start.elapsed() < CHILD_LIFE_MAX, "the child was not killed at {syscall} {number}");
        crash.verify().await;
    }
    assert!(posted > 0, "the child never posted");
    assert!(crash.recoveries > 0, "nothing was recovered");
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_survives_kill_at_the_nth_sync() {
    killed_at_each("fsync,fdatasync", &[1, 2, 3, 5, 9, 17, 40]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_survives_kill_at_the_nth_write() {
    killed_at_each("write,pwrite64", &[1, 2, 3, 4, 6, 11, 23, 50, 101]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a campaign, for .ci/long"]
async fn sqlite_survives_kill_at_every_sync_and_write() {
    let numbers: Vec<u32> = (1..=60).collect();
    killed_at_each("fsync,fdatasync", &numbers).await;
    let numbers: Vec<u32> = (1..=120).step_by(2).collect();
    killed_at_each("write,pwrite64", &numbers).await;
}
