use api_ledger::{AccountId, TenantId};
use api_store::Tx;
use ed25519_dalek::VerifyingKey;
use jiff::civil::Date;
use uuid::Uuid;

use super::append::Append;
use super::{Applied, Loans, ServiceError};
use crate::loan::{Body, Books};
use crate::repo::{self, StoredLoan};
use crate::terms::Contract;
use crate::{LoanError, Money};

/// A loan to be paid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disburse {
    /// The loan's id, made by the client: the same request with the same id is one loan.
    pub loan: Uuid,
    /// The product whose terms it has.
    pub product: Uuid,
    /// Who borrows, as the tenant names them.
    pub borrower: String,
    /// Minor units of the product's currency.
    pub principal: Money,
    /// The day of the disbursement.
    pub start: Date,
    /// The first nominal due date; one period after the start when absent.
    pub first_due: Option<Date>,
    /// The ledger account that receives the money, less the fee up front: the borrower's.
    pub to: AccountId,
    /// The borrower's Ed25519 key, when changes of the loan are to be accepted by a signature.
    pub borrower_key: Option<[u8; 32]>,
}

const BORROWER_BYTES_MAX: usize = 128;

impl Loans {
    /// Stores the loan and pays it out, in the caller's transaction.
    ///
    /// # Errors
    /// [`LoanError::UnknownProduct`], those of [`Contract::check`], [`LoanError::IdReused`];
    /// [`ServiceError::Refused`] when the ledger refuses.
    pub async fn disburse(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        request: &Disburse,
    ) -> Result<Applied, ServiceError> {
        let product = self.product(tx, tenant, request.product).await?;
        let named = !request.borrower.is_empty() && request.borrower.len() <= BORROWER_BYTES_MAX;
        if !named || request.borrower.chars().any(char::is_control) {
            return Err(LoanError::Terms("borrower").into());
        }
        if request.borrower_key.is_some_and(|key| !is_key(&key)) {
            return Err(LoanError::BadKey.into());
        }
        let contract = Contract {
            terms: product.terms,
            principal: request.principal,
            start: request.start,
            first_due: request.first_due,
        };
        contract.check()?;
        let terms = &contract.terms;
        let upfront = terms.fees.upfront.on(contract.principal, terms.rounding)?;
        let paid_out = contract.principal.minus(upfront)?;
        let append = Append {
            id: request.loan,
            effective: request.start,
            body: Body::Disbursed,
            cash: Some((request.to, Money::ZERO.minus(paid_out)?)),
        };
        let mut stored = StoredLoan {
            id: request.loan,
            product: request.product,
            borrower: request.borrower.clone(),
            borrower_key: request.borrower_key,
            contract,
            accounts: product.accounts,
            head: 0,
            posted: Books::default(),
            posted_on: request.start,
            running: true,
        };
        if !repo::insert_loan(tx, tenant, &stored, self.now().as_microsecond()).await? {
            let earlier = self.lock(tx, tenant, request.loan).await.map_err(hide)?;
            let same = earlier.contract == stored.contract
                && earlier.product == stored.product
                && earlier.borrower == stored.borrower
                && earlier.borrower_key == stored.borrower_key
                && self.earlier(tx, tenant, request.loan, &append).await?;
            let applied = same.then_some(Applied::AlreadyApplied);
            return applied.ok_or_else(|| LoanError::IdReused.into());
        }
        self.append(tx, tenant, &mut stored, &mut Vec::new(), append).await?;
        Ok(Applied::Executed)
    }
}

/// An id that another tenant uses is answered like one that is used for another request.
fn hide(error: ServiceError) -> ServiceError {
    match error {
        ServiceError::Loan(LoanError::UnknownLoan(_)) => LoanError::IdReused.into(),
        other => other,
    }
}

/// True for a point of the curve that signatures can be checked under.
fn is_key(key: &[u8; 32]) -> bool {
    VerifyingKey::from_bytes(key).is_ok_and(|key| !key.is_weak())
}
