use jiff::civil::Date;

use crate::LoanError;
use crate::calendar::{DayCount, Reference};
use crate::terms::Contract;
use crate::{Fraction, terms::Terms};

/// One interest period and the due date at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    /// Its number, from 1.
    pub(crate) number: u32,
    /// The first day on which interest runs.
    pub(crate) start: Date,
    /// The day to which it runs.
    pub(crate) end: Date,
    /// The day the instalment is due.
    pub(crate) due: Date,
    /// The nominal due date.
    pub(crate) nominal: Date,
}

impl Period {
    /// The part of a year from `from` (within the period) to `to`. It is the difference of two
    /// counts from the period's start, so that the parts of a period sum to the whole under every
    /// day count.
    pub(crate) fn years(&self, terms: &Terms, from: Date, to: Date) -> Result<Fraction, LoanError> {
        let reference = Reference { end: self.nominal, frequency: terms.frequency };
        let count = |date: Date| -> Result<Fraction, LoanError> {
            let count: DayCount = terms.day_count;
            count.years(self.start, date.min(self.end), reference)
        };
        count(to)?.minus(count(from)?)
    }

    /// This period and those up to `last` as one.
    pub(crate) fn joined_to(&self, last: &Self) -> Self {
        Self { start: self.start, ..*last }
    }
}

/// `count` periods of the contract's calendar from number `from` on. The calendar has no end, so
/// that a pause or a longer term goes on in the same rhythm.
pub(crate) fn periods(
    contract: &Contract,
    from: u32,
    count: u32,
) -> Result<Vec<Period>, LoanError> {
    let last = from.saturating_add(count);
    let mut found = Vec::with_capacity(count.try_into().unwrap_or(0));
    let mut start = boundary(contract, from.saturating_sub(1))?.0;
    for number in from..last {
        let (end, due, nominal) = boundary(contract, number)?;
        found.push(Period { number, start, end, due, nominal });
        start = end;
    }
    Ok(found)
}

/// The end, due date and nominal due date of the period with this number; number 0 ends when the
/// loan starts.
fn boundary(contract: &Contract, number: u32) -> Result<(Date, Date, Date), LoanError> {
    if number == 0 {
        return Ok((contract.start, contract.start, contract.start));
    }
    let frequency = contract.terms.frequency;
    let nominal = match contract.first_due {
        Some(first) => frequency.step(first, i64::from(number.saturating_sub(1)))?,
        None => frequency.step(contract.start, i64::from(number))?,
    };
    let days = &contract.terms.business_days;
    let due = days.calendar.adjust(nominal, days.rule)?.max(contract.start);
    let end = if days.adjust_accrual { due } else { nominal };
    Ok((end, due, nominal))
}
