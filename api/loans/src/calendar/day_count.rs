use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::{Frequency, days_between};
use crate::{Fraction, LoanError};

/// How the part of a year between two dates is counted, by its market name (ISDA 2006 Definitions,
/// section 4.16; ICMA Rule 251).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DayCount {
    /// 30/360 US (bond basis with the end-of-February rule).
    #[serde(rename = "30/360-US")]
    Thirty360Us,
    /// 30E/360 (Eurobond basis).
    #[serde(rename = "30E/360")]
    Thirty360E,
    /// Actual days over 360.
    #[serde(rename = "ACT/360")]
    Act360,
    /// Actual days over 365, leap years too.
    #[serde(rename = "ACT/365F")]
    Act365F,
    /// Days in leap years over 366, the others over 365.
    #[serde(rename = "ACT/ACT-ISDA")]
    ActActIsda,
    /// Days over the days of the regular period times the periods per year.
    #[serde(rename = "ACT/ACT-ICMA")]
    ActActIcma,
}

/// The regular period that ACT/ACT ICMA refers to; the other counts ignore it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The end of the regular period, a nominal due date.
    pub end: Date,
    /// The frequency, which gives the length and the number per year.
    pub frequency: Frequency,
}

impl DayCount {
    /// The fraction of a year from `start` to `end`, exactly. Zero when `end` is not later.
    ///
    /// # Errors
    /// [`LoanError::Overflow`] or [`LoanError::Date`] at the ends of the calendar.
    pub fn years(
        self,
        start: Date,
        end: Date,
        reference: Reference,
    ) -> Result<Fraction, LoanError> {
        if end <= start {
            return Ok(Fraction::ZERO);
        }
        match self {
            Self::Thirty360Us => Fraction::new(thirty_360_us(start, end), 360),
            Self::Thirty360E => Fraction::new(thirty_360_e(start, end), 360),
            Self::Act360 => Fraction::new(actual(start, end), 360),
            Self::Act365F => Fraction::new(actual(start, end), 365),
            Self::ActActIsda => isda(start, end),
            Self::ActActIcma => icma(start, end, reference),
        }
    }
}

fn actual(start: Date, end: Date) -> i128 {
    i128::from(days_between(start, end))
}

fn thirty_360(start: Date, day1: i8, end: Date, day2: i8) -> i128 {
    let part =
        |later: i128, earlier: i128, unit: i128| later.saturating_sub(earlier).saturating_mul(unit);
    part(end.year().into(), start.year().into(), 360)
        .saturating_add(part(end.month().into(), start.month().into(), 30))
        .saturating_add(part(day2.into(), day1.into(), 1))
}

fn thirty_360_e(start: Date, end: Date) -> i128 {
    thirty_360(start, start.day().min(30), end, end.day().min(30))
}

fn thirty_360_us(start: Date, end: Date) -> i128 {
    let february_end = |date: Date| date.month() == 2 && date.day() == date.days_in_month();
    let both = february_end(start) && february_end(end);
    let day1 = if february_end(start) { 30 } else { start.day().min(30) };
    let clamp_end = both || (end.day() == 31 && day1 == 30);
    let day2 = if clamp_end { 30 } else { end.day() };
    thirty_360(start, day1, end, day2)
}

const ISDA_DENOMINATOR: i128 = 365 * 366;

fn isda(start: Date, end: Date) -> Result<Fraction, LoanError> {
    let mut numerator = 0i128;
    let mut from = start;
    while from < end {
        let next_year = from.year().checked_add(1).and_then(|year| Date::new(year, 1, 1).ok());
        let until = next_year.map_or(end, |date| date.min(end));
        let weight = if from.in_leap_year() { 365 } else { 366 };
        numerator = numerator.saturating_add(actual(from, until).saturating_mul(weight));
        from = until;
    }
    Fraction::new(numerator, ISDA_DENOMINATOR)
}

/// Walks back from the reference end in regular periods and counts each part within its own.
fn icma(start: Date, end: Date, reference: Reference) -> Result<Fraction, LoanError> {
    let (per_year, unit) = reference.frequency.per_year();
    let mut sum = Fraction::ZERO;
    let mut back = 0i64;
    let mut period_end = reference.end;
    while period_end > start {
        back = back.saturating_sub(1);
        let period_start = reference.frequency.step(reference.end, back)?;
        let (from, until) = (start.max(period_start), end.min(period_end));
        if until > from {
            let length = actual(period_start, period_end).saturating_mul(per_year);
            let days = actual(from, until).saturating_mul(unit);
            sum = sum.plus(Fraction::new(days, length)?)?;
        }
        period_end = period_start;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use jiff::civil::date;

    const MONTHLY: Frequency = Frequency::Monthly { every: 1 };

    fn years(count: DayCount, start: Date, end: Date, frequency: Frequency) -> (i128, i128) {
        let fraction = count.years(start, end, Reference { end, frequency }).unwrap();
        (fraction.numerator(), fraction.denominator())
    }

    #[test]
    fn thirty_360_follows_its_variants() {
        let cases = [
            (date(2007, 1, 15), date(2007, 1, 30), 15, 15),
            (date(2007, 1, 15), date(2007, 1, 31), 16, 15),
            (date(2007, 1, 31), date(2007, 2, 28), 28, 28),
            (date(2007, 2, 28), date(2007, 3, 31), 30, 32),
            (date(2008, 2, 29), date(2009, 2, 28), 360, 359),
            (date(2007, 9, 30), date(2008, 3, 31), 180, 180),
            (date(2007, 8, 31), date(2008, 2, 28), 178, 178),
        ];
        for (start, end, us, european) in cases {
            assert_eq!(years(DayCount::Thirty360Us, start, end, MONTHLY), (us, 360), "{start}");
            assert_eq!(years(DayCount::Thirty360E, start, end, MONTHLY), (european, 360));
        }
    }

    /// The example of the ISDA memorandum on the EMU and market conventions (1998).
    #[test]
    fn actual_actual_follows_the_isda_memorandum() {
        let (start, end) = (date(2003, 11, 1), date(2004, 5, 1));
        let (numerator, denominator) = years(DayCount::ActActIsda, start, end, MONTHLY);
        assert_eq!(denominator, 365 * 366);
        assert_eq!(numerator, 61 * 366 + 121 * 365);
        let half = Frequency::Monthly { every: 6 };
        let (numerator, denominator) = years(DayCount::ActActIcma, start, end, half);
        assert_eq!(numerator * 2, denominator, "182 / (182 * 2)");
    }

    #[test]
    fn icma_splits_a_long_first_period() {
        let half = Frequency::Monthly { every: 6 };
        let (start, end) = (date(2002, 8, 15), date(2003, 7, 15));
        let (numerator, denominator) = years(DayCount::ActActIcma, start, end, half);
        let expected = Fraction::new(181, 362).unwrap().plus(Fraction::new(153, 368).unwrap());
        let expected = expected.unwrap();
        assert_eq!(numerator * expected.denominator(), expected.numerator() * denominator);
    }

    #[test]
    fn fixed_denominators_count_actual_days() {
        let (start, end) = (date(2024, 1, 1), date(2025, 1, 1));
        assert_eq!(years(DayCount::Act360, start, end, MONTHLY), (366, 360));
        assert_eq!(years(DayCount::Act365F, start, end, MONTHLY), (366, 365));
        assert_eq!(years(DayCount::Act365F, end, start, MONTHLY).0, 0);
    }
}
