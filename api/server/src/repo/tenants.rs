use api_store::{StoreError, Tx, args};
use uuid::Uuid;

use super::parse;

/// An API key as it is stored: the hash of its secret, never the secret.
#[derive(Clone, Debug)]
pub(crate) struct ApiKey {
    pub(crate) id: Uuid,
    pub(crate) tenant: Uuid,
    pub(crate) name: String,
    pub(crate) secret_hash: Vec<u8>,
    pub(crate) scopes: String,
    /// Whether it belongs to a person, whose reads are logged.
    pub(crate) staff: bool,
    pub(crate) created_at: i64,
    pub(crate) expires_at: Option<i64>,
    pub(crate) revoked_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    id: String,
    tenant_id: String,
    name: String,
    secret_hash: Vec<u8>,
    scopes: String,
    staff: bool,
    created_at: i64,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
}

impl KeyRow {
    fn check(self) -> Result<ApiKey, StoreError> {
        Ok(ApiKey {
            id: parse("API key id", &self.id)?,
            tenant: parse("tenant id", &self.tenant_id)?,
            name: self.name,
            secret_hash: self.secret_hash,
            scopes: self.scopes,
            staff: self.staff,
            created_at: self.created_at,
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
        })
    }
}

/// Adds a tenant; false when the name is taken.
pub(crate) async fn insert_tenant(
    tx: &mut Tx,
    id: Uuid,
    name: &str,
    now: i64,
) -> Result<bool, StoreError> {
    let sql =
        "INSERT INTO tenants (id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    Ok(tx.execute(sql, args![id, name, now]).await? == 1)
}

pub(crate) async fn exists(tx: &mut Tx, id: Uuid) -> Result<bool, StoreError> {
    let sql = "SELECT COUNT(*) FROM tenants WHERE id = $1";
    let (count,): (i64,) = tx.fetch_one(sql, args![id]).await?;
    Ok(count == 1)
}

pub(crate) async fn insert_key(tx: &mut Tx, key: &ApiKey) -> Result<(), StoreError> {
    let sql = "INSERT INTO api_keys (id, tenant_id, name, secret_hash, scopes, staff, created_at, expires_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let values = args![
        key.id,
        key.tenant,
        &key.name,
        &key.secret_hash,
        &key.scopes,
        key.staff,
        key.created_at,
        key.expires_at
    ];
    tx.execute(sql, values).await.map(|_| ())
}

pub(crate) async fn key(tx: &mut Tx, id: Uuid) -> Result<Option<ApiKey>, StoreError> {
    let sql = "SELECT id, tenant_id, name, secret_hash, scopes, staff, created_at, expires_at, revoked_at \
               FROM api_keys WHERE id = $1";
    tx.fetch_optional::<KeyRow>(sql, args![id]).await?.map(KeyRow::check).transpose()
}

pub(crate) async fn keys(tx: &mut Tx, tenant: Uuid) -> Result<Vec<ApiKey>, StoreError> {
    let sql = "SELECT id, tenant_id, name, secret_hash, scopes, staff, created_at, expires_at, revoked_at \
               FROM api_keys WHERE tenant_id = $1 ORDER BY created_at, id";
    let rows: Vec<KeyRow> = tx.fetch_all(sql, args![tenant]).await?;
    rows.into_iter().map(KeyRow::check).collect()
}

/// Revokes the tenant's key; false when there is none or it was revoked before.
pub(crate) async fn revoke_key(
    tx: &mut Tx,
    tenant: Uuid,
    id: Uuid,
    now: i64,
) -> Result<bool, StoreError> {
    let sql = "UPDATE api_keys SET revoked_at = $1 \
               WHERE id = $2 AND tenant_id = $3 AND revoked_at IS NULL";
    Ok(tx.execute(sql, args![now, id, tenant]).await? == 1)
}

/// Every tenant, the house included.
pub(crate) async fn all(tx: &mut Tx) -> Result<Vec<Uuid>, StoreError> {
    let rows: Vec<(String,)> = tx.fetch_all("SELECT id FROM tenants ORDER BY id", args![]).await?;
    rows.iter().map(|(id,)| parse("tenant id", id)).collect()
}
