//! Attacks on the log by whoever holds its database: each is caught by the log's own check, and, from
//! an export, by the verifier that shares no code with the log; both name the first bad index.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::Path;

use api_audit::{AuditLog, Damage, Disclosure, Record, RecordId};
use api_store::test_db::TestDb;
use api_store::{Arg, Db, Engine, args};
use api_verify::checkpoint::Checkpoint;
use api_verify::log::{Known, LogAudit, LogError, audit};
use api_verify::policy::Policy;
use support::{NOW_MS, NoteKey, ORIGIN, checkpoint};

/// A log of 340 records and two checkpoints, at 300 and 342 entries.
struct World {
    test_db: TestDb,
    log: AuditLog,
    ids: Vec<RecordId>,
    notes: Vec<String>,
}

impl World {
    async fn new(engine: Engine) -> Self {
        let test_db = TestDb::new(engine).await.unwrap();
        let log = AuditLog::open(&test_db.db, ORIGIN).await.unwrap();
        let (mut ids, mut notes) = (Vec::new(), Vec::new());
        for batch in [299, 41] {
            let mut tx = test_db.db.begin().await.unwrap();
            for _ in 0..batch {
                let number = ids.len();
                let record = Record::new("loan.repayment", NOW_MS)
                    .stream(format!("loan:{}", number % 7))
                    .field("amount", number.to_string())
                    .external_id("bank", format!("e{number}"))
                    .subject("customer-1")
                    .personal("payer", "Ann Example");
                ids.push(log.append_in(&mut tx, &record).await.unwrap());
            }
            tx.commit().await.unwrap();
            let head = checkpoint(&test_db.db, &log, &NoteKey::log(1)).await;
            notes.push(NoteKey::log(1).note(&head.text()));
        }
        Self { test_db, log, ids, notes }
    }

    fn db(&self) -> &Db {
        &self.test_db.db
    }

    async fn attack(&self, sql: &'static str, args: Vec<Arg>) {
        let mut tx = self.db().begin().await.unwrap();
        assert!(tx.execute(sql, args).await.unwrap() > 0, "the attack did nothing: {sql}");
        tx.commit().await.unwrap();
    }

    async fn check(&self) -> Result<api_audit::Checked, Damage> {
        self.log.check(&mut self.db().read().await.unwrap()).await
    }

    async fn export(&self, folder: &Path) -> Result<Option<u64>, api_audit::AuditError> {
        self.log.export(&mut self.db().read().await.unwrap(), folder).await
    }

    /// Exports and audits, with what a customer and an auditor have kept.
    async fn audit(&self) -> Result<LogAudit, LogError> {
        let folder = tempfile::TempDir::new().unwrap();
        let _ = self.export(folder.path()).await;
        audit(|path| std::fs::read(folder.path().join(path)).ok(), &policy(), &self.known())
    }

    fn known(&self) -> Known {
        let mut known = Known::default();
        for note in &self.notes {
            known.add_checkpoint(&Checkpoint::parse(note).unwrap());
        }
        known
    }
}

fn policy() -> Policy {
    Policy::from_keys(vec![NoteKey::log(1).vkey().parse().unwrap()])
}

async fn an_untouched_log_is_right(engine: Engine) {
    let world = World::new(engine).await;
    let checked = world.check().await.unwrap();
    assert_eq!((checked.records, checked.checkpoints, checked.streams), (342, 2, 7));
    let audit = world.audit().await.unwrap();
    assert_eq!((audit.size, audit.roots, audit.signed), (342, 2, true));
}

#[tokio::test]
async fn promise_39_an_untouched_log_is_right() {
    an_untouched_log_is_right(Engine::Sqlite).await;
    an_untouched_log_is_right(Engine::Postgres).await;
}

/// What the own check says is wrong, shortly.
fn first_bad(damage: Result<api_audit::Checked, Damage>) -> String {
    damage.unwrap_err().to_string().split(':').next().unwrap().to_owned()
}

