//! The people whose personal data records hold: erasure by request, and legal hold against it.

use api_audit::{Record, RecordId, SubjectStatus};
use api_store::Tx;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::auth::{Caller, Scope};
use super::extract::{Body, Params};
use super::missing;
use super::problem::{Problem, ProblemDocument};
use super::records::subject_of;
use super::views::{check_text, time};
use crate::app::{App, now_ms};
use crate::error::{Code, Error};

const REASON_CHARS_MAX: usize = 200;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get)).routes(routes!(hold, release)).routes(routes!(erase))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SubjectView {
    /// Why the data must be kept, while it must.
    legal_hold: Option<String>,
    /// When the data was erased, RFC 3339.
    erased_at: Option<String>,
}

/// A subject that some record is about; one of another tenant is as one that is not there.
async fn known(
    app: &App,
    tx: &mut Tx,
    caller: &Caller,
    name: &str,
) -> Result<(String, SubjectStatus), Error> {
    // A name that cannot be one names nothing.
    let subject = subject_of(tx, caller, name).await.map_err(|error| match error {
        Error::Failure(_) => missing("subject"),
        error @ Error::Internal(_) => error,
    })?;
    let status =
        app.audit.shared().subject(tx, &subject).await?.ok_or_else(|| missing("subject"))?;
    Ok((subject, status))
}

/// Says whether a person's data is held or was erased. `id` is your own name of the subject, or
/// `customer:<id>`.
#[utoipa::path(get, path = "/v1/audit/subjects/{id}", tag = "audit", params(("id" = String, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = SubjectView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<String>,
) -> Result<Json<SubjectView>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    let (_, status) = known(&app, &mut tx, &caller, &id).await?;
    Ok(Json(SubjectView {
        legal_hold: status.legal_hold,
        erased_at: status.erased_at_ms.map(time),
    }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LegalHold {
    /// Why the data must be kept, such as a case number: 1 to 200 characters, in the log for ever.
    reason: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Logged {
    /// The audit record of this decision.
    record: String,
}

/// The record of a decision about a subject, by this key.
fn decision(kind: &str, caller: &Caller, subject: &str) -> Record {
    Record::new(kind, now_ms())
        .external_id(caller.tenant.to_string(), format!("{kind}:{}", Uuid::now_v7()))
        .field("subject", subject)
        .field("key", caller.key.to_string())
}

/// Holds a person's data against erasure.
#[utoipa::path(put, path = "/v1/audit/subjects/{id}/legal-hold", tag = "audit", request_body = LegalHold,
    params(("id" = String, Path)), security(("api_key" = [])),
    responses((status = 200, body = Logged), (status = "default", body = ProblemDocument)))]
pub(crate) async fn hold(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<String>,
    body: Body<LegalHold>,
) -> Result<Json<Logged>, Problem> {
    caller.require(Scope::Privacy)?;
    let reason = body.value.reason;
    check_text("reason", &reason, REASON_CHARS_MAX)?;
    let mut tx = app.db.begin().await?;
    let (subject, _) = known(&app, &mut tx, &caller, &id).await?;
    app.audit.shared().set_legal_hold_in(&mut tx, &subject, Some(&reason)).await?;
    let record = decision("subject.held", &caller, &subject).field("reason", reason);
    let record = app.audit.append_in(&mut tx, &record).await?;
    tx.commit().await?;
    Ok(Json(Logged { record: record.to_string() }))
}

/// Lifts the legal hold.
#[utoipa::path(delete, path = "/v1/audit/subjects/{id}/legal-hold", tag = "audit",
    params(("id" = String, Path)), security(("api_key" = [])),
    responses((status = 200, body = Logged), (status = "default", body = ProblemDocument)))]
pub(crate) async fn release(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<String>,
) -> Result<Json<Logged>, Problem> {
    caller.require(Scope::Privacy)?;
    let mut tx = app.db.begin().await?;
    let (subject, status) = known(&app, &mut tx, &caller, &id).await?;
    if status.legal_hold.is_none() {
        return Err(Error::refuse(Code::InvalidState, "there is no legal hold").into());
    }
    app.audit.shared().set_legal_hold_in(&mut tx, &subject, None).await?;
    let record = decision("subject.released", &caller, &subject);
    let record = app.audit.append_in(&mut tx, &record).await?;
    tx.commit().await?;
    Ok(Json(Logged { record: record.to_string() }))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Erasure {
    /// The audit record of the erasure: its receipt proves that and when it was done.
    record: String,
    /// When it was done, RFC 3339.
    erased_at: String,
}

/// Erases a person's data in the log: key, values and salts. Every proof stays valid; the values can
/// never be opened again. Erasing again answers the same record.
#[utoipa::path(post, path = "/v1/audit/subjects/{id}/erasure", tag = "audit", params(("id" = String, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = Erasure), (status = "default", body = ProblemDocument)))]
pub(crate) async fn erase(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<String>,
) -> Result<(StatusCode, Json<Erasure>), Problem> {
    caller.require(Scope::Privacy)?;
    let now = now_ms();
    let mut tx = app.db.begin().await?;
    let (subject, before) = known(&app, &mut tx, &caller, &id).await?;
    let record = match before.erased_at_ms {
        Some(_) => earlier(&app, &mut tx, &caller, &subject).await?,
        None => {
            let log = app.audit.to_write(&mut tx, caller.tenant).await?;
            let done = log.erase_in(&mut tx, &subject, now).await?;
            let record = Record::new("subject.erasure", now)
                .external_id(caller.tenant.to_string(), erasure_id(&subject))
                .field("subject", &subject)
                .field("key", caller.key.to_string())
                .field("erased", done.to_string());
            log.append_in(&mut tx, &record).await?
        }
    };
    tx.commit().await?;
    let erased_at = time(before.erased_at_ms.unwrap_or(now));
    Ok((StatusCode::OK, Json(Erasure { record: record.to_string(), erased_at })))
}

fn erasure_id(subject: &str) -> String {
    format!("erasure:{subject}")
}

async fn earlier(
    app: &App,
    tx: &mut Tx,
    caller: &Caller,
    subject: &str,
) -> Result<RecordId, Error> {
    let tenant = caller.tenant.to_string();
    for log in app.audit.to_read(tx, caller.tenant).await? {
        if let Some(found) = log.find(tx, &tenant, &erasure_id(subject)).await? {
            return Ok(found);
        }
    }
    Err(Error::internal("an erasure without record"))
}
