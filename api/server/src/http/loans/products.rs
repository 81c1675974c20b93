use std::collections::BTreeMap;

use api_audit::Record;
use api_ledger::TenantId;
use api_loans::cost::{AnnualRateRule, annual_rate};
use api_loans::schedule::Schedule;
use api_loans::terms::{Contract, Terms};
use api_loans::{LoanError, NewProduct, Product};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{append, parse, views};
use crate::app::{App, now_ms};
use crate::error::{Code, Error};
use crate::http::auth::{Caller, Scope};
use crate::http::extract::{Args, Body, Params};
use crate::http::missing;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::views::{Page, PageQuery};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewLoanProduct {
    /// Unique in the tenant.
    name: String,
    /// The terms as data; `docs/LOANS.md` has every field. The least: `currency`, `product`, `rate`,
    /// `day_count`, `frequency`, `instalments`.
    #[schema(value_type = Object, example = json!({"currency": "EUR", "product": {"kind": "annuity"},
        "rate": "0.06", "day_count": "30E/360", "frequency": {"unit": "monthly", "every": 1}, "instalments": 12}))]
    terms: serde_json::Value,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LoanProductView {
    id: Uuid,
    name: String,
    #[schema(value_type = Object)]
    terms: Terms,
}

impl From<Product> for LoanProductView {
    fn from(product: Product) -> Self {
        Self { id: product.id, name: product.name, terms: product.terms }
    }
}

/// Creates a loan product.
#[utoipa::path(post, path = "/v1/loan-products", tag = "loans", request_body = NewLoanProduct,
    security(("api_key" = [])),
    responses((status = 201, body = LoanProductView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    body: Body<NewLoanProduct>,
) -> Result<(StatusCode, Json<LoanProductView>), Problem> {
    caller.require(Scope::Loans)?;
    let NewLoanProduct { name, terms } = body.value;
    let terms: Terms = parse(terms)?;
    views::currency(&app, &terms.currency)?;
    let new = NewProduct { id: Uuid::now_v7(), name, terms };
    let mut tx = app.db.begin().await?;
    let product = app.loans.create_product(&mut tx, TenantId::new(caller.tenant), &new).await?;
    let record = Record::new("loan.product", now_ms())
        .external_id(caller.tenant.to_string(), format!("loan-product:{}", product.id))
        .field("product", product.id.to_string())
        .field("name", &product.name)
        .field("terms", serde_json::to_string(&product.terms)?);
    append(&app, &mut tx, &record).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(product.into())))
}

/// Lists the loan products by name; `after` is a name.
#[utoipa::path(get, path = "/v1/loan-products", tag = "loans", params(PageQuery), security(("api_key" = [])),
    responses((status = 200, body = Page<LoanProductView>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Args(query): Args<PageQuery>,
) -> Result<Json<Page<LoanProductView>>, Problem> {
    caller.require(Scope::Read)?;
    let limit = query.limit()?;
    let mut tx = app.db.read().await?;
    let tenant = TenantId::new(caller.tenant);
    let found = app.loans.products(&mut tx, tenant, &query.after, limit).await?;
    let views = found.into_iter().map(LoanProductView::from).collect();
    Ok(Json(Page::new(views, limit, |view| view.name.clone())))
}

/// Shows a loan product.
#[utoipa::path(get, path = "/v1/loan-products/{id}", tag = "loans", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = LoanProductView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
) -> Result<Json<LoanProductView>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    Ok(Json(product(&app, &mut tx, &caller, id).await?.into()))
}

