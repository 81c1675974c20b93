//! The log on both engines, judged by the verifier.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use api_audit::{
    AnchorState, AnchorUpdate, Appended, AuditError, AuditLog, Disclosure, Record, RecordId,
    TileRequest,
};
use api_store::test_db::TestDb;
use api_store::{Db, Engine, args};
use api_verify::VerifyError;
use api_verify::anchor::{Status, TrustedBlocks};
use api_verify::merkle::{leaf_hash, verify_consistency};
use api_verify::policy::Policy;
use api_verify::report::Report;
use support::{NOW_MS, NoteKey, ORIGIN, checkpoint};

async fn open(engine: Engine) -> (TestDb, AuditLog) {
    let test_db = TestDb::new(engine).await.unwrap();
    let log = AuditLog::open(&test_db.db, ORIGIN).await.unwrap();
    (test_db, log)
}

fn repayment(loan: u32, number: u32) -> Record {
    Record::new("loan.repayment", NOW_MS + i64::from(number))
        .stream(format!("loan:{loan}"))
        .field("amount", format!("{}", 10_000 + number))
        .field("currency", "EUR")
        .subject(format!("customer-{loan}"))
        .personal("payer", "Ann Example")
}

async fn append(db: &Db, log: &AuditLog, record: &Record) -> Result<RecordId, AuditError> {
    let mut tx = db.begin().await?;
    let id = log.append_in(&mut tx, record).await?;
    tx.commit().await?;
    Ok(id)
}

async fn receipt(db: &Db, log: &AuditLog, id: RecordId, shown: &Disclosure) -> String {
    let mut tx = db.read().await.unwrap();
    serde_json::to_string(&log.receipt(&mut tx, id, shown).await.unwrap()).unwrap()
}

fn examine(receipt: &str, key: &NoteKey) -> Result<Report, VerifyError> {
    let policy = Policy::from_keys(vec![key.vkey().parse().unwrap()]);
    api_verify::examine(&api_verify::parse(receipt)?, &policy, &TrustedBlocks::default())
}

async fn every_receipt_verifies(engine: Engine) {
    let (test_db, log) = open(engine).await;
    let (db, key) = (&test_db.db, NoteKey::log(1));
    let mut ids = Vec::new();
    for batch in 0..3 {
        for number in 0..7 {
            let record = repayment(number % 3, batch * 7 + number);
            ids.push(append(db, &log, &record).await.unwrap());
        }
        checkpoint(db, &log, &key).await;
    }
    for (place, id) in (0_usize..).zip(&ids) {
        let report = examine(&receipt(db, &log, *id, &Disclosure::All).await, &key).unwrap();
        let batch = place / 7;
        assert_eq!(report.log.index as usize, place + batch);
        assert_eq!(report.log.size as usize, 8 * (batch + 1));
        assert_eq!(report.record.fields["payer"], "Ann Example");
        assert_eq!(report.record.fields["id"], id.to_string());
        assert!(report.record.sealed.is_empty());
        assert_eq!(report.signed_by.len(), 1);
        let complete = report.completeness.unwrap();
        let loan = place % 7 % 3;
        assert_eq!(complete.stream, format!("loan:{loan}"));
        assert_eq!(complete.events as usize, (batch + 1) * if loan == 0 { 3 } else { 2 });
    }
}

#[tokio::test]
async fn promise_39_every_receipt_verifies_sqlite() {
    every_receipt_verifies(Engine::Sqlite).await;
}

#[tokio::test]
async fn promise_39_every_receipt_verifies_postgres() {
    every_receipt_verifies(Engine::Postgres).await;
}

