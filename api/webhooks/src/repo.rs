use api_ledger::TenantId;
use api_store::{StoreError, Tx, args};
use uuid::Uuid;

use crate::EventTypes;

/// A receiver, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its id.
    pub id: Uuid,
    /// Where it is.
    pub url: String,
    /// What it is told about.
    pub types: EventTypes,
    /// Whether it is told anything.
    pub enabled: bool,
    /// The last event that was delivered or given up.
    pub last_sequence: i64,
    /// How often the next one was tried in vain.
    pub attempts: i64,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// True while the secret before the last rotation signs too.
    pub has_old_secret: bool,
    /// When it was registered, in seconds since 1970.
    pub created_at: i64,
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
    /// When it was given up, in seconds since 1970.
    pub created_at: i64,
}

/// A receiver to be registered.
#[derive(Clone, Copy, Debug)]
pub struct NewEndpoint<'a> {
    /// Where it is.
    pub url: &'a str,
    /// It is told about the events after this place of the tenant's sequence.
    pub after: i64,
    /// It is told about these alone.
    pub types: &'a EventTypes,
}

/// What a delivery needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    pub(crate) id: Uuid,
    pub(crate) tenant: TenantId,
    pub(crate) url: String,
    /// Sealed; the newest first.
    pub(crate) secrets: Vec<Vec<u8>>,
    pub(crate) last_sequence: i64,
    pub(crate) attempts: i64,
}

pub(crate) async fn insert(
    tx: &mut Tx,
    tenant: TenantId,
    id: Uuid,
    new: &NewEndpoint<'_>,
    sealed: Vec<u8>,
    now: i64,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO webhook_endpoints (id, tenant, url, secret, enabled, last_sequence,
             attempts, next_at, created_at, types) VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $7, $8)";
    let (after, types) = (new.after.max(0), new.types.to_string());
    let values = args![id, tenant.get(), new.url, sealed, true, after, now, types];
    tx.execute(sql, values).await?;
    Ok(())
}

type EndpointRow = (String, String, bool, i64, i64, Option<String>, bool, i64, String);

macro_rules! select_endpoint {
    ($rest:literal) => {
        concat!(
            "SELECT id, url, enabled, last_sequence, attempts, last_error,
                 old_secret IS NOT NULL AS has_old_secret, created_at, types
             FROM webhook_endpoints WHERE tenant = $1 ",
            $rest
        )
    };
}

pub(crate) async fn list(tx: &mut Tx, tenant: TenantId) -> Result<Vec<Endpoint>, StoreError> {
    let sql = select_endpoint!("ORDER BY created_at, id");
    let rows: Vec<EndpointRow> = tx.fetch_all(sql, args![tenant.get()]).await?;
    rows.into_iter().map(endpoint).collect()
}

pub(crate) async fn get(
    tx: &mut Tx,
    tenant: TenantId,
    id: Uuid,
) -> Result<Option<Endpoint>, StoreError> {
    let sql = select_endpoint!("AND id = $2");
    let row: Option<EndpointRow> = tx.fetch_optional(sql, args![tenant.get(), id]).await?;
    row.map(endpoint).transpose()
}

fn endpoint(row: EndpointRow) -> Result<Endpoint, StoreError> {
    Ok(Endpoint {
        id: row.0.parse().map_err(|_| damaged())?,
        url: row.1,
        types: event_types(&row.8)?,
        enabled: row.2,
        last_sequence: row.3,
        attempts: row.4,
        last_error: row.5,
        has_old_secret: row.6,
        created_at: row.7,
    })
}

fn event_types(text: &str) -> Result<EventTypes, StoreError> {
    let names = text.split(',').filter(|name| !name.is_empty());
    EventTypes::parse(names).map_err(|error| StoreError::Damaged(error.to_string()))
}

/// What the endpoint is told about at present; nothing when it was deleted.
pub(crate) async fn types(tx: &mut Tx, id: Uuid) -> Result<Option<EventTypes>, StoreError> {
    let sql = "SELECT types FROM webhook_endpoints WHERE id = $1";
    let row: Option<(String,)> = tx.fetch_optional(sql, args![id]).await?;
    row.map(|(text,)| event_types(&text)).transpose()
}

pub(crate) async fn set_types(tx: &mut Tx, id: Uuid, types: &EventTypes) -> Result<(), StoreError> {
    let sql = "UPDATE webhook_endpoints SET types = $2 WHERE id = $1";
    tx.execute(sql, args![id, types.to_string()]).await?;
    Ok(())
}

