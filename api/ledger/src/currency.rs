//! How many decimals a currency has, and amounts as people write them.

/// ISO 4217 alphabetic codes in use, by the number of decimals of their minor unit.
const NO_DECIMALS: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
const TWO_DECIMALS: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL \
    BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB \
    EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW \
    KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD \
    NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE \
    SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST \
    XCD XCG YER ZAR ZMW ZWG";
const THREE_DECIMALS: &str = "BHD IQD JOD KWD LYD OMR TND";
const FOUR_DECIMALS: &str = "CLF UYW";

/// Why a text is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Not digits with at most one point between them.
    #[error("an amount is digits with at most one point between them")]
    Syntax,
    /// More decimals than the currency has: amounts are never rounded.
    #[error("the amount has more decimals than its currency")]
    TooPrecise,
    /// It does not fit in 128 bits of minor units.
    #[error("the amount does not fit in 128 bits")]
    Overflow,
}

/// The number of decimals of an ISO 4217 currency; `None` when the code is not one.
#[must_use]
pub fn iso4217_decimals(code: &str) -> Option<u8> {
    let lists = [(NO_DECIMALS, 0), (TWO_DECIMALS, 2), (THREE_DECIMALS, 3), (FOUR_DECIMALS, 4)];
    let listed = |list: &str| list.split_whitespace().any(|listed| listed == code);
    lists.into_iter().find(|(list, _)| listed(list)).map(|(_, decimals)| decimals)
}

/// `minor` units as a decimal number: 1234 with two decimals is `12.34`.
#[must_use]
pub fn format_decimal(minor: u128, decimals: u8) -> String {
    let width = usize::from(decimals).saturating_add(1);
    let digits = format!("{minor:0>width$}");
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(usize::from(decimals)));
    if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
}

/// A decimal number as minor units, exactly.
///
/// # Errors
/// [`DecimalError`].
pub fn parse_decimal(text: &str, decimals: u8) -> Result<u128, DecimalError> {
    let (whole, fraction) = match text.split_once('.') {
        Some((_, "")) => return Err(DecimalError::Syntax),
        Some(parts) => parts,
        None => (text, ""),
    };
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
        return Err(DecimalError::Syntax);
    }
    if fraction.len() > usize::from(decimals) {
        return Err(DecimalError::TooPrecise);
    }
    let width = usize::from(decimals);
    let minor = format!("{whole}{fraction:0<width$}");
    minor.parse().map_err(|_| DecimalError::Overflow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn decimals_round_trip(minor: u128, decimals in 0_u8..40) {
            prop_assert_eq!(parse_decimal(&format_decimal(minor, decimals), decimals), Ok(minor));
        }
    }

    #[test]
    fn currencies_have_the_decimals_of_iso_4217() {
        let known = [("JPY", 0), ("EUR", 2), ("USD", 2), ("CNY", 2), ("KWD", 3), ("CLF", 4)];
        for (code, decimals) in known {
            assert_eq!(iso4217_decimals(code), Some(decimals), "{code}");
        }
        assert_eq!(iso4217_decimals("BTC"), None);
        assert_eq!(iso4217_decimals("eur"), None);
        assert_eq!(iso4217_decimals(""), None);
    }

    #[test]
    fn promise_25_amounts_are_never_rounded_or_guessed() {
        assert_eq!(parse_decimal("12.5", 2), Ok(1250));
        assert_eq!(parse_decimal("0.01", 2), Ok(1));
        assert_eq!(parse_decimal("0.010", 2), Err(DecimalError::TooPrecise));
        assert_eq!(parse_decimal("1.5", 0), Err(DecimalError::TooPrecise));
        for bad in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "1.2.3", " 1", "١"] {
            assert_eq!(parse_decimal(bad, 2), Err(DecimalError::Syntax), "{bad:?}");
        }
        let max = format_decimal(u128::MAX, 18);
        assert_eq!(parse_decimal(&max, 18), Ok(u128::MAX));
        assert_eq!(parse_decimal(&max, 19), Err(DecimalError::Overflow));
    }
}
