//! Building: selection, change, fees, refusals.

use crate::support::*;
use KeyScheme::{Bip84, Bip86};
use bitcoin::consensus::deserialize;
use bitcoin::{Psbt, Sequence, Transaction};
use chain_bitcoin::{assemble, build, describe, payloads, script_of, sweepable};
use chain_core::{Action, Amount, AnchorCommitment, Branch, BuildError, KeyScheme, Purpose, Slot};
use proptest::prelude::*;

const DUST_P2WPKH: u64 = 294;

fn scheme() -> impl Strategy<Value = KeyScheme> {
    prop_oneof![Just(Bip84), Just(Bip86)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_is_built_is_described_and_signed(
        coins in prop::collection::vec((scheme(), 500_u64..5_000_000), 1..12),
        payments in prop::collection::vec((0_u32..5, DUST_P2WPKH..3_000_000), 1..6),
        rate in 250_u64..50_000,
        fee_max in 0_u64..200_000,
        id: u128,
    ) {
        let payees: Vec<_> = payments.iter().map(|(who, sat)| (outsider(*who), *sat)).collect();
        let payees: Vec<_> = payees.iter().map(|(who, sat)| (who, *sat)).collect();
        let mut intent = intent(Purpose::Withdrawal, pay(&payees));
        intent.id = chain_core::IntentId(uuid::Uuid::from_u128(id));
        intent.fee_max = Amount::from(fee_max);
        let mut context = context(&coins);
        context.fee_rate_sat_per_kwu = rate;
        let available: u64 = coins.iter().map(|(_, sat)| sat).sum();
        let paid: u64 = payments.iter().map(|(_, sat)| sat).sum();

        let unsigned = match build(&intent, &context) {
            Ok(unsigned) => unsigned,
            Err(BuildError::Insufficient { needed, available: held }) => {
                prop_assert!(needed > held);
                prop_assert_eq!(held, Amount::from(available));
                return Ok(());
            }
            Err(BuildError::FeeOverCap { fee, cap }) => {
                prop_assert!(fee > cap);
                return Ok(());
            }
            Err(other) => return Err(TestCaseError::fail(other.to_string())),
        };
        let summary = describe(&unsigned).unwrap();
        prop_assert_eq!(&summary.action, &intent.action);
        prop_assert_eq!(&summary.chain, &intent.chain);
        prop_assert!(summary.fee_max <= intent.fee_max);

        let spent: u64 = summary.slots.iter().map(|slot| {
            let Slot::BitcoinOutpoint { txid, .. } = slot else { panic!("no coin") };
            let coin = context.coins.iter().find(|coin| coin.outpoint.txid == *txid).unwrap();
            coin.amount.to_u64().unwrap()
        }).sum();
        let change: u64 = summary.change.iter().map(|(_, sat)| sat.to_u64().unwrap()).sum();
        prop_assert_eq!(spent, paid + change + summary.fee_max.to_u64().unwrap());
        let dust = script_of(&context.change.address).unwrap().minimal_non_dust().to_sat();
        prop_assert!(change == 0 || change >= dust);

        let signed = assemble(&unsigned, &sign(&unsigned)).unwrap();
        let tx: Transaction = deserialize(&signed.bytes).unwrap();
        prop_assert_eq!(tx.compute_txid().to_string(), signed.id.0);
        let least = tx.weight().to_wu().div_ceil(4) * 4 * rate / 1000;
        prop_assert!(summary.fee_max.to_u64().unwrap() >= least, "the rate is kept");
        prop_assert_eq!(&unsigned, &build(&intent, &context).unwrap(), "a retry builds the same");
    }

    #[test]
    fn a_sweep_leaves_nothing(
        coins in prop::collection::vec((scheme(), 1_000_u64..5_000_000), 1..20),
        rate in 250_u64..20_000,
    ) {
        let mut context = context(&coins);
        context.fee_rate_sat_per_kwu = rate;
        let to = own(Bip86, Branch::External, 99).address;
        let available: u64 = coins.iter().map(|(_, sat)| sat).sum();
        let Ok(amount) = sweepable(&context, &to) else {
            prop_assert!(available < 330 + 20_000 * 300 * (coins.len() as u64 + 1) / 1000);
            return Ok(());
        };
        let mut intent = intent(Purpose::Sweep, pay(&[(&to, amount.to_u64().unwrap())]));
        intent.fee_max = Amount::new(u128::MAX);
        let summary = describe(&build(&intent, &context).unwrap()).unwrap();
        prop_assert_eq!(&summary.action, &intent.action);
        prop_assert_eq!(summary.slots.len(), coins.len());
        prop_assert!(summary.change.is_empty());
        prop_assert_eq!(summary.fee_max.to_u64().unwrap(), available - amount.to_u64().unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    #[test]
    fn promise_30_a_replacement_conflicts_pays_the_same_and_outbids(
        coins in prop::collection::vec((scheme(), 20_000_u64..500_000), 2..10),
        sat in 1_000_u64..200_000,
        bump in 1_u64..5,
    ) {
        let mut context = context(&coins);
        let intent = intent(Purpose::Withdrawal, pay(&[(&outsider(0), sat)]));
        let Ok(original) = build(&intent, &context) else { return Ok(()) };
        let before = describe(&original).unwrap();
        let spent = |slot: &Slot| {
            let Slot::BitcoinOutpoint { txid, vout } = slot.clone() else { panic!("{slot:?}") };
            chain_core::OutPoint { txid, vout }
        };
        context.must_spend = before.slots.iter().map(spent).collect();
        context.replaced_fee = before.fee_max;
        context.fee_rate_sat_per_kwu *= bump;
        let Ok(replacement) = build(&intent, &context) else { return Ok(()) };
        let after = describe(&replacement).unwrap();
        prop_assert_eq!(after.action, before.action);
        prop_assert!(before.slots.iter().all(|slot| after.slots.contains(slot)));
        let signed = assemble(&replacement, &sign(&replacement)).unwrap();
        let tx: Transaction = deserialize(&signed.bytes).unwrap();
        let relay = tx.vsize() as u64;
        let evicted = before.fee_max.to_u64().unwrap();
        prop_assert!(after.fee_max.to_u64().unwrap() >= evicted + relay, "BIP-125, rule 4");
    }
}

#[test]
fn a_coin_that_fits_is_preferred_to_change() {
    let to = outsider(0);
    let exact = sweepable(&context(&[(Bip86, 100_000)]), &to).unwrap().to_u64().unwrap();
    let coins = [(Bip86, 900_000), (Bip86, 100_000), (Bip86, 60_000), (Bip86, 70_000)];
    let payment = intent(Purpose::Withdrawal, pay(&[(&to, exact)]));
    let summary = describe(&build(&payment, &context(&coins)).unwrap()).unwrap();
    assert_eq!(summary.slots.len(), 1);
    assert!(summary.change.is_empty());
    assert_eq!(summary.fee_max, Amount::from(100_000 - exact));
}

#[test]
fn a_sweep_of_another_amount_is_refused() {
    let context = context(&[(Bip84, 50_000), (Bip86, 50_000)]);
    let to = outsider(0);
    let all = sweepable(&context, &to).unwrap().to_u64().unwrap();
    let sweep = |sat| build(&intent(Purpose::Sweep, pay(&[(&to, sat)])), &context);
    assert!(sweep(all).is_ok());
    assert!(matches!(sweep(all - 1), Err(BuildError::Unsupported(_))));
    assert!(matches!(sweep(all + 1), Err(BuildError::Insufficient { .. })));
}

#[test]
fn promise_31_lock_time_and_sequence_are_set() {
    let context = context(&[(Bip84, 100_000)]);
    let unsigned = build(&intent(Purpose::Withdrawal, pay(&[(&outsider(0), 10_000)])), &context);
    let psbt = Psbt::deserialize(&unsigned.unwrap().bytes).unwrap();
    assert_eq!(psbt.unsigned_tx.lock_time.to_consensus_u32(), 150);
    assert_eq!(psbt.unsigned_tx.version.0, 2);
    assert!(psbt.unsigned_tx.input.iter().all(|i| i.sequence == Sequence(0xffff_fffd)));
}

#[test]
fn zero_dust_overflow_and_too_much_are_refused() {
    let context = context(&[(Bip84, 100_000)]);
    let to = outsider(0);
    let refused =
        |sat| build(&intent(Purpose::Withdrawal, pay(&[(&to, sat)])), &context).unwrap_err();
    assert_eq!(refused(0), BuildError::Zero);
    assert_eq!(
        refused(DUST_P2WPKH - 1),
        BuildError::Dust { amount: Amount::from(293), limit: Amount::from(DUST_P2WPKH) }
    );
    assert!(matches!(refused(100_000), BuildError::Insufficient { .. }));
    assert!(matches!(refused(u64::MAX), BuildError::Amount(_)));
    let nobody = intent(Purpose::Withdrawal, pay(&[]));
    assert_eq!(build(&nobody, &context).unwrap_err(), BuildError::Zero);

    let mut huge = intent(Purpose::Withdrawal, pay(&[(&to, 1_000)]));
    if let Action::Pay { payments } = &mut huge.action {
        payments[0].amount = Amount::new(1 << 64);
    }
    assert!(matches!(build(&huge, &context).unwrap_err(), BuildError::Amount(_)));
}

#[test]
fn other_networks_and_assets_are_refused() {
    let context = context(&[(Bip84, 100_000)]);
    let foreign = address(&mainnet(), "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu");
    let refused = |action| build(&intent(Purpose::Withdrawal, action), &context).unwrap_err();
    assert!(matches!(refused(pay(&[(&foreign, 1_000)])), BuildError::Unsupported(_)));

    let mut mixed = pay(&[(&foreign, 1_000)]);
    if let Action::Pay { payments } = &mut mixed {
        payments[0].asset = regtest().native();
    }
    assert!(matches!(refused(mixed), BuildError::Id(_)));
    assert!(matches!(refused(Action::DeployAnchorContract), BuildError::Unsupported(_)));

    let mut elsewhere = intent(Purpose::Withdrawal, pay(&[(&foreign, 1_000)]));
    elsewhere.chain = mainnet();
    assert!(build(&elsewhere, &context).is_err(), "the change is on another network");
}

#[test]
fn promise_31_a_fee_over_the_cap_is_refused() {
    let context = context(&[(Bip84, 100_000)]);
    let mut intent = intent(Purpose::Withdrawal, pay(&[(&outsider(0), 10_000)]));
    let unsigned = build(&intent, &context).unwrap();
    let fee = describe(&unsigned).unwrap().fee_max;
    intent.fee_max = fee;
    assert!(build(&intent, &context).is_ok());
    intent.fee_max = fee.checked_sub(Amount::new(1)).unwrap();
    let cap = intent.fee_max;
    assert_eq!(build(&intent, &context), Err(BuildError::FeeOverCap { fee, cap }));
}

#[test]
fn a_rest_too_small_for_change_goes_to_the_fee() {
    let context = context(&[(Bip84, 100_000)]);
    let to = outsider(0);
    let all = sweepable(&context, &to).unwrap().to_u64().unwrap();
    let unsigned = build(&intent(Purpose::Withdrawal, pay(&[(&to, all - 300)])), &context).unwrap();
    let summary = describe(&unsigned).unwrap();
    assert!(summary.change.is_empty() && unsigned.change.is_empty());
    assert_eq!(summary.fee_max, Amount::from(100_000 - all + 300));
}

#[test]
fn a_payment_to_the_change_address_is_refused() {
    let context = context(&[(Bip84, 100_000)]);
    let to = context.change.address.clone();
    let error = build(&intent(Purpose::Withdrawal, pay(&[(&to, 10_000)])), &context).unwrap_err();
    assert!(matches!(error, BuildError::Unsupported(_)), "{error}");
}

#[test]
fn change_sits_anywhere_and_for_one_intent_always_at_one_place() {
    let context = context(&[(Bip84, 100_000)]);
    let mut intent = intent(
        Purpose::Withdrawal,
        pay(&[(&outsider(0), 10_000), (&outsider(1), 20_000), (&outsider(2), 30_000)]),
    );
    let mut places = [0; 4];
    for id in 0..200 {
        intent.id = chain_core::IntentId(uuid::Uuid::from_u128(id));
        let unsigned = build(&intent, &context).unwrap();
        let script = script_of(&context.change.address).unwrap();
        let outputs = Psbt::deserialize(&unsigned.bytes).unwrap().unsigned_tx.output;
        places[outputs.iter().position(|out| out.script_pubkey == script).unwrap()] += 1;
        assert_eq!(build(&intent, &context).unwrap(), unsigned);
    }
    assert!(places.iter().all(|count| (25..=80).contains(count)), "{places:?}");
}

#[test]
fn parents_are_shown_without_their_witnesses() {
    let bare = context(&[(Bip84, 60_000), (Bip84, 60_000)]);
    let mut full = bare.clone();
    for parent in &mut full.parents {
        let mut tx: Transaction = bitcoin::consensus::encode::deserialize_hex(parent).unwrap();
        tx.input[0].witness.push([7; 400]);
        *parent = bitcoin::consensus::encode::serialize_hex(&tx);
    }
    let intent = intent(Purpose::Withdrawal, pay(&[(&outsider(0), 100_000)]));
    assert_eq!(build(&intent, &full).unwrap(), build(&intent, &bare).unwrap());
}

#[test]
fn an_anchor_is_one_op_return() {
    let context = context(&[(Bip86, 100_000)]);
    let commitment = AnchorCommitment { origin: [1; 32], size: 42, checkpoint: [2; 32] };
    let anchor = intent(Purpose::Anchor, Action::Anchor { commitment, contract: None });
    let unsigned = build(&anchor, &context).unwrap();
    let summary = describe(&unsigned).unwrap();
    assert_eq!(summary.action, anchor.action);
    assert_eq!(summary.change.len(), 1);
    assert!(summary.fee_max.to_u64().unwrap() < 1_000);
}

#[test]
fn promise_30_a_replacement_shares_a_coin_pays_the_same_and_costs_more() {
    let mut context =
        context(&[(Bip86, 40_000), (Bip86, 60_000), (Bip84, 90_000), (Bip84, 70_000)]);
    let intent = intent(Purpose::Withdrawal, pay(&[(&outsider(0), 30_000)]));
    let original = build(&intent, &context).unwrap();
    let before = describe(&original).unwrap();

    context.must_spend = vec![{
        let Slot::BitcoinOutpoint { txid, vout } = before.slots[0].clone() else { panic!() };
        chain_core::OutPoint { txid, vout }
    }];
    context.replaced_fee = before.fee_max;
    let after = describe(&build(&intent, &context).unwrap()).unwrap();
    assert_eq!(after.action, before.action);
    assert!(after.slots.iter().any(|slot| before.slots.contains(slot)));
    assert!(after.fee_max > before.fee_max);
    assert_eq!(payloads(&original).unwrap().len(), before.slots.len());
}

#[test]
fn promise_30_a_sweep_is_replaced_with_a_further_coin() {
    let mut context = context(&[(Bip86, 40_000), (Bip84, 50_000)]);
    let to = own(Bip86, Branch::External, 9).address;
    let extra = context.coins.pop().unwrap();
    let amount = sweepable(&context, &to).unwrap().to_u64().unwrap();
    let sweep = intent(Purpose::Sweep, pay(&[(&to, amount)]));
    let before = describe(&build(&sweep, &context).unwrap()).unwrap();

    context.must_spend = vec![context.coins[0].outpoint.clone()];
    context.replaced_fee = before.fee_max;
    context.coins.push(extra);
    let after = describe(&build(&sweep, &context).unwrap()).unwrap();
    assert_eq!(after.action, before.action);
    assert!(after.fee_max > before.fee_max);
    assert!(after.slots.contains(&before.slots[0]));
    assert_eq!(after.change.len(), 1);
}

#[test]
fn a_coin_that_must_be_spent_is() {
    let mut context = context(&[(Bip86, 1_000_000), (Bip84, 1_000)]);
    let small = context.coins[1].outpoint.clone();
    context.must_spend = vec![small.clone()];
    let unsigned = build(&intent(Purpose::Withdrawal, pay(&[(&outsider(0), 9_000)])), &context);
    let summary = describe(&unsigned.unwrap()).unwrap();
    let slot = Slot::BitcoinOutpoint { txid: small.txid, vout: small.vout };
    assert!(summary.slots.contains(&slot));

    context.coins.remove(1);
    let error = build(&intent(Purpose::Withdrawal, pay(&[(&outsider(0), 9_000)])), &context);
    assert!(matches!(error, Err(BuildError::Malformed(_))));
}

#[test]
fn odd_contexts_are_refused() {
    let good = context(&[(Bip84, 60_000), (Bip84, 60_000)]);
    let intent = intent(Purpose::Withdrawal, pay(&[(&outsider(0), 100_000)]));
    assert!(build(&intent, &good).is_ok());
    let spoil = |change: &dyn Fn(&mut chain_core::BitcoinContext)| {
        let mut context = good.clone();
        change(&mut context);
        build(&intent, &context).unwrap_err()
    };
    let cases: [(&str, BuildError); 7] = [
        ("no parents", spoil(&|c| c.parents.clear())),
        ("a parent that lies", spoil(&|c| c.coins[0].amount = Amount::new(70_000))),
        ("a coin twice", spoil(&|c| c.coins.push(c.coins[0].clone()))),
        (
            "another kind of key",
            spoil(&|c| c.coins[0].owner.key = own(Bip86, Branch::External, 0).key),
        ),
        ("no rate", spoil(&|c| c.fee_rate_sat_per_kwu = 0)),
        ("a rate past reason", spoil(&|c| c.fee_rate_sat_per_kwu = u64::MAX)),
        ("a time for a height", spoil(&|c| c.height = 500_000_000)),
    ];
    for (what, error) in cases {
        assert!(
            matches!(error, BuildError::Malformed(_) | BuildError::Unsupported(_)),
            "{what}: {error}"
        );
    }
    let all_money = spoil(&|c| c.coins[0].amount = Amount::new(2_100_000_000_000_001));
    assert!(matches!(all_money, BuildError::Amount(_)), "{all_money}");
}

#[test]
fn a_thousand_coins_are_chosen_from_at_once() {
    let coins: Vec<_> = (0..1_000_u64).map(|n| (Bip86, 1_000 + n * 37)).collect();
    let context = context(&coins);
    let began = std::time::Instant::now();
    let unsigned = build(&intent(Purpose::Withdrawal, pay(&[(&outsider(0), 5_000_000)])), &context);
    let summary = describe(&unsigned.unwrap()).unwrap();
    assert!(summary.slots.len() < 200);
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}

#[test]
fn more_than_nodes_relay_is_refused() {
    let coins: Vec<_> = (0..1_800_u64).map(|_| (Bip86, 2_000)).collect();
    let context = context(&coins);
    let to = outsider(0);
    let amount = sweepable(&context, &to).unwrap().to_u64().unwrap();
    let error = build(&intent(Purpose::Sweep, pay(&[(&to, amount)])), &context).unwrap_err();
    assert!(matches!(error, BuildError::Unsupported(_)), "{error}");
}
