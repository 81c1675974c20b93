use std::collections::BTreeMap;

use api_care::{Address, Known, LenderHolds};
use api_ledger::TenantId;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{channel, own};
use crate::app::App;
use crate::http::auth::{Caller, Scope};
use crate::http::extract::{Body, Params};
use crate::http::missing;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::views::check_text;

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AddressView {
    /// A mailbox, a number in E.164 form, or a push token.
    address: String,
    /// False once a message came back from there.
    usable: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HoldsView {
    /// Payment is promised for this day; reminders rest up to and including it.
    promise_until: Option<String>,
    /// A claim is disputed.
    dispute: bool,
    /// Hardship was declared; reminders rest up to and including this day.
    hardship_until: Option<String>,
    deceased: bool,
    legal_hold: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ContactView {
    /// The IANA name of the customer's time zone; empty while it is not known, and then nobody is
    /// reminded.
    zone: String,
    /// `en` or `zh`.
    language: String,
    /// The name of the profile of hours, caps and ladder.
    profile: String,
    /// No reminders at all, at the customer's word.
    opted_out: bool,
    holds: HoldsView,
    /// The last word on each channel.
    consents: BTreeMap<&'static str, bool>,
    /// Where the customer is reached, by channel.
    addresses: BTreeMap<&'static str, AddressView>,
}

impl From<Known> for ContactView {
    fn from(known: Known) -> Self {
        let day = |day: Option<Date>| day.map(|day| day.to_string());
        let addresses = known.addresses.iter().map(|(channel, address, usable)| {
            let address = address.reveal().to_owned();
            (channel.text(), AddressView { address, usable: *usable })
        });
        Self {
            addresses: addresses.collect(),
            consents: known.consents.iter().map(|(one, given)| (one.text(), *given)).collect(),
            zone: known.zone,
            language: known.language,
            profile: known.profile,
            opted_out: known.opted_out,
            holds: HoldsView {
                promise_until: day(known.holds.promise_until),
                dispute: known.holds.dispute,
                hardship_until: day(known.holds.hardship_until),
                deceased: known.holds.deceased,
                legal_hold: known.holds.legal_hold,
            },
        }
    }
}

/// What is known of a customer as somebody to be reached.
#[utoipa::path(get, path = "/v1/customers/{id}/contact", tag = "care", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = ContactView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Params(customer): Params<Uuid>,
) -> Result<Json<ContactView>, Problem> {
    caller.require(Scope::Customers)?;
    let mut tx = app.db.read().await?;
    own(&mut tx, &caller, customer).await?;
    let known = app.care.known(&mut tx, TenantId::new(caller.tenant), customer).await?;
    Ok(Json(known.ok_or_else(|| missing("contact"))?.into()))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewContact {
    /// The IANA name of the customer's time zone.
    #[schema(example = "Europe/Berlin")]
    zone: String,
    /// `en` or `zh`.
    language: String,
    /// The name of a profile: `cn`, `eu`, `us`, or the tenant's own.
    profile: String,
}

/// Sets the time zone, the language and the profile by which a customer is reminded.
#[utoipa::path(put, path = "/v1/customers/{id}/contact", tag = "care", params(("id" = Uuid, Path)),
    request_body = NewContact, security(("api_key" = [])),
    responses((status = 204, description = "Set"), (status = "default", body = ProblemDocument)))]
pub(crate) async fn set(
    State(app): State<App>,
    caller: Caller,
    Params(customer): Params<Uuid>,
    body: Body<NewContact>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Customers)?;
    let NewContact { zone, language, profile } = body.value;
    check_text("zone", &zone, 64)?;
    check_text("profile", &profile, 64)?;
    let mut tx = app.db.begin().await?;
    own(&mut tx, &caller, customer).await?;
    let settings = (zone.as_str(), language.as_str(), profile.as_str());
    app.care.set_contact(&mut tx, TenantId::new(caller.tenant), customer, settings).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Erases what is personal of a contact: addresses, letters, proofs of consent, and the key under
