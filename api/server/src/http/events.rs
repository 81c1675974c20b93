use std::time::Duration;

use api_ledger::Event;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use utoipa::ToSchema;

use super::auth::{Caller, Scope};
use super::extract::Args;
use super::ledger::check_limit;
use super::problem::{Problem, ProblemDocument};
use crate::app::App;
use crate::error::{Code, Error};

const WAIT_SECS_MAX: u32 = 20;
const POLL: Duration = Duration::from_millis(100);

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsQuery {
    /// The `next` of the page before; 0 to begin.
    #[serde(default)]
    after: i64,
    /// At most this many, 1 to 500; 100 when absent.
    #[serde(default = "super::ledger::default_limit")]
    limit: u32,
    /// When there is nothing yet, wait up to so many seconds for it, 0 to 20; 0 when absent.
    #[serde(default)]
    wait_secs: u32,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventPage {
    items: Vec<EventView>,
    /// Give this as `after` to go on; the same as `after` when there was nothing.
    next: i64,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventView {
    /// Its place in your sequence: 1, 2, 3, … without gaps.
    sequence: i64,
    /// `ledger.transfer`, `ledger.pending`, `ledger.post_pending`, `ledger.void_pending`,
    /// `ledger.expire_pending`, `ledger.reversal`, …
    r#type: String,
    /// The version of `data`.
    schema_version: u32,
    /// What it is about: a transfer's id.
    subject: String,
    recorded_at: String,
    /// The facts; amounts are strings of minor units.
    data: Value,
}

impl From<Event> for EventView {
    fn from(event: Event) -> Self {
        Self {
            sequence: event.sequence,
            r#type: event.kind,
            schema_version: event.schema_version,
            subject: event.subject,
            recorded_at: event.recorded_at.to_string(),
            data: event.data,
        }
    }
}

/// What happened in your books, in order and without gaps: who reads on from `next` misses nothing,
/// also what was committed late.
#[utoipa::path(get, path = "/v1/events", tag = "events", params(EventsQuery), security(("api_key" = [])),
    responses((status = 200, body = EventPage), (status = "default", body = ProblemDocument)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Args(query): Args<EventsQuery>,
) -> Result<Json<EventPage>, Problem> {
    caller.require(Scope::Read)?;
    let limit = check_limit(query.limit)?;
    if query.after < 0 || query.wait_secs > WAIT_SECS_MAX {
        let detail = "after is not negative, wait_secs between 0 and 20";
        return Err(Error::refuse(Code::BadRequest, detail).into());
    }
    let deadline = Instant::now().checked_add(Duration::from_secs(query.wait_secs.into()));
    loop {
        let mut tx = app.db.read().await?;
        let found = app.ledger.events(&mut tx, caller.tenant.into(), query.after, limit).await?;
        drop(tx);
        if found.is_empty() && deadline.is_some_and(|deadline| Instant::now() < deadline) {
            sleep(POLL).await;
            continue;
        }
        let next = found.last().map_or(query.after, |event| event.sequence);
        let items = found.into_iter().map(EventView::from).collect();
        return Ok(Json(EventPage { items, next }));
    }
}
