use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An unsigned amount in the smallest unit of its asset (satoshi, wei, lamport, token unit).
///
/// It has no arithmetic operators: every sum and difference is checked. In JSON it is a decimal
/// string, because JSON numbers lose precision above 2^53.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(u128);

/// Why an amount could not be read or computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// The text is not a decimal integer without sign, leading zero or spaces.
    #[error("an amount is a decimal integer in minor units without sign, spaces or leading zeros")]
    Syntax,
    /// The value does not fit in 128 bits.
    #[error("the amount does not fit in 128 bits")]
    Overflow,
    /// A difference would be negative.
    #[error("the amount would be negative")]
    Underflow,
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// `minor` units of the asset.
    #[must_use]
    pub const fn new(minor: u128) -> Self {
        Self(minor)
    }

    /// The number of minor units.
    #[must_use]
    pub const fn minor(self) -> u128 {
        self.0
    }

    /// True for zero.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum.
    ///
    /// # Errors
    /// [`AmountError::Overflow`] past 128 bits.
    pub fn checked_add(self, other: Self) -> Result<Self, AmountError> {
        self.0.checked_add(other.0).map(Self).ok_or(AmountError::Overflow)
    }

    /// The difference.
    ///
    /// # Errors
    /// [`AmountError::Underflow`] when `other` is larger.
    pub fn checked_sub(self, other: Self) -> Result<Self, AmountError> {
        self.0.checked_sub(other.0).map(Self).ok_or(AmountError::Underflow)
    }

    /// The product with a count, for example gas times price.
    ///
    /// # Errors
    /// [`AmountError::Overflow`] past 128 bits.
    pub fn checked_mul(self, count: u128) -> Result<Self, AmountError> {
        self.0.checked_mul(count).map(Self).ok_or(AmountError::Overflow)
    }

    /// The sum of many amounts.
    ///
    /// # Errors
    /// [`AmountError::Overflow`] past 128 bits.
    pub fn checked_sum(amounts: impl IntoIterator<Item = Self>) -> Result<Self, AmountError> {
        amounts.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }

    /// The number of minor units where a chain counts in 64 bits (satoshi, lamport, SPL unit).
    ///
    /// # Errors
    /// [`AmountError::Overflow`] past 64 bits.
    pub fn to_u64(self) -> Result<u64, AmountError> {
        u64::try_from(self.0).map_err(|_| AmountError::Overflow)
    }
}

impl From<u64> for Amount {
    fn from(minor: u64) -> Self {
        Self(u128::from(minor))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let digits_only = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits_only || (text.len() > 1 && text.starts_with('0')) {
            return Err(AmountError::Syntax);
        }
        text.parse().map(Self).map_err(|_| AmountError::Overflow)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// An amount as it was seen on a chain, where values may be wider than our books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScannedAmount {
    /// It fits in 128 bits.
    Exact(Amount),
    /// It does not; the decimal text is kept for an operator, and nothing is credited.
    TooLarge(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_round_trips(minor: u128) {
            let amount = Amount::new(minor);
            prop_assert_eq!(amount.to_string().parse::<Amount>(), Ok(amount));
        }

        #[test]
        fn sums_and_differences_agree(a: u128, b: u128) {
            let (a, b) = (Amount::new(a), Amount::new(b));
            if let Ok(sum) = a.checked_add(b) {
                prop_assert_eq!(sum.checked_sub(b), Ok(a));
            } else {
                prop_assert!(a.minor() > u128::MAX - b.minor());
            }
        }
    }

    #[test]
    fn promise_25_amounts_are_decimal_strings_of_minor_units() {
        for bad in ["", "-1", "+1", "1.0", "1e3", " 1", "01", "0x1", "١"] {
            assert_eq!(bad.parse::<Amount>(), Err(AmountError::Syntax), "{bad:?}");
        }
        let past_128_bits = "340282366920938463463374607431768211456";
        assert_eq!(past_128_bits.parse::<Amount>(), Err(AmountError::Overflow));
        assert_eq!(serde_json::to_string(&Amount::new(7)).ok().as_deref(), Some("\"7\""));
        assert!(serde_json::from_str::<Amount>("7").is_err(), "a JSON number is refused");
    }

    #[test]
    fn overflow_is_an_error() {
        let max = Amount::new(u128::MAX);
        assert_eq!(max.checked_add(Amount::new(1)), Err(AmountError::Overflow));
        assert_eq!(max.checked_mul(2), Err(AmountError::Overflow));
        assert_eq!(Amount::ZERO.checked_sub(max), Err(AmountError::Underflow));
        assert_eq!(max.to_u64(), Err(AmountError::Overflow));
    }
}
