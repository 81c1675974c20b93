use api_store::Tx;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::auth::{Caller, Scope};
use super::extract::{Args, Body, Params};
use super::idempotency::{self, Begun, Key};
use super::missing;
use super::problem::{Problem, ProblemDocument};
use super::views::{Money, Page, PageQuery, check_text, time};
use crate::app::App;
use crate::error::Error;
use crate::flows::withdrawals::{self as flow, Order};
use crate::repo::intents;
use crate::repo::withdrawals::{self, Withdrawal};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewWithdrawal {
    /// Who pays.
    customer: Uuid,
    /// The asset's code.
    asset: String,
    /// Minor units.
    amount: String,
    /// The address that is paid.
    destination: String,
    /// Your own id, unique in the tenant, by which the withdrawal can be looked up.
    client_id: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WithdrawalView {
    id: Uuid,
    client_id: Option<String>,
    customer: Uuid,
    chain: String,
    #[serde(flatten)]
    money: Money,
    destination: String,
    /// `reserved`, `built`, `signed`, `sent`, `unknown`, `settled` or `failed`. Unknown is not failed:
    /// the chain has not answered yet.
    state: String,
    /// The transaction, once it is signed.
    tx: Option<String>,
    /// Every transaction that was signed for it; at most one can confirm.
    attempts: Vec<String>,
    /// What it cost in the chain's native coin, in minor units; the operator pays.
    fee: Option<String>,
    height: Option<u64>,
    /// What keeps it from moving on.
    problem: Option<String>,
    created_at: String,
    updated_at: String,
}

async fn view(tx: &mut Tx, withdrawal: Withdrawal) -> Result<WithdrawalView, Error> {
    let intent = intents::get(tx, withdrawal.intent).await?;
    let intent = intent.ok_or_else(|| Error::internal("a withdrawal without intent"))?;
    let attempts = intents::attempts(tx, withdrawal.intent).await?;
    Ok(WithdrawalView {
        id: withdrawal.id,
        client_id: withdrawal.client_id,
        customer: withdrawal.customer,
        chain: withdrawal.chain,
        money: Money::new(&withdrawal.asset, withdrawal.amount),
        destination: withdrawal.destination,
        state: intent.state.text().to_owned(),
        tx: intent.tx.map(|tx| tx.0),
        attempts: attempts.into_iter().map(|tx| tx.0).collect(),
        fee: intent.fee.map(|fee| fee.to_string()),
        height: intent.block.map(|block| block.height),
        problem: intent.problem,
        created_at: time(withdrawal.created_at),
        updated_at: time(intent.updated_at),
    })
}

/// Pays out to an outside address. The amount is held at once; the chain's fee is the operator's.
#[utoipa::path(post, path = "/v1/withdrawals", tag = "withdrawals", request_body = NewWithdrawal,
    params(("Idempotency-Key" = String, Header, description = "1 to 128 visible ASCII characters")),
    security(("api_key" = [])),
    responses((status = 201, body = WithdrawalView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    key: Key,
    body: Body<NewWithdrawal>,
) -> Result<Response, Problem> {
    caller.require(Scope::Withdraw)?;
    let new = body.value;
    if let Some(client_id) = &new.client_id {
        check_text("client_id", client_id, 100)?;
    }
    let order = Order {
        tenant: caller.tenant,
        customer: new.customer,
        client_id: new.client_id,
        asset: new.asset,
        amount: new.amount.parse().map_err(Error::from)?,
        destination: new.destination,
    };
    let checked = flow::check(&app, order).await?;
    match idempotency::begin(&app, caller.tenant, key, body.hash).await? {
        Begun::Replay(response) => Ok(response),
        Begun::Fresh(mut attempt) => {
            let withdrawal = flow::reserve(&app, &mut attempt.tx, checked).await?;
            let view = view(&mut attempt.tx, withdrawal).await?;
            Ok(attempt.finish(StatusCode::CREATED, &view).await?)
        }
    }
}

/// Shows a withdrawal.
#[utoipa::path(get, path = "/v1/withdrawals/{id}", tag = "withdrawals", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = WithdrawalView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
) -> Result<Json<WithdrawalView>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    let withdrawal =
        withdrawals::get(&mut tx, caller.tenant, id).await?.ok_or_else(|| missing("withdrawal"))?;
    Ok(Json(view(&mut tx, withdrawal).await?))
}

/// Lists withdrawals; `client_id` finds one by your own id.
#[utoipa::path(get, path = "/v1/withdrawals", tag = "withdrawals", params(PageQuery), security(("api_key" = [])),
    responses((status = 200, body = Page<WithdrawalView>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Args(page): Args<PageQuery>,
) -> Result<Json<Page<WithdrawalView>>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    let limit = page.limit()?;
    let found = withdrawals::page(
        &mut tx,
        caller.tenant,
        &page.client_id,
        &page.customer,
        &page.after,
        limit,
    )
    .await?;
    let mut views = Vec::with_capacity(found.len());
    for withdrawal in found {
        views.push(view(&mut tx, withdrawal).await?);
    }
    Ok(Json(Page::new(views, limit, |view| view.id.to_string())))
}
