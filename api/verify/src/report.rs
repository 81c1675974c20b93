//! What was found out, in plain words and as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::anchor::{AnchorReport, Status};
use crate::policy::Policy;
use crate::text::utc;

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

impl Report {
    /// What the policy asks for and the receipt does not prove; empty when it is accepted.
    #[must_use]
    pub fn shortfalls(&self, policy: &Policy) -> Vec<String> {
        let mut missing = Vec::new();
        if self.signed_by.is_empty() {
            missing.push("who keeps the log: no log key was given (--key or --policy)".to_owned());
        }
        let cosigners: Vec<String> =
            self.witnessed_by.iter().map(|witness| witness.name.clone()).collect();
        if !policy.quorum_met(&cosigners) {
            missing.push("enough witnesses: the policy's quorum is not reached".to_owned());
        }
        let proved = self.proved_chains(policy);
        if proved < policy.anchors_min {
            missing.push(format!(
                "enough anchors: {proved} of the {} that the policy asks for are proved",
                policy.anchors_min,
            ));
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

    /// The report in plain words, one finding a line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = self.record_lines();
        let LogReport { origin, index, size, .. } = &self.log;
        lines.push(format!(
            "proved: this record is entry {index} of the log {origin}, as it stood at {size} entries"
        ));
        lines.extend(self.signer_lines());
        if let Some(CompletenessReport { stream, events, place }) = &self.completeness {
            lines.push(format!(
                "proved: {stream} has {events} events at that checkpoint and no others; this is \
                 number {place}"
            ));
        }
        lines.extend(self.anchors.iter().map(anchor_line));
        if self.anchors.is_empty() {
            lines.push("no anchor: the log was not written to any chain".to_owned());
        }
        lines.push(match self.since() {
            Some(time) => format!("since: the record existed no later than {}", utc(time)),
            None => "since: no time is proved offline; give headers or a node".to_owned(),
        });
        lines
    }

    fn record_lines(&self) -> Vec<String> {
        let mut lines = vec!["record:".to_owned()];
        let fields = &self.record.fields;
        lines.extend(fields.iter().map(|(name, value)| format!("  {name} = {}", shown(value))));
        if !self.record.sealed.is_empty() {
            lines.push(format!("  sealed: {}", self.record.sealed.join(", ")));
        }
        lines
    }

    fn signer_lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .signed_by
            .iter()
            .map(|key| format!("proved: the checkpoint is signed by {key}, which you trust"))
            .collect();
        if lines.is_empty() {
            lines.push(format!(
                "not proved: by whom; the checkpoint claims to be signed by {}",
                self.log.claimed_signers.join(", "),
            ));
        }
        lines.extend(self.witnessed_by.iter().map(|Cosignature { name, time }| {
            format!("proved: the witness {name} saw this checkpoint at {}", utc(*time))
        }));
        lines
    }
}

/// A value without control characters, which could otherwise forge a line of the report.
fn shown(value: &str) -> String {
    value
        .chars()
        .flat_map(|c| {
            c.is_control().then(|| c.escape_default()).map_or_else(|| vec![c], Iterator::collect)
        })
        .collect()
}

fn anchor_line(anchor: &AnchorReport) -> String {
    let AnchorReport { chain, size, .. } = anchor;
    let at = |what: &Option<String>| what.clone().unwrap_or_default();
    let time = anchor.time.map(|time| format!(" of {}", utc(time))).unwrap_or_default();
    let height = match (anchor.height, anchor.claimed_height) {
        (Some(height), _) => format!(" (height {height})"),
        (None, Some(claimed)) => format!(" (height {claimed}, as the operator says)"),
        (None, None) => String::new(),
    };
    let work = anchor.work.map(|(headers, bits)| {
        format!("; {headers} header(s) with work of at least 2^{bits} hashes each")
    });
    let work = work.unwrap_or_default();
    match anchor.status {
        Status::Proved => format!(
            "anchor {chain}: proved: {size} entries, block {}{height}{time}, trusted by {}{work}",
            at(&anchor.block),
            at(&anchor.trusted_by),
        ),
        Status::ProvedGivenHeader => format!(
            "anchor {chain}: proved given that header {}{height}{time} is on the chain: {size} \
             entries{work}",
            at(&anchor.block),
        ),
        Status::NeedsNode => format!(
            "anchor {chain}: needs a node: transaction {} is signed and holds {size} entries; that \
             it is on the chain has no offline proof",
            at(&anchor.transaction),
        ),
    }
}
