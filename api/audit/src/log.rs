//! The log: appending, sequencing, checkpoints, proofs and tiles.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use api_store::{Db, Tx};
use api_verify::merkle::Hash;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::append::{encode, ensure_subjects};
use crate::ids::Ids;
use crate::leaves::Leaf;
use crate::map::{EMPTY, Map, link};
use crate::repo::streams::{self, Head};
use crate::repo::trees::{self, LogState, StoredCheckpoint};
use crate::repo::{batches, records, subjects};
use crate::tree::{self, Growth, Range, TILE_WIDTH, TileId};
use crate::{AuditError, Record, RecordId};

/// How many records one transaction gives their indices.
const BATCH: u32 = 10_000;
/// The kind of the record that holds the map of streams.
pub(crate) const MAP_KIND: &str = "log.map";
const ERASED_KIND: &str = "subject.erased";
/// The tenant of the log's own external ids; no tenant's id looks like this.
const OWN_TENANT: &str = "(log)";

/// One Merkle log. Cheap to clone; the state is in the database.
#[derive(Clone, Debug)]
pub struct AuditLog {
    pub(crate) id: i64,
    pub(crate) origin: String,
}

/// The log at one size: what a checkpoint signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeHead {
    /// The log's name.
    pub origin: String,
    /// The number of leaves.
    pub size: u64,
    /// The RFC 6962 root.
    pub root: Hash,
}

impl TreeHead {
    /// The text of the checkpoint (C2SP `tlog-checkpoint`), which the log's key signs.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }
}

/// What an anchor writes to its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commitment {
    /// SHA-256 of the origin line.
    pub origin: [u8; 32],
    /// The number of leaves.
    pub size: u64,
    /// SHA-256 of the checkpoint's text.
    pub checkpoint: [u8; 32],
}

impl Commitment {
    pub(crate) fn new(origin: &str, head: &TreeHead) -> Self {
        Self {
            origin: Sha256::digest(origin).into(),
            size: head.size,
            checkpoint: Sha256::digest(head.text()).into(),
        }
    }
}

impl AuditLog {
    /// Opens the log of this name, made when it is new.
    ///
    /// # Errors
    /// [`AuditError::Store`].
    pub async fn open(db: &Db, origin: &str) -> Result<Self, AuditError> {
        let mut tx = db.begin().await?;
        let id = trees::open_log(&mut tx, origin).await?;
        tx.commit().await?;
        Ok(Self { id, origin: origin.to_owned() })
    }

