//! A log of very many leaves: its tiles in the database, made from that many hashes. The records
//! themselves are left out; a proof does not read them.

use std::hint::black_box;
use std::time::Instant;

use api_audit::AuditLog;
use api_store::{Arg, Db, args};
use api_verify::merkle::{Hash, inclusion_root, leaf_hash, node_hash};
use rand::Rng as _;
use serde_json::{Value, json};

const TILE: usize = 256;
const TILES_PER_COMMIT: usize = 2_000;
const PROOFS: usize = 2_000;

/// The hash of the leaf with this index.
fn leaf(index: u64) -> Hash {
    leaf_hash(&index.to_be_bytes())
}

fn root_of(hashes: &[Hash]) -> Hash {
    let mut level = hashes.to_vec();
    while level.len() > 1 {
        level = level.chunks(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
    }
    level[0]
}

struct Tiles<'a> {
    db: &'a Db,
    log: i64,
    rows: Vec<Vec<Arg>>,
    levels: Vec<(i64, Vec<Hash>)>,
}

impl Tiles<'_> {
    /// Adds a hash to a level of tiles; a full tile is stored and adds its root to the level above.
    async fn push(&mut self, mut level: usize, mut hash: Hash) {
        loop {
            if self.levels.len() == level {
                self.levels.push((0, Vec::with_capacity(TILE)));
            }
            let (tile, hashes) = &mut self.levels[level];
            hashes.push(hash);
            if hashes.len() < TILE {
                return;
            }
            hash = root_of(hashes);
            let row = args![self.log, level as i64, *tile, hashes.concat()];
            hashes.clear();
            *tile += 1;
            self.store(row).await;
            level += 1;
        }
    }

    async fn store(&mut self, row: Vec<Arg>) {
        self.rows.push(row);
        if self.rows.len() >= TILES_PER_COMMIT {
            self.flush().await;
        }
    }

    async fn flush(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        let mut tx = self.db.begin().await.unwrap();
        tx.insert_many("audit_tiles", "log_id, level, tile, hashes", rows, "").await.unwrap();
        tx.commit().await.unwrap();
    }
}

/// Makes the log and takes proofs from it, each verified: percentiles of their time, and how many
/// tiles they read.
pub(crate) async fn proofs(db: &Db, leaves: u64) -> Value {
    let origin = "roadstead.example/large";
    let log = AuditLog::open(db, origin).await.unwrap();
    let mut tx = db.read().await.unwrap();
    let select = "SELECT id FROM audit_logs WHERE origin = $1";
    let (id,): (i64,) = tx.fetch_one(select, args![origin]).await.unwrap();
    tx.rollback().await.unwrap();
    let made = Instant::now();
    let mut tiles = Tiles { db, log: id, rows: Vec::new(), levels: Vec::new() };
    for index in 0..leaves {
        tiles.push(0, leaf(index)).await;
    }
    for (level, (tile, hashes)) in (0_i64..).zip(std::mem::take(&mut tiles.levels)) {
        if !hashes.is_empty() {
            tiles.store(args![id, level, tile, hashes.concat()]).await;
        }
    }
    tiles.flush().await;
    let mut tx = db.begin().await.unwrap();
    let update = "UPDATE audit_logs SET size = $1 WHERE id = $2";
    tx.execute(update, args![i64::try_from(leaves).unwrap(), id]).await.unwrap();
    tx.commit().await.unwrap();
    let made = made.elapsed();

    let mut root = None;
    let (mut micros, mut request_micros, mut read) = (Vec::new(), Vec::new(), 0);
    for _ in 0..PROOFS {
        let index = rand::rng().random_range(0..leaves);
        // A request also begins and ends a transaction.
        let request = Instant::now();
        let mut tx = db.read().await.unwrap();
        let start = Instant::now();
        let path = black_box(log.inclusion_proof(&mut tx, index, leaves).await.unwrap());
        micros.push(start.elapsed().as_micros());
        tx.rollback().await.unwrap();
        request_micros.push(request.elapsed().as_micros());
        read = read.max(AuditLog::tiles_read(index, leaves));
        // The first proof gives the root; all others must lead to the same one.
        let found = inclusion_root(index, leaves, &leaf(index), &path).unwrap();
        let root = root.get_or_insert(found);
        assert_eq!(found, *root);
    }
    micros.sort_unstable();
    request_micros.sort_unstable();
    json!({
        "leaves": leaves,
        "made_s": made.as_secs(),
        "tiles_read_max": read,
        "proof_p10_us": micros[PROOFS / 10],
        "proof_p50_us": micros[PROOFS / 2],
        "proof_p99_us": micros[PROOFS * 99 / 100],
        "proof_with_transaction_p50_us": request_micros[PROOFS / 2],
    })
}
