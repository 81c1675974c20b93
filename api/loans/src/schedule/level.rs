use rust_decimal::Decimal;

use super::Period;
use crate::terms::Terms;
use crate::{Fraction, LoanError, Money, Rate};

/// What a level instalment has to repay.
pub(super) struct Annuity<'a> {
    pub(super) terms: &'a Terms,
    pub(super) periods: &'a [Period],
    pub(super) rate: Rate,
    pub(super) balance: Money,
    /// Interest that has accrued in the first period already, and the day from which more does.
    pub(super) carry: Fraction,
    pub(super) accrue_from: jiff::civil::Date,
    /// The principal left for the last instalment.
    pub(super) residual: Money,
}

impl Annuity<'_> {
    /// The level instalment, rounded to the side of the terms.
    ///
    /// With the discount factors `v[k]` of the periods as they are (a short or long one included)
    /// the balance after the last is zero when `A = (B + c v[1] - R v[n]) / (v[1] + ... + v[n])`;
    /// for equal periods that is the textbook `B i / (1 - (1 + i)^-n)`. Computed with 28 digits.
    pub(super) fn instalment(&self) -> Result<Money, LoanError> {
        let mut factor = Decimal::ONE;
        let mut sum = Decimal::ZERO;
        let mut first = None;
        for period in self.periods {
            let from = if first.is_none() { self.accrue_from } else { period.start };
            let growth = self.growth(period, from)?;
            factor = factor.checked_div(growth).ok_or(LoanError::Overflow)?;
            sum = sum.checked_add(factor).ok_or(LoanError::Overflow)?;
            first.get_or_insert(factor);
        }
        let carried = times(decimal(self.carry)?, first.unwrap_or_default())?;
        let residual = times(whole(self.residual)?, factor)?;
        whole(self.balance)?
            .checked_add(carried)
            .and_then(|value| value.checked_sub(residual))
            .and_then(|value| value.checked_div(sum))
            .ok_or(LoanError::Overflow)
            .and_then(|value| self.round(value))
    }

    fn growth(&self, period: &Period, from: jiff::civil::Date) -> Result<Decimal, LoanError> {
        let years = decimal(period.years(self.terms, from, period.end)?)?;
        let rate = times(self.rate.to_decimal(), years)?;
        rate.checked_add(Decimal::ONE).ok_or(LoanError::Overflow)
    }

    fn round(&self, value: Decimal) -> Result<Money, LoanError> {
        let value = value.round_dp(10).normalize();
        let denominator = 10i128.checked_pow(value.scale()).ok_or(LoanError::Overflow)?;
        Fraction::new(value.mantissa(), denominator)?.round(self.terms.rounding)
    }
}

fn times(a: Decimal, b: Decimal) -> Result<Decimal, LoanError> {
    a.checked_mul(b).ok_or(LoanError::Overflow)
}

fn whole(money: Money) -> Result<Decimal, LoanError> {
    Decimal::try_from_i128_with_scale(money.minor(), 0).map_err(|_| LoanError::Overflow)
}

/// A fraction as a decimal of 28 digits: the whole part and the rest apart, since the numerator may
/// be wider than a decimal.
fn decimal(fraction: Fraction) -> Result<Decimal, LoanError> {
    let (numerator, denominator) = (fraction.numerator(), fraction.denominator());
    let part = |value: Option<i128>| {
        let value = value.ok_or(LoanError::Overflow)?;
        Decimal::try_from_i128_with_scale(value, 0).map_err(|_| LoanError::Overflow)
    };
    let whole = part(numerator.checked_div(denominator))?;
    let rest = part(numerator.checked_rem(denominator))?;
    let rest = rest.checked_div(part(Some(denominator))?).ok_or(LoanError::Overflow)?;
    whole.checked_add(rest).ok_or(LoanError::Overflow)
}
