//! Strict reading of BIP-32 extended keys.

use k256::{PublicKey, SecretKey};
use zeroize::Zeroizing;

/// A BIP-32 extended key that passed every check of the standard. It has no `Debug`.
///
/// Roadstead gives none out and imports none (Solana's keys do not follow from one); this reads
/// them strictly, because libraries do not: rust-bitcoin 0.32 accepts 7 of the 16 invalid keys of
/// BIP-32's test vector 5.
pub struct ExtendedKey {
    /// How many steps below the master key.
    pub depth: u8,
    /// The first four bytes of the parent's key identifier; zero for the master key.
    pub parent_fingerprint: [u8; 4],
    /// The last step; zero for the master key.
    pub child_number: u32,
    /// The chain code.
    pub chain_code: Zeroizing<[u8; 32]>,
    /// The key itself.
    pub material: ExtendedMaterial,
}

/// The private or the public half.
pub enum ExtendedMaterial {
    /// A private key, between 1 and the group's order.
    Private(Zeroizing<[u8; 32]>),
    /// A compressed point of the curve.
    Public([u8; 33]),
}

/// Why an extended key was refused. The text is not repeated, since it may be secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtendedKeyError {
    /// Not Base58Check of 78 bytes.
    #[error("it is not Base58Check of 78 bytes")]
    Encoding,
    /// The version is none of xprv, xpub, tprv, tpub.
    #[error("its version is none of xprv, xpub, tprv and tpub")]
    Version,
    /// A master key with a parent or a number.
    #[error("a key of depth 0 has neither a parent nor a number")]
    Depth,
    /// The key does not fit the version, is out of range, or is off the curve.
    #[error("its key does not fit its version, or is none of the curve")]
    Key,
}

impl ExtendedKey {
    /// Reads an extended key and checks everything that BIP-32 says of one.
    ///
    /// # Errors
    /// [`ExtendedKeyError`].
    pub fn parse(text: &str) -> Result<Self, ExtendedKeyError> {
        let decoded = bs58::decode(text).with_check(None).into_vec();
        let bytes = Zeroizing::new(decoded.map_err(|_| ExtendedKeyError::Encoding)?);
        let bytes: &[u8; 78] =
            bytes.as_slice().try_into().map_err(|_| ExtendedKeyError::Encoding)?;
        let (version, rest) = bytes.split_at(4);
        let private = match version {
            [0x04, 0x88, 0xAD, 0xE4] | [0x04, 0x35, 0x83, 0x94] => true,
            [0x04, 0x88, 0xB2, 0x1E] | [0x04, 0x35, 0x87, 0xCF] => false,
            _ => return Err(ExtendedKeyError::Version),
        };
        let depth = rest[0];
        let parent_fingerprint: [u8; 4] = array(&rest[1..5])?;
        let child_number = u32::from_be_bytes(array(&rest[5..9])?);
        if depth == 0 && (parent_fingerprint != [0; 4] || child_number != 0) {
            return Err(ExtendedKeyError::Depth);
        }
        let chain_code = Zeroizing::new(array(&rest[9..41])?);
        let material = if private { private_key(&rest[41..]) } else { public_key(&rest[41..]) }?;
        Ok(Self { depth, parent_fingerprint, child_number, chain_code, material })
    }
}

/// True for a valid extended private key.
pub(crate) fn is_private(text: &str) -> bool {
    ExtendedKey::parse(text).is_ok_and(|key| matches!(key.material, ExtendedMaterial::Private(_)))
}

fn private_key(bytes: &[u8]) -> Result<ExtendedMaterial, ExtendedKeyError> {
    let key = bytes.strip_prefix(&[0]).ok_or(ExtendedKeyError::Key)?;
    SecretKey::from_slice(key).map_err(|_| ExtendedKeyError::Key)?;
    Ok(ExtendedMaterial::Private(Zeroizing::new(array(key)?)))
}

fn public_key(bytes: &[u8]) -> Result<ExtendedMaterial, ExtendedKeyError> {
    let compressed = matches!(bytes.first(), Some(2 | 3));
    if !compressed || PublicKey::from_sec1_bytes(bytes).is_err() {
        return Err(ExtendedKeyError::Key);
    }
    Ok(ExtendedMaterial::Public(array(bytes)?))
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], ExtendedKeyError> {
    bytes.try_into().map_err(|_| ExtendedKeyError::Encoding)
}
