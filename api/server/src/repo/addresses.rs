use api_store::{StoreError, Tx, args};
use chain_core::{Address, ChainId, KeyPath, KeyedAddress};
use uuid::Uuid;

use super::{parse, unstored};

/// An address that was issued. The chain is named as in the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    pub(crate) tenant: Option<Uuid>,
    pub(crate) customer: Option<Uuid>,
    pub(crate) chain: String,
    pub(crate) address: String,
    pub(crate) key: KeyPath,
    pub(crate) created_at: i64,
}

impl Issued {
    /// With the network's id. It was checked when it was issued, and is checked by the signer again.
    pub(crate) fn keyed(&self, chain: &ChainId) -> Result<KeyedAddress, StoreError> {
        let unchecked = chain_core::UncheckedAddress(self.address.clone());
        let address: Address = chain_families::check_address(chain, &unchecked)
            .map_err(|error| StoreError::Damaged(error.to_string()))?;
        Ok(KeyedAddress { key: self.key, address })
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    tenant_id: Option<String>,
    customer_id: Option<String>,
    chain: String,
    address: String,
    key_path: String,
    created_at: i64,
}

impl Row {
    fn check(self) -> Result<Issued, StoreError> {
        Ok(Issued {
            tenant: self.tenant_id.map(|id| parse("tenant id", &id)).transpose()?,
            customer: self.customer_id.map(|id| parse("customer id", &id)).transpose()?,
            chain: self.chain,
            address: self.address,
            key: parse("key path", &self.key_path)?,
            created_at: self.created_at,
        })
    }
}

/// Adds an address; false when it is there.
pub(crate) async fn insert(tx: &mut Tx, issued: &Issued) -> Result<bool, StoreError> {
    let sql = "INSERT INTO addresses (id, tenant_id, customer_id, chain, address, key_path, created_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
    let values = args![
        Uuid::now_v7(),
        issued.tenant,
        issued.customer,
        &issued.chain,
        &issued.address,
        issued.key.to_string(),
        issued.created_at,
    ];
    Ok(tx.execute(sql, values).await? == 1)
}

/// How many addresses of this chain and scheme (the prefix of the key path) a customer has.
pub(crate) async fn count(
    tx: &mut Tx,
    customer: Uuid,
    chain: &str,
    prefix: &str,
) -> Result<u64, StoreError> {
    let sql =
        "SELECT COUNT(*) FROM addresses WHERE customer_id = $1 AND chain = $2 AND key_path LIKE $3";
    let (count,): (i64,) = tx.fetch_one(sql, args![customer, chain, format!("{prefix}/%")]).await?;
    unstored(count)
}

pub(crate) async fn of_customer(
    tx: &mut Tx,
    tenant: Uuid,
    customer: Uuid,
) -> Result<Vec<Issued>, StoreError> {
    let sql = "SELECT tenant_id, customer_id, chain, address, key_path, created_at FROM addresses \
               WHERE tenant_id = $1 AND customer_id = $2 ORDER BY created_at, key_path";
    collect(tx.fetch_all(sql, args![tenant, customer]).await?)
}

/// Every address of a chain, the operator's own included.
pub(crate) async fn of_chain(tx: &mut Tx, chain: &str) -> Result<Vec<Issued>, StoreError> {
    let sql = "SELECT tenant_id, customer_id, chain, address, key_path, created_at FROM addresses \
               WHERE chain = $1 ORDER BY created_at, key_path";
    collect(tx.fetch_all(sql, args![chain]).await?)
}

/// True for an address of this system.
pub(crate) async fn is_issued(tx: &mut Tx, chain: &str, address: &str) -> Result<bool, StoreError> {
    let sql = "SELECT COUNT(*) FROM addresses WHERE chain = $1 AND address = $2";
    let (count,): (i64,) = tx.fetch_one(sql, args![chain, address]).await?;
    Ok(count > 0)
}

pub(crate) async fn by_key(
    tx: &mut Tx,
    chain: &str,
    key: KeyPath,
) -> Result<Option<Issued>, StoreError> {
    let sql = "SELECT tenant_id, customer_id, chain, address, key_path, created_at FROM addresses \
               WHERE chain = $1 AND key_path = $2";
    tx.fetch_optional::<Row>(sql, args![chain, key.to_string()]).await?.map(Row::check).transpose()
}

fn collect(rows: Vec<Row>) -> Result<Vec<Issued>, StoreError> {
    rows.into_iter().map(Row::check).collect()
}
