//! Checkpoints on their way to public chains. What is built, signed and sent is the server's
//! business; this is the record of how far each one has come.

use std::fmt;
use std::str::FromStr;

use api_store::Tx;
use serde::Serialize;

use crate::log::AuditLog;
use crate::repo::{anchors, trees};
use crate::{AuditError, Commitment};

/// How far an anchor has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AnchorState {
    /// To be built.
    Due,
    /// Built for an intent.
    Built,
    /// Signed, not known to be sent.
    Signed,
    /// Sent.
    Sent,
    /// In a block; evidence is there.
    Included,
    /// In a block that its chain will not give up.
    Final,
    /// Known to be impossible; a new one is needed.
    Failed,
}

impl AnchorState {
    const ALL: [Self; 7] = [
        Self::Due,
        Self::Built,
        Self::Signed,
        Self::Sent,
        Self::Included,
        Self::Final,
        Self::Failed,
    ];

    /// Its name in the database and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Built => "built",
            Self::Signed => "signed",
            Self::Sent => "sent",
            Self::Included => "included",
            Self::Final => "final",
            Self::Failed => "failed",
        }
    }

    /// Whether receipts may show its evidence.
    #[must_use]
    pub const fn is_anchored(self) -> bool {
        matches!(self, Self::Included | Self::Final)
    }
}

impl fmt::Display for AnchorState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for AnchorState {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|state| state.as_str() == name).ok_or(())
    }
}

/// One checkpoint on its way to one chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Anchor {
    /// The checkpoint's size.
    pub size: u64,
    /// CAIP-2 id.
    pub chain: String,
    /// How far it has come.
    pub state: AnchorState,
    /// The intent that carries it.
    pub intent_id: Option<String>,
    /// The transaction, once known.
    pub tx: Option<String>,
    /// What it cost, in minor units of the chain's native coin.
    pub fee: Option<String>,
    /// The evidence, as the JSON of `AnchorEvidence`.
    pub evidence: Option<String>,
    /// The hash of the block that the evidence is of, where the caller noted it.
    pub block: Option<String>,
    /// What went wrong last.
    pub problem: Option<String>,
    /// How many times it began anew: after a failure or a reorganisation.
    pub attempts: u64,
    /// When it became due, in milliseconds since 1970.
    pub created_at_ms: i64,
    /// When it changed last.
    pub updated_at_ms: i64,
}

/// What happened to an anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnchorUpdate {
    /// An intent carries it now.
    Built {
        /// Which.
        intent_id: String,
    },
    /// It is signed.
    Signed {
        /// The transaction.
        tx: String,
    },
    /// It was sent.
    Sent {
        /// The transaction, another one when it was replaced.
        tx: String,
    },
    /// It is in a block.
    Included {
        /// The transaction.
        tx: String,
        /// What it cost, in minor units.
        fee: Option<String>,
        /// The JSON of `AnchorEvidence`.
        evidence: String,
    },
    /// Its block is final. New evidence (with more headers) replaces the old.
    Final {
        /// The JSON of `AnchorEvidence`.
        evidence: Option<String>,
    },
    /// Its block is no longer on the chain: the same transaction is to be sent and watched again.
    ReorganisedOut,
    /// It cannot be carried out; it becomes due again with a new intent.
    Again {
        /// Why.
        problem: String,
    },
    /// It is given up.
    Failed {
        /// Why.
        problem: String,
    },
}

impl Anchor {
    fn apply(&mut self, update: AnchorUpdate) {
        match update {
            AnchorUpdate::Built { intent_id } => {
                self.state = AnchorState::Built;
                self.intent_id = Some(intent_id);
            }
            AnchorUpdate::Signed { tx } => {
                self.state = AnchorState::Signed;
                self.tx = Some(tx);
            }
            AnchorUpdate::Sent { tx } => {
                self.state = AnchorState::Sent;
                self.tx = Some(tx);
            }
            AnchorUpdate::Included { tx, fee, evidence } => {
                self.state = AnchorState::Included;
                self.tx = Some(tx);
                self.fee = fee;
                self.evidence = Some(evidence);
                self.block = None;
                self.problem = None;
            }
            AnchorUpdate::Final { evidence } => {
                self.state = AnchorState::Final;
                self.evidence = evidence.or_else(|| self.evidence.take());
            }
            AnchorUpdate::ReorganisedOut => {
                self.state = AnchorState::Sent;
                (self.evidence, self.block) = (None, None);
                self.attempts = self.attempts.saturating_add(1);
                self.problem = Some("its block was reorganised out".to_owned());
            }
            AnchorUpdate::Again { problem } => {
                self.state = AnchorState::Due;
                (self.intent_id, self.tx, self.evidence) = (None, None, None);
                self.block = None;
                self.attempts = self.attempts.saturating_add(1);
                self.problem = Some(problem);
            }
            AnchorUpdate::Failed { problem } => {
                self.state = AnchorState::Failed;
                self.problem = Some(problem);
            }
        }
    }
}

