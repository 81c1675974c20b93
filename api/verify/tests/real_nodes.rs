//! The whole way on real nodes: records, a checkpoint, anchors on three chains, receipts, and the
//! command that asks the nodes. Then a reorganisation, and the command says so.

#[path = "real_nodes/chains.rs"]
mod chains;

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use api_audit::{AnchorUpdate, AuditLog, Disclosure, Record, RecordId};
use api_store::test_db::TestDb;
use api_store::{Db, Engine};
use api_verify::ots::{Attestation, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chain_core::{AnchorCommitment, AnchorEvidence};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use testnets::TestEnv;

const ORIGIN: &str = "roadstead.example/log";
const NOW_MS: i64 = 1_772_366_400_000;

/// The log's key: its verifier key, and a signed note over a text.
fn log_key(text: &str) -> (String, String) {
    let key = SigningKey::from_bytes(&[7; 32]);
    let typed = [&[1_u8][..], &key.verifying_key().to_bytes()].concat();
    let id = &Sha256::digest([ORIGIN.as_bytes(), b"\n", &typed].concat())[..4];
    let signature = [id, &key.sign(text.as_bytes()).to_bytes()].concat();
    let vkey = format!("{ORIGIN}+{}+{}", hex::encode(id), STANDARD.encode(typed));
    (vkey, format!("{text}\n— {ORIGIN} {}\n", STANDARD.encode(signature)))
}

struct Log {
    db: Db,
    log: AuditLog,
    records: Vec<RecordId>,
    size: u64,
    _test_db: TestDb,
}

/// A log of some repayments with a signed checkpoint.
async fn log() -> Result<Log> {
    let test_db = TestDb::new(Engine::Sqlite).await?;
    let db = test_db.db.clone();
    let log = AuditLog::open(&db, ORIGIN).await?;
    let mut tx = db.begin().await?;
    let mut records = Vec::new();
    for number in 0..25_u32 {
        let record = Record::new("loan.repayment", NOW_MS)
            .stream(format!("loan:{}", number % 3))
            .field("amount", (1_000 + number).to_string());
        records.push(log.append_in(&mut tx, &record).await?);
    }
    tx.commit().await?;
    let head = log.seal(&db, NOW_MS).await?.context("an empty log")?;
    let mut tx = db.begin().await?;
    log.store_checkpoint_in(&mut tx, &log_key(&head.text()).1, NOW_MS).await?;
    tx.commit().await?;
    Ok(Log { db, log, records, size: head.size, _test_db: test_db })
}

impl Log {
    async fn commitment(&self) -> Result<AnchorCommitment> {
        let found = self.log.commitment(&mut self.db.read().await?, self.size).await?;
        let api_audit::Commitment { origin, size, checkpoint } = found;
        Ok(AnchorCommitment { origin, size, checkpoint })
    }

    async fn keep(&self, evidence: &AnchorEvidence) -> Result<()> {
        let evidence = serde_json::to_value(evidence)?;
        let chain = evidence["chain"].as_str().context("no chain")?.to_owned();
        let update = AnchorUpdate::Included {
            tx: "see the evidence".to_owned(),
            fee: None,
            evidence: evidence.to_string(),
        };
        let mut tx = self.db.begin().await?;
        self.log.anchor_in(&mut tx, self.size, std::slice::from_ref(&chain), NOW_MS).await?;
        self.log.update_anchor_in(&mut tx, self.size, &chain, update, NOW_MS).await?;
        Ok(tx.commit().await?)
    }

    async fn receipt(&self, record: RecordId, file: &Path) -> Result<()> {
        let mut tx = self.db.read().await?;
        let receipt = self.log.receipt(&mut tx, record, &Disclosure::All).await?;
        Ok(std::fs::write(file, serde_json::to_string(&receipt)?)?)
    }
}

fn verify(receipt: &Path, nodes: &[String]) -> Result<(Option<i32>, Value)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roadstead-verify"));
    command.arg(receipt).args(["--json", "--key", &log_key("").0]);
    for node in nodes {
        command.args(["--node", node]);
    }
    let output = command.output()?;
    Ok((output.status.code(), serde_json::from_slice(&output.stdout)?))
}

