use bitcoin::ScriptBuf;
use bitcoin::opcodes::all::{OP_PUSHDATA1, OP_RETURN};
use bitcoin::script::Instruction;
use chain_core::{AnchorCommitment, BuildError};

/// The length of an anchor's payload; with its opcodes the script has 80 bytes, under the 83 that
/// nodes relay since Bitcoin Core 0.12.
pub const ANCHOR_PAYLOAD_BYTES: usize = 77;

const PAYLOAD_LENGTH: u8 = 77;
const TAG: &[u8; 4] = b"RSTD";
const VERSION: u8 = 1;

/// What an anchor's `OP_RETURN` pushes:
///
/// | bytes | what |
/// |---|---|
/// | 0..4 | `RSTD` |
/// | 4 | version, 1 |
/// | 5..13 | the number of leaves, big-endian |
/// | 13..45 | SHA-256 of the checkpoint's note text |
/// | 45..77 | SHA-256 of the log's origin line |
#[must_use]
pub fn anchor_payload(commitment: &AnchorCommitment) -> [u8; ANCHOR_PAYLOAD_BYTES] {
    let mut payload = [0; ANCHOR_PAYLOAD_BYTES];
    payload[..4].copy_from_slice(TAG);
    payload[4] = VERSION;
    payload[5..13].copy_from_slice(&commitment.size.to_be_bytes());
    payload[13..45].copy_from_slice(&commitment.checkpoint);
    payload[45..].copy_from_slice(&commitment.origin);
    payload
}

/// Reads what [`anchor_payload`] wrote; `None` for anything else.
#[must_use]
pub fn read_anchor_payload(payload: &[u8]) -> Option<AnchorCommitment> {
    let payload: &[u8; ANCHOR_PAYLOAD_BYTES] = payload.try_into().ok()?;
    let commitment = AnchorCommitment {
        origin: payload[45..].try_into().ok()?,
        size: u64::from_be_bytes(payload[5..13].try_into().ok()?),
        checkpoint: payload[13..45].try_into().ok()?,
    };
    (anchor_payload(&commitment) == *payload).then_some(commitment)
}

pub(crate) fn anchor_script(commitment: &AnchorCommitment) -> ScriptBuf {
    let head = [OP_RETURN.to_u8(), OP_PUSHDATA1.to_u8(), PAYLOAD_LENGTH];
    ScriptBuf::from([&head[..], &anchor_payload(commitment)].concat())
}

pub(crate) fn read_anchor_script(script: &bitcoin::Script) -> Result<AnchorCommitment, BuildError> {
    let mut instructions = script.instructions_minimal();
    let pushed = match (instructions.next(), instructions.next(), instructions.next()) {
        (Some(Ok(Instruction::Op(OP_RETURN))), Some(Ok(Instruction::PushBytes(bytes))), None) => {
            read_anchor_payload(bytes.as_bytes())
        }
        _ => None,
    };
    pushed.ok_or_else(|| BuildError::Malformed("its OP_RETURN is no anchor".to_owned()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(origin: [u8; 32], size: u64, checkpoint: [u8; 32]) {
            let commitment = AnchorCommitment { origin, size, checkpoint };
            let script = anchor_script(&commitment);
            prop_assert!(script.len() <= 83);
            prop_assert_eq!(read_anchor_script(&script).unwrap(), commitment);
        }
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let commitment =
            AnchorCommitment { origin: [0xaa; 32], size: 0x0102, checkpoint: [0xbb; 32] };
        let expected = format!(
            "6a4c4d{}01{}{}{}",
            hex::encode("RSTD"),
            "0000000000000102",
            "bb".repeat(32),
            "aa".repeat(32)
        );
        assert_eq!(anchor_script(&commitment).to_hex_string(), expected);
    }

    #[test]
    fn other_data_is_refused() {
        let good =
            anchor_payload(&AnchorCommitment { origin: [1; 32], size: 1, checkpoint: [2; 32] });
        let mut other_version = good;
        other_version[4] = 2;
        let mut other_tag = good;
        other_tag[0] = b'X';
        assert!(read_anchor_payload(&good[..76]).is_none());
        assert!(read_anchor_payload(&other_version).is_none());
        assert!(read_anchor_payload(&other_tag).is_none());
        let mut trailing = anchor_script(&read_anchor_payload(&good).unwrap()).into_bytes();
        trailing.push(0x51);
        assert!(read_anchor_script(&ScriptBuf::from(trailing)).is_err());
    }
}
