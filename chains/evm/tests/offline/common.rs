//! What the tests share: a key that signs, and where the outside vectors are.

use std::path::PathBuf;

use chain_core::{
    Action, Address, Amount, Branch, ChainId, EvmContext, Intent, IntentId, KeyPath, KeyScheme,
    KeyedAddress, Message, Payment, Purpose, Signature, SigningPayload, UncheckedAddress,
};
use k256::ecdsa::SigningKey;

pub(crate) const CHAIN: &str = "eip155:31337";
pub(crate) const RECIPIENT: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
pub(crate) const TOKEN: &str = "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48";

pub(crate) fn chain(id: &str) -> ChainId {
    id.parse().unwrap()
}

pub(crate) fn address(chain: &ChainId, text: &str) -> Address {
    chain_evm::check_address(chain, &UncheckedAddress(text.to_owned())).unwrap()
}

/// A throw-away key.
pub(crate) struct Key(SigningKey);

impl Key {
    pub(crate) fn new(byte: u8) -> Self {
        Self(SigningKey::from_slice(&[byte; 32]).unwrap())
    }

    pub(crate) fn public(&self) -> [u8; 33] {
        self.0.verifying_key().to_encoded_point(true).as_bytes().try_into().unwrap()
    }

    pub(crate) fn keyed(&self, chain: &ChainId) -> KeyedAddress {
        let address = chain_evm::address_of_public_key(chain, &self.public()).unwrap();
        let key = KeyPath::new(KeyScheme::Bip44Evm, 0, Branch::External, 0).unwrap();
        KeyedAddress { key, address }
    }

    pub(crate) fn sign(&self, payload: &SigningPayload) -> Signature {
        let Message::Digest(digest) = payload.message else { panic!("EVM signs digests") };
        let (signature, recovery) = self.0.sign_prehash_recoverable(&digest).unwrap();
        let bytes = [&signature.to_bytes()[..], &[recovery.to_byte()]].concat();
        Signature { bytes, public_key: self.public().to_vec() }
    }
}

pub(crate) fn context(sender: KeyedAddress) -> EvmContext {
    EvmContext {
        sender,
        nonce: 7,
        max_fee_per_gas: 30_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        gas_limit: 90_000,
        balance: Amount::new(10_u128.pow(20)),
        token_balance: Some(Amount::new(10_u128.pow(12))),
    }
}

pub(crate) fn intent(chain: &ChainId, action: Action) -> Intent {
    Intent {
        id: IntentId(Default::default()),
        chain: chain.clone(),
        purpose: Purpose::Withdrawal,
        action,
        fee_max: Amount::new(10_u128.pow(18)),
    }
}

pub(crate) fn pay_native(chain: &ChainId, to: &str, amount: u128) -> Action {
    pay(Payment { to: address(chain, to), asset: chain.native(), amount: Amount::new(amount) })
}

pub(crate) fn pay_token(chain: &ChainId, to: &str, token: &str, amount: u128) -> Action {
    let asset = format!("{chain}/erc20:{token}").parse().unwrap();
    pay(Payment { to: address(chain, to), asset, amount: Amount::new(amount) })
}

pub(crate) fn pay(payment: Payment) -> Action {
    Action::Pay { payments: vec![payment] }
}

/// The text of an outside vector; `None`, said on the screen, where the vectors are not there.
pub(crate) fn vector(path: &str) -> Option<String> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors");
    let folder = std::env::var("ROADSTEAD_VECTORS").unwrap_or_else(|_| default.to_owned());
    let file = PathBuf::from(folder).join(path);
    if file.exists() {
        return Some(std::fs::read_to_string(file).unwrap());
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI must have the vectors");
    eprintln_not_run(path);
    None
}

#[expect(clippy::print_stderr, reason = "a test that does not run says so")]
fn eprintln_not_run(path: &str) {
    eprintln!("not run: no vectors ({path})");
}
