use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Fraction, LoanError, Money};

/// An annual rate or a share as an exact decimal with at most eight places: `0.0435` is 4.35 %.
/// It lies between 0 and 10 (1000 %).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(i128);

impl Rate {
    /// No interest.
    pub const ZERO: Self = Self(0);
    /// Units per 1: a rate is held in hundred-millionths.
    pub const SCALE: i128 = 100_000_000;
    const PLACES: u32 = 8;

    /// `value` as a rate.
    ///
    /// # Errors
    /// [`LoanError::RateOutOfRange`] outside 0 to 10 or with more than eight places.
    pub fn new(value: Decimal) -> Result<Self, LoanError> {
        let value = value.normalize();
        let fits = value.scale() <= Self::PLACES
            && !value.is_sign_negative()
            && value <= Decimal::from(10u8);
        if !fits {
            return Err(LoanError::RateOutOfRange);
        }
        let shift = Self::PLACES.saturating_sub(value.scale());
        let unit = 10i128.checked_pow(shift).ok_or(LoanError::RateOutOfRange)?;
        value.mantissa().checked_mul(unit).map(Self).ok_or(LoanError::RateOutOfRange)
    }

    /// The rate that a text such as `"0.0435"` states.
    ///
    /// # Errors
    /// [`LoanError::RateOutOfRange`] for anything that is not such a decimal.
    pub fn parse(text: &str) -> Result<Self, LoanError> {
        Self::new(Decimal::from_str_exact(text).map_err(|_| LoanError::RateOutOfRange)?)
    }

    /// The rate as a decimal.
    #[must_use]
    pub fn to_decimal(self) -> Decimal {
        Decimal::from_i128_with_scale(self.0, Self::PLACES).normalize()
    }

    /// True when nothing is charged.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The exact interest on `balance` over a fraction of a year.
    ///
    /// # Errors
    /// [`LoanError::Overflow`] past 128 bits.
    pub fn interest(self, balance: Money, years: Fraction) -> Result<Fraction, LoanError> {
        let yearly = balance.minor().checked_mul(self.0).ok_or(LoanError::Overflow)?;
        let numerator = yearly.checked_mul(years.numerator()).ok_or(LoanError::Overflow)?;
        let denominator =
            years.denominator().checked_mul(Self::SCALE).ok_or(LoanError::Overflow)?;
        Fraction::new(numerator, denominator)
    }

    /// The exact share of an amount.
    ///
    /// # Errors
    /// [`LoanError::Overflow`] past 128 bits.
    pub fn of(self, amount: Money) -> Result<Fraction, LoanError> {
        self.interest(amount, Fraction::new(1, 1)?)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.to_decimal())
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::Rounding;

    #[test]
    fn rates_are_exact_and_bounded() {
        assert_eq!(serde_json::to_string(&Rate::parse("0.04350").unwrap()).unwrap(), "\"0.0435\"");
        for bad in ["", "-0.01", "10.1", "0.123456789", "1e-2", "NaN", "5 %"] {
            assert!(matches!(Rate::parse(bad), Err(LoanError::RateOutOfRange)), "{bad:?}");
        }
        assert_eq!(Rate::parse("10").unwrap().to_decimal(), Decimal::from(10));
    }

    #[test]
    fn promise_33_interest_is_an_exact_rational() {
        let month = Fraction::new(30, 360).unwrap();
        let exact = Rate::parse("0.12").unwrap().interest(Money::new(100_050), month).unwrap();
        assert_eq!(exact.round(Rounding::Down).unwrap(), Money::new(1000));
        assert_eq!(exact.round(Rounding::HalfUp).unwrap(), Money::new(1001), "1000.5 exactly");
    }
}
