//! `POST /add-checkpoint` (C2SP `tlog-witness`), and `GET /` for the verifier key.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tower_http::timeout::TimeoutLayer;

use crate::witness::{Refusal, Witness};

/// A checkpoint with many signatures and the longest proof is far smaller.
const BODY_BYTES_MAX: usize = 128 << 10;
const TIMEOUT: Duration = Duration::from_secs(10);

/// Serves until `stop` is done.
///
/// # Errors
/// That of the listener.
pub async fn serve(
    listener: TcpListener,
    witness: Arc<Witness>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, routes(witness)).with_graceful_shutdown(stop).await
}

/// The routes of a witness.
pub fn routes(witness: Arc<Witness>) -> Router {
    Router::new()
        .route("/", get(verifier_key))
        .route("/add-checkpoint", post(add_checkpoint))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, TIMEOUT))
        .with_state(witness)
}

async fn verifier_key(State(witness): State<Arc<Witness>>) -> String {
    format!("{}\n", witness.verifier_key())
}

async fn add_checkpoint(State(witness): State<Arc<Witness>>, body: String) -> Response {
    let decided = tokio::task::spawn_blocking(move || witness.add_checkpoint(&body.parse()?)).await;
    match decided {
        Ok(Ok(line)) => line.into_response(),
        Ok(Err(refusal)) => refused(&refusal),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn refused(refusal: &Refusal) -> Response {
    let status = match refusal {
        Refusal::Malformed(_) | Refusal::OldTooLarge => StatusCode::BAD_REQUEST,
        Refusal::UnknownLog(_) => StatusCode::NOT_FOUND,
        Refusal::NotSigned => StatusCode::FORBIDDEN,
        Refusal::OtherSize(size) => {
            let kind = [(header::CONTENT_TYPE, "text/x.tlog.size")];
            return (StatusCode::CONFLICT, kind, format!("{size}\n")).into_response();
        }
        Refusal::OtherRoot => StatusCode::CONFLICT,
        Refusal::NotConsistent => StatusCode::UNPROCESSABLE_ENTITY,
        // Paths of this machine are nothing for a client.
        Refusal::Store(_) => {
            let text = "the witness cannot keep its state\n";
            return (StatusCode::INTERNAL_SERVER_ERROR, text).into_response();
        }
    };
    (status, format!("{refusal}\n")).into_response()
}