/// Batches that waited when the database was brought up to date have no leaves with them.
async fn a_batch_without_leaves_is_numbered_from_its_records(engine: Engine) {
    let (test_db, log) = open(engine).await;
    let (db, key) = (&test_db.db, NoteKey::log(1));
    let mut ids = Vec::new();
    for number in 0..4 {
        let records = [repayment(number, 1), Record::new("rates", NOW_MS), repayment(number, 2)];
        let mut tx = db.begin().await.unwrap();
        ids.extend(log.append_many_in(&mut tx, &records).await.unwrap());
        if number % 2 == 0 {
            let forget = "UPDATE audit_batches SET leaves = NULL \
                          WHERE first_seq = (SELECT max(first_seq) FROM audit_batches)";
            tx.execute(forget, args![]).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
    checkpoint(db, &log, &key).await;
    for id in ids {
        examine(&receipt(db, &log, id, &Disclosure::All).await, &key).unwrap();
    }
    let mut tx = db.read().await.unwrap();
    assert_eq!(log.check(&mut tx).await.unwrap().streams, 4);
    let kept = "SELECT count(*) FROM audit_batches WHERE leaves IS NOT NULL";
    let (kept,): (i64,) = tx.fetch_one(kept, args![]).await.unwrap();
    assert_eq!(kept, 0, "what the sequencer needed is needed no more");
}

#[tokio::test]
async fn a_batch_without_leaves_is_numbered_from_its_records_on_both_engines() {
    a_batch_without_leaves_is_numbered_from_its_records(Engine::Sqlite).await;
    a_batch_without_leaves_is_numbered_from_its_records(Engine::Postgres).await;
}

#[tokio::test]
async fn promise_39_an_old_checkpoint_has_a_consistency_proof_to_every_newer_one() {
    let (test_db, log) = open(Engine::Sqlite).await;
    let mut heads = Vec::new();
    for number in 0..12 {
        for part in 0..=number {
            append(&test_db.db, &log, &repayment(part, number)).await.unwrap();
        }
        heads.push(checkpoint(&test_db.db, &log, &NoteKey::log(1)).await);
    }
    let mut tx = test_db.db.read().await.unwrap();
    for (place, old) in heads.iter().enumerate() {
        for new in &heads[place..] {
            let proof = log.consistency_proof(&mut tx, old.size, new.size).await.unwrap();
            verify_consistency(old.size, new.size, &old.root, &new.root, &proof).unwrap();
        }
    }
}

#[tokio::test]
async fn a_receipt_shows_what_it_is_told_to_and_seals_the_rest() {
    let (test_db, log) = open(Engine::Sqlite).await;
    let key = NoteKey::log(1);
    let id = append(&test_db.db, &log, &repayment(1, 1)).await.unwrap();
    checkpoint(&test_db.db, &log, &key).await;
    let only = Disclosure::Only(vec!["amount".to_owned()]);
    let text = receipt(&test_db.db, &log, id, &only).await;
    let report = examine(&text, &key).unwrap();
    assert_eq!(
        report.record.fields.into_iter().collect::<Vec<_>>(),
        [("amount".to_owned(), "10001".to_owned())]
    );
    assert_eq!(report.record.sealed, ["currency", "id", "kind", "payer", "stream", "time"]);
    assert!(!text.contains("Ann Example"));
    let open = receipt(&test_db.db, &log, id, &Disclosure::Open).await;
    assert_eq!(examine(&open, &key).unwrap().record.sealed, ["payer"]);
}

async fn erasure_keeps_all_proofs(engine: Engine) {
    let (test_db, log) = open(engine).await;
    let (db, key) = (&test_db.db, NoteKey::log(1));
    let id = append(db, &log, &repayment(1, 1)).await.unwrap();
    checkpoint(db, &log, &key).await;

    let mut tx = db.begin().await.unwrap();
    log.set_legal_hold_in(&mut tx, "customer-1", Some("case 7")).await.unwrap();
    let held = log.erase_in(&mut tx, "customer-1", NOW_MS).await;
    assert!(matches!(held, Err(AuditError::LegalHold { .. })), "{held:?}");
    log.set_legal_hold_in(&mut tx, "customer-1", None).await.unwrap();
    let erasure = log.erase_in(&mut tx, "customer-1", NOW_MS).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = db.begin().await.unwrap();
    assert_eq!(log.erase_in(&mut tx, "customer-1", NOW_MS + 5).await.unwrap(), erasure);
    tx.commit().await.unwrap();
    checkpoint(db, &log, &key).await;

    let text = receipt(db, &log, id, &Disclosure::All).await;
    assert!(!text.contains("Ann Example"));
    let report = examine(&text, &key).unwrap();
    assert_eq!(report.record.sealed, ["payer"]);
    assert_eq!(report.record.fields["amount"], "10001");
    let logged = examine(&receipt(db, &log, erasure, &Disclosure::All).await, &key).unwrap();
    assert_eq!(logged.record.fields["kind"], "subject.erased");
    assert_eq!(logged.record.fields["records"], "1");
    // What happens to the person later is logged, and nothing personal of it is kept.
    let later = append(db, &log, &repayment(1, 2)).await.unwrap();
    checkpoint(db, &log, &key).await;
    let text = receipt(db, &log, later, &Disclosure::All).await;
    assert!(!text.contains("Ann Example"));
    assert_eq!(examine(&text, &key).unwrap().record.sealed, ["payer"]);
    log.check(&mut db.read().await.unwrap()).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    let listed = repayment(1, 3).external_id("t", "r-3");
    let refused = log.append_each_in(&mut tx, &[listed]).await.unwrap();
    assert!(matches!(refused[..], [Appended::Refused(AuditError::Erased(_))]), "{refused:?}");
}

#[tokio::test]
async fn promise_39_erasure_keeps_all_proofs_sqlite() {
    erasure_keeps_all_proofs(Engine::Sqlite).await;
}

#[tokio::test]
async fn promise_39_erasure_keeps_all_proofs_postgres() {
    erasure_keeps_all_proofs(Engine::Postgres).await;
}

/// Several servers append and sequence at once.
async fn indices_are_gap_free(engine: Engine) {
    const SERVERS: u32 = 4;
    const RECORDS: u32 = 40;
    let (test_db, log) = open(engine).await;
    let mut tasks = Vec::new();
    for server in 0..SERVERS {
        let (db, log) = (test_db.db.clone(), log.clone());
        tasks.push(tokio::spawn(async move {
            for number in 0..RECORDS {
                append(&db, &log, &repayment(number % 5, server * RECORDS + number)).await.unwrap();
                if number % 3 == 0 {
                    log.sequence(&db, 5).await.unwrap();
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let key = NoteKey::log(1);
    let head = checkpoint(&test_db.db, &log, &key).await;
    assert_eq!(head.size, u64::from(SERVERS * RECORDS) + 1);
    let again = log.seal(&test_db.db, NOW_MS).await.unwrap();
    assert_eq!(again, Some(head), "nothing new, the same head");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_39_indices_are_gap_free_with_several_servers_sqlite() {
    indices_are_gap_free(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_39_indices_are_gap_free_with_several_servers_postgres() {
    indices_are_gap_free(Engine::Postgres).await;
}

async fn what_is_new_is_not_looked_up(engine: Engine) {
    let (test_db, log) = open(engine).await;
    let db = &test_db.db;
    let named = |name: &str| Record::new("event", NOW_MS).external_id("bank", name);
    let mut tx = db.begin().await.unwrap();
    let ids = log.append_new_in(&mut tx, &[named("N-1"), named("N-2")]).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = db.begin().await.unwrap();
    let used = log.append_new_in(&mut tx, &[named("N-3"), named("N-2")]).await;
    let used = matches!(used, Err(AuditError::Store(error)) if error.is_unique_violation());
    assert!(used, "{engine:?}");
    tx.rollback().await.unwrap();
    let mut tx = db.read().await.unwrap();
    assert_eq!(log.find(&mut tx, "bank", "N-2").await.unwrap(), Some(ids[1]));
    assert_eq!(log.find(&mut tx, "bank", "N-3").await.unwrap(), None);
    tx.rollback().await.unwrap();
    assert_eq!(log.sequence(db, 10).await.unwrap(), 2);
}

#[tokio::test]
async fn what_is_new_is_not_looked_up_on_both_engines() {
    what_is_new_is_not_looked_up(Engine::Sqlite).await;
    what_is_new_is_not_looked_up(Engine::Postgres).await;
}

async fn external_ids_record_once(engine: Engine) {
    let (test_db, log) = open(engine).await;
    let db = &test_db.db;
    let record = |amount: &str, at: i64| {
        Record::new("payment", at).field("amount", amount).external_id("bank", "A-1")
    };
    let first = append(db, &log, &record("5", NOW_MS)).await.unwrap();
    assert_eq!(append(db, &log, &record("5", NOW_MS + 9)).await.unwrap(), first);
    let other = append(db, &log, &record("6", NOW_MS)).await;
    assert!(matches!(other, Err(AuditError::ExternalIdUsed { .. })), "{other:?}");
    let elsewhere = record("6", NOW_MS).external_id("other bank", "A-1");
    assert_ne!(append(db, &log, &elsewhere).await.unwrap(), first);
    let mut tx = db.read().await.unwrap();
    assert_eq!(log.find(&mut tx, "bank", "A-1").await.unwrap(), Some(first));
    assert_eq!(log.find(&mut tx, "bank", "A-2").await.unwrap(), None);
}

#[tokio::test]
async fn external_ids_record_once_on_both_engines() {
    external_ids_record_once(Engine::Sqlite).await;
    external_ids_record_once(Engine::Postgres).await;
}

async fn many_records_are_as_if_one_by_one(engine: Engine) {
    let (test_db, log) = open(engine).await;
    let (db, key) = (&test_db.db, NoteKey::log(1));
    let named = |number: u32| repayment(number % 3, number).external_id("bank", number.to_string());
    let list: Vec<Record> = (0..500).map(named).collect();
    let mut tx = db.begin().await.unwrap();
    let first = log.append_in(&mut tx, &named(3)).await.unwrap();
    let ids = log.append_many_in(&mut tx, &list).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!((ids.len(), ids[3]), (500, first));
    let mut tx = db.begin().await.unwrap();
    assert_eq!(log.append_many_in(&mut tx, &list).await.unwrap(), ids, "nothing is written twice");
    let twice = [named(900), named(900)];
    let twice = log.append_many_in(&mut tx, &twice).await.unwrap();
    assert_eq!(twice[0], twice[1]);
    let other = [named(1).field("amount", "1")];
    let other = log.append_many_in(&mut tx, &other).await;
    assert!(matches!(other, Err(AuditError::ExternalIdUsed { .. })), "{other:?}");
    tx.rollback().await.unwrap();

    let head = checkpoint(db, &log, &key).await;
    assert_eq!(head.size, 501);
    let report = examine(&receipt(db, &log, ids[499], &Disclosure::All).await, &key).unwrap();
    assert_eq!((report.log.index, report.record.fields["amount"].as_str()), (499, "10499"));
    log.check(&mut db.read().await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn many_records_are_as_if_one_by_one_on_both_engines() {
    many_records_are_as_if_one_by_one(Engine::Sqlite).await;
    many_records_are_as_if_one_by_one(Engine::Postgres).await;
}

async fn witnesses_add_their_lines(engine: Engine) {
    let (test_db, log) = open(engine).await;
    let (db, key) = (&test_db.db, NoteKey::log(1));
    let witness = NoteKey::witness("witness.example/w1", 3);
    let id = append(db, &log, &repayment(1, 1)).await.unwrap();
    let head = checkpoint(db, &log, &key).await;
    let line = witness.cosign(&head.text(), 1_772_366_460);
    for _ in 0..2 {
        let mut tx = db.begin().await.unwrap();
        log.add_cosignatures_in(&mut tx, head.size, &line).await.unwrap();
        for wrong in ["hello\n", "— w1\n", "— w1 %%%\n", &line[..line.len() - 1]] {
            let refused = log.add_cosignatures_in(&mut tx, head.size, wrong).await;
            assert!(matches!(refused, Err(AuditError::Checkpoint(_))), "{wrong:?}: {refused:?}");
        }
        tx.commit().await.unwrap();
    }
    let mut tx = db.read().await.unwrap();
    let note = log.latest_checkpoint(&mut tx).await.unwrap().unwrap().note;
    assert_eq!(note.matches("— witness").count(), 1);
    drop(tx);
    let keys = [key.vkey(), witness.vkey()].map(|key| key.parse().unwrap());
    let text = receipt(db, &log, id, &Disclosure::All).await;
    let receipt = api_verify::parse(&text).unwrap();
    let policy = Policy::from_keys(keys.to_vec());
    let report = api_verify::examine(&receipt, &policy, &TrustedBlocks::default()).unwrap();
    assert_eq!(report.witnessed_by[0].time, 1_772_366_460);
}

#[tokio::test]
async fn promise_39_witnesses_add_their_lines_on_both_engines() {
    witnesses_add_their_lines(Engine::Sqlite).await;
    witnesses_add_their_lines(Engine::Postgres).await;
}

#[tokio::test]
async fn a_record_is_not_there_when_its_transaction_is_rolled_back() {
    let (test_db, log) = open(Engine::Sqlite).await;
    let mut tx = test_db.db.begin().await.unwrap();
    let id = log.append_in(&mut tx, &repayment(1, 1)).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(log.seal(&test_db.db, NOW_MS).await.unwrap(), None);
    let mut tx = test_db.db.read().await.unwrap();
    assert!(matches!(log.status(&mut tx, id).await, Err(AuditError::NoSuchRecord(_))));
}

#[tokio::test]
async fn anchors_of_later_checkpoints_count_and_each_status_is_told() {
    let (test_db, log) = open(Engine::Sqlite).await;
    let (db, key) = (&test_db.db, NoteKey::log(1));
    let id = append(db, &log, &repayment(1, 1)).await.unwrap();
    let mut tx = db.read().await.unwrap();
    assert_eq!(log.status(&mut tx, id).await.unwrap().state, "queued");
    drop(tx);
    checkpoint(db, &log, &key).await;
    append(db, &log, &repayment(1, 2)).await.unwrap();
    let later = checkpoint(db, &log, &key).await;

    let mut tx = db.begin().await.unwrap();
    assert_eq!(log.status(&mut tx, id).await.unwrap().state, "checkpointed");
    let commitment = log.commitment(&mut tx, later.size).await.unwrap();
    let all =
        [support::bitcoin(&commitment), support::evm(&commitment), support::solana(&commitment)];
    let chains = all.each_ref().map(|evidence| evidence["chain"].as_str().unwrap().to_owned());
    assert_eq!(log.anchor_in(&mut tx, later.size, &chains, NOW_MS).await.unwrap(), 3);
    assert_eq!(log.anchor_in(&mut tx, later.size, &chains, NOW_MS).await.unwrap(), 0);
    assert_eq!(log.anchors(&mut tx, AnchorState::Due).await.unwrap().len(), 3);
    for (chain, evidence) in chains.iter().zip(&all) {
        let included = AnchorUpdate::Included {
            tx: "t".to_owned(),
            fee: Some("100".to_owned()),
            evidence: evidence.to_string(),
        };
        log.update_anchor_in(&mut tx, later.size, chain, included, NOW_MS).await.unwrap();
    }
    let status = log.status(&mut tx, id).await.unwrap();
    assert_eq!((status.state, status.anchored_on.len()), ("anchored", 3));
    tx.commit().await.unwrap();

    let text = receipt(db, &log, id, &Disclosure::All).await;
    let report = examine(&text, &key).unwrap();
    let found: Vec<Status> = report.anchors.iter().map(|anchor| anchor.status).collect();
    let given = Status::ProvedGivenHeader;
    assert_eq!(found, [given, given, Status::NeedsNode]);
    assert_eq!((report.log.size, report.anchors[0].size), (2, later.size));

    // A reorganisation takes the evidence away, and the receipt no longer shows it.
    let mut tx = db.begin().await.unwrap();
    let out = AnchorUpdate::ReorganisedOut;
    let anchor = log.update_anchor_in(&mut tx, later.size, &chains[0], out, NOW_MS).await.unwrap();
    assert_eq!((anchor.state, anchor.attempts, anchor.evidence), (AnchorState::Sent, 1, None));
    tx.commit().await.unwrap();
    let text = receipt(db, &log, id, &Disclosure::All).await;
    assert_eq!(examine(&text, &key).unwrap().anchors.len(), 2);
}

#[tokio::test]
async fn a_checkpoint_that_is_not_of_this_log_is_not_stored() {
    let (test_db, log) = open(Engine::Sqlite).await;
    let (db, key) = (&test_db.db, NoteKey::log(1));
    append(db, &log, &repayment(1, 1)).await.unwrap();
    let head = log.seal(db, NOW_MS).await.unwrap().unwrap();
    let mut other_root = head.clone();
    other_root.root[0] ^= 1;
    let mut other_origin = head.clone();
    other_origin.origin.push('x');
    let mut other_size = head.clone();
    other_size.size = 1;
    let mut tx = db.begin().await.unwrap();
    for wrong in [other_root, other_origin, other_size] {
        let stored = log.store_checkpoint_in(&mut tx, &key.note(&wrong.text()), NOW_MS).await;
        assert!(matches!(stored, Err(AuditError::Checkpoint(_))), "{stored:?}");
    }
    let unsigned = log.store_checkpoint_in(&mut tx, &head.text(), NOW_MS).await;
    assert!(matches!(unsigned, Err(AuditError::Checkpoint(_))), "{unsigned:?}");
}

#[tokio::test]
async fn tiles_and_bundles_make_up_the_tree() {
    let (test_db, log) = open(Engine::Sqlite).await;
    let mut tx = test_db.db.begin().await.unwrap();
    for number in 0..600 {
        let record = Record::new("event", NOW_MS).field("number", number.to_string());
        log.append_in(&mut tx, &record).await.unwrap();
    }
    tx.commit().await.unwrap();
    let head = checkpoint(&test_db.db, &log, &NoteKey::log(1)).await;
    let mut tx = test_db.db.read().await.unwrap();
    let mut leaves = 0;
    for request in AuditLog::resources(head.size) {
        let bytes = log.tile(&mut tx, request).await.unwrap().unwrap();
        let TileRequest::Entries { tile, width } = request else { continue };
        let hashes = TileRequest::Hashes { level: 0, tile, width };
        let hashes = log.tile(&mut tx, hashes).await.unwrap().unwrap();
        let mut rest = bytes.as_slice();
        for hash in hashes.chunks(32) {
            let (length, after) = rest.split_first_chunk::<2>().unwrap();
            let (leaf, after) = after.split_at(u16::from_be_bytes(*length).into());
            assert_eq!(leaf_hash(leaf).as_slice(), hash);
            leaves += 1;
            rest = after;
        }
        assert!(rest.is_empty());
    }
    assert_eq!(leaves, head.size);
    let beyond = TileRequest::Hashes { level: 0, tile: 2, width: 256 };
    assert_eq!(log.tile(&mut tx, beyond).await.unwrap(), None);
}
