use api_ledger::TenantId;
use api_loans::reminders::{Hours, Profile, Rung};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::auth::{Caller, Scope};
use crate::http::extract::{Body, Params};
use crate::http::missing;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::views::check_text;

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProfilesView {
    /// What comes with the server: examples, not legal advice.
    #[schema(value_type = Vec<Object>)]
    built_in: Vec<Profile>,
    /// The tenant's own; one of these goes before a built-in one of the same name.
    #[schema(value_type = Vec<Object>)]
    own: Vec<Profile>,
}

/// The profiles by which reminders are decided: hours, caps and the ladder of a jurisdiction.
#[utoipa::path(get, path = "/v1/reminder-profiles", tag = "care", security(("api_key" = [])),
    responses((status = 200, body = ProfilesView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<ProfilesView>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    let own = app.loans.profiles(&mut tx, TenantId::new(caller.tenant)).await?;
    let built_in: Result<_, _> = Profile::BUILT_IN.into_iter().map(Profile::built_in).collect();
    Ok(Json(ProfilesView { built_in: built_in?, own }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewProfile {
    /// When a debtor may be reached, in the debtor's own time zone.
    #[schema(value_type = Object, example = json!({"from": "08:00:00", "until": "20:00:00", "rest_days": [7]}))]
    hours: Hours,
    /// The most reminders in one local day.
    per_day: u32,
    /// The most reminders in seven days.
    per_week: u32,
    /// The escalation, by ascending days.
    #[schema(value_type = Vec<Object>, example = json!([{"from_days": 1, "template": "overdue", "channels": ["email", "in_app"]}]))]
    ladder: Vec<Rung>,
}

/// Stores a profile of the tenant's own. It counts at once for everybody who is reminded by it.
#[utoipa::path(put, path = "/v1/reminder-profiles/{name}", tag = "care", params(("name" = String, Path)),
    request_body = NewProfile, security(("api_key" = [])),
    responses((status = 204, description = "Stored"), (status = "default", body = ProblemDocument)))]
pub(crate) async fn set(
    State(app): State<App>,
    caller: Caller,
    Params(name): Params<String>,
    body: Body<NewProfile>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Loans)?;
    check_text("name", &name, 64)?;
    let NewProfile { hours, per_day, per_week, ladder } = body.value;
    let profile = Profile { name, hours, per_day, per_week, ladder };
    let mut tx = app.db.begin().await?;
    app.loans.put_profile(&mut tx, TenantId::new(caller.tenant), &profile).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes a profile of the tenant's own; who is reminded by it keeps it as it was when it was set.
#[utoipa::path(delete, path = "/v1/reminder-profiles/{name}", tag = "care",
    params(("name" = String, Path)), security(("api_key" = [])),
    responses((status = 204, description = "Removed"), (status = "default", body = ProblemDocument)))]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Params(name): Params<String>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Loans)?;
    let mut tx = app.db.begin().await?;
    if !app.loans.delete_profile(&mut tx, TenantId::new(caller.tenant), &name).await? {
        return Err(missing("profile").into());
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
