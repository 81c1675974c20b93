use api_ledger::TenantId;
use api_store::{StoreError, Tx, args};
use uuid::Uuid;

use crate::Secret;

/// A receiver, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its id.
    pub id: Uuid,
    /// Where it is.
    pub url: String,
    /// Whether it is told anything.
    pub enabled: bool,
    /// The last event that was delivered or given up.
    pub last_sequence: i64,
    /// How often the next one was tried in vain.
    pub attempts: i64,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
}

/// An event that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its place in the tenant's sequence.
    pub sequence: i64,
    /// How often it was tried.
    pub attempts: i64,
    /// Why the last attempt failed.
    pub last_error: String,
}

/// What a delivery needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    pub(crate) id: String,
    pub(crate) tenant: TenantId,
    pub(crate) url: String,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) last_sequence: i64,
    pub(crate) attempts: i64,
}

pub(crate) async fn insert(
    tx: &mut Tx,
    tenant: TenantId,
    (id, url): (Uuid, &str),
    secret: &Secret,
    last_sequence: i64,
    now: i64,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO webhook_endpoints (id, tenant, url, secret, enabled, last_sequence,
             attempts, next_at, created_at) VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $7)";
    let values = args![id, tenant.get(), url, secret.as_bytes(), true, last_sequence, now];
    tx.execute(sql, values).await?;
    Ok(())
}

type EndpointRow = (String, String, bool, i64, i64, Option<String>);

pub(crate) async fn list(tx: &mut Tx, tenant: TenantId) -> Result<Vec<Endpoint>, StoreError> {
    let sql = "SELECT id, url, enabled, last_sequence, attempts, last_error
         FROM webhook_endpoints WHERE tenant = $1 ORDER BY created_at, id";
    let rows: Vec<EndpointRow> = tx.fetch_all(sql, args![tenant.get()]).await?;
    let read = |(id, url, enabled, last_sequence, attempts, last_error): EndpointRow| {
        let id = id.parse().map_err(|_| damaged())?;
        Ok(Endpoint { id, url, enabled, last_sequence, attempts, last_error })
    };
    rows.into_iter().map(read).collect()
}

fn damaged() -> StoreError {
    StoreError::Damaged("an id of a webhook endpoint is not a UUID".to_owned())
}

/// True when the tenant has this endpoint.
pub(crate) async fn exists(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM webhook_endpoints WHERE tenant = $1 AND id = $2";
    let row: Option<(i32,)> = tx.fetch_optional(sql, args![tenant.get(), id]).await?;
    Ok(row.is_some())
}

pub(crate) async fn rotate(tx: &mut Tx, id: Uuid, secret: &Secret) -> Result<(), StoreError> {
    let sql = "UPDATE webhook_endpoints SET old_secret = secret, secret = $2 WHERE id = $1";
    tx.execute(sql, args![id, secret.as_bytes()]).await?;
    Ok(())
}

pub(crate) async fn drop_old_secret(tx: &mut Tx, id: Uuid) -> Result<(), StoreError> {
    tx.execute("UPDATE webhook_endpoints SET old_secret = NULL WHERE id = $1", args![id]).await?;
    Ok(())
}

pub(crate) async fn set_enabled(
    tx: &mut Tx,
    id: &str,
    enabled: bool,
    now: i64,
) -> Result<(), StoreError> {
    let sql = "UPDATE webhook_endpoints SET enabled = $2, attempts = 0, next_at = $3
         WHERE id = $1";
    tx.execute(sql, args![id, enabled, now]).await?;
    Ok(())
}

type DueRow = (String, String, String, Vec<u8>, Option<Vec<u8>>, i64, i64);

