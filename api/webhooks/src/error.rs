use api_ledger::LedgerError;
use api_store::StoreError;

use crate::VaultError;

/// Why a request about webhooks failed.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The event stream.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The URL is not one that may be called.
    #[error(transparent)]
    Url(#[from] SendError),
    /// The secret cannot be sealed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The tenant has as many receivers as it may have.
    #[error("a tenant has at most 16 webhook endpoints")]
    TooMany,
    /// No such receiver in this tenant.
    #[error("there is no such webhook endpoint")]
    UnknownEndpoint,
    /// The secret before the last rotation still signs, and would be lost by another one.
    #[error("the secret before the last rotation still signs: drop it before you rotate again")]
    OldSecret,
    /// A delivery stopped.
    #[error("a delivery stopped")]
    Stopped,
    /// The range is empty or has more than 10,000 events.
    #[error("a replay is of 1 to 10000 events")]
    Range,
}

/// Why one attempt failed. The texts go to the tenant: they name no internal address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It cannot be read as a URL with a host.
    #[error("the URL is not valid")]
    InvalidUrl,
    /// Not `https`.
    #[error("the URL is not https")]
    NotHttps,
    /// It has a user name or password in it.
    #[error("the URL has credentials in it")]
    Credentials,
    /// The address is private, local or reserved.
    #[error("the address is not on the public internet")]
    NotPublic,
    /// No connection, or it broke.
    #[error("the receiver could not be reached")]
    Unreachable,
    /// No answer in time.
    #[error("the receiver did not answer in time")]
    Timeout,
    /// The answer was not 2xx.
    #[error("the receiver answered {0}")]
    Status(u16),
    /// The event stream is shorter than what was delivered of it.
    #[error(
        "the events went back from {from} to {to}: the server's database was set back to an older state. \
         What comes after {to} from now on is sent; compare your state with the lists"
    )]
    SetBack {
        /// The last place that was delivered.
        from: i64,
        /// The last place that there is.
        to: i64,
    },
    /// The endpoint's secret cannot be opened, so nothing can be signed.
    #[error("the endpoint's secret cannot be opened: rotate it")]
    Secret,
    /// The client could not be set up.
    #[error("the HTTP client could not be set up")]
    Client,
}
