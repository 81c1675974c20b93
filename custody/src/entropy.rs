//! Where randomness comes from: the operating system, and nothing seeded.

use std::time::{Instant, SystemTime};

use hmac::{Hmac, Mac};
use rand::TryRngCore;
use rand::rngs::OsRng;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

/// How many timings the second source takes for each seed.
const TIMINGS: usize = 64;

/// Why there is no randomness; nothing is made without it.
#[derive(Debug, thiserror::Error)]
pub enum EntropyError {
    /// The operating system's generator gave an error.
    #[error("the operating system's random generator failed: {0}")]
    Source(String),
    /// Two reads of 32 bytes were the same: the generator is broken.
    #[error("the operating system's random generator repeats itself")]
    Repeats,
}

/// Fills `bytes` from the operating system's generator.
///
/// # Errors
/// [`EntropyError::Source`] when it fails; `bytes` are then not to be used.
pub fn fill(bytes: &mut [u8]) -> Result<(), EntropyError> {
    OsRng.try_fill_bytes(bytes).map_err(|error| EntropyError::Source(error.to_string()))
}

/// An array from the operating system's generator.
///
/// # Errors
/// As [`fill`].
pub fn array<const N: usize>() -> Result<[u8; N], EntropyError> {
    let mut bytes = [0_u8; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

/// 256 bits for a seed: the operating system's generator, extracted (HKDF-SHA256, RFC 5869) with a
/// salt from a second source, the jitter of this processor's timings with the clock and process id.
/// The second source can only add: with a known salt the result is as strong as the first source.
///
/// # Errors
/// [`EntropyError`] when the first source fails or repeats itself.
pub fn seed_entropy() -> Result<Zeroizing<[u8; 32]>, EntropyError> {
    mix(fill)
}

fn mix(
    source: impl Fn(&mut [u8]) -> Result<(), EntropyError>,
) -> Result<Zeroizing<[u8; 32]>, EntropyError> {
    let mut first = Zeroizing::new([0_u8; 32]);
    let mut second = Zeroizing::new([0_u8; 32]);
    source(&mut *first)?;
    source(&mut *second)?;
    if first == second {
        return Err(EntropyError::Repeats);
    }
    let mut extract = keyed(&*jitter())?;
    extract.update(&*first);
    extract.update(&*second);
    let mut pseudo_random_key: [u8; 32] = extract.finalize().into_bytes().into();
    let mut expand = keyed(&pseudo_random_key)?;
    pseudo_random_key.zeroize();
    expand.update(b"roadstead seed entropy\x01");
    Ok(Zeroizing::new(expand.finalize().into_bytes().into()))
}

fn keyed(key: &[u8]) -> Result<Hmac<Sha256>, EntropyError> {
    Hmac::<Sha256>::new_from_slice(key).map_err(|error| EntropyError::Source(error.to_string()))
}

fn jitter() -> Zeroizing<[u8; 32]> {
    let mut pool = Sha256::new();
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    pool.update(since_epoch.as_nanos().to_le_bytes());
    pool.update(std::process::id().to_le_bytes());
    for _ in 0..TIMINGS {
        let start = Instant::now();
        pool.update(pool.clone().finalize());
        pool.update(start.elapsed().as_nanos().to_le_bytes());
    }
    Zeroizing::new(pool.finalize().into())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn promise_01_seeds_never_repeat_and_their_bits_are_balanced() {
        let count = crate::samples(20_000);
        let mut seen = HashSet::new();
        let mut ones = 0_u64;
        for _ in 0..count {
            let seed = seed_entropy().unwrap();
            ones += seed.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>();
            assert!(seen.insert(*seed), "a seed came twice");
        }
        // Fair bits have a variance of a quarter each: eight standard deviations either way.
        let bits = count * 256;
        let off = ones.abs_diff(bits / 2);
        assert!(off * off < 64 * bits / 4, "{ones} ones of {bits} bits");
    }

    #[test]
    fn promise_01_a_failing_generator_stops_everything() {
        let broken = |_: &mut [u8]| Err(EntropyError::Source("EIO".to_owned()));
        assert!(matches!(mix(broken), Err(EntropyError::Source(_))));
        let stuck = |bytes: &mut [u8]| {
            bytes.fill(7);
            Ok(())
        };
        assert!(matches!(mix(stuck), Err(EntropyError::Repeats)));
    }

    #[test]
    fn promise_01_the_second_source_changes_the_result() {
        let counter = std::cell::Cell::new(0_u8);
        let known = |bytes: &mut [u8]| {
            counter.set(counter.get().wrapping_add(1) % 2);
            bytes.fill(counter.get());
            Ok(())
        };
        assert_ne!(mix(known).unwrap(), mix(known).unwrap(), "same first source, same result");
    }
}
