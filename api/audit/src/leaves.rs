//! What the sequencer needs of the records that wait, kept with their batch: one row is read then, not
//! one for each record.

use api_verify::merkle::Hash;

use crate::AuditError;

/// The hash of a record's leaf, and the stream that the record belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) hash: Hash,
    pub(crate) stream: Option<String>,
}

/// For each: the hash, a big-endian `u32`, the stream's name. The number is 0 without a stream, and one
/// more than the length of its name with one.
pub(crate) fn encode<'a>(
    leaves: impl Iterator<Item = (Hash, Option<&'a str>)>,
) -> Result<Vec<u8>, AuditError> {
    let mut bytes = Vec::new();
    for (hash, stream) in leaves {
        let length = stream.map_or(Ok(0), |name| u32::try_from(name.len() + 1));
        let length = length.map_err(|_| AuditError::Record("its stream is too long".to_owned()))?;
        bytes.extend(hash);
        bytes.extend(length.to_be_bytes());
        bytes.extend(stream.unwrap_or_default().as_bytes());
    }
    Ok(bytes)
}

/// Undoes [`encode`]; `None` if that did not make it.
pub(crate) fn decode(mut bytes: &[u8]) -> Option<Vec<Leaf>> {
    let mut leaves = Vec::with_capacity(bytes.len() / 36);
    while !bytes.is_empty() {
        let (hash, after) = bytes.split_first_chunk::<32>()?;
        let (length, after) = after.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (name, after) = after.split_at_checked(length.saturating_sub(1))?;
        let name = (length > 0).then(|| std::str::from_utf8(name)).transpose().ok()?;
        leaves.push(Leaf { hash: *hash, stream: name.map(str::to_owned) });
        bytes = after;
    }
    Some(leaves)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_written_is_read(
            list in prop::collection::vec((any::<[u8; 32]>(), prop::option::of(".{0,9}")), 0..20),
            cut in 1..36_usize,
        ) {
            let list: Vec<Leaf> =
                list.into_iter().map(|(hash, stream)| Leaf { hash, stream }).collect();
            let bytes =
                encode(list.iter().map(|leaf| (leaf.hash, leaf.stream.as_deref()))).unwrap();
            prop_assert_eq!(decode(&bytes), Some(list.clone()));
            if let Some(short) = bytes.len().checked_sub(cut) {
                prop_assert_ne!(decode(&bytes[..short]), Some(list));
            }
        }

        #[test]
        fn anything_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            if let Some(list) = decode(&bytes) {
                let again = encode(list.iter().map(|leaf| (leaf.hash, leaf.stream.as_deref())));
                prop_assert_eq!(again.unwrap(), bytes);
            }
        }
    }
}
