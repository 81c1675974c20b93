//! The API keys that were used lately, so that not every request reads the database.
//!
//! A key that is revoked here is refused from the next request on. Another server that shares the
//! database learns of it when its copy is [`FRESH_FOR`] old.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::repo::tenants::ApiKey;

/// How long a copy is used before the key is read again.
pub(crate) const FRESH_FOR: Duration = Duration::from_secs(1);
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
    keys: HashMap<Uuid, (Arc<ApiKey>, Instant)>,
}

impl Keys {
    fn copies(&self) -> std::sync::MutexGuard<'_, Copies> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key, when its copy is fresh; otherwise what to say to [`Keys::keep`] after reading it.
    pub(crate) fn fresh(&self, id: Uuid) -> Result<Arc<ApiKey>, u64> {
        let copies = self.copies();
        match copies.keys.get(&id) {
            Some((key, read)) if read.elapsed() < FRESH_FOR => Ok(Arc::clone(key)),
            _ => Err(copies.age),
        }
    }

    /// Keeps a key that was read when `age` was told.
    pub(crate) fn keep(&self, age: u64, key: ApiKey) -> Arc<ApiKey> {
        let key = Arc::new(key);
        let mut copies = self.copies();
        if copies.age == age {
            if copies.keys.len() >= COPIES_MAX {
                copies.keys.clear();
            }
            copies.keys.insert(key.id, (Arc::clone(&key), Instant::now()));
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
        let age = keys.fresh(id).unwrap_err();
        keys.keep(age, key(id));
        assert_eq!(keys.fresh(id).unwrap().id, id);
        let age = keys.copies().age;
        keys.forget(id);
        assert!(keys.fresh(id).is_err());
        // Read before the revocation, kept after it: not kept.
        keys.keep(age, key(id));
        assert!(keys.fresh(id).is_err());
    }
}
