//! The annual rate of a schedule, by the rule the law or the market names. The rules differ.
//!
//! Each rule places the payments on a grid of its own and asks for the rate at which they are worth
//! what was lent. Everything is decimal: a discount factor is a 28-digit power with an integer
//! exponent, and the equation is solved by bracketing, so that no rounding hides in a logarithm.

use jiff::civil::Date;
use rust_decimal::{Decimal, MathematicalOps};
use serde::{Deserialize, Serialize};

use crate::calendar::{Frequency, add_days, add_months, days_between};
use crate::schedule::Schedule;
use crate::{LoanError, Money};

/// How an annual rate is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnnualRateRule {
    /// The annual percentage rate of charge, Directive 2008/48/EC, Annex I, with the additional
    /// assumptions of Directive 2011/90/EU: effective, whole months or weeks count as equal parts
    /// of a year and odd days as days of a year of 365 or 366.
    EuAprc,
    /// The annual percentage rate, 12 CFR 1026 (Regulation Z), appendix J, actuarial method:
    /// nominal, the unit-period rate times the unit periods per year.
    UsRegZ,
    /// The internal rate of return on actual days over 365, as spreadsheets compute it: effective.
    Xirr,
}

/// The annual rate of `schedule`, rounded half-even to 8 places (`0.12682503` is 12.682503 %).
///
/// # Errors
/// [`LoanError::NoAnnualRate`] when no rate between 0 and about 1,000 % solves the equation.
pub fn annual_rate(
    schedule: &Schedule,
    frequency: Frequency,
    rule: AnnualRateRule,
) -> Result<Decimal, LoanError> {
    let advance = decimal(schedule.principal.minus(schedule.upfront_fee)?)?;
    let mut payments = Vec::with_capacity(schedule.instalments.len());
    for line in &schedule.instalments {
        let amount = decimal(line.total()?)?;
        if !amount.is_zero() {
            payments.push((line.due, amount));
        }
    }
    let rate = match rule {
        AnnualRateRule::Xirr => xirr(schedule.start, advance, &payments),
        AnnualRateRule::EuAprc => aprc(schedule.start, advance, &payments, frequency),
        AnnualRateRule::UsRegZ => reg_z(schedule.start, advance, &payments, frequency),
    }?;
    Ok(rate.round_dp(8).normalize())
}

/// The yearly rate that makes dated payments worth `advance` on `start`, on actual days over 365.
fn xirr(start: Date, advance: Decimal, payments: &[(Date, Decimal)]) -> Result<Decimal, LoanError> {
    let at = |date: Date| u64::try_from(days_between(start, date)).ok();
    effective(advance, payments, at, 365)
}

/// One year is 267,180 or 3,473,340 parts, so that 1/12 or 1/52 and days of either year are whole.
fn aprc(
    start: Date,
    advance: Decimal,
    payments: &[(Date, Decimal)],
    frequency: Frequency,
) -> Result<Decimal, LoanError> {
    let (parts, per_period) = match frequency {
        Frequency::Monthly { .. } => (267_180u64, 22_265u64),
        _ => (3_473_340, 66_795),
    };
    let at = |date: Date| {
        let (whole, odd, days_from) = match frequency {
            Frequency::Monthly { .. } => whole_months(start, date).ok()?,
            Frequency::Weekly { .. } => whole_weeks(start, date).ok()?,
            Frequency::Days { .. } => (0, days_between(start, date), date),
        };
        let year = parts.checked_div(year_length(days_from).ok()?)?;
        let odd = year.checked_mul(u64::try_from(odd).ok()?)?;
        per_period.checked_mul(u64::try_from(whole).ok()?)?.checked_add(odd)
    };
    effective(advance, payments, at, parts)
}

/// Days of the year that ends on `date`.
fn year_length(date: Date) -> Result<u64, LoanError> {
    let days = days_between(add_months(date, -12)?, date);
    u64::try_from(days).map_err(|_| LoanError::Overflow)
}

