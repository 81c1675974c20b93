use chain_core::AnchorCommitment;

const PREFIX: &str = "roadstead:1:";

/// The memo that anchors a checkpoint: `roadstead:1:<origin>:<size>:<checkpoint>`, the two hashes
/// in lower-case hex, the size in decimal.
#[must_use]
pub fn anchor_memo(commitment: &AnchorCommitment) -> String {
    let AnchorCommitment { origin, size, checkpoint } = commitment;
    format!("{PREFIX}{}:{size}:{}", hex::encode(origin), hex::encode(checkpoint))
}

/// Reads a memo back; `None` for any text that [`anchor_memo`] does not write.
pub(crate) fn read_memo(memo: &[u8]) -> Option<AnchorCommitment> {
    let text = std::str::from_utf8(memo).ok()?;
    let mut parts = text.strip_prefix(PREFIX)?.split(':');
    let commitment = AnchorCommitment {
        origin: hash(parts.next()?)?,
        size: parts.next()?.parse().ok()?,
        checkpoint: hash(parts.next()?)?,
    };
    (anchor_memo(&commitment) == text).then_some(commitment)
}

fn hash(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memos_have_one_form() {
        let commitment = AnchorCommitment { origin: [0xab; 32], size: 7, checkpoint: [1; 32] };
        let memo = anchor_memo(&commitment);
        let (ab, one) = ("ab".repeat(32), "01".repeat(32));
        assert_eq!(memo, format!("roadstead:1:{ab}:7:{one}"));
        assert_eq!(read_memo(memo.as_bytes()), Some(commitment));
        for other in [
            format!("roadstead:1:{ab}:07:{one}"),
            format!("roadstead:1:{ab}:+7:{one}"),
            format!("roadstead:1:{ab}:7:{one}:"),
            format!("roadstead:1:{ab}:7:{one} "),
            format!("roadstead:1:{}:7:{one}", "AB".repeat(32)),
            format!("roadstead:2:{ab}:7:{one}"),
            format!("roadstead:1:{ab}:18446744073709551616:{one}"),
            String::new(),
        ] {
            assert_eq!(read_memo(other.as_bytes()), None, "{other}");
        }
    }
}
