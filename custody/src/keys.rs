use chain_core::{Algorithm, ChainId, KeyPath, KeyScheme, Message, Signature, SigningPayload};
use ed25519_dalek::{Signer as _, SigningKey};
use k256::elliptic_curve::sec1::ToEncodedPoint;
use zeroize::{Zeroize, Zeroizing};

use crate::bip32::ExtendedPrivate;
use crate::seed::{Seed, ShieldError, ShieldedSeed};
use crate::sign::{self, SignError};
use crate::{path, slip10};

/// Every key of one seed. The seed rests shielded; each call opens it, derives, and erases.
pub struct Keys {
    seed: ShieldedSeed,
}

/// A public key in the form that its family makes addresses of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// 33 bytes, compressed; for BIP-86 the *internal* key.
    Secp256k1([u8; 33]),
    /// 32 bytes.
    Ed25519([u8; 32]),
}

/// Why a key could not be derived.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The scheme belongs to another family.
    #[error("{key} gives no key of {chain}")]
    WrongFamily {
        /// The key that was asked for.
        key: KeyPath,
        /// On which network.
        chain: ChainId,
    },
    /// A step that is not hardened, where there is only the hardened kind.
    #[error("Ed25519 keys have hardened steps only (SLIP-10)")]
    NotHardened,
    /// The one index in 2^127 that has no key.
    #[error("there is no key at this index (BIP-32); take the next one")]
    NoSuchChild,
    /// The payload asks for an algorithm that the key is not for.
    #[error("{key} does not sign with {algorithm:?}")]
    WrongAlgorithm {
        /// The key.
        key: KeyPath,
        /// What was asked.
        algorithm: Algorithm,
    },
    /// A digest where a message is signed, or the other way round.
    #[error("{0:?} signs the other kind of message")]
    WrongMessage(Algorithm),
    /// The seed in memory could not be opened.
    #[error(transparent)]
    Shield(#[from] ShieldError),
    /// The signature could not be made.
    #[error(transparent)]
    Sign(#[from] SignError),
}

impl Keys {
    /// Takes a seed and shields it.
    ///
    /// # Errors
    /// [`KeyError::Shield`] when there is no randomness.
    pub fn new(seed: &Seed) -> Result<Self, KeyError> {
        Ok(Self { seed: ShieldedSeed::new(seed)? })
    }

    /// The public key of `key` on `chain`.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn public_key(&self, chain: &ChainId, key: KeyPath) -> Result<PublicKey, KeyError> {
        let steps = path::steps(chain, key)?;
        self.with_seed(|seed| {
            if key.scheme() == KeyScheme::Slip10Solana {
                let signing = SigningKey::from_bytes(&*slip10::derive(seed, &steps)?);
                return Ok(PublicKey::Ed25519(signing.verifying_key().to_bytes()));
            }
            let secret = ExtendedPrivate::master(seed)?.derive(&steps)?.secret()?;
            let point = secret.public_key().to_encoded_point(true);
            let mut compressed = [0; 33];
            compressed.copy_from_slice(point.as_bytes());
            Ok(PublicKey::Secp256k1(compressed))
        })
    }

    /// Signs `payload` with its key on `chain`, and verifies the signature before it is returned.
    ///
    /// # Errors
    /// [`KeyError`]; also when algorithm and key do not belong together.
    pub fn sign(&self, chain: &ChainId, payload: &SigningPayload) -> Result<Signature, KeyError> {
        let key = payload.key;
        let steps = path::steps(chain, key)?;
        let wanted = match key.scheme() {
            KeyScheme::Bip84 | KeyScheme::Bip44Evm => Algorithm::Secp256k1Ecdsa,
            KeyScheme::Bip86 => Algorithm::TaprootKeySpend,
            KeyScheme::Slip10Solana => Algorithm::Ed25519,
        };
        if payload.algorithm != wanted {
            return Err(KeyError::WrongAlgorithm { key, algorithm: payload.algorithm });
        }
        self.with_seed(|seed| match (wanted, &payload.message) {
            (Algorithm::Secp256k1Ecdsa, Message::Digest(digest)) => {
                let secret = ExtendedPrivate::master(seed)?.derive(&steps)?.secret()?;
                Ok(sign::ecdsa(&secret, digest)?)
            }
            (Algorithm::TaprootKeySpend, Message::Digest(digest)) => {
                let secret = ExtendedPrivate::master(seed)?.derive(&steps)?.secret()?;
                Ok(sign::taproot(&secret, digest)?)
            }
            (Algorithm::Ed25519, Message::Bytes(message)) => {
                Ok(sign::ed25519(&*slip10::derive(seed, &steps)?, message)?)
            }
            (algorithm, _) => Err(KeyError::WrongMessage(algorithm)),
        })
    }

    /// The public key of the audit log in its `generation` (0 is the first), Ed25519 at SLIP-10
    /// `m/1380925764'/0'/<generation>'`: a branch of its own, where no wallet has money.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn log_public_key(&self, generation: u8) -> Result<[u8; 32], KeyError> {
        self.with_seed(|seed| {
            let steps = path::log_steps(generation);
            let key = SigningKey::from_bytes(&*slip10::derive(seed, &steps)?);
            Ok(key.verifying_key().to_bytes())
        })
    }

    /// Signs the text of a log's note. The caller makes the text from typed fields.
    ///
    /// # Errors
    /// [`KeyError`].
    pub(crate) fn sign_log(&self, generation: u8, text: &[u8]) -> Result<[u8; 64], KeyError> {
        self.with_seed(|seed| {
            let steps = path::log_steps(generation);
            let key = SigningKey::from_bytes(&*slip10::derive(seed, &steps)?);
            let signature = key.sign(text);
            key.verifying_key()
                .verify_strict(text, &signature)
                .map_err(|_| SignError::SelfCheck)?;
            Ok(signature.to_bytes())
        })
    }

    fn with_seed<T>(&self, work: impl FnOnce(&[u8]) -> Result<T, KeyError>) -> Result<T, KeyError> {
        let result = opened(&self.seed, work);
        scrub_stack();
        result
    }
}

#[inline(never)]
fn opened<T>(
    seed: &ShieldedSeed,
    work: impl FnOnce(&[u8]) -> Result<T, KeyError>,
) -> Result<T, KeyError> {
    work(&**seed.open()?.reveal())
}

/// Overwrites the part of the stack that the work above used: the hash functions keep copies of
/// keys in their state, which they do not erase.
#[inline(never)]
pub(crate) fn scrub_stack() {
    let mut scratch = Zeroizing::new([0_u8; 32 * 1024]);
    scratch.fill(0xFF);
    std::hint::black_box(&mut *scratch).zeroize();
}
