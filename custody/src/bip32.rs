//! BIP-32 over secp256k1, private derivation only: extended public keys never leave (one of them
//! and one plain child key give the parent away), so none are made.

use hmac::{Hmac, Mac};
use k256::elliptic_curve::PrimeField;
use k256::elliptic_curve::sec1::ToEncodedPoint;
use k256::{Scalar, SecretKey};
use sha2::Sha512;
use zeroize::{Zeroize, Zeroizing};

use crate::keys::KeyError;

/// The bit that marks a hardened step.
pub(crate) const HARDENED: u32 = 1 << 31;

/// A private key and its chain code. No `Debug`; erased when dropped.
pub(crate) struct ExtendedPrivate {
    pub(crate) key: Zeroizing<[u8; 32]>,
    pub(crate) chain_code: Zeroizing<[u8; 32]>,
}

impl ExtendedPrivate {
    /// The master key of a seed of 16 to 64 bytes.
    pub(crate) fn master(seed: &[u8]) -> Result<Self, KeyError> {
        let node = Self::split(hmac_sha512(b"Bitcoin seed", &[seed])?);
        node.secret()?;
        Ok(node)
    }

    /// The key at `path` below this one.
    pub(crate) fn derive(self, path: &[u32]) -> Result<Self, KeyError> {
        path.iter().try_fold(self, |node, step| node.child(*step))
    }

    fn child(&self, step: u32) -> Result<Self, KeyError> {
        let secret = self.secret()?;
        let index = step.to_be_bytes();
        let data = if step >= HARDENED {
            hmac_sha512(&*self.chain_code, &[&[0], &*self.key, &index])?
        } else {
            let public = secret.public_key().to_encoded_point(true);
            hmac_sha512(&*self.chain_code, &[public.as_bytes(), &index])?
        };
        let mut child = Self::split(data);
        let mut tweak = scalar(&child.key).ok_or(KeyError::NoSuchChild)?;
        let mut sum = tweak.add(&secret.to_nonzero_scalar());
        child.key.copy_from_slice(&sum.to_repr());
        tweak.zeroize();
        sum.zeroize();
        child.secret()?;
        Ok(child)
    }

    /// The private key, which is refused when it is 0 or not below the group's order.
    pub(crate) fn secret(&self) -> Result<SecretKey, KeyError> {
        SecretKey::from_slice(&*self.key).map_err(|_| KeyError::NoSuchChild)
    }

    fn split(data: Zeroizing<[u8; 64]>) -> Self {
        let (mut key, mut chain_code) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
        key.copy_from_slice(&data[..32]);
        chain_code.copy_from_slice(&data[32..]);
        Self { key, chain_code }
    }
}

fn scalar(bytes: &[u8; 32]) -> Option<Scalar> {
    Scalar::from_repr((*bytes).into()).into()
}

pub(crate) fn hmac_sha512(key: &[u8], parts: &[&[u8]]) -> Result<Zeroizing<[u8; 64]>, KeyError> {
    let mut mac = Hmac::<Sha512>::new_from_slice(key).map_err(|_| KeyError::NoSuchChild)?;
    for part in parts {
        mac.update(part);
    }
    Ok(Zeroizing::new(mac.finalize().into_bytes().into()))
}
