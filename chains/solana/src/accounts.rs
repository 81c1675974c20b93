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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// Version, state, authority, value and the fee of old, as the network stores them.
    fn nonce(version: u32, state: u32) -> Vec<u8> {
        let mut data = Vec::new();
        data.extend(version.to_le_bytes());
        data.extend(state.to_le_bytes());
        data.extend([7; 32]);
        data.extend([8; 32]);
        data.extend(5_000u64.to_le_bytes());
        data
    }

    #[test]
    fn only_current_initialised_nonce_accounts_are_read() {
        let facts = read_nonce(&nonce(1, 1)).unwrap();
        assert_eq!(facts.authority, "US517G5965aydkZ46HS38QLi7UQiSojurfbQfKCELFx");
        assert_eq!(facts.value, "YMN9Qj5jPNp7j14VPcML1B6xGgcPWVZUGLFU3Mnyfaf");
        for bad in [nonce(0, 1), nonce(1, 0), nonce(2, 1), nonce(1, 2), Vec::new(), vec![0; 79]] {
            assert_eq!(read_nonce(&bad), Err(AccountError::Nonce));
        }
    }

    /// Mint, owner, amount, no delegate, the state, no rent reserve, nothing delegated, no closer.
    fn token_account(state: u8) -> Vec<u8> {
        let mut data = vec![0; 165];
        data[..32].fill(7);
        data[32..64].fill(8);
        data[64..72].copy_from_slice(&99u64.to_le_bytes());
        data[108] = state;
        data
    }

    #[test]
    fn a_token_account_must_be_the_wallets_own() {
        let (sevens, eights) = (
            "US517G5965aydkZ46HS38QLi7UQiSojurfbQfKCELFx",
            "YMN9Qj5jPNp7j14VPcML1B6xGgcPWVZUGLFU3Mnyfaf",
        );
        let balance = read_token_balance(&token_account(1), eights, sevens);
        assert_eq!(balance, Ok(Amount::new(99)));
        let error = Err(AccountError::TokenAccount);
        assert_eq!(read_token_balance(&token_account(1), sevens, sevens), error);
        assert_eq!(read_token_balance(&token_account(1), eights, eights), error);
        assert_eq!(read_token_balance(&token_account(0), eights, sevens), error, "uninitialised");
        assert_eq!(read_token_balance(&token_account(1)[..164], eights, sevens), error);
        assert_eq!(read_mint(&token_account(1)), Err(AccountError::Mint));
    }
}
