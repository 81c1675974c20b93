use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::calendar::days_between;
use crate::loan::{Body, Event, Line, LineKind, Loan};
use crate::{Fraction, LoanError, Money, Rate, Rounding};

/// What is known of a borrower beside the loan itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signals {
    /// The wallet's balance on days, the oldest first, in minor units of the loan's currency.
    pub balances: Vec<(Date, Money)>,
    /// The share of a credit line that is used.
    pub utilisation: Option<Rate>,
}

/// A rule of the early warning, as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "rule")]
pub enum Rule {
    /// At least this many days past due.
    DaysPastDue {
        /// Days.
        at_least: i64,
    },
    /// Each of the last instalments was paid later than the one before.
    PaidLaterEachTime {
        /// How many of them.
        instalments: u8,
    },
    /// Payments that bounced or were taken back lately.
    BouncedPayments {
        /// How many.
        at_least: u32,
        /// Within how many days.
        within_days: i64,
    },
    /// Instalments that fell due lately and were not paid on their day.
    MissedPayments {
        /// How many.
        at_least: u32,
        /// Within how many days.
        within_days: i64,
    },
    /// The wallet does not hold this share of the next instalment, shortly before it is due.
    BalanceBelowNext {
        /// The share.
        share: Rate,
        /// Days before the due date.
        within_days: i64,
    },
    /// The wallet's balance has fallen by at least this share over the known days.
    BalanceFalling {
        /// The share.
        by: Rate,
    },
    /// The use of the credit line is at least this share.
    UtilisationAbove {
        /// The share.
        share: Rate,
    },
}

/// A rule that holds, and the figure that makes it hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// The reason code: the rule's name.
    pub code: &'static str,
    /// The figure, for the explanation.
    pub value: String,
}

/// The rules that hold for this loan now.
///
/// # Errors
/// [`LoanError::Overflow`].
pub fn warnings(
    loan: &Loan,
    events: &[Event],
    signals: &Signals,
    rules: &[Rule],
) -> Result<Vec<Warning>, LoanError> {
    let mut found = Vec::new();
    for rule in rules {
        let (code, value) = match *rule {
            Rule::DaysPastDue { at_least } => {
                let days = loan.days_past_due()?;
                ("days_past_due", (days >= at_least && days > 0).then(|| days.to_string()))
            }
            Rule::PaidLaterEachTime { instalments } => {
                ("paid_later_each_time", later_each_time(loan, instalments.into()))
            }
            Rule::BouncedPayments { at_least, within_days } => {
                let count = bounced(loan.as_of(), events, within_days);
                let enough = usize::try_from(at_least).is_ok_and(|least| count >= least.max(1));
                ("bounced_payments", enough.then(|| count.to_string()))
            }
            Rule::MissedPayments { at_least, within_days } => {
                let count = missed(loan, within_days);
                let enough = usize::try_from(at_least).is_ok_and(|least| count >= least.max(1));
                ("missed_payments", enough.then(|| count.to_string()))
            }
            Rule::BalanceBelowNext { share, within_days } => {
                ("balance_below_next", below_next(loan, signals, share, within_days)?)
            }
            Rule::BalanceFalling { by } => ("balance_falling", falling(signals, by)?),
            Rule::UtilisationAbove { share } => {
                let used = signals.utilisation.filter(|used| *used >= share);
                ("utilisation_above", used.map(|used| used.to_decimal().to_string()))
            }
        };
        found.extend(value.map(|value| Warning { code, value }));
    }
    Ok(found)
}

/// Days late of the last instalments, when they grow.
fn later_each_time(loan: &Loan, count: usize) -> Option<String> {
    let late = loan.lines().iter().filter(|line| line.kind == LineKind::Instalment).map(|line| {
        let end = line.settled_on.unwrap_or_else(|| loan.as_of());
        days_between(line.due, end).max(0)
    });
    let days: Vec<i64> = late.collect();
    let last = days.get(days.len().checked_sub(count)?..)?;
    let grows = last.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
    let text: Vec<String> = last.iter().map(ToString::to_string).collect();
    (count > 1 && grows).then(|| text.join(", "))
}

fn missed(loan: &Loan, within_days: i64) -> usize {
    let today = loan.as_of();
    let lately = |line: &&Line| days_between(line.due, today) <= within_days;
    let late = |line: &&Line| {
        let owed = line.slots.iter().any(|slot| slot.owed.is_positive());
        owed && line.settled_on.unwrap_or(today) > line.due
    };
    let instalments = loan.lines().iter().filter(|line| line.kind == LineKind::Instalment);
    instalments.filter(lately).filter(late).count()
}

fn bounced(today: Date, events: &[Event], within_days: i64) -> usize {
    let payment =
        |id| events.iter().any(|event| event.id == id && matches!(event.body, Body::Repaid { .. }));
    let recent = |event: &&Event| days_between(event.effective, today) <= within_days;
    let back = |event: &&Event| match event.body {
        Body::Reversed { event, .. } => payment(event),
        _ => false,
    };
    events.iter().filter(recent).filter(back).count()
}

fn below_next(
    loan: &Loan,
    signals: &Signals,
    share: Rate,
    within_days: i64,
) -> Result<Option<String>, LoanError> {
    let Some((due, amount)) = loan.next_payment()? else { return Ok(None) };
    let Some((_, balance)) = signals.balances.last() else { return Ok(None) };
    let needed = share.of(amount)?.round(Rounding::Up)?;
    let soon = days_between(loan.as_of(), due) <= within_days;
    Ok((soon && *balance < needed).then(|| format!("{balance} < {needed}")))
}

fn falling(signals: &Signals, by: Rate) -> Result<Option<String>, LoanError> {
    let ends = signals.balances.first().zip(signals.balances.last());
    let Some(((_, first), (_, last))) = ends else { return Ok(None) };
    let limit = Fraction::new(first.minor(), 1)?.minus(by.of(*first)?)?.round(Rounding::Down)?;
    let fell = first.is_positive() && *last <= limit && last < first;
    Ok(fell.then(|| format!("{first} -> {last}")))
}
