use std::collections::BTreeSet;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::{add_days, next_day};
use crate::LoanError;

/// What happens to a due date that is not a business day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BusinessDayRule {
    /// It stays.
    #[default]
    None,
    /// The next business day.
    Following,
    /// The next business day, or the one before when the next is in another month.
    ModifiedFollowing,
    /// The business day before.
    Preceding,
}

/// Which days are not business days, as data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HolidayCalendar {
    /// Weekly days of rest, 1 (Monday) to 7 (Sunday).
    #[serde(default = "saturday_and_sunday")]
    pub weekend: BTreeSet<i8>,
    /// Holidays.
    #[serde(default)]
    pub holidays: BTreeSet<Date>,
    /// Days worked although they fall on a weekend (调休).
    #[serde(default)]
    pub working: BTreeSet<Date>,
}

fn saturday_and_sunday() -> BTreeSet<i8> {
    BTreeSet::from([6, 7])
}

impl Default for HolidayCalendar {
    fn default() -> Self {
        Self { weekend: saturday_and_sunday(), holidays: BTreeSet::new(), working: BTreeSet::new() }
    }
}

/// The longest run of days off that is searched through.
const RUN_DAYS_MAX: usize = 60;

impl HolidayCalendar {
    /// True when banks work on `date`.
    #[must_use]
    pub fn is_business_day(&self, date: Date) -> bool {
        let rest = self.weekend.contains(&date.weekday().to_monday_one_offset());
        self.working.contains(&date) || !(rest || self.holidays.contains(&date))
    }

    /// `date` moved by `rule`.
    ///
    /// # Errors
    /// [`LoanError::Date`] when 60 days in a row are off.
    pub fn adjust(&self, date: Date, rule: BusinessDayRule) -> Result<Date, LoanError> {
        match rule {
            BusinessDayRule::None => Ok(date),
            BusinessDayRule::Following => self.search(date, 1),
            BusinessDayRule::Preceding => self.search(date, -1),
            BusinessDayRule::ModifiedFollowing => {
                let next = self.search(date, 1)?;
                if next.month() == date.month() { Ok(next) } else { self.search(date, -1) }
            }
        }
    }

    fn search(&self, date: Date, step: i64) -> Result<Date, LoanError> {
        let mut candidate = date;
        for _ in 0..RUN_DAYS_MAX {
            if self.is_business_day(candidate) {
                return Ok(candidate);
            }
            candidate = if step > 0 { next_day(candidate)? } else { add_days(candidate, step)? };
        }
        Err(LoanError::Date("no business day within 60 days"))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use jiff::civil::date;

    #[test]
    fn due_dates_move_by_the_rule() {
        let mut calendar = HolidayCalendar::default();
        let saturday = date(2024, 8, 31);
        let adjust = |calendar: &HolidayCalendar, rule| calendar.adjust(saturday, rule).unwrap();
        assert_eq!(adjust(&calendar, BusinessDayRule::None), saturday);
        assert_eq!(adjust(&calendar, BusinessDayRule::Following), date(2024, 9, 2));
        assert_eq!(adjust(&calendar, BusinessDayRule::ModifiedFollowing), date(2024, 8, 30));
        assert_eq!(adjust(&calendar, BusinessDayRule::Preceding), date(2024, 8, 30));
        calendar.holidays.insert(date(2024, 8, 30));
        assert_eq!(adjust(&calendar, BusinessDayRule::Preceding), date(2024, 8, 29));
        calendar.working.insert(saturday);
        assert_eq!(adjust(&calendar, BusinessDayRule::Following), saturday);
    }

    #[test]
    fn an_endless_holiday_is_an_error() {
        let calendar = HolidayCalendar { weekend: (1..=7).collect(), ..Default::default() };
        assert!(calendar.adjust(date(2024, 1, 1), BusinessDayRule::Following).is_err());
    }
}
