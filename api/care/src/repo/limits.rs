use api_ledger::TenantId;
use api_loans::Money;
use api_store::{Tx, args};
use uuid::Uuid;

use super::parse;
use crate::CareError;

pub(crate) async fn put(
    tx: &mut Tx,
    tenant: TenantId,
    customer: Uuid,
    currency: &str,
    amount: Money,
    now: i64,
) -> Result<(), CareError> {
    let sql =
        "INSERT INTO care_credit_limits (tenant_id, customer_id, currency, amount, updated_at)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (tenant_id, customer_id, currency) DO UPDATE
        SET amount = excluded.amount, updated_at = excluded.updated_at";
    let values = args![tenant.get(), customer, currency, amount.to_string(), now];
    tx.execute(sql, values).await?;
    Ok(())
}

pub(crate) async fn delete(
    tx: &mut Tx,
    tenant: TenantId,
    customer: Uuid,
    currency: &str,
) -> Result<(), CareError> {
    let sql = "DELETE FROM care_credit_limits
        WHERE tenant_id = $1 AND customer_id = $2 AND currency = $3";
    tx.execute(sql, args![tenant.get(), customer, currency]).await?;
    Ok(())
}

/// A customer's limits, by currency.
pub(crate) async fn all(
    tx: &mut Tx,
    tenant: TenantId,
    customer: Uuid,
) -> Result<Vec<(String, Money)>, CareError> {
    let sql = "SELECT currency, amount FROM care_credit_limits
        WHERE tenant_id = $1 AND customer_id = $2 ORDER BY currency";
    let rows: Vec<(String, String)> = tx.fetch_all(sql, args![tenant.get(), customer]).await?;
    let read = |(currency, amount): (String, String)| Ok((currency, parse("a limit", &amount)?));
    rows.into_iter().map(read).collect()
}
