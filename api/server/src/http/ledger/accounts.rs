use api_audit::Record;
use api_ledger::{Account, AccountId, Balance, Floor, NewAccount, Side};
use api_store::Tx;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::balances::BalanceView;
use super::transfers::check_limit;
use super::wire::AccountNumber;
use super::{found, own};
use crate::app::{App, now_ms};
use crate::books::is_flow_code;
use crate::error::{Code, Error};
use crate::http::auth::{Caller, Scope};
use crate::http::extract::{Args, Body, Params};
use crate::http::problem::{Problem, ProblemDocument};

const CODE_BYTES_MAX: usize = 256;

/// The side on which a balance normally is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SideView {
    /// Assets and expenses.
    Debit,
    /// Liabilities, equity and income.
    Credit,
}

impl From<Side> for SideView {
    fn from(side: Side) -> Self {
        match side {
            Side::Debit => Self::Debit,
            Side::Credit => Self::Credit,
        }
    }
}

impl From<SideView> for Side {
    fn from(side: SideView) -> Self {
        match side {
            SideView::Debit => Self::Debit,
            SideView::Credit => Self::Credit,
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewLedgerAccount {
    /// Its place in your chart, with `:` between the levels: `assets:cash`. Below `parent`, when that
    /// is given. The first level must not be one that the system keeps.
    code: String,
    /// The place above: `assets` and the code `cash` make `assets:cash`.
    parent: Option<String>,
    /// The code of an asset of this server, or of an ISO 4217 currency.
    asset: String,
    /// Its normal side.
    side: SideView,
    /// How far down the balance may go, in minor units: `0` when absent, negative for an overdraft,
    /// `none` for no limit.
    floor: Option<String>,
    /// Whether to keep what statements, balances of another time and limits need; true when absent.
    history: Option<bool>,
    /// Your own name for it.
    external_id: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountView {
    id: String,
    code: String,
    /// The place above it in the chart.
    parent: Option<String>,
    asset: String,
    /// One unit of the asset is 10 to this power minor units; absent when the server no longer knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    decimals: Option<u8>,
    side: SideView,
    /// Minor units, or `none`.
    floor: String,
    history: bool,
    frozen: bool,
    closed: bool,
    external_id: Option<String>,
    /// True when the system keeps it: you can read it, and move its money only by the endpoints that
    /// are for that.
    managed: bool,
    created_at: String,
    balance: BalanceView,
}

impl AccountView {
    fn new(app: &App, (account, balance): (Account, Balance)) -> Self {
        Self {
            decimals: app.decimals(&account.asset),
            id: account.id.to_string(),
            parent: account.code.rsplit_once(':').map(|(parent, _)| parent.to_owned()),
            code: account.code,
            asset: account.asset,
            side: account.side.into(),
            floor: floor_text(account.floor),
            history: account.history,
            frozen: account.frozen,
            closed: account.closed,
            external_id: account.external_id,
            managed: !account.for_clients,
            created_at: account.created_at.to_string(),
            balance: BalanceView::now(&balance),
        }
    }
}

fn floor_text(floor: Floor) -> String {
    match floor {
        Floor::Zero => "0".to_owned(),
        Floor::At(minor) => minor.to_string(),
        Floor::None => "none".to_owned(),
    }
}

fn read_floor(text: Option<&str>) -> Result<Floor, Error> {
    let refuse = || {
        let detail = "floor is a whole number of minor units as a string, or \"none\"";
        Error::refuse(Code::InvalidAmount, detail)
    };
    match text {
        None | Some("0") => Ok(Floor::Zero),
        Some("none") => Ok(Floor::None),
        Some(text) if text.starts_with('+') => Err(refuse()),
        Some(text) => text.parse().map(Floor::At).map_err(|_| refuse()),
    }
}

/// The whole code, when a tenant may have it.
fn read_code(new: &NewLedgerAccount) -> Result<String, Error> {
    let code = match &new.parent {
        Some(parent) => format!("{parent}:{}", new.code),
        None => new.code.clone(),
    };
    let fits = |level: &str| !level.is_empty() && !level.chars().any(char::is_control);
    if code.len() > CODE_BYTES_MAX || !code.split(':').all(fits) {
        let detail = "code has 1 to 256 bytes, no empty level and no control characters";
        return Err(Error::refuse(Code::Unprocessable, detail));
    }
    if is_flow_code(&code) {
        let detail =
            "the system keeps the accounts at this place of the chart; choose another first level";
        return Err(Error::refuse(Code::AccountManaged, detail));
    }
    Ok(code)
}

/// Opens an account of your own. The same request again finds it; one with the same code and asset
/// and other properties is refused.
#[utoipa::path(post, path = "/v1/ledger/accounts", tag = "ledger", request_body = NewLedgerAccount,
    security(("api_key" = [])),
    responses((status = 201, body = AccountView), (status = 200, body = AccountView, description = "It was open before"),
        (status = "default", body = ProblemDocument)))]
pub(crate) async fn open(
    State(app): State<App>,
    caller: Caller,
    body: Body<NewLedgerAccount>,
) -> Result<(StatusCode, Json<AccountView>), Problem> {
    caller.require(Scope::Ledger)?;
    let new = body.value;
    if app.decimals(&new.asset).is_none() {
        return Err(Error::from(Code::UnknownAsset).into());
    }
    let mut account =
        NewAccount::new(caller.tenant.into(), &read_code(&new)?, &new.asset, new.side.into())
            .with_floor(read_floor(new.floor.as_deref())?)
            .for_clients();
    account.history = new.history.unwrap_or(true);
    account.external_id = new.external_id;
    let mut tx = app.db.begin().await?;
    let (id, is_new) = app.ledger.open_or_find_account(&mut tx, &account).await?;
    if is_new {
        let fields = [("code", account.code.as_str()), ("asset", &account.asset)];
        record(&app, &mut tx, &caller, "ledger.account_opened", id, &fields).await?;
    }
    let view =
        AccountView::new(&app, found(&app, &mut tx, &caller, AccountNumber(id.get())).await?);
    tx.commit().await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(view)))
}

