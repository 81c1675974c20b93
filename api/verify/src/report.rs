//! What was found out, in plain words and as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::anchor::{AnchorReport, Status};
use crate::policy::Policy;
use crate::words::Language;

/// Everything that the receipt proves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What was recorded.
    pub record: RecordReport,
    /// Where it is in which log.
    pub log: LogReport,
    /// The trusted keys that signed the checkpoint, as C2SP verifier keys.
    pub signed_by: Vec<String>,
    /// The known witnesses that cosigned it.
    pub witnessed_by: Vec<Cosignature>,
    /// In the order of the receipt. None of them is false.
    pub anchors: Vec<AnchorReport>,
    /// Whether the events of the record's stream are proved to be complete.
    pub completeness: Option<CompletenessReport>,
}

/// The record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordReport {
    /// The fields that were shown and fit.
    pub fields: BTreeMap<String, String>,
    /// The names of the fields that stay sealed.
    pub sealed: Vec<String>,
}

/// The log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogReport {
    /// Its name.
    pub origin: String,
    /// The record's index.
    pub index: u64,
    /// The number of leaves.
    pub size: u64,
    /// The root, hex.
    pub root: String,
    /// SHA-256 of the checkpoint's text, hex: what anchors hold.
    pub checkpoint: String,
    /// Names on the signature lines, whether checked or not.
    pub claimed_signers: Vec<String>,
}

/// A witness and when it saw the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cosignature {
    /// The witness's name in the policy.
    pub name: String,
    /// Seconds since 1970.
    pub time: u64,
}

/// The stream of which the record is one event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CompletenessReport {
    /// Its name.
    pub stream: String,
    /// How many events it has in all at this checkpoint.
    pub events: u64,
    /// Which of them the record is, from one.
    pub place: u64,
}

/// What a policy asks for and a receipt does not prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shortfall {
    /// No key of a log was given, or none that signed.
    Signer,
    /// The quorum of witnesses is not reached.
    Quorum,
    /// Too few chains are proved.
    Anchors {
        /// So many are.
        proved: usize,
        /// So many should be.
        wanted: usize,
    },
    /// A node that was to be asked did not answer.
    Node {
        /// CAIP-2 id.
        chain: String,
        /// What happened.
        failure: String,
    },
}

impl Report {
    /// What the policy asks for and the receipt does not prove; empty when it is accepted.
    #[must_use]
    pub fn shortfalls(&self, policy: &Policy) -> Vec<Shortfall> {
        let mut missing = Vec::new();
        if self.signed_by.is_empty() {
            missing.push(Shortfall::Signer);
        }
        let cosigners: Vec<String> =
            self.witnessed_by.iter().map(|witness| witness.name.clone()).collect();
        if !policy.quorum_met(&cosigners) {
            missing.push(Shortfall::Quorum);
        }
        let (proved, wanted) = (self.proved_chains(policy), policy.anchors_min);
        if proved < wanted {
            missing.push(Shortfall::Anchors { proved, wanted });
        }
        missing
    }

    fn proved_chains(&self, policy: &Policy) -> usize {
        let counts = |anchor: &&AnchorReport| {
            anchor.status == Status::Proved
                && (policy.anchors.is_empty()
                    || policy.anchors.iter().any(|rule| rule.chain == anchor.chain))
        };
        let mut chains: Vec<&str> =
            self.anchors.iter().filter(counts).map(|anchor| anchor.chain.as_str()).collect();
        chains.sort_unstable();
        chains.dedup();
        chains.len()
    }

    /// The earliest time, in seconds since 1970, by which the record is proved to have existed: that
    /// of a witness or of a proved anchor.
    #[must_use]
    pub fn since(&self) -> Option<u64> {
        let anchors = self.anchors.iter().filter(|anchor| anchor.status == Status::Proved);
        let witnesses = self.witnessed_by.iter().map(|witness| witness.time);
        anchors.filter_map(|anchor| anchor.time).chain(witnesses).min()
    }

    /// The report in plain English, one finding a line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        Language::English.report(self)
    }
}
