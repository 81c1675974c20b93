//! Care for borrowers: who may be reached how, reminders and what became of them, early warning and
//! offers, the inbox, the end of the day. `docs/API-CARE.md` says what the OpenAPI document cannot.

mod consents;
mod contacts;
mod days;
mod early;
mod gateways;
mod inbox;
mod limits;
mod preview;
mod profiles;
mod reminders;
mod stop;

use api_care::CareError;
use api_loans::reminders::Channel;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::auth::Caller;
use super::missing;
use crate::app::App;
use crate::error::{Code, Error};
use crate::repo::customers;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(days::close, days::calendars))
        .routes(routes!(early::warnings))
        .routes(routes!(early::rules, early::set_rules))
        .routes(routes!(early::offers))
        .routes(routes!(limits::list, limits::set))
        .routes(routes!(inbox::list))
        .routes(routes!(inbox::mark_read))
        .routes(routes!(contacts::get, contacts::set, contacts::erase))
        .routes(routes!(contacts::set_address, contacts::remove_address))
        .routes(routes!(contacts::holds))
        .routes(routes!(contacts::promise))
        .routes(routes!(consents::list))
        .routes(routes!(consents::set))
        .routes(routes!(consents::opt_out))
        .routes(routes!(consents::opt_in))
        .routes(routes!(stop::page, stop::click))
        .routes(routes!(profiles::list))
        .routes(routes!(profiles::set, profiles::delete))
        .routes(routes!(gateways::list))
        .routes(routes!(gateways::set, gateways::disconnect))
        .routes(routes!(gateways::receipt))
        .routes(routes!(reminders::decisions))
        .routes(routes!(reminders::dead))
        .routes(routes!(reminders::retry))
        .routes(routes!(preview::preview))
}

/// Refuses a customer of another tenant, in the same words as one that is not there.
async fn own(tx: &mut api_store::Tx, caller: &Caller, customer: Uuid) -> Result<(), Error> {
    let found = customers::get(tx, caller.tenant, customer).await?;
    found.map(|_| ()).ok_or_else(|| missing("customer"))
}

/// The channel of this name.
fn channel(name: &str) -> Result<Channel, Error> {
    Channel::named(name).ok_or_else(|| missing("channel"))
}

impl From<CareError> for Error {
    fn from(error: CareError) -> Self {
        match error {
            CareError::Refused(reason) => Self::refuse(Code::Unprocessable, reason),
            CareError::State(reason) => Self::refuse(Code::InvalidState, reason),
            CareError::Missing(what) => missing(what),
            CareError::Signature => Code::Unauthorized.into(),
            CareError::Vault => Code::WebhooksDisabled.into(),
            CareError::Loans(error) => error.into(),
            CareError::Ledger(error) => error.into(),
            CareError::Audit(error) => error.into(),
            CareError::Store(error) => error.into(),
            error @ CareError::Damaged(_) => Self::internal(error),
        }
    }
}
