//! One answer for every front: what the command prints and what the page shows.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::anchor::TrustedBlocks;
use crate::note::VerifierKey;
use crate::policy::Policy;
use crate::report::{Report, Shortfall};
use crate::verify::{examine, parse};
use crate::words::Language;

/// Everything asked for is proved.
pub const ACCEPTED: u8 = 0;
/// Something in the receipt is false, or it is no receipt.
pub const REFUSED: u8 = 1;
/// Wrong usage: not the receipt is at fault, but what was given beside it.
pub const USAGE: u8 = 2;
/// Nothing is false, but not everything asked for could be proved.
pub const INCOMPLETE: u8 = 3;

/// The answer about a receipt or a log.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// [`ACCEPTED`], [`REFUSED`], [`USAGE`] or [`INCOMPLETE`].
    pub exit_code: u8,
    /// What `--json` prints; its `verdict` says the same as the exit code.
    pub json: Value,
    /// The same in plain words.
    pub lines: Vec<String>,
}

impl Answer {
    /// Something is false: a stable code, and the first finding.
    #[must_use]
    pub fn refused(code: &str, problem: &str, language: Language) -> Self {
        Self {
            exit_code: REFUSED,
            json: json!({ "verdict": "refused", "code": code, "problem": problem }),
            lines: vec![language.refusal(code, problem)],
        }
    }

    /// The question could not be understood.
    #[must_use]
    pub fn usage(problem: String) -> Self {
        let json = json!({ "verdict": "error", "problem": problem });
        Self { exit_code: USAGE, json, lines: vec![problem] }
    }

    /// Nothing is false: whether the report has all that the policy asks for. `failures` are
    /// further shortfalls, such as nodes that did not answer.
    #[must_use]
    pub fn judged(
        report: &Report,
        policy: &Policy,
        failures: Vec<Shortfall>,
        language: Language,
    ) -> Self {
        let mut missing = report.shortfalls(policy);
        missing.extend(failures);
        let accepted = missing.is_empty();
        let texts: Vec<String> =
            missing.iter().map(|what| Language::English.shortfall(what)).collect();
        let json = json!({
            "verdict": if accepted { "accepted" } else { "incomplete" },
            "missing": texts,
            "since": report.since().map(crate::utc),
            "report": report,
        });
        let mut lines = language.report(report);
        lines.extend(missing.iter().map(|what| language.not_proved(what)));
        lines.push(language.verdict(accepted));
        Self { exit_code: if accepted { ACCEPTED } else { INCOMPLETE }, json, lines }
    }
}

/// A question that needs no connection: texts as they are in files.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Question {
    /// The receipt.
    pub receipt: String,
    /// Verifier keys to trust.
    pub keys: Vec<String>,
    /// The policy file; nothing but the keys is asked for when it is absent.
    pub policy: Option<String>,
    /// The headers file.
    pub headers: Option<String>,
}

impl Question {
    /// The answer.
    #[must_use]
    pub fn answer(&self, language: Language) -> Answer {
        match self.trust() {
            Err(problem) => Answer::usage(problem),
            Ok((policy, trusted)) => {
                let examined =
                    parse(&self.receipt).and_then(|receipt| examine(&receipt, &policy, &trusted));
                match examined {
                    Err(error) => Answer::refused(error.code(), &error.to_string(), language),
                    Ok(report) => Answer::judged(&report, &policy, Vec::new(), language),
                }
            }
        }
    }

    fn trust(&self) -> Result<(Policy, TrustedBlocks), String> {
        let mut policy: Policy = match &self.policy {
            Some(file) => file.parse().map_err(|error| format!("{error}"))?,
            None => Policy::default(),
        };
        let keys: Result<Vec<VerifierKey>, String> =
            self.keys.iter().map(|key| key.parse().map_err(|error| format!("{error}"))).collect();
        policy.add_keys(keys?);
        let headers = self.headers.as_deref().unwrap_or_default();
        let trusted = TrustedBlocks::parse(headers)
            .map_err(|line| format!("headers: line {line} is no block"))?;
        Ok((policy, trusted))
    }
}
