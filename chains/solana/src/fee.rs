use chain_core::{Amount, AmountError};

/// What each signature costs.
pub const LAMPORTS_PER_SIGNATURE: u64 = 5_000;

/// The size of an SPL token account.
pub const TOKEN_ACCOUNT_BYTES: u64 = 165;

/// The size of a durable nonce account.
pub const NONCE_ACCOUNT_BYTES: u64 = 80;

/// The most that a token account may cost in lamports. The bytes of a transaction do not say what
/// the rent is, so a summary counts this; a network that asks more is refused by `build`.
pub const TOKEN_ACCOUNT_RENT: u64 = 2_039_280;

/// What a nonce account costs in lamports; a summary counts what the bytes say.
pub const NONCE_ACCOUNT_RENT: u64 = 1_447_680;

/// The least that a wallet may hold, in lamports, unless it holds nothing at all.
pub const SYSTEM_ACCOUNT_RENT: u64 = 890_880;

/// Micro-lamports in a lamport.
const MICRO: u128 = 1_000_000;

/// The compute budget of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Compute units at most.
    pub(crate) unit_limit: u32,
    /// Micro-lamports for each.
    pub(crate) unit_price: u64,
}

impl Budget {
    /// The fee in lamports of a transaction with that many signatures: it is charged in full,
    /// however few compute units are used.
    pub(crate) fn fee(self, signatures: u64) -> Result<Amount, AmountError> {
        let priority = Amount::from(self.unit_price)
            .checked_mul(u128::from(self.unit_limit))?
            .minor()
            .div_ceil(MICRO);
        Amount::from(LAMPORTS_PER_SIGNATURE)
            .checked_mul(u128::from(signatures))?
            .checked_add(Amount::new(priority))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fees_round_up() {
        let fee = |unit_limit, unit_price, signatures| {
            Budget { unit_limit, unit_price }.fee(signatures).map(Amount::minor)
        };
        assert_eq!(fee(600, 0, 1), Ok(5_000));
        assert_eq!(fee(600, 1, 1), Ok(5_001));
        assert_eq!(fee(1_000_000, 3, 2), Ok(10_003));
        assert_eq!(fee(u32::MAX, u64::MAX, 1), Ok(79_228_162_495_817_593_520_540));
    }
}
