//! The end of the day.

use std::collections::BTreeMap;

use api_ledger::{TenantId, TransferId};
use api_store::{StoreError, Tx, args};
use uuid::Uuid;

use super::{EventRow, damaged, json, parsed, uuid};
use crate::loan::{Books, Event};
use crate::service::{Accounts, ServiceError};
use crate::terms::Contract;

pub(crate) async fn closed_through(
    tx: &mut Tx,
    tenant: TenantId,
) -> Result<Option<i64>, ServiceError> {
    let sql = "SELECT closed_through FROM loan_closings WHERE tenant_id = $1";
    let row: Option<(i64,)> = tx.fetch_optional(sql, args![tenant.get()]).await?;
    Ok(row.map(|(day,)| day))
}

pub(crate) async fn close_through(
    tx: &mut Tx,
    tenant: TenantId,
    day: i64,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO loan_closings (tenant_id, closed_through) VALUES ($1, $2)
        ON CONFLICT (tenant_id) DO UPDATE SET closed_through = excluded.closed_through
        WHERE excluded.closed_through > loan_closings.closed_through";
    tx.execute(sql, args![tenant.get(), day]).await.map(drop)
}

/// A running loan of any tenant, locked for the end of the day.
#[derive(sqlx::FromRow)]
pub(crate) struct DueRow {
    pub(crate) id: String,
    pub(crate) tenant_id: String,
    contract: String,
    accounts: String,
    posted: String,
}

/// What the end of the day needs of a loan.
pub(crate) struct DueLoan {
    pub(crate) id: String,
    pub(crate) tenant: TenantId,
    pub(crate) contract: Contract,
    pub(crate) accounts: Accounts,
    pub(crate) posted: Books,
}

/// Locks up to `limit` running loans after `after` that are not posted up to `day`: of one tenant, or
/// of all that follow the calendar.
pub(crate) async fn lock_due(
    tx: &mut Tx,
    tenant: Option<TenantId>,
    day: i64,
    after: &str,
    limit: u32,
) -> Result<Vec<DueLoan>, ServiceError> {
    const PLAIN: &str = "SELECT id, tenant_id, contract, accounts, posted FROM loans
        WHERE running AND posted_on < $1 AND id > $2
            AND tenant_id NOT IN (SELECT tenant_id FROM loan_dates) ORDER BY id LIMIT $3";
    const LOCKING: &str = "SELECT id, tenant_id, contract, accounts, posted FROM loans
        WHERE running AND posted_on < $1 AND id > $2
            AND tenant_id NOT IN (SELECT tenant_id FROM loan_dates) ORDER BY id LIMIT $3
        FOR UPDATE SKIP LOCKED";
    const PLAIN_OF: &str = "SELECT id, tenant_id, contract, accounts, posted FROM loans
        WHERE running AND posted_on < $1 AND id > $2 AND tenant_id = $4 ORDER BY id LIMIT $3";
    const LOCKING_OF: &str = "SELECT id, tenant_id, contract, accounts, posted FROM loans
        WHERE running AND posted_on < $1 AND id > $2 AND tenant_id = $4 ORDER BY id LIMIT $3
        FOR UPDATE SKIP LOCKED";
    let sql = match (&*tx, tenant) {
        (Tx::Sqlite(_), None) => PLAIN,
        (Tx::Postgres(_), None) => LOCKING,
        (Tx::Sqlite(_), Some(_)) => PLAIN_OF,
        (Tx::Postgres(_), Some(_)) => LOCKING_OF,
    };
    let mut values = args![day, after, limit];
    values.extend(tenant.map(|tenant| tenant.get().into()));
    let rows: Vec<DueRow> = tx.fetch_all(sql, values).await?;
    let due = |row: DueRow| -> Result<DueLoan, ServiceError> {
        Ok(DueLoan {
            tenant: TenantId::new(uuid(&row.tenant_id)?),
            contract: parsed(&row.contract)?,
            accounts: parsed(&row.accounts)?,
            posted: parsed(&row.posted)?,
            id: row.id,
        })
    };
    rows.into_iter().map(due).collect()
}

