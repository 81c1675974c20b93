use api_ledger::TenantId;
use api_loans::loan::{RepaymentMode, SettlementQuote};
use api_loans::{Money as LoanMoney, Repay, Repayment, RepaymentRecord};
use api_store::Tx;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::lifecycle::OnQuery;
use super::views::{amount, currency};
use super::{append, borrower};
use crate::app::{App, now_ms};
use crate::error::{Code, Error};
use crate::http::auth::{Caller, Scope};
use crate::http::extract::{Args, Body, Params};
use crate::http::idempotency::{self, Begun, Key};
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::views::{Money, check_text};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRepayment {
    /// Minor units of the loan's currency, from the borrower's account.
    amount: String,
    /// The loan's currency.
    currency: String,
    /// What happens to money that nothing is due for: `hold` (the default), `shorter_term`,
    /// `smaller_instalments` or `settle`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    mode: RepaymentMode,
    /// The day from which it counts, ISO 8601; the business date when absent. An earlier day is a
    /// backdated payment.
    #[schema(value_type = Option<String>, format = Date)]
    effective: Option<Date>,
    /// The bank's reference, if any.
    reference: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RepaymentView {
    id: Uuid,
    loan: Uuid,
    #[serde(flatten)]
    money: Money,
    /// What it paid, what is held, what is owed afterwards.
    #[schema(value_type = Object)]
    result: Repayment,
    /// The audit record; `GET /v1/audit/records/{id}/receipt` gives the receipt.
    record: String,
}

/// A repayment from the borrower's account.
pub(crate) struct FromAccount<'a> {
    pub(crate) id: Uuid,
    pub(crate) loan: Uuid,
    pub(crate) amount: LoanMoney,
    pub(crate) currency: &'a str,
    pub(crate) effective: Date,
    pub(crate) mode: RepaymentMode,
    pub(crate) reference: Option<&'a str>,
    /// How the money came: `balance`, `bank`, or the chain asset that was sold for it.
    pub(crate) source: &'a str,
}

/// Books it and its audit record in one transaction.
pub(crate) async fn book(
    app: &App,
    tx: &mut Tx,
    tenant: Uuid,
    payment: &FromAccount<'_>,
) -> Result<RepaymentView, Error> {
    let (id, loan) = (payment.id, payment.loan);
    let customer = borrower(app, tx, TenantId::new(tenant), loan).await?;
    let request = Repay {
        id,
        loan,
        amount: payment.amount,
        currency: payment.currency.to_owned(),
        effective: payment.effective,
        mode: payment.mode,
        from: app.customer_account(tx, tenant, customer, payment.currency).await?,
    };
    let (_, result) = app.loans.repay(tx, TenantId::new(tenant), &request).await?;
    let record = api_audit::Record::new("loan.repayment", now_ms())
        .external_id(tenant.to_string(), format!("repayment:{id}"))
        .stream(format!("loan:{loan}"))
        .subject(customer.to_string())
        .field("loan", loan.to_string())
        .field("repayment", id.to_string())
        .field("currency", payment.currency)
        .field("amount", payment.amount.to_string())
        .field("effective", payment.effective.to_string())
        .field("source", payment.source)
        .personal("borrower", customer.to_string())
        .personal("reference", payment.reference.unwrap_or_default());
    let record = append(app, tx, &record).await?;
    Ok(RepaymentView {
        id,
        loan,
        money: Money::new(payment.currency, payment.amount),
        result,
        record,
    })
}

/// Books a repayment from the borrower's account.
#[utoipa::path(post, path = "/v1/loans/{id}/repayments", tag = "loans", request_body = NewRepayment,
    params(("id" = Uuid, Path),
           ("Idempotency-Key" = String, Header, description = "1 to 128 visible ASCII characters")),
    security(("api_key" = [])),
    responses((status = 201, body = RepaymentView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    key: Key,
    Params(loan): Params<Uuid>,
    body: Body<NewRepayment>,
) -> Result<Response, Problem> {
    caller.require(Scope::Loans)?;
    let new = body.value;
    if let Some(reference) = &new.reference {
        check_text("reference", reference, 140)?;
    }
    currency(&app, &new.currency)?;
    let amount = amount(&new.amount)?;
    let mut attempt = match idempotency::begin(&app, caller.tenant, key, body.hash).await? {
        Begun::Replay(response) => return Ok(response),
        Begun::Fresh(attempt) => attempt,
    };
    let tx = &mut attempt.tx;
    let tenant = TenantId::new(caller.tenant);
    let payment = FromAccount {
        id: Uuid::now_v7(),
        loan,
        amount,
        currency: &new.currency,
        effective: super::day(&app, tx, tenant, new.effective).await?,
        mode: new.mode,
        reference: new.reference.as_deref(),
        source: "balance",
    };
    let view = book(&app, tx, caller.tenant, &payment).await?;
    Ok(attempt.finish(StatusCode::CREATED, &view).await?)
}

/// Lists a loan's repayments as they count now, reversed ones included.
#[utoipa::path(get, path = "/v1/loans/{id}/repayments", tag = "loans", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = Vec<Object>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
) -> Result<Json<Vec<RepaymentRecord>>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    Ok(Json(app.loans.repayments(&mut tx, TenantId::new(caller.tenant), id).await?))
}

