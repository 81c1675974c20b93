//! RLP (Ethereum Yellow Paper, appendix B), canonical encodings only.

use super::AnchorError;

/// An item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// A string of bytes.
    Bytes(&'a [u8]),
    /// The encodings of a list's items, one after another.
    List(&'a [u8]),
}

const MALFORMED: AnchorError = AnchorError::Malformed("the evidence is not canonical RLP");

/// Reads one item that fills `bytes`.
pub(super) fn decode(bytes: &[u8]) -> Result<Item<'_>, AnchorError> {
    match split(bytes)? {
        (item, []) => Ok(item),
        _ => Err(MALFORMED),
    }
}

/// Reads a list that fills `bytes`, with its items.
pub(super) fn decode_list(bytes: &[u8]) -> Result<Vec<Item<'_>>, AnchorError> {
    decode(bytes)?.items()
}

impl<'a> Item<'a> {
    /// The items of a list.
    pub(super) fn items(self) -> Result<Vec<Item<'a>>, AnchorError> {
        let Self::List(mut rest) = self else { return Err(MALFORMED) };
        let mut items = Vec::new();
        while !rest.is_empty() {
            let (item, after) = split(rest)?;
            items.push(item);
            rest = after;
        }
        Ok(items)
    }

    /// The bytes of a string.
    pub(super) fn bytes(self) -> Result<&'a [u8], AnchorError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::List(_) => Err(MALFORMED),
        }
    }

    /// An integer of at most 64 bits, without leading zeros.
    pub(super) fn integer(self) -> Result<u64, AnchorError> {
        let bytes = self.bytes()?;
        if bytes.len() > 8 || bytes.first() == Some(&0) {
            return Err(MALFORMED);
        }
        Ok(big_endian(bytes))
    }
}

/// The encoding of an integer.
pub(super) fn encode_integer(value: u64) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let significant = &bytes[(value.leading_zeros() / 8) as usize..];
    match significant {
        [] => vec![0x80],
        [small @ 0..0x80] => vec![*small],
        _ => [&[0x80 | significant.len().to_le_bytes()[0]], significant].concat(),
    }
}

fn split(bytes: &[u8]) -> Result<(Item<'_>, &[u8]), AnchorError> {
    let (&first, rest) = bytes.split_first().ok_or(MALFORMED)?;
    if first < 0x80 {
        return Ok((Item::Bytes(&bytes[..1]), rest));
    }
    let is_list = first >= 0xc0;
    let base = if is_list { 0xc0 } else { 0x80 };
    let (content, rest) = match usize::from(first - base) {
        short @ 0..=55 => rest.split_at_checked(short).ok_or(MALFORMED)?,
        long => split_long(rest, long - 55)?,
    };
    if is_list {
        return Ok((Item::List(content), rest));
    }
    // A single byte below 0x80 stands for itself.
    if matches!(content, [0..0x80]) { Err(MALFORMED) } else { Ok((Item::Bytes(content), rest)) }
}

fn split_long(bytes: &[u8], width: usize) -> Result<(&[u8], &[u8]), AnchorError> {
    let (length, rest) = bytes.split_at_checked(width).ok_or(MALFORMED)?;
    let value = big_endian(length);
    if length.first() == Some(&0) || value <= 55 {
        return Err(MALFORMED);
    }
    let value = usize::try_from(value).map_err(|_| MALFORMED)?;
    rest.split_at_checked(value).ok_or(MALFORMED)
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_examples_of_the_specification() {
        assert_eq!(decode(b"\x83dog").unwrap(), Item::Bytes(b"dog"));
        assert_eq!(decode_list(b"\xc8\x83cat\x83dog").unwrap().len(), 2);
        assert_eq!(decode(b"\x80").unwrap(), Item::Bytes(b""));
        assert_eq!(decode(b"\x0f").unwrap().integer().unwrap(), 15);
        assert_eq!(decode(b"\x82\x04\x00").unwrap().integer().unwrap(), 1024);
        assert_eq!(encode_integer(0), [0x80]);
        assert_eq!(encode_integer(15), [15]);
        assert_eq!(encode_integer(1024), [0x82, 4, 0]);
        assert_eq!(encode_integer(0x80), [0x81, 0x80]);
        assert_eq!(decode_list(b"\xc7\xc0\xc1\xc0\xc3\xc0\xc1\xc0").unwrap().len(), 3);
    }

    #[test]
    fn second_spellings_are_refused() {
        for wrong in
            [&b"\x81\x05"[..], b"\xb8\x01\xff", b"\x83do", b"\x80\x80", b"\xb9\x00\x38", b""]
        {
            assert_eq!(decode(wrong), Err(MALFORMED), "{wrong:?}");
        }
        assert_eq!(Item::Bytes(b"\x00").integer(), Err(MALFORMED));
    }
}