/// How many endpoints the tenant has.
pub(crate) async fn count(tx: &mut Tx, tenant: TenantId) -> Result<i64, StoreError> {
    let sql = "SELECT COUNT(*) FROM webhook_endpoints WHERE tenant = $1";
    let (count,): (i64,) = tx.fetch_one(sql, args![tenant.get()]).await?;
    Ok(count)
}

fn damaged() -> StoreError {
    StoreError::Damaged("an id of a webhook endpoint is not a UUID".to_owned())
}

/// True when the tenant has this endpoint.
pub(crate) async fn exists(tx: &mut Tx, tenant: TenantId, id: Uuid) -> Result<bool, StoreError> {
    let sql = "SELECT id FROM webhook_endpoints WHERE tenant = $1 AND id = $2";
    let row: Option<(String,)> = tx.fetch_optional(sql, args![tenant.get(), id]).await?;
    Ok(row.is_some())
}

/// False when the secret before the last rotation still signs.
pub(crate) async fn rotate(tx: &mut Tx, id: Uuid, sealed: Vec<u8>) -> Result<bool, StoreError> {
    let sql = "UPDATE webhook_endpoints SET old_secret = secret, secret = $2
         WHERE id = $1 AND old_secret IS NULL";
    Ok(tx.execute(sql, args![id, sealed]).await? == 1)
}

/// Removes the endpoint and all that waits for it.
pub(crate) async fn delete(tx: &mut Tx, id: Uuid) -> Result<(), StoreError> {
    tx.execute("DELETE FROM webhook_replays WHERE endpoint = $1", args![id]).await?;
    tx.execute("DELETE FROM webhook_dead_letters WHERE endpoint = $1", args![id]).await?;
    tx.execute("DELETE FROM webhook_endpoints WHERE id = $1", args![id]).await?;
    Ok(())
}

/// Lets the endpoint have its next attempt now, whatever it waits for.
pub(crate) async fn wake(tx: &mut Tx, id: Uuid, now: i64) -> Result<(), StoreError> {
    let sql = "UPDATE webhook_endpoints SET next_at = $2 WHERE id = $1 AND next_at > $2";
    tx.execute(sql, args![id, now]).await?;
    Ok(())
}

pub(crate) async fn drop_old_secret(tx: &mut Tx, id: Uuid) -> Result<(), StoreError> {
    tx.execute("UPDATE webhook_endpoints SET old_secret = NULL WHERE id = $1", args![id]).await?;
    Ok(())
}

pub(crate) async fn set_enabled(
    tx: &mut Tx,
    id: Uuid,
    enabled: bool,
    now: i64,
) -> Result<(), StoreError> {
    let sql = "UPDATE webhook_endpoints SET enabled = $2, attempts = 0, next_at = $3
         WHERE id = $1";
    tx.execute(sql, args![id, enabled, now]).await?;
    Ok(())
}

type DueRow = (String, String, String, Vec<u8>, Option<Vec<u8>>, i64, i64);

/// Claims up to `limit` endpoints whose time has come and that something waits for, or that are further than
/// their tenant's events, until `lease_end`.
pub(crate) async fn claim(
    tx: &mut Tx,
    now: i64,
    lease_end: i64,
    limit: u32,
) -> Result<Vec<Due>, StoreError> {
    // The condition stands twice: who waited for another's claim looks at the row again.
    let sql = "UPDATE webhook_endpoints SET leased_until = $2
         WHERE enabled AND next_at <= $1 AND leased_until <= $1 AND id IN (
             SELECT e.id FROM webhook_endpoints AS e
             WHERE e.enabled AND e.next_at <= $1 AND e.leased_until <= $1 AND (
                 e.last_sequence + 1 <> COALESCE(
                     (SELECT h.next FROM events_heads AS h WHERE h.tenant = e.tenant), 1)
                 OR EXISTS (SELECT 1 FROM webhook_replays AS r
                            WHERE r.endpoint = e.id AND r.next_at <= $1)
             ) ORDER BY e.next_at LIMIT $3
         ) RETURNING id, tenant, url, secret, old_secret, last_sequence, attempts";
    let rows: Vec<DueRow> = tx.fetch_all(sql, args![now, lease_end, limit]).await?;
    let read = |(id, tenant, url, secret, old, last_sequence, attempts): DueRow| {
        let id = id.parse().map_err(|_| damaged())?;
        let tenant = tenant.parse().map_err(|_| damaged())?;
        let secrets = [Some(secret), old].into_iter().flatten().collect();
        Ok(Due { id, tenant, url, secrets, last_sequence, attempts })
    };
    rows.into_iter().map(read).collect()
}

/// When the next attempt may be made, and until when nobody else makes one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) next_at: i64,
    pub(crate) leased_until: i64,
}

