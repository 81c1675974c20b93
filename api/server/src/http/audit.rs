//! The log itself, for everybody: checkpoints, tiles, consistency, anchors.

use api_audit::{AnchorCost, AuditLog, ServiceLevel, StoredCheckpoint, TileRequest};
use api_store::Tx;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::extract::{Args, Params};
use super::missing;
use super::problem::{Problem, ProblemDocument};
use crate::app::{App, now_ms};
use crate::error::{Code, Error};
use crate::flows::anchors as anchoring;

/// What never changes under its path.
const FOR_EVER: (header::HeaderName, &str) =
    (header::CACHE_CONTROL, "public, max-age=31536000, immutable");
/// What is to be asked for again each time, and may be answered with 304.
const ASK_AGAIN: (header::HeaderName, &str) = (header::CACHE_CONTROL, "public, no-cache");
const BYTES: (header::HeaderName, &str) = (header::CONTENT_TYPE, "application/octet-stream");
const TEXT: (header::HeaderName, &str) = (header::CONTENT_TYPE, "text/plain; charset=utf-8");
/// How many anchors one answer lists.
const ANCHORS_MAX: u32 = 500;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(consistency))
        .routes(routes!(anchors))
        .routes(routes!(anchoring_report))
        .routes(routes!(checkpoint))
        .routes(routes!(checkpoint_file))
        .routes(routes!(tile))
        .routes(routes!(own_checkpoint))
        .routes(routes!(own_checkpoint_file))
        .routes(routes!(own_tile))
}

/// The path below which a log's checkpoints and tiles are.
pub(crate) fn prefix(app: &App, log: &AuditLog) -> String {
    let shared = app.audit.shared().origin();
    match log.origin().strip_prefix(shared).and_then(|rest| rest.strip_prefix('/')) {
        Some(tenant) => format!("/logs/{tenant}"),
        None => "/log".to_owned(),
    }
}

