//! SLIP-10 for Ed25519: every step is hardened; there is no other kind.

use zeroize::Zeroizing;

use crate::bip32::{HARDENED, hmac_sha512};
use crate::keys::KeyError;

/// The Ed25519 private key (RFC 8032 seed) at `path` below the master key of `seed`.
pub(crate) fn derive(seed: &[u8], path: &[u32]) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let mut node = hmac_sha512(b"ed25519 seed", &[seed])?;
    for step in path {
        if *step < HARDENED {
            return Err(KeyError::NotHardened);
        }
        node = hmac_sha512(&node[32..], &[&[0], &node[..32], &step.to_be_bytes()])?;
    }
    let mut key = Zeroizing::new([0; 32]);
    key.copy_from_slice(&node[..32]);
    Ok(key)
}
