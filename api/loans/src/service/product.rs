use api_ledger::{AccountId, TenantId};
use api_store::Tx;
use serde::Serialize;
use uuid::Uuid;

use super::accounts::Accounts;
use super::{Loans, ServiceError};
use crate::terms::Terms;
use crate::{LoanError, repo};

/// A product to be offered.
#[derive(Clone, Debug)]
pub struct NewProduct {
    /// Made by the client: the same id with the same content is the same product.
    pub id: Uuid,
    /// Unique in the tenant.
    pub name: String,
    /// Its terms.
    pub terms: Terms,
}

/// A stored product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Product {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its terms.
    pub terms: Terms,
    #[serde(skip)]
    pub(crate) accounts: Accounts,
}

impl Product {
    /// The ledger account for money received that matches no loan: a bank rail credits it instead of
    /// guessing, and a payment of the right loan is made from it.
    #[must_use]
    pub const fn unmatched_account(&self) -> AccountId {
        self.accounts.unmatched()
    }
}

const NAME_BYTES_MAX: usize = 128;

impl Loans {
    /// Stores a product and opens the accounts of the loan books in its currency.
    ///
    /// # Errors
    /// Those of [`Terms::check`]; [`LoanError::IdReused`] when the id or the name has other
    /// content.
    pub async fn create_product(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        new: &NewProduct,
    ) -> Result<Product, ServiceError> {
        new.terms.check()?;
        let printable = !new.name.chars().any(char::is_control);
        if new.name.is_empty() || new.name.len() > NAME_BYTES_MAX || !printable {
            return Err(LoanError::Terms("name").into());
        }
        let accounts = Accounts::open(&self.ledger, tx, tenant, &new.terms.currency).await?;
        let product =
            Product { id: new.id, name: new.name.clone(), terms: new.terms.clone(), accounts };
        if repo::insert_product(tx, tenant, &product, self.now().as_microsecond()).await? {
            return Ok(product);
        }
        let stored = repo::product(tx, tenant, new.id).await?;
        stored.filter(|stored| *stored == product).ok_or_else(|| LoanError::IdReused.into())
    }

    /// A product of the tenant.
    ///
    /// # Errors
    /// [`LoanError::UnknownProduct`].
    pub async fn product(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: Uuid,
    ) -> Result<Product, ServiceError> {
        let found = repo::product(tx, tenant, id).await?;
        found.ok_or_else(|| LoanError::UnknownProduct(id).into())
    }

    /// The products of the tenant by name, at most `limit` after the name `after`.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn products(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Product>, ServiceError> {
        repo::products(tx, tenant, after, limit).await
    }
}
