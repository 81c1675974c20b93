//! Compliance reports, made at a checkpoint of the log and reproducible byte for byte.

use api_audit::{AuditError, Record};
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::audit::exactly;
use super::auth::{Caller, Scope};
use super::extract::Args;
use super::missing;
use super::problem::{Problem, ProblemDocument};
use crate::app::{App, now_ms};
use crate::error::Error;
use crate::flows::reports::{self, Kind};

/// The audit record that has the report's hash.
const RECORD: HeaderName = HeaderName::from_static("roadstead-record");
const DIGEST: HeaderName = HeaderName::from_static("content-digest");

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(repayments))
        .routes(routes!(overdue))
        .routes(routes!(contacts))
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    #[default]
    Json,
    Csv,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReportQuery {
    /// The size of a signed checkpoint; the newest when absent.
    checkpoint: Option<u64>,
    /// `json` (the default) or `csv`.
    #[serde(default)]
    #[param(inline)]
    format: Format,
}

/// Every repayment that the log knew at a checkpoint, and whether it was taken back.
#[utoipa::path(get, path = "/v1/reports/repayments", tag = "reports", params(ReportQuery),
    security(("api_key" = [])),
    responses((status = 200, body = Object), (status = "default", body = ProblemDocument)))]
pub(crate) async fn repayments(
    State(app): State<App>,
    caller: Caller,
    Args(query): Args<ReportQuery>,
) -> Result<Response, Problem> {
    Ok(report(&app, &caller, Kind::Repayments, &query).await?)
}

/// Every loan that was overdue on a checkpoint's day, as the log knew it.
#[utoipa::path(get, path = "/v1/reports/overdue", tag = "reports", params(ReportQuery),
    security(("api_key" = [])),
    responses((status = 200, body = Object), (status = "default", body = ProblemDocument)))]
pub(crate) async fn overdue(
    State(app): State<App>,
    caller: Caller,
    Args(query): Args<ReportQuery>,
) -> Result<Response, Problem> {
    Ok(report(&app, &caller, Kind::Overdue, &query).await?)
}

/// Every contact with a borrower that the log knew at a checkpoint: reminders, offers, consents.
#[utoipa::path(get, path = "/v1/reports/contacts", tag = "reports", params(ReportQuery),
    security(("api_key" = [])),
    responses((status = 200, body = Object), (status = "default", body = ProblemDocument)))]
pub(crate) async fn contacts(
    State(app): State<App>,
    caller: Caller,
    Args(query): Args<ReportQuery>,
) -> Result<Response, Problem> {
    Ok(report(&app, &caller, Kind::Contacts, &query).await?)
}

async fn report(
    app: &App,
    caller: &Caller,
    kind: Kind,
    query: &ReportQuery,
) -> Result<Response, Error> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    let log = app.audit.to_read(&mut tx, caller.tenant).await?.into_iter().next();
    let log = log.ok_or_else(|| Error::internal("no log"))?;
    let checkpoint = match query.checkpoint {
        // No log is as large as what a database's number cannot hold.
        Some(size) => exactly(&log, &mut tx, size.min(i64::MAX.unsigned_abs())).await?,
        None => log.latest_checkpoint(&mut tx).await?.ok_or_else(|| missing("checkpoint"))?,
    };
    let report = reports::make(app, &mut tx, &log, caller.tenant, kind, &checkpoint).await?;
    drop(tx);
    let (text, media, name) = match query.format {
        Format::Json => (report.json()?, "application/json", "json"),
        Format::Csv => (report.csv(), "text/csv; charset=utf-8", "csv"),
    };
    let digest = Sha256::digest(&text);
    let size = checkpoint.size;
    let record = Record::new("report.made", now_ms())
        .external_id(caller.tenant.to_string(), format!("report:{}:{name}:{size}", kind.name()))
        .field("report", kind.name())
        .field("format", name)
        .field("checkpoint", size.to_string())
        .field("root", report.root())
        .field("rows", report.rows().to_string())
        .field("sha256", hex::encode(digest));
    let mut tx = app.db.begin().await?;
    let record = log.append_in(&mut tx, &record).await.map_err(|error| match error {
        // The same report was made before, and its hash is in the log.
        AuditError::ExternalIdUsed { .. } => {
            Error::internal(format!("the {} report at {size} is not what it was", kind.name()))
        }
        error => error.into(),
    })?;
    tx.commit().await?;
    let digest = format!("sha-256=:{}:", STANDARD.encode(digest));
    let file = format!("attachment; filename=\"{}-{size}.{name}\"", kind.name());
    let value = |text: String| HeaderValue::from_str(&text).map_err(Error::internal);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media)),
        (header::CONTENT_DISPOSITION, value(file)?),
        (DIGEST, value(digest)?),
        (RECORD, value(record.to_string())?),
    ];
    Ok((headers, text).into_response())
}
