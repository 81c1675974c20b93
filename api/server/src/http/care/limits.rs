use api_ledger::TenantId;
use api_loans::Money as LoanMoney;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::own;
use crate::app::App;
use crate::error::{Code, Error};
use crate::http::auth::{Caller, Scope};
use crate::http::extract::{Body, Params};
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::views::Money;

/// A customer's credit limits, one for each currency.
#[utoipa::path(get, path = "/v1/customers/{id}/credit-limits", tag = "care", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = Vec<Money>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(customer): Params<Uuid>,
) -> Result<Json<Vec<Money>>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    own(&mut tx, &caller, customer).await?;
    let all = app.care.credit_limits(&mut tx, TenantId::new(caller.tenant), customer).await?;
    Ok(Json(all.iter().map(|(currency, amount)| Money::new(currency, amount)).collect()))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCreditLimit {
    /// A configured currency.
    #[schema(example = "EUR")]
    currency: String,
    /// Minor units; `"0"` for no limit.
    amount: String,
}

/// Sets what the lender is ready to lend to a customer in all. The early warning compares outstanding
/// principal with it.
#[utoipa::path(put, path = "/v1/customers/{id}/credit-limits", tag = "care", params(("id" = Uuid, Path)),
    request_body = NewCreditLimit, security(("api_key" = [])),
    responses((status = 204, description = "Set"), (status = "default", body = ProblemDocument)))]
pub(crate) async fn set(
    State(app): State<App>,
    caller: Caller,
    Params(customer): Params<Uuid>,
    body: Body<NewCreditLimit>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Loans)?;
    let NewCreditLimit { currency, amount } = body.value;
    let mut tx = app.db.begin().await?;
    own(&mut tx, &caller, customer).await?;
    if !app.config.fiat.currencies.contains(&currency) {
        return Err(Error::refuse(Code::UnknownAsset, "no such currency is configured").into());
    }
    let amount: chain_core::Amount = amount.parse()?;
    let amount = i128::try_from(amount.minor()).map_err(|_| Error::from(Code::InvalidAmount))?;
    let amount = LoanMoney::new(amount).min(LoanMoney::MAX_INPUT);
    let tenant = TenantId::new(caller.tenant);
    app.care.set_credit_limit(&mut tx, tenant, customer, &currency, amount).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
