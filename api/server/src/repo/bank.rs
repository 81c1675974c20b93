use api_store::{StoreError, Tx, args};
use chain_core::Amount;
use uuid::Uuid;

use super::parse;

/// A credit line of a bank statement.
#[derive(Clone, Debug)]
pub(crate) struct BankLine {
    /// The bank's own id of the line.
    pub(crate) id: String,
    pub(crate) currency: String,
    pub(crate) amount: Amount,
    pub(crate) reference: String,
    /// ISO 8601 date.
    pub(crate) booked_on: String,
    pub(crate) tenant: Option<Uuid>,
    pub(crate) customer: Option<Uuid>,
    /// `credited` or `suspense`.
    pub(crate) state: String,
    pub(crate) created_at: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    currency: String,
    amount: String,
    reference: String,
    booked_on: String,
    tenant_id: Option<String>,
    customer_id: Option<String>,
    state: String,
    created_at: i64,
}

impl Row {
    fn check(self) -> Result<BankLine, StoreError> {
        Ok(BankLine {
            id: self.id,
            currency: self.currency,
            amount: parse("amount", &self.amount)?,
            reference: self.reference,
            booked_on: self.booked_on,
            tenant: self.tenant_id.map(|id| parse("tenant id", &id)).transpose()?,
            customer: self.customer_id.map(|id| parse("customer id", &id)).transpose()?,
            state: self.state,
            created_at: self.created_at,
        })
    }
}

/// Records a line; false when it was read before, which is how a line is credited once.
pub(crate) async fn insert(tx: &mut Tx, line: &BankLine) -> Result<bool, StoreError> {
    let sql = "INSERT INTO bank_lines (id, currency, amount, reference, booked_on, tenant_id, customer_id, \
                                       state, created_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
    let values = args![
        &line.id,
        &line.currency,
        line.amount.to_string(),
        &line.reference,
        &line.booked_on,
        line.tenant,
        line.customer,
        &line.state,
        line.created_at,
    ];
    Ok(tx.execute(sql, values).await? == 1)
}

/// A line that waits in suspense, locked; `None` when there is none or it was matched.
pub(crate) async fn lock_suspended(tx: &mut Tx, id: &str) -> Result<Option<BankLine>, StoreError> {
    let sql = "SELECT id, currency, amount, reference, booked_on, tenant_id, customer_id, state, created_at \
               FROM bank_lines WHERE id = $1 AND state = 'suspense'";
    tx.lock_optional::<Row>(sql, args![id]).await?.map(Row::check).transpose()
}

/// Lines of all tenants that wait in suspense, by id after `after`.
pub(crate) async fn suspended(
    tx: &mut Tx,
    after: &str,
    limit: u32,
) -> Result<Vec<BankLine>, StoreError> {
    let sql = "SELECT id, currency, amount, reference, booked_on, tenant_id, customer_id, state, created_at \
               FROM bank_lines WHERE state = 'suspense' AND id > $1 ORDER BY id LIMIT $2";
    let rows: Vec<Row> = tx.fetch_all(sql, args![after, limit]).await?;
    rows.into_iter().map(Row::check).collect()
}

/// Notes whose money the line was after all.
pub(crate) async fn set_matched(
    tx: &mut Tx,
    id: &str,
    tenant: Uuid,
    customer: Uuid,
) -> Result<(), StoreError> {
    let sql = "UPDATE bank_lines SET tenant_id = $2, customer_id = $3, state = 'credited' \
               WHERE id = $1 AND state = 'suspense'";
    tx.execute(sql, args![id, tenant, customer]).await.map(|_| ())
}

/// Notes that a line has repaid a loan.
pub(crate) async fn note_repayment(
    tx: &mut Tx,
    line: &str,
    tenant: Uuid,
    (loan, repayment): (Uuid, Uuid),
) -> Result<(), StoreError> {
    let sql = "INSERT INTO loan_bank_lines (line_id, tenant_id, loan_id, repayment_id) \
               VALUES ($1, $2, $3, $4)";
    tx.execute(sql, args![line, tenant, loan, repayment]).await.map(|_| ())
}

/// True when the line that is stored under this id says the same.
pub(crate) async fn is_same(tx: &mut Tx, line: &BankLine) -> Result<bool, StoreError> {
    let sql = "SELECT COUNT(*) FROM bank_lines \
               WHERE id = $1 AND currency = $2 AND amount = $3 AND reference = $4 AND booked_on = $5";
    let values =
        args![&line.id, &line.currency, line.amount.to_string(), &line.reference, &line.booked_on];
    let (count,): (i64,) = tx.fetch_one(sql, values).await?;
    Ok(count == 1)
}

/// A page of the tenant's top-ups in the order of their ids, after the id `after`.
pub(crate) async fn page(
    tx: &mut Tx,
    tenant: Uuid,
    customer: &str,
    after: &str,
    limit: u32,
) -> Result<Vec<BankLine>, StoreError> {
    let sql = "SELECT id, currency, amount, reference, booked_on, tenant_id, customer_id, state, created_at \
               FROM bank_lines WHERE tenant_id = $1 AND ($2 = '' OR customer_id = $2) AND id > $3 \
               ORDER BY id LIMIT $4";
    let rows: Vec<Row> = tx.fetch_all(sql, args![tenant, customer, after, limit]).await?;
    rows.into_iter().map(Row::check).collect()
}
