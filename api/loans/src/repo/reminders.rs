use api_ledger::TenantId;
use api_store::{Tx, args};
use jiff::Timestamp;
use uuid::Uuid;

use super::{count, damaged, json, number, parsed, uuid};
use crate::reminders::{Decision, Profile, Reason, Sent};
use crate::service::{Contact, DueLoan, Reminder, ServiceError, day_number, day_of};

pub(crate) async fn put_contact(
    tx: &mut Tx,
    tenant: TenantId,
    borrower: &str,
    contact: &Contact,
    now: i64,
) -> Result<(), ServiceError> {
    let sql = "INSERT INTO loan_contacts (tenant_id, borrower, contact, updated_at)
        VALUES ($1, $2, $3, $4)
        ON CONFLICT (tenant_id, borrower) DO UPDATE
        SET contact = excluded.contact, updated_at = excluded.updated_at";
    tx.execute(sql, args![tenant.get(), borrower, json(contact)?, now]).await?;
    Ok(())
}

const CONTACT: &str = "SELECT contact FROM loan_contacts WHERE tenant_id = $1 AND borrower = $2";

pub(crate) async fn contact(
    tx: &mut Tx,
    tenant: TenantId,
    borrower: &str,
) -> Result<Option<Contact>, ServiceError> {
    let row: Option<(String,)> = tx.fetch_optional(CONTACT, args![tenant.get(), borrower]).await?;
    row.map(|(contact,)| parsed(&contact)).transpose()
}

pub(crate) async fn lock_contact(
    tx: &mut Tx,
    tenant: TenantId,
    borrower: &str,
) -> Result<Option<Contact>, ServiceError> {
    let row: Option<(String,)> = tx.lock_optional(CONTACT, args![tenant.get(), borrower]).await?;
    row.map(|(contact,)| parsed(&contact)).transpose()
}

pub(crate) async fn insert_reminder(
    tx: &mut Tx,
    tenant: TenantId,
    reminder: &Reminder,
    wait_until: Timestamp,
) -> Result<(), ServiceError> {
    let sql = "INSERT INTO loan_reminders (id, tenant_id, loan_id, borrower, decided_at, head,
            sends, decision, rung_days, due_on, amount, send_before, wait_until)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    let rung = match &reminder.decision {
        Decision::Send { rung_days, .. } => Some(*rung_days),
        Decision::Suppress { .. } => None,
    };
    let values = args![
        reminder.id,
        tenant.get(),
        reminder.loan,
        &reminder.borrower,
        reminder.decided_at.as_microsecond(),
        number(reminder.head)?,
        rung.is_some(),
        json(&reminder.decision)?,
        rung,
        reminder.due.map(day_number),
        reminder.amount.map(|amount| amount.to_string()),
        reminder.send_before.map(Timestamp::as_microsecond),
        wait_until.as_microsecond(),
    ];
    tx.execute(sql, values).await?;
    set_next(tx, reminder.loan).await
}

/// A loan is decided about again when the last of its decisions has waited long enough.
async fn set_next(tx: &mut Tx, loan: Uuid) -> Result<(), ServiceError> {
    let sql = "UPDATE loan_reminders_due SET remind_at = COALESCE(
            (SELECT MAX(r.wait_until) FROM loan_reminders AS r WHERE r.loan_id = $1), 0)
        WHERE loan_id = $1";
    tx.execute(sql, args![loan]).await?;
    Ok(())
}

/// What was sent to a borrower, over all loans: the caps protect the person.
pub(crate) async fn sent_reminders(
    tx: &mut Tx,
    tenant: TenantId,
    borrower: &str,
    but: Option<Uuid>,
) -> Result<Vec<Sent>, ServiceError> {
    let sql = "SELECT loan_id, decided_at, rung_days, due_on FROM loan_reminders
        WHERE tenant_id = $1 AND borrower = $2 AND sends AND withdrawn IS NULL AND id <> $3
        ORDER BY decided_at DESC LIMIT 200";
    let but = but.unwrap_or_default();
    let rows: Vec<(String, i64, i64, i64)> =
        tx.fetch_all(sql, args![tenant.get(), borrower, but]).await?;
    let sent = |(loan, at, rung_days, due): (String, i64, i64, i64)| -> Result<Sent, ServiceError> {
        Ok(Sent { loan: uuid(&loan)?, at: moment(at)?, rung_days, due: day_of(due)? })
    };
    rows.into_iter().map(sent).collect()
}

