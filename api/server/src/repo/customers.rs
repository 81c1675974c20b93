use api_store::{StoreError, Tx, args};
use chain_core::KeyPath;
use uuid::Uuid;

use super::parse;

/// A customer of a tenant.
#[derive(Clone, Debug)]
pub(crate) struct Customer {
    pub(crate) id: Uuid,
    pub(crate) tenant: Uuid,
    pub(crate) reference: String,
    /// The hardened account of the customer's keys.
    pub(crate) key_account: u32,
    pub(crate) created_at: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    tenant_id: String,
    reference: String,
    key_account: i64,
    created_at: i64,
}

impl Row {
    fn check(self) -> Result<Customer, StoreError> {
        let damaged = || StoreError::Damaged(format!("key account {}", self.key_account));
        Ok(Customer {
            id: parse("customer id", &self.id)?,
            tenant: parse("tenant id", &self.tenant_id)?,
            reference: self.reference,
            key_account: u32::try_from(self.key_account).map_err(|_| damaged())?,
            created_at: self.created_at,
        })
    }
}

/// Adds a customer with the next free key account.
pub(crate) async fn insert(
    tx: &mut Tx,
    tenant: Uuid,
    id: Uuid,
    reference: &str,
    now: i64,
) -> Result<(), StoreError> {
    // The counter's row serialises concurrent callers on both engines.
    let next = "INSERT INTO facts (name, value) VALUES ('next_key_account', $1) \
                ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(facts.value AS BIGINT) + 1 AS TEXT) \
                RETURNING CAST(value AS BIGINT) AS number";
    let (account,): (i64,) = tx.fetch_one(next, args![KeyPath::FIRST_CUSTOMER.to_string()]).await?;
    let sql = "INSERT INTO customers (id, tenant_id, reference, key_account, created_at) \
               VALUES ($1, $2, $3, $4, $5)";
    tx.execute(sql, args![id, tenant, reference, account, now]).await.map(|_| ())
}

pub(crate) async fn get(
    tx: &mut Tx,
    tenant: Uuid,
    id: Uuid,
) -> Result<Option<Customer>, StoreError> {
    let sql = "SELECT id, tenant_id, reference, key_account, created_at FROM customers \
               WHERE id = $1 AND tenant_id = $2";
    tx.fetch_optional::<Row>(sql, args![id, tenant]).await?.map(Row::check).transpose()
}

/// Any tenant's customer, for a bank statement's line, which names the customer alone.
pub(crate) async fn by_id(tx: &mut Tx, id: Uuid) -> Result<Option<Customer>, StoreError> {
    let sql =
        "SELECT id, tenant_id, reference, key_account, created_at FROM customers WHERE id = $1";
    tx.fetch_optional::<Row>(sql, args![id]).await?.map(Row::check).transpose()
}

/// A page of the tenant's customers in the order of their ids, after the id `after`.
pub(crate) async fn page(
    tx: &mut Tx,
    tenant: Uuid,
    after: &str,
    limit: u32,
) -> Result<Vec<Customer>, StoreError> {
    let sql = "SELECT id, tenant_id, reference, key_account, created_at FROM customers \
               WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    let rows: Vec<Row> = tx.fetch_all(sql, args![tenant, after, limit]).await?;
    rows.into_iter().map(Row::check).collect()
}
