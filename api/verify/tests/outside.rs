//! The log and its witnesses as programs of others see them: Go's own packages of the checksum database
//! read our log, and Sigsum's witness cosigns it.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use api_audit::{AuditLog, Record, RecordId};
use api_store::Db;
use api_store::test_db::TestDb;
use api_verify::note::VerifierKey;
use api_witness::client::{Answer, ClientError, Remote};
use api_witness::store::Store;
use api_witness::{AddCheckpoint, Witness};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

const NOW_MS: i64 = 1_772_366_400_000;

fn log_key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// Its verifier key, and a signed note over a text.
fn signed(origin: &str, text: &str) -> (String, String) {
    let key = log_key();
    let typed = [&[1_u8][..], &key.verifying_key().to_bytes()].concat();
    let id = &Sha256::digest([origin.as_bytes(), b"\n", &typed].concat())[..4];
    let signature = [id, &key.sign(text.as_bytes()).to_bytes()].concat();
    let vkey = format!("{origin}+{}+{}", hex::encode(id), STANDARD.encode(typed));
    (vkey, format!("{text}\n— {origin} {}\n", STANDARD.encode(signature)))
}

struct Log {
    db: Db,
    log: AuditLog,
    _test_db: TestDb,
}

impl Log {
    async fn new(origin: &str) -> Result<Self> {
        let test_db = TestDb::new(api_store::Engine::Sqlite).await?;
        let db = test_db.db.clone();
        Ok(Self { log: AuditLog::open(&db, origin).await?, db, _test_db: test_db })
    }

    /// Appends records and signs a checkpoint; answers one of the records, and the note.
    async fn grow(&self, records: u32) -> Result<(RecordId, u64, String)> {
        let mut tx = self.db.begin().await?;
        let mut last = None;
        for number in 0..records {
            let record = Record::new("loan.repayment", NOW_MS).field("amount", number.to_string());
            last = Some(self.log.append_in(&mut tx, &record).await?);
        }
        tx.commit().await?;
        let head = self.log.seal(&self.db, NOW_MS).await?.context("an empty log")?;
        let note = signed(self.log.origin(), &head.text()).1;
        let mut tx = self.db.begin().await?;
        self.log.store_checkpoint_in(&mut tx, &note, NOW_MS).await?;
        tx.commit().await?;
        Ok((last.context("no record")?, head.size, note))
    }

    async fn request(&self, old: u64, size: u64, note: &str) -> Result<AddCheckpoint> {
        let mut tx = self.db.read().await?;
        let proof = if old == 0 {
            Vec::new()
        } else {
            self.log.consistency_proof(&mut tx, old, size).await?
        };
        Ok(AddCheckpoint::new(old, proof, note)?)
    }

    async fn keep(&self, size: u64, line: &str) -> Result<String> {
        let mut tx = self.db.begin().await?;
        self.log.add_cosignatures_in(&mut tx, size, line).await?;
        tx.commit().await?;
        let found = self.log.checkpoint_from(&mut self.db.read().await?, size).await?;
        Ok(found.context("no checkpoint")?.note)
    }
}

fn not_run(missing: &str) -> Result<()> {
    ensure!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "there is no {missing}");
    writeln!(std::io::stderr(), "not run: there is no {missing}")?;
    Ok(())
}

#[tokio::test]
async fn promise_39_gos_own_packages_accept_the_log_and_its_witness() -> Result<()> {
    let origin = "roadstead.example/log";
    let (log, folder) = (Log::new(origin).await?, TempDir::new()?);
    let watched = TempDir::new()?;
    let witness_key = Store::init(watched.path(), "witness.example/w1")?;
    let (store, key) = Store::open(watched.path())?;
    let vkey = signed(origin, "").0;
    store.add_log(&vkey.parse()?)?;
    let witness = Witness::new(store, key);
    let (mut older, mut sizes, mut records) = (Vec::new(), Vec::new(), Vec::new());
    for count in [1, 255, 300, 3] {
        let (record, size, note) = log.grow(count).await?;
        let old = sizes.last().copied().unwrap_or_default();
        let line = witness.add_checkpoint(&log.request(old, size, &note).await?)?;
        older.push(log.keep(size, &line).await?);
        sizes.push(size);
        records.push(record);
    }
    older.pop();
    let newest = sizes.pop().context("no checkpoint")?;
    let mut tx = log.db.read().await?;
    let (mut consistency, mut proofs) = (Vec::new(), Vec::new());
    for size in sizes {
        let proof = log.log.consistency_proof(&mut tx, size, newest).await?;
        consistency.push(proof.iter().map(|hash| STANDARD.encode(hash)).collect::<Vec<_>>());
    }
    for record in records {
        proofs.push(log.log.tlog_proof(&mut tx, record).await?);
    }
    log.log.export(&mut tx, folder.path()).await?;
    let question = json!({
        "log": vkey, "witness": witness_key, "older": older, "consistency": consistency, "proofs": proofs,
    });
    let Some(program) = go_program(folder.path())? else {
        return not_run("Go with golang.org/x/mod (apt-get: golang-go golang-golang-x-mod-dev)");
    };
    let said = ask(&program, folder.path(), &question.to_string())?;
    for words in
        ["signed and cosigned: 563 entries", "563 entries are in the tiles", "3 older", "4 proofs"]
    {
        ensure!(said.contains(words), "{said}");
    }
    // What others would not accept, they do not accept here either.
    let tile = folder.path().join("tile/0/001");
    let mut bytes = std::fs::read(&tile)?;
    bytes[77] ^= 1;
    std::fs::write(&tile, bytes)?;
    ensure!(ask(&program, folder.path(), &question.to_string()).is_err(), "a damaged tile passes");
    Ok(())
}

