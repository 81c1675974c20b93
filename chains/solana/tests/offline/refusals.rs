//! What `build` and `describe` refuse.

use crate::common::{
    anchor, chain, context, create_nonce, intent, key, keyed, pay, sign, usdc, wallet,
};
use chain_core::{Action, Address, Amount, BuildError, IdError, SolanaContext, UncheckedAddress};
use chain_solana::{build, check_address, describe};
use solana_instruction::{AccountMeta, Instruction};
use solana_message::legacy::Message;
use solana_pubkey::Pubkey;

fn refusal(action: Action, change: impl FnOnce(&mut SolanaContext)) -> BuildError {
    let mut context = context(2);
    change(&mut context);
    build(&intent(action), &context).unwrap_err()
}

fn sol(amount: u128) -> Action {
    pay(wallet(9), chain().native(), amount)
}

#[test]
fn amounts_are_checked() {
    assert_eq!(refusal(sol(0), |_| ()), BuildError::Zero);
    assert_eq!(refusal(pay(wallet(9), usdc(), 0), |_| ()), BuildError::Zero);
    let past_64_bits = u128::from(u64::MAX) + 1;
    assert!(matches!(refusal(sol(past_64_bits), |_| ()), BuildError::Amount(_)));
    let dust = refusal(sol(890_879), |context| {
        context.recipient_is_new = true;
        context.rent_exempt_lamports = Amount::new(890_880);
    });
    let limit = Amount::new(890_880);
    assert_eq!(dust, BuildError::Dust { amount: Amount::new(890_879), limit });
}

#[test]
fn balances_are_checked() {
    let insufficient = |needed, available| BuildError::Insufficient {
        needed: Amount::new(needed),
        available: Amount::new(available),
    };
    let balance =
        |balance| move |context: &mut SolanaContext| context.balance = Amount::new(balance);
    assert_eq!(refusal(sol(1_000_000), balance(999_999)), insufficient(1_000_000, 999_999));
    let left_over = refusal(sol(1_000_000), balance(1_000_001));
    assert_eq!(left_over, insufficient(1_890_880, 1_000_001), "a remainder that cannot live");
    let token = pay(wallet(9), usdc(), 10);
    assert_eq!(refusal(token.clone(), balance(9)), insufficient(10, 9));
    let no_rent = refusal(token, |context| {
        context.recipient_is_new = true;
        context.fee_payer_balance = Amount::new(2_039_280);
    });
    assert_eq!(no_rent, insufficient(2_039_280 + 11_200, 2_039_280));
    let no_fee = refusal(sol(1_000_000), |context| context.fee_payer_balance = Amount::new(5));
    assert_eq!(no_fee, insufficient(11_200, 5));
    let own = refusal(sol(5_000_000_000), |context| context.owner = keyed(1));
    assert_eq!(own, insufficient(5_000_006_200, 5_000_000_000));
    let poor = refusal(sol(100), |context| {
        context.owner = keyed(1);
        context.balance = Amount::new(100 + 6_200);
    });
    assert!(matches!(poor, BuildError::Dust { .. }));
    let dear = refusal(pay(wallet(9), usdc(), 10), |context| {
        context.recipient_is_new = true;
        context.rent_exempt_lamports = Amount::new(2_039_281);
    });
    assert!(matches!(dear, BuildError::Unsupported(_)));
}

#[test]
fn promise_31_the_fee_stays_under_the_cap() {
    let tx = build(&intent(sol(1_000_000)), &context(2)).unwrap();
    let fee = describe(&tx).unwrap().fee_max;
    let mut capped = intent(sol(1_000_000));
    capped.fee_max = fee;
    assert!(build(&capped, &context(2)).is_ok());
    let cap = fee.checked_sub(Amount::new(1)).unwrap();
    capped.fee_max = cap;
    assert_eq!(build(&capped, &context(2)), Err(BuildError::FeeOverCap { fee, cap }));
    let endless = refusal(sol(1_000_000), |context| {
        context.compute_unit_price = u64::MAX;
        context.compute_unit_limit = u32::MAX;
        context.fee_payer_balance = Amount::new(u128::MAX);
    });
    assert!(matches!(endless, BuildError::FeeOverCap { .. }));
}

