use api_store::{Tx, args};

use super::{side, tenant, totals};
use crate::account::{CLOSED, FOR_CLIENTS, FROZEN, HISTORY, LIMITED};
use crate::book::Standing;
use crate::{
    Account, AccountId, Floor, LedgerError, NewAccount, Side, TenantId, VelocityLimit, bytes,
};

/// account, tenant, code, asset, side, flags, floor, external_id, created_at, four totals, commit_id,
/// last_seq.
type Stored = (
    i64,
    String,
    String,
    String,
    i64,
    i64,
    Option<Vec<u8>>,
    Option<String>,
    i64,
    Vec<u8>,
    Vec<u8>,
    Vec<u8>,
    Vec<u8>,
    i64,
    i64,
);

/// The account, and how its row of `ledger_balances` has it, without what only postings need.
fn read(row: Stored) -> Result<(Account, Standing), LedgerError> {
    let account = Account {
        id: AccountId::new(row.0),
        tenant: tenant(&row.1)?,
        code: row.2,
        asset: row.3,
        side: side(row.4)?,
        floor: Floor::from_limit(bytes::decode_floor(row.6.as_deref())?),
        history: row.5 & HISTORY != 0,
        for_clients: row.5 & FOR_CLIENTS != 0,
        frozen: row.5 & FROZEN != 0,
        closed: row.5 & CLOSED != 0,
        external_id: row.7,
        created_at: crate::ledger::timestamp(row.8)?,
    };
    let totals = totals([&row.9, &row.10, &row.11, &row.12])?;
    let standing = Standing { commit: row.13, totals, last_seq: row.14, ..Standing::default() };
    Ok((account, standing))
}

/// Inserts the account; `None` when there is one with this tenant, code and asset.
pub(crate) async fn insert_account(
    tx: &mut Tx,
    new: &NewAccount,
    now: i64,
) -> Result<Option<AccountId>, LedgerError> {
    let tenant = new.tenant.to_string();
    let book = "INSERT INTO ledger_books (tenant) VALUES ($1) ON CONFLICT (tenant) DO NOTHING";
    tx.execute(book, args![&tenant]).await?;
    let side: i64 = match new.side {
        Side::Debit => 0,
        Side::Credit => 1,
    };
    let sql = "INSERT INTO ledger_accounts (book, code, asset, side, external_id, created_at)
         SELECT key, $2, $3, $4, $5, $6 FROM ledger_books WHERE tenant = $1
         ON CONFLICT (book, code, asset) DO NOTHING RETURNING key";
    let values = args![&tenant, &new.code, &new.asset, side, new.external_id.clone(), now];
    let Some((key,)) = tx.fetch_optional::<(i64,)>(sql, values).await? else { return Ok(None) };
    let history = if new.history { HISTORY } else { 0 };
    let flags = history | if new.for_clients { FOR_CLIENTS } else { 0 };
    let floor = new.floor.limit().map(|floor| floor.to_be_bytes().to_vec());
    let sql = "INSERT INTO ledger_balances (account, flags, floor) VALUES ($1, $2, $3)";
    tx.execute(sql, args![key, flags, floor]).await?;
    Ok(Some(AccountId::new(key)))
}

macro_rules! select_accounts {
    ($from:literal, $condition:literal) => {
        concat!(
            "SELECT a.key, k.tenant, a.code, a.asset, CAST(a.side AS BIGINT),
                 CAST(b.flags AS BIGINT), b.floor, a.external_id, a.created_at, b.debits_posted,
                 b.credits_posted, b.debits_pending, b.credits_pending, b.commit_id, b.last_seq
             FROM ",
            $from,
            " ledger_accounts AS a
             JOIN ledger_books AS k ON k.key = a.book
             JOIN ledger_balances AS b ON b.account = a.key
             WHERE a.key ",
            $condition
        )
    };
}

