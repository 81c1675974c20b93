//! Whom the reader trusts: the C2SP `tlog-policy` format, and three kinds of lines of our own.
//!
//! `era <log's key> <from> [<until>]` lets the key of a log, named above, count for checkpoints of at
//! least `from` leaves, and of fewer than `until`: a key that was replaced, perhaps because it was
//! stolen, signs nothing newer.
//!
//! `anchor <CAIP-2 id> [<contract>]` names a chain that counts, and on an EVM chain the contract
//! that must have recorded the checkpoint; `anchors <k>` asks for so many of them to be proved.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::checkpoint::Checkpoint;
use crate::note::{KeyKind, NoteError, VerifierKey};
use crate::text::decimal;

const NONE: &str = "none";

/// Why a policy file is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("policy, line {line}: {problem}")]
pub struct PolicyError {
    /// From one; zero for what is missing in the whole.
    pub line: usize,
    /// What is wrong there.
    pub problem: String,
}

/// A chain whose anchors count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnchorRule {
    /// CAIP-2 id.
    pub chain: String,
    /// The contract, on an EVM chain; any contract when absent.
    pub contract: Option<String>,
}

/// For which checkpoints a log's key counts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Era {
    key: [u8; 32],
    from: u64,
    until: Option<u64>,
}

/// Whom the reader trusts and how much is to be proved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Logs, any of which may have signed. Empty: who signed is not judged.
    pub logs: Vec<VerifierKey>,
    /// Witnesses by their names in the policy.
    pub witnesses: Vec<(String, VerifierKey)>,
    eras: Vec<Era>,
    groups: BTreeMap<String, (usize, Vec<String>)>,
    quorum: Option<String>,
    /// Chains whose anchors count. Empty: all do.
    pub anchors: Vec<AnchorRule>,
    /// How many of them must be proved.
    pub anchors_min: usize,
}

impl Policy {
    /// A policy that trusts these keys: logs any, witnesses all.
    #[must_use]
    pub fn from_keys(keys: Vec<VerifierKey>) -> Self {
        let mut policy = Self::default();
        policy.add_keys(keys);
        policy
    }

    /// Adds logs, and witnesses that are reported but not required.
    pub fn add_keys(&mut self, keys: Vec<VerifierKey>) {
        for key in keys {
            match key.kind {
                KeyKind::Log => self.logs.push(key),
                KeyKind::Witness => self.witnesses.push((key.name.clone(), key)),
            }
        }
    }

    /// Whether these witnesses are as many as the quorum asks.
    #[must_use]
    pub fn quorum_met(&self, cosigners: &[String]) -> bool {
        self.quorum.as_ref().is_none_or(|name| self.has_witnessed(name, cosigners))
    }

    /// The trusted keys of this log that signed the checkpoint in their eras. A policy that names logs
    /// demands one; `None` when there is none.
    ///
    /// # Errors
    /// [`NoteError::BadSignature`] when the signature of any trusted key of this log is false.
    pub fn signers(&self, checkpoint: &Checkpoint) -> Result<Option<Vec<String>>, NoteError> {
        let mut signers = Vec::new();
        for key in self.logs.iter().filter(|key| key.name == checkpoint.origin) {
            if checkpoint.note.signed_by(key)? && self.is_in_era(key, checkpoint.size) {
                signers.push(key.to_string());
            }
        }
        Ok(Some(signers).filter(|signers| !signers.is_empty() || self.logs.is_empty()))
    }

    fn is_in_era(&self, key: &VerifierKey, size: u64) -> bool {
        let era = self.eras.iter().find(|era| era.key == key.public_key());
        era.is_none_or(|era| era.from <= size && era.until.is_none_or(|until| size < until))
    }

    fn has_witnessed(&self, name: &String, cosigners: &[String]) -> bool {
        match self.groups.get(name) {
            Some((threshold, members)) => {
                let count =
                    members.iter().filter(|member| self.has_witnessed(member, cosigners)).count();
                count >= *threshold
            }
            None => cosigners.contains(name),
        }
    }

    fn is_defined(&self, name: &str) -> bool {
        self.groups.contains_key(name) || self.witnesses.iter().any(|(known, _)| known == name)
    }