impl AuditLog {
    /// Makes the checkpoint of `size` leaves due on these chains (CAIP-2 ids); where it already is,
    /// nothing changes. Answers how many became due.
    ///
    /// # Errors
    /// [`AuditError::Store`], a foreign-key violation when there is no such checkpoint.
    pub async fn anchor_in(
        &self,
        tx: &mut Tx,
        size: u64,
        chains: &[String],
        at_ms: i64,
    ) -> Result<u64, AuditError> {
        let mut due = 0;
        for chain in chains {
            due += u64::from(anchors::insert_due(tx, self.id, size, chain, at_ms).await?);
        }
        Ok(due)
    }

    /// Anchors in a state, the smallest checkpoint first.
    ///
    /// # Errors
    /// [`AuditError::Store`].
    pub async fn anchors(
        &self,
        tx: &mut Tx,
        state: AnchorState,
    ) -> Result<Vec<Anchor>, AuditError> {
        anchors::in_state(tx, self.id, state).await
    }

    /// The first `limit` anchors of checkpoints of at least `size` leaves, the smallest checkpoint
    /// first.
    ///
    /// # Errors
    /// [`AuditError::Store`].
    pub async fn anchors_from(
        &self,
        tx: &mut Tx,
        size: u64,
        limit: u32,
    ) -> Result<Vec<Anchor>, AuditError> {
        anchors::page(tx, self.id, size, limit).await
    }

    /// One anchor.
    ///
    /// # Errors
    /// [`AuditError::NoSuchAnchor`]; [`AuditError::Store`].
    pub async fn anchor(&self, tx: &mut Tx, size: u64, chain: &str) -> Result<Anchor, AuditError> {
        let missing = || AuditError::NoSuchAnchor { size, chain: chain.to_owned() };
        anchors::find(tx, self.id, size, chain).await?.ok_or_else(missing)
    }

    /// Notes which block the evidence is of, so that it is not fetched again while that block stays.
    ///
    /// # Errors
    /// [`AuditError::Store`].
    pub async fn note_anchor_block_in(
        &self,
        tx: &mut Tx,
        size: u64,
        chain: &str,
        block: &str,
    ) -> Result<(), AuditError> {
        anchors::note_block(tx, self.id, size, chain, block).await
    }

    /// Records what happened to an anchor.
    ///
    /// # Errors
    /// [`AuditError::NoSuchAnchor`]; [`AuditError::Store`].
    pub async fn update_anchor_in(
        &self,
        tx: &mut Tx,
        size: u64,
        chain: &str,
        update: AnchorUpdate,
        at_ms: i64,
    ) -> Result<Anchor, AuditError> {
        let found = anchors::one(tx, self.id, size, chain).await?;
        let missing = || AuditError::NoSuchAnchor { size, chain: chain.to_owned() };
        let mut anchor = found.ok_or_else(missing)?;
        anchor.apply(update);
        anchor.updated_at_ms = at_ms;
        anchors::save(tx, self.id, &anchor).await?;
        Ok(anchor)
    }

    /// What an anchor of the checkpoint of `size` leaves writes to its chain.
    ///
    /// # Errors
    /// [`AuditError::OutOfRange`] when there is no such checkpoint.
    pub async fn commitment(&self, tx: &mut Tx, size: u64) -> Result<Commitment, AuditError> {
        let checkpoint = trees::checkpoint_from(tx, self.id, size).await?;
        let checkpoint = checkpoint.filter(|checkpoint| checkpoint.size == size);
        let newest = trees::log_state(tx, self.id).await?.size;
        let missing = AuditError::OutOfRange { wanted: size, size: newest };
        let checkpoint = checkpoint.ok_or(missing)?;
        Ok(Commitment::new(&self.origin, &self.head_at(size, checkpoint.root)))
    }
}
