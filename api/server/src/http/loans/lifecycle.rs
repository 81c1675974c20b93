use api_audit::Record;
use api_ledger::TenantId;
use api_loans::loan::{Allocation, Event};
use api_loans::schedule::{Instalment, Schedule};
use api_loans::{Disburse, LoanRecord};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::append;
use super::views::{Standing, amount};
use crate::app::{App, now_ms};
use crate::error::{Code, Error};
use crate::http::auth::{Caller, Scope};
use crate::http::extract::{Args, Body, Params};
use crate::http::idempotency::{self, Begun, Key};
use crate::http::missing;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::views::{Money, Page, PageQuery};
use crate::repo::customers;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewLoan {
    /// Who borrows; the money goes to this customer's account.
    customer: Uuid,
    /// The loan product.
    product: Uuid,
    /// Minor units of the product's currency.
    principal: String,
    /// The day of the disbursement, ISO 8601; the business date when absent.
    #[schema(value_type = Option<String>, format = Date)]
    start: Option<Date>,
    /// The first due date; one period after the start when absent.
    #[schema(value_type = Option<String>, format = Date)]
    first_due: Option<Date>,
    /// The borrower's Ed25519 public key, 64 hexadecimal digits: changes of the loan then need the
    /// borrower's signature.
    borrower_key: Option<String>,
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
    let principal = amount(&new.principal)?;
    let borrower_key = new.borrower_key.as_deref().map(public_key).transpose()?;
    let tenant = TenantId::new(caller.tenant);
    let mut attempt = match idempotency::begin(&app, caller.tenant, key, body.hash).await? {
        Begun::Replay(response) => return Ok(response),
        Begun::Fresh(attempt) => attempt,
    };
    let tx = &mut attempt.tx;
    customers::get(tx, caller.tenant, new.customer).await?.ok_or_else(|| missing("customer"))?;
    let product = app.loans.product(tx, tenant, new.product).await?;
    let currency = product.terms.currency;
    let start = match new.start {
        Some(start) => start,
        None => app.loans.today_in(tx, tenant).await?,
    };
    let id = Uuid::now_v7();
    let request = Disburse {
        loan: id,
        product: new.product,
        borrower: new.customer.to_string(),
        principal,
        start,
        first_due: new.first_due,
        to: app.customer_account(tx, caller.tenant, new.customer, &currency).await?,
        borrower_key,
    };
    app.loans.disburse(tx, tenant, &request).await?;
    let record = Record::new("loan.disbursed", now_ms())
        .external_id(caller.tenant.to_string(), format!("loan:{id}"))
        .stream(format!("loan:{id}"))
        .subject(new.customer.to_string())
        .field("loan", id.to_string())
        .field("currency", &currency)
        .field("principal", principal.to_string())
        .field("effective", start.to_string())
        .field("borrower_key", borrower_key.map(hex::encode).unwrap_or_default())
        .personal("borrower", new.customer.to_string());
    let view = LoanCreated {
        id,
        customer: new.customer,
        principal: Money::new(&currency, principal),
        record: append(&app, tx, &record).await?,
    };
    Ok(attempt.finish(StatusCode::CREATED, &view).await?)
}