#[tokio::test]
async fn promise_39_a_flipped_leaf_is_named() {
    let world = World::new(Engine::Sqlite).await;
    let sql = "UPDATE audit_records SET leaf = CAST(replace(leaf, X'616D6F756E74', \
               X'616D6F756E75') AS BLOB) WHERE seq = \
               (SELECT seq FROM audit_leaves WHERE leaf_index = 123)";
    world.attack(sql, args![]).await;
    assert_eq!(first_bad(world.check().await), "record 123");
    assert!(matches!(world.audit().await, Err(LogError::Entry { index: 123 })));
}

/// A change of the record with index 77.
macro_rules! record_77 {
    ($change:literal) => {
        concat!(
            "UPDATE audit_records SET ",
            $change,
            " WHERE seq = (SELECT seq FROM audit_leaves WHERE leaf_index = 77)"
        )
    };
}

#[tokio::test]
async fn promise_39_a_flip_in_any_column_of_a_record_is_named() {
    for column in [
        record_77!("kind = 'loan.payout'"),
        record_77!("stream = 'loan:5'"),
        record_77!("stream = NULL"),
        record_77!("tenant_id = 'other'"),
        record_77!("external_id = 'f77'"),
        record_77!("created_at = created_at + 1"),
        record_77!("id = '0198f000-0000-7000-8000-000000000000'"),
        record_77!("personal_fields = NULL"),
        record_77!("personal_fields = X'00'"),
        record_77!("open_fields = X'7B7D'"),
        record_77!(
            "open_fields = CAST(replace(open_fields, '\"77\"', '\"78\"') AS \
         BLOB)"
        ),
    ] {
        let world = World::new(Engine::Sqlite).await;
        world.attack(column, args![]).await;
        assert_eq!(first_bad(world.check().await), "record 77", "{column}");
    }
}

/// Each byte of one record, one after another.
#[tokio::test]
async fn promise_39_a_flip_of_any_byte_of_a_record_is_named() {
    let world = World::new(Engine::Sqlite).await;
    for (select, update) in [
        (
            "SELECT leaf FROM audit_records JOIN audit_leaves USING (seq) WHERE leaf_index = 5",
            "UPDATE audit_records SET leaf = $1 \
             WHERE seq = (SELECT seq FROM audit_leaves WHERE leaf_index = 5)",
        ),
        (
            "SELECT open_fields FROM audit_records JOIN audit_leaves USING (seq) WHERE leaf_index = 5",
            "UPDATE audit_records SET open_fields = $1 \
             WHERE seq = (SELECT seq FROM audit_leaves WHERE leaf_index = 5)",
        ),
        (
            "SELECT personal_fields FROM audit_records JOIN audit_leaves USING (seq) WHERE leaf_index = 5",
            "UPDATE audit_records SET personal_fields = $1 \
             WHERE seq = (SELECT seq FROM audit_leaves WHERE leaf_index = 5)",
        ),
    ] {
        let mut tx = world.db().read().await.unwrap();
        let (bytes,): (Vec<u8>,) = tx.fetch_one(select, args![]).await.unwrap();
        drop(tx);
        for at in (0..bytes.len()).step_by(3) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            world.attack(update, args![flipped]).await;
            assert_eq!(first_bad(world.check().await), "record 5", "byte {at}: {update}");
        }
        world.attack(update, args![bytes]).await;
    }
    world.check().await.unwrap();
}

#[tokio::test]
async fn promise_39_a_deleted_record_is_named() {
    let world = World::new(Engine::Sqlite).await;
    let delete = "DELETE FROM audit_records \
                  WHERE seq = (SELECT seq FROM audit_leaves WHERE leaf_index = 200)";
    world.attack(delete, args![]).await;
    assert_eq!(first_bad(world.check().await), "record 200");
    // The export stops there: the bundle of entries 0 to 255 cannot be made.
    assert!(matches!(world.audit().await, Err(LogError::Missing { .. })));
}

