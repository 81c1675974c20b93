use api_ledger::TenantId;
use api_store::{Tx, args};
use uuid::Uuid;

use super::{json, parsed, uuid};
use crate::service::{Product, ServiceError};

pub(crate) async fn insert_product(
    tx: &mut Tx,
    tenant: TenantId,
    product: &Product,
    now: i64,
) -> Result<bool, ServiceError> {
    let sql = "INSERT INTO loan_products (id, tenant_id, name, terms, accounts, created_at)
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
    let (terms, accounts) = (json(&product.terms)?, json(&product.accounts)?);
    let values = args![product.id, tenant.get(), &product.name, terms, accounts, now];
    Ok(tx.execute(sql, values).await? == 1)
}

type ProductRow = (String, String, String, String);

fn to_product((id, name, terms, accounts): ProductRow) -> Result<Product, ServiceError> {
    Ok(Product { id: uuid(&id)?, name, terms: parsed(&terms)?, accounts: parsed(&accounts)? })
}

pub(crate) async fn product(
    tx: &mut Tx,
    tenant: TenantId,
    id: Uuid,
) -> Result<Option<Product>, ServiceError> {
    let sql = "SELECT id, name, terms, accounts FROM loan_products
        WHERE tenant_id = $1 AND id = $2";
    let row: Option<ProductRow> = tx.fetch_optional(sql, args![tenant.get(), id]).await?;
    row.map(to_product).transpose()
}

pub(crate) async fn products(
    tx: &mut Tx,
    tenant: TenantId,
    after: &str,
    limit: u32,
) -> Result<Vec<Product>, ServiceError> {
    let sql = "SELECT id, name, terms, accounts FROM loan_products
        WHERE tenant_id = $1 AND name > $2 ORDER BY name LIMIT $3";
    let rows: Vec<ProductRow> = tx.fetch_all(sql, args![tenant.get(), after, limit]).await?;
    rows.into_iter().map(to_product).collect()
}
