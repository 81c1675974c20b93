//! The HTTP interface: one router, thin handlers that look alike, one error mapping.

mod accounts;
mod audit;
mod auth;
mod care;
mod customers;
mod deposits;
mod events;
mod extract;
mod idempotency;
mod ledger;
mod loans;
mod observe;
mod operator;
mod problem;
mod reads;
mod records;
mod reports;
mod status;
mod subjects;
mod tenants;
mod transfers;
mod views;
mod webhooks;
mod withdrawals;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::IntoResponse as _;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use metrics_exporter_prometheus::PrometheusHandle;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use loans::{FromAccount, book_repayment};

use crate::app::App;
use crate::error::{Code, Error, Failure};
use problem::Problem;

/// The document's head; paths and schemas come from the handlers.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Roadstead",
        description = "Custody, fiat ledger, loans and an audit log anchored on public chains. Amounts are strings \
                       of minor units with their asset beside them. Errors are RFC 9457 problem documents with a \
                       stable `code`. A POST that moves money needs an `Idempotency-Key`; in the ledger ids of your own \
                       are the keys, and a header beside them is refused.",
        license(name = "MIT OR Apache-2.0")
    ),
    modifiers(&Security)
)]
struct Document;

struct Security;

impl utoipa::Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_with(Default::default);
        components.add_security_scheme("api_key", SecurityScheme::Http(scheme));
    }
}

fn api() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(tenants::create))
        .routes(routes!(tenants::create_key, tenants::list_keys))
        .routes(routes!(tenants::revoke_key))
        .routes(routes!(status::chains))
        .routes(routes!(status::assets))
        .routes(routes!(customers::create, customers::list))
        .routes(routes!(customers::get))
        .routes(routes!(customers::create_address, customers::list_addresses))
        .routes(routes!(accounts::balances))
        .routes(routes!(accounts::statement))
        .routes(routes!(deposits::list))
        .routes(routes!(deposits::get))
        .routes(routes!(deposits::topups))
        .routes(routes!(deposits::suspended))
        .routes(routes!(withdrawals::create, withdrawals::list))
        .routes(routes!(withdrawals::get))
        .routes(routes!(transfers::create))
        .routes(routes!(transfers::get))
        .merge(loans::routes())
        .merge(records::routes())
        .merge(subjects::routes())
        .merge(care::routes())
        .merge(audit::routes())
        .merge(reports::routes())
        .merge(reads::routes())
        .routes(routes!(operator::treasury))
        .routes(routes!(operator::sweep))
        .routes(routes!(operator::intents))
        .routes(routes!(operator::replace))
        .routes(routes!(operator::cancel))
        .routes(routes!(operator::reconcile))
        .routes(routes!(operator::ledger_check))
        .routes(routes!(operator::freeze))
        .routes(routes!(operator::resume))
        .routes(routes!(events::list))
        .merge(ledger::routes())
        .merge(webhooks::routes())
        .routes(routes!(status::live))
        .routes(routes!(status::ready))
}

/// The OpenAPI document of exactly the routes that are served.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    api().split_for_parts().1
}

/// The router with its layers.
fn router(app: App, metrics: PrometheusHandle) -> Result<Router, serde_json::Error> {
    let (router, document) = api().split_for_parts();
    let document = Bytes::from(serde_json::to_vec(&document)?);
    let json = [(header::CONTENT_TYPE, "application/json")];
    // Each extractor has a limit of its own below this one.
    let body_max = app.config.server.body_bytes_max.max(app.config.server.bulk_body_bytes_max);
    let timeout = Duration::from_secs(app.config.server.request_timeout_secs);
    // Each call of `layer` costs every request an allocation or two: one call, the outermost first.
    let layers = ServiceBuilder::new()
        .layer(middleware::from_fn_with_state(Arc::default(), observe::observe))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            Problem::from(Error::internal("a handler panicked")).into_response()
        }))
        .layer(RequestBodyLimitLayer::new(body_max))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, timeout));
    Ok(router
        .route("/openapi.json", get(move || async move { (json, document) }))
        .route("/metrics", get(move || async move { metrics.render() }))
        .fallback(async || {
            Problem::from(Error::refuse(Code::NotFound, "there is no such path; see /openapi.json"))
        })
        .method_not_allowed_fallback(async || Problem::from(Error::from(Code::MethodNotAllowed)))
        .with_state(app)
        .layer(layers))
}

/// Serves the API until `shutdown` ends, then finishes what is under way.
///
/// # Errors
/// Those of the listener.
pub(crate) async fn serve(
    listener: tokio::net::TcpListener,
    app: App,
    metrics: PrometheusHandle,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    // An answer is written whole: it need not wait for more to send.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    // A router that is served as it is would be copied for each connection, all its handlers with it.
    let service = router(app, metrics)?.into_make_service();
    axum::serve(listener, service).with_graceful_shutdown(shutdown).await
}

/// The refusal for a path or query that names nothing of the caller's.
fn missing(what: &str) -> Error {
    Error::Failure(Failure::new(
        Code::NotFound,
        format!("there is no {what} of yours with this id"),
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    /// All values of `$ref` in a document.
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| references(value, found));
            }
            _ => {}
        }
    }

    #[test]
    fn every_schema_that_the_document_names_is_in_it() {
        let document = serde_json::to_value(super::openapi()).unwrap_or_default();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 100, "{found:?}");
        for reference in found {
            let path = reference.strip_prefix('#').unwrap_or_default();
            assert!(document.pointer(path).is_some(), "{reference} is nowhere");
        }
    }
}