    /// Its name: the origin line of its checkpoints.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub(crate) fn head_at(&self, size: u64, root: Hash) -> TreeHead {
        TreeHead { origin: self.origin.clone(), size, root }
    }

    /// Gives indices to records that have none, without gaps and each exactly once, however many
    /// servers call it: to as many as were written in whole calls with `limit` records together, and
    /// at least one call. Answers how many.
    ///
    /// # Errors
    /// [`AuditError::Store`]; nothing has changed then.
    pub async fn sequence(&self, db: &Db, limit: u32) -> Result<u64, AuditError> {
        let mut tx = db.begin().await?;
        let mut state = trees::lock_log(&mut tx, self.id).await?;
        let numbered = self.number_in(&mut tx, &mut state, limit).await?;
        if numbered > 0 {
            trees::save_log(&mut tx, self.id, &state).await?;
            tx.commit().await?;
        }
        Ok(numbered)
    }

    async fn number_in(
        &self,
        tx: &mut Tx,
        state: &mut LogState,
        limit: u32,
    ) -> Result<u64, AuditError> {
        let numbered = batches::number(tx, self.id, state.size, limit).await?;
        if numbered.is_empty() {
            return Ok(0);
        }
        let leaves = records::leaves(tx, self.id, &numbered).await?;
        let mut growth = self.growth(tx, state.size).await?;
        let mut heads = self.stream_heads(tx, &leaves).await?;
        for Leaf { hash, stream } in &leaves {
            growth.push(*hash);
            if let Some(head) = stream.as_ref().and_then(|stream| heads.get_mut(stream)) {
                head.events += 1;
                head.head = link(&head.head, hash);
            }
        }
        streams::save_streams(tx, self.id, heads.values()).await?;
        trees::save_tiles(tx, self.id, growth.changed()).await?;
        state.size = growth.size();
        Ok(leaves.len() as u64)
    }

    /// The heads of the streams that these leaves belong to.
    async fn stream_heads(
        &self,
        tx: &mut Tx,
        leaves: &[Leaf],
    ) -> Result<BTreeMap<String, Head>, AuditError> {
        let names: BTreeSet<&str> =
            leaves.iter().filter_map(|leaf| leaf.stream.as_deref()).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let new = |name: &str| Head { stream: name.to_owned(), events: 0, head: EMPTY };
        let mut heads: BTreeMap<String, Head> =
            names.iter().map(|name| ((*name).to_owned(), new(name))).collect();
        for head in streams::streams(tx, self.id, &names).await? {
            heads.insert(head.stream.clone(), head);
        }
        Ok(heads)
    }

    async fn growth(&self, tx: &mut Tx, size: u64) -> Result<Growth, AuditError> {
        let needed = Growth::needed(size);
        let tiles = trees::tiles(tx, self.id, &needed).await?;
        for (level, tile) in needed {
            let width = size >> (8 * level) & (TILE_WIDTH - 1);
            if tiles.get(&(level, tile)).map(|hashes| hashes.len() as u64) != Some(width) {
                return Err(AuditError::damaged(format!("tile {tile} of level {level}")));
            }
        }
        Growth::new(size, tiles)
    }

    /// Gives every waiting record its index, writes the map of streams as the last leaf, and answers
    /// the head to be signed; `None` while the log is empty. Called again before the signed
    /// checkpoint is stored, or when nothing new was recorded, it answers the same head.
    ///
    /// # Errors
    /// [`AuditError::Store`]; nothing has changed then.
    pub async fn seal(&self, db: &Db, at_ms: i64) -> Result<Option<TreeHead>, AuditError> {
        let mut tx = db.begin().await?;
        let mut state = trees::lock_log(&mut tx, self.id).await?;
        while self.number_in(&mut tx, &mut state, BATCH).await? > 0 {}
        if state.size > state.sealed_size {
            self.write_map(&mut tx, &mut state, at_ms).await?;
        }
        trees::save_log(&mut tx, self.id, &state).await?;
        let head = self.head_in(&mut tx, state.size).await?;
        tx.commit().await?;
        Ok(Some(head).filter(|head| head.size > 0))
    }

    async fn write_map(
        &self,
        tx: &mut Tx,
        state: &mut LogState,
        at_ms: i64,
    ) -> Result<(), AuditError> {
        let mut map = Map::default();
        for head in streams::changed_streams(tx, self.id).await? {
            state.map_root = map.insert(tx, &state.map_root, &head).await?;
        }
        map.save(tx).await?;
        streams::mark_streams_mapped(tx, self.id).await?;
        let record = Record::new(MAP_KIND, at_ms).field("root", STANDARD.encode(state.map_root));
        let row = encode(Ids::now().make(), &record, &HashMap::new())?;
        let mut growth = self.growth(tx, state.size).await?;
        growth.push(row.leaf_hash);
        records::insert(tx, self.id, vec![row], Some(state.size)).await?;
        trees::save_tiles(tx, self.id, growth.changed()).await?;
        state.size = growth.size();
        state.sealed_size = state.size;
        Ok(())
    }

    async fn head_in(&self, tx: &mut Tx, size: u64) -> Result<TreeHead, AuditError> {
        let root = self.hashes(tx, &[(0, size)]).await?;
        Ok(self.head_at(size, root.first().copied().unwrap_or_default()))
    }

    /// Stores a signed checkpoint after comparing it with the log itself. Storing it again changes
    /// nothing.
    ///
    /// # Errors
    /// [`AuditError::Checkpoint`] when the note is not one of this log, whatever its signatures.
    pub async fn store_checkpoint_in(
        &self,
        tx: &mut Tx,
        note: &str,
        at_ms: i64,
    ) -> Result<TreeHead, AuditError> {
        let wrong = |what: &str| AuditError::Checkpoint(what.to_owned());
        let (text, signatures) = note.split_once("\n\n").ok_or(wrong("it has no signatures"))?;
        let size = text.split('\n').nth(1).and_then(|size| size.parse().ok());
        let size: u64 = size.ok_or(wrong("it has no size"))?;
        let state = trees::lock_log(tx, self.id).await?;
        if size == 0 || size > state.size {
            return Err(AuditError::OutOfRange { wanted: size, size: state.size });
        }
        let head = self.head_in(tx, size).await?;
        if format!("{text}\n") != head.text() {
            return Err(wrong("its text is not that of this log at that size"));
        }
        if !signatures.starts_with("— ") || !signatures.ends_with('\n') {
            return Err(wrong("its signatures are not lines of a signed note"));
        }
        let checkpoint = StoredCheckpoint { size, root: head.root, note: note.to_owned() };
        trees::insert_checkpoint(tx, self.id, &checkpoint, at_ms).await?;
        Ok(head)
    }

    /// Adds a witness's answer, C2SP signature lines over a checkpoint, to its note. Lines that are
    /// there already are not added again. Whether they are by a known witness is for the caller to
    /// check, and for every reader again.
    ///
    /// # Errors
    /// [`AuditError::Checkpoint`] when they are no signature lines, [`AuditError::OutOfRange`] when
    /// there is no such checkpoint.
    pub async fn add_cosignatures_in(
        &self,
        tx: &mut Tx,
        size: u64,
        lines: &str,
    ) -> Result<(), AuditError> {
        let state = trees::lock_log(tx, self.id).await?;
        let found = trees::checkpoint_from(tx, self.id, size).await?;
        let found = found.filter(|checkpoint| checkpoint.size == size);
        let checkpoint = found.ok_or(AuditError::OutOfRange { wanted: size, size: state.size })?;
        for line in lines.split_inclusive('\n') {
            let parts = line.strip_prefix("— ").and_then(|rest| rest.strip_suffix('\n'));
            let parts = parts.and_then(|rest| rest.split_once(' '));
            if parts.is_none_or(|(name, key)| name.is_empty() || STANDARD.decode(key).is_err()) {
                return Err(AuditError::Checkpoint("it is no signature line".to_owned()));
            }
            if !checkpoint.note.contains(line) {
                trees::append_note(tx, self.id, size, line).await?;
            }
        }
        Ok(())
    }

    /// The newest signed checkpoint.
    ///
    /// # Errors
    /// [`AuditError::Store`].
    pub async fn latest_checkpoint(
        &self,
        tx: &mut Tx,
    ) -> Result<Option<StoredCheckpoint>, AuditError> {
        trees::latest_checkpoint(tx, self.id).await
    }

    /// The smallest signed checkpoint of at least `size` leaves.
    ///
    /// # Errors
    /// [`AuditError::Store`].
    pub async fn checkpoint_from(
        &self,
        tx: &mut Tx,
        size: u64,
    ) -> Result<Option<StoredCheckpoint>, AuditError> {
        trees::checkpoint_from(tx, self.id, size).await
    }

    /// The inclusion proof of a leaf in the tree of `size` leaves (RFC 6962 section 2.1.1). Reads at
    /// most two tiles for each eight levels of the tree.
    ///
    /// # Errors
    /// [`AuditError::OutOfRange`]; [`AuditError::Store`].
    pub async fn inclusion_proof(
        &self,
        tx: &mut Tx,
        index: u64,
        size: u64,
    ) -> Result<Vec<Hash>, AuditError> {
        if index >= size {
            return Err(AuditError::OutOfRange { wanted: index, size });
        }
        self.proof(tx, &tree::inclusion_ranges(index, size), size).await
    }

    /// The consistency proof between two sizes (RFC 6962 section 2.1.2), `0 < from <= to`.
    ///
    /// # Errors
    /// [`AuditError::OutOfRange`]; [`AuditError::Store`].
    pub async fn consistency_proof(
        &self,
        tx: &mut Tx,
        from: u64,
        to: u64,
    ) -> Result<Vec<Hash>, AuditError> {
        if from == 0 || from > to {
            return Err(AuditError::OutOfRange { wanted: from, size: to });
        }
        self.proof(tx, &tree::consistency_ranges(from, to), to).await
    }

    /// The hashes of a proof in the tree of `wanted` leaves. What the log does not have cannot be in
    /// its tiles: its size is only read to say why.
    async fn proof(
        &self,
        tx: &mut Tx,
        ranges: &[Range],
        wanted: u64,
    ) -> Result<Vec<Hash>, AuditError> {
        let found = self.hashes(tx, ranges).await;
        if found.is_err() || ranges.is_empty() {
            let size = trees::log_state(tx, self.id).await?.size;
            if wanted > size {
                return Err(AuditError::OutOfRange { wanted, size });
            }
        }
        found
    }

    /// How many tiles the inclusion proof of a leaf reads.
    #[must_use]
    pub fn tiles_read(index: u64, size: u64) -> usize {
        tree::tiles_of(&tree::inclusion_ranges(index, size)).len()
    }

    async fn hashes(&self, tx: &mut Tx, ranges: &[Range]) -> Result<Vec<Hash>, AuditError> {
        let wanted: BTreeSet<TileId> = tree::tiles_of(ranges);
        let tiles = trees::tiles(tx, self.id, &wanted).await?;
        tree::hashes(ranges, |id| tiles.get(&id).map(Vec::as_slice))
    }

    /// Holds a subject's data against erasure, or (with `None`) no longer does.
    ///
    /// # Errors
    /// [`AuditError::Store`].
    pub async fn set_legal_hold_in(
        &self,
        tx: &mut Tx,
        subject: &str,
        reason: Option<&str>,
    ) -> Result<(), AuditError> {
        ensure_subjects(tx, &BTreeSet::from([subject])).await?;
        subjects::set_legal_hold(tx, subject, reason).await?;
        Ok(())
    }

    /// Erases a subject's personal data: its key and all its sealed fields. Every proof stays valid,
    /// and the erasure is a record itself, whose id is answered; erasing again changes nothing more.
    ///
    /// # Errors
    /// [`AuditError::LegalHold`]; [`AuditError::Store`].
    pub async fn erase_in(
        &self,
        tx: &mut Tx,
        subject: &str,
        at_ms: i64,
    ) -> Result<RecordId, AuditError> {
        ensure_subjects(tx, &BTreeSet::from([subject])).await?;
        let held = subjects::lock(tx, subject).await?.unwrap_or_default();
        if let Some(reason) = held.legal_hold {
            return Err(AuditError::LegalHold { subject: subject.to_owned(), reason });
        }
        let external_id = format!("erased:{subject}");
        if held.erased_at.is_some() {
            let row = records::by_external_id(tx, self.id, OWN_TENANT, &external_id).await?;
            return row.ok_or_else(|| AuditError::damaged("an erasure is not in the log"))?.id();
        }
        let erased = subjects::erase(tx, subject, at_ms).await?;
        let record = Record::new(ERASED_KIND, at_ms)
            .field("subject", subject)
            .field("records", erased.to_string())
            .external_id(OWN_TENANT, external_id);
        self.append_in(tx, &record).await
    }
}
