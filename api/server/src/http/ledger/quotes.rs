use api_ledger::{ConversionAccounts, ConversionError, Quote};
use api_store::Tx;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::found;
use super::transfers;
use super::wire::{AccountNumber, Minor, ResultView};
use crate::app::{App, now_ms};
use crate::error::{Code, Error, Failure};
use crate::http::auth::{Caller, Scope};
use crate::http::extract::{Body, Params};
use crate::http::idempotency::{Key, ids_alone};
use crate::http::missing;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::views::time;
use crate::repo::quotes::{self, StoredQuote};

const VALID_SECS_MAX: u32 = 30 * 86_400;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewQuote {
    /// 128 bits that you make, as a UUID. The conversion has the same id, so a quote is used once.
    id: Uuid,
    /// The asset that is sold.
    sell: String,
    /// The asset that is bought.
    buy: String,
    /// So many minor units are bought …
    #[schema(value_type = String, example = "9215")]
    numerator: Minor,
    /// … for so many minor units sold.
    #[schema(value_type = String, example = "10000")]
    denominator: Minor,
    /// How long it holds, 1 second to 30 days.
    valid_secs: u32,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QuoteView {
    id: Uuid,
    sell: String,
    buy: String,
    numerator: String,
    denominator: String,
    /// After this time it is refused.
    expires_at: String,
    /// True when a transfer has its id, so that it cannot be used any more.
    used: bool,
}

impl QuoteView {
    fn new(quote: StoredQuote, used: bool) -> Self {
        Self {
            used,
            id: quote.id,
            sell: quote.sell,
            buy: quote.buy,
            numerator: quote.numerator.to_string(),
            denominator: quote.denominator.to_string(),
            expires_at: time(quote.expires_at),
        }
    }
}

/// Keeps a price that you promise, until it expires or is used. The same request again finds it; another one
/// with its id is refused (`already_exists`).
#[utoipa::path(post, path = "/v1/ledger/quotes", tag = "ledger", request_body = NewQuote,
    security(("api_key" = [])),
    responses((status = 201, body = QuoteView), (status = 200, body = QuoteView, description = "It was there before"),
        (status = "default", body = ProblemDocument)))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    body: Body<NewQuote>,
) -> Result<(StatusCode, Json<QuoteView>), Problem> {
    caller.require(Scope::Ledger)?;
    let quote = read(&app, caller.tenant, body.value)?;
    let mut tx = app.db.begin().await?;
    let used = is_used(&app, &mut tx, &caller, quote.id).await?;
    if quotes::insert(&mut tx, &quote).await? {
        if used {
            return Err(Error::from(Code::TransferIdConflict).into());
        }
        tx.commit().await?;
        return Ok((StatusCode::CREATED, Json(QuoteView::new(quote, used))));
    }
    let earlier = quotes::get(&mut tx, caller.tenant, quote.id).await?;
    match earlier.filter(|earlier| earlier.is_same(&quote)) {
        Some(earlier) => Ok((StatusCode::OK, Json(QuoteView::new(earlier, used)))),
        None => {
            let detail = "there is another quote with this id; use a new id for a new quote";
            Err(Error::refuse(Code::AlreadyExists, detail).into())
        }
    }
}

/// True when a transfer has the quote's id.
async fn is_used(app: &App, tx: &mut Tx, caller: &Caller, id: Uuid) -> Result<bool, Error> {
    Ok(app.ledger.transfer(tx, caller.tenant.into(), id.into()).await?.is_some())
}

fn read(app: &App, tenant: Uuid, new: NewQuote) -> Result<StoredQuote, Error> {
    for asset in [&new.sell, &new.buy] {
        if app.decimals(asset).is_none() {
            return Err(Code::UnknownAsset.into());
        }
    }
    if new.sell == new.buy {
        return Err(Error::refuse(Code::Unprocessable, "sell and buy are the same asset"));
    }
    if !(1..=VALID_SECS_MAX).contains(&new.valid_secs) {
        return Err(Error::refuse(Code::Unprocessable, "valid_secs is 1 to 2592000"));
    }
    let (numerator, denominator) = (new.numerator.get()?, new.denominator.get()?);
    if numerator == 0 || denominator == 0 {
        return Err(Error::refuse(Code::ZeroAmount, "a price has no zero in it"));
    }
    let now = now_ms();
    let valid_ms = i64::from(new.valid_secs).saturating_mul(1000);
    Ok(StoredQuote {
        id: new.id,
        tenant,
        sell: new.sell,
        buy: new.buy,
        numerator,
        denominator,
        valid_ms,
        expires_at: now.saturating_add(valid_ms),
        created_at: now,
    })
}

