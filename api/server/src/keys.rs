//! The API keys that were used lately, so that not every request reads the database.
//!
//! A key that is revoked here is refused from the next request on. Another server that shares the
//! database learns of it when its copy is [`FRESH_FOR`] old.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::repo::tenants::ApiKey;

/// How long after it was read a copy may be used.
pub(crate) const FRESH_FOR: Duration = Duration::from_secs(1);
/// When one caller reads it again, while the others go on using the copy: so that they do not all come to
/// the database at once when it is [`FRESH_FOR`] old.
const RENEWED_AFTER: Duration = Duration::from_millis(500);
/// More keys than this are not in use at one time; then the copies are dropped.
const COPIES_MAX: usize = 10_000;

/// Copies of stored keys. Keys that do not exist are not kept, so guessing fills nothing.
#[derive(Debug, Default)]
pub struct Keys {
    copies: Mutex<Copies>,
}

#[derive(Debug, Default)]
struct Copies {
    /// Grows with every revocation: what was read before one is not kept after it.
    age: u64,
    keys: HashMap<Uuid, Kept>,
}

#[derive(Debug)]
struct Kept {
    key: Arc<ApiKey>,
    read: Instant,
    /// Somebody is reading it again.
    renewing: bool,
}

/// The task to read a key and give it to [`Keys::keep`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    age: u64,
    begun: Instant,
}

impl Keys {
    fn copies(&self) -> std::sync::MutexGuard<'_, Copies> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key, when its copy is fresh; otherwise it is for the caller to read it.
    pub(crate) fn fresh(&self, id: Uuid) -> Result<Arc<ApiKey>, Reading> {
        let mut copies = self.copies();
        let reading = Reading { age: copies.age, begun: Instant::now() };
        let copy = copies.keys.get_mut(&id).ok_or(reading)?;
        let age = reading.begun.saturating_duration_since(copy.read);
        if age >= FRESH_FOR || (age >= RENEWED_AFTER && !copy.renewing) {
            copy.renewing = true;
            return Err(reading);
        }
        Ok(Arc::clone(&copy.key))
    }

    /// Keeps a key that was read; it counts as old as the beginning of the reading.
    pub(crate) fn keep(&self, reading: Reading, key: ApiKey) -> Arc<ApiKey> {
        let key = Arc::new(key);
        let mut copies = self.copies();
        if copies.age == reading.age {
            if copies.keys.len() >= COPIES_MAX {
                copies.keys.clear();
            }
            let copy = Kept { key: Arc::clone(&key), read: reading.begun, renewing: false };
            copies.keys.insert(key.id, copy);
        }
        key
    }

    /// Forgets a key that was revoked; to be called after the commit.
    pub(crate) fn forget(&self, id: Uuid) {
        let mut copies = self.copies();
        copies.age = copies.age.wrapping_add(1);
        copies.keys.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn key(id: Uuid) -> ApiKey {
        ApiKey {
            id,
            tenant: Uuid::nil(),
            name: String::new(),
            secret_hash: Vec::new(),
            scopes: String::new(),
            staff: false,
            created_at: 0,
            expires_at: None,
            revoked_at: None,
        }
    }

    #[test]
    fn promise_10_a_revoked_key_is_forgotten_even_when_it_is_being_read_just_then() {
        let (keys, id) = (Keys::default(), Uuid::from_u128(1));
        let reading = keys.fresh(id).unwrap_err();
        keys.keep(reading, key(id));
        assert_eq!(keys.fresh(id).unwrap().id, id);
        keys.forget(id);
        assert!(keys.fresh(id).is_err());
        // Read before the revocation, kept after it: not kept.
        keys.keep(reading, key(id));
        assert!(keys.fresh(id).is_err());
    }

    /// A copy that was read so long ago.
    fn aged(id: Uuid, age: Duration) -> Keys {
        let keys = Keys::default();
        let begun = Instant::now().checked_sub(age).unwrap();
        keys.keep(Reading { age: 0, begun }, key(id));
        keys
    }

    #[test]
    fn a_copy_that_grows_old_is_read_again_by_one_caller_alone() {
        let id = Uuid::from_u128(1);
        let keys = aged(id, RENEWED_AFTER);
        let reading = keys.fresh(id).unwrap_err();
        assert!((0..64).all(|_| keys.fresh(id).is_ok()));
        keys.keep(reading, key(id));
        assert!((0..64).all(|_| keys.fresh(id).is_ok()));
    }

    #[test]
    fn promise_10_a_copy_is_never_used_beyond_its_time_whoever_is_reading_it() {
        let id = Uuid::from_u128(1);
        let keys = aged(id, FRESH_FOR);
        assert!((0..3).all(|_| keys.fresh(id).is_err()));
    }

    #[test]
    fn promise_10_a_copy_is_as_old_as_the_beginning_of_its_reading() {
        let (keys, id) = (Keys::default(), Uuid::from_u128(1));
        let mut reading = keys.fresh(id).unwrap_err();
        // The database took this long to answer; the key may have been revoked meanwhile.
        reading.begun = reading.begun.checked_sub(FRESH_FOR).unwrap();
        keys.keep(reading, key(id));
        assert!(keys.fresh(id).is_err());
    }
}
