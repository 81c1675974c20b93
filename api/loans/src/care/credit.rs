use jiff::civil::Date;
use serde::Serialize;

use crate::LoanError;
use crate::calendar::days_between;
use crate::loan::{Body, Event, LineKind, Loan, Status};

/// The version of the scorecard: scores of different versions do not compare.
pub const SCORECARD_VERSION: &str = "2026-1";

/// Where every score starts.
pub const SCORE_START: i64 = 500;

/// What one occurrence is worth, and what would change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ScoreRule {
    /// The reason code.
    pub code: &'static str,
    /// Points for each occurrence.
    pub points: i64,
    /// What would change it, as a message code.
    pub improves_by: &'static str,
}

const fn rule(code: &'static str, points: i64, improves_by: &'static str) -> ScoreRule {
    ScoreRule { code, points, improves_by }
}

/// The whole scorecard of [`SCORECARD_VERSION`]. A pause costs nothing.
pub const SCORE_RULES: [ScoreRule; 7] = [
    rule("paid_on_time", 10, "pay_by_due_date"),
    rule("late_up_to_30_days", -15, "pay_by_due_date"),
    rule("late_31_to_90_days", -40, "ask_for_deferral_early"),
    rule("late_over_90_days", -90, "ask_for_deferral_early"),
    rule("bounced_payment", -10, "keep_balance_for_due_date"),
    rule("written_off", -200, "repay_after_write_off"),
    rule("settled", 60, "settle_loan"),
];

/// Something that happened, in the borrower's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CreditEntry {
    /// When.
    pub date: Date,
    /// What: `disbursed`, `paid_on_time`, `paid_late`, `unpaid`, `paused`, `bounced`,
    /// `written_off`, `settled`.
    pub code: &'static str,
    /// The instalment, when it is about one.
    pub instalment: Option<u32>,
    /// Days late, for `paid_late` and `unpaid`.
    pub days_late: i64,
}

/// A part of the score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScoreReason {
    /// The reason code.
    pub code: &'static str,
    /// Points, positive or negative.
    pub points: i64,
    /// What would change it, as a message code.
    pub improves_by: &'static str,
}

/// A transparent score: it starts at 500 and is the sum of its reasons, between 0 and 1000.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Score {
    /// The scorecard.
    pub version: &'static str,
    /// The sum.
    pub points: i64,
    /// Its parts.
    pub reasons: Vec<ScoreReason>,
}

/// A loan in the borrower's credit record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CreditRecord {
    /// What happened, by date.
    pub entries: Vec<CreditEntry>,
    /// The score of this loan's history.
    pub score: Score,
}

/// The credit record of a loan: a function of its events, so that a corrected payment corrects it.
///
/// # Errors
/// [`LoanError::Overflow`].
pub fn credit_record(loan: &Loan, events: &[Event]) -> Result<CreditRecord, LoanError> {
    let mut entries = vec![entry(loan.contract().start, "disbursed", None, 0)];
    for line in loan.lines().iter().filter(|line| line.kind == LineKind::Instalment) {
        let number = Some(line.number);
        let days = days_between(line.due, line.settled_on.unwrap_or_else(|| loan.as_of())).max(0);
        let owed = line.slots.iter().any(|slot| slot.owed.is_positive());
        let written_off = line.slots.iter().any(|slot| slot.written_off.is_positive());
        entries.push(match line.settled_on {
            _ if !owed => entry(line.due, "paused", number, 0),
            Some(on) if !written_off && days == 0 => entry(on, "paid_on_time", number, 0),
            Some(on) if !written_off => entry(on, "paid_late", number, days),
            _ => entry(line.due, "unpaid", number, days),
        });
    }
    for event in events {
        match event.body {
            Body::Reversed { event: target, .. } if is_payment(events, target) => {
                entries.push(entry(event.effective, "bounced", None, 0));
            }
            Body::ChargedOff if loan.status()? == Status::ChargedOff => {
                entries.push(entry(event.effective, "written_off", None, 0));
            }
            _ => {}
        }
    }
    if loan.status()? == Status::Settled {
        let last = loan.lines().iter().filter_map(|line| line.settled_on).max();
        entries.push(entry(last.unwrap_or_else(|| loan.as_of()), "settled", None, 0));
    }
    entries.sort_by_key(|entry| entry.date);
    let score = score(&entries);
    Ok(CreditRecord { entries, score })
}

const fn entry(
    date: Date,
    code: &'static str,
    instalment: Option<u32>,
    days_late: i64,
) -> CreditEntry {
    CreditEntry { date, code, instalment, days_late }
}

fn is_payment(events: &[Event], id: uuid::Uuid) -> bool {
    events.iter().any(|event| event.id == id && matches!(event.body, Body::Repaid { .. }))
}

/// The sum of the points of the scorecard.
fn score(entries: &[CreditEntry]) -> Score {
    let count = |test: &dyn Fn(&CreditEntry) -> bool| {
        i64::try_from(entries.iter().filter(|entry| test(entry)).count()).unwrap_or(i64::MAX)
    };
    let late = |from: i64, to: i64| {
        count(&|entry| {
            matches!(entry.code, "paid_late" | "unpaid") && (from..=to).contains(&entry.days_late)
        })
    };
    let named = |code: &'static str| count(&|entry| entry.code == code);
    let counts = [
        named("paid_on_time"),
        late(1, 30),
        late(31, 90),
        late(91, i64::MAX),
        named("bounced"),
        named("written_off"),
        named("settled"),
    ];
    let reasons: Vec<ScoreReason> = SCORE_RULES
        .iter()
        .zip(counts)
        .map(|(rule, count)| ScoreReason {
            code: rule.code,
            points: count.saturating_mul(rule.points),
            improves_by: rule.improves_by,
        })
        .filter(|reason| reason.points != 0)
        .collect();
    let sum = reasons.iter().fold(SCORE_START, |sum, reason| sum.saturating_add(reason.points));
    Score { version: SCORECARD_VERSION, points: sum.clamp(0, 1000), reasons }
}
