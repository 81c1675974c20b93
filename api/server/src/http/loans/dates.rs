use api_audit::Record;
use api_ledger::TenantId;
use api_loans::DateSource;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::append;
use crate::app::{App, now_ms};
use crate::error::Error;
use crate::flows::reports::BUSINESS_DATE;
use crate::http::auth::{Caller, Operator, Scope};
use crate::http::extract::{Body, Params};
use crate::http::missing;
use crate::http::problem::{Problem, ProblemDocument};
use crate::repo::tenants;

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BusinessDate {
    /// The day that every loan of the tenant takes for today, ISO 8601.
    #[schema(value_type = String, format = Date)]
    date: Date,
    /// `calendar` (UTC), or `operator` once the operator has moved it.
    #[schema(value_type = String)]
    source: DateSource,
}

/// Which day it is for the tenant's loans.
#[utoipa::path(get, path = "/v1/business-date", tag = "loans", security(("api_key" = [])),
    responses((status = 200, body = BusinessDate), (status = "default", body = ProblemDocument)))]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<BusinessDate>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    let (date, source) = app.loans.business_date(&mut tx, TenantId::new(caller.tenant)).await?;
    Ok(Json(BusinessDate { date, source }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewBusinessDate {
    /// The new day, not before one that was reached.
    #[schema(value_type = String, format = Date)]
    date: Date,
}

/// Moves a tenant's business date (operator). From then on it stays until it is moved again; it never
/// goes back. The end of the day follows it.
#[utoipa::path(put, path = "/v1/tenants/{id}/business-date", tag = "operator", params(("id" = Uuid, Path)),
    request_body = NewBusinessDate, security(("api_key" = [])),
    responses((status = 200, body = BusinessDate), (status = "default", body = ProblemDocument)))]
pub(crate) async fn set(
    State(app): State<App>,
    _: Operator,
    Params(id): Params<Uuid>,
    body: Body<NewBusinessDate>,
) -> Result<Json<BusinessDate>, Problem> {
    let date = body.value.date;
    let mut tx = app.db.begin().await?;
    if !tenants::exists(&mut tx, id).await? {
        return Err(missing("tenant").into());
    }
    app.loans.set_business_date(&mut tx, TenantId::new(id), date).await?;
    append(&app, &mut tx, &moved(id, &date.to_string())).await?;
    tx.commit().await?;
    Ok(Json(BusinessDate { date, source: DateSource::Operator }))
}

/// Lets the calendar tell a tenant's business date again, once it has reached it (operator).
#[utoipa::path(delete, path = "/v1/tenants/{id}/business-date", tag = "operator",
    params(("id" = Uuid, Path)), security(("api_key" = [])),
    responses((status = 200, body = BusinessDate), (status = "default", body = ProblemDocument)))]
pub(crate) async fn follow(
    State(app): State<App>,
    _: Operator,
    Params(id): Params<Uuid>,
) -> Result<Json<BusinessDate>, Problem> {
    let mut tx = app.db.begin().await?;
    if !tenants::exists(&mut tx, id).await? {
        return Err(missing("tenant").into());
    }
    let tenant = TenantId::new(id);
    app.loans.follow_calendar(&mut tx, tenant).await?;
    let (date, source) = app.loans.business_date(&mut tx, tenant).await?;
    append(&app, &mut tx, &moved(id, "calendar")).await?;
    tx.commit().await?;
    Ok(Json(BusinessDate { date, source }))
}

/// The record has the clock's time by itself: both days are provable.
fn moved(tenant: Uuid, to: &str) -> Record {
    Record::new(BUSINESS_DATE, now_ms())
        .external_id(tenant.to_string(), format!("business-date:{}", Uuid::now_v7()))
        .field("business_date", to)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClosedThrough {
    /// The last closed day, ISO 8601.
    #[schema(value_type = String, format = Date)]
    date: Date,
}

/// Closes the tenant's loan books up to a day: what corrects an earlier day is posted to the first
/// open one; the borrower's day stays. It never goes back.
#[utoipa::path(put, path = "/v1/loan-books/closed-through", tag = "loans", request_body = ClosedThrough,
    security(("api_key" = [])),
    responses((status = 204, description = "Closed"), (status = "default", body = ProblemDocument)))]
pub(crate) async fn close_books(
    State(app): State<App>,
    caller: Caller,
    body: Body<ClosedThrough>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Loans)?;
    let (tenant, date) = (TenantId::new(caller.tenant), body.value.date);
    let mut tx = app.db.begin().await?;
    if date > app.loans.today_in(&mut tx, tenant).await? {
        let detail = "books of a day to come cannot be closed";
        return Err(Error::refuse(crate::error::Code::LoanDateInvalid, detail).into());
    }
    app.loans.close_books(&mut tx, tenant, date).await?;
    let record = Record::new("loans.books_closed", now_ms())
        .external_id(caller.tenant.to_string(), format!("books-closed:{}", Uuid::now_v7()))
        .field("through", date.to_string());
    append(&app, &mut tx, &record).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
