use api_audit::Record;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::append;
use crate::app::{App, now_ms};
use crate::books::HOUSE;
use crate::error::{Code, Error};
use crate::flows::topups;
use crate::http::auth::Operator;
use crate::http::extract::{Args, Body};
use crate::http::idempotency::{self, Begun, Key};
use crate::http::missing;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::views::{Money, Page, PageQuery, time};
use crate::repo::bank::{self, BankLine};
use crate::repo::customers;

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SuspendedLine {
    /// The bank's id of the line.
    id: String,
    #[serde(flatten)]
    money: Money,
    booked_on: String,
    /// What the payer wrote.
    reference: String,
    /// The tenant whose loan was named, when one was.
    tenant: Option<Uuid>,
    created_at: String,
}

impl From<BankLine> for SuspendedLine {
    fn from(line: BankLine) -> Self {
        Self {
            money: Money::new(&line.currency, line.amount),
            id: line.id,
            booked_on: line.booked_on,
            reference: line.reference,
            tenant: line.tenant.filter(|tenant| *tenant != HOUSE),
            created_at: time(line.created_at),
        }
    }
}

/// Money from the bank whose owner is not known (operator).
#[utoipa::path(get, path = "/v1/treasury/suspense", tag = "operator", params(PageQuery),
    security(("api_key" = [])),
    responses((status = 200, body = Page<SuspendedLine>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn list(
    State(app): State<App>,
    _: Operator,
    Args(page): Args<PageQuery>,
) -> Result<Json<Page<SuspendedLine>>, Problem> {
    let limit = page.limit()?;
    let mut tx = app.db.read().await?;
    let found = bank::suspended(&mut tx, &page.after, limit).await?;
    let views = found.into_iter().map(SuspendedLine::from).collect();
    Ok(Json(Page::new(views, limit, |view: &SuspendedLine| view.id.clone())))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewMatch {
    /// The bank's id of the line.
    line: String,
    /// Whose money it is. Give this or `loan`.
    customer: Option<Uuid>,
    /// Which loan it repays, from the day on which the bank booked it.
    loan: Option<Uuid>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Matched {
    line: String,
    customer: Uuid,
    loan: Option<Uuid>,
    /// The audit record of the match.
    record: String,
}

/// Says whose money a line in suspense is: a customer's, or a loan's repayment (operator). It is moved
/// once.
#[utoipa::path(post, path = "/v1/treasury/suspense-matches", tag = "operator", request_body = NewMatch,
    params(("Idempotency-Key" = String, Header, description = "1 to 128 visible ASCII characters")),
    security(("api_key" = [])),
    responses((status = 201, body = Matched), (status = "default", body = ProblemDocument)))]
pub(crate) async fn resolve(
    State(app): State<App>,
    _: Operator,
    key: Key,
    body: Body<NewMatch>,
) -> Result<Response, Problem> {
    let new = body.value;
    let mut attempt = match idempotency::begin(&app, HOUSE, key, body.hash).await? {
        Begun::Replay(response) => return Ok(response),
        Begun::Fresh(attempt) => attempt,
    };
    let tx = &mut attempt.tx;
    let (tenant, customer) = match (new.customer, new.loan) {
        (Some(customer), None) => {
            let found = customers::by_id(tx, customer).await?.ok_or_else(|| missing("customer"))?;
            (found.tenant, customer)
        }
        (None, Some(loan)) => {
            let tenant = app.loans.tenant_of(tx, loan).await?.ok_or_else(|| missing("loan"))?;
            (tenant.get(), super::borrower(&app, tx, tenant, loan).await?)
        }
        _ => {
            let detail = "give exactly one of customer and loan";
            return Err(Error::refuse(Code::Unprocessable, detail).into());
        }
    };
    let line = bank::lock_suspended(tx, &new.line).await?;
    let line = line.ok_or_else(|| missing("line in suspense"))?;
    let document = topups::document(&line.id);
    let from = line.tenant.unwrap_or(HOUSE);
    let to = (tenant, customer);
    app.book_match(tx, document, from, to, &line.currency, line.amount).await?;
    bank::set_matched(tx, &line.id, tenant, customer).await?;
    let record = Record::new("topup.matched", now_ms())
        .external_id(tenant.to_string(), format!("topup-match:{}", line.id))
        .field("line", &line.id)
        .field("currency", &line.currency)
        .field("amount", line.amount.to_string())
        .field("loan", new.loan.map_or_else(String::new, |loan| loan.to_string()));
    let record = append(&app, tx, &record).await?;
    if let Some(loan) = new.loan {
        topups::repay(&app, tx, &line, (tenant, loan)).await?;
    }
    let view = Matched { line: line.id, customer, loan: new.loan, record };
    Ok(attempt.finish(StatusCode::CREATED, &view).await?)
}
