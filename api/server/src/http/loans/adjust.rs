use api_audit::Record;
use api_ledger::TenantId;
use api_loans::loan::Amounts;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::views::{EventDone, amount};
use super::{append, borrower, leaf, parse};
use crate::app::App;
use crate::error::Error;
use crate::http::auth::{Caller, Scope};
use crate::http::extract::{Body, Params};
use crate::http::idempotency::{self, Attempt, Begun, Key};
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::views::check_text;

const REASON_CHARS_MAX: usize = 200;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewFee {
    /// Minor units of the loan's currency.
    amount: String,
    /// For the borrower's statement.
    reason: String,
}

/// Charges a fee outside the schedule, due at once.
#[utoipa::path(post, path = "/v1/loans/{id}/fees", tag = "loans", request_body = NewFee,
    params(("id" = Uuid, Path),
           ("Idempotency-Key" = String, Header, description = "1 to 128 visible ASCII characters")),
    security(("api_key" = [])),
    responses((status = 201, body = EventDone), (status = "default", body = ProblemDocument)))]
pub(crate) async fn charge_fee(
    State(app): State<App>,
    caller: Caller,
    key: Key,
    Params(loan): Params<Uuid>,
    body: Body<NewFee>,
) -> Result<Response, Problem> {
    caller.require(Scope::Loans)?;
    let NewFee { amount: text, reason } = body.value;
    let fee = amount(&text)?;
    check_text("reason", &reason, REASON_CHARS_MAX)?;
    let mut attempt = match idempotency::begin(&app, caller.tenant, key, body.hash).await? {
        Begun::Replay(response) => return Ok(response),
        Begun::Fresh(attempt) => attempt,
    };
    let (tenant, id) = (TenantId::new(caller.tenant), Uuid::now_v7());
    app.loans.charge_fee(&mut attempt.tx, tenant, loan, id, fee, &reason).await?;
    let fields = |record: Record| record.field("amount", fee.to_string()).field("reason", reason);
    Ok(finish(&app, attempt, &caller, ("loan.fee", loan, id), fields).await?)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRefund {
    /// Minor units of the loan's currency, at most what is held.
    amount: String,
    /// For the borrower's statement.
    reason: String,
}

/// Pays money that is held for the borrower back to the borrower's account: what was paid too much.
#[utoipa::path(post, path = "/v1/loans/{id}/refunds", tag = "loans", request_body = NewRefund,
    params(("id" = Uuid, Path),
           ("Idempotency-Key" = String, Header, description = "1 to 128 visible ASCII characters")),
    security(("api_key" = [])),
    responses((status = 201, body = EventDone), (status = "default", body = ProblemDocument)))]
pub(crate) async fn refund(
    State(app): State<App>,
    caller: Caller,
    key: Key,
    Params(loan): Params<Uuid>,
    body: Body<NewRefund>,
) -> Result<Response, Problem> {
    caller.require(Scope::Loans)?;
    let NewRefund { amount: text, reason } = body.value;
    let back = amount(&text)?;
    check_text("reason", &reason, REASON_CHARS_MAX)?;
    let mut attempt = match idempotency::begin(&app, caller.tenant, key, body.hash).await? {
        Begun::Replay(response) => return Ok(response),
        Begun::Fresh(attempt) => attempt,
    };
    let (tx, tenant, id) = (&mut attempt.tx, TenantId::new(caller.tenant), Uuid::now_v7());
    let customer = borrower(&app, tx, tenant, loan).await?;
    let currency = app.loans.currency(tx, tenant, loan).await?;
    let to = app.customer_account(tx, caller.tenant, customer, &currency).await?;
    app.loans.refund(tx, tenant, loan, id, back, to, &reason).await?;
    let fields = |record: Record| record.field("amount", back.to_string()).field("reason", reason);
    Ok(finish(&app, attempt, &caller, ("loan.refunded", loan, id), fields).await?)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewWaiver {
    /// How much of what is due is forgiven, by component: `principal`, `interest`, `fee`, `penalty`.
    #[schema(value_type = Object, example = json!({"fee": "1000", "penalty": "250"}))]
    amounts: serde_json::Value,
    /// For the record.
    reason: String,
}

/// Forgives a part of what is due, the oldest first.
#[utoipa::path(post, path = "/v1/loans/{id}/waivers", tag = "loans", request_body = NewWaiver,
    params(("id" = Uuid, Path),
           ("Idempotency-Key" = String, Header, description = "1 to 128 visible ASCII characters")),
    security(("api_key" = [])),
    responses((status = 201, body = EventDone), (status = "default", body = ProblemDocument)))]
