use api_audit::Record;
use api_ledger::TenantId;
use api_loans::loan::RepaymentMode;
use api_loans::terms::Terms;
use api_loans::{Disburse, Money as LoanMoney, NewProduct, Repay};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::auth::{Caller, Scope};
use super::extract::{Body, Params};
use super::idempotency::{self, Begun, Key};
use super::missing;
use super::problem::{Problem, ProblemDocument};
use super::views::{Money, check_text};
use crate::app::{App, now_ms};
use crate::error::{Code, Error};
use crate::repo::customers;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewLoanProduct {
    /// Unique in the tenant.
    name: String,
    /// The terms as data; `docs/LOANS.md` has every field. The least: `currency`, `product`, `rate`,
    /// `day_count`, `frequency`, `instalments`.
    #[schema(value_type = Object, example = json!({"currency": "EUR", "product": {"kind": "annuity"},
        "rate": "0.06", "day_count": "30E/360", "frequency": {"unit": "monthly", "every": 1}, "instalments": 12}))]
    terms: Terms,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LoanProductView {
    id: Uuid,
    name: String,
    #[schema(value_type = Object)]
    terms: Terms,
}

/// Creates a loan product.
#[utoipa::path(post, path = "/v1/loan-products", tag = "loans", request_body = NewLoanProduct,
    security(("api_key" = [])),
    responses((status = 201, body = LoanProductView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn create_product(
    State(app): State<App>,
    caller: Caller,
    body: Body<NewLoanProduct>,
) -> Result<(StatusCode, Json<LoanProductView>), Problem> {
    caller.require(Scope::Loans)?;
    let NewLoanProduct { name, terms } = body.value;
    if !app.config.fiat.currencies.contains(&terms.currency) {
        return Err(Error::refuse(
            Code::UnknownAsset,
            format!("{:?} is no configured currency", terms.currency),
        )
        .into());
    }
    let new = NewProduct { id: Uuid::now_v7(), name, terms };
    let mut tx = app.db.begin().await?;
    let product = app.loans.create_product(&mut tx, TenantId::new(caller.tenant), &new).await?;
    tx.commit().await?;
    Ok((
        StatusCode::CREATED,
        Json(LoanProductView { id: product.id, name: product.name, terms: product.terms }),
    ))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewLoan {
    /// Who borrows; the money goes to this customer's account.
    customer: Uuid,
    /// The loan product.
    product: Uuid,
    /// Minor units of the product's currency.
    principal: String,
    /// The day of the disbursement, ISO 8601; today (UTC) when absent.
    #[schema(value_type = Option<String>, format = Date)]
    start: Option<Date>,
    /// The first due date; one period after the start when absent.
    #[schema(value_type = Option<String>, format = Date)]
    first_due: Option<Date>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LoanCreated {
    id: Uuid,
    customer: Uuid,
    /// What was disbursed.
    principal: Money,
    /// The audit record of the disbursement.
    record: String,
}

/// Disburses a loan to the customer's account.
#[utoipa::path(post, path = "/v1/loans", tag = "loans", request_body = NewLoan,
    params(("Idempotency-Key" = String, Header, description = "1 to 128 visible ASCII characters")),
    security(("api_key" = [])),
    responses((status = 201, body = LoanCreated), (status = "default", body = ProblemDocument)))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    key: Key,
    body: Body<NewLoan>,
) -> Result<Response, Problem> {
    caller.require(Scope::Loans)?;
    let new = body.value;
    let principal = loan_money(&new.principal)?;
    let tenant = TenantId::new(caller.tenant);
    let mut attempt = match idempotency::begin(&app, caller.tenant, key, body.hash).await? {
        Begun::Replay(response) => return Ok(response),
        Begun::Fresh(attempt) => attempt,
    };
    let tx = &mut attempt.tx;
    customers::get(tx, caller.tenant, new.customer).await?.ok_or_else(|| missing("customer"))?;
    let product = app.loans.product(tx, tenant, new.product).await?;
    let currency = product.terms.currency;
    let id = Uuid::now_v7();
    let request = Disburse {
        loan: id,
        product: new.product,
        borrower: new.customer.to_string(),
        principal,
        start: new.start.unwrap_or_else(|| app.loans.today()),
        first_due: new.first_due,
        to: app.customer_account(tx, caller.tenant, new.customer, &currency).await?,
        borrower_key: None,
    };
    app.loans.disburse(tx, tenant, &request).await?;
    let record = Record::new("loan.disbursed", now_ms())
        .external_id(caller.tenant.to_string(), format!("loan:{id}"))
        .stream(format!("loan:{id}"))
        .subject(new.customer.to_string())
        .field("loan", id.to_string())
        .field("currency", &currency)
        .field("principal", principal.to_string())
        .personal("borrower", new.customer.to_string());
    let record = app.audit.append_in(tx, &record).await.map_err(Error::internal)?;
    let view = LoanCreated {
        id,
        customer: new.customer,
        principal: Money::new(&currency, principal),
        record: record.to_string(),
    };
    Ok(attempt.finish(StatusCode::CREATED, &view).await?)
}

fn loan_money(text: &str) -> Result<LoanMoney, Error> {
    let amount: chain_core::Amount = text.parse()?;
    if amount.is_zero() {
        return Err(Code::ZeroAmount.into());
    }
    let minor = i128::try_from(amount.minor()).map_err(|_| Error::from(Code::InvalidAmount))?;
    Ok(LoanMoney::new(minor))
}

/// Shows a loan and where it stands today.
#[utoipa::path(get, path = "/v1/loans/{id}", tag = "loans", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = Object), (status = "default", body = ProblemDocument)))]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
) -> Result<Json<api_loans::LoanRecord>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    Ok(Json(app.loans.loan(&mut tx, TenantId::new(caller.tenant), id, app.loans.today()).await?))
}

