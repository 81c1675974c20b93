//! How 128-bit numbers are stored: unsigned, big-endian, without leading zeros (nothing is zero).

use api_store::StoreError;

/// The bytes of `value` without leading zeros.
pub(crate) fn encode(value: u128) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default().to_vec()
}

/// The number that [`encode`] wrote.
///
/// # Errors
/// [`StoreError::Damaged`] for more than 16 bytes or a leading zero.
pub(crate) fn decode(bytes: &[u8]) -> Result<u128, StoreError> {
    if bytes.len() > 16 || bytes.first() == Some(&0) {
        return Err(StoreError::Damaged("an amount is not in its shortest form".to_owned()));
    }
    Ok(bytes.iter().fold(0, |value, byte| (value << 8) | u128::from(*byte)))
}

/// The floor of an account, in two's complement; `None` is no floor.
pub(crate) fn decode_floor(bytes: Option<&[u8]>) -> Result<Option<i128>, StoreError> {
    let damaged = || StoreError::Damaged("a floor is not 16 bytes".to_owned());
    bytes.map(|bytes| bytes.try_into().map(i128::from_be_bytes).map_err(|_| damaged())).transpose()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_round_trip_in_their_shortest_form(value: u128, shift in 0_u32..128) {
            let value = value >> shift;
            let bytes = encode(value);
            prop_assert_eq!(bytes.len(), (128 - value.leading_zeros() as usize).div_ceil(8));
            prop_assert_eq!(decode(&bytes).unwrap(), value);
        }
    }

    #[test]
    fn other_forms_are_damage() {
        assert!(decode(&[0]).is_err());
        assert!(decode(&[0, 1]).is_err());
        assert!(decode(&[1; 17]).is_err());
        assert!(decode_floor(Some(&[0; 15])).is_err());
        assert_eq!(decode_floor(Some(&(-5_i128).to_be_bytes())).unwrap(), Some(-5));
    }
}
