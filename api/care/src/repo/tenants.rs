use api_ledger::TenantId;
use api_store::{Tx, args};
use jiff::civil::Date;
use uuid::Uuid;

use super::{day_number, day_of, json, parse, parsed};
use crate::{CareError, EarlyRules};

/// Every tenant that ever had a loan product, with the last day that was closed; others have no days
/// to close.
pub(crate) async fn with_loans(tx: &mut Tx) -> Result<Vec<(Uuid, Option<Date>)>, CareError> {
    let sql = "SELECT t.id, c.last_day FROM tenants t
        LEFT JOIN care_tenants c ON c.tenant_id = t.id
        WHERE EXISTS (SELECT 1 FROM loan_products p WHERE p.tenant_id = t.id) ORDER BY t.id";
    let rows: Vec<(String, Option<i64>)> = tx.fetch_all(sql, args![]).await?;
    let read = |(tenant, last_day): (String, Option<i64>)| {
        Ok((parse("a tenant's id", &tenant)?, last_day.map(day_of).transpose()?))
    };
    rows.into_iter().map(read).collect()
}

/// Notes the last closed day, which never goes back.
pub(crate) async fn set_last_day(
    tx: &mut Tx,
    tenant: TenantId,
    day: Date,
) -> Result<(), CareError> {
    let sql = "INSERT INTO care_tenants (tenant_id, last_day) VALUES ($1, $2)
        ON CONFLICT (tenant_id) DO UPDATE SET last_day = excluded.last_day
        WHERE care_tenants.last_day IS NULL OR care_tenants.last_day < excluded.last_day";
    tx.execute(sql, args![tenant.get(), day_number(day)?]).await?;
    Ok(())
}

pub(crate) async fn rules(tx: &mut Tx, tenant: TenantId) -> Result<Option<EarlyRules>, CareError> {
    let sql = "SELECT rules FROM care_tenants WHERE tenant_id = $1";
    let row: Option<(Option<String>,)> = tx.fetch_optional(sql, args![tenant.get()]).await?;
    row.and_then(|(rules,)| rules).map(|rules| parsed(&rules)).transpose()
}

pub(crate) async fn set_rules(
    tx: &mut Tx,
    tenant: TenantId,
    rules: &EarlyRules,
) -> Result<(), CareError> {
    let sql = "INSERT INTO care_tenants (tenant_id, rules) VALUES ($1, $2)
        ON CONFLICT (tenant_id) DO UPDATE SET rules = excluded.rules";
    tx.execute(sql, args![tenant.get(), json(rules)?]).await?;
    Ok(())
}
