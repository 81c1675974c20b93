use std::time::Duration;

use api_ledger::{Event, TenantId};
use api_webhooks::EventTypes;
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
/// At most so many events are looked at for one answer of chosen types, in reads of at most `LOOK`.
const LOOKS_MAX: usize = 10;
const LOOK: u32 = 1000;
/// The types of events that there are.
const TYPES: [&str; 6] = [
    "ledger.transfer",
    "ledger.pending",
    "ledger.post_pending",
    "ledger.void_pending",
    "ledger.expire_pending",
    "ledger.reversal",
];

/// A choice of event types, each of which chooses something that there is.
pub(super) fn event_types<'a>(
    names: impl IntoIterator<Item = &'a str> + Clone,
) -> Result<EventTypes, Error> {
    let types = EventTypes::parse(names.clone());
    let types = types.map_err(|error| Error::refuse(Code::Unprocessable, error.to_string()))?;
    for name in names {
        let alone = EventTypes::parse([name]).unwrap_or_default();
        if !TYPES.iter().any(|kind| alone.contains_type(kind)) {
            let detail =
                format!("there are no events of the type {name}; there are {}", TYPES.join(", "));
            return Err(Error::refuse(Code::Unprocessable, detail));
        }
    }
    Ok(types)
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsQuery {
    /// The `next` of the page before; 0 to begin.
    #[serde(default)]
    after: i64,
    /// The `mark` of the page before. With it you are told (`event_cursor_lost`) when another event has
    /// come to the place `after` because the server's database was set back to an older state.
    mark: Option<String>,
    /// At most this many, 1 to 500; 100 when absent.
    #[serde(default = "super::ledger::default_limit")]
    limit: u32,
    /// When there is nothing yet, wait up to so many seconds for it, 0 to 20; 0 when absent.
    #[serde(default)]
    wait_secs: u32,
    /// Only these types, separated by commas, such as `ledger.reversal` or `ledger.*`; all when absent.
    #[serde(default)]
    types: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventPage {
    items: Vec<EventView>,
    /// Give this as `after` to go on; the same as `after` when there was nothing. Where types are chosen
    /// it may be further than the last item, also past an empty page: what lies between is of other
    /// types.
    next: i64,
    /// What is at the place `next`; keep it with `next`, and give both. Null when `next` is 0.
    mark: Option<String>,
}

/// How far a reader is.
#[derive(Debug)]
struct Place {
    sequence: i64,
    mark: Option<String>,
}

impl Place {
    fn of(event: &Event) -> Self {
        Self { sequence: event.sequence, mark: Some(event.mark()) }
    }
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
/// also what was committed late. A place that your events do not have is refused with `event_cursor_lost`.
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
    let types = event_types(query.types.split(',').filter(|name| !name.is_empty()))?;
    let deadline = Instant::now().checked_add(Duration::from_secs(query.wait_secs.into()));
    let mark = query.mark.as_deref().filter(|mark| !mark.is_empty());
    let mut place = begin(&app, &caller, query.after, mark).await?;
    loop {
        let (found, next) = look(&app, caller.tenant.into(), place.sequence, limit, &types).await?;
        let moved = next.is_some();
        place = next.unwrap_or(place);
        if found.is_empty() && deadline.is_some_and(|deadline| Instant::now() < deadline) {
            if !moved {
                sleep(POLL).await;
            }
            continue;
        }
        let items = found.into_iter().map(EventView::from).collect();
        return Ok(Json(EventPage { items, next: place.sequence, mark: place.mark }));
    }
}

/// The place where a reader goes on, when it is one.
async fn begin(app: &App, caller: &Caller, after: i64, mark: Option<&str>) -> Result<Place, Error> {
    let mut tx = app.db.read().await?;
    let mark = app.ledger.event_mark(&mut tx, caller.tenant.into(), after, mark).await?;
    Ok(Place { sequence: after, mark })
}

/// Up to `limit` events of these types after the place `after`, and the last place that was looked at, if
/// any was.
async fn look(
    app: &App,
    tenant: TenantId,
    after: i64,
    limit: u32,
    types: &EventTypes,
) -> Result<(Vec<Event>, Option<Place>), Error> {
    let mut tx = app.db.read().await?;
    if types.is_all() {
        let found = app.ledger.events(&mut tx, tenant, after, limit).await?;
        let next = found.last().map(Place::of);
        return Ok((found, next));
    }
    let (mut found, mut next) = (Vec::new(), None);
    for _ in 0..LOOKS_MAX {
        let from = next.as_ref().map_or(after, |place: &Place| place.sequence);
        let page = app.ledger.events(&mut tx, tenant, from, LOOK).await?;
        let Some(last) = page.last() else { break };
        next = Some(Place::of(last));
        for event in page.into_iter().filter(|event| types.contains(event)) {
            found.push(event);
            if found.len() >= limit as usize {
                next = found.last().map(Place::of);
                return Ok((found, next));
            }
        }
    }
    Ok((found, next))
}
