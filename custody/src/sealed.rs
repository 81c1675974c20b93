//! Records encrypted under a passphrase.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::entropy::{self, EntropyError};

/// The one version of the format.
const VERSION: u32 = 1;

/// Argon2id: 64 MiB, three passes, one lane (RFC 9106, second recommendation).
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 1;

/// The most that a header may ask for, so that a forged file cannot exhaust the machine.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const PASSES_MAX: u32 = 16;

/// Records encrypted under a passphrase: JSON, its key derived by Argon2id, each record sealed by
/// XChaCha20-Poly1305 under a nonce of its own, with the kind of file, the header and the record's
/// id bound in as associated data: no record can be swapped, renamed or moved to another file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedFile {
    kind: String,
    version: u32,
    kdf: Kdf,
    records: Vec<SealedRecord>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kdf {
    name: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    #[serde(with = "hex::serde")]
    salt: [u8; 32],
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedRecord {
    id: String,
    #[serde(with = "hex::serde")]
    nonce: [u8; 24],
    #[serde(with = "hex::serde")]
    ciphertext: Vec<u8>,
}

/// Why a sealed file was refused.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// It is no file of this kind and version.
    #[error("this is not a {wanted} that this version reads: {found}")]
    Format {
        /// What was expected.
        wanted: String,
        /// What is wrong with it.
        found: String,
    },
    /// The passphrase is wrong, or the file was changed; the two cannot be told apart.
    #[error("the passphrase is wrong, or the file was changed")]
    Locked,
    /// The file has no such record.
    #[error("the file has no record {0:?}")]
    NoRecord(String),
}

impl SealedFile {
    /// Encrypts `records` (id and content) as a file of `kind`.
    ///
    /// # Errors
    /// [`SealError::Entropy`].
    pub fn seal(
        kind: &str,
        passphrase: &[u8],
        records: &[(&str, &[u8])],
    ) -> Result<Self, SealError> {
        let kdf = Kdf {
            name: "argon2id".to_owned(),
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            lanes: LANES,
            salt: entropy::array()?,
        };
        let mut file = Self { kind: kind.to_owned(), version: VERSION, kdf, records: Vec::new() };
        let cipher = file.cipher(passphrase)?;
        for (id, content) in records {
            let record = file.seal_record(&cipher, id, content)?;
            file.records.push(record);
        }
        Ok(file)
    }

    /// Decrypts the record `id`.
    ///
    /// # Errors
    /// [`SealError::Locked`] for a wrong passphrase or a changed file.
    pub fn open(&self, passphrase: &[u8], id: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let mut opened = self.open_all(passphrase, &[id])?;
        opened.pop().ok_or_else(|| SealError::NoRecord(id.to_owned()))
    }

    /// Decrypts the records `ids`, stretching the passphrase once.
    ///
    /// # Errors
    /// As [`SealedFile::open`].
    pub fn open_all(
        &self,
        passphrase: &[u8],
        ids: &[&str],
    ) -> Result<Vec<Zeroizing<Vec<u8>>>, SealError> {
        let cipher = self.cipher(passphrase)?;
        ids.iter().map(|id| self.open_record(&cipher, id)).collect()
    }

    /// Reads a file of `kind` from its JSON.
    ///
    /// # Errors
    /// [`SealError::Format`].
    pub fn from_json(kind: &str, json: &[u8]) -> Result<Self, SealError> {
        let format = |found: String| SealError::Format { wanted: kind.to_owned(), found };
        let file: Self = serde_json::from_slice(json).map_err(|error| format(error.to_string()))?;
        let kdf = &file.kdf;
        let weak = kdf.memory_kib < MEMORY_KIB || kdf.passes < PASSES;
        let greedy =
            kdf.memory_kib > MEMORY_KIB_MAX || kdf.passes > PASSES_MAX || kdf.lanes != LANES;
        if file.kind != kind || file.version != VERSION {
            return Err(format(format!("it is a {} of version {}", file.kind, file.version)));
        }
        if kdf.name != "argon2id" || weak || greedy {
            return Err(format("its key derivation is out of bounds".to_owned()));
        }
        Ok(file)
    }

    /// The file as JSON.
    ///
    /// # Errors
    /// [`SealError::Format`], which cannot happen for a file made here.
    pub fn to_json(&self) -> Result<Vec<u8>, SealError> {
        serde_json::to_vec(self).map_err(|error| SealError::Format {
            wanted: self.kind.clone(),
            found: error.to_string(),
        })
    }

