//! Keys, contexts and intents for the tests.

use chain_core::{
    Action, Address, Amount, AnchorCommitment, AssetId, Branch, ChainId, Intent, IntentId, KeyPath,
    KeyScheme, KeyedAddress, Payment, Purpose, Signature, SolanaContext, UnsignedTx,
};
use ed25519_dalek::{Signer, SigningKey};
use uuid::Uuid;

pub(crate) const MINT: &str = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";

pub(crate) fn chain() -> ChainId {
    "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp".parse().unwrap()
}

pub(crate) fn usdc() -> AssetId {
    format!("{}/token:{MINT}", chain()).parse().unwrap()
}

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

pub(crate) fn wallet(seed: u8) -> Address {
    chain_solana::address_of_public_key(&chain(), &key(seed).verifying_key().to_bytes()).unwrap()
}

pub(crate) fn keyed(seed: u8) -> KeyedAddress {
    let key = KeyPath::new(KeyScheme::Slip10Solana, seed.into(), Branch::External, 0).unwrap();
    KeyedAddress { key, address: wallet(seed) }
}

/// A rich payer 1 with nonce account 0; the owner is wallet `owner`.
pub(crate) fn context(owner: u8) -> SolanaContext {
    let account = chain_solana::nonce_address(&wallet(1), 0).unwrap();
    SolanaContext {
        fee_payer: keyed(1),
        owner: keyed(owner),
        nonce: Some((account, wallet(77).to_string())),
        recent_blockhash: wallet(78).to_string(),
        compute_unit_limit: 120_000,
        compute_unit_price: 10_000,
        fee_payer_balance: Amount::new(5_000_000_000),
        balance: Amount::new(5_000_000_000),
        rent_exempt_lamports: Amount::new(2_039_280),
        recipient_is_new: false,
        token_decimals: Some(6),
    }
}

pub(crate) fn intent(action: Action) -> Intent {
    Intent {
        id: IntentId(Uuid::from_u128(7)),
        chain: chain(),
        purpose: Purpose::Withdrawal,
        action,
        fee_max: Amount::new(10_000_000),
    }
}

pub(crate) fn pay(to: Address, asset: AssetId, amount: u128) -> Action {
    Action::Pay { payments: vec![Payment { to, asset, amount: Amount::new(amount) }] }
}

pub(crate) fn anchor() -> Action {
    let commitment = AnchorCommitment { origin: [3; 32], size: 41, checkpoint: [9; 32] };
    Action::Anchor { commitment, contract: None }
}

pub(crate) fn create_nonce(number: u32) -> Action {
    let nonce_account = chain_solana::nonce_address(&wallet(1), number).unwrap();
    Action::CreateNonceAccount { number, nonce_account }
}

pub(crate) fn sign(tx: &UnsignedTx) -> Vec<Signature> {
    tx.signers
        .iter()
        .map(|signer| {
            let key = key(u8::try_from(signer.key.account()).unwrap());
            Signature {
                bytes: key.sign(&tx.bytes).to_bytes().to_vec(),
                public_key: key.verifying_key().to_bytes().to_vec(),
            }
        })
        .collect()
}
