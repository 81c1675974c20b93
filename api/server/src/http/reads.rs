//! What people read, for those who watch them.

use api_audit::Listed;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::auth::{Caller, Operator, Scope};
use super::extract::Args;
use super::problem::{Problem, ProblemDocument};
use crate::app::App;
use crate::books::HOUSE;
use crate::error::{Code, Error};
use crate::reads::KIND;

const LIMIT_MAX: u32 = 500;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(of_operator))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReadsQuery {
    /// Only reads before this record.
    before: Option<Uuid>,
    /// At most so many, 1 to 500; 100 when absent.
    limit: Option<u32>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReadView {
    /// The audit record; its receipt proves the read.
    record: String,
    /// The API key that read, or `operator`.
    key: String,
    /// What was read: path and query.
    path: String,
    /// When, RFC 3339: the first read of its minute.
    time: String,
    /// Its index in the log, once it has one.
    index: Option<u64>,
}

impl From<Listed> for ReadView {
    fn from(one: Listed) -> Self {
        Self {
            record: one.id.to_string(),
            key: one.field("key").to_owned(),
            path: one.field("path").to_owned(),
            time: one.field("time").to_owned(),
            index: one.index,
        }
    }
}

async fn reads(app: &App, tenant: Uuid, query: &ReadsQuery) -> Result<Vec<ReadView>, Error> {
    let limit = query.limit.unwrap_or(100);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Error::refuse(Code::BadRequest, "limit must be between 1 and 500"));
    }
    let before = query.before.map(api_audit::RecordId);
    let mut tx = app.db.read().await?;
    let mut found = Vec::new();
    for log in app.audit.to_read(&mut tx, tenant).await? {
        let owner = tenant.to_string();
        found.extend(log.newest_records(&mut tx, &owner, KIND, before, limit).await?);
    }
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(found.into_iter().map(ReadView::from).collect())
}

/// Lists what the tenant's staff read, the newest first. A key that was made with `staff` belongs to a
/// person; each of its reads is a record of the audit log.
#[utoipa::path(get, path = "/v1/audit/reads", tag = "audit", params(ReadsQuery), security(("api_key" = [])),
    responses((status = 200, body = Vec<ReadView>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Args(query): Args<ReadsQuery>,
) -> Result<Json<Vec<ReadView>>, Problem> {
    caller.require(Scope::Read)?;
    Ok(Json(reads(&app, caller.tenant, &query).await?))
}

/// Lists what the operator's key read, the newest first (operator).
#[utoipa::path(get, path = "/v1/treasury/reads", tag = "operator", params(ReadsQuery),
    security(("api_key" = [])),
    responses((status = 200, body = Vec<ReadView>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn of_operator(
    State(app): State<App>,
    _: Operator,
    Args(query): Args<ReadsQuery>,
) -> Result<Json<Vec<ReadView>>, Problem> {
    Ok(Json(reads(&app, HOUSE, &query).await?))
}