    fn seal_record(
        &self,
        cipher: &XChaCha20Poly1305,
        id: &str,
        content: &[u8],
    ) -> Result<SealedRecord, SealError> {
        let nonce: [u8; 24] = entropy::array()?;
        let aad = self.associated_data(id)?;
        let ciphertext = cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: content, aad: &aad })
            .map_err(|_| SealError::Locked)?;
        Ok(SealedRecord { id: id.to_owned(), nonce, ciphertext })
    }

    fn open_record(
        &self,
        cipher: &XChaCha20Poly1305,
        id: &str,
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let mut found = self.records.iter().filter(|record| record.id == id);
        let (Some(record), None) = (found.next(), found.next()) else {
            return Err(SealError::NoRecord(id.to_owned()));
        };
        let payload = Payload { msg: &record.ciphertext, aad: &self.associated_data(id)? };
        let plain = cipher.decrypt(&XNonce::from(record.nonce), payload);
        plain.map(Zeroizing::new).map_err(|_| SealError::Locked)
    }

    fn associated_data(&self, id: &str) -> Result<Vec<u8>, SealError> {
        let fields = ("roadstead", &self.kind, self.version, &self.kdf, id);
        serde_json::to_vec(&fields).map_err(|error| SealError::Format {
            wanted: self.kind.clone(),
            found: error.to_string(),
        })
    }

    fn cipher(&self, passphrase: &[u8]) -> Result<XChaCha20Poly1305, SealError> {
        let failed = |error: argon2::Error| SealError::Format {
            wanted: self.kind.clone(),
            found: error.to_string(),
        };
        let Kdf { memory_kib, passes, lanes, salt, .. } = &self.kdf;
        let params = Params::new(*memory_kib, *passes, *lanes, Some(32)).map_err(failed)?;
        let mut blocks = vec![Block::new(); params.block_count()];
        let mut key = Zeroizing::new([0_u8; 32]);
        let stretched = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(passphrase, salt, &mut *key, &mut blocks);
        blocks.iter_mut().for_each(Zeroize::zeroize);
        stretched.map_err(failed)?;
        Ok(XChaCha20Poly1305::new((&*key).into()))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::collections::HashSet;

    use super::*;

    fn sample() -> SealedFile {
        SealedFile::seal("keystore", b"correct horse", &[("a", b"first"), ("b", b"second")])
            .unwrap()
    }

    #[test]
    fn promise_05_it_opens_with_the_passphrase_alone() {
        let file = SealedFile::from_json("keystore", &sample().to_json().unwrap()).unwrap();
        let opened = file.open_all(b"correct horse", &["a", "b"]).unwrap();
        assert_eq!((opened[0].as_slice(), opened[1].as_slice()), (&b"first"[..], &b"second"[..]));
        assert!(matches!(file.open(b"wrong", "a"), Err(SealError::Locked)));
        assert!(matches!(file.open(b"correct horse", "c"), Err(SealError::NoRecord(_))));
        assert!(SealedFile::from_json("backup", &file.to_json().unwrap()).is_err());
    }

    #[test]
    fn promise_05_swapped_ciphertexts_are_refused() {
        let mut file = sample();
        let swapped = (file.records[1].nonce, file.records[1].ciphertext.clone());
        (file.records[0].nonce, file.records[0].ciphertext) = swapped;
        assert!(matches!(file.open(b"correct horse", "a"), Err(SealError::Locked)));
        let mut renamed = sample();
        renamed.records[0].id = "c".to_owned();
        assert!(matches!(renamed.open(b"correct horse", "c"), Err(SealError::Locked)));
    }

    #[test]
    fn promise_05_a_flipped_bit_anywhere_is_refused() {
        let file = sample();
        let cipher = file.cipher(b"correct horse").unwrap();
        for bit in 0..file.records[0].ciphertext.len() * 8 {
            let mut changed = file.clone();
            changed.records[0].ciphertext[bit / 8] ^= 1 << (bit % 8);
            assert!(changed.open_record(&cipher, "a").is_err(), "bit {bit}");
        }
        for bit in 0..24 * 8 {
            let mut changed = file.clone();
            changed.records[0].nonce[bit / 8] ^= 1 << (bit % 8);
            assert!(changed.open_record(&cipher, "a").is_err(), "nonce bit {bit}");
        }
        let mut cheaper = file.clone();
        cheaper.kdf.passes -= 1;
        assert!(cheaper.open_record(&cipher, "a").is_err(), "the header is bound in");
        assert!(SealedFile::from_json("keystore", &cheaper.to_json().unwrap()).is_err());
    }

    #[test]
    fn promise_05_no_nonce_repeats() {
        let file = sample();
        let cipher = file.cipher(b"correct horse").unwrap();
        let mut nonces = HashSet::new();
        for _ in 0..crate::samples(20_000) {
            let record = file.seal_record(&cipher, "a", b"").unwrap();
            assert!(nonces.insert(record.nonce));
        }
    }
}
