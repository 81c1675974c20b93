//! Who is calling. A handler without one of these extractors has no caller.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Method, header};
use rand::RngCore as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::problem::Problem;
use crate::app::{App, now_ms};
use crate::books::HOUSE;
use crate::error::{Code, Error};
use crate::reads;
use crate::repo::tenants;

const PREFIX: &str = "rsk";

/// What an API key may do.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scope {
    /// Read everything of the tenant.
    Read,
    /// Create customers and addresses.
    Customers,
    /// Pay out to chains.
    Withdraw,
    /// Move money between customers.
    Transfer,
    /// Create and disburse loans, book repayments.
    Loans,
    /// Make and revoke API keys.
    Keys,
    /// Write records of one's own to the audit log.
    Audit,
    /// Erase a person's data in the audit log, and hold it against erasure.
    Privacy,
    /// Keep the tenant's own ledger accounts: open them, move money between them, price conversions.
    Ledger,
    /// Say who is told about events.
    Webhooks,
}

impl Scope {
    pub(crate) const ALL: [Self; 10] = [
        Self::Read,
        Self::Customers,
        Self::Withdraw,
        Self::Transfer,
        Self::Loans,
        Self::Keys,
        Self::Audit,
        Self::Privacy,
        Self::Ledger,
        Self::Webhooks,
    ];

    const fn text(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Customers => "customers",
            Self::Withdraw => "withdraw",
            Self::Transfer => "transfer",
            Self::Loans => "loans",
            Self::Keys => "keys",
            Self::Audit => "audit",
            Self::Privacy => "privacy",
            Self::Ledger => "ledger",
            Self::Webhooks => "webhooks",
        }
    }
}

/// Scopes as they are stored.
pub(crate) fn join(scopes: &[Scope]) -> String {
    scopes.iter().map(|scope| scope.text()).collect::<Vec<_>>().join(" ")
}

/// Stored scopes; a name that is not known any more grants nothing.
pub(crate) fn split(stored: &str) -> Vec<Scope> {
    let known = |name: &str| Scope::ALL.into_iter().find(|scope| scope.text() == name);
    stored.split(' ').filter_map(known).collect()
}

/// A tenant's key.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) tenant: Uuid,
    /// Which key it is.
    pub(crate) key: Uuid,
    /// Whether it belongs to a person, whose reads are logged.
    pub(crate) staff: bool,
    scopes: Vec<Scope>,
}

impl Caller {
    /// Refuses a key that lacks `scope`.
    pub(crate) fn require(&self, scope: Scope) -> Result<(), Error> {
        if self.scopes.contains(&scope) {
            return Ok(());
        }
        Err(Error::refuse(
            Code::Forbidden,
            format!("this API key lacks the scope {:?}", scope.text()),
        ))
    }

    /// A key cannot give what it does not have.
    pub(crate) fn require_all(&self, scopes: &[Scope]) -> Result<(), Error> {
        scopes.iter().try_for_each(|scope| self.require(*scope))
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let (id, secret) =
            bearer(parts).and_then(parse_key).ok_or(Code::Unauthorized).map_err(Error::from)?;
        let key = stored_key(app, id).await?;
        let given = Sha256::digest(secret.as_bytes());
        let now = now_ms();
        let valid = key.filter(|key| {
            let same: bool = key.secret_hash.as_slice().ct_eq(given.as_slice()).into();
            same && key.revoked_at.is_none() && key.expires_at.is_none_or(|expires| now < expires)
        });
        let key = valid.ok_or(Code::Unauthorized).map_err(Error::from)?;
        if key.staff {
            note_read(app, parts, key.tenant, &key.id.to_string()).await?;
        }
        let scopes = split(&key.scopes);
        Ok(Self { tenant: key.tenant, key: key.id, staff: key.staff, scopes })
    }
}

/// Records a read by a person before it is answered.
async fn note_read(app: &App, parts: &Parts, tenant: Uuid, who: &str) -> Result<(), Error> {
    if parts.method != Method::GET {
        return Ok(());
    }
    let what = parts.uri.path_and_query().map_or_else(|| parts.uri.path(), |what| what.as_str());
    reads::note(app, tenant, who, what).await
}

async fn stored_key(app: &App, id: Uuid) -> Result<Option<Arc<tenants::ApiKey>>, Error> {
    let reading = match app.keys.fresh(id) {
        Ok(key) => return Ok(Some(key)),
        Err(reading) => reading,
    };
    let mut tx = app.db.read().await?;
    let key = tenants::key(&mut tx, id).await?;
    Ok(key.map(|key| app.keys.keep(reading, key)))
}

/// The operator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operator;

impl FromRequestParts<App> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let given = Sha256::digest(bearer(parts).unwrap_or_default().as_bytes());
        let same: bool = given.as_slice().ct_eq(&app.operator_key_hash).into();
        if !same {
            return Err(Error::from(Code::Unauthorized).into());
        }
        note_read(app, parts, HOUSE, "operator").await?;
        Ok(Self)
    }
}

fn bearer(parts: &Parts) -> Option<&str> {
    parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

fn parse_key(text: &str) -> Option<(Uuid, &str)> {
    let (id, secret) = text.strip_prefix(PREFIX)?.strip_prefix('_')?.split_once('_')?;
    Some((id.parse().ok()?, secret))
}

/// A new key: its row, and the text that is shown once and never stored.
pub(crate) fn new_key(
    tenant: Uuid,
    name: &str,
    scopes: &[Scope],
    staff: bool,
    expires_at: Option<i64>,
) -> (tenants::ApiKey, String) {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    let secret = hex::encode(bytes);
    let id = Uuid::now_v7();
    let key = tenants::ApiKey {
        id,
        tenant,
        name: name.to_owned(),
        secret_hash: Sha256::digest(secret.as_bytes()).to_vec(),
        scopes: join(scopes),
        staff,
        created_at: now_ms(),
        expires_at,
        revoked_at: None,
    };
    (key, format!("{PREFIX}_{}_{secret}", id.simple()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_key_is_shown_once_and_stored_as_a_hash() {
        let (row, text) = new_key(Uuid::nil(), "k", &[Scope::Read], false, None);
        let (id, secret) = parse_key(&text).unwrap();
        assert_eq!(id, row.id);
        assert_eq!(row.secret_hash, Sha256::digest(secret.as_bytes()).to_vec());
        assert!(!format!("{row:?}").contains(secret));
    }

    #[test]
    fn scopes_round_trip_and_unknown_ones_grant_nothing() {
        assert_eq!(split(&join(&Scope::ALL)), Scope::ALL);
        assert_eq!(split("read root"), [Scope::Read]);
        assert_eq!(split(""), []);
    }

    #[test]
    fn odd_keys_are_refused() {
        for text in ["", "rsk", "rsk_", "rsk_x_y", "abc_00000000000000000000000000000000_ff"] {
            assert!(parse_key(text).is_none(), "{text:?}");
        }
    }
}
