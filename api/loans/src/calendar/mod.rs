//! Dates: day counts, instalment frequencies, business days.

mod business;
mod day_count;
mod frequency;

pub use business::{BusinessDayRule, HolidayCalendar};
pub use day_count::{DayCount, Reference};
pub use frequency::Frequency;

use jiff::ToSpan;
use jiff::civil::Date;

use crate::LoanError;

/// Days from `start` to `end`; negative when `end` is earlier.
#[must_use]
pub fn days_between(start: Date, end: Date) -> i64 {
    start.duration_until(end).as_hours().div_euclid(24)
}

/// The date `days` after `date`.
///
/// # Errors
/// [`LoanError::Date`] past the calendar.
pub fn add_days(date: Date, days: i64) -> Result<Date, LoanError> {
    let span = jiff::Span::new().try_days(days).map_err(|_| LoanError::Date("too many days"))?;
    date.checked_add(span).map_err(|_| LoanError::Date("past the calendar"))
}

/// The date `months` after `date`; the day is clamped to the month's last.
///
/// # Errors
/// [`LoanError::Date`] past the calendar.
pub fn add_months(date: Date, months: i64) -> Result<Date, LoanError> {
    let span = jiff::Span::new().try_months(months);
    let span = span.map_err(|_| LoanError::Date("too many months"))?;
    date.checked_add(span).map_err(|_| LoanError::Date("past the calendar"))
}

/// The day after.
///
/// # Errors
/// [`LoanError::Date`] past the calendar.
pub fn next_day(date: Date) -> Result<Date, LoanError> {
    date.checked_add(1.day()).map_err(|_| LoanError::Date("past the calendar"))
}
