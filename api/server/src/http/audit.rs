use api_audit::TileRequest;
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::{Args, Params};
use super::missing;
use super::problem::{Problem, ProblemDocument};
use crate::app::App;
use crate::error::Error;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ConsistencyQuery {
    /// The smaller size, at least 1.
    from: u64,
    /// The larger size.
    to: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConsistencyView {
    from: u64,
    to: u64,
    /// RFC 6962 hashes, base64.
    hashes: Vec<String>,
}

/// Proves that the log only grew between two sizes (RFC 6962). Public.
#[utoipa::path(get, path = "/v1/audit/consistency", tag = "audit", params(ConsistencyQuery),
    responses((status = 200, body = ConsistencyView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn consistency(
    State(app): State<App>,
    Args(query): Args<ConsistencyQuery>,
) -> Result<Json<ConsistencyView>, Problem> {
    let mut tx = app.db.read().await?;
    let hashes =
        app.audit.consistency_proof(&mut tx, query.from, query.to).await.map_err(Error::from)?;
    let hashes = hashes.iter().map(|hash| STANDARD.encode(hash)).collect();
    Ok(Json(ConsistencyView { from: query.from, to: query.to, hashes }))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AnchorQuery {
    /// Only anchors of checkpoints with at least this many leaves.
    #[serde(default)]
    size: u64,
}

/// How many anchors one answer lists.
const ANCHORS_MAX: u32 = 500;

/// Lists at most 500 anchors, the smallest checkpoint first: checkpoint, chain, state, transaction,
/// cost. Public.
#[utoipa::path(get, path = "/v1/anchors", tag = "audit", params(AnchorQuery),
    responses((status = 200, body = Vec<Object>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn anchors(
    State(app): State<App>,
    Args(query): Args<AnchorQuery>,
) -> Result<Json<Vec<api_audit::Anchor>>, Problem> {
    let mut tx = app.db.read().await?;
    // No log is as large as what a database's number cannot hold.
    let size = query.size.min(i64::MAX.unsigned_abs());
    let anchors = app.audit.anchors_from(&mut tx, size, ANCHORS_MAX).await;
    Ok(Json(anchors.map_err(Error::from)?))
}

/// The newest checkpoint, a C2SP signed note. Public.
#[utoipa::path(get, path = "/log/checkpoint", tag = "audit",
    responses((status = 200, body = String, content_type = "text/plain"),
              (status = "default", body = ProblemDocument)))]
pub(crate) async fn checkpoint(State(app): State<App>) -> Result<String, Problem> {
    let mut tx = app.db.read().await?;
    let latest = app.audit.latest_checkpoint(&mut tx).await.map_err(Error::from)?;
    Ok(latest.ok_or_else(|| missing("checkpoint"))?.note)
}

/// The log as C2SP `tlog-tiles`: `/log/tile/<L>/<N>[.p/<W>]` and `/log/tile/entries/<N>[.p/<W>]`.
/// Public; a full tile never changes.
#[utoipa::path(get, path = "/log/tile/{*path}", tag = "audit", params(("path" = String, Path)),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
              (status = "default", body = ProblemDocument)))]
pub(crate) async fn tile(
    State(app): State<App>,
    Params(path): Params<String>,
) -> Result<Response, Problem> {
    let request = TileRequest::parse(&format!("tile/{path}")).ok_or_else(|| missing("tile"))?;
    let mut tx = app.db.read().await?;
    let bytes = app.audit.tile(&mut tx, request).await.map_err(Error::from)?;
    let bytes = bytes.ok_or_else(|| missing("tile"))?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    Ok((headers, bytes).into_response())
}
