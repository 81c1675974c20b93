use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chain_core::IntentId;
use serde::{Deserialize, Serialize};
use signer_protocol::{FreezeRequest, Signer as _};
use utoipa::ToSchema;
use uuid::Uuid;

use super::auth::Operator;
use super::extract::{Body, Params};
use super::missing;
use super::problem::{Problem, ProblemDocument};
use super::views::{check_text, time};
use crate::app::App;
use crate::error::Error;
use crate::flows::reconcile::Finding;
use crate::flows::{
    cancel as cancellation, reconcile as reconciliation, replace as replacement, sweeps,
    treasury as own,
};
use crate::repo::{facts, intents};

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TreasuryAddress {
    chain: String,
    /// Fund this address: it pays out and pays the fees.
    address: String,
    key_path: String,
}

/// The treasury's addresses (operator).
#[utoipa::path(get, path = "/v1/treasury/addresses", tag = "operator", security(("api_key" = [])),
    responses((status = 200, body = Vec<TreasuryAddress>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn treasury(
    State(app): State<App>,
    _: Operator,
) -> Result<Json<Vec<TreasuryAddress>>, Problem> {
    let mut views = Vec::new();
    for chain in app.chains.iter() {
        let keyed = own::treasury(&app, chain).await?;
        views.push(TreasuryAddress {
            chain: chain.config.name.clone(),
            address: keyed.address.as_str().to_owned(),
            key_path: keyed.key.to_string(),
        });
    }
    Ok(Json(views))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SweepRequest {
    /// The asset to sweep.
    asset: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SweepStarted {
    /// What was started; empty when nothing is worth it now.
    intents: Vec<String>,
}

/// Moves coins from deposit addresses to the treasury, through the signer's policy (operator). A
/// token on an EVM chain may need two calls: fuel first, then the sweep.
#[utoipa::path(post, path = "/v1/treasury/sweeps", tag = "operator", request_body = SweepRequest,
    security(("api_key" = [])),
    responses((status = 202, body = SweepStarted), (status = "default", body = ProblemDocument)))]
pub(crate) async fn sweep(
    State(app): State<App>,
    _: Operator,
    body: Body<SweepRequest>,
) -> Result<(StatusCode, Json<SweepStarted>), Problem> {
    let asset = app.chains.asset(&body.value.asset)?;
    let started = sweeps::sweep(&app, asset).await?;
    let intents = started.iter().map(ToString::to_string).collect();
    Ok((StatusCode::ACCEPTED, Json(SweepStarted { intents })))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IntentView {
    id: String,
    chain: String,
    purpose: String,
    state: String,
    tx: Option<String>,
    fee: Option<String>,
    height: Option<u64>,
    problem: Option<String>,
    created_at: String,
    updated_at: String,
}

/// The newest 200 transactions of all purposes (operator).
#[utoipa::path(get, path = "/v1/treasury/intents", tag = "operator", security(("api_key" = [])),
    responses((status = 200, body = Vec<IntentView>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn intents(
    State(app): State<App>,
    _: Operator,
) -> Result<Json<Vec<IntentView>>, Problem> {
    let mut tx = app.db.read().await?;
    let found = intents::newest(&mut tx, 200).await?;
    let views = found.into_iter().map(|stored| IntentView {
        id: stored.intent.id.to_string(),
        chain: stored.chain,
        purpose: stored.intent.purpose.to_string(),
        state: stored.state.text().to_owned(),
        tx: stored.tx.map(|tx| tx.0),
        fee: stored.fee.map(|fee| fee.to_string()),
        height: stored.block.map(|block| block.height),
        problem: stored.problem,
        created_at: time(stored.created_at),
        updated_at: time(stored.updated_at),
    });
    Ok(Json(views.collect()))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Replaced {
    /// The new transaction; the old one stays valid until one of them confirms.
    tx: String,
}

/// Replaces a stuck transaction by one that pays more, within the fee cap (operator): the same
/// payment in the same place on the chain, so at most one of them can confirm.
#[utoipa::path(post, path = "/v1/treasury/intents/{id}/replace", tag = "operator", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = Replaced), (status = "default", body = ProblemDocument)))]
pub(crate) async fn replace(
    State(app): State<App>,
    _: Operator,
    Params(id): Params<Uuid>,
) -> Result<Json<Replaced>, Problem> {
    let tx = replacement::replace(&app, IntentId(id)).await?;
    Ok(Json(Replaced { tx: tx.0 }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cancel {
    /// Why, for the audit log: 1 to 200 characters.
    reason: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CancelView {
    id: String,
    /// `failed`: it will never move the money.
    state: String,
    problem: Option<String>,
}

/// Cancels a payout that was not signed, and gives its hold back (operator). The signer writes down first
/// that it will never sign it; what it has signed cannot be cancelled.
#[utoipa::path(post, path = "/v1/treasury/intents/{id}/cancel", tag = "operator", params(("id" = Uuid, Path)),
    request_body = Cancel, security(("api_key" = [])),
    responses((status = 200, body = CancelView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn cancel(
    State(app): State<App>,
    _: Operator,
    Params(id): Params<Uuid>,
    body: Body<Cancel>,
) -> Result<Json<CancelView>, Problem> {
    check_text("reason", &body.value.reason, 200)?;
    let id = IntentId(id);
    cancellation::cancel(&app, id, &body.value.reason).await?;
    let mut tx = app.db.read().await?;
    let stored = intents::get(&mut tx, id).await?.ok_or_else(|| missing("intent"))?;
    let (state, problem) = (stored.state.text().to_owned(), stored.problem);
    Ok(Json(CancelView { id: id.to_string(), state, problem }))
}

/// Compares the books with the chains (operator); `roadstead reconcile` does the same.
#[utoipa::path(get, path = "/v1/treasury/reconciliation", tag = "operator", security(("api_key" = [])),
    responses((status = 200, body = Vec<Finding>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn reconcile(
    State(app): State<App>,
    _: Operator,
) -> Result<Json<Vec<Finding>>, Problem> {
    Ok(Json(reconciliation::run(&app).await?))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LedgerCheckView {
    /// True when every balance is the sum of its entries and every asset sums to zero.
    clean: bool,
    accounts: u64,
    legs: u64,
    /// The first thing that is wrong.
    difference: Option<String>,
}

/// Recomputes every balance from the entries (operator); `roadstead ledger check` does the same.
#[utoipa::path(get, path = "/v1/treasury/ledger-check", tag = "operator", security(("api_key" = [])),
    responses((status = 200, body = LedgerCheckView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn ledger_check(
    State(app): State<App>,
    _: Operator,
) -> Result<Json<LedgerCheckView>, Problem> {
    let mut tx = app.db.read().await?;
    let report = app.ledger.check(&mut tx).await?;
    Ok(Json(LedgerCheckView {
        clean: report.is_clean(),
        accounts: report.accounts,
        legs: report.legs,
        difference: report.difference.map(|difference| difference.to_string()),
    }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewFreeze {
    /// The asset's code; every asset when absent.
    asset: Option<String>,
    /// The wallet, by its hardened account; every wallet when absent.
    account: Option<u32>,
    /// Why, for who is to thaw it.
    reason: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FreezeView {
    /// CAIP-19 id, or all.
    asset: Option<String>,
    account: Option<u32>,
    reason: String,
}

/// Freezes an asset or a wallet in the signer (operator). Only `roadstead-signer thaw`, on the
/// signer's machine, ends it.
#[utoipa::path(post, path = "/v1/treasury/freezes", tag = "operator", request_body = NewFreeze,
    security(("api_key" = [])),
    responses((status = 201, body = Vec<FreezeView>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn freeze(
    State(app): State<App>,
    _: Operator,
    body: Body<NewFreeze>,
) -> Result<(StatusCode, Json<Vec<FreezeView>>), Problem> {
    check_text("reason", &body.value.reason, 200)?;
    let asset = body
        .value
        .asset
        .map(|code| Ok::<_, Error>(app.chains.asset(&code)?.id.clone()))
        .transpose()?;
    let request = FreezeRequest { asset, account: body.value.account, reason: body.value.reason };
    let freezes = app.signer.freeze(&request).await?;
    let views = freezes.into_iter().map(|freeze| FreezeView {
        asset: freeze.asset.map(|asset| asset.to_string()),
        account: freeze.account,
        reason: freeze.reason,
    });
    Ok((StatusCode::CREATED, Json(views.collect())))
}

/// Ends the halt of a chain after a deep reorganisation was looked into (operator).
#[utoipa::path(post, path = "/v1/treasury/chains/{name}/resume", tag = "operator",
    params(("name" = String, Path)), security(("api_key" = [])),
    responses((status = 204, description = "Resumed"), (status = "default", body = ProblemDocument)))]
pub(crate) async fn resume(
    State(app): State<App>,
    _: Operator,
    Params(name): Params<String>,
) -> Result<StatusCode, Problem> {
    app.chains.named(&name)?;
    let mut tx = app.db.begin().await?;
    if !facts::resume(&mut tx, &name).await? {
        return Err(missing("halt").into());
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
