use api_ledger::{Outcome, PostError, Posted, Refusal, StoredTransfer, TransferId};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

use super::wire::{ResultView, TransferIn};
use crate::app::App;
use crate::error::{Code, Error, Failure};
use crate::http::auth::{Caller, Scope};
use crate::http::extract::{Args, Params, Plain};
use crate::http::idempotency::{Key, ids_alone};
use crate::http::missing;
use crate::http::problem::{Problem, ProblemDocument};
use crate::ledger_log;

/// Posts one transfer between accounts of your own: moves money, reserves it, ends a reservation, or
/// moves it back. Concurrent requests share one commit. The transfer's `id` is what makes it safe to
/// send again; without one, `Idempotency-Key` stands for it. Both together are refused.
#[utoipa::path(post, path = "/v1/ledger/transfers", tag = "ledger", request_body = TransferIn,
    params(("Idempotency-Key" = Option<String>, Header, description = "Stands for the id when the body has none; refused beside an id")),
    security(("api_key" = [])),
    responses((status = 201, body = ResultView), (status = 200, body = ResultView, description = "It was posted before"),
        (status = "default", body = ProblemDocument)))]
pub(crate) async fn post(
    State(app): State<App>,
    caller: Caller,
    key: Option<Key>,
    Plain(new): Plain<TransferIn>,
) -> Result<Response, Problem> {
    caller.require(Scope::Ledger)?;
    let id = match (new.id(), &key) {
        (Some(id), key) => {
            ids_alone(key.as_ref())?;
            id
        }
        (None, Some(key)) => derived_id(caller.tenant, key.text()),
        (None, None) => return Err(Error::from(Code::IdempotencyKeyMissing).into()),
    };
    let transfer = new.read(caller.tenant, id).map_err(Error::from)?;
    let posted = app.group.post(transfer).await.map_err(|error| match error {
        PostError::Refused(Refusal::IdConflict) if key.is_some() => {
            Error::from(Code::IdempotencyConflict)
        }
        PostError::Refused(refusal) => Failure::of_ledger(&refusal).into(),
        PostError::Ledger(error) => error.into(),
    })?;
    Ok(answer(&posted))
}

/// What a transfer that was posted is answered with: 201, or 200 when it was there before.
pub(super) fn answer(posted: &Posted) -> Response {
    let view = ResultView::posted(posted);
    if posted.outcome == Outcome::Executed {
        return (StatusCode::CREATED, Json(view)).into_response();
    }
    let mut response = Json(view).into_response();
    response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    response
}

/// The id of a transfer that comes with a key instead of one.
fn derived_id(tenant: Uuid, key: &str) -> Uuid {
    let digest = Sha256::new()
        .chain_update("roadstead idempotency key")
        .chain_update(tenant.as_bytes())
        .chain_update(key)
        .finalize();
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    Uuid::from_bytes(id)
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LegView {
    debit: String,
    credit: String,
    /// Minor units; `0` for a leg of which nothing was posted.
    amount: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StoredView {
    id: Uuid,
    /// Its place in the sequence of events, in lists; give the last one as `after`.
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<i64>,
    /// `transfer`, `pending`, `post_pending`, `void_pending`, `expire_pending` or `reversal`.
    kind: &'static str,
    legs: Vec<LegView>,
    /// The pending transfer that it ended, or the transfer that it reversed.
    target: Option<Uuid>,
    /// When a pending transfer can no longer be posted.
    expires_at: Option<String>,
    code: String,
    reference: String,
    /// The day that it counts for.
    effective_on: String,
    recorded_at: String,
    /// Its place in the books.
    seq: String,
    /// The audit record of the commit that it came with, when it is shown alone; absent for postings
    /// of the system, which have records of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<String>,
}

impl StoredView {
    fn new(transfer: StoredTransfer, sequence: Option<i64>) -> Self {
        let legs = transfer.legs.iter().map(|leg| LegView {
            debit: leg.debit.to_string(),
            credit: leg.credit.to_string(),
            amount: leg.amount.to_string(),
        });
        Self {
            id: transfer.id.get(),
            sequence,
            kind: transfer.kind.name(),
            legs: legs.collect(),
            target: transfer.target.map(TransferId::get),
            expires_at: transfer.expires_at.map(|time| time.to_string()),
            code: transfer.code,
            reference: transfer.reference,
            effective_on: transfer.effective_on.to_string(),
            recorded_at: transfer.recorded_at.to_string(),
            seq: transfer.seq.to_string(),
            record: None,
        }
    }
}

/// Shows a transfer in your books, also one that the system posted.
#[utoipa::path(get, path = "/v1/ledger/transfers/{id}", tag = "ledger", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = StoredView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
) -> Result<Json<StoredView>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    let found = app.ledger.transfer(&mut tx, caller.tenant.into(), id.into()).await?;
    let found = found.ok_or_else(|| missing("ledger transfer"))?;
    let name = ledger_log::external_id(ledger_log::commit(found.seq));
    let record = app.audit.find(&mut tx, &caller.tenant.to_string(), &name).await?;
    let mut view = StoredView::new(found, None);
    view.record = record.map(|record| record.to_string());
    Ok(Json(view))
}

/// Which part of a sequence.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SequenceQuery {
    /// The `next` of the page before; 0 to begin.
    #[serde(default)]
    after: i64,
    /// At most this many, 1 to 500; 100 when absent.
    #[serde(default = "default_limit")]
    limit: u32,
}

/// The `limit` of a query that names none.
pub(in crate::http) const fn default_limit() -> u32 {
    100
}

/// 1 to 500, or a refusal.
pub(in crate::http) fn check_limit(limit: u32) -> Result<u32, Error> {
    if (1..=500).contains(&limit) {
        return Ok(limit);
    }
    Err(Error::refuse(Code::BadRequest, "limit must be between 1 and 500"))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TransferPage {
    items: Vec<StoredView>,
    /// Give this as `after` to go on; the same as `after` at the end.
    next: i64,
}

/// Lists all transfers in your books in the order of their events. Stable: what is new comes at the
/// end, a moment after its commit. A place that your events do not have is refused with `event_cursor_lost`.
#[utoipa::path(get, path = "/v1/ledger/transfers", tag = "ledger", params(SequenceQuery), security(("api_key" = [])),
    responses((status = 200, body = TransferPage), (status = "default", body = ProblemDocument)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Args(query): Args<SequenceQuery>,
) -> Result<Json<TransferPage>, Problem> {
    caller.require(Scope::Read)?;
    let limit = check_limit(query.limit)?;
    if query.after < 0 {
        return Err(Error::refuse(Code::BadRequest, "after is not negative").into());
    }
    let mut tx = app.db.read().await?;
    app.ledger.event_mark(&mut tx, caller.tenant.into(), query.after, None).await?;
    let found = app.ledger.transfers(&mut tx, caller.tenant.into(), query.after, limit).await?;
    let next = found.last().map_or(query.after, |(sequence, _)| *sequence);
    let items = found
        .into_iter()
        .map(|(sequence, transfer)| StoredView::new(transfer, Some(sequence)))
        .collect();
    Ok(Json(TransferPage { items, next }))
}