/// Whole months counted back from `date`, the odd days left, and where these end. A date that is
/// `start` moved by whole months, clamped to the month's last day, has no odd days.
fn whole_months(start: Date, date: Date) -> Result<(i64, i64, Date), LoanError> {
    let years = i64::from(date.year()).saturating_sub(start.year().into());
    let months = i64::from(date.month()).saturating_sub(start.month().into());
    let whole = years.saturating_mul(12).saturating_add(months);
    if add_months(start, whole)? == date {
        return Ok((whole, 0, start));
    }
    let back = add_months(date, whole.saturating_neg())?;
    if back >= start {
        return Ok((whole, days_between(start, back), back));
    }
    let whole = whole.saturating_sub(1);
    let back = add_months(date, whole.saturating_neg())?;
    Ok((whole, days_between(start, back).max(0), back))
}

fn whole_weeks(start: Date, date: Date) -> Result<(i64, i64, Date), LoanError> {
    let days = days_between(start, date);
    let (whole, odd) = (days.div_euclid(7), days.rem_euclid(7));
    Ok((whole, odd, add_days(start, odd)?))
}

/// The yearly rate for payments on a grid of `parts` per year.
fn effective(
    advance: Decimal,
    payments: &[(Date, Decimal)],
    at: impl Fn(Date) -> Option<u64>,
    parts: u64,
) -> Result<Decimal, LoanError> {
    let mut grid = Vec::with_capacity(payments.len());
    for (date, amount) in payments {
        grid.push((at(*date).ok_or(LoanError::NoAnnualRate)?, *amount));
    }
    let worth = |rate: Decimal| -> Option<Decimal> {
        let mut powers = Powers::of(Decimal::ONE.checked_div(Decimal::ONE.checked_add(rate)?)?);
        let mut sum = Decimal::ZERO;
        for (exponent, amount) in &grid {
            sum = sum.checked_add(amount.checked_mul(powers.power(*exponent)?)?)?;
        }
        sum.checked_sub(advance)
    };
    // (1 + high)^parts is about e^2.4 = 11: 1,000 % a year.
    let high = Decimal::new(24, 1).checked_div(Decimal::from(parts));
    let unit = root(worth, high.ok_or(LoanError::NoAnnualRate)?)?;
    Decimal::ONE
        .checked_add(unit)
        .and_then(|growth| growth.checked_powu(parts))
        .and_then(|growth| growth.checked_sub(Decimal::ONE))
        .ok_or(LoanError::NoAnnualRate)
}

/// Regulation Z, appendix J, (b)(8): `A = sum of P / ((1 + f i) (1 + i)^t)` with `t` whole
/// unit periods and the fraction `f` of one.
fn reg_z(
    start: Date,
    advance: Decimal,
    payments: &[(Date, Decimal)],
    frequency: Frequency,
) -> Result<Decimal, LoanError> {
    let mut grid = Vec::with_capacity(payments.len());
    for (date, amount) in payments {
        let (whole, fraction) = unit_periods(start, *date, frequency)?;
        grid.push((whole, fraction, *amount));
    }
    let worth = |rate: Decimal| -> Option<Decimal> {
        let mut powers = Powers::of(Decimal::ONE.checked_div(Decimal::ONE.checked_add(rate)?)?);
        let mut sum = Decimal::ZERO;
        for (whole, fraction, amount) in &grid {
            let odd = Decimal::ONE.checked_add(fraction.checked_mul(rate)?)?;
            let value = amount.checked_mul(powers.power(*whole)?)?.checked_div(odd)?;
            sum = sum.checked_add(value)?;
        }
        sum.checked_sub(advance)
    };
    let (per_year, every) = frequency.per_year();
    let yearly = |value: i128| Decimal::from_i128_with_scale(value, 0);
    let periods = yearly(per_year).checked_div(yearly(every)).ok_or(LoanError::NoAnnualRate)?;
    let high = Decimal::from(10u8).checked_div(periods).ok_or(LoanError::NoAnnualRate)?;
    root(worth, high)?.checked_mul(periods).ok_or(LoanError::NoAnnualRate)
}

