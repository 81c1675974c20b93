//! What is built is described as it was meant, signed by its sender, and recovered from the bytes.

use alloy_consensus::{SignableTransaction, Transaction, TxEnvelope};
use alloy_eips::Decodable2718;
use alloy_primitives::keccak256;
use chain_core::{
    Action, Algorithm, Amount, AnchorCommitment, BuildError, EvmContext, Message, Payment, Slot,
};
use chain_evm::{GAS_LIMIT_MAX, anchor_contract_address, assemble, build, describe, payloads};
use proptest::prelude::*;

use crate::common::{CHAIN, Key, RECIPIENT, TOKEN, chain, context, intent, pay_native, pay_token};

fn actions() -> impl Strategy<Value = Action> {
    let to = any::<[u8; 20]>().prop_filter("zero", |raw| raw != &[0; 20]).prop_map(to_text);
    let token = any::<[u8; 20]>().prop_filter("zero", |raw| raw != &[0; 20]).prop_map(to_text);
    let amount = 1..=u128::MAX / 2;
    prop_oneof![
        (to.clone(), amount.clone()).prop_map(|(to, amount)| pay_native(
            &chain(CHAIN),
            &to,
            amount
        )),
        (to, token, amount)
            .prop_filter("own contract", |(to, token, _)| to != token)
            .prop_map(|(to, token, amount)| pay_token(&chain(CHAIN), &to, &token, amount)),
        any::<([u8; 32], u64, [u8; 32])>().prop_filter("zero", |raw| raw.2 != [0; 32]).prop_map(
            |(origin, size, checkpoint)| Action::Anchor {
                commitment: AnchorCommitment { origin, size, checkpoint },
                contract: Some(anchor_contract_address(&chain(CHAIN))),
            }
        ),
        Just(Action::DeployAnchorContract),
    ]
}

fn to_text(raw: [u8; 20]) -> String {
    format!("0x{}", alloy_primitives::hex::encode(raw))
}

prop_compose! {
    fn contexts()(
        nonce in 0..u64::MAX,
        gas_limit in 60_000..=GAS_LIMIT_MAX,
        max_fee_per_gas in 0..10_u128.pow(13),
        part in 0..=10_u128,
    ) -> EvmContext {
        EvmContext {
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas: max_fee_per_gas * part / 10,
            balance: Amount::new(u128::MAX),
            token_balance: Some(Amount::new(u128::MAX)),
            ..context(Key::new(1).keyed(&chain(CHAIN)))
        }
    }
}

