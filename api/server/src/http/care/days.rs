use api_care::{Closed, TenantDays};
use api_ledger::TenantId;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::error::{Code, Error};
use crate::http::auth::{Caller, Operator, Scope};
use crate::http::extract::Body;
use crate::http::problem::{Problem, ProblemDocument};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndOfDay {
    /// The last day to close, ISO 8601. In a sandbox it may be to come: the clock is then set to noon
    /// (UTC) of the day after it.
    #[schema(value_type = String, format = Date)]
    through: Date,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EndOfDayDone {
    /// Days of tenants that were closed.
    days: u64,
    /// Loans that were brought up to a day, each time counted.
    loans: u64,
    /// Ledger transfers that were posted.
    transfers: u64,
    /// Offers that were made.
    offers: u64,
    /// The day it is now, in UTC.
    business_date: String,
}

/// Closes every day up to and including `through` (operator): interest and penalty accrue, what falls
/// due is billed and paid from held money, late fees are charged, and loans that show early signs of
/// trouble get an offer. A day is closed once; the job does the same by itself when a day is over.
#[utoipa::path(post, path = "/v1/operator/end-of-day", tag = "operator", request_body = EndOfDay,
    security(("api_key" = [])),
    responses((status = 200, body = EndOfDayDone), (status = "default", body = ProblemDocument)))]
pub(crate) async fn close(
    State(app): State<App>,
    _: Operator,
    body: Body<EndOfDay>,
) -> Result<Json<EndOfDayDone>, Problem> {
    let through = body.value.through;
    let next = through.tomorrow().map_err(|_| Error::from(Code::Unprocessable))?;
    if app.clock.is_simulated() && next > app.loans.today() {
        let noon = next.at(12, 0, 0, 0).to_zoned(TimeZone::UTC).map_err(unusable)?;
        app.clock.set(&app.db, noon.timestamp()).await?;
    }
    let Closed { days, loans, transfers, offers } = app.care.close_through(through).await?;
    let business_date = app.loans.today().to_string();
    Ok(Json(EndOfDayDone { days, loans, transfers, offers, business_date }))
}

fn unusable(error: jiff::Error) -> Error {
    Error::refuse(Code::Unprocessable, error.to_string())
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CalendarView {
    tenant: String,
    /// The IANA name of the zone in which the tenant's days end.
    zone: String,
    /// The day it is there.
    business_date: String,
    /// The last day that was closed.
    last_closed: Option<String>,
}

impl From<TenantDays> for CalendarView {
    fn from(days: TenantDays) -> Self {
        Self {
            tenant: days.tenant.to_string(),
            zone: days.zone,
            business_date: days.business_date.to_string(),
            last_closed: days.last_closed.map(|day| day.to_string()),
        }
    }
}

/// Where each tenant with loans stands in the calendar (operator).
#[utoipa::path(get, path = "/v1/operator/end-of-day", tag = "operator", security(("api_key" = [])),
    responses((status = 200, body = Vec<CalendarView>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn calendars(
    State(app): State<App>,
    _: Operator,
) -> Result<Json<Vec<CalendarView>>, Problem> {
    Ok(Json(app.care.calendars().await?.into_iter().map(Into::into).collect()))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ClockView {
    /// What the clock of the loan book shows.
    now: String,
    /// Whether it can be set.
    simulated: bool,
}

fn shown(app: &App) -> Json<ClockView> {
    Json(ClockView { now: app.clock.now().to_string(), simulated: app.clock.is_simulated() })
}

/// The clock of the loan book (operator).
#[utoipa::path(get, path = "/v1/operator/clock", tag = "operator", security(("api_key" = [])),
    responses((status = 200, body = ClockView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn clock(State(app): State<App>, _: Operator) -> Json<ClockView> {
    shown(&app)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewClock {
    /// What it is to show, RFC 3339. Days that were closed do not open again.
    #[schema(value_type = String, format = DateTime)]
    now: Timestamp,
}

/// Sets the clock of the loan book (operator); only in a sandbox, with `care.simulated_clock`.
#[utoipa::path(post, path = "/v1/operator/clock", tag = "operator", request_body = NewClock,
    security(("api_key" = [])),
    responses((status = 200, body = ClockView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn set_clock(
    State(app): State<App>,
    _: Operator,
    body: Body<NewClock>,
) -> Result<Json<ClockView>, Problem> {
    app.clock.set(&app.db, body.value.now).await?;
    Ok(shown(&app))
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ZoneView {
    /// The IANA name of a time zone.
    #[schema(example = "Asia/Shanghai")]
    zone: String,
}

/// The zone in which the tenant's days end; UTC at first.
#[utoipa::path(get, path = "/v1/business-zone", tag = "care", security(("api_key" = [])),
    responses((status = 200, body = ZoneView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn zone(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<ZoneView>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    let zone = app.care.zone(&mut tx, TenantId::new(caller.tenant)).await?;
    Ok(Json(ZoneView { zone }))
}

/// Sets it.
#[utoipa::path(put, path = "/v1/business-zone", tag = "care", request_body = ZoneView,
    security(("api_key" = [])),
    responses((status = 204, description = "Set"), (status = "default", body = ProblemDocument)))]
pub(crate) async fn set_zone(
    State(app): State<App>,
    caller: Caller,
    body: Body<ZoneView>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Loans)?;
    app.care.set_zone(TenantId::new(caller.tenant), &body.value.zone).await?;
    Ok(StatusCode::NO_CONTENT)
}
