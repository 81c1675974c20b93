use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::{add_days, add_months};
use crate::LoanError;

/// How often an instalment falls due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "unit")]
pub enum Frequency {
    /// Every `every` months, 1 to 12, on the day of the first, clamped to the month's last.
    Monthly {
        /// Months per period.
        every: u8,
    },
    /// Every `every` weeks, 1 to 52.
    Weekly {
        /// Weeks per period.
        every: u8,
    },
    /// Every `every` days, 1 to 366.
    Days {
        /// Days per period.
        every: u16,
    },
}

impl Frequency {
    /// # Errors
    /// [`LoanError::Terms`] when the period is empty or longer than a year.
    pub fn check(self) -> Result<(), LoanError> {
        let fits = match self {
            Self::Monthly { every } => (1..=12).contains(&every),
            Self::Weekly { every } => (1..=52).contains(&every),
            Self::Days { every } => (1..=366).contains(&every),
        };
        fits.then_some(()).ok_or(LoanError::Terms("frequency"))
    }

    /// The date `periods` periods after `from`, or before it when negative.
    ///
    /// # Errors
    /// [`LoanError::Date`] past the calendar.
    pub fn step(self, from: Date, periods: i64) -> Result<Date, LoanError> {
        match self {
            Self::Monthly { every } => add_months(from, periods.saturating_mul(every.into())),
            Self::Weekly { every } => {
                add_days(from, periods.saturating_mul(i64::from(every)).saturating_mul(7))
            }
            Self::Days { every } => add_days(from, periods.saturating_mul(every.into())),
        }
    }

    /// Periods per year as a fraction: 12 / every, 52 / every, 365 / every.
    #[must_use]
    pub fn per_year(self) -> (i128, i128) {
        match self {
            Self::Monthly { every } => (12, every.into()),
            Self::Weekly { every } => (52, every.into()),
            Self::Days { every } => (365, every.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use jiff::civil::date;

    #[test]
    fn a_month_end_comes_back_after_february() {
        let monthly = Frequency::Monthly { every: 1 };
        let start = date(2024, 1, 31);
        let dates: Vec<Date> = (1..=3).map(|k| monthly.step(start, k).unwrap()).collect();
        assert_eq!(dates, [date(2024, 2, 29), date(2024, 3, 31), date(2024, 4, 30)]);
        assert_eq!(Frequency::Weekly { every: 2 }.step(start, -1).unwrap(), date(2024, 1, 17));
        assert_eq!(Frequency::Days { every: 10 }.step(start, 2).unwrap(), date(2024, 2, 20));
        assert!(Frequency::Days { every: 0 }.check().is_err());
    }
}