/// Shows a quote.
#[utoipa::path(get, path = "/v1/ledger/quotes/{id}", tag = "ledger", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = QuoteView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
) -> Result<Json<QuoteView>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    let quote = quotes::get(&mut tx, caller.tenant, id).await?;
    let quote = quote.ok_or_else(|| missing("quote"))?;
    let used = is_used(&app, &mut tx, &caller, id).await?;
    Ok(Json(QuoteView::new(quote, used)))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewConversion {
    /// How much is sold, in minor units.
    #[schema(value_type = String)]
    amount: Minor,
    /// Whose money is sold (debited).
    #[schema(value_type = String)]
    seller: AccountNumber,
    /// Whose money is bought (credited).
    #[schema(value_type = String)]
    buyer: AccountNumber,
    /// Your position in the asset that is sold.
    #[schema(value_type = String)]
    position_sold: AccountNumber,
    /// Your position in the asset that is bought.
    #[schema(value_type = String)]
    position_bought: AccountNumber,
    /// Where the rest of a minor unit goes, in the asset that is bought.
    #[schema(value_type = String)]
    rounding: AccountNumber,
}

/// Converts at the price of a quote: one leg in each asset, and, when the price does not come out
/// even, a third for the minor unit that rounding keeps. The quote's id is the key: sent again it is answered
/// with the first result, and an `Idempotency-Key` beside it is refused. After the quote's time: `too_late`.
#[utoipa::path(post, path = "/v1/ledger/quotes/{id}/convert", tag = "ledger", params(("id" = Uuid, Path)),
    request_body = NewConversion, security(("api_key" = [])),
    responses((status = 201, body = ResultView), (status = 200, body = ResultView, description = "It was converted before"),
        (status = "default", body = ProblemDocument)))]
pub(crate) async fn convert(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
    key: Option<Key>,
    body: Body<NewConversion>,
) -> Result<Response, Problem> {
    caller.require(Scope::Ledger)?;
    ids_alone(key.as_ref())?;
    let mut tx = app.db.read().await?;
    let stored = quotes::get(&mut tx, caller.tenant, id).await?;
    let stored = stored.ok_or_else(|| missing("quote"))?;
    let new = body.value;
    let sold = new.amount.get().map_err(Error::from)?;
    let sides = [
        (new.seller, &stored.sell),
        (new.position_sold, &stored.sell),
        (new.buyer, &stored.buy),
        (new.position_bought, &stored.buy),
        (new.rounding, &stored.buy),
    ];
    for (number, asset) in sides {
        let (account, _) =
            found(&app, &mut tx, &caller, number).await.map_err(|error| match error {
                Error::Failure(_) => Error::from(Code::UnknownAccount),
                error => error,
            })?;
        if account.asset != *asset {
            return Err(Error::from(Code::AssetMismatch).into());
        }
    }
    drop(tx);
    let [seller, position_sold, buyer, position_bought, rounding] =
        sides.map(|(number, _)| api_ledger::AccountId::new(number.0));
    let accounts = ConversionAccounts { seller, position_sold, position_bought, buyer, rounding };
    let transfer = quote(&stored)?.convert(caller.tenant.into(), &accounts, sold);
    let transfer = transfer.map_err(refuse)?.by_client();
    let posted = app.group.post(transfer).await.map_err(|error| match error {
        api_ledger::PostError::Refused(refusal) => Error::from(Failure::of_ledger(&refusal)),
        api_ledger::PostError::Ledger(error) => error.into(),
    })?;
    Ok(transfers::answer(&posted))
}

fn quote(stored: &StoredQuote) -> Result<Quote, Error> {
    let expires_at =
        jiff::Timestamp::from_millisecond(stored.expires_at).map_err(Error::internal)?;
    Ok(Quote {
        id: stored.id,
        numerator: stored.numerator,
        denominator: stored.denominator,
        expires_at,
    })
}

fn refuse(error: ConversionError) -> Error {
    let code = match error {
        ConversionError::TooSmall => Code::ZeroAmount,
        ConversionError::Price | ConversionError::Overflow => Code::InvalidAmount,
    };
    Error::refuse(code, error.to_string())
}
