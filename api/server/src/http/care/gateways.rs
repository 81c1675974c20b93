use api_care::{Counted, Gateway, Signed};
use api_ledger::TenantId;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::channel;
use crate::app::App;
use crate::error::{Code, Error};
use crate::http::auth::{Caller, Scope};
use crate::http::extract::{Body, Params};
use crate::http::problem::{Problem, ProblemDocument};

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GatewayView {
    /// It stands in the path of receipts: `POST /v1/receipts/{id}`.
    id: Uuid,
    /// `push`, `sms` or `email`.
    channel: &'static str,
    /// Where messages are sent; absent when it only sends receipts.
    url: Option<String>,
}

impl From<Gateway> for GatewayView {
    fn from(gateway: Gateway) -> Self {
        Self { id: gateway.id, channel: gateway.channel.text(), url: gateway.url }
    }
}

/// The tenant's gateways for push and text messages.
#[utoipa::path(get, path = "/v1/reminder-gateways", tag = "care", security(("api_key" = [])),
    responses((status = 200, body = Vec<GatewayView>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<Vec<GatewayView>>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    let all = app.care.gateways(&mut tx, TenantId::new(caller.tenant)).await?;
    Ok(Json(all.into_iter().map(Into::into).collect()))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewGateway {
    /// An `https` URL on the public internet. For `email` it may be absent: mail then goes through the
    /// server's relay, and the gateway sends receipts alone.
    url: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GatewayMade {
    id: Uuid,
    /// `whsec_…`: signs messages to the gateway and receipts from it by the Standard Webhooks
    /// specification. Shown once.
    secret: String,
}

/// Registers the gateway for a channel (`push`, `sms`, `email`), in place of the one before.
#[utoipa::path(put, path = "/v1/reminder-gateways/{channel}", tag = "care",
    params(("channel" = String, Path)), request_body = NewGateway, security(("api_key" = [])),
    responses((status = 200, body = GatewayMade), (status = "default", body = ProblemDocument)))]
pub(crate) async fn set(
    State(app): State<App>,
    caller: Caller,
    Params(name): Params<String>,
    body: Body<NewGateway>,
) -> Result<Json<GatewayMade>, Problem> {
    caller.require(Scope::Loans)?;
    let (tenant, channel) = (TenantId::new(caller.tenant), channel(&name)?);
    let mut tx = app.db.begin().await?;
    let (gateway, secret) =
        app.care.put_gateway(&mut tx, tenant, channel, body.value.url.as_deref()).await?;
    tx.commit().await?;
    Ok(Json(GatewayMade { id: gateway.id, secret: secret.reveal() }))
}

/// Sends nothing more through the gateway for a channel; receipts still count.
#[utoipa::path(delete, path = "/v1/reminder-gateways/{channel}", tag = "care",
    params(("channel" = String, Path)), security(("api_key" = [])),
    responses((status = 204, description = "Disconnected"), (status = "default", body = ProblemDocument)))]
pub(crate) async fn disconnect(
    State(app): State<App>,
    caller: Caller,
    Params(name): Params<String>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Loans)?;
    let (tenant, channel) = (TenantId::new(caller.tenant), channel(&name)?);
    let mut tx = app.db.begin().await?;
    app.care.disconnect_gateway(&mut tx, tenant, channel).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A request's headers and its exact bytes, which a signature is over.
pub(crate) struct Raw {
    headers: HeaderMap,
    body: Bytes,
}

impl FromRequest<App> for Raw {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let limit = app.config.server.body_bytes_max;
        let body = axum::body::to_bytes(body, limit).await;
        let body = body.map_err(|_| Error::from(Code::BodyTooLarge))?;
        Ok(Self { headers: parts.headers, body })
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReceiptCounted {
    /// False when this receipt had counted before.
    new: bool,
}

/// A delivery receipt of a gateway: `{"message": "<id>", "status": "delivered"}` (or `failed`, or
/// `unreachable`), with the headers `webhook-id`, `webhook-timestamp` and `webhook-signature` by the
/// gateway's secret. Public: the signature says who it is. The same `webhook-id` counts once.
#[utoipa::path(post, path = "/v1/receipts/{id}", tag = "care", params(("id" = Uuid, Path)),
    responses((status = 200, body = ReceiptCounted), (status = "default", body = ProblemDocument)))]
pub(crate) async fn receipt(
    State(app): State<App>,
    Params(gateway): Params<Uuid>,
    raw: Raw,
) -> Result<Json<ReceiptCounted>, Problem> {
    let Raw { headers, body } = raw;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let signed = Signed {
        id: header("webhook-id").unwrap_or_default(),
        timestamp: header("webhook-timestamp").unwrap_or_default(),
        signature: header("webhook-signature").unwrap_or_default(),
    };
    let mut tx = app.db.begin().await?;
    let counted = app.care.take_receipt(&mut tx, gateway, signed, &body).await?;
    tx.commit().await?;
    Ok(Json(ReceiptCounted { new: counted == Counted::New }))
}
