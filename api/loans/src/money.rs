use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::LoanError;

/// A signed amount in minor units of the loan's currency. In JSON it is a decimal string.
///
/// It has no operators: every sum and difference is checked. Its currency is that of the loan's
/// terms; a payment in another currency is refused before an amount of it reaches the engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i128);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount the engine takes as input: 10^17 minor units. It leaves room for exact
    /// fractions of a day's interest in 128 bits.
    pub const MAX_INPUT: Self = Self(100_000_000_000_000_000);

    /// `minor` units.
    #[must_use]
    pub const fn new(minor: i128) -> Self {
        Self(minor)
    }

    /// The number of minor units.
    #[must_use]
    pub const fn minor(self) -> i128 {
        self.0
    }

    /// True for zero.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// True above zero.
    #[must_use]
    pub const fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// True below zero.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// The sum.
    ///
    /// # Errors
    /// [`LoanError::Overflow`] past 128 bits.
    pub fn plus(self, other: Self) -> Result<Self, LoanError> {
        self.0.checked_add(other.0).map(Self).ok_or(LoanError::Overflow)
    }

    /// The difference, which may be negative.
    ///
    /// # Errors
    /// [`LoanError::Overflow`] past 128 bits.
    pub fn minus(self, other: Self) -> Result<Self, LoanError> {
        self.0.checked_sub(other.0).map(Self).ok_or(LoanError::Overflow)
    }

    /// The sum of many amounts.
    ///
    /// # Errors
    /// [`LoanError::Overflow`] past 128 bits.
    pub fn sum(amounts: impl IntoIterator<Item = Self>) -> Result<Self, LoanError> {
        amounts.into_iter().try_fold(Self::ZERO, Self::plus)
    }

    /// This amount when it may enter the engine from outside: above zero and at most
    /// [`Money::MAX_INPUT`].
    ///
    /// # Errors
    /// [`LoanError::AmountOutOfRange`].
    pub fn checked_input(self) -> Result<Self, LoanError> {
        if self.is_positive() && self <= Self::MAX_INPUT {
            Ok(self)
        } else {
            Err(LoanError::AmountOutOfRange)
        }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for Money {
    type Err = LoanError;

    fn from_str(text: &str) -> Result<Self, LoanError> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let padded = digits.len() > 1 && digits.starts_with('0');
        if !plain || padded || text == "-0" {
            return Err(LoanError::AmountSyntax);
        }
        text.parse().map(Self).map_err(|_| LoanError::Overflow)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_round_trips(minor: i128) {
            let money = Money::new(minor);
            prop_assert_eq!(money.to_string().parse::<Money>().ok(), Some(money));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in ["", "-", "+1", "1.0", "1e3", " 1", "01", "-0", "--1", "0x1"] {
            assert!(matches!(bad.parse::<Money>(), Err(LoanError::AmountSyntax)), "{bad:?}");
        }
        assert!(serde_json::from_str::<Money>("7").is_err(), "a JSON number is refused");
    }
}