fn public_key(text: &str) -> Result<[u8; 32], Error> {
    let mut key = [0; 32];
    hex::decode_to_slice(text, &mut key).map_err(|_| Error::from(Code::BorrowerKeyInvalid))?;
    Ok(key)
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LoanListed {
    id: Uuid,
    customer: String,
    principal: Money,
    #[schema(value_type = String, format = Date)]
    start: Date,
    /// Where the loan stands today.
    #[schema(value_type = Object)]
    standing: Standing,
}

/// Lists the loans, all or a customer's.
#[utoipa::path(get, path = "/v1/loans", tag = "loans", params(PageQuery), security(("api_key" = [])),
    responses((status = 200, body = Page<LoanListed>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Args(query): Args<PageQuery>,
) -> Result<Json<Page<LoanListed>>, Problem> {
    caller.require(Scope::Read)?;
    let limit = query.limit()?;
    let tenant = TenantId::new(caller.tenant);
    let mut tx = app.db.read().await?;
    let today = app.loans.today_in(&mut tx, tenant).await?;
    let ids = match query.customer.as_str() {
        "" => app.loans.loan_ids(&mut tx, tenant, &query.after, limit).await?,
        customer => {
            let after = query.after.parse().ok();
            app.loans.loans_of(&mut tx, tenant, customer, after, limit).await?
        }
    };
    let mut views = Vec::with_capacity(ids.len());
    for id in ids {
        let loan = app.loans.fold(&mut tx, tenant, id, today).await?;
        views.push(LoanListed {
            id,
            customer: app.loans.borrower(&mut tx, tenant, id).await?,
            principal: Money::new(&loan.contract().terms.currency, loan.contract().principal),
            start: loan.contract().start,
            standing: Standing::of(&loan)?,
        });
    }
    Ok(Json(Page::new(views, limit, |view| view.id.to_string())))
}

/// Which day a question is about.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OnQuery {
    /// The day, ISO 8601; the business date when absent.
    #[serde(default)]
    #[param(value_type = Option<String>, format = Date)]
    pub(crate) on: Option<Date>,
}

/// Shows a loan and where it stands on a day: status, days past due, bucket, provisioning stage,
/// forbearance, what is owed and due, lines, allocations. All of it is derived from the events.
#[utoipa::path(get, path = "/v1/loans/{id}", tag = "loans", params(("id" = Uuid, Path), OnQuery),
    security(("api_key" = [])),
    responses((status = 200, body = Object), (status = "default", body = ProblemDocument)))]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
    Args(query): Args<OnQuery>,
) -> Result<Json<LoanRecord>, Problem> {
    caller.require(Scope::Read)?;
    let tenant = TenantId::new(caller.tenant);
    let mut tx = app.db.read().await?;
    let on = super::day(&app, &mut tx, tenant, query.on).await?;
    Ok(Json(app.loans.loan(&mut tx, tenant, id, on).await?))
}

/// The events of a loan in the order of recording; everything else about it follows from them.
#[utoipa::path(get, path = "/v1/loans/{id}/events", tag = "loans", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = Vec<Object>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn events(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
) -> Result<Json<Vec<Event>>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    Ok(Json(app.loans.events(&mut tx, TenantId::new(caller.tenant), id).await?))
}

/// What each payment paid: payment, day, instalment, component, amount.
#[utoipa::path(get, path = "/v1/loans/{id}/allocations", tag = "loans", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = Vec<Object>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn allocations(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
) -> Result<Json<Vec<Allocation>>, Problem> {
    caller.require(Scope::Read)?;
    let tenant = TenantId::new(caller.tenant);
    let mut tx = app.db.read().await?;
    let today = app.loans.today_in(&mut tx, tenant).await?;
    let loan = app.loans.fold(&mut tx, tenant, id, today).await?;
    Ok(Json(loan.allocations().to_vec()))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LoanSchedule {
    /// The schedule as it was agreed at first, with its totals.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    agreed: Schedule,
    /// The instalments that are still to come, after all changes and prepayments.
    #[schema(value_type = Vec<Object>)]
    coming: Vec<Instalment>,
}

/// Shows the agreed schedule (every instalment, total cost) and, under `coming`, where changes have
/// led.
#[utoipa::path(get, path = "/v1/loans/{id}/schedule", tag = "loans", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = LoanSchedule), (status = "default", body = ProblemDocument)))]
pub(crate) async fn schedule(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
) -> Result<Json<LoanSchedule>, Problem> {
    caller.require(Scope::Read)?;
    let tenant = TenantId::new(caller.tenant);
    let mut tx = app.db.read().await?;
    let agreed = app.loans.schedule(&mut tx, tenant, id).await?;
    let today = app.loans.today_in(&mut tx, tenant).await?;
    let loan = app.loans.fold(&mut tx, tenant, id, today).await?;
    Ok(Json(LoanSchedule { agreed, coming: loan.coming().cloned().collect() }))
}