fn statuses(answer: &Value) -> Vec<&str> {
    let anchors = answer["report"]["anchors"].as_array();
    anchors.into_iter().flatten().filter_map(|anchor| anchor["status"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_39_receipts_are_proved_on_three_real_chains() -> Result<()> {
    let env = TestEnv::builder().anvil().bitcoin().solana().start().await?;
    let log = log().await?;
    let commitment = log.commitment().await?;
    let (evm, bitcoin, solana) = tokio::try_join!(
        chains::evm(env.evm()?, &commitment),
        chains::bitcoin(env.bitcoin()?, &commitment),
        chains::solana(env.solana()?, &commitment),
    )?;
    for evidence in [&evm, &bitcoin, &solana] {
        log.keep(evidence).await?;
    }
    let nodes = [
        format!("evm={}", env.evm()?.rpc_url()),
        format!("bitcoin={}", env.bitcoin()?.rpc_url()),
        format!("solana={}", env.solana()?.rpc_url()),
    ];
    let folder = tempfile::TempDir::new()?;
    for (number, record) in log.records.iter().enumerate() {
        let file = folder.path().join(format!("{number}.json"));
        log.receipt(*record, &file).await?;
        let (code, answer) = verify(&file, &[])?;
        ensure!(code == Some(0), "{answer}");
        let mut found = statuses(&answer);
        found.sort_unstable();
        assert_eq!(found, ["needs_node", "proved_given_header", "proved_given_header"]);
    }
    let receipt = folder.path().join("7.json");
    let (code, answer) = verify(&receipt, &nodes)?;
    ensure!(code == Some(0), "{answer}");
    assert_eq!(statuses(&answer), ["proved"; 3]);
    assert!(answer["since"].is_string());

    tampered_copies_are_refused(&receipt, &folder.path().join("tampered.json"))?;
    the_ots_client_agrees(&log, env.bitcoin()?.rpc_url(), folder.path()).await?;

    env.bitcoin()?.reorg_empty(4).await?;
    let (code, answer) = verify(&receipt, &nodes)?;
    ensure!(code == Some(1) && answer["code"] == "node", "{answer}");
    assert!(answer["problem"].as_str().is_some_and(|problem| problem.contains("best chain")));
    Ok(())
}

fn tampered_copies_are_refused(receipt: &Path, copy: &Path) -> Result<()> {
    let text = std::fs::read_to_string(receipt)?;
    for (from, to) in [("\"1007\"", "\"9007\""), ("index 7", "index 6"), ("loan:1", "loan:2")] {
        ensure!(text.contains(from));
        std::fs::write(copy, text.replacen(from, to, 1))?;
        let (code, answer) = verify(copy, &[])?;
        ensure!(code == Some(1) && answer["verdict"] == "refused", "{from}: {answer}");
    }
    Ok(())
}

/// Audits the exported log whole, with a receipt that somebody kept; then with one byte of one entry
/// changed.
#[tokio::test]
async fn promise_39_an_exported_log_is_audited_whole() -> Result<()> {
    let log = log().await?;
    let folder = tempfile::TempDir::new()?;
    let size = log.log.export(&mut log.db.read().await?, folder.path()).await?;
    assert_eq!(size, Some(26));
    let receipt = folder.path().join("receipt.json");
    log.receipt(log.records[12], &receipt).await?;
    let audit = || -> Result<(Option<i32>, Value)> {
        let output = Command::new(env!("CARGO_BIN_EXE_roadstead-verify"))
            .arg("--log")
            .arg(folder.path())
            .arg("--keep")
            .arg(&receipt)
            .args(["--json", "--key", &log_key("").0])
            .output()?;
        Ok((output.status.code(), serde_json::from_slice(&output.stdout)?))
    };
    let (code, answer) = audit()?;
    ensure!(code == Some(0) && answer["size"] == 26, "{answer}");

    let bundle = folder.path().join("tile/entries/000.p/26");
    let mut bytes = std::fs::read(&bundle)?;
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&bundle, bytes)?;
    let (code, answer) = audit()?;
    ensure!(code == Some(1) && answer["code"] == "log", "{answer}");
    assert!(answer["problem"].as_str().is_some_and(|problem| problem.starts_with("entry 25:")));
    Ok(())
}

/// Our own reader of such proofs comes to the Merkle root of the header that receipts hold.
fn our_reader_follows_it(text: &str, proof: &[u8], receipt: &Path) -> Result<()> {
    let receipt: Value = serde_json::from_str(&std::fs::read_to_string(receipt)?)?;
    let anchors = receipt["anchors"].as_array().into_iter().flatten();
    let mut evidence = anchors.map(|anchor| &anchor["evidence"]);
    let bitcoin = evidence.find(|evidence| evidence["type"] == "bitcoin").context("no anchor")?;
    let header = hex::decode(bitcoin["headers"][0].as_str().context("no header")?)?;
    let found = Timestamp::parse(proof)?;
    assert_eq!(found.digest.as_slice(), Sha256::digest(text).as_slice());
    let [Attestation::Bitcoin { height, merkle_root }] = found.attestations[..] else {
        anyhow::bail!("{found:?}");
    };
    assert_eq!((Some(height), &merkle_root[..]), (bitcoin["height"].as_u64(), &header[36..68]));
    Ok(())
}

/// The public OpenTimestamps client (`pip install opentimestamps-client`) against the real node; named
/// by `ROADSTEAD_OTS` or on the path.
async fn the_ots_client_agrees(log: &Log, node: &str, folder: &Path) -> Result<()> {
    let ots = log.log.ots(&mut log.db.read().await?, log.size).await?;
    let ots = ots.context("no .ots for an anchor on Bitcoin")?;
    let file = folder.join("checkpoint.txt");
    std::fs::write(&file, &ots.text)?;
    std::fs::write(folder.join("checkpoint.txt.ots"), &ots.proof)?;
    our_reader_follows_it(&ots.text, &ots.proof, &folder.join("7.json"))?;
    let client = std::env::var_os("ROADSTEAD_OTS").unwrap_or_else(|| "ots".into());
    let mut command = Command::new(client);
    command.args(["--btc-regtest", "--no-cache", "--bitcoin-node", node, "verify"]);
    let Ok(output) = command.arg(folder.join("checkpoint.txt.ots")).output() else {
        use std::io::Write as _;
        writeln!(std::io::stderr(), "not run: the ots client is not installed")?;
        return Ok(());
    };
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.contains("Success!"), "{said}");
    Ok(())
}
