//! What `describe` refuses: a hostile server writes the bytes.

use crate::support::*;
use KeyScheme::{Bip84, Bip86};
use bitcoin::hashes::Hash;
use bitcoin::psbt::PsbtSighashType;
use bitcoin::psbt::raw::{Key, ProprietaryKey};
use bitcoin::{Amount as Sat, Psbt, ScriptBuf, Sequence, TxOut};
use chain_bitcoin::{PSBT_BYTES_MAX, assemble, build, describe, payloads, script_of};
use chain_core::{
    Action, Amount, AnchorCommitment, Branch, BuildError, KeyScheme, Purpose, UnsignedTx,
};
use proptest::prelude::*;

/// Two coins of each kind, paid to one outsider with change.
fn honest(schemes: [KeyScheme; 2]) -> UnsignedTx {
    let context = context(&schemes.map(|scheme| (scheme, 60_000)));
    let intent = intent(Purpose::Withdrawal, pay(&[(&outsider(0), 80_000)]));
    let unsigned = build(&intent, &context).unwrap();
    assert_eq!(unsigned.change.len(), 1);
    unsigned
}

fn edit(unsigned: &UnsignedTx, change: impl FnOnce(&mut Psbt)) -> UnsignedTx {
    let mut psbt = Psbt::deserialize(&unsigned.bytes).unwrap();
    change(&mut psbt);
    UnsignedTx { bytes: psbt.serialize(), ..unsigned.clone() }
}

fn refused(unsigned: &UnsignedTx) -> String {
    let error = describe(unsigned).unwrap_err();
    assert_eq!(payloads(unsigned).unwrap_err(), error, "nothing is offered for signing");
    error.to_string()
}

fn unknown_key() -> Key {
    Key { type_value: 0x42, key: vec![] }
}

#[test]
fn promise_13_unknown_and_needless_keys_are_refused() {
    let good = honest([Bip84, Bip86]);
    describe(&good).unwrap();
    let proprietary = ProprietaryKey { prefix: b"x".to_vec(), subtype: 0, key: vec![] };
    let cases: [UnsignedTx; 8] = [
        edit(&good, |psbt| drop(psbt.unknown.insert(unknown_key(), vec![1]))),
        edit(&good, |psbt| drop(psbt.inputs[0].unknown.insert(unknown_key(), vec![1]))),
        edit(&good, |psbt| drop(psbt.outputs[0].unknown.insert(unknown_key(), vec![1]))),
        edit(&good, |psbt| drop(psbt.proprietary.insert(proprietary.clone(), vec![]))),
        edit(&good, |psbt| drop(psbt.inputs[1].proprietary.insert(proprietary.clone(), vec![]))),
        edit(&good, |psbt| psbt.inputs[0].redeem_script = Some(ScriptBuf::new())),
        edit(&good, |psbt| psbt.inputs[0].final_script_sig = Some(ScriptBuf::new())),
        edit(&good, |psbt| psbt.outputs[0].witness_script = Some(ScriptBuf::new())),
    ];
    for case in cases {
        assert!(refused(&case).contains("keys that are not read here"));
    }
}

/// Every key type, those of BIP-370, 371, 373 and 375 among them, known to the library or not.
#[test]
fn promise_13_no_further_key_of_any_type_is_read() {
    let good = honest([Bip86, Bip86]);
    for type_value in 0..=255 {
        for key in [vec![], vec![2; 33]] {
            let pair = || (Key { type_value, key: key.clone() }, vec![1, 0, 0, 0]);
            let insert = |map: &mut std::collections::BTreeMap<Key, Vec<u8>>| {
                let (key, value) = pair();
                map.insert(key, value);
            };
            for place in 0..3 {
                let extra = edit(&good, |psbt| match place {
                    0 => insert(&mut psbt.unknown),
                    1 => insert(&mut psbt.inputs[0].unknown),
                    _ => insert(&mut psbt.outputs[0].unknown),
                });
                assert!(describe(&extra).is_err(), "type {type_value} at {place}");
            }
        }
    }
}

#[test]
fn a_second_spelling_of_the_same_psbt_is_refused() {
    let good = honest([Bip84, Bip86]);
    let with = |bytes: Vec<u8>| UnsignedTx { bytes, ..good.clone() };
    let mut trailing = good.bytes.clone();
    trailing.push(0);
    refused(&with(trailing));
    assert!(refused(&with(vec![0; PSBT_BYTES_MAX + 1])).contains("too large"));
    refused(&with(vec![]));

    // The same key-value pair of the first input, once more.
    let psbt = Psbt::deserialize(&good.bytes).unwrap();
    let pair = [&[1, 1][..], &{
        let value = bitcoin::consensus::serialize(psbt.inputs[0].witness_utxo.as_ref().unwrap());
        [&[u8::try_from(value.len()).unwrap()][..], &value].concat()
    }]
    .concat();
    let at = good.bytes.windows(pair.len()).position(|window| window == pair).unwrap();
    let (head, tail) = good.bytes.split_at(at);
    refused(&with([head, &pair, tail].concat()));
}

