//! Errors on the wire: RFC 9457 problem documents.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use uuid::Uuid;

use crate::error::{Code, Error};

/// An RFC 9457 problem document.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ProblemDocument {
    /// `urn:roadstead:error:<code>`; the catalogue is in `docs/ERRORS.md`.
    #[schema(example = "urn:roadstead:error:insufficient_funds")]
    r#type: String,
    /// What this code means and what to do.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What is wrong with this request.
    detail: String,
    /// The stable code, for programs.
    #[schema(example = "insufficient_funds")]
    code: String,
    /// Names this occurrence, to be quoted to the operator.
    instance: String,
}

/// What a handler answers when it cannot do what was asked.
#[derive(Debug)]
pub(crate) struct Problem(Error);

impl<E: Into<Error>> From<E> for Problem {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let instance = format!("urn:uuid:{}", Uuid::now_v7());
        let (code, detail) = match self.0 {
            Error::Failure(failure) => (failure.code, failure.detail),
            Error::Internal(reason) => {
                // The only place where an internal error is logged; the caller learns its name alone.
                tracing::error!(instance, reason, "internal error");
                (Code::Internal, Code::Internal.title().to_owned())
            }
        };
        document(code, detail, instance)
    }
}

fn document(code: Code, detail: String, instance: String) -> Response {
    let document = ProblemDocument {
        r#type: format!("urn:roadstead:error:{}", code.text()),
        title: code.title().to_owned(),
        status: code.status(),
        detail,
        code: code.text().to_owned(),
        instance,
    };
    let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, axum::Json(document)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    // What is not there now may be there soon: a tile, a receipt.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = code.retry_after_secs() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Gives the bare errors of the layers below the handlers (a body that is too large, a time-out) the
/// same form.
pub(crate) fn dress(response: &mut Response) {
    let status = response.status();
    let is_bare = !response.headers().contains_key(header::CONTENT_TYPE)
        || response
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if !is_bare || status.is_success() || status.is_informational() || status.is_redirection() {
        return;
    }
    let code = match status {
        StatusCode::PAYLOAD_TOO_LARGE => Code::BodyTooLarge,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
        StatusCode::NOT_FOUND => Code::NotFound,
        status if status.is_server_error() => Code::Internal,
        _ => Code::BadRequest,
    };
    *response = document(code, code.title().to_owned(), format!("urn:uuid:{}", Uuid::now_v7()))
        .map(Body::new);
}
