//! What is a deposit and what only looks like one.

use chain_core::{Amount, AssetId, Node, ScannedAmount, ScannedDeposit, TxStatus};
use solana_pubkey::Pubkey;
use solana_system_interface::instruction::{create_account, transfer, transfer_many};
use spl_associated_token_account_interface::address::get_associated_token_address;
use spl_token_interface::instruction as token;
use testnets::spl;

use crate::world::{CUSTOMER, SOL, STRANGER, TREASURY, World, secret};

/// Another customer whose address is watched.
const SECOND: u8 = 17;

fn key(world: &World, seed: u8) -> Pubkey {
    world.wallet(seed).as_str().parse().unwrap()
}

/// Asserts that nothing but an honest deposit, made now, is seen: so the blocks before were read.
async fn only_honest(world: &World, assets: &[&AssetId]) {
    let honest = world.fund(CUSTOMER, SOL).await;
    let found = brief(&world.deposits(&world.watch(&[CUSTOMER], assets)).await);
    assert_eq!(found, [(honest, format!("native:{}", world.wallet(CUSTOMER)), SOL)]);
}

fn mint_key(asset: &AssetId) -> Pubkey {
    asset.token().unwrap().parse().unwrap()
}

/// Transaction, position and amount.
fn brief(deposits: &[ScannedDeposit]) -> Vec<(String, String, u128)> {
    let amount = |amount: &ScannedAmount| match amount {
        ScannedAmount::Exact(amount) => amount.minor(),
        ScannedAmount::TooLarge(text) => panic!("{text}"),
    };
    deposits
        .iter()
        .map(|found| (found.tx.0.clone(), found.position.clone(), amount(&found.amount)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_18_deposits_of_sol_and_tokens_are_seen_once() {
    let world = World::with_treasury().await;
    let token = world.token(6).await;
    let airdrop = world.fund(CUSTOMER, 3 * SOL).await;
    let (payer, first, second) =
        (key(&world, TREASURY), key(&world, CUSTOMER), key(&world, SECOND));
    let many = transfer_many(&payer, &[(first, 5), (second, 1_000_000), (first, 7)]);
    let many = spl::send(world.url(), &[&secret(TREASURY)], &many).await.unwrap();
    let minted = world.mint(&token, SECOND, 250).await;
    let more = world.mint(&token, SECOND, 4).await;

    let watch = world.watch(&[CUSTOMER, SECOND], &[&token]);
    let account = chain_solana::token_account(&world.wallet(SECOND), &token).unwrap();
    let (first, second) = (format!("native:{first}"), format!("native:{second}"));
    let mut found = brief(&world.deposits(&watch).await);
    let of_many = found.iter_mut().filter(|(tx, ..)| *tx == many).collect::<Vec<_>>();
    assert_eq!(of_many.len(), 2, "one for each address, two transfers in one");
    found.sort();
    let mut wanted = vec![
        (airdrop, first.clone(), 3 * SOL),
        (many.clone(), first, 12),
        (many, second, 1_000_000),
        (minted, format!("token:{account}"), 250),
        (more, format!("token:{account}"), 4),
    ];
    wanted.sort();
    assert_eq!(found, wanted);
    assert_eq!(world.deposits(&watch).await.len(), wanted.len(), "and again the same");
    assert_eq!(world.balance(SECOND, &token).await, 254);
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_21_lamports_moved_by_a_program_count() {
    let world = World::with_treasury().await;
    let token = world.token(0).await;
    world.mint(&token, TREASURY, 1).await;
    world.run(world.pay(STRANGER, &token, 1), &[TREASURY], false).await;
    world.fund(STRANGER, SOL).await;
    world.solana().mine(3).await.unwrap();
    // The stranger empties the token account and closes it in favour of the customer: no system
    // transfer names the customer, and yet 2,039,280 lamports arrive.
    let (owner, mint) = (key(&world, STRANGER), mint_key(&token));
    let account = get_associated_token_address(&owner, &mint);
    let program = spl_token_interface::ID;
    let steps = [
        token::burn(&program, &account, &mint, &owner, &[], 1).unwrap(),
        token::close_account(&program, &account, &key(&world, CUSTOMER), &owner, &[]).unwrap(),
    ];
    let closed = spl::send(world.url(), &[&secret(STRANGER)], &steps).await.unwrap();
    let found = brief(&world.deposits(&world.watch(&[CUSTOMER], &[&token])).await);
    let position = format!("native:{}", world.wallet(CUSTOMER));
    assert_eq!(found, [(closed, position, u128::from(chain_solana::TOKEN_ACCOUNT_RENT))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_21_an_account_given_away_is_no_deposit() {
    let world = World::with_treasury().await;
    let token = world.token(6).await;
    world.mint(&token, STRANGER, 1_000_000).await;
    world.fund(STRANGER, SOL).await;
    let (stranger, customer) = (key(&world, STRANGER), key(&world, CUSTOMER));
    let (mint, program) = (mint_key(&token), spl_token_interface::ID);
    let own = get_associated_token_address(&stranger, &mint);
    // A plain token account that is filled and changes hands in one transaction, and the
    // stranger's associated account that changes hands afterwards.
    let plain_secret = [201; 32];
    let plain = key(&world, 201);
    let steps = [
        create_account(&stranger, &plain, chain_solana::TOKEN_ACCOUNT_RENT, 165, &program),
        token::initialize_account3(&program, &plain, &mint, &stranger).unwrap(),
        token::transfer(&program, &own, &plain, &stranger, &[], 400_000).unwrap(),
        give(&plain, &customer, &stranger),
        give(&own, &customer, &stranger),
    ];
    let secrets = [&secret(STRANGER), &plain_secret];
    spl::send(world.url(), &secrets, &steps).await.unwrap();
    only_honest(&world, &[&token]).await;
    assert_eq!(world.balance(CUSTOMER, &token).await, 0);
}

fn give(account: &Pubkey, to: &Pubkey, from: &Pubkey) -> solana_instruction::Instruction {
    let kind = token::AuthorityType::AccountOwner;
    token::set_authority(&spl_token_interface::ID, account, Some(to), kind, from, &[]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_21_a_look_alike_mint_is_no_deposit() {
    let world = World::with_treasury().await;
    let (real, fake) = (world.token(6).await, world.token(6).await);
    world.mint(&fake, CUSTOMER, 1_000_000).await;
    only_honest(&world, &[&real]).await;
    assert_eq!(world.balance(CUSTOMER, &real).await, 0);
    let sol_as_token = world.node.mint(&world.sol()).await;
    assert!(sol_as_token.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_21_tokens_of_another_program_are_no_deposit() {
    let world = World::with_treasury().await;
    let asset = token_2022(&world).await;
    let refused = world.node.mint(&asset).await;
    assert!(refused.is_err(), "registered by mistake: {refused:?}");
    only_honest(&world, &[&asset]).await;
}

/// A mint of Token-2022 (the plain instructions are those of SPL Token), of which the customer's
/// wallet gets a million.
async fn token_2022(world: &World) -> AssetId {
    let program: Pubkey = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb".parse().unwrap();
    let (payer, customer) = (key(world, TREASURY), key(world, CUSTOMER));
    let mint = key(world, 202);
    let (account, _) = Pubkey::find_program_address(
        &[customer.as_ref(), program.as_ref(), mint.as_ref()],
        &spl_associated_token_account_interface::program::ID,
    );
    let by = |mut step: solana_instruction::Instruction| {
        step.program_id = program;
        step
    };
    let classic = spl_token_interface::ID;
    let steps = [
        create_account(&payer, &mint, 1_461_600, 82, &program),
        by(token::initialize_mint2(&classic, &mint, &payer, None, 6).unwrap()),
        spl_associated_token_account_interface::instruction::create_associated_token_account(
            &payer, &customer, &mint, &program,
        ),
        by(token::mint_to(&classic, &mint, &account, &payer, &[], 1_000_000).unwrap()),
    ];
    spl::send(world.url(), &[&secret(TREASURY), &[202; 32]], &steps).await.unwrap();
    format!("{}/token:{mint}", world.node.chain()).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_21_a_failed_transaction_is_no_deposit() {
    let world = World::with_treasury().await;
    world.fund(STRANGER, SOL).await;
    let (stranger, customer) = (key(&world, STRANGER), key(&world, CUSTOMER));
    let steps = [
        transfer(&stranger, &customer, 500_000_000),
        transfer(&stranger, &customer, 100_000_000_000),
    ];
    let failed = spl::send_unchecked(world.url(), &[&secret(STRANGER)], &steps).await.unwrap();
    let failed = chain_core::TxId(failed);
    let status = world.finalized(&failed).await;
    let TxStatus::Included { success: false, fee, .. } = status else { panic!("{status:?}") };
    assert_eq!(fee, Amount::new(5_000));
    only_honest(&world, &[]).await;
}