/// Shows the agreed schedule: every instalment, total cost.
#[utoipa::path(get, path = "/v1/loans/{id}/schedule", tag = "loans", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = Object), (status = "default", body = ProblemDocument)))]
pub(crate) async fn schedule(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
) -> Result<Json<api_loans::schedule::Schedule>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    Ok(Json(app.loans.schedule(&mut tx, TenantId::new(caller.tenant), id).await?))
}

/// What settles the loan today.
#[utoipa::path(get, path = "/v1/loans/{id}/settlement-quote", tag = "loans", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = Object), (status = "default", body = ProblemDocument)))]
pub(crate) async fn settlement_quote(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
) -> Result<Json<api_loans::loan::SettlementQuote>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    let today = app.loans.today();
    Ok(Json(app.loans.settlement_quote(&mut tx, TenantId::new(caller.tenant), id, today).await?))
}

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
    /// The day from which it counts, ISO 8601; today (UTC) when absent.
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
    result: api_loans::Repayment,
    /// The audit record; `GET /v1/audit/records/{id}/receipt` gives the receipt.
    record: String,
}

/// Books a repayment from the borrower's account.
#[utoipa::path(post, path = "/v1/loans/{id}/repayments", tag = "loans", request_body = NewRepayment,
    params(("id" = Uuid, Path),
           ("Idempotency-Key" = String, Header, description = "1 to 128 visible ASCII characters")),
    security(("api_key" = [])),
    responses((status = 201, body = RepaymentView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn repay(
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
    if !app.config.fiat.currencies.contains(&new.currency) {
        let detail = format!("{:?} is no configured currency", new.currency);
        return Err(Error::refuse(Code::UnknownAsset, detail).into());
    }
    let amount = loan_money(&new.amount)?;
    let tenant = TenantId::new(caller.tenant);
    let mut attempt = match idempotency::begin(&app, caller.tenant, key, body.hash).await? {
        Begun::Replay(response) => return Ok(response),
        Begun::Fresh(attempt) => attempt,
    };
    let tx = &mut attempt.tx;
    let today = app.loans.today();
    let borrower = app.loans.loan(tx, tenant, loan, today).await?.borrower;
    let customer: Uuid = borrower.parse().map_err(Error::internal)?;
    let id = Uuid::now_v7();
    let request = Repay {
        id,
        loan,
        amount,
        currency: new.currency.clone(),
        effective: new.effective.unwrap_or(today),
        mode: new.mode,
        from: app.customer_account(tx, caller.tenant, customer, &new.currency).await?,
    };
    let (_, result) = app.loans.repay(tx, tenant, &request).await?;
    let record = Record::new("loan.repayment", now_ms())
        .external_id(caller.tenant.to_string(), format!("repayment:{id}"))
        .stream(format!("loan:{loan}"))
        .subject(customer.to_string())
        .field("loan", loan.to_string())
        .field("repayment", id.to_string())
        .field("currency", &new.currency)
        .field("amount", amount.to_string())
        .field("effective", request.effective.to_string())
        .personal("borrower", customer.to_string())
        .personal("reference", new.reference.unwrap_or_default());
    let record = app.audit.append_in(tx, &record).await.map_err(Error::internal)?;
    let view = RepaymentView {
        id,
        loan,
        money: Money::new(&new.currency, amount),
        result,
        record: record.to_string(),
    };
    Ok(attempt.finish(StatusCode::CREATED, &view).await?)
}

/// Lists a loan's repayments as they count now.
#[utoipa::path(get, path = "/v1/loans/{id}/repayments", tag = "loans", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = Vec<Object>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn repayments(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
) -> Result<Json<Vec<api_loans::RepaymentRecord>>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    Ok(Json(app.loans.repayments(&mut tx, TenantId::new(caller.tenant), id).await?))
}
