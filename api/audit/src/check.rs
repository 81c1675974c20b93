//! The log's own check of every row, from the records up, naming the first bad index. It trusts
//! nothing but the bytes of records; still, it runs in the house: an auditor uses
//! `roadstead-verify --log` on an export.

use std::collections::{BTreeMap, BTreeSet};

use api_store::Tx;
use api_verify::merkle::{Hash, leaf_hash};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::append::open_personal;
use crate::log::MAP_KIND;
use crate::map::{EMPTY, Map, link};
use crate::record::{Fields, leaf_holds, time_text};
use crate::repo::records::{self, Row};
use crate::repo::streams::{self, Head};
use crate::repo::trees::{self, StoredCheckpoint};
use crate::repo::{batches, subjects};
use crate::tree::{Growth, TILE_WIDTH};
use crate::{AuditError, AuditLog};

const BATCH: u64 = 4_096;

/// What was found to be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// All records that have an index.
    pub records: u64,
    /// All signed checkpoints.
    pub checkpoints: u64,
    /// All streams.
    pub streams: u64,
}

/// What is wrong, and at which index first.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// A record, or its absence.
    #[error("record {index}: {what}")]
    Record {
        /// The first bad index.
        index: u64,
        /// What is wrong with it.
        what: String,
    },
    /// A tile.
    #[error("tile {tile} of level {level}, over the records from {index} on: it is not their hash")]
    Tile {
        /// Of the tile.
        level: u32,
        /// Of the tile.
        tile: u64,
        /// The first index below it.
        index: u64,
    },
    /// A checkpoint: the records or the checkpoint were changed.
    #[error("records {first} to {last}: they are not those of the checkpoint at {size}")]
    Checkpoint {
        /// The checkpoint's size.
        size: u64,
        /// The size of the last checkpoint that is right.
        first: u64,
        /// The last record that it covers.
        last: u64,
    },
    /// A stream or the map.
    #[error("{stream}: its chain of events is not that of its records")]
    Stream {
        /// The stream.
        stream: String,
    },
    /// It could not be checked.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

impl AuditLog {
    /// Checks every record against its fields, the tree against the records, every checkpoint
    /// against the tree, and every stream. Run it in a [`api_store::Db::read`] transaction.
    ///
    /// # Errors
    /// [`Damage`], the first that was found.
    pub async fn check(&self, tx: &mut Tx) -> Result<Checked, Damage> {
        let state = trees::log_state(tx, self.id).await?;
        let checkpoints = trees::checkpoints(tx, self.id).await?;
        let mut check = Check {
            log: self,
            tree: Growth::empty(),
            good: 0,
            heads: BTreeMap::new(),
            changed: BTreeSet::new(),
            map: Map::default(),
            map_root: EMPTY,
            suspect: None,
            tile: Vec::new(),
            checkpoints: checkpoints.iter().map(|one| (one.size, one)).collect(),
        };
        let mut from = 0;
        while from < state.size {
            let to = (from + BATCH).min(state.size);
            let rows = records::by_range(tx, self.id, from, to).await?;
            let mut rows = rows.into_iter().peekable();
            for index in from..to {
                let row = rows.next_if(|row| row.index().is_ok_and(|found| found == Some(index)));
                let row = row.ok_or_else(|| damaged(index, "it is gone"))?;
                check.record(tx, index, &row).await?;
            }
            from = to;
        }
        if batches::numbered(tx, self.id).await? != (state.size, state.size) {
            let index = batches::first_gap(tx, self.id).await?.unwrap_or(state.size);
            return Err(damaged(
                index,
                "the batches do not follow each other, or go on behind the end",
            ));
        }
        if let Some((&size, _)) = check.checkpoints.range(state.size + 1..).next() {
            return Err(Damage::Checkpoint { size, first: state.size, last: size - 1 });
        }
        check.tiles(tx).await?;
        check.streams(tx).await?;
        let counts = (check.checkpoints.len() as u64, check.heads.len() as u64);
        Ok(Checked { records: state.size, checkpoints: counts.0, streams: counts.1 })
    }
}

fn damaged(index: u64, what: &str) -> Damage {
    Damage::Record { index, what: what.to_owned() }
}

struct Check<'a> {
    log: &'a AuditLog,
    tree: Growth,
    good: u64,
    heads: BTreeMap<String, Head>,
    changed: BTreeSet<String>,
    map: Map,
    map_root: Hash,
    /// The first record that is not the one of its tile: either may be wrong, and the first root that
    /// is wrong says which.
    suspect: Option<u64>,
    tile: Vec<u8>,
    checkpoints: BTreeMap<u64, &'a StoredCheckpoint>,
}

