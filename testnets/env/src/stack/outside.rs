//! Addresses of nobody in the system, to be paid.

use bitcoin::secp256k1::{Secp256k1, SecretKey};
use bitcoin::{Address, CompressedPublicKey, Network};
use ed25519_dalek::SigningKey;

use crate::error::{Error, Result};

/// A fresh address on each network.
#[derive(Clone, Debug)]
pub struct Outside {
    /// P2WPKH on regtest.
    pub bitcoin: String,
    /// An EVM account.
    pub evm: String,
    /// A Solana wallet.
    pub solana: String,
}

impl Outside {
    /// Makes fresh addresses; their keys are thrown away.
    ///
    /// # Errors
    /// [`Error::Refused`] for a random number that is no key: once in 2^128.
    pub fn new() -> Result<Self> {
        let secret = SecretKey::from_slice(&rand::random::<[u8; 32]>());
        let secret = secret.map_err(|error| Error::Refused(error.to_string()))?;
        let key = CompressedPublicKey(secret.public_key(&Secp256k1::new()));
        let wallet = SigningKey::from_bytes(&rand::random::<[u8; 32]>()).verifying_key();
        Ok(Self {
            bitcoin: Address::p2wpkh(&key, Network::Regtest).to_string(),
            evm: format!("0x{}", hex::encode(rand::random::<[u8; 20]>())),
            solana: solana_pubkey::Pubkey::new_from_array(wallet.to_bytes()).to_string(),
        })
    }
}
