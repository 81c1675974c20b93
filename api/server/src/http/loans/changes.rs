use api_ledger::TenantId;
use api_loans::loan::{Preview, Restructuring};
use api_loans::{Acceptance, Consent, acceptance_message};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::views::EventDone;
use super::{append, leaf, parse};
use crate::app::App;
use crate::error::{Code, Error};
use crate::http::auth::{Caller, Scope};
use crate::http::extract::{Body, Params};
use crate::http::idempotency::{self, Begun, Key};
use crate::http::problem::{Problem, ProblemDocument};

/// For how many days a preview can be accepted.
const PREVIEW_DAYS: i64 = 31;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeRequest {
    /// The change: `pause`, `extend`, `rate`, `forgive`, and how `interest`, `fees` and `arrears` are
    /// treated; `docs/LOANS.md` has every field.
    #[schema(value_type = Object, example = json!({"pause": 2, "interest": "accrue", "fees": "waive",
        "arrears": "re_age"}))]
    change: serde_json::Value,
    /// The day of the change, ISO 8601; the business date when absent.
    #[schema(value_type = Option<String>, format = Date)]
    effective: Option<Date>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PreviewView {
    /// The loan before and after, by the engine that would make the change: principal, interest,
    /// fees, penalty, capitalised, forgiven, what is to come, total cost.
    #[schema(value_type = Object)]
    preview: Preview,
    /// SHA-256 of the preview as compact JSON, in hexadecimal.
    hash: String,
    /// What the borrower signs with Ed25519: the bytes of this text.
    message: String,
    /// The last business date on which it can be accepted.
    #[schema(value_type = String, format = Date)]
    accept_until: Date,
}

/// Shows what a change would do, and what the borrower signs to accept it. Nothing is stored.
#[utoipa::path(post, path = "/v1/loans/{id}/previews", tag = "loans", request_body = ChangeRequest,
    params(("id" = Uuid, Path)), security(("api_key" = [])),
    responses((status = 200, body = PreviewView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn preview(
    State(app): State<App>,
    caller: Caller,
    Params(loan): Params<Uuid>,
    body: Body<ChangeRequest>,
) -> Result<Json<PreviewView>, Problem> {
    caller.require(Scope::Read)?;
    let tenant = TenantId::new(caller.tenant);
    let mut tx = app.db.read().await?;
    app.loans.borrower(&mut tx, tenant, loan).await?;
    let change: Restructuring = parse(body.value.change)?;
    let effective = super::day(&app, &mut tx, tenant, body.value.effective).await?;
    let preview = app.loans.preview(&mut tx, tenant, loan, &change, effective).await?;
    let hash = preview.hash()?;
    let accept_until = api_loans::calendar::add_days(effective, PREVIEW_DAYS)?;
    Ok(Json(PreviewView { message: acceptance_message(&hash), preview, hash, accept_until }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewChange {
    /// The change, as it was previewed.
    #[schema(value_type = Object)]
    change: serde_json::Value,
    /// The day of the preview: its `effective`.
    #[schema(value_type = String, format = Date)]
    effective: Date,
    /// The preview's hash, as it was shown.
    hash: String,
    /// The borrower's Ed25519 signature over the preview's `message`, 128 hexadecimal digits.
    /// Required when the loan has a borrower's key.
    signature: Option<String>,
}

/// Makes the change whose preview the borrower has accepted. The preview is computed again; if
/// anything happened to the loan since, the change is refused.
#[utoipa::path(post, path = "/v1/loans/{id}/changes", tag = "loans", request_body = NewChange,
    params(("id" = Uuid, Path),
           ("Idempotency-Key" = String, Header, description = "1 to 128 visible ASCII characters")),
    security(("api_key" = [])),
    responses((status = 201, body = EventDone), (status = "default", body = ProblemDocument)))]
pub(crate) async fn accept(
    State(app): State<App>,
    caller: Caller,
    key: Key,
    Params(loan): Params<Uuid>,
    body: Body<NewChange>,
) -> Result<Response, Problem> {
    caller.require(Scope::Loans)?;
    let mut attempt = match idempotency::begin(&app, caller.tenant, key, body.hash).await? {
        Begun::Replay(response) => return Ok(response),
        Begun::Fresh(attempt) => attempt,
    };
    let tx = &mut attempt.tx;
    let (new, tenant, id) = (body.value, TenantId::new(caller.tenant), Uuid::now_v7());
    app.loans.borrower(tx, tenant, loan).await?;
    let today = app.loans.today_in(tx, tenant).await?;
    if api_loans::calendar::days_between(new.effective, today) > PREVIEW_DAYS {
        let detail =
            format!("a preview can be accepted for {PREVIEW_DAYS} days; ask for a new one");
        return Err(Error::refuse(Code::LoanPreviewChanged, detail).into());
    }
    let signature = new.signature.as_deref().map(signature).transpose()?;
    let acceptance = Acceptance {
        id,
        change: parse(new.change)?,
        effective: new.effective,
        preview: new.hash.clone(),
        signature,
    };
    app.loans.accept(tx, tenant, loan, &acceptance).await?;
    let record = leaf("loan.restructured", caller.tenant, loan, id, new.effective)
        .field("preview", new.hash)
        .field("change", serde_json::to_string(&acceptance.change)?)
        .field("signature", signature.map(hex::encode).unwrap_or_default());
    let record = append(&app, tx, &record).await?;
    let view = EventDone::of(&app, tx, tenant, (id, loan), record).await?;
    Ok(attempt.finish(StatusCode::CREATED, &view).await?)
}

fn signature(text: &str) -> Result<[u8; 64], Error> {
    let mut bytes = [0; 64];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| Error::from(Code::LoanAcceptanceInvalid))?;
    Ok(bytes)
}

/// The borrower's consents: each with the exact JSON that was previewed, the signature and the key, so
/// that anyone can check them without this server.
#[utoipa::path(get, path = "/v1/loans/{id}/changes", tag = "loans", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = Vec<Object>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(loan): Params<Uuid>,
) -> Result<Json<Vec<Consent>>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    Ok(Json(app.loans.consents(&mut tx, TenantId::new(caller.tenant), loan).await?))
}
