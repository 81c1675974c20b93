//! A request that moves money happens once, however often it is sent.
//!
//! The key, the body's hash and the answer are stored in the transaction of the effect. The primary
//! key is the guard: of two that race, one waits and then answers what the other did. A refusal
//! leaves nothing behind, so the same key can be used again once the cause is gone.

use api_store::Tx;
use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use uuid::Uuid;

use super::problem::Problem;
use crate::app::{App, now_ms};
use crate::error::{Code, Error};
use crate::repo::idempotency;

const HEADER: &str = "idempotency-key";
const KEY_CHARS_MAX: usize = 128;

/// The header `Idempotency-Key`.
#[derive(Clone, Debug)]
pub(crate) struct Key(String);

impl Key {
    /// As the client wrote it.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl FromRequestParts<App> for Key {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let key = parts.headers.get(HEADER).and_then(|key| key.to_str().ok()).unwrap_or_default();
        let fits = !key.is_empty()
            && key.len() <= KEY_CHARS_MAX
            && key.bytes().all(|byte| byte.is_ascii_graphic());
        if fits {
            Ok(Self(key.to_owned()))
        } else {
            Err(Error::from(Code::IdempotencyKeyMissing).into())
        }
    }
}

impl OptionalFromRequestParts<App> for Key {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Option<Self>, Problem> {
        if !parts.headers.contains_key(HEADER) {
            return Ok(None);
        }
        <Self as FromRequestParts<App>>::from_request_parts(parts, app).await.map(Some)
    }
}

/// A request whose body has ids that are its keys. A key beside them would not be kept: who changes the
/// ids and sends the same key again would move the money twice.
pub(crate) fn ids_alone(key: Option<&Key>) -> Result<(), Error> {
    match key {
        None => Ok(()),
        Some(_) => Err(Code::IdempotencyKeyBesideId.into()),
    }
}

/// What to do about a request.
pub(crate) enum Begun {
    /// It is new: do it in this transaction.
    Fresh(Box<Attempt>),
    /// It was done: this is what was answered.
    Replay(Response),
}

/// A request that is being done for the first time.
pub(crate) struct Attempt {
    /// The transaction of the effect.
    pub(crate) tx: Tx,
    tenant: Uuid,
    key: String,
}

/// Takes the key, or finds what was answered under it.
pub(crate) async fn begin(
    app: &App,
    tenant: Uuid,
    key: Key,
    hash: [u8; 32],
) -> Result<Begun, Error> {
    let mut tx = app.db.begin().await?;
    if idempotency::take(&mut tx, tenant, &key.0, hash, now_ms()).await? {
        return Ok(Begun::Fresh(Box::new(Attempt { tx, tenant, key: key.0 })));
    }
    let answer = idempotency::get(&mut tx, tenant, &key.0).await?;
    // The other request gave up between our look and this one: as good as unavailable.
    let answer = answer.ok_or_else(|| Error::from(Code::Unavailable))?;
    if answer.request_hash != hash {
        return Err(Code::IdempotencyConflict.into());
    }
    let status =
        u16::try_from(answer.status).ok().and_then(|status| StatusCode::from_u16(status).ok());
    let mut response = (status.unwrap_or(StatusCode::OK), answer.body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
    Ok(Begun::Replay(response))
}

impl Attempt {
    /// Commits the effect together with its answer.
    pub(crate) async fn finish(
        mut self,
        status: StatusCode,
        view: &impl Serialize,
    ) -> Result<Response, Error> {
        let body = serde_json::to_string(view)?;
        idempotency::answer(&mut self.tx, self.tenant, &self.key, status.as_u16(), &body).await?;
        self.tx.commit().await?;
        let mut response = (status, body).into_response();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }
}
