use jiff::Timestamp;
use uuid::Uuid;

use crate::{AccountId, Leg, TenantId, Transfer, TransferId};

/// A price that somebody promised: `numerator / denominator` minor units bought for each minor unit
/// sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Its id. The conversion has the same, so a quote is used once.
    pub id: Uuid,
    /// Minor units bought …
    pub numerator: u128,
    /// … for this many minor units sold.
    pub denominator: u128,
    /// The last moment at which it holds.
    pub expires_at: Timestamp,
}

/// The accounts of a conversion. The positions are the house's own, one in each currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConversionAccounts {
    /// Whose money is sold (debited).
    pub seller: AccountId,
    /// The house's position in the currency that is sold.
    pub position_sold: AccountId,
    /// The house's position in the currency that is bought.
    pub position_bought: AccountId,
    /// Whose money is bought (credited).
    pub buyer: AccountId,
    /// Where the rest of a minor unit goes, in the currency that is bought.
    pub rounding: AccountId,
}

/// Why there is no such conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConversionError {
    /// The price has a zero in it.
    #[error("the quote's price is not a positive number")]
    Price,
    /// What is bought is less than one minor unit.
    #[error("the amount buys less than one minor unit")]
    TooSmall,
    /// A product does not fit in 128 bits.
    #[error("the amounts do not fit in 128 bits")]
    Overflow,
}

impl Quote {
    /// The transfer that sells `sold` minor units at this price: one leg in each currency, and, when
    /// the price does not come out even, a third one with the minor unit that the house gives up
    /// and the buyer does not get. The ledger refuses it after the quote's expiry.
    ///
    /// # Errors
    /// [`ConversionError`].
    pub fn convert(
        &self,
        tenant: TenantId,
        accounts: &ConversionAccounts,
        sold: u128,
    ) -> Result<Transfer, ConversionError> {
        if self.numerator == 0 || self.denominator == 0 {
            return Err(ConversionError::Price);
        }
        let product = sold.checked_mul(self.numerator).ok_or(ConversionError::Overflow)?;
        let bought = product.checked_div(self.denominator).ok_or(ConversionError::Price)?;
        let uneven = product.checked_rem(self.denominator).is_some_and(|rest| rest > 0);
        if bought == 0 {
            return Err(ConversionError::TooSmall);
        }
        let leg = |debit, credit, amount| Leg { debit, credit, amount };
        let mut legs = vec![
            leg(accounts.seller, accounts.position_sold, sold),
            leg(accounts.position_bought, accounts.buyer, bought),
        ];
        if uneven {
            legs.push(leg(accounts.position_bought, accounts.rounding, 1));
        }
        let transfer = Transfer::new(tenant, TransferId::new(self.id), legs)
            .with_code("conversion")
            .with_reference(&self.id.to_string())
            .with_not_after(self.expires_at);
        Ok(transfer)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn accounts() -> ConversionAccounts {
        let [seller, position_sold, position_bought, buyer, rounding] =
            [1, 2, 3, 4, 5].map(AccountId::new);
        ConversionAccounts { seller, position_sold, position_bought, buyer, rounding }
    }

    fn quote(numerator: u128, denominator: u128) -> Quote {
        let expires_at = Timestamp::UNIX_EPOCH;
        Quote { id: Uuid::nil(), numerator, denominator, expires_at }
    }

    fn amounts(quote: &Quote, sold: u128) -> Result<Vec<u128>, ConversionError> {
        let transfer = quote.convert(TenantId::new(Uuid::nil()), &accounts(), sold)?;
        Ok(transfer.legs().iter().map(|leg| leg.amount).collect())
    }

    proptest! {
        #[test]
        fn the_house_gives_the_exact_price_rounded_up(
            sold in 1_u128..1 << 60, numerator in 1_u128..1 << 60, denominator in 1_u128..1 << 60,
        ) {
            let product = sold * numerator;
            match amounts(&quote(numerator, denominator), sold) {
                Ok(amounts) => {
                    prop_assert_eq!(amounts[0], sold);
                    let given: u128 = amounts[1..].iter().sum();
                    prop_assert_eq!(given, product.div_ceil(denominator));
                    prop_assert_eq!(amounts[1], product / denominator);
                }
                Err(error) => {
                    prop_assert_eq!(error, ConversionError::TooSmall);
                    prop_assert!(product < denominator);
                }
            }
        }
    }

    #[test]
    fn the_rest_of_a_minor_unit_goes_to_the_rounding_account() {
        assert_eq!(amounts(&quote(9, 10), 100).unwrap(), [100, 90]);
        assert_eq!(amounts(&quote(9, 10), 101).unwrap(), [101, 90, 1]);
        assert_eq!(amounts(&quote(0, 10), 100), Err(ConversionError::Price));
        assert_eq!(amounts(&quote(1, 0), 100), Err(ConversionError::Price));
        assert_eq!(amounts(&quote(u128::MAX, 1), 2), Err(ConversionError::Overflow));
    }
}
