use api_ledger::TenantId;
use api_loans::{LoanError, Money, Rate};
use api_store::Tx;
use jiff::civil::Date;
use uuid::Uuid;

use crate::repo::limits;
use crate::{Care, CareError};

/// Loans of one borrower that are added up at the most.
const LOANS_MAX: u32 = 500;
/// A share of more is shown as this one, the most that a rate can be.
const SHARE_MAX: i128 = 10;

impl Care {
    /// Sets what the lender is ready to lend to a customer in all, in minor units of a currency;
    /// zero for no limit.
    ///
    /// # Errors
    /// [`CareError::Store`].
    pub async fn set_credit_limit(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        customer: Uuid,
        currency: &str,
        amount: Money,
    ) -> Result<(), CareError> {
        if amount.is_positive() {
            return limits::put(tx, tenant, customer, currency, amount, self.now_ms()).await;
        }
        limits::delete(tx, tenant, customer, currency).await
    }

    /// A customer's credit limits, by currency.
    ///
    /// # Errors
    /// [`CareError::Store`].
    pub async fn credit_limits(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        customer: Uuid,
    ) -> Result<Vec<(String, Money)>, CareError> {
        limits::all(tx, tenant, customer).await
    }

    /// The share of a customer's credit limit that outstanding principal takes, over all loans in
    /// the currency, rounded down to eight places; `None` without a limit.
    pub(crate) async fn utilisation(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        customer: Uuid,
        currency: &str,
        on: Date,
    ) -> Result<Option<Rate>, CareError> {
        let all = limits::all(tx, tenant, customer).await?;
        let Some((_, limit)) = all.into_iter().find(|(code, _)| code == currency) else {
            return Ok(None);
        };
        let borrower = customer.to_string();
        let mut used = Money::ZERO;
        for loan in self.loans.loans_of(tx, tenant, &borrower, None, LOANS_MAX).await? {
            let loan = self.loans.fold(tx, tenant, loan, on).await?;
            if loan.contract().terms.currency == currency {
                used = used.plus(loan.outstanding()?.principal)?;
            }
        }
        Ok(Some(share(used, limit)?))
    }
}

/// `part / whole` as a rate.
fn share(part: Money, whole: Money) -> Result<Rate, LoanError> {
    let scaled = part.minor().checked_mul(Rate::SCALE).ok_or(LoanError::Overflow)?;
    let most = SHARE_MAX.saturating_mul(Rate::SCALE);
    let scaled = scaled.checked_div(whole.minor()).ok_or(LoanError::Overflow)?.min(most);
    let (units, rest) = (scaled.checked_div(Rate::SCALE), scaled.checked_rem(Rate::SCALE));
    Rate::parse(&format!("{}.{:08}", units.unwrap_or(0), rest.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_share_is_rounded_down_and_capped() {
        let cases = [(1, 3, "0.33333333"), (3, 2, "1.5"), (0, 7, "0"), (1_000, 1, "10")];
        for (part, whole, expected) in cases {
            let found = share(Money::new(part), Money::new(whole)).unwrap();
            assert_eq!(found, Rate::parse(expected).unwrap(), "{part}/{whole}");
        }
    }
}