/// What settles the loan on a day: today, or a day to come up to which the quote is then valid.
#[utoipa::path(get, path = "/v1/loans/{id}/settlement-quote", tag = "loans",
    params(("id" = Uuid, Path), OnQuery), security(("api_key" = [])),
    responses((status = 200, body = Object), (status = "default", body = ProblemDocument)))]
pub(crate) async fn settlement_quote(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
    Args(query): Args<OnQuery>,
) -> Result<Json<SettlementQuote>, Problem> {
    caller.require(Scope::Read)?;
    let tenant = TenantId::new(caller.tenant);
    let mut tx = app.db.read().await?;
    let on = quote_day(&app, &mut tx, tenant, query.on).await?;
    Ok(Json(app.loans.settlement_quote(&mut tx, tenant, id, on).await?))
}

/// The longest that a settlement quote can be valid.
const QUOTE_DAYS_MAX: i64 = 92;

async fn quote_day(
    app: &App,
    tx: &mut Tx,
    tenant: TenantId,
    on: Option<Date>,
) -> Result<Date, Error> {
    let today = app.loans.today_in(tx, tenant).await?;
    let on = on.unwrap_or(today);
    if (0..=QUOTE_DAYS_MAX).contains(&api_loans::calendar::days_between(today, on)) {
        return Ok(on);
    }
    let detail = format!("a quote is for today or one of the next {QUOTE_DAYS_MAX} days");
    Err(Error::refuse(Code::LoanDateInvalid, detail))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settlement {
    /// The day to which the quote is valid: its `valid_on`.
    #[schema(value_type = String, format = Date)]
    valid_on: Date,
    /// What the quote said: its `to_pay`. No more than this is taken.
    to_pay: String,
}

/// Settles the loan by a quote, from the borrower's account: takes what settles it today, which is at
/// most what was quoted.
#[utoipa::path(post, path = "/v1/loans/{id}/settlement", tag = "loans", request_body = Settlement,
    params(("id" = Uuid, Path),
           ("Idempotency-Key" = String, Header, description = "1 to 128 visible ASCII characters")),
    security(("api_key" = [])),
    responses((status = 201, body = RepaymentView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn settle(
    State(app): State<App>,
    caller: Caller,
    key: Key,
    Params(loan): Params<Uuid>,
    body: Body<Settlement>,
) -> Result<Response, Problem> {
    caller.require(Scope::Loans)?;
    let quoted = amount(&body.value.to_pay)?;
    let mut attempt = match idempotency::begin(&app, caller.tenant, key, body.hash).await? {
        Begun::Replay(response) => return Ok(response),
        Begun::Fresh(attempt) => attempt,
    };
    let tx = &mut attempt.tx;
    let tenant = TenantId::new(caller.tenant);
    let (today, valid_on) = (app.loans.today_in(tx, tenant).await?, body.value.valid_on);
    let now = app.loans.settlement_quote(tx, tenant, loan, today).await?;
    if today > valid_on {
        return Err(Error::from(Code::LoanQuoteExpired).into());
    }
    let then = app.loans.settlement_quote(tx, tenant, loan, valid_on).await?;
    if then.to_pay != quoted || now.to_pay > quoted {
        return Err(Error::from(Code::LoanQuoteChanged).into());
    }
    let currency = app.loans.currency(tx, tenant, loan).await?;
    let payment = FromAccount {
        id: Uuid::now_v7(),
        loan,
        amount: now.to_pay,
        currency: &currency,
        effective: today,
        mode: RepaymentMode::Settle,
        reference: None,
        source: "balance",
    };
    let view = book(&app, tx, caller.tenant, &payment).await?;
    Ok(attempt.finish(StatusCode::CREATED, &view).await?)
}