pub(crate) async fn waive(
    State(app): State<App>,
    caller: Caller,
    key: Key,
    Params(loan): Params<Uuid>,
    body: Body<NewWaiver>,
) -> Result<Response, Problem> {
    caller.require(Scope::Loans)?;
    let NewWaiver { amounts, reason } = body.value;
    check_text("reason", &reason, REASON_CHARS_MAX)?;
    let amounts: Amounts = parse::<Wrapped>(serde_json::json!({ "amounts": amounts }))?.amounts;
    if amounts.total()?.is_zero() {
        return Err(Error::from(crate::error::Code::ZeroAmount).into());
    }
    let mut attempt = match idempotency::begin(&app, caller.tenant, key, body.hash).await? {
        Begun::Replay(response) => return Ok(response),
        Begun::Fresh(attempt) => attempt,
    };
    let (tenant, id) = (TenantId::new(caller.tenant), Uuid::now_v7());
    app.loans.waive(&mut attempt.tx, tenant, loan, id, amounts, &reason).await?;
    let text = serde_json::to_string(&amounts)?;
    let fields = |record: Record| record.field("amounts", text).field("reason", reason);
    Ok(finish(&app, attempt, &caller, ("loan.waived", loan, id), fields).await?)
}

/// Amounts under the name by which the parser knows them.
#[derive(Deserialize)]
struct Wrapped {
    amounts: Amounts,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChargeOff {
    /// For the record.
    reason: String,
}

/// Writes the loan off; what is paid afterwards is a recovery.
#[utoipa::path(post, path = "/v1/loans/{id}/charge-off", tag = "loans", request_body = ChargeOff,
    params(("id" = Uuid, Path),
           ("Idempotency-Key" = String, Header, description = "1 to 128 visible ASCII characters")),
    security(("api_key" = [])),
    responses((status = 201, body = EventDone), (status = "default", body = ProblemDocument)))]
pub(crate) async fn charge_off(
    State(app): State<App>,
    caller: Caller,
    key: Key,
    Params(loan): Params<Uuid>,
    body: Body<ChargeOff>,
) -> Result<Response, Problem> {
    caller.require(Scope::Loans)?;
    let reason = body.value.reason;
    check_text("reason", &reason, REASON_CHARS_MAX)?;
    let mut attempt = match idempotency::begin(&app, caller.tenant, key, body.hash).await? {
        Begun::Replay(response) => return Ok(response),
        Begun::Fresh(attempt) => attempt,
    };
    let (tenant, id) = (TenantId::new(caller.tenant), Uuid::now_v7());
    app.loans.charge_off(&mut attempt.tx, tenant, loan, id).await?;
    let fields = |record: Record| record.field("reason", reason);
    Ok(finish(&app, attempt, &caller, ("loan.charged_off", loan, id), fields).await?)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reversal {
    /// The event to take back: a repayment (its money goes back to the borrower's account), a fee, a
    /// waiver, or the last event when it is a change or a write-off.
    event: Uuid,
    /// For the record.
    reason: String,
}

/// Takes an event back. Everything since is computed anew, and only the difference is posted.
#[utoipa::path(post, path = "/v1/loans/{id}/reversals", tag = "loans", request_body = Reversal,
    params(("id" = Uuid, Path),
           ("Idempotency-Key" = String, Header, description = "1 to 128 visible ASCII characters")),
    security(("api_key" = [])),
    responses((status = 201, body = EventDone), (status = "default", body = ProblemDocument)))]
pub(crate) async fn reverse(
    State(app): State<App>,
    caller: Caller,
    key: Key,
    Params(loan): Params<Uuid>,
    body: Body<Reversal>,
) -> Result<Response, Problem> {
    caller.require(Scope::Loans)?;
    let Reversal { event, reason } = body.value;
    check_text("reason", &reason, REASON_CHARS_MAX)?;
    let mut attempt = match idempotency::begin(&app, caller.tenant, key, body.hash).await? {
        Begun::Replay(response) => return Ok(response),
        Begun::Fresh(attempt) => attempt,
    };
    let (tenant, id) = (TenantId::new(caller.tenant), Uuid::now_v7());
    app.loans.reverse(&mut attempt.tx, tenant, loan, id, event, &reason).await?;
    let fields =
        |record: Record| record.field("reversed", event.to_string()).field("reason", reason);
    Ok(finish(&app, attempt, &caller, ("loan.reversed", loan, id), fields).await?)
}

/// The audit record of an event of today, and the answer.
async fn finish(
    app: &App,
    mut attempt: Box<Attempt>,
    caller: &Caller,
    (kind, loan, id): (&str, Uuid, Uuid),
    fields: impl FnOnce(Record) -> Record,
) -> Result<Response, Error> {
    let (tx, tenant) = (&mut attempt.tx, TenantId::new(caller.tenant));
    let customer = borrower(app, tx, tenant, loan).await?;
    let today = app.loans.today_in(tx, tenant).await?;
    let record = leaf(kind, caller.tenant, loan, id, today)
        .subject(customer.to_string())
        .personal("borrower", customer.to_string());
    let record = append(app, tx, &fields(record)).await?;
    let view = EventDone::of(app, tx, tenant, (id, loan), record).await?;
    attempt.finish(StatusCode::CREATED, &view).await
}
