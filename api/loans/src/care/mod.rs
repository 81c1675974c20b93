//! Early warning, an offer the borrower can afford, and the credit record: explainable rules over
//! what happened.

mod credit;
mod offer;
mod warning;

pub use credit::{
    CreditEntry, CreditRecord, SCORE_RULES, SCORE_START, SCORECARD_VERSION, Score, ScoreReason,
    ScoreRule, credit_record,
};
pub use offer::{Affordable, OfferLimits, affordable_offer};
pub use warning::{Rule, Signals, Warning, warnings};
