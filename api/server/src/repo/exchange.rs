use api_store::{StoreError, Tx, args};
use uuid::Uuid;

use super::parse;

/// A price that the operator has set.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    pub(crate) id: Uuid,
    pub(crate) base: String,
    pub(crate) quote: String,
    /// Units of `quote` for one unit of `base`, a decimal.
    pub(crate) price: String,
    pub(crate) source: String,
    pub(crate) set_at: i64,
    pub(crate) valid_until: i64,
}

#[derive(sqlx::FromRow)]
struct RateRow {
    id: String,
    base: String,
    quote: String,
    price: String,
    source: String,
    set_at: i64,
    valid_until: i64,
}

impl RateRow {
    fn check(self) -> Result<Rate, StoreError> {
        Ok(Rate {
            id: parse("rate id", &self.id)?,
            base: self.base,
            quote: self.quote,
            price: self.price,
            source: self.source,
            set_at: self.set_at,
            valid_until: self.valid_until,
        })
    }
}

pub(crate) async fn insert_rate(tx: &mut Tx, rate: &Rate) -> Result<(), StoreError> {
    let sql = "INSERT INTO exchange_rates (id, base, quote, price, source, set_at, valid_until) \
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let values = args![
        rate.id,
        &rate.base,
        &rate.quote,
        &rate.price,
        &rate.source,
        rate.set_at,
        rate.valid_until,
    ];
    tx.execute(sql, values).await.map(|_| ())
}

/// The newest price of a pair.
pub(crate) async fn rate(tx: &mut Tx, base: &str, quote: &str) -> Result<Option<Rate>, StoreError> {
    let sql = "SELECT id, base, quote, price, source, set_at, valid_until FROM exchange_rates \
               WHERE base = $1 AND quote = $2 ORDER BY set_at DESC, id DESC LIMIT 1";
    tx.fetch_optional::<RateRow>(sql, args![base, quote]).await?.map(RateRow::check).transpose()
}

/// The newest price of every pair that is valid at `now`.
pub(crate) async fn rates(tx: &mut Tx, now: i64) -> Result<Vec<Rate>, StoreError> {
    let sql = "SELECT id, base, quote, price, source, set_at, valid_until FROM exchange_rates r \
               WHERE valid_until > $1 AND NOT EXISTS (SELECT 1 FROM exchange_rates newer \
                   WHERE newer.base = r.base AND newer.quote = r.quote \
                     AND (newer.set_at, newer.id) > (r.set_at, r.id)) \
               ORDER BY base, quote LIMIT 500";
    let rows: Vec<RateRow> = tx.fetch_all(sql, args![now]).await?;
    rows.into_iter().map(RateRow::check).collect()
}

/// A promise to take an asset for an amount of a loan's currency.
#[derive(Clone, Debug)]
pub(crate) struct AssetQuote {
    pub(crate) id: Uuid,
    pub(crate) tenant: Uuid,
    pub(crate) loan: Uuid,
    pub(crate) rate: Uuid,
    pub(crate) asset: String,
    /// Minor units of the asset.
    pub(crate) sold: u128,
    pub(crate) currency: String,
    /// Minor units of the currency.
    pub(crate) bought: u128,
    pub(crate) numerator: u128,
    pub(crate) denominator: u128,
    pub(crate) expires_at: i64,
}

pub(crate) async fn insert_quote(tx: &mut Tx, quote: &AssetQuote) -> Result<(), StoreError> {
    let sql = "INSERT INTO asset_quotes (id, tenant_id, loan_id, rate_id, asset, sold, currency, \
                                         bought, numerator, denominator, expires_at, used) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    let values = args![
        quote.id,
        quote.tenant,
        quote.loan,
        quote.rate,
        &quote.asset,
        quote.sold.to_string(),
        &quote.currency,
        quote.bought.to_string(),
        quote.numerator.to_string(),
        quote.denominator.to_string(),
        quote.expires_at,
        false,
    ];
    tx.execute(sql, values).await.map(|_| ())
}

#[derive(sqlx::FromRow)]
struct QuoteRow {
    rate_id: String,
    asset: String,
    sold: String,
    currency: String,
    bought: String,
    numerator: String,
    denominator: String,
    expires_at: i64,
}

/// The tenant's quote for this loan, taken for good; `None` when there is none or it was used.
pub(crate) async fn take_quote(
    tx: &mut Tx,
    tenant: Uuid,
    loan: Uuid,
    id: Uuid,
) -> Result<Option<AssetQuote>, StoreError> {
    let sql = "UPDATE asset_quotes SET used = TRUE \
               WHERE id = $1 AND tenant_id = $2 AND loan_id = $3 AND NOT used \
               RETURNING rate_id, asset, sold, currency, bought, numerator, denominator, expires_at";
    let row: Option<QuoteRow> = tx.fetch_optional(sql, args![id, tenant, loan]).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(AssetQuote {
        id,
        tenant,
        loan,
        rate: parse("rate id", &row.rate_id)?,
        asset: row.asset,
        sold: parse("sold", &row.sold)?,
        currency: row.currency,
        bought: parse("bought", &row.bought)?,
        numerator: parse("numerator", &row.numerator)?,
        denominator: parse("denominator", &row.denominator)?,
        expires_at: row.expires_at,
    }))
}