/// The accounts with these numbers, in any order. Those that do not exist are left out.
pub(crate) async fn accounts(
    tx: &mut Tx,
    ids: &[AccountId],
) -> Result<Vec<(Account, Standing)>, LedgerError> {
    let rows: Vec<Stored> = match tx {
        Tx::Sqlite(tx) => {
            let numbers =
                serde_json::to_string(ids).map_err(|_| LedgerError::damaged("numbers"))?;
            let sql = select_accounts!("json_each($1) AS j CROSS JOIN", "= j.value");
            sqlx::query_as(sql).bind(numbers).fetch_all(&mut **tx).await?
        }
        Tx::Postgres(tx) => {
            let numbers: Vec<i64> = ids.iter().map(|id| id.get()).collect();
            let sql = select_accounts!("", "= ANY ($1)");
            sqlx::query_as(sql).bind(numbers).fetch_all(&mut **tx).await?
        }
    };
    rows.into_iter().map(read).collect()
}

fn ids(rows: Vec<(i64,)>) -> Vec<AccountId> {
    rows.into_iter().map(|(key,)| AccountId::new(key)).collect()
}

/// The account at this place in a tenant's chart.
pub(crate) async fn account_by_code(
    tx: &mut Tx,
    tenant: TenantId,
    code: &str,
    asset: &str,
) -> Result<Option<AccountId>, LedgerError> {
    let sql = "SELECT a.key FROM ledger_accounts AS a JOIN ledger_books AS k ON k.key = a.book
         WHERE k.tenant = $1 AND a.code = $2 AND a.asset = $3";
    let row: Option<(i64,)> = tx.fetch_optional(sql, args![tenant.get(), code, asset]).await?;
    Ok(row.map(|(key,)| AccountId::new(key)))
}

/// Up to `limit` of the tenant's accounts with this external id, after the account `after`.
pub(crate) async fn accounts_by_external_id(
    tx: &mut Tx,
    tenant: TenantId,
    external_id: &str,
    after: AccountId,
    limit: u32,
) -> Result<Vec<AccountId>, LedgerError> {
    let sql = "SELECT a.key FROM ledger_accounts AS a JOIN ledger_books AS k ON k.key = a.book
         WHERE k.tenant = $1 AND a.external_id = $2 AND a.key > $3 ORDER BY a.key LIMIT $4";
    Ok(ids(tx.fetch_all(sql, args![tenant.get(), external_id, after.get(), limit]).await?))
}

/// At one place of a chart.
const AT: &str = "SELECT key FROM ledger_accounts
     WHERE book = (SELECT key FROM ledger_books WHERE tenant = $1) AND code = $2 AND asset > $3
     ORDER BY asset LIMIT $4";
/// Between two places.
const BETWEEN: &str = "SELECT key FROM ledger_accounts
     WHERE book = (SELECT key FROM ledger_books WHERE tenant = $1)
         AND (code, asset) > ($2, $3) AND code < $4
     ORDER BY code, asset LIMIT $5";
/// From a place to the end.
const AFTER: &str = "SELECT key FROM ledger_accounts
     WHERE book = (SELECT key FROM ledger_books WHERE tenant = $1) AND (code, asset) > ($2, $3)
     ORDER BY code, asset LIMIT $4";

/// Up to `limit` accounts at `code` or below it, after `(after_code, after_asset)`. Each statement is a
/// range of the index, so a page costs the same wherever it is.
pub(crate) async fn accounts_under(
    tx: &mut Tx,
    tenant: TenantId,
    code: &str,
    after: (&str, &str),
    limit: u32,
) -> Result<Vec<AccountId>, LedgerError> {
    let tenant = tenant.get();
    if code.is_empty() {
        return Ok(ids(tx.fetch_all(AFTER, args![tenant, after.0, after.1, limit]).await?));
    }
    // Between these is every code that begins with `code:`, because `;` follows `:` in ASCII.
    let (low, high) = (format!("{code}:"), format!("{code};"));
    let mut found = Vec::new();
    if after.0 <= code {
        let asset = if after.0 == code { after.1 } else { "" };
        found = ids(tx.fetch_all(AT, args![tenant, code, asset, limit]).await?);
    }
    let rest = limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
    if rest > 0 {
        // No asset is empty: all at `low` come after this.
        let after = after.max((low.as_str(), ""));
        let values = args![tenant, after.0, after.1, high, rest];
        found.extend(ids(tx.fetch_all(BETWEEN, values).await?));
    }
    Ok(found)
}

