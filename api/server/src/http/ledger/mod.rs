//! A tenant's own ledger over HTTP. Transfers here carry an id that the client made, and that id is
//! what makes sending them again harmless: no second record is kept for it.

mod accounts;
mod balances;
mod batch;
mod chart;
mod limits;
mod quotes;
mod transfers;
mod wire;

use api_ledger::{Account, AccountId, Balance};
use api_store::Tx;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) use balances::Order;
pub(super) use transfers::{check_limit, default_limit};

use super::auth::Caller;
use super::missing;
use crate::app::App;
use crate::error::{Code, Error};

/// The routes below `/v1/ledger`.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(accounts::open, accounts::list))
        .routes(routes!(accounts::get))
        .routes(routes!(accounts::freeze))
        .routes(routes!(accounts::thaw))
        .routes(routes!(accounts::close))
        .routes(routes!(accounts::set_floor))
        .routes(routes!(balances::balance))
        .routes(routes!(balances::statement))
        .routes(routes!(limits::list, limits::set))
        .routes(routes!(limits::remove))
        .routes(routes!(chart::chart))
        .routes(routes!(transfers::post, transfers::list))
        .routes(routes!(transfers::get))
        .routes(routes!(batch::post))
        .routes(routes!(batch::dry_run))
        .routes(routes!(quotes::create))
        .routes(routes!(quotes::get))
        .routes(routes!(quotes::convert))
}

/// The account of this number, when it is in the caller's books.
async fn found(
    app: &App,
    tx: &mut Tx,
    caller: &Caller,
    id: wire::AccountNumber,
) -> Result<(Account, Balance), Error> {
    let found = app.ledger.account(tx, AccountId::new(id.0)).await?;
    let own = found.filter(|(account, _)| account.tenant.get() == caller.tenant);
    own.ok_or_else(|| missing("ledger account"))
}

/// The same, when it is one that the tenant keeps itself.
async fn own(
    app: &App,
    tx: &mut Tx,
    caller: &Caller,
    id: wire::AccountNumber,
) -> Result<Account, Error> {
    let (account, _) = found(app, tx, caller, id).await?;
    if account.for_clients { Ok(account) } else { Err(Code::AccountManaged.into()) }
}
