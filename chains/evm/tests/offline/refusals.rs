//! What must never be built, described or assembled.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{Address as RawAddress, TxKind, U256};
use alloy_rlp::Decodable;
use chain_core::{
    Action, Address, Amount, AmountError, AnchorCommitment, BuildError, EvmContext, IdError,
    KeyScheme, UnsignedTx,
};
use chain_evm::{GAS_LIMIT_MAX, anchor_contract_address, assemble, build, describe, payloads};

use crate::common::{CHAIN, Key, RECIPIENT, TOKEN, chain, context, intent, pay_native, pay_token};

fn plain() -> UnsignedTx {
    let chain = chain(CHAIN);
    let intent = intent(&chain, pay_native(&chain, RECIPIENT, 1_000));
    build(&intent, &context(Key::new(1).keyed(&chain))).unwrap()
}

fn changed(change: impl FnOnce(&mut TxEip1559)) -> UnsignedTx {
    let mut unsigned = plain();
    let mut transaction = TxEip1559::decode(&mut &unsigned.bytes[1..]).unwrap();
    change(&mut transaction);
    unsigned.bytes = transaction.encoded_for_signing();
    unsigned
}

#[track_caller]
fn assert_malformed(unsigned: &UnsignedTx) {
    let described = describe(unsigned);
    assert!(matches!(described, Err(BuildError::Malformed(_))), "{described:?}");
    assert!(payloads(unsigned).is_err(), "what is not described is not signed");
}

/// A signature is good on one chain alone: the bytes name it, and neither `describe`, `payloads`
/// nor `assemble` takes bytes or signatures of another.
#[test]
fn promise_14_a_signature_is_bound_to_one_chain() {
    let key = Key::new(1);
    let ids = ["eip155:1", "eip155:56", "eip155:137", "eip155:196", CHAIN];
    let build_on = |id: &str| {
        let chain = chain(id);
        let intent = intent(&chain, pay_native(&chain, RECIPIENT, 1_000));
        build(&intent, &context(key.keyed(&chain))).unwrap()
    };
    for home in ids {
        let unsigned = build_on(home);
        let signature = key.sign(&payloads(&unsigned).unwrap()[0]);
        assemble(&unsigned, std::slice::from_ref(&signature)).unwrap();
        for away in ids.into_iter().filter(|away| *away != home) {
            let elsewhere = chain(away);
            let relabelled = UnsignedTx {
                chain: elsewhere.clone(),
                signers: vec![key.keyed(&elsewhere)],
                ..unsigned.clone()
            };
            assert_malformed(&relabelled);
            let replayed = assemble(&build_on(away), std::slice::from_ref(&signature));
            assert_eq!(replayed, Err(BuildError::BadSignature(0)), "{home} on {away}");
        }
    }
    let unprotected = changed(|transaction| transaction.chain_id = 0);
    assert_malformed(&unprotected);
}

#[test]
fn other_transaction_types_are_refused() {
    let mut legacy = plain();
    legacy.bytes.remove(0);
    assert_malformed(&legacy);
    for kind in [0, 1, 3, 4, 0x7f] {
        let mut other = plain();
        other.bytes[0] = kind;
        assert_malformed(&other);
    }
    let eip2930 = TxEip2930 { chain_id: 31337, gas_limit: 21_000, ..Default::default() };
    assert_malformed(&UnsignedTx { bytes: eip2930.encoded_for_signing(), ..plain() });
}

#[test]
fn what_no_builder_makes_is_refused() {
    let entry = AccessListItem { address: RawAddress::repeat_byte(1), storage_keys: Vec::new() };
    assert_malformed(&changed(|tx| tx.access_list = AccessList(vec![entry])));
    assert_malformed(&changed(|tx| tx.to = TxKind::Create));
    assert_malformed(&changed(|tx| tx.input = vec![0xa9, 0x05, 0x9c, 0xbb].into()));
    assert_malformed(&changed(|tx| tx.input = vec![0].into()));
    assert_malformed(&changed(|tx| tx.nonce = u64::MAX));
    assert_malformed(&changed(|tx| tx.gas_limit = 20_999));
    assert_malformed(&changed(|tx| tx.gas_limit = GAS_LIMIT_MAX + 1));
    assert_malformed(&changed(|tx| tx.max_priority_fee_per_gas = tx.max_fee_per_gas + 1));
    assert_eq!(describe(&changed(|tx| tx.value = U256::ZERO)), Err(BuildError::Zero));
    let huge = changed(|tx| tx.value = U256::from(u128::MAX) + U256::from(1));
    assert_eq!(describe(&huge), Err(BuildError::Amount(AmountError::Overflow)));
    let to_zero = changed(|tx| tx.to = TxKind::Call(RawAddress::ZERO));
    assert!(matches!(describe(&to_zero), Err(BuildError::Id(_))));

    let mut trailing = plain();
    trailing.bytes.push(0);
    assert_malformed(&trailing);
    let mut truncated = plain();
    truncated.bytes.pop();
    assert_malformed(&truncated);
}

