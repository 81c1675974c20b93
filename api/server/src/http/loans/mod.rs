//! Loans: products, contracts, payments, changes, and what a borrower takes home. `docs/API-LOANS.md`
//! says what the OpenAPI document cannot.

mod adjust;
mod changes;
mod dates;
mod disputes;
mod exchange;
mod lifecycle;
mod paper;
mod products;
mod repayments;
mod suspense;
mod views;

pub(crate) use repayments::{FromAccount, book as book_repayment};

use api_audit::Record;
use api_ledger::TenantId;
use api_loans::input::InputError;
use api_store::Tx;
use jiff::civil::Date;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::app::{App, now_ms};
use crate::error::{Code, Error};

/// The routes about loans.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(products::create, products::list))
        .routes(routes!(products::get))
        .routes(routes!(products::quote))
        .routes(routes!(lifecycle::create, lifecycle::list))
        .routes(routes!(lifecycle::get))
        .routes(routes!(lifecycle::events))
        .routes(routes!(lifecycle::allocations))
        .routes(routes!(lifecycle::schedule))
        .routes(routes!(repayments::create, repayments::list))
        .routes(routes!(repayments::settlement_quote))
        .routes(routes!(repayments::settle))
        .routes(routes!(changes::preview))
        .routes(routes!(changes::accept, changes::list))
        .routes(routes!(adjust::charge_fee))
        .routes(routes!(adjust::refund))
        .routes(routes!(adjust::waive))
        .routes(routes!(adjust::charge_off))
        .routes(routes!(adjust::reverse))
        .routes(routes!(paper::plot))
        .routes(routes!(paper::statement))
        .routes(routes!(paper::credit_record))
        .routes(routes!(paper::scorecard))
        .routes(routes!(disputes::open, disputes::list))
        .routes(routes!(disputes::answer))
        .routes(routes!(disputes::resolve))
        .routes(routes!(exchange::set))
        .routes(routes!(exchange::list))
        .routes(routes!(exchange::quote))
        .routes(routes!(exchange::repay))
        .routes(routes!(suspense::list))
        .routes(routes!(suspense::resolve))
        .routes(routes!(dates::get))
        .routes(routes!(dates::set, dates::follow))
        .routes(routes!(dates::close_books))
}

/// The audit record of something that happened to a loan: `kind` and `id` name it once, `on` is the
/// business date from which it counts.
fn leaf(kind: &str, tenant: Uuid, loan: Uuid, id: Uuid, on: Date) -> Record {
    Record::new(kind, now_ms())
        .external_id(tenant.to_string(), format!("{kind}:{id}"))
        .stream(format!("loan:{loan}"))
        .field("loan", loan.to_string())
        .field("event", id.to_string())
        .field("effective", on.to_string())
}

/// Appends a record in the transaction of its effect; its id.
async fn append(app: &App, tx: &mut Tx, record: &Record) -> Result<String, Error> {
    let id = app.audit.append_in(tx, record).await?;
    Ok(id.to_string())
}

/// The customer who borrows.
async fn borrower(app: &App, tx: &mut Tx, tenant: TenantId, loan: Uuid) -> Result<Uuid, Error> {
    let borrower = app.loans.borrower(tx, tenant, loan).await?;
    borrower.parse().map_err(Error::internal)
}

/// Terms, a change or amounts as they came from outside.
fn parse<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> Result<T, Error> {
    api_loans::input::parse(value).map_err(|error| match error {
        InputError::Loan(error) => error.into(),
        InputError::Shape(error) => Error::refuse(Code::Unprocessable, error.to_string()),
    })
}

/// The day that was asked for, or the tenant's business date.
async fn day(app: &App, tx: &mut Tx, tenant: TenantId, asked: Option<Date>) -> Result<Date, Error> {
    match asked {
        Some(day) => Ok(day),
        None => Ok(app.loans.today_in(tx, tenant).await?),
    }
}