#[tokio::test]
async fn promise_39_an_inserted_record_is_named() {
    let world = World::new(Engine::Sqlite).await;
    for sql in [
        "UPDATE audit_batches SET first_index = -1 - first_index WHERE first_index >= 40",
        "UPDATE audit_batches SET first_index = -first_index WHERE first_index < 0",
        "INSERT INTO audit_batches (first_seq, log_id, records, first_index) \
         SELECT max(first_seq) + 16384, log_id, 1, 40 FROM audit_batches",
        "INSERT INTO audit_records (seq, id, log_id, kind, stream, leaf, open_fields, created_at) \
         SELECT (SELECT max(first_seq) FROM audit_batches), 'x', log_id, kind, stream, leaf, \
         open_fields, created_at FROM audit_records \
         WHERE seq = (SELECT seq FROM audit_leaves WHERE leaf_index = 39)",
    ] {
        world.attack(sql, args![]).await;
    }
    assert_eq!(first_bad(world.check().await), "record 40");
    assert!(matches!(world.audit().await, Err(LogError::Entry { index: 40 })));
}

#[tokio::test]
async fn promise_39_reordered_records_are_named() {
    let world = World::new(Engine::Sqlite).await;
    for sql in [
        "UPDATE audit_batches SET first_index = 1000000 WHERE first_index = 10",
        "UPDATE audit_batches SET first_index = 10 WHERE first_index = 20",
        "UPDATE audit_batches SET first_index = 20 WHERE first_index = 1000000",
    ] {
        world.attack(sql, args![]).await;
    }
    assert_eq!(first_bad(world.check().await), "record 10");
    assert!(matches!(world.audit().await, Err(LogError::Entry { index: 10 })));
}

/// Where the records of a call are in the log is a row as well.
#[tokio::test]
async fn promise_39_a_rewritten_batch_is_named() {
    for (sql, bad) in [
        ("UPDATE audit_batches SET records = 2 WHERE first_index = 50", "record 51"),
        ("UPDATE audit_batches SET records = 2 WHERE first_index = 341", "record 342"),
        (
            "UPDATE audit_batches SET log_id = (SELECT max(id) FROM audit_logs) \
          WHERE first_index = 50",
            "record 50",
        ),
        ("UPDATE audit_batches SET first_index = NULL WHERE first_index = 50", "record 50"),
        ("UPDATE audit_batches SET first_index = 342 WHERE first_index = 50", "record 50"),
        ("DELETE FROM audit_batches WHERE first_index = 50", "record 50"),
        (
            "INSERT INTO audit_batches (first_seq, log_id, records, first_index) \
          SELECT max(first_seq) + 16384, log_id, 1, 342 FROM audit_batches",
            "record 342",
        ),
    ] {
        let world = World::new(Engine::Sqlite).await;
        AuditLog::open(world.db(), "roadstead.example/other").await.unwrap();
        world.attack(sql, args![]).await;
        assert_eq!(first_bad(world.check().await), bad, "{sql}");
    }
}

/// What happens to records before they have their indices.
#[tokio::test]
async fn promise_39_a_change_to_a_waiting_batch_is_named() {
    let other = [0_u8; 32];
    for (sql, arguments, bad) in [
        (
            "UPDATE audit_batches SET leaves = CAST($1 || substr(leaves, 33) AS BLOB) \
             WHERE first_index IS NULL",
            args![other],
            "record 342",
        ),
        (
            "UPDATE audit_batches SET leaves = CAST(replace(leaves, X'6C6F616E', X'6C6F616F') AS BLOB) \
             WHERE first_index IS NULL",
            args![],
            "record 344",
        ),
        (
            "DELETE FROM audit_records WHERE seq = (SELECT max(seq) FROM audit_records)",
            args![],
            "record 343",
        ),
    ] {
        let world = World::new(Engine::Sqlite).await;
        let mut tx = world.db().begin().await.unwrap();
        let record = Record::new("loan.repayment", NOW_MS).stream("loan:1");
        world.log.append_many_in(&mut tx, &[record.clone(), record]).await.unwrap();
        tx.commit().await.unwrap();
        world.attack(sql, arguments).await;
        world.log.seal(world.db(), NOW_MS).await.unwrap();
        assert_eq!(first_bad(world.check().await), bad, "{sql}");
    }
    let world = World::new(Engine::Sqlite).await;
    let mut tx = world.db().begin().await.unwrap();
    world.log.append_in(&mut tx, &Record::new("loan.repayment", NOW_MS)).await.unwrap();
    tx.commit().await.unwrap();
    world
        .attack("UPDATE audit_batches SET leaves = X'00' WHERE first_index IS NULL", args![])
        .await;
    assert!(world.log.seal(world.db(), NOW_MS).await.is_err(), "nothing is numbered from it");
}

