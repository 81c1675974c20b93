//! The SQL of this crate. Every statement about a loan or product names the tenant.

mod consents;
mod dates;
mod days;
mod disputes;
mod products;
mod reminders;

pub(crate) use consents::{consents, insert_consent};
pub(crate) use dates::{
    business_date, business_dates, clear_business_date, posted_through, set_business_date,
};
pub(crate) use days::{
    DayRecord, DayUpdate, DueLoan, close_through, closed_through, events_between, insert_day,
    lock_due, oldest_day, running_loans, update_days,
};
pub(crate) use disputes::{disputes, insert_dispute, is_disputed, lock_dispute, update_dispute};
pub(crate) use products::{insert_product, product, products};
pub(crate) use reminders::{
    borrowers_reminders, contact, delete_contact, delete_profile, insert_reminder,
    loans_to_remind_of, lock_contact, look_again, note_delivery, profile, profiles, put_contact,
    put_profile, reminder_to_send, reminders, sent_reminders, withdraw_reminder,
};

use std::collections::BTreeMap;

use api_ledger::{AccountId, TenantId, TransferId};
use api_store::{StoreError, Tx, args};
use jiff::civil::Date;
use uuid::Uuid;

use crate::LoanError;
use crate::loan::{Books, Event};
use crate::service::{Accounts, ServiceError, day_number, day_of};
use crate::terms::Contract;

/// A loan's row.
#[derive(Clone, Debug)]
pub(crate) struct StoredLoan {
    pub(crate) id: Uuid,
    pub(crate) product: Uuid,
    pub(crate) borrower: String,
    pub(crate) borrower_key: Option<[u8; 32]>,
    pub(crate) contract: Contract,
    pub(crate) accounts: Accounts,
    pub(crate) head: u64,
    pub(crate) posted: Books,
    pub(crate) posted_on: Date,
    pub(crate) running: bool,
}

/// An event's row.
pub(crate) struct StoredEvent {
    pub(crate) loan: Uuid,
    pub(crate) event: Event,
    pub(crate) cash: Option<AccountId>,
}

/// An event to be stored.
pub(crate) struct NewEvent<'a> {
    pub(crate) loan: Uuid,
    pub(crate) event: &'a Event,
    pub(crate) cash: Option<AccountId>,
    pub(crate) transfer: Option<TransferId>,
    pub(crate) moved: &'a Books,
}

fn damaged(what: &str) -> ServiceError {
    StoreError::Damaged(what.to_owned()).into()
}