async fn product(
    app: &App,
    tx: &mut api_store::Tx,
    caller: &Caller,
    id: Uuid,
) -> Result<Product, Error> {
    match app.loans.product(tx, TenantId::new(caller.tenant), id).await {
        Err(api_loans::ServiceError::Loan(LoanError::UnknownProduct(_))) => {
            Err(missing("loan product"))
        }
        other => Ok(other?),
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuoteRequest {
    /// A product of the tenant. Give this or `terms`.
    product: Option<Uuid>,
    /// Terms as in `POST /v1/loan-products`.
    #[schema(value_type = Option<Object>)]
    terms: Option<serde_json::Value>,
    /// Minor units.
    principal: String,
    /// The day of the disbursement; the business date when absent.
    #[schema(value_type = Option<String>, format = Date)]
    start: Option<Date>,
    /// The first due date; one period after the start when absent.
    #[schema(value_type = Option<String>, format = Date)]
    first_due: Option<Date>,
    /// `eu_aprc`, `us_reg_z` or `xirr`; all three when absent.
    #[schema(value_type = Option<String>)]
    annual_rate_rule: Option<AnnualRateRule>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LoanQuote {
    currency: String,
    /// Every instalment, interest, fees and the total cost.
    #[schema(value_type = Object)]
    schedule: Schedule,
    /// The annual rate by each rule, as a decimal; null where the rule defines none.
    #[schema(value_type = Object, example = json!({"eu_aprc": "0.06167781"}))]
    annual_rates: BTreeMap<&'static str, Option<String>>,
}

/// What a loan would cost: the schedule and the annual rate. Nothing is stored.
#[utoipa::path(post, path = "/v1/loan-quotes", tag = "loans", request_body = QuoteRequest,
    security(("api_key" = [])),
    responses((status = 200, body = LoanQuote), (status = "default", body = ProblemDocument)))]
pub(crate) async fn quote(
    State(app): State<App>,
    caller: Caller,
    body: Body<QuoteRequest>,
) -> Result<Json<LoanQuote>, Problem> {
    caller.require(Scope::Read)?;
    let request = body.value;
    let principal = views::amount(&request.principal)?;
    let mut tx = app.db.read().await?;
    let tenant = TenantId::new(caller.tenant);
    let terms = match (request.product, request.terms) {
        (Some(product), None) => app.loans.product(&mut tx, tenant, product).await?.terms,
        (None, Some(terms)) => parse(terms)?,
        _ => {
            let detail = "give exactly one of product and terms";
            return Err(Error::refuse(Code::Unprocessable, detail).into());
        }
    };
    views::currency(&app, &terms.currency)?;
    let start = match request.start {
        Some(start) => start,
        None => app.loans.today_in(&mut tx, tenant).await?,
    };
    let contract = Contract { terms, principal, start, first_due: request.first_due };
    // Thousands of decimal powers for a long schedule: not on a thread that serves requests.
    let rule = request.annual_rate_rule;
    let work = tokio::task::spawn_blocking(move || compute(contract, rule));
    Ok(Json(work.await.map_err(Error::internal)??))
}

fn compute(contract: Contract, rule: Option<AnnualRateRule>) -> Result<LoanQuote, Error> {
    let schedule = Schedule::build(&contract)?;
    let annual_rates = annual_rates(&contract, &schedule, rule)?;
    Ok(LoanQuote { currency: contract.terms.currency, schedule, annual_rates })
}

/// By each rule; a rule that the caller names must define one.
fn annual_rates(
    contract: &Contract,
    schedule: &Schedule,
    named: Option<AnnualRateRule>,
) -> Result<BTreeMap<&'static str, Option<String>>, Error> {
    let rules = [
        ("eu_aprc", AnnualRateRule::EuAprc),
        ("us_reg_z", AnnualRateRule::UsRegZ),
        ("xirr", AnnualRateRule::Xirr),
    ];
    let mut rates = BTreeMap::new();
    for (name, rule) in rules {
        if named.is_some_and(|named| named != rule) {
            continue;
        }
        let rate = match annual_rate(schedule, contract.terms.frequency, rule) {
            Err(LoanError::NoAnnualRate) if named.is_none() => None,
            rate => Some(rate?.to_string()),
        };
        rates.insert(name, rate);
    }
    Ok(rates)
}
