//! Receipts: one bundle for one record, in the format of `docs/RECEIPT-FORMAT.md`.

use api_store::Tx;
use api_verify::merkle::{Hash, leaf_hash};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::append::open_personal;
use crate::log::MAP_KIND;
use crate::map::Map;
use crate::record::Fields;
use crate::repo::anchors;
use crate::repo::records::{self, Row};
use crate::repo::trees::{self, StoredCheckpoint};
use crate::{AuditError, AuditLog, RecordId};

const FORMAT: &str = "roadstead.receipt/v1";

/// Which fields of a record a receipt shows; the others stay sealed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Disclosure {
    /// All that were not erased.
    #[default]
    All,
    /// Those that are no personal data.
    Open,
    /// These.
    Only(Vec<String>),
}

impl Disclosure {
    fn shows(&self, name: &str, personal: bool) -> bool {
        match self {
            Self::All => true,
            Self::Open => !personal,
            Self::Only(names) => names.iter().any(|shown| shown == name),
        }
    }
}

/// A receipt; serialise it as JSON.
#[derive(Debug, Serialize)]
pub struct Receipt {
    format: &'static str,
    record: Opened,
    proof: String,
    anchors: Vec<AnchorProof>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completeness: Option<Completeness>,
}

#[derive(Debug, Serialize)]
struct Opened {
    leaf: String,
    fields: Vec<Field>,
}

#[derive(Debug, Serialize)]
struct Field {
    name: String,
    value: String,
    salt: String,
}

#[derive(Debug, Serialize)]
struct AnchorProof {
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    consistency: Vec<String>,
    evidence: Box<RawValue>,
}

#[derive(Debug, Serialize)]
struct Completeness {
    stream: String,
    events: Vec<String>,
    path: Vec<String>,
    map: Opened,
    map_proof: Vec<String>,
}

/// How far a record has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordStatus {
    /// `queued`, `logged`, `checkpointed`, `anchored` or `final`.
    pub state: &'static str,
    /// Its index, once it has one.
    pub index: Option<u64>,
    /// The size of the first checkpoint that covers it.
    pub checkpoint: Option<u64>,
    /// The chains on which it is anchored, CAIP-2 ids.
    pub anchored_on: Vec<String>,
    /// Those of them that are final.
    pub final_on: Vec<String>,
}

fn base64(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| STANDARD.encode(hash)).collect()
}

impl AuditLog {
    /// The receipt of a record: in the first checkpoint that covers it, with the evidence of each
    /// chain on which that checkpoint or a later one is anchored, and with the proof that its
    /// stream's events are complete.
    ///
    /// # Errors
    /// [`AuditError::NoSuchRecord`], [`AuditError::NotYet`], [`AuditError::Store`].
    pub async fn receipt(
        &self,
        tx: &mut Tx,
        id: RecordId,
        disclosure: &Disclosure,
    ) -> Result<Receipt, AuditError> {
        let row = records::by_id(tx, self.id, id).await?;
        let index = row.index()?.ok_or(AuditError::NotYet(id))?;
        let checkpoint = trees::checkpoint_from(tx, self.id, index + 1).await?;
        let checkpoint = checkpoint.ok_or(AuditError::NotYet(id))?;
        Ok(Receipt {
            format: FORMAT,
            record: open(tx, &row, disclosure).await?,
            proof: self.proof_text(tx, index, &checkpoint).await?,
            anchors: self.anchor_proofs(tx, &checkpoint).await?,
            completeness: self.completeness(tx, &row, &checkpoint).await?,
        })
    }

    /// The C2SP `.tlog-proof` of a record, in the first checkpoint that covers it.
    ///
    /// # Errors
    /// As for [`AuditLog::receipt`].
    pub async fn tlog_proof(&self, tx: &mut Tx, id: RecordId) -> Result<String, AuditError> {
        let row = records::by_id(tx, self.id, id).await?;
        let index = row.index()?.ok_or(AuditError::NotYet(id))?;
        let checkpoint = trees::checkpoint_from(tx, self.id, index + 1).await?;
        self.proof_text(tx, index, &checkpoint.ok_or(AuditError::NotYet(id))?).await
    }

    async fn proof_text(
        &self,
        tx: &mut Tx,
        index: u64,
        checkpoint: &StoredCheckpoint,
    ) -> Result<String, AuditError> {
        let proof = self.inclusion_proof(tx, index, checkpoint.size).await?;
        let mut lines = vec!["c2sp.org/tlog-proof@v1".to_owned(), format!("index {index}")];
        lines.extend(base64(&proof));
        Ok(format!("{}\n\n{}", lines.join("\n"), checkpoint.note))
    }

    /// For each chain the smallest anchored checkpoint from this one on.
    async fn anchor_proofs(
        &self,
        tx: &mut Tx,
        checkpoint: &StoredCheckpoint,
    ) -> Result<Vec<AnchorProof>, AuditError> {
        let mut proofs = Vec::new();
        let mut chains: Vec<String> = Vec::new();
        for anchor in anchors::from_size(tx, self.id, checkpoint.size).await? {
            let evidence = anchor.evidence.filter(|_| anchor.state.is_anchored());
            let Some(evidence) = evidence.filter(|_| !chains.contains(&anchor.chain)) else {
                continue;
            };
            let evidence = RawValue::from_string(evidence)
                .map_err(|error| AuditError::damaged(format!("evidence: {error}")))?;
            proofs.push(self.anchor_proof(tx, checkpoint, anchor.size, evidence).await?);
            chains.push(anchor.chain);
        }
        Ok(proofs)
    }