/// Whole unit periods and the fraction of one from `start` to `date`, appendix J (b)(5).
fn unit_periods(
    start: Date,
    date: Date,
    frequency: Frequency,
) -> Result<(u64, Decimal), LoanError> {
    let (total, unit) = match frequency {
        Frequency::Monthly { every } => {
            let (months, odd, _) = whole_months(start, date)?;
            (months.saturating_mul(30).saturating_add(odd), i64::from(every).saturating_mul(30))
        }
        Frequency::Weekly { every } => {
            (days_between(start, date), i64::from(every).saturating_mul(7))
        }
        Frequency::Days { every } => (days_between(start, date), every.into()),
    };
    let whole = u64::try_from(total.checked_div_euclid(unit).unwrap_or(0));
    let rest = Decimal::from(total.checked_rem_euclid(unit).unwrap_or(0));
    let fraction = rest.checked_div(Decimal::from(unit)).ok_or(LoanError::NoAnnualRate)?;
    Ok((whole.map_err(|_| LoanError::NoAnnualRate)?, fraction))
}

/// Powers of one base for exponents that grow in a few different steps.
struct Powers {
    base: Decimal,
    steps: Vec<(u64, Decimal)>,
    at: (u64, Decimal),
}

impl Powers {
    const fn of(base: Decimal) -> Self {
        Self { base, steps: Vec::new(), at: (0, Decimal::ONE) }
    }

    fn power(&mut self, exponent: u64) -> Option<Decimal> {
        let Some(step) = exponent.checked_sub(self.at.0) else {
            return self.base.checked_powu(exponent);
        };
        let known = self.steps.iter().find(|(known, _)| *known == step).map(|(_, power)| *power);
        let factor = match known {
            Some(factor) => factor,
            None => {
                let factor = self.base.checked_powu(step)?;
                self.steps.push((step, factor));
                factor
            }
        };
        self.at = (exponent, self.at.1.checked_mul(factor)?);
        Some(self.at.1)
    }
}

/// Steps of the search: each at least halves the bracket every other time.
const STEPS_MAX: u32 = 200;

/// The rate in `0..=high` at which the falling function `worth` is zero, by bisection mixed with
/// false position (Illinois).
fn root(worth: impl Fn(Decimal) -> Option<Decimal>, high: Decimal) -> Result<Decimal, LoanError> {
    let value = |rate| worth(rate).ok_or(LoanError::NoAnnualRate);
    let (mut low, mut at_low) = (Decimal::ZERO, value(Decimal::ZERO)?);
    let (mut high, mut at_high) = (high, value(high)?);
    if at_low.is_zero() {
        return Ok(low);
    }
    if at_low.is_sign_negative() || at_high.is_sign_positive() {
        return Err(LoanError::NoAnnualRate);
    }
    let two = Decimal::TWO;
    for step in 0..STEPS_MAX {
        let width = high.checked_sub(low).ok_or(LoanError::NoAnnualRate)?;
        let drop = at_low.checked_sub(at_high).ok_or(LoanError::NoAnnualRate)?;
        let share = if step.is_multiple_of(3) { None } else { at_low.checked_div(drop) };
        let share = share.unwrap_or(Decimal::new(5, 1));
        let middle = width.checked_mul(share).and_then(|part| low.checked_add(part));
        let middle = middle.ok_or(LoanError::NoAnnualRate)?;
        let at_middle = value(middle)?;
        if at_middle.is_zero() || width < Decimal::new(1, 20) || middle == low || middle == high {
            return Ok(middle);
        }
        if at_middle.is_sign_positive() {
            (low, at_low) = (middle, at_middle);
            at_high = at_high.checked_div(two).unwrap_or(at_high);
        } else {
            (high, at_high) = (middle, at_middle);
            at_low = at_low.checked_div(two).unwrap_or(at_low);
        }
    }
    Ok(low)
}

fn decimal(money: Money) -> Result<Decimal, LoanError> {
    Decimal::try_from_i128_with_scale(money.minor(), 0).map_err(|_| LoanError::Overflow)
}
