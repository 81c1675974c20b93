use serde::{Deserialize, Serialize};

use crate::{LoanError, Money};

/// An exact fraction of minor units, or of a year. Interest stays in this form until it is billed
/// or posted, and is rounded once, to a stated side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fraction {
    numerator: i128,
    denominator: i128,
}

/// The side to which a fraction of a minor unit is rounded. The terms of each loan name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// To the nearest unit, a half away from zero.
    #[default]
    HalfUp,
    /// To the nearest unit, a half to the even one.
    HalfEven,
    /// Towards plus infinity: in the lender's favour for interest.
    Up,
    /// Towards minus infinity: in the borrower's favour for interest.
    Down,
}

impl Fraction {
    /// Nothing.
    pub const ZERO: Self = Self { numerator: 0, denominator: 1 };

    /// `numerator / denominator`.
    ///
    /// # Errors
    /// [`LoanError::Overflow`] when the denominator is not above zero.
    pub fn new(numerator: i128, denominator: i128) -> Result<Self, LoanError> {
        if denominator <= 0 {
            return Err(LoanError::Overflow);
        }
        Ok(Self { numerator, denominator })
    }

    /// The numerator; the denominator is always above zero.
    #[must_use]
    pub const fn numerator(self) -> i128 {
        self.numerator
    }

    /// The denominator, above zero.
    #[must_use]
    pub const fn denominator(self) -> i128 {
        self.denominator
    }

    /// The sum.
    ///
    /// # Errors
    /// [`LoanError::Overflow`] when the common denominator leaves 128 bits.
    pub fn plus(self, other: Self) -> Result<Self, LoanError> {
        if self.denominator == other.denominator {
            let numerator = self.numerator.checked_add(other.numerator);
            return Ok(Self { numerator: numerator.ok_or(LoanError::Overflow)?, ..self });
        }
        if self.numerator == 0 {
            return Ok(other);
        }
        if other.numerator == 0 {
            return Ok(self);
        }
        let shared = gcd(self.denominator, other.denominator);
        let left = other.denominator.checked_div(shared);
        let right = self.denominator.checked_div(shared);
        let scale = |value: i128, by: Option<i128>| by.and_then(|by| value.checked_mul(by));
        scale(self.numerator, left)
            .zip(scale(other.numerator, right))
            .and_then(|(a, b)| a.checked_add(b))
            .zip(scale(self.denominator, left))
            .map(|(numerator, denominator)| Self { numerator, denominator })
            .ok_or(LoanError::Overflow)
    }

    /// The difference.
    ///
    /// # Errors
    /// [`LoanError::Overflow`], as for [`Fraction::plus`].
    pub fn minus(self, other: Self) -> Result<Self, LoanError> {
        let numerator = other.numerator.checked_neg().ok_or(LoanError::Overflow)?;
        self.plus(Self { numerator, ..other })
    }

    /// The product with an integer.
    ///
    /// # Errors
    /// [`LoanError::Overflow`] past 128 bits.
    pub fn times(self, factor: i128) -> Result<Self, LoanError> {
        let shared = gcd(factor.checked_abs().ok_or(LoanError::Overflow)?, self.denominator).max(1);
        let factor = factor.checked_div(shared).ok_or(LoanError::Overflow)?;
        let denominator = self.denominator.checked_div(shared).ok_or(LoanError::Overflow)?;
        let numerator = self.numerator.checked_mul(factor).ok_or(LoanError::Overflow)?;
        Ok(Self { numerator, denominator })
    }

    /// The whole minor units, rounded to the stated side.
    ///
    /// # Errors
    /// [`LoanError::Overflow`] past 128 bits.
    pub fn round(self, side: Rounding) -> Result<Money, LoanError> {
        let floor = self.numerator.checked_div_euclid(self.denominator);
        let rest = self.numerator.checked_rem_euclid(self.denominator);
        let (floor, rest) = floor.zip(rest).ok_or(LoanError::Overflow)?;
        let twice = rest.checked_mul(2).ok_or(LoanError::Overflow)?;
        let above_half = twice > self.denominator;
        let at_half = twice == self.denominator;
        let up = match side {
            Rounding::HalfUp => above_half || (at_half && self.numerator >= 0),
            Rounding::HalfEven => above_half || (at_half && floor.rem_euclid(2) == 1),
            Rounding::Up => rest > 0,
            Rounding::Down => false,
        };
        floor.checked_add(i128::from(up)).map(Money::new).ok_or(LoanError::Overflow)
    }
}

fn gcd(mut a: i128, mut b: i128) -> i128 {
    while b != 0 {
        (a, b) = (b, a.checked_rem(b).unwrap_or(0));
    }
    a
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn rounded(numerator: i128, denominator: i128, side: Rounding) -> i128 {
        Fraction::new(numerator, denominator).unwrap().round(side).unwrap().minor()
    }

    #[test]
    fn promise_33_the_rounding_side_is_stated() {
        let sides = [Rounding::HalfUp, Rounding::HalfEven, Rounding::Up, Rounding::Down];
        for (numerator, expected) in
            [(5, [3, 2, 3, 2]), (7, [4, 4, 4, 3]), (4, [2; 4]), (-5, [-3, -2, -2, -3])]
        {
            assert_eq!(sides.map(|side| rounded(numerator, 2, side)), expected, "{numerator}/2");
        }
        assert_eq!(rounded(1, 3, Rounding::HalfUp), 0);
        assert_eq!(rounded(2, 3, Rounding::HalfEven), 1);
    }

    proptest! {
        #[test]
        fn sums_are_exact(a in -1_000_000i128..1_000_000, b in 1i128..400, c in -1_000_000i128..1_000_000, d in 1i128..400) {
            let sum = Fraction::new(a, b).unwrap().plus(Fraction::new(c, d).unwrap()).unwrap();
            prop_assert_eq!(sum.numerator() * b * d, (a * d + c * b) * sum.denominator());
            let back = sum.minus(Fraction::new(c, d).unwrap()).unwrap();
            prop_assert_eq!(back.numerator() * b, a * back.denominator());
        }

        #[test]
        fn products_are_exact(a in -1_000_000i128..1_000_000, b in 1i128..400, k in -1000i128..1000) {
            let product = Fraction::new(a, b).unwrap().times(k).unwrap();
            prop_assert_eq!(product.numerator() * b, a * k * product.denominator());
        }
    }
}