fn uuid(text: &str) -> Result<Uuid, ServiceError> {
    text.parse().map_err(|_| damaged("an id is not a UUID"))
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, ServiceError> {
    Ok(serde_json::to_string(value).map_err(LoanError::Stored)?)
}

fn parsed<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, ServiceError> {
    Ok(serde_json::from_str(text).map_err(LoanError::Stored)?)
}

fn number(seq: u64) -> Result<i64, ServiceError> {
    i64::try_from(seq).map_err(|_| LoanError::Overflow.into())
}

fn count(number: i64) -> Result<u64, ServiceError> {
    u64::try_from(number).map_err(|_| damaged("a number is negative"))
}

pub(crate) async fn insert_loan(
    tx: &mut Tx,
    tenant: TenantId,
    loan: &StoredLoan,
    now: i64,
) -> Result<bool, ServiceError> {
    let sql = "INSERT INTO loans (id, tenant_id, product_id, borrower, borrower_key, contract,
            accounts, head, posted, posted_on, running, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING";
    let values = args![
        loan.id,
        tenant.get(),
        loan.product,
        &loan.borrower,
        loan.borrower_key.map(|key| key.to_vec()),
        json(&loan.contract)?,
        json(&loan.accounts)?,
        number(loan.head)?,
        json(&loan.posted)?,
        day_number(loan.posted_on),
        loan.running,
        now,
    ];
    Ok(tx.execute(sql, values).await? == 1)
}

#[derive(sqlx::FromRow)]
struct LoanRow {
    id: String,
    product_id: String,
    borrower: String,
    borrower_key: Option<Vec<u8>>,
    contract: String,
    accounts: String,
    head: i64,
    posted: String,
    posted_on: i64,
    running: bool,
}

impl LoanRow {
    fn loan(self) -> Result<StoredLoan, ServiceError> {
        let key = self.borrower_key.map(<[u8; 32]>::try_from).transpose();
        Ok(StoredLoan {
            id: uuid(&self.id)?,
            product: uuid(&self.product_id)?,
            borrower: self.borrower,
            borrower_key: key.map_err(|_| damaged("a key has another length"))?,
            contract: parsed(&self.contract)?,
            accounts: parsed(&self.accounts)?,
            head: count(self.head)?,
            posted: parsed(&self.posted)?,
            posted_on: day_of(self.posted_on)?,
            running: self.running,
        })
    }
}

const LOAN: &str = "SELECT id, product_id, borrower, borrower_key, contract, accounts, head,
        posted, posted_on, running
    FROM loans WHERE tenant_id = $1 AND id = $2";

pub(crate) async fn loan(
    tx: &mut Tx,
    tenant: TenantId,
    id: Uuid,
) -> Result<Option<StoredLoan>, ServiceError> {
    let row: Option<LoanRow> = tx.fetch_optional(LOAN, args![tenant.get(), id]).await?;
    row.map(LoanRow::loan).transpose()
}

pub(crate) async fn lock_loan(
    tx: &mut Tx,
    tenant: TenantId,
    id: Uuid,
) -> Result<Option<StoredLoan>, ServiceError> {
    let row: Option<LoanRow> = tx.lock_optional(LOAN, args![tenant.get(), id]).await?;
    row.map(LoanRow::loan).transpose()
}

pub(crate) async fn update_loan(
    tx: &mut Tx,
    tenant: TenantId,
    loan: &StoredLoan,
) -> Result<(), ServiceError> {
    let sql = "UPDATE loans SET head = $3, posted = $4, posted_on = $5, running = $6
        WHERE tenant_id = $1 AND id = $2";
    let values = args![
        tenant.get(),
        loan.id,
        number(loan.head)?,
        json(&loan.posted)?,
        day_number(loan.posted_on),
        loan.running,
    ];
    tx.execute(sql, values).await?;
    Ok(())
}

pub(crate) async fn loans_of(
    tx: &mut Tx,
    tenant: TenantId,
    borrower: &str,
    after: Option<Uuid>,
    limit: u32,
) -> Result<Vec<Uuid>, ServiceError> {
    let sql = "SELECT id FROM loans WHERE tenant_id = $1 AND borrower = $2
            AND ($3 = '' OR (created_at, id) >
                (SELECT created_at, id FROM loans WHERE tenant_id = $1 AND id = $3))
        ORDER BY created_at, id LIMIT $4";
    let after = after.map_or_else(String::new, |id| id.to_string());
    let values = args![tenant.get(), borrower, after, limit];
    let rows: Vec<(String,)> = tx.fetch_all(sql, values).await?;
    rows.iter().map(|(id,)| uuid(id)).collect()
}

/// The ids of the tenant's loans after the id `after`, oldest first.
pub(crate) async fn loan_ids(
    tx: &mut Tx,
    tenant: TenantId,
    after: &str,
    limit: u32,
) -> Result<Vec<Uuid>, ServiceError> {
    let sql = "SELECT id FROM loans WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    let rows: Vec<(String,)> = tx.fetch_all(sql, args![tenant.get(), after, limit]).await?;
    rows.iter().map(|(id,)| uuid(id)).collect()
}

/// Whose loan this is, whichever tenant's: a bank's line names the loan alone.
pub(crate) async fn tenant_of(tx: &mut Tx, loan: Uuid) -> Result<Option<TenantId>, ServiceError> {
    let row: Option<(String,)> =
        tx.fetch_optional("SELECT tenant_id FROM loans WHERE id = $1", args![loan]).await?;
    row.map(|(tenant,)| Ok(TenantId::new(uuid(&tenant)?))).transpose()
}

pub(crate) async fn insert_event(
    tx: &mut Tx,
    tenant: TenantId,
    new: &NewEvent<'_>,
    now: i64,
) -> Result<(), ServiceError> {
    let sql = "INSERT INTO loan_events (loan_id, seq, tenant_id, id, effective_on, body,
            cash_account, transfer_id, moved, recorded_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let values = args![
        new.loan,
        number(new.event.seq)?,
        tenant.get(),
        new.event.id,
        day_number(new.event.effective),
        json(&new.event.body)?,
        new.cash.map(AccountId::get),
        new.transfer.map(TransferId::get).map(|id| id.to_string()),
        json(new.moved)?,
        now,
    ];
    tx.execute(sql, values).await.map_err(|error| match error.is_unique_violation() {
        true => ServiceError::Loan(LoanError::IdReused),
        false => error.into(),
    })?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct EventRow {
    loan_id: String,
    seq: i64,
    id: String,
    effective_on: i64,
    body: String,
    cash_account: Option<i64>,
}

impl EventRow {
    fn event(&self) -> Result<Event, ServiceError> {
        Ok(Event {
            id: uuid(&self.id)?,
            seq: count(self.seq)?,
            effective: day_of(self.effective_on)?,
            body: parsed(&self.body)?,
        })
    }
}

pub(crate) async fn events(
    tx: &mut Tx,
    tenant: TenantId,
    loan: Uuid,
) -> Result<Vec<Event>, ServiceError> {
    let sql = "SELECT loan_id, seq, id, effective_on, body, cash_account FROM loan_events
        WHERE tenant_id = $1 AND loan_id = $2 ORDER BY seq";
    let rows: Vec<EventRow> = tx.fetch_all(sql, args![tenant.get(), loan]).await?;
    rows.iter().map(EventRow::event).collect()
}

pub(crate) async fn event(
    tx: &mut Tx,
    tenant: TenantId,
    id: Uuid,
) -> Result<Option<StoredEvent>, ServiceError> {
    let sql = "SELECT loan_id, seq, id, effective_on, body, cash_account FROM loan_events
        WHERE tenant_id = $1 AND id = $2";
    let row: Option<EventRow> = tx.fetch_optional(sql, args![tenant.get(), id]).await?;
    let Some(row) = row else { return Ok(None) };
    let cash = row.cash_account.map(AccountId::new);
    Ok(Some(StoredEvent { loan: uuid(&row.loan_id)?, event: row.event()?, cash }))
}

pub(crate) async fn transfers(
    tx: &mut Tx,
    tenant: TenantId,
    loan: Uuid,
) -> Result<BTreeMap<u64, TransferId>, ServiceError> {
    let sql = "SELECT seq, transfer_id FROM loan_events
        WHERE tenant_id = $1 AND loan_id = $2 AND transfer_id IS NOT NULL";
    let rows: Vec<(i64, String)> = tx.fetch_all(sql, args![tenant.get(), loan]).await?;
    let mut transfers = BTreeMap::new();
    for (seq, id) in rows {
        transfers.insert(count(seq)?, TransferId::new(uuid(&id)?));
    }
    Ok(transfers)
}
