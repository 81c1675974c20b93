//! Test tokens on a local Solana network: a mint of the SPL Token program, and units of it.
//!
//! ```no_run
//! # async fn example(solana: &testnets::Solana, payer: [u8; 32], owner: &str) -> testnets::Result<()> {
//! use chain_core::Amount;
//! use testnets::spl;
//!
//! // `payer` holds lamports; it becomes the mint's authority.
//! let mint = spl::create_mint(solana.rpc_url(), &payer, 6).await?;
//! spl::mint_to(solana.rpc_url(), &payer, &mint, owner, Amount::new(5_000_000)).await?;
//! # Ok(()) }
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chain_core::Amount;
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};
use solana_instruction::Instruction;
use solana_message::legacy::Message;
use solana_program_pack::Pack;
use solana_pubkey::Pubkey;
use solana_system_interface::instruction::create_account;
use spl_associated_token_account_interface::address::get_associated_token_address;
use spl_associated_token_account_interface::instruction::create_associated_token_account_idempotent;
use spl_token_interface::instruction as token;
use spl_token_interface::state::Mint;

use crate::error::{Error, Result};
use crate::rpc::Rpc;
use crate::solana::Solana;

/// Creates a mint with `decimals` and returns its address. The wallet of `payer_secret` (an Ed25519
/// seed) pays, and may mint; nobody may freeze.
///
/// # Errors
/// [`Error::Refused`] when the transaction fails, most likely for want of lamports.
pub async fn create_mint(rpc_url: &str, payer_secret: &[u8; 32], decimals: u8) -> Result<String> {
    let payer = address(payer_secret);
    let mint_secret: [u8; 32] = rand::random();
    let mint = address(&mint_secret);
    let bytes = u64::try_from(Mint::LEN).map_err(|error| refused(&error))?;
    let rent: u64 =
        Rpc::new(rpc_url)?.call("getMinimumBalanceForRentExemption", json!([bytes])).await?;
    let program = spl_token_interface::ID;
    let initialize = token::initialize_mint2(&program, &mint, &payer, None, decimals);
    let instructions = [
        create_account(&payer, &mint, rent, bytes, &program),
        initialize.map_err(|error| refused(&error))?,
    ];
    send(rpc_url, &[payer_secret, &mint_secret], &instructions).await?;
    Ok(mint.to_string())
}

/// Mints `amount` units to the associated token account of the wallet `owner`, which is created if
/// it is absent, and waits until that is confirmed; returns the signature.
///
/// # Errors
/// [`Error::Refused`] when an address is none or the payer is not the mint's authority.
pub async fn mint_to(
    rpc_url: &str,
    payer_secret: &[u8; 32],
    mint: &str,
    owner: &str,
    amount: Amount,
) -> Result<String> {
    let payer = address(payer_secret);
    let mint: Pubkey = mint.parse().map_err(|error| refused(&error))?;
    let owner: Pubkey = owner.parse().map_err(|error| refused(&error))?;
    let units = amount.to_u64().map_err(|error| refused(&error))?;
    let account = get_associated_token_address(&owner, &mint);
    let program = spl_token_interface::ID;
    let minted = token::mint_to(&program, &mint, &account, &payer, &[], units);
    let instructions = [
        create_associated_token_account_idempotent(&payer, &owner, &mint, &program),
        minted.map_err(|error| refused(&error))?,
    ];
    send(rpc_url, &[payer_secret], &instructions).await
}

/// Signs `instructions` with `secrets` (the first pays), sends them and waits until they are
/// confirmed; returns the signature.
///
/// # Errors
/// [`Error::Refused`] when the transaction fails or a signer is missing.
pub async fn send(
    rpc_url: &str,
    secrets: &[&[u8; 32]],
    instructions: &[Instruction],
) -> Result<String> {
    let signature = submit(rpc_url, secrets, instructions, false).await?;
    Solana::connect(rpc_url).await?.confirm(&signature).await?;
    Ok(signature)
}

/// As [`send`], but without the node's preflight and without waiting: so that a transaction that
/// fails gets into a block.
///
/// # Errors
/// [`Error::Refused`] when a signer is missing, [`Error::Rpc`] when the node does not take it.
pub async fn send_unchecked(
    rpc_url: &str,
    secrets: &[&[u8; 32]],
    instructions: &[Instruction],
) -> Result<String> {
    submit(rpc_url, secrets, instructions, true).await
}

async fn submit(
    rpc_url: &str,
    secrets: &[&[u8; 32]],
    instructions: &[Instruction],
    skip_preflight: bool,
) -> Result<String> {
    let rpc = Rpc::new(rpc_url)?;
    let options = json!([{ "commitment": "confirmed" }]);
    let latest: Value = rpc.call("getLatestBlockhash", options).await?;
    let blockhash = latest["value"]["blockhash"].as_str().unwrap_or_default();
    let blockhash = blockhash.parse().map_err(|error| refused(&error))?;
    let payer = secrets.first().map(|secret| address(secret));
    let message = Message::new_with_blockhash(instructions, payer.as_ref(), &blockhash);
    let transaction = STANDARD.encode(signed(&message, secrets)?);
    let options = json!([transaction, {
        "encoding": "base64",
        "preflightCommitment": "confirmed",
        "skipPreflight": skip_preflight,
    }]);
    rpc.call("sendTransaction", options).await
}

/// The count of signatures, the signatures in the order of the message's accounts, the message.
fn signed(message: &Message, secrets: &[&[u8; 32]]) -> Result<Vec<u8>> {
    let bytes = message.serialize();
    let mut transaction = vec![message.header.num_required_signatures];
    for signer in message.signer_keys() {
        let secret = secrets.iter().find(|secret| address(secret) == *signer);
        let secret = secret.ok_or_else(|| Error::Refused(format!("{signer} must sign too")))?;
        transaction.extend(SigningKey::from_bytes(secret).sign(&bytes).to_bytes());
    }
    transaction.extend(bytes);
    Ok(transaction)
}

pub(crate) fn address(secret: &[u8; 32]) -> Pubkey {
    Pubkey::new_from_array(SigningKey::from_bytes(secret).verifying_key().to_bytes())
}

fn refused(error: &dyn std::error::Error) -> Error {
    Error::Refused(error.to_string())
}