/// Locks the account, sets the flags in `set` and clears those in `clear`; false when they were so already.
pub(crate) async fn change_flags(
    tx: &mut Tx,
    id: AccountId,
    set: i64,
    clear: i64,
) -> Result<bool, LedgerError> {
    super::lock_shared(tx).await?;
    let locked = super::lock_accounts(tx, &[id]).await?.pop();
    let (_, terms, _) = locked.ok_or(LedgerError::UnknownAccount)?;
    let flags = (terms.flags | set) & !clear;
    if flags == terms.flags {
        return Ok(false);
    }
    let sql = "UPDATE ledger_balances SET flags = $2 WHERE account = $1";
    tx.execute(sql, args![id.get(), flags]).await?;
    super::tail::note_terms(tx, id).await?;
    Ok(true)
}

/// Sets how far down the account may go.
pub(crate) async fn set_floor(tx: &mut Tx, id: AccountId, floor: Floor) -> Result<(), LedgerError> {
    super::lock_shared(tx).await?;
    let floor = floor.limit().map(|floor| floor.to_be_bytes().to_vec());
    let sql = "UPDATE ledger_balances SET floor = $2 WHERE account = $1";
    match tx.execute(sql, args![id.get(), floor]).await? {
        0 => Err(LedgerError::UnknownAccount),
        _ => super::tail::note_terms(tx, id).await,
    }
}

/// The velocity limits of the account.
pub(crate) async fn limits(tx: &mut Tx, id: AccountId) -> Result<Vec<VelocityLimit>, LedgerError> {
    let sql = "SELECT window_secs, count_max, sum_max FROM ledger_limits
         WHERE account = $1 ORDER BY window_secs";
    let rows: Vec<(i64, Option<i64>, Option<Vec<u8>>)> = tx.fetch_all(sql, args![id.get()]).await?;
    let number = |number| u32::try_from(number).map_err(|_| LedgerError::damaged("limit"));
    rows.into_iter()
        .map(|(window, count, sum)| {
            Ok(VelocityLimit {
                window_secs: number(window)?,
                count_max: count.map(number).transpose()?,
                sum_max: sum.as_deref().map(bytes::decode).transpose()?,
            })
        })
        .collect()
}

/// Sets the limit for its window.
pub(crate) async fn set_limit(
    tx: &mut Tx,
    id: AccountId,
    limit: &VelocityLimit,
) -> Result<(), LedgerError> {
    // The account first, as whoever removes a limit does: in another order each could wait for the other.
    change_flags(tx, id, LIMITED, 0).await?;
    let sql = "INSERT INTO ledger_limits (account, window_secs, count_max, sum_max)
         VALUES ($1, $2, $3, $4) ON CONFLICT (account, window_secs)
         DO UPDATE SET count_max = excluded.count_max, sum_max = excluded.sum_max";
    let sum = limit.sum_max.map(bytes::encode);
    tx.execute(sql, args![id.get(), limit.window_secs, limit.count_max, sum]).await?;
    Ok(())
}

/// Removes the limit for this window; the account of the last one is no longer limited.
pub(crate) async fn remove_limit(
    tx: &mut Tx,
    id: AccountId,
    window_secs: u32,
) -> Result<(), LedgerError> {
    super::lock_shared(tx).await?;
    // Who sets a limit meanwhile sets the flag after this, or has set it before: then the limit is seen.
    super::lock_accounts(tx, &[id]).await?;
    let sql = "DELETE FROM ledger_limits WHERE account = $1 AND window_secs = $2";
    tx.execute(sql, args![id.get(), window_secs]).await?;
    let sql =
        "UPDATE ledger_balances SET flags = flags & ~$2 WHERE account = $1 AND (flags & $2) <> 0
         AND NOT EXISTS (SELECT 1 FROM ledger_limits WHERE account = $1)";
    match tx.execute(sql, args![id.get(), LIMITED]).await? {
        0 => Ok(()),
        _ => super::tail::note_terms(tx, id).await,
    }
}

#[cfg(test)]
mod tests;
