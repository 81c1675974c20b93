//! Promise 16: the policy is enforced here, and nothing is signed without it.

use std::sync::atomic::Ordering;

use chain_core::{Action, Amount, Context, Purpose};
use signer_protocol::{CheckpointRequest, RefusalCode, Request, Response};

use crate::common::*;

#[test]
fn promise_16_without_a_readable_policy_nothing_is_signed() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let mut engine = place.engine();
    let request = evm_withdrawal(&mut engine, 1, 0, 1);
    let good = std::fs::read_to_string(&place.config.policy).unwrap();
    let unknown_key = format!("allow_everything = true\n{good}");
    let twice = format!("{good}\n{}", &good[good.find("[[rule]]").unwrap()..]);
    for bad in ["", "version = 1", "version = 2\nchains = []", "{", &unknown_key, &twice] {
        write_private(&place.config.policy, bad);
        assert_eq!(refused(&mut engine, &request), RefusalCode::Unavailable, "{bad:.40}");
    }
    write_private(&place.config.policy, &good);
    let mode = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(&place.config.policy, mode).unwrap();
    assert_eq!(refused(&mut engine, &request), RefusalCode::Unavailable, "others may write it");
    std::fs::remove_file(&place.config.policy).unwrap();
    assert_eq!(refused(&mut engine, &request), RefusalCode::Unavailable);
    write_private(&place.config.policy, &good);
    sign(&mut engine, &request).unwrap();
}

#[test]
fn promise_16_without_a_sane_clock_nothing_is_signed() {
    let place = Place::new();
    let mut engine = place.engine();
    let first = evm_withdrawal(&mut engine, 1, 0, 1);
    let second = evm_withdrawal(&mut engine, 2, 1, 1);
    sign(&mut engine, &first).unwrap();
    for wrong in [0, START - 3_600, 1] {
        place.clock.store(wrong, Ordering::SeqCst);
        assert_eq!(refused(&mut engine, &second), RefusalCode::Unavailable, "{wrong}");
    }
    place.clock.store(START - 5, Ordering::SeqCst);
    sign(&mut engine, &second).unwrap();
}

#[test]
fn promise_16_limits_per_transaction_and_per_day() {
    const ETHER: u128 = 10_u128.pow(18);
    let place = Place::new();
    let mut engine = place.engine();
    let over = evm_withdrawal(&mut engine, 1, 0, 100 * ETHER + 1);
    assert_eq!(refused(&mut engine, &over), RefusalCode::Policy);
    for number in 0..10 {
        let request = evm_withdrawal(&mut engine, 10 + number, number as u64, 100 * ETHER);
        sign(&mut engine, &request).unwrap();
    }
    let one_more = evm_withdrawal(&mut engine, 30, 10, 1);
    assert_eq!(refused(&mut engine, &one_more), RefusalCode::Limit);
    // A replacement is not counted twice.
    let sender = issue(&mut engine, EVM, "bip44-evm/0/0/0");
    let last = evm_withdrawal(&mut engine, 19, 9, 100 * ETHER);
    let dearer = evm_context(sender, 9, 2_000_000_000);
    sign(&mut engine, &request(last.intent, &dearer)).unwrap();
    // The limit is in the journal, not in memory, and the day rolls.
    drop(engine);
    let mut engine = place.engine();
    place.clock.store(START + 86_399, Ordering::SeqCst);
    assert_eq!(refused(&mut engine, &one_more), RefusalCode::Limit);
    place.clock.store(START + 86_400, Ordering::SeqCst);
    sign(&mut engine, &one_more).unwrap();
}

#[test]
fn promise_16_fees_are_capped_here() {
    let place = Place::new();
    let mut engine = place.engine();
    let mut request = evm_withdrawal(&mut engine, 1, 0, 1);
    request.intent.fee_max = Amount::new(100_000_000_000_000_001);
    assert_eq!(refused(&mut engine, &request), RefusalCode::Policy);
    request.intent.fee_max = Amount::new(1);
    assert_eq!(refused(&mut engine, &request), RefusalCode::IntentMismatch);
    place.edit_policy(
        r#"fees = { per_tx_max = "100000000000000000", per_day_max = "10000000000000000000" }"#,
        r#"fees = { per_tx_max = "100000000000000000", per_day_max = "250000000000000" }"#,
    );
    for number in 0..2 {
        let request = evm_withdrawal(&mut engine, 10 + number, number as u64, 1);
        sign(&mut engine, &request).unwrap();
    }
    let third = evm_withdrawal(&mut engine, 12, 2, 1);
    assert_eq!(refused(&mut engine, &third), RefusalCode::Limit, "0.0001 a transaction");
}