#[tokio::test]
async fn promise_39_a_truncated_log_is_named() {
    let world = World::new(Engine::Sqlite).await;
    let delete = "DELETE FROM audit_records \
                  WHERE seq IN (SELECT seq FROM audit_leaves WHERE leaf_index >= 330)";
    world.attack(delete, args![]).await;
    assert_eq!(first_bad(world.check().await), "record 330");
    world.attack("DELETE FROM audit_batches WHERE first_index >= 330", args![]).await;
    world.attack("UPDATE audit_logs SET size = 330, sealed_size = 330", args![]).await;
    let checked = world.check().await.unwrap_err();
    assert!(matches!(checked, Damage::Checkpoint { size: 342, first: 330, .. }), "{checked}");
}

/// The newest checkpoint is taken back, and all that came after the one before it.
#[tokio::test]
async fn promise_39_a_rolled_back_checkpoint_is_named() {
    let world = World::new(Engine::Sqlite).await;
    for sql in [
        "DELETE FROM audit_records \
         WHERE seq IN (SELECT seq FROM audit_leaves WHERE leaf_index >= 300)",
        "DELETE FROM audit_batches WHERE first_index >= 300",
        "DELETE FROM audit_checkpoints WHERE size > 300",
        "UPDATE audit_logs SET size = 300, sealed_size = 300",
        "UPDATE audit_tiles SET hashes = substr(hashes, 1, 32 * 44) WHERE level = 0 AND tile = 1",
    ] {
        world.attack(sql, args![]).await;
    }
    let audited = world.audit().await;
    assert!(matches!(audited, Err(LogError::RolledBack { size: 300, known: 342 })), "{audited:?}");
}

/// Another log of the same name, signed by the same key: only who kept a checkpoint or a receipt can
/// tell.
#[tokio::test]
async fn promise_39_a_forked_log_is_named_by_whoever_kept_something() {
    let world = World::new(Engine::Sqlite).await;
    let fork = World::new(Engine::Sqlite).await;
    let folder = tempfile::TempDir::new().unwrap();
    fork.export(folder.path()).await.unwrap();
    let read = |path: &str| std::fs::read(folder.path().join(path)).ok();
    assert!(audit(read, &policy(), &Known::default()).is_ok(), "nothing in it is wrong by itself");

    let mut known = Known::default();
    known.add_checkpoint(&Checkpoint::parse(&world.notes[0]).unwrap());
    let found = audit(read, &policy(), &known);
    assert!(matches!(found, Err(LogError::Root { size: 300, first: 0, last: 299 })), "{found:?}");

    let mut known = Known::default();
    let mut tx = world.db().read().await.unwrap();
    let receipt = world.log.receipt(&mut tx, world.ids[320], &Disclosure::All).await.unwrap();
    let receipt = api_verify::parse(&serde_json::to_string(&receipt).unwrap()).unwrap();
    known.add_receipt(&receipt).unwrap();
    let found = audit(read, &policy(), &known);
    assert!(matches!(found, Err(LogError::Entry { index: 321 })), "{found:?}");
}

