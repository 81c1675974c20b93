use api_audit::Record;
use api_ledger::TenantId;
use api_loans::loan::RepaymentMode;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::repayments::{self, FromAccount, RepaymentView};
use super::views::{amount, currency};
use super::{append, borrower};
use crate::app::{App, fiat_decimals, now_ms};
use crate::error::{Code, Error};
use crate::exchange::Price;
use crate::http::auth::{Caller, Operator, Scope};
use crate::http::extract::{Body, Params};
use crate::http::idempotency::{self, Begun, Key};
use crate::http::missing;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::views::{Money, check_text, time};
use crate::repo::exchange::{self, AssetQuote, Rate};

/// How long a quote holds at most.
const QUOTE_MS: i64 = 60_000;
/// How long a price holds at most.
const VALID_SECONDS_MAX: u32 = 7 * 24 * 3600;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRate {
    /// The chain asset that is sold, for example `BTC`.
    base: String,
    /// The currency that is bought, for example `EUR`.
    quote: String,
    /// Units of `quote` for one unit of `base`: a positive decimal of at most 24 digits. The
    /// operator's margin is in it.
    price: String,
    /// Where the price comes from.
    source: String,
    /// For how long it holds, 1 to 604,800 seconds.
    valid_seconds: u32,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RateView {
    id: Uuid,
    base: String,
    quote: String,
    price: String,
    source: String,
    set_at: String,
    valid_until: String,
}

impl From<Rate> for RateView {
    fn from(rate: Rate) -> Self {
        Self {
            id: rate.id,
            base: rate.base,
            quote: rate.quote,
            price: rate.price,
            source: rate.source,
            set_at: time(rate.set_at),
            valid_until: time(rate.valid_until),
        }
    }
}

/// Sets the price at which loans can be repaid in a chain asset (operator).
#[utoipa::path(put, path = "/v1/treasury/rates", tag = "operator", request_body = NewRate,
    security(("api_key" = [])),
    responses((status = 200, body = RateView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn set(
    State(app): State<App>,
    _: Operator,
    body: Body<NewRate>,
) -> Result<Json<RateView>, Problem> {
    let new = body.value;
    check_text("source", &new.source, 100)?;
    currency(&app, &new.quote)?;
    price(&app, &new.price, &new.base, &new.quote)?;
    if !(1..=VALID_SECONDS_MAX).contains(&new.valid_seconds) {
        let detail = format!("valid_seconds must be between 1 and {VALID_SECONDS_MAX}");
        return Err(Error::refuse(Code::Unprocessable, detail).into());
    }
    let now = now_ms();
    let rate = Rate {
        id: Uuid::now_v7(),
        base: new.base,
        quote: new.quote,
        price: new.price,
        source: new.source,
        set_at: now,
        valid_until: now.saturating_add(i64::from(new.valid_seconds).saturating_mul(1000)),
    };
    let mut tx = app.db.begin().await?;
    exchange::insert_rate(&mut tx, &rate).await?;
    let record = Record::new("exchange.rate", now)
        .external_id(crate::books::HOUSE.to_string(), format!("rate:{}", rate.id))
        .field("rate", rate.id.to_string())
        .field("base", &rate.base)
        .field("quote", &rate.quote)
        .field("price", &rate.price)
        .field("source", &rate.source);
    append(&app, &mut tx, &record).await?;
    tx.commit().await?;
    Ok(Json(rate.into()))
}

fn price(app: &App, text: &str, base: &str, quote: &str) -> Result<Price, Error> {
    let decimals = app.chains.asset(base)?.decimals;
    Price::parse(text, decimals, fiat_decimals(quote))
}

/// The prices that hold now.
#[utoipa::path(get, path = "/v1/rates", tag = "loans", security(("api_key" = [])),
    responses((status = 200, body = Vec<RateView>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<Vec<RateView>>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    let rates = exchange::rates(&mut tx, now_ms()).await?;
    Ok(Json(rates.into_iter().map(RateView::from).collect()))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAssetQuote {
    /// The chain asset to be sold from the borrower's balance.
    asset: String,
    /// What is to be repaid, in minor units of the loan's currency.
    amount: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AssetQuoteView {
    id: Uuid,
    /// What is taken from the borrower's balance of the asset.
    sold: Money,
    /// What it buys: at least the amount that was asked for.
    bought: Money,
    /// The price, and the id under which the operator set it.
    price: String,
    rate: Uuid,
    /// The quote is refused from here on.
    expires_at: String,
}

/// Quotes a repayment in a chain asset: how much of it pays the amount. It holds for a minute, or as
/// long as the price if that is less, and is used once.
#[utoipa::path(post, path = "/v1/loans/{id}/asset-quotes", tag = "loans", request_body = NewAssetQuote,
    params(("id" = Uuid, Path)), security(("api_key" = [])),
    responses((status = 201, body = AssetQuoteView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn quote(
    State(app): State<App>,
    caller: Caller,
    Params(loan): Params<Uuid>,
    body: Body<NewAssetQuote>,
) -> Result<(StatusCode, Json<AssetQuoteView>), Problem> {
    caller.require(Scope::Loans)?;
    let mut tx = app.db.begin().await?;
    let bought = app.loans.currency(&mut tx, TenantId::new(caller.tenant), loan).await?;
    let wanted = amount(&body.value.amount)?.minor().unsigned_abs();
    app.chains.asset(&body.value.asset)?;
    let now = now_ms();
    let rate = exchange::rate(&mut tx, &body.value.asset, &bought).await?;
    let rate = rate.filter(|rate| rate.valid_until > now).ok_or(Error::from(Code::RateUnknown))?;
    let price = price(&app, &rate.price, &rate.base, &rate.quote)?;
    let (sold, buys) = price.to_buy(wanted)?;
    let quote = AssetQuote {
        id: Uuid::now_v7(),
        tenant: caller.tenant,
        loan,
        rate: rate.id,
        asset: rate.base,
        sold,
        currency: bought,
        bought: buys,
        numerator: price.numerator,
        denominator: price.denominator,
        expires_at: rate.valid_until.min(now.saturating_add(QUOTE_MS)),
    };
    exchange::insert_quote(&mut tx, &quote).await?;
    tx.commit().await?;
    let view = AssetQuoteView {
        id: quote.id,
        sold: Money::new(&quote.asset, quote.sold),
        bought: Money::new(&quote.currency, quote.bought),
        price: rate.price,
        rate: quote.rate,
        expires_at: time(quote.expires_at),
    };
    Ok((StatusCode::CREATED, Json(view)))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAssetRepayment {
    /// The quote.
    quote: Uuid,
    /// As for a repayment from the balance.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    mode: RepaymentMode,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AssetRepaymentView {
    /// What was sold.
    sold: Money,
    /// The audit record of the conversion.
    conversion_record: String,
    #[serde(flatten)]
    repayment: RepaymentView,
}

/// Repays in a chain asset by a quote: sells it from the borrower's balance and repays the loan with
/// what it buys, in one transaction.
#[utoipa::path(post, path = "/v1/loans/{id}/asset-repayments", tag = "loans",
    request_body = NewAssetRepayment,
    params(("id" = Uuid, Path),
           ("Idempotency-Key" = String, Header, description = "1 to 128 visible ASCII characters")),
    security(("api_key" = [])),
    responses((status = 201, body = AssetRepaymentView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn repay(
    State(app): State<App>,
    caller: Caller,
    key: Key,
    Params(loan): Params<Uuid>,
    body: Body<NewAssetRepayment>,
) -> Result<Response, Problem> {
    caller.require(Scope::Loans)?;
    let mut attempt = match idempotency::begin(&app, caller.tenant, key, body.hash).await? {
        Begun::Replay(response) => return Ok(response),
        Begun::Fresh(attempt) => attempt,
    };
    let (tx, tenant) = (&mut attempt.tx, TenantId::new(caller.tenant));
    let customer = borrower(&app, tx, tenant, loan).await?;
    let quote = exchange::take_quote(tx, caller.tenant, loan, body.value.quote).await?;
    let quote = quote.ok_or_else(|| missing("unused quote"))?;
    if quote.expires_at <= now_ms() {
        return Err(Error::from(Code::LoanQuoteExpired).into());
    }
    app.book_conversion(tx, caller.tenant, customer, &quote).await?;
    let conversion_record = append(&app, tx, &converted(&quote, customer)).await?;
    let minor = i128::try_from(quote.bought).map_err(|_| Error::from(Code::InvalidAmount))?;
    let payment = FromAccount {
        id: Uuid::now_v7(),
        loan,
        amount: api_loans::Money::new(minor),
        currency: &quote.currency,
        effective: app.loans.today_in(tx, tenant).await?,
        mode: body.value.mode,
        reference: None,
        source: &quote.asset,
    };
    let repayment = repayments::book(&app, tx, caller.tenant, &payment).await?;
    let sold = Money::new(&quote.asset, quote.sold);
    let view = AssetRepaymentView { sold, conversion_record, repayment };
    Ok(attempt.finish(StatusCode::CREATED, &view).await?)
}

fn converted(quote: &AssetQuote, customer: Uuid) -> Record {
    Record::new("conversion.booked", now_ms())
        .external_id(quote.tenant.to_string(), format!("conversion:{}", quote.id))
        .stream(format!("loan:{}", quote.loan))
        .subject(customer.to_string())
        .field("loan", quote.loan.to_string())
        .field("quote", quote.id.to_string())
        .field("rate", quote.rate.to_string())
        .field("asset", &quote.asset)
        .field("sold", quote.sold.to_string())
        .field("currency", &quote.currency)
        .field("bought", quote.bought.to_string())
        .field("price", format!("{}/{}", quote.numerator, quote.denominator))
        .personal("customer", customer.to_string())
}
