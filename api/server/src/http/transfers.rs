use api_audit::Record;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::auth::{Caller, Scope};
use super::extract::{Body, Params};
use super::idempotency::{self, Begun, Key};
use super::missing;
use super::problem::{Problem, ProblemDocument};
use super::views::{Money, time};
use crate::app::{App, now_ms};
use crate::error::{Code, Error};
use crate::repo::customers;
use crate::repo::transfers::{self, InternalTransfer};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTransfer {
    /// The customer who pays.
    from: Uuid,
    /// The customer who is paid.
    to: Uuid,
    /// The asset's or currency's code.
    asset: String,
    /// Minor units.
    amount: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TransferView {
    id: Uuid,
    from: Uuid,
    to: Uuid,
    #[serde(flatten)]
    money: Money,
    /// The audit record; `GET /v1/audit/records/{id}/receipt` gives its receipt.
    record: String,
    created_at: String,
}

impl From<InternalTransfer> for TransferView {
    fn from(transfer: InternalTransfer) -> Self {
        Self {
            id: transfer.id,
            from: transfer.from,
            to: transfer.to,
            money: Money::new(&transfer.asset, transfer.amount),
            record: transfer.record,
            created_at: time(transfer.created_at),
        }
    }
}

/// Moves money between two customers of the tenant, at once and without any chain.
#[utoipa::path(post, path = "/v1/transfers", tag = "transfers", request_body = NewTransfer,
    params(("Idempotency-Key" = String, Header, description = "1 to 128 visible ASCII characters")),
    security(("api_key" = [])),
    responses((status = 201, body = TransferView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    key: Key,
    body: Body<NewTransfer>,
) -> Result<Response, Problem> {
    caller.require(Scope::Transfer)?;
    let new = body.value;
    let amount = Money::new(&new.asset, &new.amount).positive()?;
    if !app.knows_asset(&new.asset) {
        return Err(Error::from(Code::UnknownAsset).into());
    }
    if new.from == new.to {
        return Err(Error::from(Code::SameAccount).into());
    }
    let mut attempt = match idempotency::begin(&app, caller.tenant, key, body.hash).await? {
        Begun::Replay(response) => return Ok(response),
        Begun::Fresh(attempt) => attempt,
    };
    let tx = &mut attempt.tx;
    for customer in [new.from, new.to] {
        customers::get(tx, caller.tenant, customer).await?.ok_or_else(|| missing("customer"))?;
    }
    let (id, now) = (Uuid::now_v7(), now_ms());
    app.book_internal(tx, id, caller.tenant, (new.from, new.to), &new.asset, amount).await?;
    let record = Record::new("transfer.booked", now)
        .external_id(caller.tenant.to_string(), format!("transfer:{id}"))
        .field("transfer", id.to_string())
        .field("from", new.from.to_string())
        .field("to", new.to.to_string())
        .field("asset", &new.asset)
        .field("amount", amount.to_string());
    let record = app.audit.append_in(tx, &record).await?;
    let transfer = InternalTransfer {
        id,
        tenant: caller.tenant,
        from: new.from,
        to: new.to,
        asset: new.asset,
        amount,
        record: record.to_string(),
        created_at: now,
    };
    transfers::insert(tx, &transfer).await?;
    Ok(attempt.finish(StatusCode::CREATED, &TransferView::from(transfer)).await?)
}

/// Shows a transfer.
#[utoipa::path(get, path = "/v1/transfers/{id}", tag = "transfers", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = TransferView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
) -> Result<Json<TransferView>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    let transfer =
        transfers::get(&mut tx, caller.tenant, id).await?.ok_or_else(|| missing("transfer"))?;
    Ok(Json(transfer.into()))
}
