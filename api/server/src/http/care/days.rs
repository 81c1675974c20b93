use api_care::{Closed, TenantDays};
use axum::Json;
use axum::extract::State;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::auth::Operator;
use crate::http::extract::Body;
use crate::http::problem::{Problem, ProblemDocument};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndOfDay {
    /// The last day to close, ISO 8601; every day that is over when absent.
    #[schema(value_type = Option<String>, format = Date)]
    through: Option<Date>,
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
}

/// Closes, for each tenant, the days that are over by its business date, up to `through` (operator):
/// interest and penalty accrue, what falls due is billed and paid from held money, late fees are
/// charged, and loans that show early signs of trouble get an offer. A day is closed once; the job
/// does the same by itself when a day is over.
#[utoipa::path(post, path = "/v1/operator/end-of-day", tag = "operator", request_body = EndOfDay,
    security(("api_key" = [])),
    responses((status = 200, body = EndOfDayDone), (status = "default", body = ProblemDocument)))]
pub(crate) async fn close(
    State(app): State<App>,
    _: Operator,
    body: Body<EndOfDay>,
) -> Result<Json<EndOfDayDone>, Problem> {
    let Closed { days, loans, transfers, offers } = app.care.close_days(body.value.through).await?;
    Ok(Json(EndOfDayDone { days, loans, transfers, offers }))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CalendarView {
    tenant: String,
    /// The day it is for the tenant's loans.
    business_date: String,
    /// The last day that was closed.
    last_closed: Option<String>,
}

impl From<TenantDays> for CalendarView {
    fn from(days: TenantDays) -> Self {
        Self {
            tenant: days.tenant.to_string(),
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