#[test]
fn promise_13_partial_signature_hashes_are_refused() {
    for (schemes, whole) in [([Bip84, Bip86], 1_u32), ([Bip86, Bip84], 0)] {
        let good = honest(schemes);
        let psbt = Psbt::deserialize(&good.bytes).unwrap();
        let index = psbt
            .inputs
            .iter()
            .position(|input| {
                let script = &input.witness_utxo.as_ref().unwrap().script_pubkey;
                script.is_p2wpkh() == (schemes[0] == Bip84)
            })
            .unwrap();
        for asked in [0_u32, 1, 2, 3, 0x80, 0x81, 0x82, 0x83] {
            let asks = edit(&good, |psbt| {
                psbt.inputs[index].sighash_type = Some(PsbtSighashType::from_u32(asked));
            });
            assert_eq!(describe(&asks).is_ok(), asked == whole, "{schemes:?} {asked}");
        }
    }
}

#[test]
fn inputs_have_to_say_what_they_spend_and_be_ours() {
    let good = honest([Bip84, Bip86]);
    refused(&edit(&good, |psbt| psbt.inputs[0].witness_utxo = None));
    refused(&edit(&good, |psbt| {
        let legacy = ScriptBuf::new_p2pkh(&bitcoin::PubkeyHash::from_byte_array([1; 20]));
        psbt.inputs[0].witness_utxo.as_mut().unwrap().script_pubkey = legacy;
    }));
    refused(&edit(&good, |psbt| psbt.inputs.swap(0, 1)));

    let mut fewer = good.clone();
    fewer.signers.pop();
    assert!(refused(&fewer).contains("one signer for each input"));
    let mut more = good.clone();
    more.signers.push(good.signers[0].clone());
    assert!(refused(&more).contains("one signer for each input"));
    let mut strange = good.clone();
    strange.signers[0].address = outsider(3);
    refused(&strange);
    let mut other_kind = good.clone();
    other_kind.signers[0].key =
        own(if good.signers[0].key.scheme() == Bip84 { Bip86 } else { Bip84 }, Branch::External, 0)
            .key;
    refused(&other_kind);
    let mut elsewhere = good.clone();
    elsewhere.chain = mainnet();
    refused(&elsewhere);
}

#[test]
fn odd_transactions_are_refused() {
    let good = honest([Bip84, Bip86]);
    let tx = |change: &dyn Fn(&mut bitcoin::Transaction)| {
        refused(&edit(&good, |psbt| change(&mut psbt.unsigned_tx)));
    };
    tx(&|tx| tx.version.0 = 1);
    tx(&|tx| tx.lock_time = bitcoin::absolute::LockTime::from_consensus(1_700_000_000));
    tx(&|tx| tx.input[0].sequence = Sequence::MAX);
    tx(&|tx| tx.input[0].sequence = Sequence::from_height(10));
    tx(&|tx| tx.input[1].previous_output = tx.input[0].previous_output);
    tx(&|tx| tx.output[0].value = Sat::from_sat(10_000_000));
    tx(&|tx| tx.output[0].value = Sat::MAX_MONEY);
}

#[test]
fn a_coin_does_not_count_twice() {
    let context = context(&[(Bip86, 100_000)]);
    let payment = intent(Purpose::Withdrawal, pay(&[(&outsider(0), 90_000)]));
    let good = build(&payment, &context).unwrap();
    let mut twice = edit(&good, |psbt| {
        psbt.unsigned_tx.input.push(psbt.unsigned_tx.input[0].clone());
        psbt.inputs.push(psbt.inputs[0].clone());
    });
    twice.signers.push(good.signers[0].clone());
    assert!(refused(&twice).contains("spent twice"));
}

