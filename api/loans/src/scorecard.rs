//! The scorecard in words: what each reason means, and what would change it.

use serde::Serialize;

use crate::care::{CreditRecord, SCORE_RULES, ScoreReason};

/// A reason of a score as a person reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// The reason code.
    pub code: &'static str,
    /// Its points in this score.
    pub points: i64,
    /// What happened.
    pub because: &'static str,
    /// What would change it.
    pub to_change_it: &'static str,
}

/// What the borrower could do next, and what it would add.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NextStep {
    /// The reason code that it would add.
    pub code: &'static str,
    /// Points.
    pub points: i64,
    /// What to do.
    pub what: &'static str,
}

/// The reasons of a record in words, in `en` or `zh`.
#[must_use]
pub fn explain(record: &CreditRecord, language: &str) -> Vec<Explained> {
    let explained = |reason: &ScoreReason| Explained {
        code: reason.code,
        points: reason.points,
        because: sentence(reason.code, language),
        to_change_it: sentence(reason.improves_by, language),
    };
    record.score.reasons.iter().map(explained).collect()
}

/// What would raise the score from here on, while anything is still owed.
#[must_use]
pub fn next_steps(is_settled: bool, language: &str) -> Vec<NextStep> {
    let adds = SCORE_RULES.iter().filter(|rule| rule.points > 0 && !is_settled);
    adds.map(|rule| NextStep {
        code: rule.code,
        points: rule.points,
        what: sentence(rule.improves_by, language),
    })
    .collect()
}

/// The sentence of a reason or an advice; English for a language without one.
#[must_use]
pub fn sentence(code: &str, language: &str) -> &'static str {
    let found = SENTENCES.iter().find(|(known, _, _)| *known == code);
    let zh = language == "zh";
    found.map_or("", |(_, english, chinese)| if zh { chinese } else { english })
}

const SENTENCES: [(&str, &str, &str); 12] = [
    ("paid_on_time", "Instalments that were paid by their due date.", "按时偿还的各期款项。"),
    ("late_up_to_30_days", "Instalments up to 30 days late.", "逾期不超过30天的各期款项。"),
    ("late_31_to_90_days", "Instalments 31 to 90 days late.", "逾期31至90天的各期款项。"),
    ("late_over_90_days", "Instalments more than 90 days late.", "逾期超过90天的各期款项。"),
    ("bounced_payment", "Payments that were taken back.", "被退回的还款。"),
    ("written_off", "The loan was written off.", "该笔贷款已核销。"),
    ("settled", "The loan was paid off.", "该笔贷款已结清。"),
    (
        "pay_by_due_date",
        "Pay the next instalment by its due date; dispute one that was paid in time.",
        "下一期请在到期日前还款；如已按时还款，可提出异议。",
    ),
    (
        "ask_for_deferral_early",
        "Ask for a deferral before an instalment is late: a pause costs no points.",
        "还款困难时请在逾期前申请延期：延期不扣分。",
    ),
    (
        "keep_balance_for_due_date",
        "Keep the instalment's amount in the account on the due date.",
        "请在到期日保证账户余额充足。",
    ),
    (
        "repay_after_write_off",
        "Repay what was written off; the record then shows the recovery.",
        "偿还已核销的款项，记录中将显示已追回。",
    ),
    ("settle_loan", "Pay the loan off.", "结清该笔贷款。"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_its_sentences_in_both_languages() {
        for rule in SCORE_RULES {
            for code in [rule.code, rule.improves_by] {
                let (english, chinese) = (sentence(code, "en"), sentence(code, "zh"));
                assert!(!english.is_empty() && !chinese.is_empty(), "{code}");
                assert_ne!(english, chinese, "{code}");
            }
        }
        assert!(next_steps(true, "en").is_empty());
        assert_eq!(next_steps(false, "en").len(), 2);
    }
}
