use api_ledger::TenantId;
use api_store::{Tx, args};
use uuid::Uuid;

use super::{moment, parse};
use crate::{CareError, Letter};

/// Puts a letter in; once, by its id.
pub(crate) async fn insert(
    tx: &mut Tx,
    tenant: TenantId,
    customer: Uuid,
    letter: &Letter,
) -> Result<(), CareError> {
    let sql = "INSERT INTO care_inbox (id, tenant_id, customer_id, kind, loan_id, subject, body,
            created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";
    let values = args![
        letter.id,
        tenant.get(),
        customer,
        &letter.kind,
        letter.loan,
        &letter.subject,
        &letter.body,
        letter.created_at.as_millisecond(),
    ];
    tx.execute(sql, values).await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    kind: String,
    loan_id: Option<String>,
    subject: String,
    body: String,
    created_at: i64,
    read_at: Option<i64>,
}

impl Row {
    fn letter(self) -> Result<Letter, CareError> {
        Ok(Letter {
            id: parse("a letter's id", &self.id)?,
            kind: self.kind,
            loan: self.loan_id.map(|id| parse("a loan's id", &id)).transpose()?,
            subject: self.subject,
            body: self.body,
            created_at: moment(self.created_at)?,
            read_at: self.read_at.map(moment).transpose()?,
        })
    }
}

pub(crate) async fn page(
    tx: &mut Tx,
    tenant: TenantId,
    customer: Uuid,
    before: Option<Uuid>,
    limit: u32,
) -> Result<Vec<Letter>, CareError> {
    let sql = "SELECT id, kind, loan_id, subject, body, created_at, read_at FROM care_inbox
        WHERE tenant_id = $1 AND customer_id = $2 AND ($3 = '' OR id < $3)
        ORDER BY id DESC LIMIT $4";
    let before = before.map_or_else(String::new, |id| id.to_string());
    let rows: Vec<Row> = tx.fetch_all(sql, args![tenant.get(), customer, before, limit]).await?;
    rows.into_iter().map(Row::letter).collect()
}

/// Notes when a letter was first read; false when there is none.
pub(crate) async fn mark_read(
    tx: &mut Tx,
    tenant: TenantId,
    customer: Uuid,
    id: Uuid,
    now: i64,
) -> Result<bool, CareError> {
    let sql = "UPDATE care_inbox SET read_at = COALESCE(read_at, $4)
        WHERE tenant_id = $1 AND customer_id = $2 AND id = $3";
    Ok(tx.execute(sql, args![tenant.get(), customer, id, now]).await? == 1)
}