/// Compiles `outside/log.go` against Debian's packages; `None` where there is no Go.
fn go_program(folder: &Path) -> Result<Option<PathBuf>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/outside/log.go");
    if !Path::new("/usr/share/gocode/src/golang.org/x/mod/sumdb").is_dir() {
        return Ok(None);
    }
    let program = folder.join("log-reader");
    let built = Command::new("go")
        .args(["build", "-o"])
        .args([&program, &source])
        .envs([("GO111MODULE", "off"), ("GOPATH", "/usr/share/gocode"), ("GOFLAGS", "")])
        .env("GOCACHE", folder.join("go-cache"))
        .output();
    let Ok(built) = built else { return Ok(None) };
    ensure!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Ok(Some(program))
}

fn ask(program: &Path, folder: &Path, question: &str) -> Result<String> {
    let mut child =
        Command::new(program).arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().context("no input")?.write_all(question.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "{said}");
    Ok(said)
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sigsum's programs (Debian's package sigsum-go), where `api/witness/outside` puts them.
fn sigsum(program: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("ROADSTEAD_CACHE").map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/roadstead"));
    let path = cache.or_else(home)?.join("sigsum").join(program);
    path.is_file().then_some(path)
}

fn said(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// A public key in OpenSSH's form.
fn openssh(key: &[u8; 32]) -> String {
    let part = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    format!("ssh-ed25519 {} log\n", STANDARD.encode([part(b"ssh-ed25519"), part(key)].concat()))
}

#[tokio::test]
async fn promise_39_sigsums_witness_cosigns_the_log_and_refuses_its_fork() -> Result<()> {
    let (Some(program), Some(keys)) = (sigsum("sigsum-witness"), sigsum("sigsum-key")) else {
        return not_run("sigsum-witness; api/witness/outside fetches it");
    };
    let folder = TempDir::new()?;
    let file = |name: &str| folder.path().join(name);
    said(Command::new(&keys).args(["generate", "-o"]).arg(file("witness")))?;
    let public = log_key().verifying_key().to_bytes();
    std::fs::write(file("log.pub"), openssh(&public))?;
    let hash = said(Command::new(&keys).args(["to-hash", "-k"]).arg(file("witness.pub")))?;
    let name = format!("sigsum.org/v1/witness/{hash}");
    let mut command = Command::new(&keys);
    command.args(["to-vkey", "-n", &name, "-t", "cosignature/v1", "-k"]).arg(file("witness.pub"));
    let key: VerifierKey = said(&mut command)?.parse()?;

    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let mut command = Command::new(&program);
    // Debian's build takes its paths for those of an older Go, and would find none.
    command.env("GODEBUG", "httpmuxgo121=0");
    command.arg("-k").arg(file("witness")).arg("--log-key").arg(file("log.pub"));
    command.arg("--state-file").arg(file("state")).arg(&address);
    let _running = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    for _ in 0..200 {
        if std::net::TcpStream::connect(&address).is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }

    // Sigsum's logs are named by their keys.
    let origin = format!("sigsum.org/v1/tree/{}", hex::encode(Sha256::digest(public)));
    let (log, remote) =
        (Log::new(&origin).await?, Remote::new(&format!("http://{address}"), key.clone())?);
    let mut old = 0;
    for count in [3, 40, 1] {
        let (_, size, note) = log.grow(count).await?;
        let answer = remote.add_checkpoint(&log.request(old, size, &note).await?).await?;
        let Answer::Cosigned { line, .. } = answer else { anyhow::bail!("{answer:?}") };
        let kept = log.keep(size, &line).await?;
        let kept = api_verify::checkpoint::Checkpoint::parse(&kept)?;
        ensure!(kept.note.cosigned_by(&key)?.is_some());
        old = size;
    }
    let (_, size, note) = log.grow(2).await?;
    let answer = remote.add_checkpoint(&log.request(5, size, &note).await?).await?;
    assert_eq!(answer, Answer::AtSize(old));

    let fork = Log::new(&origin).await?;
    let (_, size, note) = fork.grow(60).await?;
    let answer = remote.add_checkpoint(&fork.request(old, size, &note).await?).await;
    ensure!(matches!(answer, Err(ClientError::Refused { status: 422, .. })), "{answer:?}");
    Ok(())
}
