use api_store::{Tx, args};

use super::{side, tenant};
use crate::account::{CLOSED, FOR_CLIENTS, FROZEN, HISTORY, LIMITED};
use crate::{
    Account, AccountId, Balance, Floor, LedgerError, NewAccount, Side, TenantId, Totals,
    VelocityLimit, bytes,
};

/// account, tenant, code, asset, side, flags, floor, external_id, created_at, four totals.
type AccountRow = (
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
);

fn read(row: AccountRow) -> Result<(Account, Balance), LedgerError> {
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
    let totals = Totals {
        debits_posted: bytes::decode(&row.9)?,
        credits_posted: bytes::decode(&row.10)?,
        debits_pending: bytes::decode(&row.11)?,
        credits_pending: bytes::decode(&row.12)?,
    };
    let balance = Balance { side: account.side, totals };
    Ok((account, balance))
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

macro_rules! select_account {
    ($condition:literal) => {
        concat!(
            "SELECT a.key, k.tenant, a.code, a.asset, CAST(a.side AS BIGINT),
                 CAST(b.flags AS BIGINT), b.floor, a.external_id, a.created_at, b.debits_posted,
                 b.credits_posted, b.debits_pending, b.credits_pending
             FROM ledger_accounts AS a
             JOIN ledger_books AS k ON k.key = a.book
             JOIN ledger_balances AS b ON b.account = a.key WHERE ",
            $condition
        )
    };
}

/// The account with this number.
pub(crate) async fn account(
    tx: &mut Tx,
    id: AccountId,
) -> Result<Option<(Account, Balance)>, LedgerError> {
    let row = tx.fetch_optional(select_account!("a.key = $1"), args![id.get()]).await?;
    row.map(read).transpose()
}

/// The account at this place in a tenant's chart.
pub(crate) async fn account_by_code(
    tx: &mut Tx,
    tenant: TenantId,
    code: &str,
    asset: &str,
) -> Result<Option<(Account, Balance)>, LedgerError> {
    let sql = select_account!("k.tenant = $1 AND a.code = $2 AND a.asset = $3");
    let row = tx.fetch_optional(sql, args![tenant.get(), code, asset]).await?;
    row.map(read).transpose()
}

/// Up to `limit` of the tenant's accounts with this external id.
pub(crate) async fn accounts_by_external_id(
    tx: &mut Tx,
    tenant: TenantId,
    external_id: &str,
    limit: u32,
) -> Result<Vec<(Account, Balance)>, LedgerError> {
    let sql = select_account!("k.tenant = $1 AND a.external_id = $2 ORDER BY a.key LIMIT $3");
    let rows: Vec<AccountRow> = tx.fetch_all(sql, args![tenant.get(), external_id, limit]).await?;
    rows.into_iter().map(read).collect()
}

/// Up to `limit` accounts at `code` or below it, after `(after_code, after_asset)`.
pub(crate) async fn accounts_under(
    tx: &mut Tx,
    tenant: TenantId,
    code: &str,
    after: (&str, &str),
    limit: u32,
) -> Result<Vec<(Account, Balance)>, LedgerError> {
    // `;` follows `:` in ASCII, so this range is every code that begins with `code:`.
    let (low, high) = (format!("{code}:"), format!("{code};"));
    let sql = select_account!(
        "k.tenant = $1 AND ($2 = '' OR a.code = $2 OR (a.code >= $3 AND a.code < $4))
         AND (a.code > $5 OR (a.code = $5 AND a.asset > $6))
         ORDER BY a.code, a.asset LIMIT $7"
    );
    let values = args![tenant.get(), code, low, high, after.0, after.1, limit];
    let rows: Vec<AccountRow> = tx.fetch_all(sql, values).await?;
    rows.into_iter().map(read).collect()
}

/// Sets the flags in `set` and clears those in `clear`.
pub(crate) async fn set_flags(
    tx: &mut Tx,
    id: AccountId,
    set: i64,
    clear: i64,
) -> Result<(), LedgerError> {
    let sql = "UPDATE ledger_balances SET flags = (flags | $2) & ~$3 WHERE account = $1";
    match tx.execute(sql, args![id.get(), set, clear]).await? {
        0 => Err(LedgerError::UnknownAccount),
        _ => Ok(()),
    }
}

/// Sets how far down the account may go.
pub(crate) async fn set_floor(tx: &mut Tx, id: AccountId, floor: Floor) -> Result<(), LedgerError> {
    let floor = floor.limit().map(|floor| floor.to_be_bytes().to_vec());
    let sql = "UPDATE ledger_balances SET floor = $2 WHERE account = $1";
    match tx.execute(sql, args![id.get(), floor]).await? {
        0 => Err(LedgerError::UnknownAccount),
        _ => Ok(()),
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
    let sql = "INSERT INTO ledger_limits (account, window_secs, count_max, sum_max)
         VALUES ($1, $2, $3, $4) ON CONFLICT (account, window_secs)
         DO UPDATE SET count_max = excluded.count_max, sum_max = excluded.sum_max";
    let sum = limit.sum_max.map(bytes::encode);
    tx.execute(sql, args![id.get(), limit.window_secs, limit.count_max, sum]).await?;
    set_flags(tx, id, LIMITED, 0).await
}

/// Removes the limit for this window.
pub(crate) async fn remove_limit(
    tx: &mut Tx,
    id: AccountId,
    window_secs: u32,
) -> Result<(), LedgerError> {
    let sql = "DELETE FROM ledger_limits WHERE account = $1 AND window_secs = $2";
    tx.execute(sql, args![id.get(), window_secs]).await?;
    Ok(())
}