    async fn anchor_proof(
        &self,
        tx: &mut Tx,
        proved: &StoredCheckpoint,
        size: u64,
        evidence: Box<RawValue>,
    ) -> Result<AnchorProof, AuditError> {
        if size == proved.size {
            return Ok(AnchorProof { checkpoint: None, consistency: Vec::new(), evidence });
        }
        let later = trees::checkpoint_from(tx, self.id, size).await?;
        let later = later.filter(|later| later.size == size);
        let later = later.ok_or_else(|| AuditError::damaged("an anchored checkpoint is gone"))?;
        let proof = self.consistency_proof(tx, proved.size, size).await?;
        Ok(AnchorProof { checkpoint: Some(later.note), consistency: base64(&proof), evidence })
    }

    /// The proof that the events of the record's stream are complete at this checkpoint.
    async fn completeness(
        &self,
        tx: &mut Tx,
        row: &Row,
        checkpoint: &StoredCheckpoint,
    ) -> Result<Option<Completeness>, AuditError> {
        let Some(stream) = &row.stream else { return Ok(None) };
        let last = checkpoint.size - 1;
        let map_row = records::by_index(tx, self.id, last).await?;
        if map_row.kind != MAP_KIND {
            return Ok(None);
        }
        let fields = Fields::from_bytes(&map_row.open_fields)?.values;
        let root = fields.get("root").and_then(|root| STANDARD.decode(root).ok());
        let root: Option<Hash> = root.and_then(|root| root.try_into().ok());
        let root = root.ok_or_else(|| AuditError::damaged("the record of the map"))?;
        let path = Map::default().path(tx, &root, stream).await?;
        let events = records::of_stream(tx, self.id, stream, checkpoint.size).await?;
        let events: Vec<Hash> = events.iter().map(|leaf| leaf_hash(leaf)).collect();
        let map_proof = self.inclusion_proof(tx, last, checkpoint.size).await?;
        Ok(Some(Completeness {
            stream: stream.clone(),
            events: base64(&events),
            path: base64(&path),
            map: open(tx, &map_row, &Disclosure::All).await?,
            map_proof: base64(&map_proof),
        }))
    }

    /// How far a record has come.
    ///
    /// # Errors
    /// [`AuditError::NoSuchRecord`], [`AuditError::Store`].
    pub async fn status(&self, tx: &mut Tx, id: RecordId) -> Result<RecordStatus, AuditError> {
        let index = records::by_id(tx, self.id, id).await?.index()?;
        let checkpoint = match index {
            Some(index) => trees::checkpoint_from(tx, self.id, index + 1).await?,
            None => None,
        };
        let checkpoint = checkpoint.map(|checkpoint| checkpoint.size);
        let anchors = match checkpoint {
            Some(size) => anchors::from_size(tx, self.id, size).await?,
            None => Vec::new(),
        };
        let mut status = RecordStatus {
            state: "queued",
            index,
            checkpoint,
            anchored_on: Vec::new(),
            final_on: Vec::new(),
        };
        for anchor in anchors.into_iter().filter(|anchor| anchor.state.is_anchored()) {
            if anchor.state == crate::AnchorState::Final {
                status.final_on.push(anchor.chain.clone());
            }
            status.anchored_on.push(anchor.chain);
        }
        for chains in [&mut status.anchored_on, &mut status.final_on] {
            chains.sort_unstable();
            chains.dedup();
        }
        status.state = match (&index, &checkpoint) {
            (None, _) => "queued",
            (_, None) => "logged",
            _ if status.anchored_on.is_empty() => "checkpointed",
            _ if status.final_on.len() < status.anchored_on.len() => "anchored",
            _ => "final",
        };
        Ok(status)
    }

    /// Whose record it is; `None` when there is no such record, or it is nobody's.
    ///
    /// # Errors
    /// [`AuditError::Store`].
    pub async fn tenant_of(&self, tx: &mut Tx, id: RecordId) -> Result<Option<String>, AuditError> {
        records::tenant_of(tx, self.id, id).await
    }

    /// The record with the caller's own id.
    ///
    /// # Errors
    /// [`AuditError::Store`].
    pub async fn find(
        &self,
        tx: &mut Tx,
        tenant: &str,
        external_id: &str,
    ) -> Result<Option<RecordId>, AuditError> {
        let row = records::by_external_id(tx, self.id, tenant, external_id).await?;
        row.map(|row| row.id()).transpose()
    }
}

async fn open(tx: &mut Tx, row: &Row, disclosure: &Disclosure) -> Result<Opened, AuditError> {
    let mut fields = Vec::new();
    let parts = [
        (false, Some(Fields::from_bytes(&row.open_fields)?)),
        (true, open_personal(tx, row).await?),
    ];
    for (personal, part) in parts {
        let Some(part) = part else { continue };
        for (name, value) in part.values.iter().filter(|(name, _)| disclosure.shows(name, personal))
        {
            let salt = hex::encode(part.salt(name));
            fields.push(Field { name: name.clone(), value: value.clone(), salt });
        }
    }
    fields.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Opened { leaf: STANDARD.encode(&row.leaf), fields })
}
