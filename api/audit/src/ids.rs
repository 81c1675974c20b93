//! The ids of new records.

use std::time::{SystemTime, UNIX_EPOCH};

use rand::RngCore as _;

use crate::RecordId;

/// Makes the ids of a list: UUIDs of version 7 (RFC 9562), ascending, of the same millisecond. One call
/// for random bytes of the operating system's for each would cost more than the hashing of its fields.
pub(crate) struct Ids {
    millis: u64,
    counter: u32,
}

impl Ids {
    /// Ids of now.
    pub(crate) fn now() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(now.as_millis()).unwrap_or_default();
        // 26 bits, of which the first is left for counting.
        Self { millis, counter: rand::rng().next_u32() >> 7 }
    }

    /// The next one: the counter where version 7 has its first 26 random bits, then random ones.
    pub(crate) fn make(&mut self) -> RecordId {
        let mut bytes = [0; 10];
        rand::rng().fill_bytes(&mut bytes[4..]);
        let [high, next, third, low] = self.counter.to_be_bytes();
        // Version and variant take four bits of the first byte and two of the third.
        bytes[0] = high << 2 | next >> 6;
        bytes[1] = next << 2 | third >> 6;
        bytes[2] = third & 0x3f;
        bytes[3] = low;
        self.counter = self.counter.wrapping_add(1);
        RecordId(uuid::Builder::from_unix_timestamp_millis(self.millis, &bytes).into_uuid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_ascend_and_are_of_version_7() {
        for _ in 0..5 {
            let mut ids = Ids::now();
            let list: Vec<RecordId> = (0..20_000).map(|_| ids.make()).collect();
            assert!(list.is_sorted_by(|one, next| one < next));
            assert!(list.iter().all(|id| id.0.get_version_num() == 7));
            let different = (list[0].0.as_u128() ^ list[1].0.as_u128()) & 0xffff_ffff_ffff;
            assert_ne!(different, 0, "what follows the counter is random");
        }
    }
}