fn moment(micros: i64) -> Result<Timestamp, ServiceError> {
    Timestamp::from_microsecond(micros).map_err(|_| damaged("a time is out of range"))
}

#[derive(sqlx::FromRow)]
struct ReminderRow {
    id: String,
    loan_id: String,
    borrower: String,
    decided_at: i64,
    head: i64,
    decision: String,
    due_on: Option<i64>,
    amount: Option<String>,
    send_before: Option<i64>,
    delivery: Option<String>,
    withdrawn: Option<String>,
}

impl ReminderRow {
    fn reminder(self) -> Result<Reminder, ServiceError> {
        Ok(Reminder {
            id: uuid(&self.id)?,
            loan: uuid(&self.loan_id)?,
            borrower: self.borrower,
            decided_at: moment(self.decided_at)?,
            head: count(self.head)?,
            decision: parsed(&self.decision)?,
            amount: self.amount.map(|amount| amount.parse()).transpose()?,
            due: self.due_on.map(day_of).transpose()?,
            send_before: self.send_before.map(moment).transpose()?,
            delivery: self.delivery,
            withdrawn: self.withdrawn.map(|reason| parsed(&reason)).transpose()?,
        })
    }
}

pub(crate) async fn reminders(
    tx: &mut Tx,
    tenant: TenantId,
    loan: Uuid,
) -> Result<Vec<Reminder>, ServiceError> {
    let sql = "SELECT id, loan_id, borrower, decided_at, head, decision, due_on, amount,
            send_before, delivery, withdrawn
        FROM loan_reminders WHERE tenant_id = $1 AND loan_id = $2 ORDER BY decided_at, id";
    let rows: Vec<ReminderRow> = tx.fetch_all(sql, args![tenant.get(), loan]).await?;
    rows.into_iter().map(ReminderRow::reminder).collect()
}

/// The decisions about a borrower, the newest first, older than `before`.
pub(crate) async fn borrowers_reminders(
    tx: &mut Tx,
    tenant: TenantId,
    borrower: &str,
    before: Option<Uuid>,
    limit: u32,
) -> Result<Vec<Reminder>, ServiceError> {
    let sql = "SELECT id, loan_id, borrower, decided_at, head, decision, due_on, amount,
            send_before, delivery, withdrawn
        FROM loan_reminders WHERE tenant_id = $1 AND borrower = $2
            AND ($3 = '' OR (decided_at, id) <
                (SELECT decided_at, id FROM loan_reminders WHERE tenant_id = $1 AND id = $3))
        ORDER BY decided_at DESC, id DESC LIMIT $4";
    let before = before.map_or_else(String::new, |id| id.to_string());
    let values = args![tenant.get(), borrower, before, limit];
    let rows: Vec<ReminderRow> = tx.fetch_all(sql, values).await?;
    rows.into_iter().map(ReminderRow::reminder).collect()
}

/// A reminder that was to be sent.
pub(crate) async fn reminder_to_send(
    tx: &mut Tx,
    tenant: TenantId,
    id: Uuid,
) -> Result<Option<Reminder>, ServiceError> {
    let sql = "SELECT id, loan_id, borrower, decided_at, head, decision, due_on, amount,
            send_before, delivery, withdrawn
        FROM loan_reminders WHERE tenant_id = $1 AND id = $2 AND sends";
    let row: Option<ReminderRow> = tx.fetch_optional(sql, args![tenant.get(), id]).await?;
    row.map(ReminderRow::reminder).transpose()
}

/// Notes why a reminder did not leave; the loan is looked at again from `now` on.
pub(crate) async fn withdraw_reminder(
    tx: &mut Tx,
    tenant: TenantId,
    id: Uuid,
    reason: Reason,
    now: i64,
) -> Result<bool, ServiceError> {
    let sql = "UPDATE loan_reminders SET withdrawn = $3, wait_until = $4
        WHERE tenant_id = $1 AND id = $2 AND sends RETURNING loan_id";
    let values = args![tenant.get(), id, json(&reason)?, now];
    let row: Option<(String,)> = tx.fetch_optional(sql, values).await?;
    let Some((loan,)) = row else { return Ok(false) };
    set_next(tx, uuid(&loan)?).await?;
    Ok(true)
}