#[test]
fn token_calls_with_more_in_them_are_refused() {
    let chain = chain(CHAIN);
    let token = intent(&chain, pay_token(&chain, RECIPIENT, TOKEN, 5));
    let unsigned = build(&token, &context(Key::new(1).keyed(&chain))).unwrap();
    let with = |change: &dyn Fn(&mut TxEip1559)| {
        let mut transaction = TxEip1559::decode(&mut &unsigned.bytes[1..]).unwrap();
        change(&mut transaction);
        UnsignedTx { bytes: transaction.encoded_for_signing(), ..unsigned.clone() }
    };
    let edit = |change: &dyn Fn(&mut Vec<u8>)| {
        with(&|tx| {
            let mut input = tx.input.to_vec();
            change(&mut input);
            tx.input = input.into();
        })
    };
    assert_malformed(&with(&|tx| tx.value = U256::from(1)));
    assert_malformed(&edit(&|input| input.push(0)));
    assert_malformed(&edit(&|input| input.truncate(67)));
    // Dirt in the upper bytes of the address, which contracts ignore.
    assert_malformed(&edit(&|input| input[4] = 1));
    // `approve` and `transferFrom` look much the same.
    assert_malformed(&edit(&|input| input[..4].copy_from_slice(&[0x09, 0x5e, 0xa7, 0xb3])));
    assert_malformed(&edit(&|input| input[..4].copy_from_slice(&[0x23, 0xb8, 0x72, 0xdd])));
    let own: RawAddress = TOKEN.parse().unwrap();
    let to_itself = edit(&|input| input[16..36].copy_from_slice(own.as_slice()));
    assert!(matches!(describe(&to_itself), Err(BuildError::Unsupported(_))));
}

#[test]
fn another_contract_is_never_deployed() {
    let chain = chain(CHAIN);
    let context = EvmContext { gas_limit: 1_000_000, ..context(Key::new(1).keyed(&chain)) };
    let unsigned = build(&intent(&chain, Action::DeployAnchorContract), &context).unwrap();
    assert_eq!(describe(&unsigned).unwrap().action, Action::DeployAnchorContract);
    let length = TxEip1559::decode(&mut &unsigned.bytes[1..]).unwrap().input.len();
    for at in [0, 31, 32, length / 2, length - 1] {
        let mut transaction = TxEip1559::decode(&mut &unsigned.bytes[1..]).unwrap();
        let mut input = transaction.input.to_vec();
        input[at] ^= 1;
        transaction.input = input.into();
        let other = UnsignedTx { bytes: transaction.encoded_for_signing(), ..unsigned.clone() };
        assert_malformed(&other);
    }
}

#[test]
fn only_the_anchor_contract_is_anchored_to() {
    let chain = chain(CHAIN);
    let context = context(Key::new(1).keyed(&chain));
    let anchor = |contract, checkpoint| {
        let commitment = AnchorCommitment { origin: [1; 32], size: 9, checkpoint };
        build(&intent(&chain, Action::Anchor { commitment, contract }), &context)
    };
    anchor(Some(anchor_contract_address(&chain)), [2; 32]).unwrap();
    for contract in [None, Some(crate::common::address(&chain, RECIPIENT))] {
        assert!(matches!(anchor(contract, [2; 32]), Err(BuildError::Unsupported(_))));
    }
    let zero = anchor(Some(anchor_contract_address(&chain)), [0; 32]);
    assert!(matches!(zero, Err(BuildError::Unsupported(_))));
}

#[test]
fn payments_that_make_no_sense_are_not_built() {
    let chain = chain(CHAIN);
    let context = context(Key::new(1).keyed(&chain));
    let refused = |action| build(&intent(&chain, action), &context).unwrap_err();
    assert_eq!(refused(pay_native(&chain, RECIPIENT, 0)), BuildError::Zero);
    assert_eq!(refused(pay_token(&chain, RECIPIENT, TOKEN, 0)), BuildError::Zero);
    let rich = context.balance.minor() + 1;
    let insufficient = refused(pay_native(&chain, RECIPIENT, rich));
    assert!(matches!(insufficient, BuildError::Insufficient { .. }));
    let all_but_fee = refused(pay_native(&chain, RECIPIENT, context.balance.minor()));
    assert!(matches!(all_but_fee, BuildError::Insufficient { .. }));
    let token = refused(pay_token(&chain, RECIPIENT, TOKEN, 10_u128.pow(12) + 1));
    assert!(matches!(token, BuildError::Insufficient { .. }));
    let overflow = refused(pay_native(&chain, RECIPIENT, u128::MAX));
    assert_eq!(overflow, BuildError::Amount(AmountError::Overflow));
    let to_itself = refused(pay_token(&chain, TOKEN, TOKEN, 1));
    assert!(matches!(to_itself, BuildError::Unsupported(_)));
    let Action::Pay { payments } = pay_native(&chain, RECIPIENT, 1) else { panic!() };
    let two = Action::Pay { payments: [payments.clone(), payments].concat() };
    assert!(matches!(refused(two), BuildError::Unsupported(_)));
    assert!(matches!(refused(Action::Pay { payments: vec![] }), BuildError::Unsupported(_)));
}

