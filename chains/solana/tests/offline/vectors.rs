//! The same addresses and messages as another implementation makes (data/messages.py).

use crate::common::{anchor, chain, context, create_nonce, intent, pay, usdc, wallet};
use chain_core::Action;
use chain_solana::{build, describe, nonce_address, token_account};
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("data/messages.json")).unwrap()
}

#[test]
fn promise_2_addresses_agree() {
    let vectors = vectors();
    assert_eq!(vectors["wallet_9"], wallet(9).as_str());
    assert_eq!(vectors["nonce_0_of_wallet_1"], nonce_address(&wallet(1), 0).unwrap().as_str());
    let account = token_account(&wallet(9), &usdc()).unwrap();
    assert_eq!(vectors["token_account_of_wallet_9"], account.as_str());
}

#[test]
fn messages_agree_byte_for_byte() {
    let vectors = vectors();
    let agree = |name: &str, action: Action| {
        let tx = build(&intent(action.clone()), &context(2)).unwrap();
        assert_eq!(vectors[name], hex::encode(&tx.bytes), "{name}");
        assert_eq!(describe(&tx).unwrap().action, action);
    };
    agree("transfer", pay(wallet(9), chain().native(), 1_000_000));
    agree("token", pay(wallet(9), usdc(), 5));
    agree("anchor", anchor());
    agree("nonce", create_nonce(4));
}