/// The events of the running loans with ids from `first` to `last`, by loan: of one tenant, or of
/// all.
pub(crate) async fn events_between(
    tx: &mut Tx,
    tenant: Option<TenantId>,
    first: &str,
    last: &str,
) -> Result<BTreeMap<String, Vec<Event>>, ServiceError> {
    let sql = "SELECT e.loan_id, e.seq, e.id, e.effective_on, e.body, e.cash_account
        FROM loan_events e JOIN loans l ON l.id = e.loan_id
        WHERE l.running AND e.loan_id >= $1 AND e.loan_id <= $2
            AND ($3 = '' OR e.tenant_id = $3)";
    let tenant = tenant.map_or_else(String::new, |tenant| tenant.get().to_string());
    let rows: Vec<EventRow> = tx.fetch_all(sql, args![first, last, tenant]).await?;
    let mut events: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    for row in rows {
        let event = row.event()?;
        events.entry(row.loan_id).or_default().push(event);
    }
    Ok(events)
}

/// The tenant's running loans: up to `limit` ids after `after`.
pub(crate) async fn running_loans(
    tx: &mut Tx,
    tenant: TenantId,
    after: Option<Uuid>,
    limit: u32,
) -> Result<Vec<Uuid>, ServiceError> {
    let sql = "SELECT id FROM loans WHERE running AND tenant_id = $1 AND id > $2
        ORDER BY id LIMIT $3";
    let after = after.map_or_else(String::new, |id| id.to_string());
    let rows: Vec<(String,)> = tx.fetch_all(sql, args![tenant.get(), after, limit]).await?;
    rows.iter().map(|(id,)| uuid(id)).collect()
}

/// The oldest day up to which a running loan of the tenant is posted.
pub(crate) async fn oldest_day(tx: &mut Tx, tenant: TenantId) -> Result<Option<i64>, ServiceError> {
    let sql = "SELECT MIN(posted_on) FROM loans WHERE running AND tenant_id = $1";
    let row: (Option<i64>,) = tx.fetch_one(sql, args![tenant.get()]).await?;
    Ok(row.0)
}

/// What the end of the day changes in a loan.
#[derive(serde::Serialize)]
pub(crate) struct DayUpdate {
    pub(crate) id: String,
    /// The totals as a text of JSON, as it is stored.
    pub(crate) posted: String,
    pub(crate) running: bool,
}

/// Notes that these loans are posted up to `day`.
pub(crate) async fn update_days(
    tx: &mut Tx,
    day: i64,
    updates: &[DayUpdate],
) -> Result<(), ServiceError> {
    const SQLITE: &str = "UPDATE loans SET posted = u.value ->> 'posted',
            running = u.value ->> 'running', posted_on = $1
        FROM json_each($2) AS u WHERE loans.id = u.value ->> 'id'";
    const POSTGRES: &str = "UPDATE loans SET posted = u.posted, running = u.running,
            posted_on = $1
        FROM json_to_recordset($2::json) AS u (id TEXT, posted TEXT, running BOOLEAN)
        WHERE loans.id = u.id";
    let sql = match tx {
        Tx::Sqlite(_) => SQLITE,
        Tx::Postgres(_) => POSTGRES,
    };
    let changed = tx.execute(sql, args![day, json(&updates)?]).await?;
    if usize::try_from(changed).is_ok_and(|changed| changed == updates.len()) {
        return Ok(());
    }
    Err(damaged("a locked loan is gone"))
}

/// What an end of day posted for one set of books.
pub(crate) struct DayRecord<'a> {
    pub(crate) transfer: TransferId,
    pub(crate) tenant: TenantId,
    pub(crate) day: i64,
    pub(crate) first: &'a str,
    pub(crate) last: &'a str,
    pub(crate) loans: i64,
}

pub(crate) async fn insert_day(
    tx: &mut Tx,
    record: &DayRecord<'_>,
    now: i64,
) -> Result<(), ServiceError> {
    let sql = "INSERT INTO loan_days (transfer_id, tenant_id, day, first_loan, last_loan, loans,
            recorded_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let values = args![
        record.transfer.get(),
        record.tenant.get(),
        record.day,
        record.first,
        record.last,
        record.loans,
        now,
    ];
    tx.execute(sql, values).await?;
    Ok(())
}