/// which they were kept. Refused under a legal hold. The records of decisions stay; they hold no
/// personal data.
#[utoipa::path(delete, path = "/v1/customers/{id}/contact", tag = "care", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 204, description = "Erased"), (status = "default", body = ProblemDocument)))]
pub(crate) async fn erase(
    State(app): State<App>,
    caller: Caller,
    Params(customer): Params<Uuid>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Privacy)?;
    let mut tx = app.db.begin().await?;
    own(&mut tx, &caller, customer).await?;
    app.care.erase(&mut tx, TenantId::new(caller.tenant), customer).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAddress {
    /// `email`: a mailbox; `sms`: a number in E.164 form; `push`: a token of the gateway's.
    address: String,
}

/// Stores where a customer is reached on a channel, encrypted under a key of the customer's.
#[utoipa::path(put, path = "/v1/customers/{id}/contact/{channel}", tag = "care",
    params(("id" = Uuid, Path), ("channel" = String, Path)), request_body = NewAddress,
    security(("api_key" = [])),
    responses((status = 204, description = "Stored"), (status = "default", body = ProblemDocument)))]
pub(crate) async fn set_address(
    State(app): State<App>,
    caller: Caller,
    Params((customer, name)): Params<(Uuid, String)>,
    body: Body<NewAddress>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Customers)?;
    let mut tx = app.db.begin().await?;
    own(&mut tx, &caller, customer).await?;
    let channel = channel(&name)?;
    let address = Address::new(channel, &body.value.address)?;
    let tenant = TenantId::new(caller.tenant);
    app.care.set_address(&mut tx, tenant, customer, channel, &address).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Forgets where a customer is reached on a channel.
#[utoipa::path(delete, path = "/v1/customers/{id}/contact/{channel}", tag = "care",
    params(("id" = Uuid, Path), ("channel" = String, Path)), security(("api_key" = [])),
    responses((status = 204, description = "Forgotten"), (status = "default", body = ProblemDocument)))]
pub(crate) async fn remove_address(
    State(app): State<App>,
    caller: Caller,
    Params((customer, name)): Params<(Uuid, String)>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Customers)?;
    let mut tx = app.db.begin().await?;
    own(&mut tx, &caller, customer).await?;
    let (tenant, channel) = (TenantId::new(caller.tenant), channel(&name)?);
    app.care.remove_address(&mut tx, tenant, customer, channel).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewHolds {
    /// Hardship was declared: reminders rest up to and including this day.
    #[schema(value_type = Option<String>, format = Date)]
    hardship_until: Option<Date>,
    /// The customer has died.
    #[serde(default)]
    deceased: bool,
    /// A lawyer, a court or an insolvency forbids contact.
    #[serde(default)]
    legal_hold: bool,
}

/// Sets the reasons to leave a customer alone that the lender enters, all of them at once. A promise
/// and a dispute are not touched.
#[utoipa::path(put, path = "/v1/customers/{id}/holds", tag = "care", params(("id" = Uuid, Path)),
    request_body = NewHolds, security(("api_key" = [])),
    responses((status = 204, description = "Set"), (status = "default", body = ProblemDocument)))]
pub(crate) async fn holds(
    State(app): State<App>,
    caller: Caller,
    Params(customer): Params<Uuid>,
    body: Body<NewHolds>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Customers)?;
    let NewHolds { hardship_until, deceased, legal_hold } = body.value;
    let holds = LenderHolds { hardship_until, deceased, legal_hold };
    let mut tx = app.db.begin().await?;
    own(&mut tx, &caller, customer).await?;
    app.care.set_holds(&mut tx, TenantId::new(caller.tenant), customer, holds).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPromise {
    /// The day for which payment is promised, from today to 92 days ahead.
    #[schema(value_type = String, format = Date)]
    until: Date,
}

/// Records that a customer promises to pay by a day: reminders rest up to and including it.
#[utoipa::path(post, path = "/v1/customers/{id}/promises", tag = "care", params(("id" = Uuid, Path)),
    request_body = NewPromise, security(("api_key" = [])),
    responses((status = 204, description = "Recorded"), (status = "default", body = ProblemDocument)))]
pub(crate) async fn promise(
    State(app): State<App>,
    caller: Caller,
    Params(customer): Params<Uuid>,
    body: Body<NewPromise>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Customers)?;
    let mut tx = app.db.begin().await?;
    own(&mut tx, &caller, customer).await?;
    let tenant = TenantId::new(caller.tenant);
    app.care.promise(&mut tx, tenant, customer, body.value.until).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
