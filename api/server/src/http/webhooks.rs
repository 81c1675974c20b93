use api_webhooks::{DeadLetter, Endpoint, NewEndpoint, WebhookError, Webhooks};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::auth::{Caller, Scope};
use super::events::event_types;
use super::extract::{Args, Body, Params, Plain};
use super::ledger::check_limit;
use super::missing;
use super::problem::{Problem, ProblemDocument};
use crate::app::App;
use crate::error::{Code, Error};

const MS_PER_SECOND: i64 = 1000;

/// The routes below `/v1/webhooks`.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get, delete))
        .routes(routes!(set_types))
        .routes(routes!(rotate_secret))
        .routes(routes!(drop_old_secret))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(replay))
        .routes(routes!(dead_letters))
        .routes(routes!(retry_dead_letters))
}

fn webhooks(app: &App) -> Result<&Webhooks, Error> {
    app.webhooks.as_ref().ok_or_else(|| Code::WebhooksDisabled.into())
}

impl From<WebhookError> for Error {
    fn from(error: WebhookError) -> Self {
        match error {
            WebhookError::Store(error) => error.into(),
            WebhookError::Ledger(error) => error.into(),
            WebhookError::Url(error) => Self::refuse(Code::InvalidUrl, error.to_string()),
            WebhookError::UnknownEndpoint => missing("webhook endpoint"),
            WebhookError::Range => Self::refuse(Code::Unprocessable, error.to_string()),
            WebhookError::TooMany | WebhookError::OldSecret => {
                Self::refuse(Code::InvalidState, error.to_string())
            }
            WebhookError::Vault(_) | WebhookError::Stopped => Self::internal(error),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EndpointView {
    id: Uuid,
    url: String,
    /// The types of events that it is told about; empty for all.
    types: Vec<String>,
    /// False when it is paused, by you or because it answered 410.
    enabled: bool,
    /// The last event that was delivered or given up.
    last_sequence: i64,
    /// How often the next one was tried in vain.
    attempts: i64,
    /// Why the last attempt that failed did so.
    last_error: Option<String>,
    /// True while the secret before the last rotation signs too.
    has_old_secret: bool,
    created_at: String,
}

impl From<Endpoint> for EndpointView {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            id: endpoint.id,
            url: endpoint.url,
            types: endpoint.types.names().map(str::to_owned).collect(),
            enabled: endpoint.enabled,
            last_sequence: endpoint.last_sequence,
            attempts: endpoint.attempts,
            last_error: endpoint.last_error,
            has_old_secret: endpoint.has_old_secret,
            created_at: super::views::time(endpoint.created_at.saturating_mul(MS_PER_SECOND)),
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Receiver {
    /// Where to send events: `https`, on the public internet, without credentials.
    url: String,
    /// Send the events after this place of your sequence, 0 for all; only new ones when absent. A place that
    /// is not there yet is refused with `event_cursor_lost`.
    after: Option<i64>,
    /// Only these types of events: names such as `ledger.reversal`, or `ledger.*`; all when absent or
    /// empty.
    #[serde(default)]
    types: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EndpointCreated {
    #[serde(flatten)]
    endpoint: EndpointView,
    /// What signs its messages (`whsec_…`). It is shown once and stored sealed.
    secret: String,
}

/// Registers a receiver of your events. Messages are signed by the Standard Webhooks specification.
#[utoipa::path(post, path = "/v1/webhooks", tag = "webhooks", request_body = Receiver, security(("api_key" = [])),
    responses((status = 201, body = EndpointCreated), (status = "default", body = ProblemDocument)))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    body: Body<Receiver>,
) -> Result<(StatusCode, Json<EndpointCreated>), Problem> {
    caller.require(Scope::Webhooks)?;
    let (webhooks, tenant) = (webhooks(&app)?, caller.tenant.into());
    let Receiver { url, after, types } = body.value;
    if url.len() > 2000 || url.chars().any(char::is_control) {
        return Err(Error::from(Code::InvalidUrl).into());
    }
    let types = event_types(types.iter().map(String::as_str))?;
    let mut tx = app.db.begin().await?;
    let after = match after {
        Some(after) => after,
        None => app.ledger.last_event(&mut tx, tenant).await?,
    };
    let new = NewEndpoint { url: &url, after, types: &types };
    let (id, secret) = webhooks.create(&mut tx, tenant, &new).await?;
    let endpoint = webhooks.get(&mut tx, tenant, id).await?.into();
    tx.commit().await?;
    let created = EndpointCreated { endpoint, secret: secret.reveal() };
    Ok((StatusCode::CREATED, Json(created)))
}

/// Lists your receivers, without their secrets.
#[utoipa::path(get, path = "/v1/webhooks", tag = "webhooks", security(("api_key" = [])),
    responses((status = 200, body = Vec<EndpointView>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<Vec<EndpointView>>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    let found = webhooks(&app)?.list(&mut tx, caller.tenant.into()).await?;
    Ok(Json(found.into_iter().map(EndpointView::from).collect()))
}

/// Shows a receiver.
#[utoipa::path(get, path = "/v1/webhooks/{id}", tag = "webhooks", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = EndpointView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
) -> Result<Json<EndpointView>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    Ok(Json(webhooks(&app)?.get(&mut tx, caller.tenant.into(), id).await?.into()))
}

/// Removes a receiver and all that waits for it.
#[utoipa::path(delete, path = "/v1/webhooks/{id}", tag = "webhooks", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 204, description = "Removed"), (status = "default", body = ProblemDocument)))]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Webhooks)?;
    let mut tx = app.db.begin().await?;
    webhooks(&app)?.delete(&mut tx, caller.tenant.into(), id).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Types {
    /// The types of events that it is told about from now on; empty for all.
    types: Vec<String>,
}

/// Chooses the types of events that it is told about from now on: of those that were not sent yet, and of
/// those that are sent again.
#[utoipa::path(put, path = "/v1/webhooks/{id}/types", tag = "webhooks", params(("id" = Uuid, Path)),
    request_body = Types, security(("api_key" = [])),
    responses((status = 200, body = EndpointView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn set_types(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
    Plain(body): Plain<Types>,
) -> Result<Json<EndpointView>, Problem> {
    caller.require(Scope::Webhooks)?;
    let types = event_types(body.types.iter().map(String::as_str))?;
    let (webhooks, tenant) = (webhooks(&app)?, caller.tenant.into());
    let mut tx = app.db.begin().await?;
    webhooks.set_types(&mut tx, tenant, id, &types).await?;
    let view = webhooks.get(&mut tx, tenant, id).await?.into();
    tx.commit().await?;
    Ok(Json(view))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NewSecret {
    /// The new secret. It is shown once and stored sealed.
    secret: String,
}

/// Makes a new secret. From now on the new one and the one before both sign every message, until the
/// old one is dropped: replace it in the receiver in between. Until then a further rotation is refused
/// (`invalid_state`): it would end the secret that the receiver may still use.
#[utoipa::path(post, path = "/v1/webhooks/{id}/rotate-secret", tag = "webhooks", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = NewSecret), (status = "default", body = ProblemDocument)))]
pub(crate) async fn rotate_secret(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
) -> Result<Json<NewSecret>, Problem> {
    caller.require(Scope::Webhooks)?;
    let mut tx = app.db.begin().await?;
    let secret = webhooks(&app)?.rotate_secret(&mut tx, caller.tenant.into(), id).await?;
    tx.commit().await?;
    Ok(Json(NewSecret { secret: secret.reveal() }))
}

/// Ends the use of the secret before the last rotation.
#[utoipa::path(post, path = "/v1/webhooks/{id}/drop-old-secret", tag = "webhooks", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = EndpointView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn drop_old_secret(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
) -> Result<Json<EndpointView>, Problem> {
    caller.require(Scope::Webhooks)?;
    let (webhooks, tenant) = (webhooks(&app)?, caller.tenant.into());
    let mut tx = app.db.begin().await?;
    webhooks.drop_old_secret(&mut tx, tenant, id).await?;
    let view = webhooks.get(&mut tx, tenant, id).await?.into();
    tx.commit().await?;
    Ok(Json(view))
}

/// Sends nothing more for now; what happens meanwhile is sent after `resume`.
#[utoipa::path(post, path = "/v1/webhooks/{id}/pause", tag = "webhooks", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = EndpointView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn pause(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
) -> Result<Json<EndpointView>, Problem> {
    set_enabled(&app, &caller, id, false).await
}

/// Goes on after a pause, at once.
#[utoipa::path(post, path = "/v1/webhooks/{id}/resume", tag = "webhooks", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = EndpointView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn resume(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
) -> Result<Json<EndpointView>, Problem> {
    set_enabled(&app, &caller, id, true).await
}

async fn set_enabled(
    app: &App,
    caller: &Caller,
    id: Uuid,
    enabled: bool,
) -> Result<Json<EndpointView>, Problem> {
    caller.require(Scope::Webhooks)?;
    let (webhooks, tenant) = (webhooks(app)?, caller.tenant.into());
    let mut tx = app.db.begin().await?;
    webhooks.set_enabled(&mut tx, tenant, id, enabled).await?;
    let view = webhooks.get(&mut tx, tenant, id).await?.into();
    tx.commit().await?;
    Ok(Json(view))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Replay {
    /// The first place.
    first: i64,
    /// The last place; at most 10,000 events.
    last: i64,
}

/// Sends a range of events again, beside the stream, with the same `webhook-id` as before.
#[utoipa::path(post, path = "/v1/webhooks/{id}/replay", tag = "webhooks", params(("id" = Uuid, Path)),
    request_body = Replay, security(("api_key" = [])),
    responses((status = 202, description = "They will be sent"), (status = "default", body = ProblemDocument)))]
pub(crate) async fn replay(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
    body: Body<Replay>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Webhooks)?;
    let Replay { first, last } = body.value;
    let mut tx = app.db.begin().await?;
    webhooks(&app)?.replay(&mut tx, caller.tenant.into(), id, first, last).await?;
    tx.commit().await?;
    Ok(StatusCode::ACCEPTED)
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeadLettersQuery {
    /// The `next` of the page before; 0 to begin.
    #[serde(default)]
    after: i64,
    /// At most this many, 1 to 500; 100 when absent.
    #[serde(default = "super::ledger::default_limit")]
    limit: u32,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeadLetterView {
    /// The event's place.
    sequence: i64,
    /// How often it was tried.
    attempts: i64,
    /// Why the last attempt failed.
    last_error: String,
    /// When it was given up.
    created_at: String,
}

impl From<DeadLetter> for DeadLetterView {
    fn from(letter: DeadLetter) -> Self {
        let DeadLetter { sequence, attempts, last_error, created_at } = letter;
        let created_at = super::views::time(created_at.saturating_mul(MS_PER_SECOND));
        Self { sequence, attempts, last_error, created_at }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeadLetterPage {
    items: Vec<DeadLetterView>,
    /// Give this as `after` for the next page; absent at the end.
    next: Option<i64>,
}

/// The events that were given up after the last attempt, in the order of their places.
#[utoipa::path(get, path = "/v1/webhooks/{id}/dead-letters", tag = "webhooks",
    params(("id" = Uuid, Path), DeadLettersQuery), security(("api_key" = [])),
    responses((status = 200, body = DeadLetterPage), (status = "default", body = ProblemDocument)))]
pub(crate) async fn dead_letters(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
    Args(query): Args<DeadLettersQuery>,
) -> Result<Json<DeadLetterPage>, Problem> {
    caller.require(Scope::Read)?;
    let limit = check_limit(query.limit)?;
    let mut tx = app.db.read().await?;
    let tenant = caller.tenant.into();
    let found = webhooks(&app)?.dead_letters(&mut tx, tenant, id, query.after, limit).await?;
    let full = u32::try_from(found.len()).is_ok_and(|count| count >= limit);
    let next = found.last().filter(|_| full).map(|letter| letter.sequence);
    let items = found.into_iter().map(DeadLetterView::from).collect();
    Ok(Json(DeadLetterPage { items, next }))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Retried {
    /// How many will be sent again.
    count: u64,
}

/// Sends all events that were given up again, at once.
#[utoipa::path(post, path = "/v1/webhooks/{id}/dead-letters/retry", tag = "webhooks", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 202, body = Retried), (status = "default", body = ProblemDocument)))]
pub(crate) async fn retry_dead_letters(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
) -> Result<(StatusCode, Json<Retried>), Problem> {
    caller.require(Scope::Webhooks)?;
    let mut tx = app.db.begin().await?;
    let count = webhooks(&app)?.retry_dead_letters(&mut tx, caller.tenant.into(), id).await?;
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(Retried { count })))
}
