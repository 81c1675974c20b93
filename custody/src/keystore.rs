//! The encrypted file that holds the seed.

use std::path::Path;

use zeroize::Zeroizing;

use crate::durable;
use crate::keys::{KeyError, Keys};
use crate::sealed::{SealError, SealedFile};
use crate::seed::{SEED_BYTES, Seed};

const KIND: &str = "roadstead-keystore";
const SEED_RECORD: &str = "seed";

/// The least bytes of a passphrase.
pub const PASSPHRASE_BYTES_MIN: usize = 12;

/// Why the keystore could not be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum KeystoreError {
    /// The passphrase is too short.
    #[error("the passphrase must have at least {PASSPHRASE_BYTES_MIN} bytes")]
    ShortPassphrase,
    /// The file system's.
    #[error("the keystore {path} cannot be used: {error}")]
    Io {
        /// Which file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// Locked or damaged.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The seed could not be shielded.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Writes a new keystore with `seed`; an existing file is never touched.
///
/// # Errors
/// [`KeystoreError`].
pub fn create(path: &Path, passphrase: &[u8], seed: &Seed) -> Result<(), KeystoreError> {
    if passphrase.len() < PASSPHRASE_BYTES_MIN {
        return Err(KeystoreError::ShortPassphrase);
    }
    let file = SealedFile::seal(KIND, passphrase, &[(SEED_RECORD, &**seed.reveal())])?;
    durable::create(path, &file.to_json()?).map_err(|error| io(path, error))
}

/// Opens the keystore and keeps its seed shielded in memory.
///
/// # Errors
/// [`KeystoreError`].
pub fn open(path: &Path, passphrase: &[u8]) -> Result<Keys, KeystoreError> {
    let json = std::fs::read(path).map_err(|error| io(path, error))?;
    let plain = SealedFile::from_json(KIND, &json)?.open(passphrase, SEED_RECORD)?;
    let mut seed = Zeroizing::new([0; SEED_BYTES]);
    if plain.len() != SEED_BYTES {
        return Err(SealError::Locked.into());
    }
    seed.copy_from_slice(&plain);
    let keys = Keys::new(&Seed::new(seed))?;
    drop(plain);
    crate::keys::scrub_stack();
    Ok(keys)
}

fn io(path: &Path, error: std::io::Error) -> KeystoreError {
    KeystoreError::Io { path: path.display().to_string(), error }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn promise_05_the_file_is_private_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keystore.json");
        let seed = Seed::new(Zeroizing::new([0xA7; SEED_BYTES]));
        assert!(matches!(create(&path, b"short", &seed), Err(KeystoreError::ShortPassphrase)));
        create(&path, b"long enough passphrase", &seed).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let bytes = std::fs::read(&path).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains(&"a7".repeat(8)));
        assert!(matches!(
            create(&path, b"long enough passphrase", &seed),
            Err(KeystoreError::Io { .. })
        ));
        assert!(open(&path, b"long enough passphrase").is_ok());
        assert!(open(&path, b"another long passphrase").is_err());
    }
}
