//! Keys, coins and a signer for the tests. The keys are made from small numbers: nobody's money.

use bitcoin::hashes::{Hash, sha256};
use bitcoin::key::{Keypair, TapTweak};
use bitcoin::secp256k1::{Message as Digest, Secp256k1, SecretKey};
use bitcoin::{Transaction, TxIn, TxOut};
use chain_bitcoin::{address_of_public_key, check_address, payloads, script_of};
use chain_core::{
    Action, Address, Algorithm, Amount, BitcoinContext, Branch, ChainId, Coin, Intent, IntentId,
    KeyPath, KeyScheme, KeyedAddress, Message, OutPoint, Payment, Purpose, Signature, TxId,
    UncheckedAddress, UnsignedTx,
};

pub(crate) const REGTEST: &str = "bip122:0f9188f13cb7b2c71f2a335e3a4fc328";
pub(crate) const MAINNET: &str = "bip122:000000000019d6689c085ae165831e93";

pub(crate) fn regtest() -> ChainId {
    REGTEST.parse().unwrap()
}

pub(crate) fn mainnet() -> ChainId {
    MAINNET.parse().unwrap()
}

pub(crate) fn address(chain: &ChainId, text: &str) -> Address {
    check_address(chain, &UncheckedAddress(text.to_owned())).unwrap()
}

/// The test key of a path.
pub(crate) fn secret(path: KeyPath) -> SecretKey {
    let hash = sha256::Hash::hash(path.to_string().as_bytes());
    SecretKey::from_slice(hash.as_byte_array()).unwrap()
}

/// An address of ours on regtest.
pub(crate) fn own(scheme: KeyScheme, branch: Branch, index: u32) -> KeyedAddress {
    let key = KeyPath::new(scheme, 0, branch, index).unwrap();
    let public = secret(key).public_key(&Secp256k1::new()).serialize();
    KeyedAddress { key, address: address_of_public_key(&regtest(), scheme, &public).unwrap() }
}

/// A coin of ours and the raw transaction that made it.
pub(crate) fn coin(scheme: KeyScheme, index: u32, sat: u64) -> (Coin, String) {
    let owner = own(scheme, Branch::External, index);
    let output = TxOut {
        value: bitcoin::Amount::from_sat(sat),
        script_pubkey: script_of(&owner.address).unwrap(),
    };
    let parent = Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: bitcoin::absolute::LockTime::from_consensus(index),
        input: vec![TxIn::default()],
        output: vec![output],
    };
    let outpoint = OutPoint { txid: TxId(parent.compute_txid().to_string()), vout: 0 };
    let coin = Coin { outpoint, amount: Amount::from(sat), owner };
    (coin, bitcoin::consensus::encode::serialize_hex(&parent))
}

/// A context with these coins, at 2 sat/vB.
pub(crate) fn context(coins: &[(KeyScheme, u64)]) -> BitcoinContext {
    let made = coins.iter().zip(0..).map(|((scheme, sat), index)| coin(*scheme, index, *sat));
    let (coins, parents) = made.unzip();
    BitcoinContext {
        coins,
        must_spend: vec![],
        fee_rate_sat_per_kwu: 500,
        height: 150,
        change: own(KeyScheme::Bip86, Branch::Change, 0),
        parents,
        replaced_fee: Amount::ZERO,
    }
}

pub(crate) fn intent(purpose: Purpose, action: Action) -> Intent {
    Intent {
        id: IntentId(uuid::Uuid::from_u128(7)),
        chain: regtest(),
        purpose,
        action,
        fee_max: Amount::new(1_000_000),
    }
}

pub(crate) fn pay(payments: &[(&Address, u64)]) -> Action {
    let payment = |(to, sat): &(&Address, u64)| Payment {
        to: (*to).clone(),
        asset: to.chain().native(),
        amount: Amount::from(*sat),
    };
    Action::Pay { payments: payments.iter().map(payment).collect() }
}

/// An address of somebody else on regtest.
pub(crate) fn outsider(index: u32) -> Address {
    own(KeyScheme::Bip84, Branch::External, 1_000_000 + index).address
}

/// Signs as custody would.
pub(crate) fn sign(unsigned: &UnsignedTx) -> Vec<Signature> {
    payloads(unsigned)
        .unwrap()
        .into_iter()
        .map(|payload| {
            let Message::Digest(digest) = payload.message else { panic!("not a digest") };
            sign_digest(payload.key, payload.algorithm, digest)
        })
        .collect()
}

pub(crate) fn sign_digest(key: KeyPath, algorithm: Algorithm, digest: [u8; 32]) -> Signature {
    let secp = Secp256k1::new();
    let message = Digest::from_digest(digest);
    let secret = secret(key);
    if algorithm == Algorithm::TaprootKeySpend {
        let pair = Keypair::from_secret_key(&secp, &secret).tap_tweak(&secp, None).to_keypair();
        let signature = secp.sign_schnorr_no_aux_rand(&message, &pair);
        return Signature {
            bytes: signature.as_ref().to_vec(),
            public_key: pair.x_only_public_key().0.serialize().to_vec(),
        };
    }
    let mut bytes = secp.sign_ecdsa(&message, &secret).serialize_compact().to_vec();
    bytes.push(0); // the recovery byte, which Bitcoin has no use for
    Signature { bytes, public_key: secret.public_key(&secp).serialize().to_vec() }
}
