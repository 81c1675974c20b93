//! `describe(build(x))` is `x`, and no other bytes are understood.

use crate::common::{anchor, chain, context, create_nonce, intent, keyed, pay, sign, usdc, wallet};
use chain_core::{Action, Amount, AnchorCommitment, BuildError, Slot, UnsignedTx};
use chain_solana::{assemble, build, describe, payloads};
use proptest::prelude::*;
use solana_message::legacy::Message;

fn actions() -> impl Strategy<Value = Action> {
    prop_oneof![
        (3u8..40, 1u128..4_000_000_000).prop_map(|(to, amount)| pay(
            wallet(to),
            chain().native(),
            amount
        )),
        (3u8..40, 1u128..5_000_000_000).prop_map(|(to, amount)| pay(wallet(to), usdc(), amount)),
        (any::<[u8; 32]>(), any::<u64>(), any::<[u8; 32]>()).prop_map(
            |(origin, size, checkpoint)| {
                let commitment = AnchorCommitment { origin, size, checkpoint };
                Action::Anchor { commitment, contract: None }
            }
        ),
        any::<u32>().prop_map(create_nonce),
    ]
}

proptest! {
    #[test]
    fn describe_of_build_is_the_intent(
        action in actions(), owner in 1u8..3, limit in 0u32..1_400_000, price in 0u64..5_000_000,
    ) {
        let mut context = context(owner);
        (context.compute_unit_limit, context.compute_unit_price) = (limit, price);
        let intent = intent(action);
        let tx = build(&intent, &context).unwrap();
        let summary = describe(&tx).unwrap();
        prop_assert_eq!(&summary.action, &intent.action);
        prop_assert_eq!(&summary.chain, &intent.chain);
        prop_assert!(summary.fee_max <= intent.fee_max);
        prop_assert!(summary.change.is_empty());
        let slot = match &intent.action {
            Action::CreateNonceAccount { nonce_account, .. } => {
                Slot::SolanaAccount { account: nonce_account.clone() }
            }
            _ => {
                let (account, value) = context.nonce.clone().unwrap();
                Slot::SolanaNonce { account, value }
            }
        };
        prop_assert_eq!(summary.slots, vec![slot]);
        prop_assert!(assemble(&tx, &sign(&tx)).is_ok());
    }

    #[test]
    fn promise_13_no_changed_byte_keeps_its_meaning(
        action in actions(), place: prop::sample::Index, flip in 1u8..=255,
    ) {
        let tx = build(&intent(action), &context(2)).unwrap();
        let before = describe(&tx).unwrap();
        let mut changed = tx.clone();
        let place = place.index(changed.bytes.len());
        changed.bytes[place] ^= flip;
        if let Ok(after) = describe(&changed) {
            prop_assert!(after != before || essence(&tx) == essence(&changed));
        }
        prop_assert!(assemble(&changed, &sign(&tx)).is_err());
    }

    #[test]
    fn everything_that_can_be_swept_can_be_paid_and_no_more(
        balance in 0u64..3_000_000, price in 0u64..20_000_000, owner in 1u8..3,
    ) {
        let mut context = context(owner);
        context.balance = Amount::from(balance);
        context.compute_unit_price = price;
        let all = chain_solana::sweepable(&context, &chain().native());
        let pays = |amount: u128| {
            build(&intent(pay(wallet(9), chain().native(), amount)), &context).is_ok()
        };
        prop_assert!(all.is_zero() || pays(all.minor()), "{all} of {balance}");
        prop_assert!(!pays(all.minor() + 1), "more than {all} of {balance}");
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
        let mut tx = build(&intent(anchor()), &context(1)).unwrap();
        tx.bytes = bytes;
        prop_assert!(describe(&tx).is_err());
    }

    #[test]
    fn cut_or_longer_bytes_are_refused(action in actions(), cut: prop::sample::Index, more: u8) {
        let tx = build(&intent(action), &context(2)).unwrap();
        let mut shorter = tx.clone();
        shorter.bytes.truncate(cut.index(tx.bytes.len()));
        prop_assert!(describe(&shorter).is_err());
        let mut longer = tx;
        longer.bytes.push(more);
        prop_assert!(describe(&longer).is_err());
    }
}

/// The message without what may change and leave action, slot and fee as they are: the compute
/// budget, the decimals (the token program refuses wrong ones) and the blockhash of a creation.
fn essence(tx: &UnsignedTx) -> Message {
    let mut message: Message = wincode::deserialize_exact(&tx.bytes).unwrap();
    let program = |index: u8| message.account_keys[usize::from(index)];
    let budget = solana_compute_budget_interface::ID;
    let mut steps = message.instructions.clone();
    steps.retain(|step| program(step.program_id_index) != budget);
    if let Some(transfer) = steps.get_mut(2) {
        transfer.data.truncate(9);
    }
    if matches!(describe(tx).unwrap().action, Action::CreateNonceAccount { .. }) {
        message.recent_blockhash = solana_hash::Hash::default();
    }
    message.instructions = steps;
    message
}