#[test]
fn promise_16_what_no_rule_names_is_refused() {
    let place = Place::new();
    let mut engine = place.engine();
    let sender = issue(&mut engine, EVM, "bip44-evm/0/0/0");
    let token = asset("eip155:31337/erc20:0x00000000000000000000000000000000000000aa");
    let action = pay(&outsider(EVM), &token, 1);
    let context = evm_context(sender, 0, 1_000_000_000);
    let unknown_token = request(intent(1, EVM, Purpose::Withdrawal, action), &context);
    assert_eq!(refused(&mut engine, &unknown_token), RefusalCode::Policy);
    let request = evm_withdrawal(&mut engine, 2, 0, 1);
    place.edit_policy("\"eip155:31337\",", "\"eip155:1\",");
    let refusal = refused(&mut engine, &request);
    assert_eq!(refusal, RefusalCode::Unavailable, "rules of a chain that is not named");
}

#[test]
fn promise_16_an_allow_list_names_who_may_be_paid() {
    let place = Place::new();
    let mut engine = place.engine();
    let request = evm_withdrawal(&mut engine, 1, 0, 1);
    let listed = |address: &str| {
        format!("per_day_max = \"10000000000000000000\" }}\ndestinations = [\"{address}\"]")
    };
    let any = "per_day_max = \"10000000000000000000\" }\ndestinations = \"any\"";
    let other = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
    place.edit_policy(any, &listed(other));
    assert_eq!(refused(&mut engine, &request), RefusalCode::Policy);
    let lower = outsider(EVM).as_str().to_lowercase();
    place.edit_policy(other, &lower);
    assert_eq!(refused(&mut engine, &request), RefusalCode::Unavailable, "not canonical");
    place.edit_policy(&lower, outsider(EVM).as_str());
    sign(&mut engine, &request).unwrap();
}

#[test]
fn promise_16_a_sweep_pays_the_treasury_and_nobody_else() {
    let place = Place::new();
    let mut engine = place.engine();
    let customer = issue(&mut engine, EVM, "bip44-evm/16/0/0");
    let treasury = issue(&mut engine, EVM, "bip44-evm/0/0/0");
    let other_customer = issue(&mut engine, EVM, "bip44-evm/17/0/0");
    let native = chain(EVM).native();
    let sweep = |id, to: &chain_core::Address| {
        let action = pay(to, &native, 1_000);
        let context = evm_context(customer.clone(), 0, 1_000_000_000);
        request(intent(id, EVM, Purpose::Sweep, action), &context)
    };
    assert_eq!(refused(&mut engine, &sweep(1, &outsider(EVM))), RefusalCode::Policy);
    assert_eq!(refused(&mut engine, &sweep(2, &other_customer.address)), RefusalCode::Policy);
    sign(&mut engine, &sweep(3, &treasury.address)).unwrap();
    // A treasury address that was never issued is not known as ours.
    let elsewhere = checked(EVM, "0x70997970C51812dc3A010C7d01b50e0d17dc79C8");
    let context = evm_context(customer.clone(), 1, 1_000_000_000);
    let unissued =
        request(intent(4, EVM, Purpose::Sweep, pay(&elsewhere, &native, 1_000)), &context);
    assert_eq!(refused(&mut engine, &unissued), RefusalCode::Policy);
    issue(&mut engine, EVM, "bip44-evm/0/0/1");
    sign(&mut engine, &unissued).unwrap();
    // A customer's key never signs a withdrawal, and the treasury's fuel stays with us.
    let withdrawal = intent(5, EVM, Purpose::Withdrawal, pay(&outsider(EVM), &native, 1));
    let context = evm_context(customer, 2, 1_000_000_000);
    assert_eq!(refused(&mut engine, &request(withdrawal, &context)), RefusalCode::Policy);
    let context = evm_context(treasury, 0, 1_000_000_000);
    let fuel =
        |id, to: &chain_core::Address| intent(id, EVM, Purpose::Fuel, pay(to, &native, 1_000));
    let out = request(fuel(6, &outsider(EVM)), &context);
    assert_eq!(refused(&mut engine, &out), RefusalCode::Policy);
    sign(&mut engine, &request(fuel(7, &other_customer.address), &context)).unwrap();
}

