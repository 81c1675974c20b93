//! The contents of accounts, as a node gives them.

use chain_core::Amount;
use solana_nonce::{state::State, versions::Versions};
use solana_program_pack::Pack;
use spl_token_interface::state::{Account, Mint};

/// The SPL Token program, the only one whose tokens are registered. Token-2022 mints are refused:
/// their extensions (fees, hooks, permanent delegates) change what a transfer means.
pub const TOKEN_PROGRAM: &str = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA";

/// Why an account's contents are not what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// Not an initialised durable nonce account of the current kind.
    #[error("this is not a durable nonce account")]
    Nonce,
    /// Not an initialised mint.
    #[error("this is not a mint of the SPL Token program")]
    Mint,
    /// Not an initialised token account.
    #[error("this is not a token account of the SPL Token program")]
    TokenAccount,
}

/// A durable nonce account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NonceFacts {
    /// Who may use it, base58.
    pub authority: String,
    /// Its value, base58.
    pub value: String,
}

/// A mint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MintFacts {
    /// Digits after the point of one whole token.
    pub decimals: u8,
    /// True when somebody can freeze the token's accounts.
    pub can_freeze: bool,
}

/// Reads a nonce account; its owner must be the system program, which the caller checks.
///
/// # Errors
/// [`AccountError::Nonce`], also for the legacy kind, whose values the network no longer accepts.
pub fn read_nonce(data: &[u8]) -> Result<NonceFacts, AccountError> {
    match wincode::deserialize_exact::<Versions>(data) {
        Ok(Versions::Current(state)) => match *state {
            State::Initialized(data) => Ok(NonceFacts {
                authority: data.authority.to_string(),
                value: data.blockhash().to_string(),
            }),
            State::Uninitialized => Err(AccountError::Nonce),
        },
        Ok(Versions::Legacy(_)) | Err(_) => Err(AccountError::Nonce),
    }
}

/// Reads a mint; its owner must be [`TOKEN_PROGRAM`], which the caller checks.
///
/// # Errors
/// [`AccountError::Mint`].
pub fn read_mint(data: &[u8]) -> Result<MintFacts, AccountError> {
    let mint = Mint::unpack(data).map_err(|_| AccountError::Mint)?;
    Ok(MintFacts { decimals: mint.decimals, can_freeze: mint.freeze_authority.is_some() })
}

/// Reads what a token account of `owner` and `mint` (base58) holds; its own owner must be
/// [`TOKEN_PROGRAM`], which the caller checks.
///
/// # Errors
/// [`AccountError::TokenAccount`], also when it belongs to another wallet or mint.
pub fn read_token_balance(data: &[u8], owner: &str, mint: &str) -> Result<Amount, AccountError> {
    let account = Account::unpack(data).map_err(|_| AccountError::TokenAccount)?;
    if account.owner.to_string() == owner && account.mint.to_string() == mint {
        Ok(Amount::from(account.amount))
    } else {
        Err(AccountError::TokenAccount)
    }
}