#[tokio::test]
async fn promise_39_rewritten_tiles_are_named() {
    let world = World::new(Engine::Sqlite).await;
    let flip = "UPDATE audit_tiles SET hashes = CAST(substr(hashes, 1, 320) || zeroblob(32) || \
                substr(hashes, 353) AS BLOB) WHERE level = 0 AND tile = 1";
    world.attack(flip, args![]).await;
    let checked = world.check().await.unwrap_err();
    assert!(matches!(checked, Damage::Tile { level: 0, tile: 1, index: 266 }), "{checked}");
    assert!(matches!(world.audit().await, Err(LogError::Entry { index: 266 })));

    let world = World::new(Engine::Sqlite).await;
    let flip = "UPDATE audit_tiles SET hashes = zeroblob(32) WHERE level = 1";
    world.attack(flip, args![]).await;
    let checked = world.check().await.unwrap_err();
    assert!(matches!(checked, Damage::Tile { level: 1, tile: 0, index: 0 }), "{checked}");
    let audited = world.audit().await;
    assert!(
        matches!(audited, Err(LogError::Tile { level: 1, first: 0, last: 255 })),
        "{audited:?}"
    );
}

#[tokio::test]
async fn promise_39_a_forged_checkpoint_is_named() {
    let world = World::new(Engine::Sqlite).await;
    let forge = "UPDATE audit_checkpoints SET note = replace(note, '300', '301') WHERE size = 300";
    world.attack(forge, args![]).await;
    let checked = world.check().await.unwrap_err();
    assert!(matches!(checked, Damage::Checkpoint { size: 300, .. }), "{checked}");

    let world = World::new(Engine::Sqlite).await;
    let newest = world.notes[1].split_once("\n\n").unwrap().0.to_owned() + "\n";
    let forged = NoteKey::log(9).note(&newest);
    let sql = "UPDATE audit_checkpoints SET note = $1 WHERE size = 342";
    world.attack(sql, args![forged]).await;
    assert!(matches!(world.audit().await, Err(LogError::UntrustedLog(_))));
}

#[tokio::test]
async fn promise_39_rewritten_streams_are_named() {
    for (sql, bad) in [
        ("UPDATE audit_streams SET events = events - 1 WHERE stream = 'loan:3'", "loan"),
        ("UPDATE audit_streams SET head = zeroblob(32) WHERE stream = 'loan:3'", "loan"),
        ("DELETE FROM audit_streams WHERE stream = 'loan:3'", "loan"),
    ] {
        let world = World::new(Engine::Sqlite).await;
        world.attack(sql, args![]).await;
        assert_eq!(first_bad(world.check().await), bad, "{sql}");
    }
}

/// What reports are made of: a changed row stops them, by its values and by its place.
#[tokio::test]
async fn promise_39_a_changed_row_is_in_no_listing() {
    let world = World::new(Engine::Sqlite).await;
    let listed = || async {
        let mut tx = world.db().read().await.unwrap();
        world.log.records_before(&mut tx, "bank", &["loan."], 342).await
    };
    let found = listed().await.unwrap();
    assert_eq!(found.len(), 340);
    assert_eq!((found[77].field("amount"), found[77].index), ("77", Some(77)));
    let other = "UPDATE audit_records SET open_fields = CAST(replace(open_fields, '\"amount\":\"77\"', \
                 '\"amount\":\"78\"') AS BLOB) WHERE seq = \
                 (SELECT seq FROM audit_leaves WHERE leaf_index = 77)";
    world.attack(other, args![]).await;
    let error = listed().await.unwrap_err().to_string();
    assert!(error.contains(&world.ids[77].to_string()), "{error}");
    // Whole and in itself right, but another record's.
    let copied = "UPDATE audit_records SET (leaf, open_fields) = (SELECT o.leaf, o.open_fields \
                  FROM audit_records AS o JOIN audit_leaves AS l ON l.seq = o.seq \
                  WHERE l.leaf_index = 78) WHERE seq = \
                  (SELECT seq FROM audit_leaves WHERE leaf_index = 77)";
    world.attack(copied, args![]).await;
    let error = listed().await.unwrap_err().to_string();
    assert!(error.contains("index 77"), "{error}");
}