#[test]
fn outputs_are_payments_or_declared_change() {
    let good = honest([Bip84, Bip86]);
    let change = script_of(&good.change[0].address).unwrap();
    let output = |change: &dyn Fn(&mut TxOut)| {
        edit(&good, |psbt| {
            let pays = |out: &&mut TxOut| out.value == Sat::from_sat(80_000);
            change(psbt.unsigned_tx.output.iter_mut().find(pays).unwrap());
        })
    };
    refused(&output(&|out| out.script_pubkey = ScriptBuf::from_bytes(vec![0x51])));
    refused(&output(&|out| out.script_pubkey = ScriptBuf::new_op_return([1; 20])));
    refused(&output(&|out| out.value = Sat::ZERO));
    refused(&output(&|out| out.script_pubkey = change.clone()));

    // Change that is not declared is a payment, which the intent does not have.
    let mut undeclared = good.clone();
    undeclared.change.clear();
    let Action::Pay { payments } = describe(&undeclared).unwrap().action else { panic!() };
    assert_eq!(payments.len(), 2);

    let mut absent = good.clone();
    absent.change.push(own(Bip86, Branch::Change, 5));
    refused(&absent);
    let mut twice = good.clone();
    twice.change.push(good.change[0].clone());
    refused(&twice);
    let mut odd = good.clone();
    odd.change[0].key = own(Bip84, Branch::Change, 0).key;
    refused(&odd);
}

#[test]
fn an_anchor_burns_nothing_and_pays_nobody() {
    let commitment = AnchorCommitment { origin: [1; 32], size: 2, checkpoint: [3; 32] };
    let anchor = intent(Purpose::Anchor, Action::Anchor { commitment, contract: None });
    let good = build(&anchor, &context(&[(Bip86, 60_000)])).unwrap();
    let data = |out: &TxOut| out.script_pubkey.is_op_return();
    refused(&edit(&good, |psbt| {
        let burns = psbt.unsigned_tx.output.iter_mut().find(|out| data(out)).unwrap();
        burns.value = Sat::from_sat(1);
    }));
    let also_pays = edit(&good, |psbt| {
        let script_pubkey = script_of(&outsider(0)).unwrap();
        psbt.unsigned_tx.output[0].value = Sat::ZERO;
        psbt.unsigned_tx.output.push(TxOut { value: Sat::from_sat(1_000), script_pubkey });
        psbt.outputs.push(bitcoin::psbt::Output::default());
    });
    describe(&also_pays).unwrap_err();
}

/// The attack on BIP-143: the same transaction is shown twice, each time with the other input's
/// amount understated, and the two honest signatures are combined.
#[test]
fn promise_16_a_fee_cannot_be_hidden_by_understating_an_input() {
    let good = honest([Bip84, Bip84]);
    let understated = |index: usize| {
        edit(&good, |psbt| {
            psbt.inputs[index].witness_utxo.as_mut().unwrap().value = Sat::from_sat(59_900);
        })
    };
    for index in 0..2 {
        assert!(
            refused(&understated(index)).contains("not what the transaction that made it says")
        );
        let unproved = edit(&understated(index), |psbt| {
            psbt.inputs.iter_mut().for_each(|input| input.non_witness_utxo = None);
        });
        assert!(refused(&unproved).contains("prove its amount"));
        // A parent that says the same lie has another id than the one that is spent.
        let forged = edit(&understated(index), |psbt| {
            let parent = psbt.inputs[index].non_witness_utxo.as_mut().unwrap();
            parent.output[0].value = Sat::from_sat(59_900);
        });
        assert!(refused(&forged).contains("not what the transaction that made it says"));
    }
    let swapped = edit(&good, |psbt| {
        psbt.inputs[0].non_witness_utxo = psbt.inputs[1].non_witness_utxo.clone();
    });
    refused(&swapped);
}

/// As before, but the understated input is called Taproot, with an address of ours to fit: its
/// signature is thrown away, and the other input's does not cover the lie.
#[test]
fn promise_16_nor_by_calling_the_other_input_taproot() {
    let good = honest([Bip84, Bip84]);
    let taproot = own(Bip86, Branch::External, 9);
    for index in 0..2 {
        let mut lying = edit(&good, |psbt| {
            psbt.inputs[index].witness_utxo = Some(TxOut {
                value: Sat::from_sat(59_900),
                script_pubkey: script_of(&taproot.address).unwrap(),
            });
            psbt.inputs[index].non_witness_utxo = None;
        });
        lying.signers[index] = taproot.clone();
        assert!(refused(&lying).contains("prove its amount"));
    }
    let mixed = honest([Bip84, Bip86]);
    let unproved = edit(&mixed, |psbt| {
        psbt.inputs.iter_mut().for_each(|input| input.non_witness_utxo = None);
    });
    assert!(refused(&unproved).contains("prove its amount"));
}

#[test]
fn promise_16_among_taproot_inputs_a_lie_spoils_every_signature() {
    let good = honest([Bip86, Bip86]);
    let psbt = Psbt::deserialize(&good.bytes).unwrap();
    assert!(psbt.inputs.iter().all(|input| input.non_witness_utxo.is_none()));
    let honest = sign(&good);
    for lie in 0..2 {
        let lying = edit(&good, |psbt| {
            psbt.inputs[lie].witness_utxo.as_mut().unwrap().value = Sat::from_sat(59_900);
        });
        let deceived = sign(&lying);
        for used in 0..2 {
            let mut signatures = honest.clone();
            signatures[used] = deceived[used].clone();
            assert_eq!(assemble(&good, &signatures), Err(BuildError::BadSignature(used)));
        }
    }
}

