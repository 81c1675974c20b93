//! The disk fails or is full, the server is killed, a connection is cut, a file is removed: nothing
//! that was acknowledged is lost, callers are told that it does not work now, and afterwards the work
//! goes on. (K3 to K5 of the fault campaign.)

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::{Fixture, SMALL};
use crate::crash::{self, Crash};
use api_ledger::*;
use api_store::test_db::TestDb;
use api_store::test_disk::TestDisk;
use api_store::test_server::TestServer;
use api_store::{Db, Engine, StoreError, args};
use sqlx::Connection as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use uuid::Uuid;

const CALLERS: usize = 16;
const RETRY_AFTER: Duration = Duration::from_millis(20);
const CHECKPOINT_CHILD: &str = "ROADSTEAD_LEDGER_CHECKPOINT_CHILD";

/// The disk answers with errors for a while: to the N-th to the M-th call of each thread, and every try
/// has a connection and so a thread of its own.
async fn failing_disk(syscall: &str, error: &str, message: &str) {
    let mut crash = Crash::new(Engine::Sqlite).await;
    for (from, to) in [(3, 3), (8, 14)] {
        let what = format!("error={error}:when={from}..{to}");
        let Some(wrapper) = crash.injecting(&["", "-wal"], syscall, &what) else { return };
        let (time, healed) = (Duration::from_millis(1_500), Duration::from_millis(2_500));
        let said = crash.run_and_heal(&wrapper, time, healed);
        let context = format!("{error} at {syscall} {from} to {to}");
        assert!(!said.failures.is_empty(), "{context}: nothing failed");
        let unclear = said.failures.iter().find(|failure| !failure.contains(message));
        assert_eq!(unclear, None, "{context}");
        eprintln!(
            "{context}: {} acked {} failures {} recovered",
            said.acknowledged.len(),
            said.failures.len(),
            said.recovered
        );
        assert!(said.recovered > 0, "{context}: nothing was posted afterwards");
        crash.verify().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_survives_failing_syncs() {
    failing_disk("fsync,fdatasync", "EIO", "disk I/O error").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_survives_failing_writes() {
    failing_disk("write,pwrite64", "EIO", "disk I/O error").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_survives_a_full_disk() {
    failing_disk("write,pwrite64", "ENOSPC", "database or disk is full").await;
}

/// Callers that post, each transfer again and again until it is acknowledged.
struct Load {
    ledger: Ledger,
    ann: AccountId,
    stop: Arc<AtomicBool>,
    failures: Arc<AtomicUsize>,
    callers: Vec<tokio::task::JoinHandle<u128>>,
}

impl Load {
    /// `db` is what the callers use, perhaps through a proxy.
    async fn start(ledger: Ledger, db: Db) -> Self {
        let tenant = TenantId::new(Uuid::now_v7());
        let mut tx = ledger.db().begin().await.unwrap();
        let bank = NewAccount::new(tenant, "bank", "EUR", Side::Debit).with_floor(Floor::None);
        let bank = ledger.open_account(&mut tx, &bank).await.unwrap();
        let ann = NewAccount::new(tenant, "customer:ann:available", "EUR", Side::Credit);
        let ann = ledger.open_account(&mut tx, &ann).await.unwrap();
        tx.commit().await.unwrap();
        let (stop, failures) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let front = GroupCommit::start(Ledger::new(db).with_tail(SMALL));
        let leg = Leg { debit: bank, credit: ann, amount: 1 };
        let callers = (0..CALLERS)
            .map(|_| {
                let (stop, failures) = (Arc::clone(&stop), Arc::clone(&failures));
                tokio::spawn(caller(front.clone(), tenant, leg, stop, failures))
            })
            .collect();
        Self { ledger, ann, stop, failures, callers }
    }

    /// Stops and compares: each transfer that was sent is in the books once.
    async fn finish(self, failures_min: usize) {
        self.stop.store(true, Ordering::SeqCst);
        let waited = std::time::Instant::now();
        let mut acknowledged = 0;
        for caller in self.callers {
            acknowledged += caller.await.unwrap();
        }
        assert!(acknowledged > 0, "nothing was posted");
        assert!(self.failures.load(Ordering::SeqCst) >= failures_min, "too little failed");
        let mut tx = self.ledger.db().read().await.unwrap();
        let report = self.ledger.check(&mut tx).await.unwrap();
        assert!(report.is_clean(), "{:?}", report.difference);
        let balance = self.ledger.balance(&mut tx, self.ann, AsOf::Now).await.unwrap();
        assert_eq!(balance.posted().or_zero(), acknowledged);
        println!(
            "{acknowledged} posted, {} failures, all callers back after {:?}",
            self.failures.load(Ordering::SeqCst),
            waited.elapsed()
        );
    }
}

/// Returns how many of its transfers were acknowledged: all.
async fn caller(
    front: GroupCommit,
    tenant: TenantId,
    leg: Leg,
    stop: Arc<AtomicBool>,
    failures: Arc<AtomicUsize>,
) -> u128 {
    let mut acknowledged = 0;
    while !stop.load(Ordering::SeqCst) {
        let transfer = Transfer::new(tenant, TransferId::generate(), vec![leg]);
        while let Err(error) = front.post(transfer.clone()).await {
            let PostError::Ledger(LedgerError::Store(error)) = error else { panic!("{error}") };
            // What the API answers with 503, so that the caller sends the same again.
            assert!(error.is_unavailable() || error.is_retryable(), "{error:?}");
            failures.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(RETRY_AFTER).await;
        }
        acknowledged += 1;
    }
    acknowledged
}

async fn loaded_server() -> (TestServer, Load) {
    let server = TestServer::start(&std::env::temp_dir()).await.unwrap();
    let ledger = Ledger::new(server.db().await.unwrap());
    let load = Load::start(ledger, server.db().await.unwrap()).await;
    (server, load)
}

async fn postmaster_is_killed(times: u64) {
    let (mut server, load) = loaded_server().await;
    for round in 0..times {
        tokio::time::sleep(Duration::from_millis(200 + 130 * (round % 5))).await;
        tokio::task::block_in_place(|| {
            server.kill().unwrap();
            server.restart().unwrap();
        });
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    // A short outage is not told to the callers: the pool waits for the server.
    load.finish(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_survives_kill_of_the_postmaster() {
    postmaster_is_killed(2).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a campaign, for .ci/long"]
async fn postgres_survives_many_kills_of_the_postmaster() {
    postmaster_is_killed(25).await;
}

/// The server ends all its connections when one of its processes dies, and recovers by itself.
async fn backends_are_killed(times: u64) {
    let (server, load) = loaded_server().await;
    for round in 0..times {
        tokio::time::sleep(Duration::from_millis(300 + 70 * (round % 5))).await;
        let Ok(mut tx) = load.ledger.db().begin().await else { continue };
        let select = "SELECT CAST(pid AS BIGINT) FROM pg_stat_activity \
                      WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() \
                      ORDER BY backend_start LIMIT 1";
        let Ok((pid,)) = tx.fetch_one::<(i64,)>(select, args![]).await else { continue };
        let killed = Command::new("kill").arg("-KILL").arg(pid.to_string()).status().unwrap();
        assert!(killed.success());
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    load.finish(0).await;
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_survives_kill_of_a_backend() {
    backends_are_killed(2).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a campaign, for .ci/long"]
async fn postgres_survives_many_kills_of_backends() {
    backends_are_killed(25).await;
}

/// Connections are cut around their `COMMIT`, by turns just before and just after the server got it:
/// only the same id sent again tells which.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_survives_cuts_at_the_commit() {
    const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";
    let server = TestServer::start(&std::env::temp_dir()).await.unwrap();
    let socket = server.folder.join(".s.PGSQL.5432");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let commits = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let upstream = tokio::net::UnixStream::connect(&socket).await.unwrap();
            let commits = Arc::clone(&commits);
            tokio::spawn(async move {
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = upstream.into_split();
                let back = tokio::spawn(async move {
                    let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
                });
                let mut bytes = vec![0; 1 << 16];
                while let Ok(read @ 1..) = from_client.read(&mut bytes).await {
                    let commit = bytes[..read].windows(COMMIT.len()).any(|part| part == COMMIT);
                    let number = commit.then(|| commits.fetch_add(1, Ordering::SeqCst));
                    if number.is_some_and(|number| number % 8 == 7) {
                        break;
                    }
                    if to_server.write_all(&bytes[..read]).await.is_err() {
                        break;
                    }
                    if number.is_some_and(|number| number % 8 == 3) {
                        back.abort();
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        break;
                    }
                }
                back.abort();
            });
        }
    });
    let through_proxy = format!("postgres://roadstead@127.0.0.1:{port}/test?sslmode=disable");
    let ledger = Ledger::new(server.db().await.unwrap());
    let load = Load::start(ledger, Db::connect(&through_proxy).await.unwrap()).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    load.finish(1).await;
}

async fn a_long_reader(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann) = (f.bank().await, f.customer("ann").await);
    f.post(&f.transfer(1, bank, ann, 7)).await.unwrap();
    let mut reader = f.test_db.db.read().await.unwrap();
    f.ledger.balance(&mut reader, ann, AsOf::Now).await.unwrap();
    for id in 2..150 {
        f.post(&f.transfer(id, bank, ann, 1)).await.unwrap();
        if id % 50 == 2 {
            let seen = f.ledger.balance(&mut reader, ann, AsOf::Now).await.unwrap();
            assert_eq!(seen.posted().or_zero(), 7, "a reader sees one state throughout");
            assert!(f.ledger.check(&mut reader).await.unwrap().is_clean());
        }
    }
    drop(reader);
    assert_eq!(f.balance(ann).await.posted().or_zero(), 7 + 148);
}

on_both_engines! { a_long_reader }

/// Copies the log into the database. Only runs as a child of the test below.
#[tokio::test]
async fn checkpoint_child() {
    let Ok(url) = std::env::var(CHECKPOINT_CHILD) else { return };
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_survives_kill_in_a_checkpoint() {
    let mut crash = Crash::new(Engine::Sqlite).await;
    for number in [1, 9, 110] {
        crash.run_batch();
        let kill = format!("signal=KILL:when={number}");
        let Some(words) = crash.injecting(&[""], "pwrite64", &kill) else { return };
        let status = Command::new(&words[0])
            .args(&words[1..])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "faults::checkpoint_child"])
            .env(CHECKPOINT_CHILD, &crash.fixture.test_db.url)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(!status.success(), "the checkpoint was not killed at write {number}");
        crash.verify().await;
    }
}

/// A crash leaves the newest transactions in the file `-wal`. Without it the database is refused;
/// without `-shm` as well, nothing in the database tells: the books are those of an earlier moment,
/// right in themselves. Then only who kept something newer can tell, such as an anchored checkpoint
/// of the audit log (`promise_39_a_rolled_back_checkpoint_is_named`).
#[tokio::test(flavor = "multi_thread")]
async fn sqlite_without_its_wal_is_refused() {
    let mut crash = Crash::new(Engine::Sqlite).await;
    crash.run(&["env".to_owned()], Duration::from_millis(700));
    let acknowledged = crash.acknowledged.len() as u128;
    assert!(acknowledged > 0);
    let url = crash.fixture.test_db.url.clone();
    let file = url.trim_start_matches("sqlite:").to_owned();
    let (wal, shm) = (format!("{file}-wal"), format!("{file}-shm"));
    let kept = format!("{file}-kept");
    for name in [&file, &wal, &shm] {
        std::fs::copy(name, name.replace("test.db", "copy.db")).unwrap();
    }

    std::fs::rename(&wal, &kept).unwrap();
    let refused = Db::connect(&url).await;
    assert!(matches!(refused, Err(StoreError::WalMissing(_))), "{refused:?}");
    assert!(refused.unwrap_err().to_string().contains("-wal is gone"));
    assert!(!Path::new(&wal).exists(), "a refusal changes nothing");
    std::fs::rename(&kept, &wal).unwrap();
    let db = Db::connect(&url).await.unwrap();
    crash.verify_in(&Ledger::new(db.clone())).await;
    db.close().await;

    let copy = file.replace("test.db", "copy.db");
    for suffix in ["-wal", "-shm"] {
        std::fs::remove_file(format!("{copy}{suffix}")).unwrap();
    }
    let ledger = Ledger::new(Db::connect(&format!("sqlite:{copy}")).await.unwrap());
    let mut tx = ledger.db().read().await.unwrap();
    assert!(ledger.check(&mut tx).await.unwrap().is_clean());
    let balance = ledger.balance(&mut tx, crash.ann, AsOf::Now).await.unwrap();
    assert!(balance.posted().or_zero() < 2 * acknowledged);
}

/// The disk, unless it cannot be mounted here.
fn mounted(disk: Result<Option<TestDisk>, StoreError>) -> Option<TestDisk> {
    let disk = disk.unwrap();
    if disk.is_none() {
        println!("not run: no right to mount a file system");
    }
    disk
}

async fn until_it_fails(load: &Load, before: usize) {
    for _ in 0..1_000 {
        if load.failures.load(Ordering::SeqCst) > before {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it goes on without space");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a campaign, for .ci/long: it mounts a file system"]
async fn sqlite_goes_on_when_a_full_disk_has_space_again() {
    let Some(disk) = mounted(TestDisk::in_memory(64)) else { return };
    let db = Db::open_sqlite(&disk.path().join("test.db")).await.unwrap();
    db.migrate().await.unwrap();
    let load = Load::start(Ledger::new(db.clone()), db.clone()).await;
    for _ in 0..5 {
        let before = load.failures.load(Ordering::SeqCst);
        disk.fill().unwrap();
        until_it_fails(&load, before).await;
        disk.free().unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    load.finish(1).await;
    db.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a campaign, for .ci/long: it mounts a file system"]
async fn postgres_goes_on_when_a_full_disk_has_space_again() {
    let Some(disk) = mounted(TestDisk::in_memory(160)) else { return };
    let server = TestServer::start(&disk.path()).await.unwrap();
    let ledger = Ledger::new(server.db().await.unwrap());
    let load = Load::start(ledger, server.db().await.unwrap()).await;
    for _ in 0..5 {
        let before = load.failures.load(Ordering::SeqCst);
        disk.fill().unwrap();
        until_it_fails(&load, before).await;
        disk.free().unwrap();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
    }
    load.finish(1).await;
}

/// The disk reports an error, and the kernel mounts the file system read-only under the open database.
/// Only unmounting and checking it ends that, so the process has to be started again. What was
/// acknowledged before is there, but for one commit: ext4 may say that it has synced what it was
/// writing in that very moment, and lose it (a program that only writes and syncs sees so too).
#[tokio::test(flavor = "multi_thread")]
async fn sqlite_survives_a_file_system_that_is_mounted_read_only() {
    let Some(disk) = mounted(TestDisk::breakable(64)) else { return };
    let test_db = TestDb::sqlite_in(&disk.path()).await.unwrap();
    let url = test_db.url.clone();
    let mut crash = Crash::in_fixture(Fixture::of(test_db)).await;
    let said = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(800));
            disk.break_down().unwrap();
        });
        crash.run(&["env".to_owned()], Duration::from_millis(1_600))
    });
    println!("{} acknowledged, then {:?}", said.acknowledged.len(), said.failures.first());
    assert!(!said.acknowledged.is_empty());
    assert_eq!(said.recovered, 0, "it wrote to a read-only file system");
    for failure in &said.failures {
        let known = ["disk I/O error", "readonly database", "unable to open database file"];
        assert!(known.iter().any(|words| failure.contains(words)), "{failure}");
    }
    for id in said.acknowledged.iter().rev().take(crash::CALLERS) {
        crash.acknowledged.remove(id);
    }
    disk.mend().unwrap();
    let db = Db::connect(&url).await.unwrap();
    crash.verify_in(&Ledger::new(db.clone())).await;
    db.close().await;
    let said = crash.run(&["env".to_owned()], Duration::from_millis(700));
    assert!(!said.acknowledged.is_empty() && said.failures.is_empty(), "{:?}", said.failures);
    let db = Db::connect(&url).await.unwrap();
    crash.verify_in(&Ledger::new(db.clone())).await;
    db.close().await;
}
