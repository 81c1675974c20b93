use api_ledger::TenantId;
use api_store::{Tx, args};
use jiff::civil::Date;
use uuid::Uuid;

use super::{day_number, day_of, json, moment, parse, parsed};
use crate::CareError;
use crate::early::StoredOffer;

pub(crate) async fn insert(
    tx: &mut Tx,
    tenant: TenantId,
    offer: &StoredOffer,
) -> Result<bool, CareError> {
    let sql = "INSERT INTO care_offers (id, tenant_id, customer_id, loan_id, head, warnings,
            affordable, change, preview_hash, effective_on, expires_on, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING";
    let values = args![
        offer.id,
        tenant.get(),
        offer.customer,
        offer.loan,
        i64::try_from(offer.head).map_err(|_| CareError::Damaged("an event's number"))?,
        json(&offer.warnings)?,
        json(&offer.affordable)?,
        offer.change.as_ref().map(json).transpose()?,
        offer.preview.clone(),
        day_number(offer.effective)?,
        day_number(offer.expires_on)?,
        offer.created_at.as_millisecond(),
    ];
    Ok(tx.execute(sql, values).await? == 1)
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    customer_id: String,
    loan_id: String,
    head: i64,
    warnings: String,
    affordable: String,
    change: Option<String>,
    preview_hash: Option<String>,
    effective_on: i64,
    expires_on: i64,
    created_at: i64,
}

impl Row {
    fn offer(self) -> Result<StoredOffer, CareError> {
        Ok(StoredOffer {
            id: parse("an offer's id", &self.id)?,
            customer: parse("a customer's id", &self.customer_id)?,
            loan: parse("a loan's id", &self.loan_id)?,
            head: u64::try_from(self.head).map_err(|_| CareError::Damaged("an event's number"))?,
            warnings: parsed(&self.warnings)?,
            affordable: parsed(&self.affordable)?,
            change: self.change.map(|change| parsed(&change)).transpose()?,
            preview: self.preview_hash,
            effective: day_of(self.effective_on)?,
            expires_on: day_of(self.expires_on)?,
            created_at: moment(self.created_at)?,
        })
    }
}

/// True when an offer for the loan as it stands at `head` is open on `day`.
pub(crate) async fn is_open(
    tx: &mut Tx,
    tenant: TenantId,
    loan: Uuid,
    head: u64,
    day: Date,
) -> Result<bool, CareError> {
    let sql = "SELECT id FROM care_offers
        WHERE tenant_id = $1 AND loan_id = $2 AND head = $3 AND expires_on >= $4 LIMIT 1";
    let head = i64::try_from(head).map_err(|_| CareError::Damaged("an event's number"))?;
    let values = args![tenant.get(), loan, head, day_number(day)?];
    let row: Option<(String,)> = tx.fetch_optional(sql, values).await?;
    Ok(row.is_some())
}

/// A customer's offers, the newest first.
pub(crate) async fn of_customer(
    tx: &mut Tx,
    tenant: TenantId,
    customer: Uuid,
    before: Option<Uuid>,
    limit: u32,
) -> Result<Vec<StoredOffer>, CareError> {
    let sql = "SELECT id, customer_id, loan_id, head, warnings, affordable, change, preview_hash,
            effective_on, expires_on, created_at
        FROM care_offers WHERE tenant_id = $1 AND customer_id = $2 AND ($3 = '' OR id < $3)
        ORDER BY id DESC LIMIT $4";
    let before = before.map_or_else(String::new, |id| id.to_string());
    let rows: Vec<Row> = tx.fetch_all(sql, args![tenant.get(), customer, before, limit]).await?;
    rows.into_iter().map(Row::offer).collect()
}