#[test]
fn promise_16_a_sweep_of_solana_may_have_the_treasury_pay_its_fee() {
    let place = Place::new();
    let mut engine = place.engine();
    let mut context = solana_context(&mut engine, 1);
    context.owner = issue(&mut engine, SOLANA, "slip10-solana/16/0/0");
    let treasury = context.fee_payer.address.clone();
    let action = pay(&treasury, &chain(SOLANA).native(), 50_000_000_000);
    let sweep = request(intent(1, SOLANA, Purpose::Sweep, action), &Context::Solana(context));
    assert_eq!(sweep.unsigned.signers.len(), 2);
    assert_eq!(sign(&mut engine, &sweep).unwrap().signatures.len(), 2);
}

#[test]
fn promise_16_only_our_own_checkpoints_are_anchored() {
    let place = Place::new();
    let mut engine = place.engine();
    let root = [5; 32];
    let checkpoint = CheckpointRequest { origin: ORIGIN.to_owned(), size: 9, root };
    let anchor = |engine: &mut _, id, commitment| {
        let mut context = solana_context(engine, 1);
        context.fee_payer = issue(engine, SOLANA, "slip10-solana/1/0/0");
        context.owner = context.fee_payer.clone();
        let account = chain_solana::nonce_address(&context.owner.address, 0).unwrap();
        context.nonce = context.nonce.map(|(_, value)| (account, value));
        let action = Action::Anchor { commitment, contract: None };
        request(intent(id, SOLANA, Purpose::Anchor, action), &Context::Solana(context))
    };
    let early = anchor(&mut engine, 1, commitment(9, &root));
    assert_eq!(refused(&mut engine, &early), RefusalCode::Policy);
    let answer = engine.handle(&Request::Checkpoint(checkpoint));
    assert!(matches!(answer, Response::Checkpoint(_)), "{answer:?}");
    let other = anchor(&mut engine, 2, commitment(9, &[6; 32]));
    assert_eq!(refused(&mut engine, &other), RefusalCode::Policy);
    sign(&mut engine, &early).unwrap();
}

#[test]
fn promise_16_the_anchor_contract_and_nonce_accounts_have_rules_of_their_own() {
    let place = Place::new();
    let mut engine = place.engine();
    let root = [5; 32];
    let checkpoint = CheckpointRequest { origin: ORIGIN.to_owned(), size: 9, root };
    engine.handle(&Request::Checkpoint(checkpoint));
    let payer = issue(&mut engine, EVM, "bip44-evm/1/0/0");
    let context = |nonce| evm_context(payer.clone(), nonce, 10);
    let deploy = intent(1, EVM, Purpose::Setup, Action::DeployAnchorContract);
    let Context::Evm(mut roomy) = context(0) else { panic!("not EVM") };
    roomy.gas_limit = 3_000_000;
    let deploy = request(deploy, &Context::Evm(roomy));
    sign(&mut engine, &deploy).unwrap();
    let contract = Some(chain_evm::anchor_contract_address(&chain(EVM)));
    let action = Action::Anchor { commitment: commitment(9, &root), contract };
    let anchor = request(intent(2, EVM, Purpose::Anchor, action.clone()), &context(1));
    sign(&mut engine, &anchor).unwrap();
    let misnamed = request(intent(3, EVM, Purpose::Setup, action.clone()), &context(2));
    assert_eq!(refused(&mut engine, &misnamed), RefusalCode::Policy);
    place.edit_policy(
        &format!("contracts = [\"{}\"]", chain_evm::anchor_contract_address(&chain(EVM))),
        "contracts = []",
    );
    let unnamed = request(intent(4, EVM, Purpose::Anchor, action), &context(2));
    assert_eq!(refused(&mut engine, &unnamed), RefusalCode::Policy);

    let mut context = solana_context(&mut engine, 1);
    context.nonce = None;
    let nonce_account = chain_solana::nonce_address(&context.fee_payer.address, 0).unwrap();
    let create = Action::CreateNonceAccount { number: 0, nonce_account };
    let create = |id| {
        let context = Context::Solana(context.clone());
        request(intent(id, SOLANA, Purpose::Setup, create.clone()), &context)
    };
    sign(&mut engine, &create(5)).unwrap();
    assert_eq!(refused(&mut engine, &create(6)), RefusalCode::Conflict, "it is created once");
}
