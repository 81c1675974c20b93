use std::fmt;

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use rand::TryRngCore as _;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::Secret;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
/// Says in the sealed bytes how they were sealed.
const VERSION: u8 = 1;
const PURPOSE: &[u8] = b"roadstead webhook secret";

/// Why secrets cannot be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// The keys cannot be read.
    #[error("keys for webhook secrets are lines of 64 hexadecimal digits, at least one")]
    Keys,
    /// The operating system has no randomness.
    #[error("there is no randomness")]
    Randomness,
    /// None of the keys opens it, or it was changed, or it is another endpoint's.
    #[error("the secret cannot be opened with these keys")]
    Sealed,
}

/// Keeps the receivers' secrets sealed in the database: XChaCha20-Poly1305 under a key that is not in
/// the database, bound to the endpoint that each belongs to. Who reads the database alone can neither
/// sign as us nor move a secret to another endpoint.
pub struct Vault {
    keys: Vec<Zeroizing<[u8; KEY_BYTES]>>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Vault({} keys)", self.keys.len())
    }
}

impl Vault {
    /// With these keys, one in each line as 64 hexadecimal digits. The first one seals; all open, so a
    /// new key is put in front of the old one, which can go once every secret was rotated.
    ///
    /// # Errors
    /// [`VaultError::Keys`].
    pub fn new(keys: &str) -> Result<Self, VaultError> {
        let lines = keys.lines().map(str::trim).filter(|line| !line.is_empty());
        let keys = lines.map(read_key).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err(VaultError::Keys) } else { Ok(Self { keys }) }
    }

    /// A new key as a line of the key file.
    ///
    /// # Errors
    /// [`VaultError::Randomness`].
    pub fn new_key() -> Result<Zeroizing<String>, VaultError> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        fill(key.as_mut())?;
        Ok(Zeroizing::new(hex::encode(key.as_ref())))
    }

    /// Seals the secret of an endpoint.
    ///
    /// # Errors
    /// [`VaultError::Randomness`].
    pub fn seal(&self, endpoint: Uuid, secret: &Secret) -> Result<Vec<u8>, VaultError> {
        let key = self.keys.first().ok_or(VaultError::Keys)?;
        let mut nonce = [0; NONCE_BYTES];
        fill(&mut nonce)?;
        let payload = Payload { msg: secret.as_bytes(), aad: &bound_to(endpoint) };
        let sealed = XChaCha20Poly1305::new(key.as_ref().into())
            .encrypt(XNonce::from_slice(&nonce), payload)
            .map_err(|_| VaultError::Sealed)?;
        Ok([&[VERSION], nonce.as_slice(), &sealed].concat())
    }

    /// Opens the sealed secret of an endpoint.
    ///
    /// # Errors
    /// [`VaultError::Sealed`].
    pub fn open(&self, endpoint: Uuid, sealed: &[u8]) -> Result<Secret, VaultError> {
        let (version, rest) = sealed.split_first().ok_or(VaultError::Sealed)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(VaultError::Sealed)?;
        if *version != VERSION {
            return Err(VaultError::Sealed);
        }
        let aad = bound_to(endpoint);
        let open = |key: &Zeroizing<[u8; KEY_BYTES]>| {
            let payload = Payload { msg: sealed, aad: &aad };
            XChaCha20Poly1305::new(key.as_ref().into())
                .decrypt(XNonce::from_slice(nonce), payload)
                .ok()
        };
        self.keys.iter().find_map(open).map(Secret::from_bytes).ok_or(VaultError::Sealed)
    }
}

fn read_key(line: &str) -> Result<Zeroizing<[u8; KEY_BYTES]>, VaultError> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    hex::decode_to_slice(line, key.as_mut()).map_err(|_| VaultError::Keys)?;
    Ok(key)
}

fn fill(bytes: &mut [u8]) -> Result<(), VaultError> {
    rand::rngs::OsRng.try_fill_bytes(bytes).map_err(|_| VaultError::Randomness)
}

fn bound_to(endpoint: Uuid) -> Vec<u8> {
    [PURPOSE, endpoint.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn promise_05_a_secret_opens_only_whole_for_its_endpoint_and_with_its_key() {
        let old = Vault::new_key().unwrap();
        let vault = Vault::new(&old).unwrap();
        let (endpoint, secret) = (Uuid::from_u128(1), Secret::generate().unwrap());
        let sealed = vault.seal(endpoint, &secret).unwrap();
        assert!(vault.open(endpoint, &sealed).unwrap() == secret);
        assert_ne!(vault.seal(endpoint, &secret).unwrap(), sealed, "a nonce of its own");
        assert_eq!(vault.open(Uuid::from_u128(2), &sealed).err(), Some(VaultError::Sealed));
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert_eq!(vault.open(endpoint, &changed).err(), Some(VaultError::Sealed), "{place}");
            assert!(vault.open(endpoint, &sealed[..place]).is_err(), "{place}");
        }
        // A new key in front seals, and the old one still opens.
        let new = Vault::new_key().unwrap();
        let both = Vault::new(&format!("{}\n{}\n", *new, *old)).unwrap();
        assert!(both.open(endpoint, &sealed).unwrap() == secret);
        let sealed = both.seal(endpoint, &secret).unwrap();
        assert!(vault.open(endpoint, &sealed).is_err());
        assert_eq!(format!("{both:?}"), "Vault(2 keys)");
    }

    #[test]
    fn keys_are_read_strictly() {
        for text in ["", "\n", "00", &"0".repeat(63), &"g".repeat(64)] {
            assert_eq!(Vault::new(text).err(), Some(VaultError::Keys), "{text:?}");
        }
    }
}