    fn line(&mut self, words: &[&str], quorums: &mut usize) -> Result<(), String> {
        match words {
            ["log", key] | ["log", key, _] => self.log(key),
            ["era", key, from] => self.era(key, from, None),
            ["era", key, from, until] => self.era(key, from, Some(until)),
            ["witness", name, key] | ["witness", name, key, _] => self.witness(name, key),
            ["group", name, threshold, members @ ..] => self.group(name, threshold, members),
            ["quorum", name] => {
                *quorums += 1;
                self.quorum = (*name != NONE).then(|| (*name).to_owned());
                if *name == NONE || self.is_defined(name) {
                    Ok(())
                } else {
                    Err(format!("{name} is not defined above"))
                }
            }
            ["anchor", chain] => self.anchor(chain, None),
            ["anchor", chain, contract] => self.anchor(chain, Some((*contract).to_owned())),
            ["anchors", count] => {
                self.anchors_min = count.parse().map_err(|_| "not a number".to_owned())?;
                Ok(())
            }
            [] => Ok(()),
            [word, ..] => Err(format!("a line cannot begin with {word:?} and go on like this")),
        }
    }

    fn log(&mut self, key: &str) -> Result<(), String> {
        let key = parse_key(key, KeyKind::Log)?;
        if self.logs.iter().any(|known| known.public_key() == key.public_key()) {
            return Err("this log was named before".to_owned());
        }
        self.logs.push(key);
        Ok(())
    }

    fn era(&mut self, key: &str, from: &str, until: Option<&str>) -> Result<(), String> {
        let key = parse_key(key, KeyKind::Log)?.public_key();
        let named = self.logs.iter().any(|log| log.public_key() == key);
        if !named || self.eras.iter().any(|era| era.key == key) {
            return Err(
                "an era is for a log that is named above, and there is one for each".to_owned()
            );
        }
        let size = |text: &str| decimal(text).ok_or("an era is from one size to another");
        let (from, until) = (size(from)?, until.map(size).transpose()?);
        if until.is_some_and(|until| until <= from) {
            return Err("the era ends before it begins".to_owned());
        }
        self.eras.push(Era { key, from, until });
        Ok(())
    }

    fn witness(&mut self, name: &str, key: &str) -> Result<(), String> {
        let key = parse_key(key, KeyKind::Witness)?;
        let same_key = |(_, known): &(String, VerifierKey)| known.public_key() == key.public_key();
        if name == NONE || self.is_defined(name) || self.witnesses.iter().any(same_key) {
            return Err("this witness or name was used before".to_owned());
        }
        self.witnesses.push((name.to_owned(), key));
        Ok(())
    }

    fn group(&mut self, name: &str, threshold: &str, members: &[&str]) -> Result<(), String> {
        if name == NONE || self.is_defined(name) {
            return Err("this name was used before".to_owned());
        }
        let used = |member: &&str| {
            self.groups.values().any(|(_, members)| members.iter().any(|used| used == member))
        };
        let repeated =
            members.iter().enumerate().any(|(at, member)| members[..at].contains(member));
        if repeated || members.iter().any(|member| !self.is_defined(member) || used(member)) {
            return Err("each member must be defined above and be in one group only".to_owned());
        }
        let threshold = match threshold {
            "all" => members.len(),
            "any" => 1,
            number => number.parse().map_err(|_| "the threshold is not a number".to_owned())?,
        };
        if !(1..=members.len()).contains(&threshold) {
            return Err("the threshold must be from one to the number of members".to_owned());
        }
        let members = members.iter().map(|member| (*member).to_owned()).collect();
        self.groups.insert(name.to_owned(), (threshold, members));
        Ok(())
    }

    fn anchor(&mut self, chain: &str, contract: Option<String>) -> Result<(), String> {
        if self.anchors.iter().any(|rule| rule.chain == chain) {
            return Err("this chain was named before".to_owned());
        }
        self.anchors.push(AnchorRule { chain: chain.to_owned(), contract });
        Ok(())
    }
}

fn parse_key(key: &str, kind: KeyKind) -> Result<VerifierKey, String> {
    let key: VerifierKey = key.parse().map_err(|error: NoteError| error.to_string())?;
    if key.kind == kind { Ok(key) } else { Err("the key is of the other type".to_owned()) }
}

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(file: &str) -> Result<Self, PolicyError> {
        let mut policy = Self::default();
        let mut quorums = 0;
        for (number, line) in (1..).zip(file.split('\n')) {
            let line = line.trim_matches([' ', '\t']);
            if line.starts_with('#') {
                continue;
            }
            let words: Vec<&str> =
                line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
            policy
                .line(&words, &mut quorums)
                .map_err(|problem| PolicyError { line: number, problem })?;
        }
        let whole = |problem: &str| PolicyError { line: 0, problem: problem.to_owned() };
        if quorums != 1 {
            return Err(whole("there must be exactly one quorum line, `quorum none` at the least"));
        }
        if !policy.anchors.is_empty() && policy.anchors_min > policy.anchors.len() {
            return Err(whole("more anchors are asked for than are named"));
        }
        Ok(policy)
    }
}
