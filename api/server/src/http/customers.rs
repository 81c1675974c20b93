use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chain_core::{Branch, ChainFamily, KeyScheme};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::auth::{Caller, Scope};
use super::extract::{Args, Body, Params};
use super::missing;
use super::problem::{Problem, ProblemDocument};
use super::views::{Page, PageQuery, check_text, time};
use crate::app::{App, now_ms};
use crate::error::{Code, Error};
use crate::flows::treasury;
use crate::repo::{addresses, customers};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCustomer {
    /// Your own name for the customer, unique in the tenant. Use a random id, not personal data.
    reference: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CustomerView {
    id: Uuid,
    reference: String,
    /// What the customer writes as reference of a bank transfer.
    topup_reference: String,
    created_at: String,
}

impl From<customers::Customer> for CustomerView {
    fn from(customer: customers::Customer) -> Self {
        Self {
            id: customer.id,
            reference: customer.reference,
            topup_reference: customer.id.to_string(),
            created_at: time(customer.created_at),
        }
    }
}

/// Creates a customer.
#[utoipa::path(post, path = "/v1/customers", tag = "customers", request_body = NewCustomer,
    security(("api_key" = [])),
    responses((status = 201, body = CustomerView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    body: Body<NewCustomer>,
) -> Result<(StatusCode, Json<CustomerView>), Problem> {
    caller.require(Scope::Customers)?;
    check_text("reference", &body.value.reference, 100)?;
    let id = Uuid::now_v7();
    let mut tx = app.db.begin().await?;
    customers::insert(&mut tx, caller.tenant, id, &body.value.reference, now_ms()).await.map_err(
        |error| {
            if error.is_unique_violation() {
                Error::refuse(Code::AlreadyExists, "there is a customer with this reference")
            } else {
                error.into()
            }
        },
    )?;
    let customer =
        customers::get(&mut tx, caller.tenant, id).await?.ok_or_else(|| missing("customer"))?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(customer.into())))
}

/// Lists the tenant's customers.
#[utoipa::path(get, path = "/v1/customers", tag = "customers", params(PageQuery), security(("api_key" = [])),
    responses((status = 200, body = Page<CustomerView>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Args(page): Args<PageQuery>,
) -> Result<Json<Page<CustomerView>>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    let found = customers::page(&mut tx, caller.tenant, &page.after, page.limit()?).await?;
    let views = found.into_iter().map(CustomerView::from).collect();
    Ok(Json(Page::new(views, page.limit, |view| view.id.to_string())))
}

/// Shows a customer.
#[utoipa::path(get, path = "/v1/customers/{id}", tag = "customers", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = CustomerView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
) -> Result<Json<CustomerView>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    let customer =
        customers::get(&mut tx, caller.tenant, id).await?.ok_or_else(|| missing("customer"))?;
    Ok(Json(customer.into()))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAddress {
    /// The chain's name, as in `GET /v1/chains`.
    chain: String,
    /// Bitcoin: `p2wpkh` (the default) or `p2tr`.
    kind: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AddressView {
    chain: String,
    address: String,
    /// The key's path, as documented for recovery.
    key_path: String,
    created_at: String,
}

impl From<addresses::Issued> for AddressView {
    fn from(issued: addresses::Issued) -> Self {
        Self {
            chain: issued.chain,
            address: issued.address,
            key_path: issued.key.to_string(),
            created_at: time(issued.created_at),
        }
    }
}

/// Issues a new deposit address to a customer. Each call gives another one; Solana and EVM addresses
/// receive every registered token, too.
#[utoipa::path(post, path = "/v1/customers/{id}/addresses", tag = "customers", params(("id" = Uuid, Path)),
    request_body = NewAddress, security(("api_key" = [])),
    responses((status = 201, body = AddressView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn create_address(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
    body: Body<NewAddress>,
) -> Result<(StatusCode, Json<AddressView>), Problem> {
    caller.require(Scope::Customers)?;
    let chain = app.chains.named(&body.value.chain)?;
    let scheme = scheme(chain.family(), body.value.kind.as_deref())?;
    let mut tx = app.db.read().await?;
    let customer =
        customers::get(&mut tx, caller.tenant, id).await?.ok_or_else(|| missing("customer"))?;
    let first = treasury::key(scheme, customer.key_account, Branch::External, 0)?.to_string();
    let prefix = first.rsplit_once('/').map_or("", |(prefix, _)| prefix);
    let used = addresses::count(&mut tx, id, &chain.config.name, prefix).await?;
    drop(tx);
    let mut index = u32::try_from(used).map_err(Error::internal)?;
    // Of callers at the same moment each gets an address of its own.
    let keyed = loop {
        let key = treasury::key(scheme, customer.key_account, Branch::External, index)?;
        match treasury::issue_new(&app, chain, (caller.tenant, id), key).await? {
            Some(keyed) => break keyed,
            None => index = index.checked_add(1).ok_or_else(|| Error::internal("no index left"))?,
        }
    };
    let view = AddressView {
        chain: body.value.chain,
        address: keyed.address.as_str().to_owned(),
        key_path: keyed.key.to_string(),
        created_at: time(now_ms()),
    };
    Ok((StatusCode::CREATED, Json(view)))
}

fn scheme(family: ChainFamily, kind: Option<&str>) -> Result<KeyScheme, Error> {
    match (family, kind) {
        (ChainFamily::Bitcoin, Some("p2tr")) => Ok(KeyScheme::Bip86),
        (ChainFamily::Bitcoin, Some("p2wpkh")) | (_, None) => Ok(treasury::default_scheme(family)),
        _ => Err(Error::refuse(Code::Unprocessable, "kind: p2wpkh or p2tr, and on Bitcoin only")),
    }
}

/// Lists a customer's deposit addresses.
#[utoipa::path(get, path = "/v1/customers/{id}/addresses", tag = "customers", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = Vec<AddressView>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn list_addresses(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
) -> Result<Json<Vec<AddressView>>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    customers::get(&mut tx, caller.tenant, id).await?.ok_or_else(|| missing("customer"))?;
    let found = addresses::of_customer(&mut tx, caller.tenant, id).await?;
    Ok(Json(found.into_iter().map(AddressView::from).collect()))
}
