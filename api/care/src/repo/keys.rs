use api_ledger::TenantId;
use api_store::{Tx, args};
use uuid::Uuid;

use crate::CareError;

/// A customer's key, unless it was erased.
pub(crate) async fn get(
    tx: &mut Tx,
    tenant: TenantId,
    customer: Uuid,
) -> Result<Option<[u8; 32]>, CareError> {
    let sql = "SELECT key FROM care_keys
        WHERE tenant_id = $1 AND customer_id = $2 AND erased_at IS NULL";
    let row: Option<(Vec<u8>,)> = tx.fetch_optional(sql, args![tenant.get(), customer]).await?;
    let damaged = |_| CareError::Damaged("a customer's key");
    row.map(|(key,)| key.try_into().map_err(damaged)).transpose()
}

/// Stores a key; one that is there already stays.
pub(crate) async fn insert(
    tx: &mut Tx,
    tenant: TenantId,
    customer: Uuid,
    key: [u8; 32],
) -> Result<(), CareError> {
    let sql = "INSERT INTO care_keys (tenant_id, customer_id, key) VALUES ($1, $2, $3)
        ON CONFLICT (tenant_id, customer_id) DO UPDATE SET key = excluded.key, erased_at = NULL
        WHERE care_keys.erased_at IS NOT NULL";
    tx.execute(sql, args![tenant.get(), customer, key]).await?;
    Ok(())
}

/// Overwrites a key with zeros.
pub(crate) async fn erase(
    tx: &mut Tx,
    tenant: TenantId,
    customer: Uuid,
    now: i64,
) -> Result<(), CareError> {
    let sql = "UPDATE care_keys SET key = $3, erased_at = $4
        WHERE tenant_id = $1 AND customer_id = $2 AND erased_at IS NULL";
    tx.execute(sql, args![tenant.get(), customer, [0u8; 32], now]).await?;
    Ok(())
}

/// A secret of the server itself, if it was ever used.
pub(crate) async fn known_secret(tx: &mut Tx, name: &str) -> Result<Option<Vec<u8>>, CareError> {
    let sql = "SELECT secret FROM care_secrets WHERE name = $1";
    let row: Option<(Vec<u8>,)> = tx.fetch_optional(sql, args![name]).await?;
    Ok(row.map(|(secret,)| secret))
}

/// A secret of the server itself; the first that is stored stays.
pub(crate) async fn server_secret(
    tx: &mut Tx,
    name: &str,
    fresh: [u8; 32],
) -> Result<Vec<u8>, CareError> {
    let sql = "INSERT INTO care_secrets (name, secret) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    tx.execute(sql, args![name, fresh]).await?;
    known_secret(tx, name).await?.ok_or(CareError::Damaged("a secret"))
}
