use api_ledger::TenantId;
use api_store::{Tx, args};

use super::uuid;
use crate::service::ServiceError;

/// The business date that was set for the tenant, as a day number.
pub(crate) async fn business_date(
    tx: &mut Tx,
    tenant: TenantId,
) -> Result<Option<i64>, ServiceError> {
    let sql = "SELECT day FROM loan_dates WHERE tenant_id = $1";
    let row: Option<(i64,)> = tx.fetch_optional(sql, args![tenant.get()]).await?;
    Ok(row.map(|(day,)| day))
}

/// Sets it; false when a later one is set.
pub(crate) async fn set_business_date(
    tx: &mut Tx,
    tenant: TenantId,
    day: i64,
    now: i64,
) -> Result<bool, ServiceError> {
    let sql = "INSERT INTO loan_dates (tenant_id, day, set_at) VALUES ($1, $2, $3)
        ON CONFLICT (tenant_id) DO UPDATE SET day = excluded.day, set_at = excluded.set_at
        WHERE excluded.day >= loan_dates.day";
    Ok(tx.execute(sql, args![tenant.get(), day, now]).await? == 1)
}

/// Forgets it, so that the calendar tells the day; false when none was set.
pub(crate) async fn clear_business_date(
    tx: &mut Tx,
    tenant: TenantId,
) -> Result<bool, ServiceError> {
    let sql = "DELETE FROM loan_dates WHERE tenant_id = $1";
    Ok(tx.execute(sql, args![tenant.get()]).await? == 1)
}

/// Every tenant with a business date of its own.
pub(crate) async fn business_dates(tx: &mut Tx) -> Result<Vec<(TenantId, i64)>, ServiceError> {
    let sql = "SELECT tenant_id, day FROM loan_dates ORDER BY tenant_id";
    let rows: Vec<(String, i64)> = tx.fetch_all(sql, args![]).await?;
    rows.iter().map(|(tenant, day)| Ok((TenantId::new(uuid(tenant)?), *day))).collect()
}

/// The last day up to which a loan of the tenant is posted.
pub(crate) async fn posted_through(
    tx: &mut Tx,
    tenant: TenantId,
) -> Result<Option<i64>, ServiceError> {
    let sql = "SELECT MAX(posted_on) FROM loans WHERE tenant_id = $1";
    let (day,): (Option<i64>,) = tx.fetch_one(sql, args![tenant.get()]).await?;
    Ok(day)
}
