use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::auth::{Caller, Operator, Scope};
use super::extract::{Args, Params};
use super::missing;
use super::problem::{Problem, ProblemDocument};
use super::views::{Money, Page, PageQuery, time};
use crate::app::App;
use crate::books::HOUSE;
use crate::repo::bank::{self, BankLine};
use crate::repo::deposits::{self, Deposit};

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DepositView {
    id: Uuid,
    customer: Option<Uuid>,
    chain: String,
    #[serde(flatten)]
    money: Money,
    address: String,
    /// The transaction.
    tx: String,
    /// Where in the transaction the money is.
    position: String,
    /// The block's height; on Solana the slot.
    height: u64,
    block_hash: String,
    /// `seen` in a block, `final` and credited, `suspense` (an operator must look), or `orphaned` by
    /// a reorganisation.
    state: String,
    created_at: String,
    credited_at: Option<String>,
}

impl From<Deposit> for DepositView {
    fn from(deposit: Deposit) -> Self {
        Self {
            id: deposit.id,
            customer: deposit.customer,
            chain: deposit.chain,
            money: Money::new(&deposit.asset, deposit.amount),
            address: deposit.address,
            tx: deposit.tx,
            position: deposit.position,
            height: deposit.block.height,
            block_hash: deposit.block.hash,
            state: deposit.state,
            created_at: time(deposit.created_at),
            credited_at: deposit.credited_at.map(time),
        }
    }
}

/// Lists deposits from chains.
#[utoipa::path(get, path = "/v1/deposits", tag = "deposits", params(PageQuery), security(("api_key" = [])),
    responses((status = 200, body = Page<DepositView>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Args(page): Args<PageQuery>,
) -> Result<Json<Page<DepositView>>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    let found =
        deposits::page(&mut tx, caller.tenant, &page.customer, &page.after, page.limit()?).await?;
    let views = found.into_iter().map(DepositView::from).collect();
    Ok(Json(Page::new(views, page.limit, |view| view.id.to_string())))
}

/// Shows a deposit.
#[utoipa::path(get, path = "/v1/deposits/{id}", tag = "deposits", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = DepositView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
) -> Result<Json<DepositView>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    let deposit =
        deposits::get(&mut tx, caller.tenant, id).await?.ok_or_else(|| missing("deposit"))?;
    Ok(Json(deposit.into()))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SuspendedDeposit {
    #[serde(flatten)]
    deposit: DepositView,
    /// Whose address it came to; null when it is the operator's own.
    tenant: Option<Uuid>,
}

/// Deposits of all tenants that no books can hold, because they do not fit in 128 bits (operator). The chain has
/// the money; nothing is credited and nothing of it is cut off.
#[utoipa::path(get, path = "/v1/treasury/suspended-deposits", tag = "operator", params(PageQuery),
    security(("api_key" = [])),
    responses((status = 200, body = Page<SuspendedDeposit>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn suspended(
    State(app): State<App>,
    _: Operator,
    Args(page): Args<PageQuery>,
) -> Result<Json<Page<SuspendedDeposit>>, Problem> {
    let limit = page.limit()?;
    let mut tx = app.db.read().await?;
    let found = deposits::suspended(&mut tx, &page.after, limit).await?;
    let view = |deposit: Deposit| {
        let tenant = Some(deposit.tenant).filter(|tenant| *tenant != HOUSE);
        SuspendedDeposit { deposit: deposit.into(), tenant }
    };
    let views = found.into_iter().map(view).collect();
    Ok(Json(Page::new(views, limit, |view: &SuspendedDeposit| view.deposit.id.to_string())))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TopupView {
    /// The bank's id of the line.
    id: String,
    customer: Option<Uuid>,
    #[serde(flatten)]
    money: Money,
    booked_on: String,
    reference: String,
    /// `credited` or `suspense`.
    state: String,
    created_at: String,
}

impl From<BankLine> for TopupView {
    fn from(line: BankLine) -> Self {
        Self {
            id: line.id,
            customer: line.customer,
            money: Money::new(&line.currency, line.amount),
            booked_on: line.booked_on,
            reference: line.reference,
            state: line.state,
            created_at: time(line.created_at),
        }
    }
}

/// Lists top-ups that the bank's statements brought.
#[utoipa::path(get, path = "/v1/topups", tag = "deposits", params(PageQuery), security(("api_key" = [])),
    responses((status = 200, body = Page<TopupView>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn topups(
    State(app): State<App>,
    caller: Caller,
    Args(page): Args<PageQuery>,
) -> Result<Json<Page<TopupView>>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    let found =
        bank::page(&mut tx, caller.tenant, &page.customer, &page.after, page.limit()?).await?;
    let views = found.into_iter().map(TopupView::from).collect();
    Ok(Json(Page::new(views, page.limit, |view: &TopupView| view.id.clone())))
}
