use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{Key, KeyInit, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::entropy::{self, EntropyError};

/// Bytes of a BIP-39 seed.
pub(crate) const SEED_BYTES: usize = 64;

/// A BIP-39 seed in the clear, for as short as possible. It has no `Debug` and is erased when
/// dropped.
pub struct Seed(Zeroizing<[u8; SEED_BYTES]>);

impl Seed {
    /// Takes a seed.
    #[must_use]
    pub const fn new(bytes: Zeroizing<[u8; 64]>) -> Self {
        Self(bytes)
    }

    /// The secret bytes; look away.
    #[must_use]
    pub fn reveal(&self) -> &Zeroizing<[u8; 64]> {
        &self.0
    }
}

/// A seed that rests encrypted in memory under a key that is the hash of 16 KiB of random bytes, so
/// that a partial or noisy read of memory (a core file, a swapped page, a side channel) does not
/// give it away. It is opened for each use, and the copy is erased after.
pub struct ShieldedSeed {
    prekey: Zeroizing<Vec<u8>>,
    nonce: XNonce,
    ciphertext: Vec<u8>,
}

/// Why a seed could not be shielded or opened.
#[derive(Debug, thiserror::Error)]
pub enum ShieldError {
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The memory that holds the seed changed.
    #[error("the seed in memory is damaged")]
    Damaged,
}

impl ShieldedSeed {
    const PREKEY_BYTES: usize = 16 * 1024;

    /// Encrypts `seed` under a fresh key.
    ///
    /// # Errors
    /// [`ShieldError::Entropy`].
    pub fn new(seed: &Seed) -> Result<Self, ShieldError> {
        let mut prekey = Zeroizing::new(vec![0_u8; Self::PREKEY_BYTES]);
        entropy::fill(&mut prekey)?;
        let nonce = XNonce::from(entropy::array::<24>()?);
        let mut ciphertext = Vec::with_capacity(SEED_BYTES + 16);
        ciphertext.extend_from_slice(&**seed.reveal());
        cipher(&prekey)
            .encrypt_in_place(&nonce, b"", &mut ciphertext)
            .map_err(|_| ShieldError::Damaged)?;
        Ok(Self { prekey, nonce, ciphertext })
    }

    /// Decrypts the seed.
    ///
    /// # Errors
    /// [`ShieldError::Damaged`].
    pub fn open(&self) -> Result<Seed, ShieldError> {
        let mut plain = Zeroizing::new(self.ciphertext.clone());
        cipher(&self.prekey)
            .decrypt_in_place(&self.nonce, b"", &mut *plain)
            .map_err(|_| ShieldError::Damaged)?;
        let mut seed = Zeroizing::new([0_u8; SEED_BYTES]);
        if plain.len() != SEED_BYTES {
            return Err(ShieldError::Damaged);
        }
        seed.copy_from_slice(&plain);
        Ok(Seed::new(seed))
    }
}

fn cipher(prekey: &[u8]) -> XChaCha20Poly1305 {
    let mut key = Key::from(<[u8; 32]>::from(Sha256::digest(prekey)));
    let cipher = XChaCha20Poly1305::new(&key);
    key.zeroize();
    cipher
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn promise_06_a_shielded_seed_does_not_lie_in_the_clear() {
        let seed = Seed::new(Zeroizing::new([0xA7; SEED_BYTES]));
        let mut shielded = ShieldedSeed::new(&seed).unwrap();
        let in_clear = |bytes: &[u8]| bytes.windows(8).any(|window| window == [0xA7; 8]);
        assert!(!in_clear(&shielded.ciphertext) && !in_clear(&shielded.prekey));
        assert_eq!(*shielded.open().unwrap().reveal(), *seed.reveal());
        shielded.prekey[9] ^= 1;
        assert!(matches!(shielded.open(), Err(ShieldError::Damaged)));
    }
}