/// Writes into the audit log what was decided about an account.
pub(super) async fn record(
    app: &App,
    tx: &mut Tx,
    caller: &Caller,
    kind: &str,
    account: AccountId,
    fields: &[(&str, &str)],
) -> Result<(), Error> {
    let name = format!("ledger-account:{account}:{}", Uuid::now_v7());
    let mut record = Record::new(kind, now_ms())
        .external_id(caller.tenant.to_string(), name)
        .field("account", account.to_string());
    for (name, value) in fields {
        record = record.field(*name, *value);
    }
    app.audit.append_in(tx, &record).await?;
    Ok(())
}

/// Shows an account with its balance, also one that the system keeps.
#[utoipa::path(get, path = "/v1/ledger/accounts/{id}", tag = "ledger", params(("id" = String, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = AccountView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<AccountNumber>,
) -> Result<Json<AccountView>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    Ok(Json(AccountView::new(&app, found(&app, &mut tx, &caller, id).await?)))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AccountsQuery {
    /// Only this place of the chart and what is below it.
    #[serde(default)]
    under: String,
    /// Only those with this name of your own, the oldest first.
    #[serde(default)]
    external_id: String,
    /// The `next` of the page before.
    #[serde(default)]
    after: String,
    /// At most this many, 1 to 500; 100 when absent.
    #[serde(default = "super::transfers::default_limit")]
    limit: u32,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountPage {
    items: Vec<AccountView>,
    /// Give this as `after` for the next page; absent at the end.
    next: Option<String>,
}

/// Lists the accounts in your books by code and asset, those that the system keeps included.
#[utoipa::path(get, path = "/v1/ledger/accounts", tag = "ledger", params(AccountsQuery), security(("api_key" = [])),
    responses((status = 200, body = AccountPage), (status = "default", body = ProblemDocument)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Args(query): Args<AccountsQuery>,
) -> Result<Json<AccountPage>, Problem> {
    caller.require(Scope::Read)?;
    let limit = check_limit(query.limit)?;
    let tenant = caller.tenant.into();
    let mut tx = app.db.read().await?;
    let found = if query.external_id.is_empty() {
        let after = read_place(&query.after)?;
        app.ledger.accounts(&mut tx, tenant, &query.under, after, limit).await?
    } else {
        let (name, after) = (&query.external_id, read_number(&query.after)?);
        app.ledger.accounts_by_external_id(&mut tx, tenant, name, after, limit).await?
    };
    let full = u32::try_from(found.len()).is_ok_and(|count| count >= limit);
    let next = found.last().filter(|_| full).map(|(account, _)| {
        if query.external_id.is_empty() {
            format!("{} {}", account.code, account.asset)
        } else {
            account.id.to_string()
        }
    });
    let items = found.into_iter().map(|found| AccountView::new(&app, found)).collect();
    Ok(Json(AccountPage { items, next }))
}

fn no_next() -> Error {
    Error::refuse(Code::BadRequest, "after is no next of a page of this list")
}

/// The code and asset of the last account of a page.
fn read_place(after: &str) -> Result<(&str, &str), Error> {
    if after.is_empty() {
        return Ok(("", ""));
    }
    // Assets have no spaces in them, codes may: the last space is ours.
    let place = after.rsplit_once(' ');
    place.filter(|(code, asset)| !code.is_empty() && !asset.is_empty()).ok_or_else(no_next)
}

/// The number of the last account of a page.
fn read_number(after: &str) -> Result<AccountId, Error> {
    if after.is_empty() {
        return Ok(AccountId::new(0));
    }
    let digits = Some(after).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|text| text.parse().ok());
    number.map(AccountId::new).ok_or_else(no_next)
}

