use alloy_primitives::Address as RawAddress;
use chain_core::{Address, ChainFamily, ChainId, IdError, UncheckedAddress};
use k256::ecdsa::VerifyingKey;

/// Checks the text of an address and gives its canonical form, EIP-55 mixed case.
///
/// All-lower-case digits carry no checksum and are accepted; any other text must be exactly the
/// EIP-55 form. The zero address is refused: nobody holds its key.
///
/// # Errors
/// [`IdError::Address`] with the reason in the user's words.
pub fn check_address(chain: &ChainId, given: &UncheckedAddress) -> Result<Address, IdError> {
    let refuse = |reason: &str| IdError::Address {
        text: given.0.clone(),
        chain: chain.clone(),
        reason: reason.to_owned(),
    };
    if chain.family() != ChainFamily::Evm {
        return Err(refuse("that network is not an EVM chain"));
    }
    let digits = given.0.strip_prefix("0x").ok_or_else(|| refuse("it does not start with 0x"))?;
    if digits.len() != 40 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(refuse("it is not 0x and 40 hexadecimal digits"));
    }
    let raw: RawAddress = digits.parse().map_err(|_| refuse("it is not hexadecimal"))?;
    if raw.is_zero() {
        return Err(refuse("nobody can spend from the zero address"));
    }
    let canonical = raw.to_checksum(None);
    let has_no_checksum = !digits.bytes().any(|byte| byte.is_ascii_uppercase());
    if has_no_checksum || canonical == given.0 {
        Ok(Address::from_canonical(chain.clone(), canonical))
    } else {
        Err(refuse("its upper and lower case do not match the EIP-55 checksum: a digit is wrong"))
    }
}

/// The address of a compressed secp256k1 public key: the last 20 bytes of the Keccak-256 of the
/// uncompressed point.
///
/// # Errors
/// [`IdError::Address`] when `chain` is not an EVM chain or the bytes are no point of the curve.
pub fn address_of_public_key(chain: &ChainId, public_key: &[u8; 33]) -> Result<Address, IdError> {
    let refuse = |reason: &str| IdError::Address {
        text: alloy_primitives::hex::encode(public_key),
        chain: chain.clone(),
        reason: reason.to_owned(),
    };
    if chain.family() != ChainFamily::Evm {
        return Err(refuse("that network is not an EVM chain"));
    }
    let key = VerifyingKey::from_sec1_bytes(public_key)
        .map_err(|_| refuse("it is not a public key of secp256k1"))?;
    Ok(canonical(chain, &RawAddress::from_public_key(&key)))
}

/// The canonical text of 20 bytes that need no check.
pub(crate) fn canonical(chain: &ChainId, raw: &RawAddress) -> Address {
    Address::from_canonical(chain.clone(), raw.to_checksum(None))
}

/// Checks an address again, however checked it says that it is, and gives its 20 bytes.
pub(crate) fn raw(chain: &ChainId, address: &Address) -> Result<RawAddress, IdError> {
    let refuse = |reason: &str| IdError::Address {
        text: address.to_string(),
        chain: chain.clone(),
        reason: reason.to_owned(),
    };
    if address.chain() != chain {
        return Err(refuse("it belongs to another network"));
    }
    let checked = check_address(chain, &address.to_unchecked())?;
    if checked != *address {
        return Err(refuse("it is not in its canonical form"));
    }
    address.as_str().parse().map_err(|_| refuse("it is not hexadecimal"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn mainnet() -> ChainId {
        "eip155:1".parse().unwrap()
    }

    fn check(text: &str) -> Result<Address, IdError> {
        check_address(&mainnet(), &UncheckedAddress(text.to_owned()))
    }

    #[test]
    fn one_wrong_case_breaks_the_checksum() {
        let good = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
        assert_eq!(check(good).unwrap().as_str(), good);
        assert_eq!(check(&good.to_lowercase()).unwrap().as_str(), good);
        for position in 2..good.len() {
            let mut flipped = good.as_bytes().to_vec();
            if !flipped[position].is_ascii_alphabetic() {
                continue;
            }
            flipped[position] ^= 0x20;
            let flipped = String::from_utf8(flipped).unwrap();
            assert!(check(&flipped).is_err(), "{flipped}");
        }
        assert!(check(&format!("0x{}", good[2..].to_uppercase())).is_err());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in [
            "",
            "0x",
            "0x0000000000000000000000000000000000000000",
            "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "0X5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            " 0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe",
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed0",
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeg",
            "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu",
            "vitalik.eth",
        ] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn another_family_is_refused() {
        let chain: ChainId = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp".parse().unwrap();
        let address = UncheckedAddress("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed".to_owned());
        assert!(check_address(&chain, &address).is_err());
        assert!(address_of_public_key(&chain, &[2; 33]).is_err());
    }

    #[test]
    fn the_generator_has_its_known_address() {
        let generator = alloy_primitives::hex!(
            "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
        );
        let address = address_of_public_key(&mainnet(), &generator).unwrap();
        assert_eq!(address.as_str(), "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf");
        assert!(address_of_public_key(&mainnet(), &[5; 33]).is_err());
    }
}