/// Claims up to `limit` endpoints whose time has come, until `lease_end`.
pub(crate) async fn claim(
    tx: &mut Tx,
    now: i64,
    lease_end: i64,
    limit: u32,
) -> Result<Vec<Due>, StoreError> {
    // The condition stands twice: who waited for another's claim looks at the row again.
    let sql = "UPDATE webhook_endpoints SET next_at = $2
         WHERE enabled AND next_at <= $1 AND id IN (
             SELECT id FROM webhook_endpoints WHERE enabled AND next_at <= $1
             ORDER BY next_at LIMIT $3
         ) RETURNING id, tenant, url, secret, old_secret, last_sequence, attempts";
    let rows: Vec<DueRow> = tx.fetch_all(sql, args![now, lease_end, limit]).await?;
    let read = |(id, tenant, url, secret, old, last_sequence, attempts): DueRow| {
        let tenant = tenant.parse().map_err(|_| damaged())?;
        let secrets = [Some(secret), old].into_iter().flatten().map(Secret::from_bytes).collect();
        Ok(Due { id, tenant, url, secrets, last_sequence, attempts })
    };
    rows.into_iter().map(read).collect()
}

pub(crate) async fn save_progress(
    tx: &mut Tx,
    due: &Due,
    next_at: i64,
    last_error: Option<&str>,
) -> Result<(), StoreError> {
    let sql = "UPDATE webhook_endpoints SET last_sequence = $2, attempts = $3, next_at = $4,
             last_error = COALESCE($5, last_error) WHERE id = $1";
    let error = last_error.map(str::to_owned);
    tx.execute(sql, args![&due.id, due.last_sequence, due.attempts, next_at, error]).await?;
    Ok(())
}

pub(crate) async fn insert_dead_letter(
    tx: &mut Tx,
    endpoint: &str,
    letter: &DeadLetter,
    now: i64,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO webhook_dead_letters (endpoint, sequence, attempts, last_error,
             created_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (endpoint, sequence) DO UPDATE SET attempts = excluded.attempts,
             last_error = excluded.last_error, created_at = excluded.created_at";
    let values = args![endpoint, letter.sequence, letter.attempts, &letter.last_error, now];
    tx.execute(sql, values).await?;
    Ok(())
}

pub(crate) async fn dead_letters(
    tx: &mut Tx,
    endpoint: Uuid,
    limit: u32,
) -> Result<Vec<DeadLetter>, StoreError> {
    let sql = "SELECT sequence, attempts, last_error FROM webhook_dead_letters
         WHERE endpoint = $1 ORDER BY sequence LIMIT $2";
    let rows: Vec<(i64, i64, String)> = tx.fetch_all(sql, args![endpoint, limit]).await?;
    let read = |(sequence, attempts, last_error)| DeadLetter { sequence, attempts, last_error };
    Ok(rows.into_iter().map(read).collect())
}

pub(crate) async fn insert_replay(
    tx: &mut Tx,
    endpoint: Uuid,
    sequence: i64,
    now: i64,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO webhook_replays (endpoint, sequence, attempts, next_at)
         VALUES ($1, $2, 0, $3)
         ON CONFLICT (endpoint, sequence) DO UPDATE SET attempts = 0, next_at = excluded.next_at";
    tx.execute(sql, args![endpoint, sequence, now]).await?;
    Ok(())
}

/// Replays of the endpoint whose time has come: sequence and attempts.
pub(crate) async fn due_replays(
    tx: &mut Tx,
    endpoint: &str,
    now: i64,
    limit: u32,
) -> Result<Vec<(i64, i64)>, StoreError> {
    let sql = "SELECT sequence, attempts FROM webhook_replays
         WHERE endpoint = $1 AND next_at <= $2 ORDER BY sequence LIMIT $3";
    tx.fetch_all(sql, args![endpoint, now, limit]).await
}

pub(crate) async fn remove_replay(
    tx: &mut Tx,
    endpoint: &str,
    sequence: i64,
    delivered: bool,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM webhook_replays WHERE endpoint = $1 AND sequence = $2";
    tx.execute(sql, args![endpoint, sequence]).await?;
    if delivered {
        let sql = "DELETE FROM webhook_dead_letters WHERE endpoint = $1 AND sequence = $2";
        tx.execute(sql, args![endpoint, sequence]).await?;
    }
    Ok(())
}

pub(crate) async fn delay_replay(
    tx: &mut Tx,
    endpoint: &str,
    sequence: i64,
    attempts: i64,
    next_at: i64,
) -> Result<(), StoreError> {
    let sql = "UPDATE webhook_replays SET attempts = $3, next_at = $4
         WHERE endpoint = $1 AND sequence = $2";
    tx.execute(sql, args![endpoint, sequence, attempts, next_at]).await?;
    Ok(())
}
