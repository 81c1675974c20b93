use api_care::{EarlyRules, LoanWarnings, Offer};
use api_ledger::TenantId;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::own;
use crate::app::App;
use crate::error::Error;
use crate::http::auth::{Caller, Scope};
use crate::http::extract::{Args, Body, Params};
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::views::Page;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LanguageQuery {
    /// The language of the explanations: `en` or `zh`.
    #[serde(default = "english")]
    language: String,
}

fn english() -> String {
    "en".to_owned()
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WarningView {
    /// The reason code: the rule's name.
    #[schema(example = "days_past_due")]
    code: String,
    /// The figure that makes the rule hold.
    value: String,
    /// The reason as a sentence.
    text: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BalanceOnDay {
    day: String,
    /// Minor units of the loan's currency.
    balance: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WarningsView {
    loan: Uuid,
    /// The day for which it was looked at: the tenant's own.
    on: String,
    warnings: Vec<WarningView>,
    /// The wallet's balance that the rules looked at, the oldest day first.
    balances: Vec<BalanceOnDay>,
    /// True when the warnings are enough for an offer, which the end of the day makes.
    offer: bool,
}

impl WarningsView {
    fn new(found: LoanWarnings, language: &str) -> Result<Self, Error> {
        let explain = |one: api_care::Explained| {
            Ok::<_, Error>(WarningView {
                text: one.text(language)?,
                code: one.code,
                value: one.value,
            })
        };
        let balances = found.balances.iter().map(|(day, balance)| BalanceOnDay {
            day: day.to_string(),
            balance: balance.to_string(),
        });
        Ok(Self {
            loan: found.loan,
            on: found.on.to_string(),
            balances: balances.collect(),
            offer: found.offer,
            warnings: found.warnings.into_iter().map(explain).collect::<Result<_, _>>()?,
        })
    }
}

/// The early warning of a loan: the rules that hold, each with its reason code, its figure and a
/// sentence.
#[utoipa::path(get, path = "/v1/loans/{id}/warnings", tag = "care",
    params(("id" = Uuid, Path), LanguageQuery), security(("api_key" = [])),
    responses((status = 200, body = WarningsView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn warnings(
    State(app): State<App>,
    caller: Caller,
    Params(loan): Params<Uuid>,
    Args(query): Args<LanguageQuery>,
) -> Result<Json<WarningsView>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    let found = app.care.warnings(&mut tx, TenantId::new(caller.tenant), loan).await?;
    Ok(Json(WarningsView::new(found, &query.language)?))
}

/// The tenant's rules of the early warning and of offers; `docs/API-CARE.md` has every field.
#[utoipa::path(get, path = "/v1/warning-rules", tag = "care", security(("api_key" = [])),
    responses((status = 200, body = Object), (status = "default", body = ProblemDocument)))]
pub(crate) async fn rules(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<EarlyRules>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    Ok(Json(app.care.rules(&mut tx, TenantId::new(caller.tenant)).await?))
}

/// Sets them, all of them at once.
#[utoipa::path(put, path = "/v1/warning-rules", tag = "care", request_body = Object,
    security(("api_key" = [])),
    responses((status = 204, description = "Set"), (status = "default", body = ProblemDocument)))]
pub(crate) async fn set_rules(
    State(app): State<App>,
    caller: Caller,
    body: Body<EarlyRules>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Loans)?;
    let mut tx = app.db.begin().await?;
    app.care.set_rules(&mut tx, TenantId::new(caller.tenant), &body.value).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which page of a list whose newest item comes first.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct NewestQuery {
    /// The `next` of the page before.
    pub(super) after: Option<Uuid>,
    /// At most this many items, 1 to 500; 100 when absent.
    #[serde(default = "default_limit")]
    limit: u32,
}

const fn default_limit() -> u32 {
    100
}

impl NewestQuery {
    pub(super) fn limit(&self) -> Result<u32, Error> {
        if (1..=500).contains(&self.limit) {
            return Ok(self.limit);
        }
        Err(Error::refuse(crate::error::Code::BadRequest, "limit must be between 1 and 500"))
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OffersPage {
    /// Each with its loan, state (`open`, `accepted`, `overtaken`, `expired`, `none_affordable`),
    /// reasons, the `change`, its `effective` day and its `hash` as they are to be accepted, and
    /// the figures before and after.
    #[schema(value_type = Vec<Object>)]
    items: Vec<Offer>,
    /// Give this as `after` for the next page; absent at the end.
    next: Option<String>,
}

/// The plans that were offered to a customer before default, the newest first. One that is open is
/// accepted as any change of a loan: with its `change`, `effective` and `hash`, signed over `message`.
#[utoipa::path(get, path = "/v1/customers/{id}/offers", tag = "care",
    params(("id" = Uuid, Path), NewestQuery), security(("api_key" = [])),
    responses((status = 200, body = OffersPage), (status = "default", body = ProblemDocument)))]
pub(crate) async fn offers(
    State(app): State<App>,
    caller: Caller,
    Params(customer): Params<Uuid>,
    Args(query): Args<NewestQuery>,
) -> Result<Json<OffersPage>, Problem> {
    caller.require(Scope::Read)?;
    let limit = query.limit()?;
    let mut tx = app.db.read().await?;
    own(&mut tx, &caller, customer).await?;
    let tenant = TenantId::new(caller.tenant);
    let found = app.care.offers(&mut tx, tenant, customer, query.after, limit).await?;
    let Page { items, next } = Page::new(found, limit, |offer| offer.id.to_string());
    Ok(Json(OffersPage { items, next }))
}
