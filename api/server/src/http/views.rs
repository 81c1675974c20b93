//! What goes over the wire. Amounts are strings of minor units with their asset beside them; times
//! are RFC 3339.

use chain_core::Amount;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{Code, Error};

/// An amount of an asset.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Money {
    /// The asset's code, as in `GET /v1/assets`.
    #[schema(example = "BTC")]
    pub(crate) asset: String,
    /// Minor units, decimal digits.
    #[schema(example = "150000")]
    pub(crate) amount: String,
}

impl Money {
    pub(crate) fn new(asset: &str, amount: impl ToString) -> Self {
        Self { asset: asset.to_owned(), amount: amount.to_string() }
    }

    /// The amount, at least 1.
    pub(crate) fn positive(&self) -> Result<Amount, Error> {
        let amount: Amount = self.amount.parse()?;
        if amount.is_zero() { Err(Code::ZeroAmount.into()) } else { Ok(amount) }
    }
}

/// Milliseconds since 1970 as RFC 3339.
pub(crate) fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map(|time| time.to_string()).unwrap_or_default()
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// The items.
    pub(crate) items: Vec<T>,
    /// Give this as `after` for the next page; absent at the end.
    pub(crate) next: Option<String>,
}

impl<T> Page<T> {
    /// A page whose last item has the cursor `cursor(item)`; full pages may have a successor.
    pub(crate) fn new(items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Self {
        let full = u32::try_from(items.len()).is_ok_and(|length| length >= limit);
        let next = items.last().filter(|_| full).map(cursor);
        Self { items, next }
    }
}

/// Which page of a list.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// The `next` of the page before.
    #[serde(default)]
    pub(crate) after: String,
    /// At most this many items, 1 to 500; 100 when absent.
    #[serde(default = "default_limit")]
    pub(crate) limit: u32,
    /// Only this customer's.
    #[serde(default)]
    pub(crate) customer: String,
    /// Only the one with this id of the client's own.
    #[serde(default)]
    pub(crate) client_id: String,
}

const fn default_limit() -> u32 {
    100
}

impl PageQuery {
    /// The limit, or a refusal.
    pub(crate) fn limit(&self) -> Result<u32, Error> {
        if (1..=500).contains(&self.limit) {
            return Ok(self.limit);
        }
        Err(Error::refuse(Code::BadRequest, "limit must be between 1 and 500"))
    }
}

/// Refuses texts that are empty, too long or would forge a log line.
pub(crate) fn check_text(name: &str, text: &str, chars_max: usize) -> Result<(), Error> {
    let fits = !text.trim().is_empty()
        && text.chars().count() <= chars_max
        && !text.chars().any(char::is_control);
    if fits {
        return Ok(());
    }
    let detail = format!("{name} must have 1 to {chars_max} characters and no control characters");
    Err(Error::refuse(Code::Unprocessable, detail))
}