#[test]
fn what_solana_cannot_do_is_refused() {
    let unsupported = |action: Action, change: fn(&mut SolanaContext)| {
        assert!(matches!(refusal(action, change), BuildError::Unsupported(_)));
    };
    unsupported(Action::Pay { payments: vec![] }, |_| ());
    let Action::Pay { mut payments } = sol(1_000_000) else { unreachable!() };
    payments.push(payments[0].clone());
    unsupported(Action::Pay { payments }, |_| ());
    unsupported(Action::DeployAnchorContract, |_| ());
    let Action::Anchor { commitment, .. } = anchor() else { unreachable!() };
    unsupported(Action::Anchor { commitment, contract: Some(wallet(3)) }, |_| ());
    unsupported(sol(1_000_000), |context| context.nonce = None);
    unsupported(anchor(), |context| context.nonce = None);
    unsupported(pay(wallet(2), chain().native(), 1_000_000), |_| ());
    unsupported(pay(wallet(9), usdc(), 1), |context| context.token_decimals = None);
    unsupported(create_nonce(1), |context| context.recent_blockhash = "0".to_owned());
    let nonce_account = chain_solana::nonce_address(&wallet(2), 0).unwrap();
    unsupported(Action::CreateNonceAccount { number: 0, nonce_account }, |_| ());
}

#[test]
fn promise_14_another_networks_address_is_refused() {
    let other: chain_core::ChainId = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1".parse().unwrap();
    let to = check_address(&other, &wallet(9).to_unchecked()).unwrap();
    let refused = refusal(pay(to, chain().native(), 1_000_000), |_| ());
    assert!(matches!(refused, BuildError::Id(IdError::Address { .. })));
    let evm: chain_core::ChainId = "eip155:1".parse().unwrap();
    assert!(check_address(&evm, &wallet(9).to_unchecked()).is_err());
    let mut elsewhere = intent(sol(1_000_000));
    elsewhere.chain = other.clone();
    assert!(build(&elsewhere, &context(2)).is_err(), "context of another network");
    let foreign: chain_core::AssetId =
        format!("{other}/token:{}", crate::common::MINT).parse().unwrap();
    assert!(matches!(refusal(pay(wallet(9), foreign, 1), |_| ()), BuildError::Id(_)));
}

#[test]
fn only_wallets_can_be_paid() {
    let check = |text: &str| check_address(&chain(), &UncheckedAddress(text.to_owned()));
    let wallet_text = wallet(9).to_string();
    assert_eq!(check(&wallet_text).unwrap(), wallet(9));
    let token_account = chain_solana::token_account(&wallet(9), &usdc()).unwrap();
    for (bad, why) in [
        (String::new(), "empty"),
        (format!(" {wallet_text}"), "space"),
        (format!("1{wallet_text}"), "33 bytes"),
        (wallet_text[..40].to_owned(), "cut"),
        (wallet_text.replace(&wallet_text[3..4], "0"), "not base58"),
        ("11111111111111111111111111111111".to_owned(), "system program"),
        ("So11111111111111111111111111111111111111112".to_owned(), "wrapped SOL's mint"),
        (chain_solana::TOKEN_PROGRAM.to_owned(), "token program"),
        ("SysvarRent111111111111111111111111111111111".to_owned(), "system variable"),
        ("1nc1nerator11111111111111111111111111111111".to_owned(), "incinerator"),
        (token_account.to_string(), "token account, off the curve"),
        (
            Pubkey::new_from_array({
                let mut one = [0; 32];
                one[0] = 1;
                one
            })
            .to_string(),
            "weak key",
        ),
        ("0x52908400098527886E0F7030069857D2E4169EE7".to_owned(), "an EVM address"),
        ("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq".to_owned(), "a Bitcoin address"),
    ] {
        assert!(matches!(check(&bad), Err(IdError::Address { .. })), "{why}: {bad}");
    }
}

#[test]
fn a_token_account_cannot_be_smuggled_in_as_a_recipient() {
    let token_account = chain_solana::token_account(&wallet(9), &usdc()).unwrap();
    let refused = refusal(pay(token_account, chain().native(), 1_000_000), |_| ());
    assert!(matches!(refused, BuildError::Id(_)));
}

fn is_writable(message: &Message, index: usize) -> bool {
    let header = &message.header;
    let signers = usize::from(header.num_required_signatures);
    let end = if index < signers {
        signers - usize::from(header.num_readonly_signed_accounts)
    } else {
        message.account_keys.len() - usize::from(header.num_readonly_unsigned_accounts)
    };
    index < end
}

