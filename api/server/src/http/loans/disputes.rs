use api_audit::Record;
use api_ledger::TenantId;
use api_loans::{Dispute, DisputeOutcome, Resolution};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{append, borrower};
use crate::app::{App, now_ms};
use crate::error::Error;
use crate::http::auth::{Caller, Scope};
use crate::http::extract::{Body, Params};
use crate::http::idempotency::{self, Attempt, Begun, Key};
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::views::check_text;

const TEXT_CHARS_MAX: usize = 2000;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewDispute {
    /// What the borrower says is wrong.
    statement: String,
    /// The event in question, when there is one.
    event: Option<Uuid>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DisputeView {
    /// Statement, answer and outcome, each with its business date; `state` is `open`, `answered` or
    /// `resolved`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    dispute: Dispute,
    /// The audit record of this step.
    record: String,
}

/// Opens a dispute in the borrower's words. Until it is resolved no reminder about the loan is sent,
/// and the credit record shows it.
#[utoipa::path(post, path = "/v1/loans/{id}/disputes", tag = "loans", request_body = NewDispute,
    params(("id" = Uuid, Path),
           ("Idempotency-Key" = String, Header, description = "1 to 128 visible ASCII characters")),
    security(("api_key" = [])),
    responses((status = 201, body = DisputeView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn open(
    State(app): State<App>,
    caller: Caller,
    key: Key,
    Params(loan): Params<Uuid>,
    body: Body<NewDispute>,
) -> Result<Response, Problem> {
    caller.require(Scope::Loans)?;
    let NewDispute { statement, event } = body.value;
    check_text("statement", &statement, TEXT_CHARS_MAX)?;
    let mut attempt = match idempotency::begin(&app, caller.tenant, key, body.hash).await? {
        Begun::Replay(response) => return Ok(response),
        Begun::Fresh(attempt) => attempt,
    };
    let (tenant, id) = (TenantId::new(caller.tenant), Uuid::now_v7());
    let tx = &mut attempt.tx;
    let dispute = app.loans.open_dispute(tx, tenant, (id, loan), event, &statement).await?;
    Ok(finish(&app, attempt, &caller, StatusCode::CREATED, ("opened", &statement), dispute).await?)
}

/// Lists the disputes about a loan.
#[utoipa::path(get, path = "/v1/loans/{id}/disputes", tag = "loans", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = Vec<Object>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(loan): Params<Uuid>,
) -> Result<Json<Vec<Dispute>>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    Ok(Json(app.loans.disputes(&mut tx, TenantId::new(caller.tenant), loan).await?))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    /// The lender's words.
    answer: String,
}

/// Answers an open dispute.
#[utoipa::path(post, path = "/v1/loan-disputes/{id}/answer", tag = "loans", request_body = Answer,
    params(("id" = Uuid, Path),
           ("Idempotency-Key" = String, Header, description = "1 to 128 visible ASCII characters")),
    security(("api_key" = [])),
    responses((status = 200, body = DisputeView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn answer(
    State(app): State<App>,
    caller: Caller,
    key: Key,
    Params(id): Params<Uuid>,
    body: Body<Answer>,
) -> Result<Response, Problem> {
    caller.require(Scope::Loans)?;
    let words = body.value.answer;
    check_text("answer", &words, TEXT_CHARS_MAX)?;
    let mut attempt = match idempotency::begin(&app, caller.tenant, key, body.hash).await? {
        Begun::Replay(response) => return Ok(response),
        Begun::Fresh(attempt) => attempt,
    };
    let tenant = TenantId::new(caller.tenant);
    let dispute = app.loans.answer_dispute(&mut attempt.tx, tenant, id, &words).await?;
    Ok(finish(&app, attempt, &caller, StatusCode::OK, ("answered", &words), dispute).await?)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewResolution {
    /// `corrected` (with `correction`), `upheld` or `withdrawn`.
    #[schema(value_type = String)]
    outcome: DisputeOutcome,
    /// Why.
    note: String,
    /// The event of the loan that put it right: a reversal, a backdated repayment, a waiver.
    correction: Option<Uuid>,
}

/// Resolves a dispute. The correction itself is an event of the loan, made before.
#[utoipa::path(post, path = "/v1/loan-disputes/{id}/resolution", tag = "loans",
    request_body = NewResolution,
    params(("id" = Uuid, Path),
           ("Idempotency-Key" = String, Header, description = "1 to 128 visible ASCII characters")),
    security(("api_key" = [])),
    responses((status = 200, body = DisputeView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn resolve(
    State(app): State<App>,
    caller: Caller,
    key: Key,
    Params(id): Params<Uuid>,
    body: Body<NewResolution>,
) -> Result<Response, Problem> {
    caller.require(Scope::Loans)?;
    let NewResolution { outcome, note, correction } = body.value;
    check_text("note", &note, TEXT_CHARS_MAX)?;
    let mut attempt = match idempotency::begin(&app, caller.tenant, key, body.hash).await? {
        Begun::Replay(response) => return Ok(response),
        Begun::Fresh(attempt) => attempt,
    };
    let tenant = TenantId::new(caller.tenant);
    let resolution = Resolution { outcome, note: note.clone(), correction };
    let dispute = app.loans.resolve_dispute(&mut attempt.tx, tenant, id, &resolution).await?;
    Ok(finish(&app, attempt, &caller, StatusCode::OK, ("resolved", &note), dispute).await?)
}

/// The audit record of a step, its words as personal data, and the answer.
async fn finish(
    app: &App,
    mut attempt: Box<Attempt>,
    caller: &Caller,
    status: StatusCode,
    (step, words): (&str, &str),
    dispute: Dispute,
) -> Result<Response, Error> {
    let tx = &mut attempt.tx;
    let customer = borrower(app, tx, TenantId::new(caller.tenant), dispute.loan).await?;
    let record = Record::new(format!("loan.dispute_{step}"), now_ms())
        .external_id(caller.tenant.to_string(), format!("dispute-{step}:{}", dispute.id))
        .stream(format!("loan:{}", dispute.loan))
        .subject(customer.to_string())
        .field("loan", dispute.loan.to_string())
        .field("dispute", dispute.id.to_string())
        .field("outcome", dispute.outcome.map_or("", DisputeOutcome::name))
        .field("correction", dispute.correction.map_or_else(String::new, |id| id.to_string()))
        .personal("words", words);
    let record = append(app, tx, &record).await?;
    attempt.finish(status, &DisputeView { dispute, record }).await
}
