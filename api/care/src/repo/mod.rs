//! The SQL of this crate. Every statement names the tenant, or is a job's.

pub(crate) mod contacts;
pub(crate) mod gateways;
pub(crate) mod inbox;
pub(crate) mod keys;
pub(crate) mod limits;
pub(crate) mod offers;
pub(crate) mod outbox;
pub(crate) mod tenants;

use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Date, date};

use crate::CareError;

/// Reads a stored text back as the value that was written.
fn parse<T: FromStr>(what: &'static str, text: &str) -> Result<T, CareError> {
    text.parse().map_err(|_| CareError::Damaged(what))
}

/// A value as the JSON that is stored.
fn json(value: &impl serde::Serialize) -> Result<String, CareError> {
    serde_json::to_string(value).map_err(|_| CareError::Damaged("JSON"))
}

/// Stored JSON as the value that was written.
fn parsed<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, CareError> {
    serde_json::from_str(text).map_err(|_| CareError::Damaged("JSON"))
}

/// A stored time.
fn moment(ms: i64) -> Result<Timestamp, CareError> {
    Timestamp::from_millisecond(ms).map_err(|_| CareError::Damaged("a time"))
}

const EPOCH: Date = date(1970, 1, 1);

/// A day as it is stored: days since 1970-01-01.
fn day_number(day: Date) -> Result<i64, CareError> {
    let days = day.since(EPOCH).map_err(|_| CareError::Damaged("a day"))?;
    Ok(days.get_days().into())
}

/// A stored day.
fn day_of(number: i64) -> Result<Date, CareError> {
    let days = jiff::Span::new().try_days(number).map_err(|_| CareError::Damaged("a day"))?;
    EPOCH.checked_add(days).map_err(|_| CareError::Damaged("a day"))
}
