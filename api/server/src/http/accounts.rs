use api_ledger::TenantId;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::auth::{Caller, Scope};
use super::extract::{Args, Params};
use super::ledger::Order;
use super::missing;
use super::problem::{Problem, ProblemDocument};
use super::views::Money;
use crate::app::App;
use crate::books::customer_code;
use crate::error::Error;
use crate::repo::customers;

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BalanceView {
    /// The asset.
    asset: String,
    /// What was booked, in minor units.
    posted: String,
    /// What is on hold for withdrawals.
    pending_out: String,
    /// What can be spent.
    available: String,
}

/// A customer's balances, one for each asset that was ever booked.
#[utoipa::path(get, path = "/v1/customers/{id}/balances", tag = "accounts", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = Vec<BalanceView>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn balances(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
) -> Result<Json<Vec<BalanceView>>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    customers::get(&mut tx, caller.tenant, id).await?.ok_or_else(|| missing("customer"))?;
    let tenant = TenantId::new(caller.tenant);
    let found = app.ledger.accounts(&mut tx, tenant, &customer_code(id), ("", ""), 500).await?;
    let views = found.into_iter().map(|(account, balance)| BalanceView {
        asset: account.asset,
        posted: balance.posted().to_string(),
        pending_out: balance.pending_out().to_string(),
        available: balance.available().to_string(),
    });
    Ok(Json(views.collect()))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StatementQuery {
    /// The `next` of the page before.
    after: Option<i64>,
    /// At most this many lines, 1 to 500.
    #[serde(default = "default_limit")]
    limit: u32,
    /// `asc`, the oldest first, when absent; `desc` for the newest first.
    #[serde(default)]
    #[param(inline)]
    order: Order,
}

const fn default_limit() -> u32 {
    100
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatementView {
    /// Before the oldest line.
    opening: Money,
    lines: Vec<LineView>,
    /// After the newest line.
    closing: Money,
    /// Give this as `after` for the next page; absent at the end.
    next: Option<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LineView {
    recorded_at: String,
    effective_on: String,
    /// The kind of business: `deposit`, `withdrawal`, `internal`, `topup`, ….
    code: String,
    /// The id of the business document.
    reference: String,
    /// Minor units; negative when it left the account.
    change: String,
    balance: String,
}

/// A customer's statement in one asset: opening balance, movements, closing balance.
#[utoipa::path(get, path = "/v1/customers/{id}/statement/{asset}", tag = "accounts",
    params(("id" = Uuid, Path), ("asset" = String, Path), StatementQuery), security(("api_key" = [])),
    responses((status = 200, body = StatementView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn statement(
    State(app): State<App>,
    caller: Caller,
    Params((id, asset)): Params<(Uuid, String)>,
    Args(query): Args<StatementQuery>,
) -> Result<Json<StatementView>, Problem> {
    caller.require(Scope::Read)?;
    if !(1..=500).contains(&query.limit) {
        return Err(Error::refuse(
            crate::error::Code::BadRequest,
            "limit must be between 1 and 500",
        )
        .into());
    }
    let mut tx = app.db.read().await?;
    customers::get(&mut tx, caller.tenant, id).await?.ok_or_else(|| missing("customer"))?;
    let tenant = TenantId::new(caller.tenant);
    let account = app.ledger.find_account(&mut tx, tenant, &customer_code(id), &asset).await?;
    let (account, _) = account.ok_or_else(|| missing("account"))?;
    let page = query.order.page(&app, &mut tx, account.id, query.after, query.limit);
    let statement = page.await?;
    let lines = statement.lines.into_iter().map(|line| LineView {
        recorded_at: line.recorded_at.to_string(),
        effective_on: line.effective_on.to_string(),
        code: line.code,
        reference: line.reference,
        change: format!("{}{}", if line.side == account.side { "" } else { "-" }, line.amount),
        balance: line.balance.posted().to_string(),
    });
    Ok(Json(StatementView {
        opening: Money::new(&asset, statement.opening.posted()),
        lines: lines.collect(),
        closing: Money::new(&asset, statement.closing.posted()),
        next: statement.next,
    }))
}
