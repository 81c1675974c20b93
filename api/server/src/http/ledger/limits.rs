use api_ledger::VelocityLimit;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accounts::record;
use super::wire::{AccountNumber, Minor};
use super::{found, own};
use crate::app::App;
use crate::error::{Code, Error};
use crate::http::auth::{Caller, Scope};
use crate::http::extract::{Body, Params};
use crate::http::missing;
use crate::http::problem::{Problem, ProblemDocument};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewLimit {
    /// The length of the window, at least 1; there is one limit for each length.
    window_secs: u32,
    /// At most this many transfers within any window; any number when absent.
    count_max: Option<u32>,
    /// At most this much in all, in minor units; any amount when absent.
    #[schema(value_type = Option<String>)]
    sum_max: Option<Minor>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LimitView {
    window_secs: u32,
    count_max: Option<u32>,
    sum_max: Option<String>,
}

impl From<VelocityLimit> for LimitView {
    fn from(limit: VelocityLimit) -> Self {
        Self {
            window_secs: limit.window_secs,
            count_max: limit.count_max,
            sum_max: limit.sum_max.map(|sum| sum.to_string()),
        }
    }
}

/// How much may leave an account within a time.
#[utoipa::path(get, path = "/v1/ledger/accounts/{id}/limits", tag = "ledger", params(("id" = String, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = Vec<LimitView>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<AccountNumber>,
) -> Result<Json<Vec<LimitView>>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    let (account, _) = found(&app, &mut tx, &caller, id).await?;
    let limits = app.ledger.limits(&mut tx, account.id).await?;
    Ok(Json(limits.into_iter().map(LimitView::from).collect()))
}

/// Sets how many transfers and how much money may leave an account of your own within any window of
/// this length. Money that a pending transfer reserves counts when it is reserved.
#[utoipa::path(put, path = "/v1/ledger/accounts/{id}/limits", tag = "ledger", params(("id" = String, Path)),
    request_body = NewLimit, security(("api_key" = [])),
    responses((status = 200, body = Vec<LimitView>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn set(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<AccountNumber>,
    body: Body<NewLimit>,
) -> Result<Json<Vec<LimitView>>, Problem> {
    caller.require(Scope::Ledger)?;
    let new = body.value;
    let mut tx = app.db.begin().await?;
    let account = own(&app, &mut tx, &caller, id).await?;
    if new.window_secs == 0 || (new.count_max.is_none() && new.sum_max.is_none()) {
        let detail = "a limit has a window of at least 1 second, and count_max or sum_max or both";
        return Err(Error::refuse(Code::Unprocessable, detail).into());
    }
    let sum_max = new.sum_max.map(Minor::get).transpose().map_err(Error::from)?;
    let limit = VelocityLimit { window_secs: new.window_secs, count_max: new.count_max, sum_max };
    app.ledger.set_limit(&mut tx, account.id, &limit).await?;
    let (window, any) = (limit.window_secs.to_string(), || "any".to_owned());
    let count = limit.count_max.map_or_else(any, |count| count.to_string());
    let sum = limit.sum_max.map_or_else(any, |sum| sum.to_string());
    let fields = [("window_secs", &*window), ("count_max", &count), ("sum_max", &sum)];
    record(&app, &mut tx, &caller, "ledger.limit_set", account.id, &fields).await?;
    let limits = app.ledger.limits(&mut tx, account.id).await?;
    tx.commit().await?;
    Ok(Json(limits.into_iter().map(LimitView::from).collect()))
}

/// Removes the limit for windows of this length.
#[utoipa::path(delete, path = "/v1/ledger/accounts/{id}/limits/{window_secs}", tag = "ledger",
    params(("id" = String, Path), ("window_secs" = u32, Path)), security(("api_key" = [])),
    responses((status = 204, description = "Removed"), (status = "default", body = ProblemDocument)))]
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Params((id, window_secs)): Params<(AccountNumber, u32)>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Ledger)?;
    let mut tx = app.db.begin().await?;
    let account = own(&app, &mut tx, &caller, id).await?;
    let limits = app.ledger.limits(&mut tx, account.id).await?;
    if !limits.iter().any(|limit| limit.window_secs == window_secs) {
        return Err(missing("limit").into());
    }
    app.ledger.remove_limit(&mut tx, account.id, window_secs).await?;
    let window = window_secs.to_string();
    let fields = [("window_secs", window.as_str())];
    record(&app, &mut tx, &caller, "ledger.limit_removed", account.id, &fields).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
