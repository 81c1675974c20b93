use api_care::Consent;
use api_ledger::TenantId;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{channel, own};
use crate::app::App;
use crate::http::auth::{Caller, Scope};
use crate::http::extract::{Body, Params};
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::views::check_text;

const PROOF_CHARS_MAX: usize = 2_000;

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConsentView {
    id: Uuid,
    /// A channel, or `all` for an opt-out and what takes it back.
    channel: String,
    /// Given, or withdrawn.
    granted: bool,
    /// How it is shown that the customer said so; absent once it was erased.
    proof: Option<String>,
    at: String,
}

impl From<Consent> for ConsentView {
    fn from(consent: Consent) -> Self {
        Self {
            id: consent.id,
            channel: consent.channel,
            granted: consent.granted,
            proof: consent.proof,
            at: consent.at.to_string(),
        }
    }
}

/// Every consent of a customer and every withdrawal of one, the oldest first.
#[utoipa::path(get, path = "/v1/customers/{id}/consents", tag = "care", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = Vec<ConsentView>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(customer): Params<Uuid>,
) -> Result<Json<Vec<ConsentView>>, Problem> {
    caller.require(Scope::Customers)?;
    let mut tx = app.db.read().await?;
    own(&mut tx, &caller, customer).await?;
    let all = app.care.consents(&mut tx, TenantId::new(caller.tenant), customer).await?;
    Ok(Json(all.into_iter().map(Into::into).collect()))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewConsent {
    /// Given, or withdrawn.
    granted: bool,
    /// How it is shown that the customer said so, such as the form and its version: up to 2,000
    /// characters, encrypted. A consent needs one.
    proof: Option<String>,
}

/// Records that a customer consents to a channel (`in_app`, `push`, `sms`, `email`), or does not any
/// more.
#[utoipa::path(put, path = "/v1/customers/{id}/consents/{channel}", tag = "care",
    params(("id" = Uuid, Path), ("channel" = String, Path)), request_body = NewConsent,
    security(("api_key" = [])),
    responses((status = 204, description = "Recorded"), (status = "default", body = ProblemDocument)))]
pub(crate) async fn set(
    State(app): State<App>,
    caller: Caller,
    Params((customer, name)): Params<(Uuid, String)>,
    body: Body<NewConsent>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Customers)?;
    let NewConsent { granted, proof } = body.value;
    if let Some(proof) = &proof {
        check_text("proof", proof, PROOF_CHARS_MAX)?;
    }
    let mut tx = app.db.begin().await?;
    own(&mut tx, &caller, customer).await?;
    let (tenant, channel) = (TenantId::new(caller.tenant), channel(&name)?);
    app.care.consent(&mut tx, tenant, customer, channel, granted, proof.as_deref()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Stops all reminders of a customer, on every channel, from this moment on: also those that were
/// decided and have not left yet.
#[utoipa::path(post, path = "/v1/customers/{id}/opt-out", tag = "care", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 204, description = "Stopped"), (status = "default", body = ProblemDocument)))]
pub(crate) async fn opt_out(
    State(app): State<App>,
    caller: Caller,
    Params(customer): Params<Uuid>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Customers)?;
    let mut tx = app.db.begin().await?;
    own(&mut tx, &caller, customer).await?;
    app.care.opt_out(&mut tx, TenantId::new(caller.tenant), customer, "the API").await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OptIn {
    /// How it is shown that the customer said so.
    proof: String,
}

/// Takes an opt-out back, at the customer's word; consents count again as they stand.
#[utoipa::path(post, path = "/v1/customers/{id}/opt-in", tag = "care", params(("id" = Uuid, Path)),
    request_body = OptIn, security(("api_key" = [])),
    responses((status = 204, description = "Taken back"), (status = "default", body = ProblemDocument)))]
pub(crate) async fn opt_in(
    State(app): State<App>,
    caller: Caller,
    Params(customer): Params<Uuid>,
    body: Body<OptIn>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Customers)?;
    check_text("proof", &body.value.proof, PROOF_CHARS_MAX)?;
    let mut tx = app.db.begin().await?;
    own(&mut tx, &caller, customer).await?;
    let tenant = TenantId::new(caller.tenant);
    app.care.opt_in(&mut tx, tenant, customer, &body.value.proof).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
