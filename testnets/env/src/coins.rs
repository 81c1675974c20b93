use bitcoin::address::{Address as BitcoinAddress, NetworkUnchecked};
use bitcoin::{Network, base58};
use chain_core::{Amount, ChainFamily};

use crate::error::{Error, Result};

/// Tells the network from the form of an address.
///
/// # Errors
/// [`Error::Refused`] when it is an address of none of the local networks.
pub fn family_of(address: &str) -> Result<ChainFamily> {
    if is_evm(address) {
        return Ok(ChainFamily::Evm);
    }
    let parsed = address.parse::<BitcoinAddress<NetworkUnchecked>>();
    if let Ok(parsed) = parsed {
        return match parsed.require_network(Network::Regtest) {
            Ok(_) => Ok(ChainFamily::Bitcoin),
            Err(_) => Err(Error::Refused(format!(
                "{address} is a Bitcoin address, but not of regtest: those begin with bcrt1, m, n or 2"
            ))),
        };
    }
    if base58::decode(address).is_ok_and(|bytes| bytes.len() == 32) {
        return Ok(ChainFamily::Solana);
    }
    Err(Error::Refused(format!(
        "{address} is not an address: wanted 0x and 40 hex digits (EVM), bcrt1… (Bitcoin) or base58 of 32 bytes (Solana)"
    )))
}

/// Hex of 20 bytes; in mixed case the EIP-55 checksum must hold.
fn is_evm(address: &str) -> bool {
    let Some(digits) = address.strip_prefix("0x") else { return false };
    let lower = digits.to_ascii_lowercase();
    if digits == lower || digits == digits.to_ascii_uppercase() {
        return address.parse::<alloy_primitives::Address>().is_ok();
    }
    alloy_primitives::Address::parse_checksummed(address, None).is_ok()
}

/// The smallest units of `text` coins of an asset with `decimals` places, exactly: `1.5` of a coin
/// with 8 places is 150,000,000.
///
/// # Errors
/// [`Error::Refused`] for zero, for more places than the asset has, and for what is no number.
pub fn parse_amount(text: &str, decimals: u8) -> Result<Amount> {
    let refused = |reason: &str| Error::Refused(format!("{text:?} is not an amount: {reason}"));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits_only =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits_only(whole) || !digits_only(fraction) {
        return Err(refused("write it like 2 or 1.5"));
    }
    let fraction = fraction.trim_end_matches('0');
    let places = usize::from(decimals);
    if fraction.len() > places {
        return Err(refused(&format!("this asset has {decimals} decimal places")));
    }
    let minor: u128 =
        format!("{whole}{fraction:0<places$}").parse().map_err(|_| refused("too large"))?;
    if minor == 0 { Err(refused("nothing to send")) } else { Ok(Amount::new(minor)) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_network_is_told_from_the_address() {
        let cases = [
            ("0x70997970C51812dc3A010C7d01b50e0d17dc79C8", ChainFamily::Evm),
            ("0x70997970c51812dc3a010c7d01b50e0d17dc79c8", ChainFamily::Evm),
            ("bcrt1q6rz28mcfaxtmd6v789l9rrlrusdprr9pz3cppk", ChainFamily::Bitcoin),
            ("mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", ChainFamily::Bitcoin),
            ("DDX1QPoMoUWoLrPPVX1Vev8vAgyfTnZYPWH7j2PvS6YC", ChainFamily::Solana),
        ];
        for (address, family) in cases {
            assert_eq!(family_of(address).unwrap(), family, "{address}");
        }
    }

    #[test]
    fn addresses_of_other_networks_and_with_bad_checksums_are_refused() {
        for bad in [
            "",
            "0x70997970c51812dc3a010c7d01b50e0d17dc79C8",
            "0x7099",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            "bcrt1q6rz28mcfaxtmd6v789l9rrlrusdprr9pz3cppx",
            "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",
            "hello",
        ] {
            assert!(family_of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn amounts_are_exact_or_refused() {
        assert_eq!(parse_amount("1.5", 8).unwrap(), Amount::new(150_000_000));
        assert_eq!(parse_amount("2", 18).unwrap(), Amount::new(2_000_000_000_000_000_000));
        assert_eq!(parse_amount("0.10", 1).unwrap(), Amount::new(1));
        for bad in ["", ".", "1.", ".5", "-1", "+1", "1e3", "0", "0.0", "1.23", "1_000"] {
            assert!(parse_amount(bad, 1).is_err(), "{bad}");
        }
        assert!(parse_amount(&"9".repeat(40), 0).is_err());
    }

    proptest! {
        #[test]
        fn whole_and_fraction_round_trip(minor in 1_u64.., decimals in 0_u8..19) {
            let unit = 10_u64.pow(u32::from(decimals));
            let places = usize::from(decimals);
            let text = if decimals == 0 { minor.to_string() } else {
                format!("{}.{:0places$}", minor / unit, minor % unit)
            };
            prop_assert_eq!(parse_amount(&text, decimals).unwrap(), Amount::from(minor));
        }
    }
}
