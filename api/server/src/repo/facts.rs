use api_store::{StoreError, Tx, args};

/// A small fact that survives a restart.
pub(crate) async fn get(tx: &mut Tx, name: &str) -> Result<Option<String>, StoreError> {
    let row: Option<(String,)> =
        tx.fetch_optional("SELECT value FROM facts WHERE name = $1", args![name]).await?;
    Ok(row.map(|(value,)| value))
}

pub(crate) async fn set(tx: &mut Tx, name: &str, value: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO facts (name, value) VALUES ($1, $2) \
               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    tx.execute(sql, args![name, value]).await.map(|_| ())
}

/// Takes or renews the lease `name` for `holder` until `until`; false while another holds it.
pub(crate) async fn lease(
    tx: &mut Tx,
    name: &str,
    holder: &str,
    now: i64,
    until: i64,
) -> Result<bool, StoreError> {
    let sql = "INSERT INTO leases (name, holder, until) VALUES ($1, $2, $3) \
               ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until \
               WHERE leases.holder = excluded.holder OR leases.until < $4";
    Ok(tx.execute(sql, args![name, holder, until, now]).await? == 1)
}

/// Halts a chain; keeps the first reason.
pub(crate) async fn halt(
    tx: &mut Tx,
    chain: &str,
    reason: &str,
    now: i64,
) -> Result<(), StoreError> {
    let sql =
        "INSERT INTO halts (chain, reason, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    tx.execute(sql, args![chain, reason, now]).await.map(|_| ())
}

/// Why the chain is halted, if it is.
pub(crate) async fn halted(tx: &mut Tx, chain: &str) -> Result<Option<String>, StoreError> {
    let row: Option<(String,)> =
        tx.fetch_optional("SELECT reason FROM halts WHERE chain = $1", args![chain]).await?;
    Ok(row.map(|(reason,)| reason))
}

/// Ends a halt; false when there was none.
pub(crate) async fn resume(tx: &mut Tx, chain: &str) -> Result<bool, StoreError> {
    Ok(tx.execute("DELETE FROM halts WHERE chain = $1", args![chain]).await? == 1)
}