#[test]
fn addresses_and_assets_of_other_networks_are_not_paid() {
    let here = chain(CHAIN);
    let there = chain("eip155:1");
    let context = context(Key::new(1).keyed(&here));
    let recipient = build(&intent(&here, pay_native(&there, RECIPIENT, 1)), &context);
    let Err(BuildError::Id(IdError::Address { reason, .. })) = recipient else { panic!() };
    assert!(reason.contains("another network"), "{reason}");
    let Action::Pay { mut payments } = pay_native(&here, RECIPIENT, 1) else { panic!() };
    payments[0].asset = there.native();
    let asset = build(&intent(&here, Action::Pay { payments }), &context);
    assert!(matches!(asset, Err(BuildError::Unsupported(_))));
    let sender = EvmContext { sender: Key::new(1).keyed(&there), ..context };
    let sender = build(&intent(&here, pay_native(&here, RECIPIENT, 1)), &sender);
    assert!(matches!(sender, Err(BuildError::Id(_))));
}

/// The type says that it was checked; bytes from outside can say so too.
#[test]
fn an_address_that_only_claims_to_be_canonical_is_not_paid() {
    let chain = chain(CHAIN);
    let context = context(Key::new(1).keyed(&chain));
    for text in [RECIPIENT.to_lowercase(), RECIPIENT.replace("5aAeb", "5AAeb"), String::new()] {
        let Action::Pay { mut payments } = pay_native(&chain, RECIPIENT, 1) else { panic!() };
        payments[0].to = Address::from_canonical(chain.clone(), text.clone());
        let refused = build(&intent(&chain, Action::Pay { payments }), &context);
        assert!(matches!(refused, Err(BuildError::Id(_))), "{text:?}: {refused:?}");
    }
}

#[test]
fn the_fee_cap_holds() {
    let chain = chain(CHAIN);
    let context = context(Key::new(1).keyed(&chain));
    let fee = Amount::new(u128::from(context.gas_limit) * context.max_fee_per_gas);
    let mut intent = intent(&chain, pay_native(&chain, RECIPIENT, 1));
    intent.fee_max = fee;
    build(&intent, &context).unwrap();
    let cap = Amount::new(fee.minor() - 1);
    intent.fee_max = cap;
    assert_eq!(build(&intent, &context), Err(BuildError::FeeOverCap { fee, cap }));
    let absurd = EvmContext { max_fee_per_gas: u128::MAX, ..context };
    assert_eq!(build(&intent, &absurd), Err(BuildError::Amount(AmountError::Overflow)));
}

#[test]
fn only_the_senders_own_low_signature_is_assembled() {
    let key = Key::new(1);
    let unsigned = plain();
    let payload = &payloads(&unsigned).unwrap()[0];
    let good = key.sign(payload);
    assemble(&unsigned, std::slice::from_ref(&good)).unwrap();

    let refused = |signatures: &[chain_core::Signature]| {
        matches!(assemble(&unsigned, signatures), Err(BuildError::BadSignature(_)))
    };
    assert!(refused(&[]));
    assert!(refused(&[good.clone(), good.clone()]));
    assert!(refused(&[Key::new(2).sign(payload)]));
    let with = |change: &dyn Fn(&mut chain_core::Signature)| {
        let mut bad = good.clone();
        change(&mut bad);
        [bad]
    };
    assert!(refused(&with(&|bad| bad.bytes[64] ^= 1)));
    assert!(refused(&with(&|bad| bad.bytes[64] += 27)));
    assert!(refused(&with(&|bad| bad.bytes.truncate(64))));
    assert!(refused(&with(&|bad| bad.bytes.push(0))));
    assert!(refused(&with(&|bad| bad.bytes[0] ^= 1)));
    assert!(refused(&with(&|bad| bad.bytes = vec![0; 65])));
    assert!(refused(&with(&|bad| bad.public_key = Key::new(2).public().to_vec())));
    assert!(refused(&with(&make_high)));
}

/// The same signature in its other form: n - s, with the other recovery byte.
fn make_high(signature: &mut chain_core::Signature) {
    let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    let order = U256::from_str_radix(order, 16).unwrap();
    let low = U256::from_be_slice(&signature.bytes[32..64]);
    signature.bytes[32..64].copy_from_slice(&(order - low).to_be_bytes::<32>());
    signature.bytes[64] ^= 1;
}

#[test]
fn signers_must_be_one_evm_key() {
    let chain = chain(CHAIN);
    let signer = Key::new(1).keyed(&chain);
    let none = UnsignedTx { signers: vec![], ..plain() };
    assert_malformed(&none);
    let two = UnsignedTx { signers: vec![signer.clone(), signer.clone()], ..plain() };
    assert_malformed(&two);
    let change = UnsignedTx { change: vec![signer.clone()], ..plain() };
    assert_malformed(&change);
    let mut bitcoin = signer;
    let branch = bitcoin.key.branch();
    bitcoin.key = chain_core::KeyPath::new(KeyScheme::Bip84, 0, branch, 0).unwrap();
    let bitcoin = UnsignedTx { signers: vec![bitcoin], ..plain() };
    assert!(matches!(describe(&bitcoin), Err(BuildError::Unsupported(_))));
}
