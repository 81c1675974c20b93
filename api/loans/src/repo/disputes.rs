use api_ledger::TenantId;
use api_store::{Tx, args};
use uuid::Uuid;

use super::uuid;
use crate::service::{Dispute, DisputeOutcome, DisputeState, ServiceError, day_number, day_of};

pub(crate) async fn insert_dispute(
    tx: &mut Tx,
    tenant: TenantId,
    dispute: &Dispute,
) -> Result<(), ServiceError> {
    let sql = "INSERT INTO loan_disputes (id, tenant_id, loan_id, event_id, statement, opened_on,
            state)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let values = args![
        dispute.id,
        tenant.get(),
        dispute.loan,
        dispute.event,
        &dispute.statement,
        day_number(dispute.opened_on),
        dispute.state.name(),
    ];
    tx.execute(sql, values).await?;
    Ok(())
}

/// Stores where a locked dispute stands.
pub(crate) async fn update_dispute(
    tx: &mut Tx,
    tenant: TenantId,
    dispute: &Dispute,
) -> Result<(), ServiceError> {
    let sql = "UPDATE loan_disputes SET state = $3, answer = $4, answered_on = $5, outcome = $6,
            note = $7, correction_id = $8, resolved_on = $9
        WHERE tenant_id = $1 AND id = $2";
    let values = args![
        tenant.get(),
        dispute.id,
        dispute.state.name(),
        dispute.answer.clone(),
        dispute.answered_on.map(day_number),
        dispute.outcome.map(DisputeOutcome::name),
        dispute.note.clone(),
        dispute.correction,
        dispute.resolved_on.map(day_number),
    ];
    tx.execute(sql, values).await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct DisputeRow {
    id: String,
    loan_id: String,
    event_id: Option<String>,
    statement: String,
    opened_on: i64,
    state: String,
    answer: Option<String>,
    answered_on: Option<i64>,
    outcome: Option<String>,
    note: Option<String>,
    correction_id: Option<String>,
    resolved_on: Option<i64>,
}

impl DisputeRow {
    fn dispute(self) -> Result<Dispute, ServiceError> {
        let damaged = || super::damaged("a dispute's state is unknown");
        let outcome = self.outcome.as_deref().map(DisputeOutcome::from_name);
        Ok(Dispute {
            id: uuid(&self.id)?,
            loan: uuid(&self.loan_id)?,
            event: self.event_id.as_deref().map(uuid).transpose()?,
            statement: self.statement,
            opened_on: day_of(self.opened_on)?,
            state: DisputeState::from_name(&self.state).ok_or_else(damaged)?,
            answer: self.answer,
            answered_on: self.answered_on.map(day_of).transpose()?,
            outcome: outcome.map(|outcome| outcome.ok_or_else(damaged)).transpose()?,
            note: self.note,
            correction: self.correction_id.as_deref().map(uuid).transpose()?,
            resolved_on: self.resolved_on.map(day_of).transpose()?,
        })
    }
}

pub(crate) async fn lock_dispute(
    tx: &mut Tx,
    tenant: TenantId,
    id: Uuid,
) -> Result<Option<Dispute>, ServiceError> {
    let sql = "SELECT id, loan_id, event_id, statement, opened_on, state, answer, answered_on,
            outcome, note, correction_id, resolved_on
        FROM loan_disputes WHERE tenant_id = $1 AND id = $2";
    let row: Option<DisputeRow> = tx.lock_optional(sql, args![tenant.get(), id]).await?;
    row.map(DisputeRow::dispute).transpose()
}

pub(crate) async fn disputes(
    tx: &mut Tx,
    tenant: TenantId,
    loan: Uuid,
) -> Result<Vec<Dispute>, ServiceError> {
    let sql = "SELECT id, loan_id, event_id, statement, opened_on, state, answer, answered_on,
            outcome, note, correction_id, resolved_on
        FROM loan_disputes WHERE tenant_id = $1 AND loan_id = $2 ORDER BY id";
    let rows: Vec<DisputeRow> = tx.fetch_all(sql, args![tenant.get(), loan]).await?;
    rows.into_iter().map(DisputeRow::dispute).collect()
}

pub(crate) async fn is_disputed(
    tx: &mut Tx,
    tenant: TenantId,
    loan: Uuid,
) -> Result<bool, ServiceError> {
    let sql = "SELECT COUNT(*) FROM loan_disputes
        WHERE tenant_id = $1 AND loan_id = $2 AND state <> 'resolved'";
    let (count,): (i64,) = tx.fetch_one(sql, args![tenant.get(), loan]).await?;
    Ok(count > 0)
}