/// Refuses new movements on an account of your own, in both directions. Pending transfers can still
/// be ended. Again it changes nothing, and is no further record.
#[utoipa::path(post, path = "/v1/ledger/accounts/{id}/freeze", tag = "ledger", params(("id" = String, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = AccountView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn freeze(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<AccountNumber>,
) -> Result<Json<AccountView>, Problem> {
    set_frozen(&app, &caller, id, true).await
}

/// Allows movements on a frozen account of your own again.
#[utoipa::path(post, path = "/v1/ledger/accounts/{id}/thaw", tag = "ledger", params(("id" = String, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = AccountView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn thaw(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<AccountNumber>,
) -> Result<Json<AccountView>, Problem> {
    set_frozen(&app, &caller, id, false).await
}

async fn set_frozen(
    app: &App,
    caller: &Caller,
    id: AccountNumber,
    frozen: bool,
) -> Result<Json<AccountView>, Problem> {
    caller.require(Scope::Ledger)?;
    let mut tx = app.db.begin().await?;
    let account = own(app, &mut tx, caller, id).await?;
    if app.ledger.set_frozen(&mut tx, account.id, frozen).await? {
        let kind = if frozen { "ledger.account_frozen" } else { "ledger.account_thawed" };
        record(app, &mut tx, caller, kind, account.id, &[]).await?;
    }
    let view = AccountView::new(app, found(app, &mut tx, caller, id).await?);
    tx.commit().await?;
    Ok(Json(view))
}

/// Closes an empty account of your own, for good. What it recorded stays.
#[utoipa::path(post, path = "/v1/ledger/accounts/{id}/close", tag = "ledger", params(("id" = String, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = AccountView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn close(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<AccountNumber>,
) -> Result<Json<AccountView>, Problem> {
    caller.require(Scope::Ledger)?;
    let mut tx = app.db.begin().await?;
    let account = own(&app, &mut tx, &caller, id).await?;
    if app.ledger.close_account(&mut tx, account.id).await? {
        record(&app, &mut tx, &caller, "ledger.account_closed", account.id, &[]).await?;
    }
    let view = AccountView::new(&app, found(&app, &mut tx, &caller, id).await?);
    tx.commit().await?;
    Ok(Json(view))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewFloor {
    /// Minor units, or `none` for no limit.
    floor: String,
}

/// Sets how far down the balance of an account of your own may go from now on.
#[utoipa::path(put, path = "/v1/ledger/accounts/{id}/floor", tag = "ledger", params(("id" = String, Path)),
    request_body = NewFloor, security(("api_key" = [])),
    responses((status = 200, body = AccountView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn set_floor(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<AccountNumber>,
    body: Body<NewFloor>,
) -> Result<Json<AccountView>, Problem> {
    caller.require(Scope::Ledger)?;
    let mut tx = app.db.begin().await?;
    let account = own(&app, &mut tx, &caller, id).await?;
    let floor = read_floor(Some(&body.value.floor))?;
    app.ledger.set_floor(&mut tx, account.id, floor).await?;
    let fields = [("floor", body.value.floor.as_str())];
    record(&app, &mut tx, &caller, "ledger.account_floor", account.id, &fields).await?;
    let view = AccountView::new(&app, found(&app, &mut tx, &caller, id).await?);
    tx.commit().await?;
    Ok(Json(view))
}