/// Rewrites the message of a good transaction and asks for its description.
fn tampered(action: Action, change: impl FnOnce(&mut Vec<Instruction>, &mut Pubkey)) -> bool {
    let mut tx = build(&intent(action), &context(2)).unwrap();
    let message: Message = wincode::deserialize_exact(&tx.bytes).unwrap();
    let mut payer = message.account_keys[0];
    let mut instructions: Vec<Instruction> = message
        .instructions
        .iter()
        .map(|step| Instruction {
            program_id: message.account_keys[usize::from(step.program_id_index)],
            accounts: step
                .accounts
                .iter()
                .map(|index| usize::from(*index))
                .map(|index| AccountMeta {
                    pubkey: message.account_keys[index],
                    is_signer: message.is_signer(index),
                    is_writable: is_writable(&message, index),
                })
                .collect(),
            data: step.data.clone(),
        })
        .collect();
    change(&mut instructions, &mut payer);
    let message =
        Message::new_with_blockhash(&instructions, Some(&payer), &message.recent_blockhash);
    tx.bytes = message.serialize();
    describe(&tx).is_ok()
}

#[test]
fn promise_13_only_the_four_messages_are_understood() {
    let token = || pay(wallet(9), usdc(), 5);
    let stranger = Pubkey::new_from_array(key(66).verifying_key().to_bytes());
    let theft = solana_system_interface::instruction::transfer(
        &Pubkey::new_from_array(key(1).verifying_key().to_bytes()),
        &stranger,
        1,
    );
    for action in [sol(1_000_000), token(), anchor(), create_nonce(4)] {
        assert!(tampered(action.clone(), |_, _| ()), "unchanged: {action:?}");
        let extra = theft.clone();
        assert!(!tampered(action.clone(), move |all, _| all.push(extra)), "one more");
        let extra = theft.clone();
        assert!(!tampered(action.clone(), move |all, _| all.insert(0, extra)), "one before");
        assert!(!tampered(action.clone(), |all, _| drop(all.pop())), "one less");
        assert!(!tampered(action.clone(), |all, _| drop(all.remove(0))), "no nonce or budget");
        assert!(!tampered(action.clone(), |all, _| all.swap(0, 1)), "another order");
        assert!(!tampered(action.clone(), |all, _| all[1].data.push(0)), "longer data");
        assert!(
            !tampered(action.clone(), |all, _| {
                all[1].accounts.push(AccountMeta::new_readonly(Pubkey::new_unique(), false));
            }),
            "one account more"
        );
        assert!(
            !tampered(action.clone(), |all, _| all.last_mut().unwrap().program_id = stranger),
            "another program"
        );
        assert!(!tampered(action, move |_, payer| *payer = stranger), "another fee payer");
    }
}

#[test]
fn promise_13_accounts_cannot_be_exchanged() {
    let token = || pay(wallet(9), usdc(), 5);
    let stranger = Pubkey::new_from_array(key(66).verifying_key().to_bytes());
    let change = |action, instruction: usize, account: usize| {
        tampered(action, move |all, _| all[instruction].accounts[account].pubkey = stranger)
    };
    assert!(!change(sol(1_000_000), 0, 2), "nonce authority");
    assert!(!change(sol(1_000_000), 0, 1), "recent blockhashes");
    assert!(!change(token(), 3, 0), "who pays the rent");
    assert!(!change(token(), 3, 1), "created account");
    assert!(!change(token(), 3, 2), "wallet without its token account");
    assert!(!change(token(), 3, 5), "token program");
    assert!(!change(token(), 4, 0), "source");
    assert!(!change(token(), 4, 1), "mint");
    assert!(!change(token(), 4, 2), "destination");
    assert!(!change(token(), 4, 3), "authority");
    assert!(!change(anchor(), 3, 0), "memo signer");
    assert!(!change(create_nonce(0), 2, 1), "created nonce account");
    assert!(!change(create_nonce(0), 3, 0), "initialised nonce account");
    let flag = |account: usize| {
        tampered(sol(1_000_000), move |all, _| {
            all[3].accounts[account].is_writable = true;
            all[3].accounts[account].is_signer = true;
        })
    };
    assert!(!flag(1), "a recipient that signs");
}

#[test]
fn a_versioned_message_is_refused() {
    let mut tx = build(&intent(sol(1_000_000)), &context(2)).unwrap();
    tx.bytes.insert(0, 0x80);
    assert!(describe(&tx).is_err());
    tx.bytes.push(0);
    assert!(describe(&tx).is_err(), "version 0 with an empty list of address tables");
    assert!(chain_solana::assemble(&tx, &sign(&tx)).is_err());
}

#[test]
fn other_families_are_refused() {
    let mut tx = build(&intent(sol(1_000_000)), &context(2)).unwrap();
    tx.chain = "eip155:1".parse().unwrap();
    assert!(matches!(describe(&tx), Err(BuildError::Unsupported(_))));
    let stray = Address::from_canonical(chain(), "11111111111111111111111111111111".to_owned());
    assert!(matches!(refusal(pay(stray, chain().native(), 1_000_000), |_| ()), BuildError::Id(_)));
}