/// Lets decisions about a borrower that were to wait be made anew.
pub(crate) async fn look_again(
    tx: &mut Tx,
    tenant: TenantId,
    borrower: &str,
    now: i64,
) -> Result<(), ServiceError> {
    let sql = "UPDATE loan_reminders SET wait_until = $3
        WHERE tenant_id = $1 AND borrower = $2 AND wait_until > $3";
    tx.execute(sql, args![tenant.get(), borrower, now]).await?;
    let sql = "UPDATE loan_reminders_due SET remind_at = $3 WHERE remind_at > $3 AND loan_id IN (
            SELECT id FROM loans WHERE tenant_id = $1 AND borrower = $2)";
    tx.execute(sql, args![tenant.get(), borrower, now]).await?;
    Ok(())
}

pub(crate) async fn delete_contact(
    tx: &mut Tx,
    tenant: TenantId,
    borrower: &str,
) -> Result<(), ServiceError> {
    let sql = "DELETE FROM loan_contacts WHERE tenant_id = $1 AND borrower = $2";
    tx.execute(sql, args![tenant.get(), borrower]).await?;
    Ok(())
}

pub(crate) async fn put_profile(
    tx: &mut Tx,
    tenant: TenantId,
    profile: &Profile,
    now: i64,
) -> Result<(), ServiceError> {
    let sql = "INSERT INTO loan_profiles (tenant_id, name, profile, updated_at)
        VALUES ($1, $2, $3, $4)
        ON CONFLICT (tenant_id, name) DO UPDATE
        SET profile = excluded.profile, updated_at = excluded.updated_at";
    tx.execute(sql, args![tenant.get(), &profile.name, json(profile)?, now]).await?;
    Ok(())
}

pub(crate) async fn delete_profile(
    tx: &mut Tx,
    tenant: TenantId,
    name: &str,
) -> Result<bool, ServiceError> {
    let sql = "DELETE FROM loan_profiles WHERE tenant_id = $1 AND name = $2";
    Ok(tx.execute(sql, args![tenant.get(), name]).await? == 1)
}

pub(crate) async fn profile(
    tx: &mut Tx,
    tenant: TenantId,
    name: &str,
) -> Result<Option<Profile>, ServiceError> {
    let sql = "SELECT profile FROM loan_profiles WHERE tenant_id = $1 AND name = $2";
    let row: Option<(String,)> = tx.fetch_optional(sql, args![tenant.get(), name]).await?;
    row.map(|(profile,)| parsed(&profile)).transpose()
}

pub(crate) async fn profiles(tx: &mut Tx, tenant: TenantId) -> Result<Vec<Profile>, ServiceError> {
    let sql = "SELECT profile FROM loan_profiles WHERE tenant_id = $1 ORDER BY name";
    let rows: Vec<(String,)> = tx.fetch_all(sql, args![tenant.get()]).await?;
    rows.iter().map(|(profile,)| parsed(profile)).collect()
}

pub(crate) async fn note_delivery(
    tx: &mut Tx,
    tenant: TenantId,
    reminder: Uuid,
    outcome: &str,
) -> Result<bool, ServiceError> {
    let sql = "UPDATE loan_reminders SET delivery = $3
        WHERE tenant_id = $1 AND id = $2 AND sends";
    Ok(tx.execute(sql, args![tenant.get(), reminder, outcome]).await? == 1)
}

pub(crate) async fn loans_to_remind_of(
    tx: &mut Tx,
    tenant: TenantId,
    now: i64,
    after: Option<DueLoan>,
    limit: u32,
) -> Result<Vec<DueLoan>, ServiceError> {
    let sql = "SELECT remind_at, loan_id FROM loan_reminders_due
        WHERE tenant_id = $1 AND remind_at <= $2 AND (remind_at, loan_id) > ($3, $4)
        ORDER BY remind_at, loan_id LIMIT $5";
    let (since, id) =
        after.map_or((i64::MIN, String::new()), |after| (after.since, after.loan.to_string()));
    let values = args![tenant.get(), now, since, id, limit];
    let rows: Vec<(i64, String)> = tx.fetch_all(sql, values).await?;
    rows.iter().map(|(since, id)| Ok(DueLoan { since: *since, loan: uuid(id)? })).collect()
}
