//! Chain assets taken for money at a price that the operator has set: exact fractions, no float.

use api_ledger::Quote;
use uuid::Uuid;

use crate::error::{Code, Error};

/// Digits after the point that a price can have.
const PLACES_MAX: usize = 18;
/// Digits that a price can have at all.
const DIGITS_MAX: usize = 24;

/// Minor units bought for each minor unit sold, in lowest terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Price {
    pub(crate) numerator: u128,
    pub(crate) denominator: u128,
}

impl Price {
    /// The price of one unit of an asset with `base_decimals`, as a decimal number of units of a
    /// currency with `quote_decimals`.
    ///
    /// # Errors
    /// `unprocessable` for anything but a positive decimal of at most 24 digits.
    pub(crate) fn parse(text: &str, base_decimals: u8, quote_decimals: u8) -> Result<Self, Error> {
        let refuse = || {
            let detail = "price must be a positive decimal such as \"58123.45\"";
            Error::refuse(Code::Unprocessable, detail)
        };
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let pointless = text.ends_with('.') || whole.is_empty() || part.len() > PLACES_MAX;
        let long = whole.len().saturating_add(part.len()) > DIGITS_MAX;
        if pointless || long || !digits(whole) || !digits(part) {
            return Err(refuse());
        }
        let mantissa: u128 = format!("{whole}{part}").parse().map_err(|_| refuse())?;
        let places = u32::try_from(part.len()).map_err(|_| refuse())?;
        let scale = |power: u32| 10u128.checked_pow(power).ok_or_else(refuse);
        let numerator = mantissa.checked_mul(scale(quote_decimals.into())?);
        let denominator = scale(places)?.checked_mul(scale(base_decimals.into())?);
        let (numerator, denominator) = numerator.zip(denominator).ok_or_else(refuse)?;
        let common = gcd(numerator, denominator);
        let lowest = |value: u128| value.checked_div(common).ok_or_else(refuse);
        let price = Self { numerator: lowest(numerator)?, denominator: lowest(denominator)? };
        if price.numerator == 0 { Err(refuse()) } else { Ok(price) }
    }

    /// The least that must be sold to buy at least `wanted`, and what that buys.
    ///
    /// # Errors
    /// `invalid_amount` past 128 bits.
    pub(crate) fn to_buy(self, wanted: u128) -> Result<(u128, u128), Error> {
        let overflow = || Error::refuse(Code::InvalidAmount, "the amounts do not fit in 128 bits");
        let product = wanted.checked_mul(self.denominator).ok_or_else(overflow)?;
        let sold = product.div_ceil(self.numerator);
        let bought = sold.checked_mul(self.numerator).ok_or_else(overflow)?;
        Ok((sold, bought.checked_div(self.denominator).ok_or_else(overflow)?))
    }

    /// The ledger's quote with this price.
    pub(crate) fn quote(self, id: Uuid, expires_at: jiff::Timestamp) -> Quote {
        let Self { numerator, denominator } = self;
        Quote { id, numerator, denominator, expires_at }
    }
}

const fn gcd(a: u128, b: u128) -> u128 {
    let (mut a, mut b) = (a, b);
    while let Some(rest) = a.checked_rem(b) {
        (a, b) = (b, rest);
    }
    a
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_price_is_an_exact_fraction_of_minor_units() {
        // One bitcoin for 58,123.45 euros: 5,812,345 cents for 10^8 satoshi.
        let price = Price::parse("58123.45", 8, 2).unwrap();
        assert_eq!(price, Price { numerator: 1_162_469, denominator: 20_000_000 });
        let (sold, bought) = price.to_buy(10_000).unwrap();
        assert_eq!((sold, bought), (172_048, 10_000));
        // One satoshi less does not buy it.
        assert!((sold - 1) * price.numerator / price.denominator < 10_000);
        // A coarse asset buys more than was asked for, never less.
        let coarse = Price::parse("7.77", 0, 2).unwrap();
        assert_eq!(coarse.to_buy(1000).unwrap(), (2, 1554));
        assert!(price.to_buy(u128::MAX).is_err());
    }

    #[test]
    fn other_prices_are_refused() {
        let long = "9".repeat(25);
        for text in ["", ".", "1.", ".5", "0", "0.00", "-1", "+1", "1e3", "1,5", " 1", &long] {
            assert!(Price::parse(text, 8, 2).is_err(), "{text:?}");
        }
        assert!(Price::parse("0.000000000000000001", 18, 2).is_ok());
        assert!(Price::parse("0.0000000000000000001", 18, 2).is_err());
    }
}