#[test]
fn a_single_input_needs_no_parent_because_its_signature_covers_it() {
    let context = context(&[(Bip84, 100_000)]);
    let good =
        build(&intent(Purpose::Withdrawal, pay(&[(&outsider(0), 80_000)])), &context).unwrap();
    let lying = edit(&good, |psbt| {
        psbt.inputs[0].witness_utxo.as_mut().unwrap().value = Sat::from_sat(99_900);
    });
    assert_eq!(assemble(&good, &sign(&lying)), Err(BuildError::BadSignature(0)));
}

#[test]
fn promise_11_signatures_are_verified_before_they_are_used() {
    for schemes in [[Bip84, Bip84], [Bip86, Bip86], [Bip84, Bip86]] {
        let unsigned = honest(schemes);
        let good = sign(&unsigned);
        assert!(assemble(&unsigned, &good).is_ok());
        assert!(assemble(&unsigned, &good[..1]).is_err());
        for index in 0..2 {
            let bad = |change: &dyn Fn(&mut chain_core::Signature)| {
                let mut signatures = good.clone();
                change(&mut signatures[index]);
                assert_eq!(
                    assemble(&unsigned, &signatures),
                    Err(BuildError::BadSignature(index)),
                    "{schemes:?}"
                );
            };
            bad(&|signature| signature.bytes[40] ^= 1);
            bad(&|signature| signature.bytes.push(0));
            bad(&|signature| signature.bytes.truncate(63));
            bad(&|signature| signature.bytes.clear());
            bad(&|signature| signature.public_key[5] ^= 1);
            let other = sign(&honest(schemes))[1 - index].clone();
            bad(&|signature| *signature = other.clone());
        }
    }
}

#[test]
fn promise_11_a_good_signature_of_another_key_is_refused() {
    for scheme in [Bip84, Bip86] {
        let unsigned = honest([scheme, scheme]);
        let mut signatures = sign(&unsigned);
        let payload = payloads(&unsigned).unwrap().remove(0);
        let chain_core::Message::Digest(digest) = payload.message else { panic!() };
        let stranger = own(scheme, Branch::External, 77).key;
        signatures[0] = sign_digest(stranger, payload.algorithm, digest);
        assert_eq!(assemble(&unsigned, &signatures), Err(BuildError::BadSignature(0)));
    }
}

#[test]
fn promise_11_a_high_s_is_refused() {
    let unsigned = honest([Bip84, Bip84]);
    let mut signatures = sign(&unsigned);
    let compact = &signatures[0].bytes[..64];
    let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    let order = hex::decode(order).unwrap();
    let mut high = [0_u8; 32];
    let mut borrow = 0_i32;
    for at in (0..32).rev() {
        let digit = i32::from(order[at]) - i32::from(compact[32 + at]) - borrow;
        borrow = i32::from(digit < 0);
        high[at] = u8::try_from(digit.rem_euclid(256)).unwrap();
    }
    signatures[0].bytes[32..64].copy_from_slice(&high);
    assert_eq!(assemble(&unsigned, &signatures), Err(BuildError::BadSignature(0)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    /// Whatever byte is changed: it is refused, or it is read as what it now is and the signatures of
    /// the original no longer fit.
    #[test]
    fn no_changed_byte_goes_unseen(at: prop::sample::Index, flip in 1_u8..=255) {
        let good = honest([Bip84, Bip84]);
        let signatures = sign(&good);
        let mut changed = good.clone();
        let at = at.index(changed.bytes.len());
        changed.bytes[at] ^= flip;
        let before = describe(&good).unwrap();
        if let Ok(after) = describe(&changed) {
            let assembled = assemble(&changed, &signatures);
            prop_assert!(assembled.is_err() || after == before);
            prop_assert!(assembled.is_err(), "byte {} has no meaning", at);
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut unsigned = honest([Bip84, Bip86]);
        unsigned.bytes = [&b"psbt\xff"[..], &bytes].concat();
        prop_assert!(describe(&unsigned).is_err());
    }
}

#[test]
fn a_fee_is_what_inputs_hold_less_outputs() {
    let good = honest([Bip84, Bip86]);
    let dearer = edit(&good, |psbt| psbt.unsigned_tx.output[0].value -= Sat::from_sat(1_000));
    let fee = |unsigned| describe(unsigned).unwrap().fee_max;
    assert_eq!(fee(&dearer), fee(&good).checked_add(Amount::new(1_000)).unwrap());
}
