//! Extractors whose refusals are problem documents.

use axum::body::Bytes;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Json, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::problem::Problem;
use crate::app::App;
use crate::error::{Code, Error};

/// A JSON body and the hash that an idempotency key is bound to: SHA-256 over method, path and the
/// exact bytes.
#[derive(Debug)]
pub(crate) struct Body<T> {
    pub(crate) value: T,
    pub(crate) hash: [u8; 32],
}

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let hasher = Sha256::new()
            .chain_update(request.method().as_str())
            .chain_update(request.uri().path());
        let (parts, body) = request.into_parts();
        let limit = app.config.server.body_bytes_max;
        let bytes =
            axum::body::to_bytes(body, limit).await.map_err(|_| Error::from(Code::BodyTooLarge))?;
        let hash = hasher.chain_update(&bytes).finalize().into();
        let request = Request::from_parts(parts, axum::body::Body::from(bytes));
        let Json(value) =
            Json::<T>::from_request(request, app).await.map_err(|rejection| refuse(&rejection))?;
        Ok(Self { value, hash })
    }
}

/// A JSON body without the hash, for requests that carry ids of their own.
#[derive(Debug)]
pub(crate) struct Plain<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Plain<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        Ok(Self(read_json(request, app.config.server.body_bytes_max).await?))
    }
}

/// A JSON body of many items, up to `server.bulk_body_bytes_max`.
#[derive(Debug)]
pub(crate) struct Bulk<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Bulk<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        Ok(Self(read_json(request, app.config.server.bulk_body_bytes_max).await?))
    }
}

/// The bytes of a JSON body of many items, up to `server.bulk_body_bytes_max`, for who reads each item by
/// itself.
#[derive(Debug)]
pub(crate) struct BulkBytes(pub(crate) Bytes);

impl FromRequest<App> for BulkBytes {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        Ok(Self(read_bytes(request, app.config.server.bulk_body_bytes_max).await?))
    }
}

async fn read_json<T: DeserializeOwned>(request: Request, limit: usize) -> Result<T, Error> {
    let bytes = read_bytes(request, limit).await?;
    serde_json::from_slice(&bytes).map_err(|error| unreadable(&error))
}

/// The refusal of a JSON body.
pub(crate) fn unreadable(error: &serde_json::Error) -> Error {
    let code = if error.is_data() { Code::Unprocessable } else { Code::BadRequest };
    Error::refuse(code, error.to_string())
}

async fn read_bytes(request: Request, limit: usize) -> Result<Bytes, Error> {
    let kind = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let is_json = |kind: &[u8]| kind.to_ascii_lowercase().starts_with(b"application/json");
    if !kind.is_some_and(is_json) {
        return Err(Code::UnsupportedMediaType.into());
    }
    let bytes = axum::body::to_bytes(request.into_body(), limit).await;
    bytes.map_err(|_| Code::BodyTooLarge.into())
}

fn refuse(rejection: &JsonRejection) -> Error {
    let code = match rejection {
        JsonRejection::MissingJsonContentType(_) => Code::UnsupportedMediaType,
        JsonRejection::JsonDataError(_) => Code::Unprocessable,
        _ => Code::BadRequest,
    };
    Error::refuse(code, rejection.body_text())
}

/// The character that no text in a PostgreSQL database can have, as it stands in a URL.
const NUL: &str = "%00";

/// Path parameters.
#[derive(Debug)]
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, app).await {
            Ok(Path(value)) if !parts.uri.path().contains(NUL) => Ok(Self(value)),
            // An id that cannot be one names nothing.
            _ => Err(Error::from(Code::NotFound).into()),
        }
    }
}

/// Query parameters.
#[derive(Debug)]
pub(crate) struct Args<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Args<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        if parts.uri.query().is_some_and(|query| query.contains(NUL)) {
            return Err(Error::refuse(Code::BadRequest, "the query has a NUL character").into());
        }
        match Query::<T>::from_request_parts(parts, app).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(Error::refuse(Code::BadRequest, rejection.body_text()).into()),
        }
    }
}