proptest! {
    #[test]
    fn what_is_built_is_described_and_signed_as_meant(action in actions(), context in contexts()) {
        let key = Key::new(1);
        let mut intent = intent(&chain(CHAIN), action);
        intent.fee_max = Amount::new(u128::MAX);
        let unsigned = build(&intent, &context).unwrap();

        let summary = describe(&unsigned).unwrap();
        let fee = u128::from(context.gas_limit) * context.max_fee_per_gas;
        prop_assert_eq!(&summary.action, &intent.action);
        prop_assert_eq!(&summary.chain, &intent.chain);
        prop_assert_eq!(summary.fee_max, Amount::new(fee));
        let account = context.sender.address.clone();
        prop_assert_eq!(summary.slots, vec![Slot::EvmNonce { account, nonce: context.nonce }]);
        prop_assert!(summary.change.is_empty());

        let payloads = payloads(&unsigned).unwrap();
        prop_assert_eq!(payloads.len(), 1);
        prop_assert_eq!(payloads[0].key, context.sender.key);
        prop_assert_eq!(payloads[0].algorithm, Algorithm::Secp256k1Ecdsa);
        prop_assert_eq!(&payloads[0].message, &Message::Digest(keccak256(&unsigned.bytes).0));

        let signed = assemble(&unsigned, &[key.sign(&payloads[0])]).unwrap();
        let envelope = TxEnvelope::decode_2718_exact(&signed.bytes).unwrap();
        prop_assert_eq!(&signed.id.0, &envelope.tx_hash().to_string());
        prop_assert_eq!(envelope.chain_id(), Some(31337));
        prop_assert_eq!(envelope.nonce(), context.nonce);
        let recovered = envelope.as_eip1559().unwrap();
        let hash = recovered.tx().signature_hash();
        let sender = recovered.signature().recover_address_from_prehash(&hash).unwrap();
        let sender = sender.to_checksum(None);
        prop_assert_eq!(&sender, context.sender.address.as_str());
    }

    /// A bit that flips anywhere makes bytes that are refused or that do something else.
    #[test]
    fn no_byte_is_without_meaning(action in actions(), at in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let mut unsigned =
            build(&intent(&chain(CHAIN), action), &wide(context(Key::new(1).keyed(&chain(CHAIN)))))
                .unwrap();
        let before = (describe(&unsigned).unwrap(), unsigned.bytes.clone());
        let at = at.index(unsigned.bytes.len());
        unsigned.bytes[at] ^= 1_u8 << bit;
        if let Ok(after) = describe(&unsigned) {
            // The priority fee alone is no part of the summary; it stays under the highest price.
            let same_but_tip = after == before.0 && differs_in_tip_alone(&before.1, &unsigned.bytes);
            prop_assert!(after != before.0 || same_but_tip);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let chain = chain(CHAIN);
        let mut bytes = bytes;
        bytes.insert(0, 2);
        let signers = vec![Key::new(1).keyed(&chain)];
        let unsigned = chain_core::UnsignedTx { chain, bytes, signers, change: Vec::new() };
        prop_assert!(describe(&unsigned).is_err());
    }
}

fn wide(context: EvmContext) -> EvmContext {
    EvmContext {
        gas_limit: 500_000,
        balance: Amount::new(u128::MAX),
        token_balance: Some(Amount::new(u128::MAX)),
        ..context
    }
}

fn differs_in_tip_alone(left: &[u8], right: &[u8]) -> bool {
    use alloy_rlp::Decodable;
    let decode = |bytes: &[u8]| alloy_consensus::TxEip1559::decode(&mut &bytes[1..]).unwrap();
    let (left, right) = (decode(left), decode(right));
    left.max_priority_fee_per_gas != right.max_priority_fee_per_gas
        && left.gas_limit == right.gas_limit
        && left.max_fee_per_gas == right.max_fee_per_gas
}

#[test]
fn sweeping_leaves_exactly_nothing_after_the_highest_fee() {
    let chain = chain(CHAIN);
    let context = context(Key::new(1).keyed(&chain));
    let all = chain_evm::sweepable(&context, &chain.native()).unwrap();
    build(&intent(&chain, pay_native(&chain, RECIPIENT, all.minor())), &context).unwrap();
    let more = intent(&chain, pay_native(&chain, RECIPIENT, all.minor() + 1));
    assert!(matches!(build(&more, &context), Err(BuildError::Insufficient { .. })));

    let token = format!("{CHAIN}/erc20:{TOKEN}").parse().unwrap();
    assert_eq!(chain_evm::sweepable(&context, &token), Ok(Amount::new(10_u128.pow(12))));
    let poor = EvmContext { balance: Amount::new(1), ..context.clone() };
    assert!(matches!(chain_evm::sweepable(&poor, &token), Err(BuildError::Insufficient { .. })));
    let empty = EvmContext { token_balance: None, ..context };
    assert_eq!(chain_evm::sweepable(&empty, &token), Err(BuildError::Zero));
}

#[test]
fn a_token_payment_is_described_in_its_own_asset() {
    let chain = chain(CHAIN);
    let action = pay_token(&chain, RECIPIENT, TOKEN, 5);
    let unsigned = build(&intent(&chain, action), &context(Key::new(1).keyed(&chain))).unwrap();
    let Action::Pay { payments } = describe(&unsigned).unwrap().action else { panic!() };
    let [Payment { to, asset, amount }] = &payments[..] else { panic!() };
    assert_eq!(to.as_str(), RECIPIENT);
    assert_eq!(asset.token(), Some(TOKEN));
    assert_eq!(amount.minor(), 5);
}

#[test]
fn a_replacement_keeps_everything_but_the_price() {
    let chain = chain(CHAIN);
    let before = context(Key::new(1).keyed(&chain));
    let intent = intent(&chain, pay_native(&chain, RECIPIENT, 5));
    let previous = build(&intent, &before).unwrap();
    // Meanwhile the network got cheaper, and our nonce was counted on.
    let fresh =
        EvmContext { nonce: 99, max_fee_per_gas: 1, max_priority_fee_per_gas: 0, ..before.clone() };
    let after = chain_evm::replacement(&previous, &fresh).unwrap();
    assert_eq!(after.nonce, before.nonce);
    assert_eq!(after.max_fee_per_gas, before.max_fee_per_gas * 9 / 8);
    assert_eq!(after.max_priority_fee_per_gas, before.max_priority_fee_per_gas * 9 / 8);
    let replaced = describe(&build(&intent, &after).unwrap()).unwrap();
    let original = describe(&previous).unwrap();
    assert_eq!((replaced.action, replaced.slots), (original.action, original.slots));

    let dearer = EvmContext { max_fee_per_gas: 10_u128.pow(12), ..fresh };
    let after = chain_evm::replacement(&previous, &dearer).unwrap();
    assert_eq!(after.max_fee_per_gas, 10_u128.pow(12));
    let stranger = EvmContext { sender: Key::new(2).keyed(&chain), ..dearer };
    let refused = chain_evm::replacement(&previous, &stranger);
    assert!(matches!(refused, Err(BuildError::Unsupported(_))));
}