/// The log that is asked for: the shared one, or a tenant's own.
async fn log_of(app: &App, tx: &mut Tx, tenant: Option<Uuid>) -> Result<AuditLog, Error> {
    match tenant {
        None => Ok(app.audit.shared().clone()),
        Some(tenant) => app.audit.own(tx, tenant).await?.ok_or_else(|| missing("log")),
    }
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ConsistencyQuery {
    /// The smaller size, at least 1.
    from: u64,
    /// The larger size.
    to: u64,
    /// The log of this tenant, where it has one of its own; the shared log when absent.
    tenant: Option<Uuid>,
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
) -> Result<Response, Problem> {
    let mut tx = app.db.read().await?;
    let log = log_of(&app, &mut tx, query.tenant).await?;
    let hashes = log.consistency_proof(&mut tx, query.from, query.to).await?;
    let hashes = hashes.iter().map(|hash| STANDARD.encode(hash)).collect();
    let view = ConsistencyView { from: query.from, to: query.to, hashes };
    Ok(([FOR_EVER], Json(view)).into_response())
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AnchorQuery {
    /// Only anchors of checkpoints with at least this many leaves.
    #[serde(default)]
    size: u64,
    /// Those of this tenant's log, where it has one of its own; of the shared log when absent.
    tenant: Option<Uuid>,
}

impl AnchorQuery {
    /// No log is as large as what a database's number cannot hold.
    fn size(&self) -> u64 {
        self.size.min(i64::MAX.unsigned_abs())
    }
}

/// Lists at most 500 anchors, the smallest checkpoint first: checkpoint, chain, state, transaction,
/// cost. Public.
#[utoipa::path(get, path = "/v1/anchors", tag = "audit", params(AnchorQuery),
    responses((status = 200, body = Vec<Object>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn anchors(
    State(app): State<App>,
    Args(query): Args<AnchorQuery>,
) -> Result<Json<Vec<api_audit::Anchor>>, Problem> {
    let mut tx = app.db.read().await?;
    let log = log_of(&app, &mut tx, query.tenant).await?;
    Ok(Json(log.anchors_from(&mut tx, query.size(), ANCHORS_MAX).await?))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AnchoringReport {
    /// The log's name.
    log: String,
    /// Whether each checkpoint is on enough chains in time.
    #[schema(value_type = Object)]
    service_level: ServiceLevel,
    /// At most 500 anchors, the smallest checkpoint first, each with the records that it was the first
    /// to cover on its chain and its fee shared among them. Their evidence is in receipts.
    #[schema(value_type = Vec<Object>)]
    anchors: Vec<AnchorCost>,
}

/// Says whether anchoring keeps its service level, and what each record costs. Public.
#[utoipa::path(get, path = "/v1/audit/anchors", tag = "audit", params(AnchorQuery),
    responses((status = 200, body = AnchoringReport), (status = "default", body = ProblemDocument)))]
pub(crate) async fn anchoring_report(
    State(app): State<App>,
    Args(query): Args<AnchorQuery>,
) -> Result<Json<AnchoringReport>, Problem> {
    let mut tx = app.db.read().await?;
    let log = log_of(&app, &mut tx, query.tenant).await?;
    let mut anchors = log.anchor_costs(&mut tx, query.size(), ANCHORS_MAX).await?;
    for one in &mut anchors {
        one.anchor.evidence = None;
    }
    let service_level = anchoring::service_level(&app, &mut tx, &log, now_ms()).await?;
    Ok(Json(AnchoringReport { log: log.origin().to_owned(), service_level, anchors }))
}

/// The newest checkpoint, a C2SP signed note. Public.
#[utoipa::path(get, path = "/log/checkpoint", tag = "audit",
    responses((status = 200, body = String, content_type = "text/plain"),
              (status = "default", body = ProblemDocument)))]
pub(crate) async fn checkpoint(
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Ok(newest(&app, None, &headers).await?)
}

/// The newest checkpoint of a tenant's own log. Public.
#[utoipa::path(get, path = "/logs/{tenant}/checkpoint", tag = "audit", params(("tenant" = Uuid, Path)),
    responses((status = 200, body = String, content_type = "text/plain"),
              (status = "default", body = ProblemDocument)))]
pub(crate) async fn own_checkpoint(
    State(app): State<App>,
    Params(tenant): Params<Uuid>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Ok(newest(&app, Some(tenant), &headers).await?)
}

async fn newest(app: &App, tenant: Option<Uuid>, headers: &HeaderMap) -> Result<Response, Error> {
    let mut tx = app.db.read().await?;
    let log = log_of(app, &mut tx, tenant).await?;
    let latest = log.latest_checkpoint(&mut tx).await?;
    Ok(tagged(latest.ok_or_else(|| missing("checkpoint"))?.note, headers))
}

/// A text that may change, with its tag; 304 to who has it already.
fn tagged(text: String, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", hex::encode(Sha256::digest(&text)));
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
    let known = known.flat_map(|tags| tags.split(',')).map(str::trim);
    let is_known =
        known.map(|known| known.strip_prefix("W/").unwrap_or(known)).any(|one| one == tag);
    let common = [ASK_AGAIN, TEXT];
    if is_known {
        return (StatusCode::NOT_MODIFIED, common, [(header::ETAG, tag)]).into_response();
    }
    (common, [(header::ETAG, tag)], text).into_response()
}

/// A checkpoint as a file: `<size>` is the signed note, `<size>.txt` the text that is signed and
/// anchored, `<size>.txt.ots` its OpenTimestamps proof once it is on Bitcoin. Public.
#[utoipa::path(get, path = "/log/checkpoints/{file}", tag = "audit", params(("file" = String, Path)),
    responses((status = 200, body = String, content_type = "text/plain"),
              (status = "default", body = ProblemDocument)))]
pub(crate) async fn checkpoint_file(
    State(app): State<App>,
    Params(file): Params<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Ok(file_of(&app, None, &file, &headers).await?)
}

