//! The signer's own rule book: default deny, read from the operator's file and from nowhere else.

mod permit;
mod rules;

use std::collections::BTreeSet;

use chain_core::{
    Address, Amount, AmountError, ChainFamily, ChainId, IdError, Intent, KeyPath, KeyedAddress,
    Purpose, TxSummary, UncheckedAddress,
};
use serde::Deserialize;

use rules::Rule;

/// The one version of the policy's format.
const VERSION: u32 = 1;

/// What the operator allows. Whatever no rule names is refused.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    version: u32,
    chains: Vec<ChainId>,
    #[serde(default)]
    log_origins: Vec<String>,
    #[serde(default = "first_log_key")]
    log_keys: Vec<u8>,
    #[serde(default, rename = "rule")]
    rules: Vec<Rule>,
}

fn first_log_key() -> Vec<u8> {
    vec![0]
}

/// What stands at the end of an origin for every log directly below it.
const EVERY_LOG_BELOW: &str = "/*";
/// Generations of the log's key.
pub const LOG_KEYS_MAX: u8 = 16;

/// What the policy needs to know of the past.
pub trait History {
    /// The key of an address that this signer issued.
    fn own_key(&self, address: &Address) -> Option<KeyPath>;

    /// What other intents of this purpose and subject (an asset's or chain's id) were signed for in
    /// the last 24 hours.
    ///
    /// # Errors
    /// [`AmountError`] when the sum leaves 128 bits.
    fn charged(&self, purpose: Purpose, subject: &str) -> Result<Charge, AmountError>;

    /// True when this signer signed the checkpoint whose text has this SHA-256, at this size, for the
    /// origin with this SHA-256.
    fn signed_checkpoint(&self, commitment: &chain_core::AnchorCommitment) -> bool;
}

/// What counts against a daily limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charge {
    /// Paid, in the rule's asset.
    pub amount: Amount,
    /// The most that the fees can be, in the native coin.
    pub fee: Amount,
}

/// A transaction as the signer itself read it; intent and bytes were already found to agree.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What is meant.
    pub intent: &'a Intent,
    /// What the bytes do.
    pub summary: &'a TxSummary,
    /// Who signs; each address was derived again.
    pub signers: &'a [KeyedAddress],
    /// Where change goes; each address was derived again.
    pub change: &'a [KeyedAddress],
}

/// One entry against a daily limit, to be journaled with the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charged {
    /// The asset's or chain's id.
    pub subject: String,
    /// How much.
    pub charge: Charge,
}

/// Why the policy says no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No rule allows it; waiting does not help.
    #[error("{0}")]
    Rule(String),
    /// A daily limit is reached.
    #[error("{0}")]
    Limit(String),
    /// A sum leaves 128 bits.
    #[error(transparent)]
    Amount(#[from] AmountError),
}

/// Why the policy file was refused; the signer then signs nothing.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Another format.
    #[error("this signer reads policies of version {VERSION}, not {0}")]
    Version(u32),
    /// A rule makes no sense.
    #[error("rule {number}: {reason}")]
    Rule {
        /// Counted from 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// Solana's messages do not name their cluster, and its keys are the same on each: what one
    /// cluster's rules allow could be sent to another.
    #[error("a policy names at most one Solana cluster: run a signer for each, with its own seed")]
    Clusters,
    /// The generations of the log's key make no sense.
    #[error(
        "log_keys is 1 to 3 numbers below {LOG_KEYS_MAX}, ascending: the old key, then the new"
    )]
    LogKeys,
    /// An origin cannot name a log.
    #[error(transparent)]
    Origin(#[from] crate::note::NoteError),
}

impl Policy {
    /// Checks what the types cannot: every address by `check` (its family's), each rule's chain, and
    /// that no two rules speak of the same thing.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn validate(
        &self,
        check: impl Fn(&ChainId, &UncheckedAddress) -> Result<Address, IdError>,
    ) -> Result<(), PolicyError> {
        if self.version != VERSION {
            return Err(PolicyError::Version(self.version));
        }
        for origin in &self.log_origins {
            let name = origin.strip_suffix(EVERY_LOG_BELOW).unwrap_or(origin);
            crate::note::checkpoint_text(name, 0, &[0; 32])?;
        }
        let keys = &self.log_keys;
        let ascending = keys.is_sorted_by(|one, next| one < next);
        if !(1..=3).contains(&keys.len())
            || !ascending
            || keys.iter().any(|key| *key >= LOG_KEYS_MAX)
        {
            return Err(PolicyError::LogKeys);
        }
        let clusters =
            self.chains.iter().filter(|chain| chain.family() == ChainFamily::Solana).count();
        if clusters > 1 {
            return Err(PolicyError::Clusters);
        }
        let mut seen = BTreeSet::new();
        for (index, rule) in self.rules.iter().enumerate() {
            let wrong =
                |reason: String| PolicyError::Rule { number: index.saturating_add(1), reason };
            if !self.chains.contains(rule.chain()) {
                return Err(wrong(format!("{} is not among the chains", rule.chain())));
            }
            if !seen.insert((rule.purpose(), rule.subject())) {
                return Err(wrong("another rule has the same purpose and subject".to_owned()));
            }
            rule.validate(&check).map_err(wrong)?;
        }
        Ok(())
    }

    /// The networks that it names.
    #[must_use]
    pub fn chains(&self) -> &[ChainId] {
        &self.chains
    }

    /// The logs whose checkpoints may be signed; `<origin>/*` stands for every log directly below.
    #[must_use]
    pub fn log_origins(&self) -> &[String] {
        &self.log_origins
    }

    /// The logs that are named in full.
    pub fn named_logs(&self) -> impl Iterator<Item = &String> {
        self.log_origins.iter().filter(|origin| !origin.ends_with(EVERY_LOG_BELOW))
    }

    /// Whether checkpoints of this log may be signed.
    #[must_use]
    pub fn allows_log(&self, origin: &str) -> bool {
        let allows = |allowed: &String| match allowed.strip_suffix(EVERY_LOG_BELOW) {
            None => allowed == origin,
            Some(above) => origin
                .strip_prefix(above)
                .and_then(|rest| rest.strip_prefix('/'))
                .is_some_and(|name| !name.is_empty() && name != "*" && !name.contains('/')),
        };
        self.log_origins.iter().any(allows)
    }

    /// The generations of the log's key that sign, the oldest first: two while a key is replaced.
    #[must_use]
    pub fn log_keys(&self) -> &[u8] {
        &self.log_keys
    }

    /// How many rules it has.
    #[must_use]
    pub const fn rule_count(&self) -> usize {
        self.rules.len()
    }
}
