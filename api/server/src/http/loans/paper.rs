use api_ledger::TenantId;
use api_loans::Dispute;
use api_loans::care::{
    CreditRecord, SCORE_RULES, SCORE_START, SCORECARD_VERSION, ScoreRule, credit_record as credit,
};
use api_loans::loan::{Loan, Status};
use api_loans::messages::{LANGUAGES, Messages};
use api_loans::paper::{before_and_after, schedule_svg, statement_html};
use api_loans::scorecard::{Explained, NextStep, explain, next_steps};
use api_store::Tx;
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::borrower;
use crate::app::App;
use crate::error::{Code, Error};
use crate::http::auth::{Caller, Scope};
use crate::http::extract::{Args, Params};
use crate::http::missing;
use crate::http::problem::{Problem, ProblemDocument};
use crate::repo::customers;

/// In which language, and for which day.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PaperQuery {
    /// `en` (the default) or `zh`.
    #[serde(default = "english")]
    lang: String,
    /// The day, ISO 8601; the business date when absent.
    #[serde(default)]
    #[param(value_type = Option<String>, format = Date)]
    on: Option<Date>,
}

fn english() -> String {
    "en".to_owned()
}

impl PaperQuery {
    fn language(&self) -> Result<&str, Error> {
        if LANGUAGES.contains(&self.lang.as_str()) {
            return Ok(&self.lang);
        }
        Err(Error::refuse(Code::BadRequest, format!("lang must be one of {LANGUAGES:?}")))
    }

    /// The caller's loan on that day.
    async fn open(&self, app: &App, caller: &Caller, id: Uuid) -> Result<Asked<'_>, Problem> {
        caller.require(Scope::Read)?;
        let language = self.language()?;
        let tenant = TenantId::new(caller.tenant);
        let mut tx = app.db.read().await?;
        let on = super::day(app, &mut tx, tenant, self.on).await?;
        let loan = app.loans.fold(&mut tx, tenant, id, on).await?;
        Ok(Asked { tx, tenant, language, loan })
    }
}

/// What every page about a loan begins with.
struct Asked<'a> {
    tx: Tx,
    tenant: TenantId,
    language: &'a str,
    loan: Loan,
}

/// Nothing in these pages loads anything or runs.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

fn page(kind: &'static str, text: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, text).into_response()
}

/// A plot of the instalments over time, principal and interest: as agreed and, after a change or a
/// prepayment, as it stands.
#[utoipa::path(get, path = "/v1/loans/{id}/schedule.svg", tag = "loans",
    params(("id" = Uuid, Path), PaperQuery), security(("api_key" = [])),
    responses((status = 200, content_type = "image/svg+xml", body = String),
              (status = "default", body = ProblemDocument)))]
pub(crate) async fn plot(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
    Args(query): Args<PaperQuery>,
) -> Result<Response, Problem> {
    let Asked { language, loan, .. } = query.open(&app, &caller, id).await?;
    let (before, after) = before_and_after(&loan)?;
    let svg = schedule_svg(&Messages::new(language)?, &before, after.as_deref())?;
    Ok(page("image/svg+xml", svg))
}

/// A statement that a person can read: one HTML page, complete in itself.
#[utoipa::path(get, path = "/v1/loans/{id}/statement.html", tag = "loans",
    params(("id" = Uuid, Path), PaperQuery), security(("api_key" = [])),
    responses((status = 200, content_type = "text/html", body = String),
              (status = "default", body = ProblemDocument)))]
pub(crate) async fn statement(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
    Args(query): Args<PaperQuery>,
) -> Result<Response, Problem> {
    let Asked { mut tx, tenant, language, loan } = query.open(&app, &caller, id).await?;
    let customer = borrower(&app, &mut tx, tenant, id).await?;
    let customer = customers::get(&mut tx, caller.tenant, customer).await?;
    let reference = customer.ok_or_else(|| missing("customer"))?.reference;
    let html = statement_html(language, &id.to_string(), &reference, &loan)?;
    Ok(page("text/html; charset=utf-8", html))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreditRecordView {
    loan: Uuid,
    customer: Uuid,
    #[schema(value_type = String, format = Date)]
    as_of: Date,
    /// What happened, the score with its reasons, and what would change each.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    record: CreditRecord,
    /// Each reason of the score in words, and what would change it.
    #[schema(value_type = Vec<Object>)]
    explained: Vec<Explained>,
    /// What would add points from here on.
    #[schema(value_type = Vec<Object>)]
    next_steps: Vec<NextStep>,
    /// What the borrower disputes or has disputed, in the words of both sides.
    #[schema(value_type = Vec<Object>)]
    disputes: Vec<Dispute>,
}

/// The borrower's credit record of this loan, for the borrower to keep: what happened, from the
/// events, and a score that is the sum of its reasons.
#[utoipa::path(get, path = "/v1/loans/{id}/credit-record", tag = "loans",
    params(("id" = Uuid, Path), PaperQuery), security(("api_key" = [])),
    responses((status = 200, body = CreditRecordView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn credit_record(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
    Args(query): Args<PaperQuery>,
) -> Result<Json<CreditRecordView>, Problem> {
    let Asked { mut tx, tenant, language, loan } = query.open(&app, &caller, id).await?;
    let mut events = app.loans.events(&mut tx, tenant, id).await?;
    events.retain(|event| event.effective <= loan.as_of());
    let customer = borrower(&app, &mut tx, tenant, id).await?;
    let record = credit(&loan, &events)?;
    let is_settled = loan.status()? == Status::Settled;
    Ok(Json(CreditRecordView {
        loan: id,
        customer,
        as_of: loan.as_of(),
        explained: explain(&record, language),
        next_steps: next_steps(is_settled, language),
        disputes: app.loans.disputes(&mut tx, tenant, id).await?,
        record,
    }))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ScorecardView {
    /// Scores of different versions do not compare.
    version: &'static str,
    /// Where every score starts; it stays between 0 and 1000.
    start: i64,
    /// Points for each occurrence.
    #[schema(value_type = Vec<Object>)]
    rules: Vec<ScoreRule>,
}

/// The scorecard: every reason, its points, and what would change it.
#[utoipa::path(get, path = "/v1/loan-scorecard", tag = "loans", security(("api_key" = [])),
    responses((status = 200, body = ScorecardView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn scorecard(caller: Caller) -> Result<Json<ScorecardView>, Problem> {
    caller.require(Scope::Read)?;
    Ok(Json(ScorecardView {
        version: SCORECARD_VERSION,
        start: SCORE_START,
        rules: SCORE_RULES.to_vec(),
    }))
}