#[test]
fn the_fee_counts_signatures_priority_and_rent() {
    let fee = |action, owner| {
        let tx = build(&intent(action), &context(owner)).unwrap();
        describe(&tx).unwrap().fee_max.minor()
    };
    let native = chain().native();
    assert_eq!(fee(pay(wallet(9), native.clone(), 1_000_000), 1), 5_000 + 1_200);
    assert_eq!(fee(pay(wallet(9), native, 1_000_000), 2), 10_000 + 1_200);
    assert_eq!(fee(pay(wallet(9), usdc(), 1), 2), 10_000 + 1_200 + 2_039_280);
    assert_eq!(fee(anchor(), 2), 5_000 + 1_200);
    assert_eq!(fee(create_nonce(0), 2), 5_000 + 1_200 + 2_039_280, "what the context asked");
}

#[test]
fn each_signer_signs_the_whole_message() {
    let tx = build(&intent(pay(wallet(9), usdc(), 1)), &context(2)).unwrap();
    assert_eq!(tx.signers, [keyed(1), keyed(2)]);
    let payloads = payloads(&tx).unwrap();
    assert_eq!(payloads.len(), 2);
    for payload in payloads {
        assert_eq!(payload.message, chain_core::Message::Bytes(tx.bytes.clone()));
    }
}

#[test]
fn promise_11_assemble_verifies_every_signature() {
    let tx = build(&intent(pay(wallet(9), usdc(), 1)), &context(2)).unwrap();
    let good = sign(&tx);
    let signed = assemble(&tx, &good).unwrap();
    let read: solana_transaction::Transaction = wincode::deserialize_exact(&signed.bytes).unwrap();
    assert_eq!(read.signatures[0].to_string(), signed.id.0);
    assert_eq!(read.message.serialize(), tx.bytes);

    let bad = |change: &dyn Fn(&mut Vec<chain_core::Signature>)| {
        let mut signatures = good.clone();
        change(&mut signatures);
        assemble(&tx, &signatures).unwrap_err()
    };
    assert_eq!(bad(&|all| all[0].bytes[5] ^= 1), BuildError::BadSignature(0));
    assert_eq!(bad(&|all| all[1].bytes[40] ^= 1), BuildError::BadSignature(1));
    assert_eq!(bad(&|all| all[1].public_key[0] ^= 1), BuildError::BadSignature(1));
    assert_eq!(bad(&|all| all.swap(0, 1)), BuildError::BadSignature(0));
    assert_eq!(bad(&|all| all.truncate(1)), BuildError::BadSignature(1));
    assert_eq!(bad(&|all| all.push(all[0].clone())), BuildError::BadSignature(2));
    assert_eq!(bad(&|all| all[1].bytes.truncate(63)), BuildError::BadSignature(1));
}

#[test]
fn the_signers_must_be_the_messages_own() {
    let tx = build(&intent(pay(wallet(9), usdc(), 1)), &context(2)).unwrap();
    for signers in [vec![], vec![keyed(1)], vec![keyed(2), keyed(1)], vec![keyed(1), keyed(3)]] {
        let other = chain_core::UnsignedTx { signers, ..tx.clone() };
        assert!(matches!(describe(&other), Err(BuildError::Malformed(_))));
        assert!(payloads(&other).is_err());
    }
    let mut change = tx;
    change.change.push(keyed(1));
    assert!(describe(&change).is_err());
}

#[test]
fn a_sweep_takes_everything_and_no_more() {
    let mut context = context(1);
    context.recipient_is_new = false;
    let all = chain_solana::sweepable(&context, &chain().native());
    assert_eq!(all, Amount::new(5_000_000_000 - 5_000 - 1_200));
    assert!(build(&intent(pay(wallet(9), chain().native(), all.minor())), &context).is_ok());
    let more = intent(pay(wallet(9), chain().native(), all.minor() + 1));
    assert!(matches!(build(&more, &context), Err(BuildError::Insufficient { .. })));
    context.balance = Amount::new(890_880 + 6_199);
    assert_eq!(chain_solana::sweepable(&context, &chain().native()), Amount::ZERO);

    let mut other = crate::common::context(2);
    other.balance = Amount::new(17);
    assert_eq!(chain_solana::sweepable(&other, &chain().native()), Amount::new(17));
    assert_eq!(chain_solana::sweepable(&other, &usdc()), Amount::new(17));
    assert!(build(&intent(pay(wallet(1), chain().native(), 17)), &other).is_ok());
}