/// Saves how far the endpoint is; false when it was paused or deleted meanwhile.
pub(crate) async fn save_progress(
    tx: &mut Tx,
    due: &Due,
    times: Times,
    last_error: Option<&str>,
) -> Result<bool, StoreError> {
    let sql = "UPDATE webhook_endpoints SET last_sequence = $2, attempts = $3, next_at = $4,
             leased_until = $5, last_error = COALESCE($6, last_error)
         WHERE id = $1 RETURNING enabled";
    let error = last_error.map(str::to_owned);
    let values =
        args![due.id, due.last_sequence, due.attempts, times.next_at, times.leased_until, error];
    let row: Option<(bool,)> = tx.fetch_optional(sql, values).await?;
    Ok(row.is_some_and(|(enabled,)| enabled))
}

pub(crate) async fn insert_dead_letter(
    tx: &mut Tx,
    endpoint: Uuid,
    letter: &DeadLetter,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO webhook_dead_letters (endpoint, sequence, attempts, last_error,
             created_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (endpoint, sequence) DO UPDATE SET attempts = excluded.attempts,
             last_error = excluded.last_error, created_at = excluded.created_at";
    let DeadLetter { sequence, attempts, last_error, created_at } = letter;
    let values = args![endpoint, *sequence, *attempts, last_error, *created_at];
    tx.execute(sql, values).await?;
    Ok(())
}

pub(crate) async fn dead_letters(
    tx: &mut Tx,
    endpoint: Uuid,
    after: i64,
    limit: u32,
) -> Result<Vec<DeadLetter>, StoreError> {
    let sql = "SELECT sequence, attempts, last_error, created_at FROM webhook_dead_letters
         WHERE endpoint = $1 AND sequence > $2 ORDER BY sequence LIMIT $3";
    let rows: Vec<(i64, i64, String, i64)> =
        tx.fetch_all(sql, args![endpoint, after, limit]).await?;
    let read = |(sequence, attempts, last_error, created_at)| DeadLetter {
        sequence,
        attempts,
        last_error,
        created_at,
    };
    Ok(rows.into_iter().map(read).collect())
}

/// Sends the places from `first` to `last` again.
pub(crate) async fn insert_replays(
    tx: &mut Tx,
    endpoint: Uuid,
    (first, last): (i64, i64),
    now: i64,
) -> Result<(), StoreError> {
    let sql = "WITH RECURSIVE places (place) AS (
             SELECT CAST($2 AS BIGINT) WHERE $2 <= $3
             UNION ALL SELECT place + 1 FROM places WHERE place < $3
         )
         INSERT INTO webhook_replays (endpoint, sequence, attempts, next_at)
         SELECT $1, place, 0, $4 FROM places WHERE TRUE
         ON CONFLICT (endpoint, sequence) DO UPDATE SET attempts = 0, next_at = excluded.next_at";
    tx.execute(sql, args![endpoint, first, last, now]).await?;
    Ok(())
}

/// Sends all dead letters of the endpoint again; returns how many.
pub(crate) async fn replay_dead_letters(
    tx: &mut Tx,
    endpoint: Uuid,
    now: i64,
) -> Result<u64, StoreError> {
    let sql = "INSERT INTO webhook_replays (endpoint, sequence, attempts, next_at)
         SELECT endpoint, sequence, 0, $2 FROM webhook_dead_letters WHERE endpoint = $1
         ON CONFLICT (endpoint, sequence) DO UPDATE SET attempts = 0, next_at = excluded.next_at";
    tx.execute(sql, args![endpoint, now]).await
}

/// Replays of the endpoint whose time has come: sequence and attempts.
pub(crate) async fn due_replays(
    tx: &mut Tx,
    endpoint: Uuid,
    now: i64,
    limit: u32,
) -> Result<Vec<(i64, i64)>, StoreError> {
    let sql = "SELECT sequence, attempts FROM webhook_replays
         WHERE endpoint = $1 AND next_at <= $2 ORDER BY sequence LIMIT $3";
    tx.fetch_all(sql, args![endpoint, now, limit]).await
}

pub(crate) async fn remove_replay(
    tx: &mut Tx,
    endpoint: Uuid,
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
    endpoint: Uuid,
    sequence: i64,
    attempts: i64,
    next_at: i64,
) -> Result<(), StoreError> {
    let sql = "UPDATE webhook_replays SET attempts = $3, next_at = $4
         WHERE endpoint = $1 AND sequence = $2";
    tx.execute(sql, args![endpoint, sequence, attempts, next_at]).await?;
    Ok(())
}
