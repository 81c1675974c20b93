use api_ledger::TenantId;
use api_store::{Tx, args};
use jiff::Timestamp;
use uuid::Uuid;

use super::{damaged, uuid};
use crate::service::{Consent, ServiceError};

pub(crate) async fn insert_consent(
    tx: &mut Tx,
    tenant: TenantId,
    loan: Uuid,
    consent: &Consent,
) -> Result<(), ServiceError> {
    let sql = "INSERT INTO loan_consents (loan_id, event_id, tenant_id, preview, signature,
            borrower_key, accepted_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let values = args![
        loan,
        consent.event,
        tenant.get(),
        &consent.preview,
        consent.signature.clone(),
        consent.borrower_key.clone(),
        consent.accepted_at.as_microsecond(),
    ];
    tx.execute(sql, values).await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct ConsentRow {
    event_id: String,
    preview: String,
    signature: Option<Vec<u8>>,
    borrower_key: Option<Vec<u8>>,
    accepted_at: i64,
}

pub(crate) async fn consents(
    tx: &mut Tx,
    tenant: TenantId,
    loan: Uuid,
) -> Result<Vec<Consent>, ServiceError> {
    let sql = "SELECT event_id, preview, signature, borrower_key, accepted_at FROM loan_consents
        WHERE tenant_id = $1 AND loan_id = $2 ORDER BY accepted_at, event_id";
    let rows: Vec<ConsentRow> = tx.fetch_all(sql, args![tenant.get(), loan]).await?;
    let consent = |row: ConsentRow| -> Result<Consent, ServiceError> {
        Ok(Consent {
            event: uuid(&row.event_id)?,
            preview: row.preview,
            signature: row.signature,
            borrower_key: row.borrower_key,
            accepted_at: Timestamp::from_microsecond(row.accepted_at)
                .map_err(|_| damaged("a time is out of range"))?,
        })
    };
    rows.into_iter().map(consent).collect()
}
