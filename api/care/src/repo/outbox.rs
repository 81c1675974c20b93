use api_ledger::TenantId;
use api_loans::reminders::Channel;
use api_store::{Tx, args};
use uuid::Uuid;

use super::{moment, parse};
use crate::CareError;
use crate::outbox::{Queued, SendState, Sent};

pub(crate) async fn insert(tx: &mut Tx, row: &Queued, now: i64) -> Result<(), CareError> {
    let sql = "INSERT INTO care_outbox (id, tenant_id, customer_id, loan_id, channel, state,
            attempts, next_at, decided_at)
        VALUES ($1, $2, $3, $4, $5, 'queued', 0, $6, $6)";
    let values = args![row.id, row.tenant.get(), row.customer, row.loan, row.channel.text(), now];
    tx.execute(sql, values).await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    tenant_id: String,
    customer_id: String,
    loan_id: String,
    channel: String,
    state: String,
    attempts: i64,
}

impl Row {
    fn queued(self) -> Result<Queued, CareError> {
        Ok(Queued {
            id: parse("a message's id", &self.id)?,
            tenant: TenantId::new(parse("a tenant's id", &self.tenant_id)?),
            customer: parse("a customer's id", &self.customer_id)?,
            loan: parse("a loan's id", &self.loan_id)?,
            channel: Channel::named(&self.channel).ok_or(CareError::Damaged("a channel"))?,
            state: SendState::named(&self.state).ok_or(CareError::Damaged("a state"))?,
            attempts: self.attempts,
        })
    }
}

/// The messages whose time has come: those to be sent, and those whose sender has died.
pub(crate) async fn due(tx: &mut Tx, now: i64, limit: u32) -> Result<Vec<Queued>, CareError> {
    let sql = "SELECT id, tenant_id, customer_id, loan_id, channel, state, attempts
        FROM care_outbox WHERE state IN ('queued', 'sending') AND next_at <= $1
        ORDER BY next_at LIMIT $2";
    let rows: Vec<Row> = tx.fetch_all(sql, args![now, limit]).await?;
    rows.into_iter().map(Row::queued).collect()
}

/// A message, locked until the end of the transaction.
pub(crate) async fn lock(tx: &mut Tx, id: Uuid) -> Result<Option<Queued>, CareError> {
    let sql = "SELECT id, tenant_id, customer_id, loan_id, channel, state, attempts
        FROM care_outbox WHERE id = $1";
    let row: Option<Row> = tx.lock_optional(sql, args![id]).await?;
    row.map(Row::queued).transpose()
}

/// Whose message this is, whatever the tenant: for the link in it.
pub(crate) async fn owner(tx: &mut Tx, id: Uuid) -> Result<Option<(TenantId, Uuid)>, CareError> {
    let sql = "SELECT tenant_id, customer_id FROM care_outbox WHERE id = $1";
    let row: Option<(String, String)> = tx.fetch_optional(sql, args![id]).await?;
    let read = |(tenant, customer): (String, String)| {
        let tenant = TenantId::new(parse("a tenant's id", &tenant)?);
        Ok((tenant, parse("a customer's id", &customer)?))
    };
    row.map(read).transpose()
}

/// Moves a message from one state to another; false when it was not in `from`.
pub(crate) async fn step(
    tx: &mut Tx,
    id: Uuid,
    (from, to): (SendState, SendState),
    attempts: i64,
    next_at: i64,
    error: Option<&str>,
) -> Result<bool, CareError> {
    let sql = "UPDATE care_outbox SET state = $3, attempts = $4, next_at = $5, last_error = $6
        WHERE id = $1 AND state = $2";
    let error = error.map(str::to_owned);
    let values = args![id, from.text(), to.text(), attempts, next_at, error];
    Ok(tx.execute(sql, values).await? == 1)
}

/// Notes when the other side took it over.
pub(crate) async fn note_sent(tx: &mut Tx, id: Uuid, now: i64) -> Result<(), CareError> {
    tx.execute("UPDATE care_outbox SET sent_at = $2 WHERE id = $1", args![id, now]).await?;
    Ok(())
}

type SentRow = (String, String, String, i64, Option<i64>, Option<String>);

fn read_sent(row: SentRow) -> Result<Sent, CareError> {
    let (id, channel, state, attempts, sent_at, last_error) = row;
    Ok(Sent {
        id: parse("a message's id", &id)?,
        channel: Channel::named(&channel).ok_or(CareError::Damaged("a channel"))?,
        state: SendState::named(&state).ok_or(CareError::Damaged("a state"))?,
        attempts,
        sent_at: sent_at.map(moment).transpose()?,
        last_error,
    })
}

/// What became of a decision's message.
pub(crate) async fn sent(
    tx: &mut Tx,
    tenant: TenantId,
    id: Uuid,
) -> Result<Option<Sent>, CareError> {
    let sql = "SELECT id, channel, state, attempts, sent_at, last_error FROM care_outbox
        WHERE tenant_id = $1 AND id = $2";
    let row: Option<SentRow> = tx.fetch_optional(sql, args![tenant.get(), id]).await?;
    row.map(read_sent).transpose()
}

/// The messages that were given up, the newest first.
pub(crate) async fn dead(
    tx: &mut Tx,
    tenant: TenantId,
    before: Option<Uuid>,
    limit: u32,
) -> Result<Vec<Sent>, CareError> {
    let sql = "SELECT id, channel, state, attempts, sent_at, last_error FROM care_outbox
        WHERE tenant_id = $1 AND state = 'dead' AND ($2 = '' OR id < $2)
        ORDER BY id DESC LIMIT $3";
    let before = before.map_or_else(String::new, |id| id.to_string());
    let rows: Vec<SentRow> = tx.fetch_all(sql, args![tenant.get(), before, limit]).await?;
    rows.into_iter().map(read_sent).collect()
}
