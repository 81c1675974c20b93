use chain_core::Signature;
use ed25519_dalek::{Signer as _, SigningKey as Ed25519Key};
use k256::ecdsa::SigningKey as EcdsaKey;
use k256::ecdsa::signature::hazmat::PrehashVerifier;
use k256::elliptic_curve::PrimeField;
use k256::elliptic_curve::point::AffineCoordinates;
use k256::schnorr::SigningKey as SchnorrKey;
use k256::{Scalar, SecretKey};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::entropy::{self, EntropyError};

/// Why no signature was made.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// No auxiliary randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The mathematics has no answer for this key and message (less likely than 1 in 2^127).
    #[error("no signature exists for this key and message")]
    Impossible,
    /// The signature did not verify under its own public key: a fault of the machine. It was
    /// discarded, because a faulty signature can give the key away.
    #[error("the signature did not verify and was discarded: check this machine's memory")]
    SelfCheck,
}

/// ECDSA over secp256k1: nonce by RFC 6979, low S, 64 bytes and a recovery byte.
pub(crate) fn ecdsa(secret: &SecretKey, digest: &[u8; 32]) -> Result<Signature, SignError> {
    let key = EcdsaKey::from(secret);
    let (signature, recovery) =
        key.sign_prehash_recoverable(digest).map_err(|_| SignError::Impossible)?;
    let public = key.verifying_key();
    public.verify_prehash(digest, &signature).map_err(|_| SignError::SelfCheck)?;
    let low_s = signature.normalize_s().is_none();
    if !low_s || recovery.is_x_reduced() {
        return Err(SignError::SelfCheck);
    }
    let mut bytes = signature.to_bytes().to_vec();
    bytes.push(recovery.to_byte());
    Ok(Signature { bytes, public_key: public.to_encoded_point(true).as_bytes().to_vec() })
}

/// BIP-340 by the key tweaked as in BIP-86 (BIP-341 with no script tree), with fresh auxiliary
/// randomness.
pub(crate) fn taproot(secret: &SecretKey, digest: &[u8; 32]) -> Result<Signature, SignError> {
    let key = output_key(secret)?;
    schnorr(&key, digest, &entropy::array()?)
}

pub(crate) fn schnorr(
    key: &SchnorrKey,
    message: &[u8],
    auxiliary: &[u8; 32],
) -> Result<Signature, SignError> {
    let signature = key.sign_raw(message, auxiliary).map_err(|_| SignError::Impossible)?;
    let public = key.verifying_key();
    public.verify_raw(message, &signature).map_err(|_| SignError::SelfCheck)?;
    Ok(Signature { bytes: signature.to_bytes().to_vec(), public_key: public.to_bytes().to_vec() })
}

/// The private key of the Taproot output whose internal key is `secret` (BIP-341, no script tree).
pub(crate) fn output_key(secret: &SecretKey) -> Result<SchnorrKey, SignError> {
    let public = secret.public_key();
    let mut even = *secret.to_nonzero_scalar();
    if bool::from(public.as_affine().y_is_odd()) {
        even = even.negate();
    }
    let tag = Sha256::digest(b"TapTweak");
    let tweak: [u8; 32] = Sha256::new()
        .chain_update(tag)
        .chain_update(tag)
        .chain_update(public.as_affine().x())
        .finalize()
        .into();
    let tweak =
        Option::<Scalar>::from(Scalar::from_repr(tweak.into())).ok_or(SignError::Impossible)?;
    let mut sum = even.add(&tweak);
    let bytes = Zeroizing::new(<[u8; 32]>::from(sum.to_repr()));
    even.zeroize();
    sum.zeroize();
    SchnorrKey::from_bytes(&*bytes).map_err(|_| SignError::Impossible)
}

/// Ed25519 (RFC 8032). The public key is derived here and taken from nobody.
pub(crate) fn ed25519(key: &[u8; 32], message: &[u8]) -> Result<Signature, SignError> {
    let key = Ed25519Key::from_bytes(key);
    let signature = key.sign(message);
    let public = key.verifying_key();
    public.verify_strict(message, &signature).map_err(|_| SignError::SelfCheck)?;
    Ok(Signature { bytes: signature.to_bytes().to_vec(), public_key: public.to_bytes().to_vec() })
}
