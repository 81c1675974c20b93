//! Care for borrowers: early warning and offers, the inbox, the end of the day.

mod days;
mod early;
mod inbox;

use api_care::CareError;
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
        .routes(routes!(inbox::list))
        .routes(routes!(inbox::mark_read))
}

/// Refuses a customer of another tenant, in the same words as one that is not there.
async fn own(tx: &mut api_store::Tx, caller: &Caller, customer: Uuid) -> Result<(), Error> {
    let found = customers::get(tx, caller.tenant, customer).await?;
    found.map(|_| ()).ok_or_else(|| missing("customer"))
}

impl From<CareError> for Error {
    fn from(error: CareError) -> Self {
        match error {
            CareError::Refused(reason) => Self::refuse(Code::Unprocessable, reason),
            CareError::State(reason) => Self::refuse(Code::InvalidState, reason),
            CareError::Missing(what) => missing(what),
            CareError::Signature => Code::Unauthorized.into(),
            CareError::Loans(error) => error.into(),
            CareError::Ledger(error) => error.into(),
            CareError::Audit(error) => error.into(),
            CareError::Store(error) => error.into(),
            error @ CareError::Damaged(_) => Self::internal(error),
        }
    }
}
