//! The server's SQL, a file for each table or two. Rows come back as checked values.

pub(crate) mod addresses;
pub(crate) mod bank;
pub(crate) mod blocks;
pub(crate) mod coins;
pub(crate) mod customers;
pub(crate) mod deposits;
pub(crate) mod exchange;
pub(crate) mod facts;
pub(crate) mod idempotency;
pub(crate) mod intents;
pub(crate) mod nonces;
pub(crate) mod quotes;
pub(crate) mod sweeps;
pub(crate) mod tenants;
pub(crate) mod transfers;
pub(crate) mod withdrawals;

#[cfg(test)]
mod tests;

use std::str::FromStr;

use api_store::StoreError;

/// Reads a stored text back as the value that was written.
pub(crate) fn parse<T: FromStr>(what: &str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::Damaged(format!("{what} {text:?}")))
}

/// Reads stored JSON back as the value that was written.
pub(crate) fn parse_json<T: serde::de::DeserializeOwned>(
    what: &str,
    text: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Damaged(format!("{what}: {error}")))
}

/// A height or count as it is stored.
pub(crate) fn stored(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Damaged(format!("{number} is out of range")))
}

/// A stored height or count.
pub(crate) fn unstored(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Damaged(format!("{number} is negative")))
}
