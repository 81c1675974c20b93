use api_store::{StoreError, Tx, args};
use uuid::Uuid;

/// What was answered under a key.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Answer {
    pub(crate) request_hash: Vec<u8>,
    pub(crate) status: i64,
    pub(crate) body: String,
}

/// Takes the key for this request. False when it is taken: a concurrent request with the same key
/// waits here until the other has committed or given up, because the primary key is the guard.
pub(crate) async fn take(
    tx: &mut Tx,
    tenant: Uuid,
    key: &str,
    request_hash: [u8; 32],
    now: i64,
) -> Result<bool, StoreError> {
    let sql = "INSERT INTO idempotency_keys (tenant_id, key, request_hash, status, body, created_at) \
               VALUES ($1, $2, $3, 0, '', $4) ON CONFLICT DO NOTHING";
    Ok(tx.execute(sql, args![tenant, key, request_hash, now]).await? == 1)
}

/// Stores the answer, in the transaction of the effect.
pub(crate) async fn answer(
    tx: &mut Tx,
    tenant: Uuid,
    key: &str,
    status: u16,
    body: &str,
) -> Result<(), StoreError> {
    let sql =
        "UPDATE idempotency_keys SET status = $1, body = $2 WHERE tenant_id = $3 AND key = $4";
    tx.execute(sql, args![i64::from(status), body, tenant, key]).await.map(|_| ())
}

pub(crate) async fn get(
    tx: &mut Tx,
    tenant: Uuid,
    key: &str,
) -> Result<Option<Answer>, StoreError> {
    let sql =
        "SELECT request_hash, status, body FROM idempotency_keys WHERE tenant_id = $1 AND key = $2";
    tx.fetch_optional(sql, args![tenant, key]).await
}
