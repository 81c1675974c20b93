use api_store::{StoreError, Tx, args};
use uuid::Uuid;

use super::parse;

/// A price that a tenant promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredQuote {
    pub(crate) id: Uuid,
    pub(crate) tenant: Uuid,
    pub(crate) sell: String,
    pub(crate) buy: String,
    pub(crate) numerator: u128,
    pub(crate) denominator: u128,
    pub(crate) valid_ms: i64,
    pub(crate) expires_at: i64,
    pub(crate) created_at: i64,
}

impl StoredQuote {
    /// True when both were asked for by the same request.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let request = |quote: &Self| Self { expires_at: 0, created_at: 0, ..quote.clone() };
        request(self) == request(other)
    }
}

/// Stores the quote; false when the tenant has one with this id.
pub(crate) async fn insert(tx: &mut Tx, quote: &StoredQuote) -> Result<bool, StoreError> {
    let sql = "INSERT INTO ledger_quotes (tenant_id, id, sell, buy, numerator, denominator, valid_ms, \
                                          expires_at, created_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
    let values = args![
        quote.tenant,
        quote.id,
        &quote.sell,
        &quote.buy,
        quote.numerator.to_string(),
        quote.denominator.to_string(),
        quote.valid_ms,
        quote.expires_at,
        quote.created_at,
    ];
    Ok(tx.execute(sql, values).await? == 1)
}

type Row = (String, String, String, String, i64, i64, i64);

pub(crate) async fn get(
    tx: &mut Tx,
    tenant: Uuid,
    id: Uuid,
) -> Result<Option<StoredQuote>, StoreError> {
    let sql = "SELECT sell, buy, numerator, denominator, valid_ms, expires_at, created_at \
               FROM ledger_quotes WHERE tenant_id = $1 AND id = $2";
    let row: Option<Row> = tx.fetch_optional(sql, args![tenant, id]).await?;
    let read = |(sell, buy, numerator, denominator, valid_ms, expires_at, created_at): Row| {
        Ok(StoredQuote {
            id,
            tenant,
            sell,
            buy,
            numerator: parse("numerator", &numerator)?,
            denominator: parse("denominator", &denominator)?,
            valid_ms,
            expires_at,
            created_at,
        })
    };
    row.map(read).transpose()
}