/// A checkpoint of a tenant's own log as a file, as for the shared one. Public.
#[utoipa::path(get, path = "/logs/{tenant}/checkpoints/{file}", tag = "audit",
    params(("tenant" = Uuid, Path), ("file" = String, Path)),
    responses((status = 200, body = String, content_type = "text/plain"),
              (status = "default", body = ProblemDocument)))]
pub(crate) async fn own_checkpoint_file(
    State(app): State<App>,
    Params((tenant, file)): Params<(Uuid, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Ok(file_of(&app, Some(tenant), &file, &headers).await?)
}

async fn file_of(
    app: &App,
    tenant: Option<Uuid>,
    file: &str,
    headers: &HeaderMap,
) -> Result<Response, Error> {
    let (size, kind) = file.split_once('.').unwrap_or((file, ""));
    let size = size.parse().ok().filter(|size: &u64| {
        size.to_string() == file.split('.').next().unwrap_or_default() && *size <= i64::MAX as u64
    });
    let size = size.ok_or_else(|| missing("checkpoint"))?;
    let mut tx = app.db.read().await?;
    let log = log_of(app, &mut tx, tenant).await?;
    let StoredCheckpoint { note, .. } = exactly(&log, &mut tx, size).await?;
    match kind {
        // Witnesses may add their lines.
        "" => Ok(tagged(note, headers)),
        "txt" => {
            let text = note.split_once("\n\n").map(|(text, _)| format!("{text}\n"));
            Ok(([FOR_EVER, TEXT], text.unwrap_or_default()).into_response())
        }
        "txt.ots" => {
            let ots = log.ots(&mut tx, size).await?;
            let ots = ots.ok_or_else(|| {
                Error::refuse(
                    Code::NotAnchored,
                    "this checkpoint is not on Bitcoin yet, or not itself",
                )
            })?;
            Ok(([ASK_AGAIN, BYTES], ots.proof).into_response())
        }
        _ => Err(missing("checkpoint")),
    }
}

/// The signed checkpoint of exactly this size.
///
/// # Errors
/// `not_found`.
pub(crate) async fn exactly(
    log: &AuditLog,
    tx: &mut Tx,
    size: u64,
) -> Result<StoredCheckpoint, Error> {
    let found = log.checkpoint_from(tx, size).await?;
    found.filter(|found| found.size == size).ok_or_else(|| missing("checkpoint"))
}

/// The log as C2SP `tlog-tiles`: `/log/tile/<L>/<N>[.p/<W>]` and `/log/tile/entries/<N>[.p/<W>]`.
/// Public; what is under a path never changes.
#[utoipa::path(get, path = "/log/tile/{*path}", tag = "audit", params(("path" = String, Path)),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
              (status = "default", body = ProblemDocument)))]
pub(crate) async fn tile(
    State(app): State<App>,
    Params(path): Params<String>,
) -> Result<Response, Problem> {
    Ok(tile_of(&app, None, &path).await?)
}

/// A tenant's own log as C2SP `tlog-tiles`. Public.
#[utoipa::path(get, path = "/logs/{tenant}/tile/{*path}", tag = "audit",
    params(("tenant" = Uuid, Path), ("path" = String, Path)),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
              (status = "default", body = ProblemDocument)))]
pub(crate) async fn own_tile(
    State(app): State<App>,
    Params((tenant, path)): Params<(Uuid, String)>,
) -> Result<Response, Problem> {
    Ok(tile_of(&app, Some(tenant), &path).await?)
}

async fn tile_of(app: &App, tenant: Option<Uuid>, path: &str) -> Result<Response, Error> {
    let request = TileRequest::parse(&format!("tile/{path}")).ok_or_else(|| missing("tile"))?;
    let mut tx = app.db.read().await?;
    let log = log_of(app, &mut tx, tenant).await?;
    let bytes = log.tile(&mut tx, request).await?.ok_or_else(|| missing("tile"))?;
    Ok(([FOR_EVER, BYTES], bytes).into_response())
}