impl Check<'_> {
    async fn record(&mut self, tx: &mut Tx, index: u64, row: &Row) -> Result<(), Damage> {
        let wrong = |what: &str| damaged(index, what);
        let open =
            Fields::from_bytes(&row.open_fields).map_err(|_| wrong("its fields cannot be read"))?;
        let personal =
            open_personal(tx, row).await.map_err(|_| wrong("its personal data is damaged"))?;
        let erased = match &row.subject_id {
            Some(subject) => subjects::subject(tx, subject).await?,
            None => None,
        };
        let erased = erased.is_some_and(|subject| subject.erased_at.is_some());
        let parts: Vec<&Fields> = std::iter::once(&open).chain(&personal).collect();
        if !leaf_holds(&row.leaf, &parts, !erased) {
            return Err(wrong("its fields are not those that the log committed to"));
        }
        let id = row.id()?.to_string();
        let field = |name: &str| open.values.get(name).map(String::as_str);
        let time = time_text(row.created_at).unwrap_or_default();
        let columns = [
            (field("time"), Some(time.as_str())),
            (field("tenant"), row.tenant_id.as_deref()),
            (field("external_id"), row.external_id.as_deref()),
            (field("kind"), Some(row.kind.as_str())),
            (field("stream"), row.stream.as_deref()),
            (field("id"), Some(id.as_str())),
        ];
        if columns.iter().any(|(field, column)| field != column) {
            return Err(wrong("its columns are not its fields"));
        }
        let leaf = leaf_hash(&row.leaf);
        self.compare_with_tile(tx, index, &leaf).await?;
        self.tree.push(leaf);
        if let Some(stream) = &row.stream {
            let new = || Head { stream: stream.clone(), events: 0, head: EMPTY };
            let head = self.heads.entry(stream.clone()).or_insert_with(new);
            head.events += 1;
            head.head = link(&head.head, &leaf);
            self.changed.insert(stream.clone());
        }
        self.checkpoint(tx, index, row, &open).await
    }

    async fn compare_with_tile(
        &mut self,
        tx: &mut Tx,
        index: u64,
        leaf: &Hash,
    ) -> Result<(), Damage> {
        let place = usize::try_from(index % TILE_WIDTH).unwrap_or_default();
        if place == 0 {
            let tile = trees::tile(tx, self.log.id, (0, index / TILE_WIDTH)).await?;
            self.tile = tile.unwrap_or_default();
        }
        if self.tile.chunks(32).nth(place) != Some(leaf.as_slice()) {
            self.suspect.get_or_insert(index);
        }
        Ok(())
    }

    /// The first suspect, now that a root is wrong; without one, everything was rewritten.
    fn blame(&self, otherwise: Damage) -> Damage {
        match self.suspect {
            Some(index) => damaged(index, "it is not the record that the log committed to"),
            None => otherwise,
        }
    }

    /// Compares the tree with the checkpoint of this size, if there is one.
    async fn checkpoint(
        &mut self,
        tx: &mut Tx,
        index: u64,
        row: &Row,
        open: &Fields,
    ) -> Result<(), Damage> {
        let size = index + 1;
        if row.kind == MAP_KIND {
            self.map(tx, index, open).await?;
        }
        if let Some(checkpoint) = self.checkpoints.get(&size) {
            let head = self.log.head_at(size, self.tree.root());
            let text = checkpoint.note.split_once("\n\n").map(|(text, _)| format!("{text}\n"));
            if head.root != checkpoint.root || text != Some(head.text()) {
                let range = Damage::Checkpoint { size, first: self.good, last: index };
                return Err(self.blame(range));
            }
            self.good = size;
        }
        Ok(())
    }

    /// The map's record holds the heads of all streams at its index.
    async fn map(&mut self, tx: &mut Tx, index: u64, open: &Fields) -> Result<(), Damage> {
        for stream in std::mem::take(&mut self.changed) {
            if let Some(head) = self.heads.get(&stream) {
                self.map_root = self.map.insert(tx, &self.map_root, head).await?;
            }
        }
        let root = self.map_root;
        if open.values.get("root") == Some(&STANDARD.encode(root)) {
            return Ok(());
        }
        Err(self.blame(damaged(index, "its map is not that of the streams before it")))
    }

    async fn tiles(&self, tx: &mut Tx) -> Result<(), Damage> {
        for ((level, tile), hashes) in self.tree.changed() {
            let stored = trees::tile(tx, self.log.id, (level, tile)).await?.unwrap_or_default();
            let (stored, rest) = stored.as_chunks::<32>();
            let same = stored.iter().zip(hashes).take_while(|(one, other)| one == other).count();
            if same != hashes.len() || stored.len() != hashes.len() || !rest.is_empty() {
                let place = tile * 256 + same as u64;
                return Err(Damage::Tile { level, tile, index: place << (8 * level) });
            }
        }
        Ok(())
    }

    async fn streams(&self, tx: &mut Tx) -> Result<(), Damage> {
        let stored = streams::all_streams(tx, self.log.id).await?;
        for head in &stored {
            if self.heads.get(&head.stream) != Some(head) {
                return Err(Damage::Stream { stream: head.stream.clone() });
            }
        }
        match self.heads.keys().find(|name| !stored.iter().any(|head| head.stream == **name)) {
            Some(missing) => Err(Damage::Stream { stream: missing.clone() }),
            None => Ok(()),
        }
    }
}
