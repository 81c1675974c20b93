use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::FRAME_BYTES_MAX;

/// Why a frame was refused.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// It is longer than [`FRAME_BYTES_MAX`].
    #[error("a message of {0} bytes is over the limit of {FRAME_BYTES_MAX}")]
    TooLong(u64),
    /// It is empty.
    #[error("the message is empty")]
    Empty,
    /// It is not the JSON of such a message.
    #[error("the message is not understood: {0}")]
    Json(String),
}

/// A message as a frame: length, big-endian, and JSON.
///
/// # Errors
/// [`FrameError::TooLong`].
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let json = serde_json::to_vec(message).map_err(|error| FrameError::Json(error.to_string()))?;
    let too_long = || FrameError::TooLong(json.len() as u64);
    let length = u32::try_from(json.len()).map_err(|_| too_long())?;
    if length > FRAME_BYTES_MAX {
        return Err(too_long());
    }
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend_from_slice(&json);
    Ok(frame)
}

/// How many bytes follow a header. The limit is checked before anything is allocated.
///
/// # Errors
/// [`FrameError::TooLong`] or [`FrameError::Empty`].
pub fn frame_bytes(header: [u8; 4]) -> Result<usize, FrameError> {
    match u32::from_be_bytes(header) {
        0 => Err(FrameError::Empty),
        length if length > FRAME_BYTES_MAX => Err(FrameError::TooLong(length.into())),
        length => usize::try_from(length).map_err(|_| FrameError::TooLong(length.into())),
    }
}

/// Reads the message of a frame's body.
///
/// # Errors
/// [`FrameError::Json`].
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    serde_json::from_slice(body).map_err(|error| FrameError::Json(error.to_string()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::{FreezeRequest, Hello, JournalHead, Refusal, RefusalCode, Request, Response};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn messages_round_trip(records: u64, hash: [u8; 32], reason: String, account: Option<u32>) {
            let seen = Some(JournalHead { records, hash });
            let requests = [
                Request::Hello(Hello { version: 1, journal_seen: seen }),
                Request::Freeze(FreezeRequest { asset: None, account, reason }),
                Request::Frozen,
            ];
            for request in requests {
                let frame = encode(&request).unwrap();
                let header = frame[..4].try_into().unwrap();
                prop_assert_eq!(frame_bytes(header).unwrap(), frame.len() - 4);
                prop_assert_eq!(decode::<Request>(&frame[4..]).unwrap(), request);
            }
        }

        #[test]
        fn garbage_is_an_error_and_no_panic(bytes: Vec<u8>) {
            let _ = decode::<Request>(&bytes);
            let _ = decode::<Response>(&bytes);
        }
    }

    #[test]
    fn promise_08_a_length_over_the_limit_is_refused_before_allocation() {
        assert!(matches!(frame_bytes([0xFF; 4]), Err(FrameError::TooLong(0xFFFF_FFFF))));
        assert!(matches!(frame_bytes([0, 0x10, 0, 1]), Err(FrameError::TooLong(_))));
        assert_eq!(frame_bytes([0, 0x10, 0, 0]).unwrap(), 1 << 20);
        assert!(matches!(frame_bytes([0; 4]), Err(FrameError::Empty)));
        let refusal = Refusal { code: RefusalCode::Policy, detail: "x".repeat(1 << 20) };
        assert!(matches!(encode(&Response::Refused(refusal)), Err(FrameError::TooLong(_))));
    }
}
