//! What every request passes: it is measured and logged once, and its answer is dressed.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use metrics::{Counter, Histogram};

use super::problem;

/// The meters that were used, so that a request need not make their names again.
#[derive(Default)]
pub(super) struct Meters {
    by_route: RwLock<HashMap<String, Vec<Meter>>>,
}

struct Meter {
    method: &'static str,
    status: u16,
    seconds: Histogram,
    requests: Counter,
}

impl Meters {
    fn record(&self, route: &str, method: &'static str, status: u16, elapsed: Duration) {
        let known = self.by_route.read().unwrap_or_else(PoisonError::into_inner);
        let same = |meter: &&Meter| meter.method == method && meter.status == status;
        if let Some(meter) = known.get(route).and_then(|meters| meters.iter().find(same)) {
            return meter.record(elapsed);
        }
        drop(known);
        let meter = Meter::new(route, method, status);
        meter.record(elapsed);
        let mut known = self.by_route.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(route.to_owned()).or_default().push(meter);
    }
}

impl Meter {
    fn new(route: &str, method: &'static str, status: u16) -> Self {
        let route = route.to_owned();
        Self {
            method,
            status,
            seconds: metrics::histogram!("roadstead_http_seconds", "route" => route.clone(), "method" => method),
            requests: metrics::counter!("roadstead_http_requests_total", "route" => route, "status" => status.to_string()),
        }
    }

    fn record(&self, elapsed: Duration) {
        self.seconds.record(elapsed.as_secs_f64());
        self.requests.increment(1);
    }
}

/// The name of a method; one for all that nobody serves, or callers could make meters without end.
fn name(method: &Method) -> &'static str {
    const NAMES: [&str; 9] =
        ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT"];
    NAMES.into_iter().find(|name| *name == method.as_str()).unwrap_or("OTHER")
}

/// Counts and logs each request once: method, route, status and time; never headers or bodies.
pub(super) async fn observe(
    State(meters): State<Arc<Meters>>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let method = name(request.method());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    problem::dress(&mut response);
    // What does not say otherwise is one caller's own.
    response
        .headers_mut()
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    let route = matched.as_ref().map_or("unmatched", MatchedPath::as_str);
    let status = response.status().as_u16();
    let elapsed = started.elapsed();
    meters.record(route, method, status, elapsed);
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    tracing::debug!(method, route, status, millis, "request");
    response
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn each_request_is_counted_once_under_its_own_names() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let meters = Meters::default();
        metrics::with_local_recorder(&recorder, || {
            for (route, method, status, times) in [
                ("/a", "GET", 200, 3),
                ("/a", "GET", 404, 2),
                ("/a", "POST", 200, 1),
                ("/b", "GET", 200, 1),
            ] {
                (0..times)
                    .for_each(|_| meters.record(route, method, status, Duration::from_millis(2)));
            }
        });
        let text = recorder.handle().render();
        for line in [
            "roadstead_http_requests_total{route=\"/a\",status=\"200\"} 4",
            "roadstead_http_requests_total{route=\"/a\",status=\"404\"} 2",
            "roadstead_http_requests_total{route=\"/b\",status=\"200\"} 1",
            "roadstead_http_seconds_count{route=\"/a\",method=\"GET\"} 5",
            "roadstead_http_seconds_count{route=\"/a\",method=\"POST\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
        }
        assert_eq!(meters.by_route.read().unwrap().len(), 2);
    }

    #[test]
    fn callers_cannot_make_up_methods() {
        assert_eq!(name(&Method::PATCH), "PATCH");
        assert_eq!(name(&Method::from_bytes(b"BREW").unwrap()), "OTHER");
    }
}
