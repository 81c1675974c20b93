//! Records of the audit log: written by integrators, looked up by their own ids, proved by receipts.

use std::collections::BTreeMap;

use api_audit::{Appended, AuditLog, Disclosure, Record, RecordId, RecordStatus};
use api_store::Tx;
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::audit;
use super::auth::{Caller, Scope};
use super::extract::{Args, Bulk, Params};
use super::missing;
use super::problem::{Problem, ProblemDocument};
use crate::app::{App, now_ms};
use crate::error::{Code, Error};
use crate::flows::{anchors, witnesses};
use crate::repo::customers;

/// How many records one call may have.
const RECORDS_MAX: usize = 10_000;
const ID_CHARS_MAX: usize = 128;
const KIND_CHARS_MAX: usize = 56;
/// Ids, kinds, streams and subjects of integrators are kept apart from the server's own, and streams
/// and subjects from other tenants', by what stands before them.
const CLIENT: &str = "client";

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(append))
        .routes(routes!(record))
        .routes(routes!(receipt))
        .routes(routes!(tlog_proof))
        .routes(routes!(ots))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRecords {
    /// 1 to 10,000 records.
    records: Vec<NewRecord>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRecord {
    /// Your own id: 1 to 128 visible ASCII characters, unique in the tenant. The same record again is
    /// written once.
    #[schema(example = "R-2026-000017")]
    id: String,
    /// What happened: 1 to 56 of `a-z 0-9 . _ -`. The log has it with `client.` before it.
    #[schema(example = "loan.repayment")]
    kind: String,
    /// The chain of events that it belongs to, such as a loan's random id: receipts then prove that
    /// its events are complete. Public.
    #[serde(default)]
    stream: Option<String>,
    /// Whose personal data `personal` is: a random id of yours, or `customer:<id>` for a customer here.
    #[serde(default)]
    subject: Option<String>,
    /// Values that are no personal data. Amounts are integers in minor units.
    #[serde(default)]
    fields: BTreeMap<String, String>,
    /// Personal data of `subject`: kept under its key, and erased with it.
    #[serde(default)]
    personal: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AppendResult {
    /// Your own id.
    id: String,
    /// `created`, `known` (the same was written before) or `refused`.
    status: &'static str,
    /// The audit record.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<String>,
    /// Why it was refused, as a stable code.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AppendResults {
    /// How many were written.
    created: usize,
    /// How many had been written before.
    known: usize,
    /// How many were refused, each for a reason of its own.
    refused: usize,
    /// One for each record, in their order.
    results: Vec<AppendResult>,
}

/// Writes up to 10,000 records to the audit log, each once by its `id`. Each has a result of its own:
/// those that are refused do not keep the others from being written.
#[utoipa::path(post, path = "/v1/audit/records", tag = "audit", request_body = NewRecords,
    security(("api_key" = [])),
    responses((status = 200, body = AppendResults), (status = "default", body = ProblemDocument)))]
pub(crate) async fn append(
    State(app): State<App>,
    caller: Caller,
    Bulk(new): Bulk<NewRecords>,
) -> Result<Json<AppendResults>, Problem> {
    caller.require(Scope::Audit)?;
    let count = new.records.len();
    if !(1..=RECORDS_MAX).contains(&count) {
        let detail = format!("records must be 1 to {RECORDS_MAX}, not {count}");
        return Err(Error::refuse(Code::Unprocessable, detail).into());
    }
    let now = now_ms();
    let mut tx = app.db.begin().await?;
    let mut records = Vec::with_capacity(count);
    let mut readings = Vec::with_capacity(count);
    for one in &new.records {
        readings.push(match to_record(&mut tx, &caller, one, now).await {
            Ok(record) => {
                records.push(record);
                None
            }
            Err(Error::Failure(failure)) => Some(failure),
            Err(error) => return Err(error.into()),
        });
    }
    let log = app.audit.to_write(&mut tx, caller.tenant).await?;
    let appended = log.append_each_in(&mut tx, &records).await?;
    tx.commit().await?;
    let mut appended = appended.into_iter();
    let mut results = Vec::with_capacity(count);
    for (one, reading) in new.records.into_iter().zip(readings) {
        let outcome = match reading {
            Some(failure) => Err(Error::Failure(failure)),
            None => match appended.next() {
                Some(Appended::New(id)) => Ok(("created", id)),
                Some(Appended::Known(id)) => Ok(("known", id)),
                Some(Appended::Refused(error)) => Err(error.into()),
                None => Err(Error::internal("a record without outcome")),
            },
        };
        results.push(result(one.id, outcome)?);
    }
    let count = |status: &str| results.iter().filter(|one| one.status == status).count();
    let (created, known, refused) = (count("created"), count("known"), count("refused"));
    metrics::counter!("roadstead_client_records_total").increment(created as u64);
    Ok(Json(AppendResults { created, known, refused, results }))
}

fn result(
    id: String,
    outcome: Result<(&'static str, RecordId), Error>,
) -> Result<AppendResult, Error> {
    match outcome {
        Ok((status, record)) => Ok(AppendResult {
            id,
            status,
            record: Some(record.to_string()),
            code: None,
            detail: None,
        }),
        Err(Error::Failure(failure)) => Ok(AppendResult {
            id,
            status: "refused",
            record: None,
            code: Some(failure.code.text()),
            detail: Some(failure.detail),
        }),
        Err(error) => Err(error),
    }
}

async fn to_record(
    tx: &mut Tx,
    caller: &Caller,
    new: &NewRecord,
    now: i64,
) -> Result<Record, Error> {
    check_id("id", &new.id)?;
    let is_kind = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    if !(1..=KIND_CHARS_MAX).contains(&new.kind.len()) || !new.kind.bytes().all(is_kind) {
        let detail = format!("kind must have 1 to {KIND_CHARS_MAX} of a-z 0-9 . _ -");
        return Err(Error::refuse(Code::Unprocessable, detail));
    }
    let mut record = Record::new(format!("{CLIENT}.{}", new.kind), now)
        .external_id(caller.tenant.to_string(), external_id(&new.id));
    if let Some(stream) = &new.stream {
        check_id("stream", stream)?;
        record = record.stream(format!("{CLIENT}:{}:{stream}", caller.tenant));
    }
    if let Some(subject) = &new.subject {
        record = record.subject(subject_of(tx, caller, subject).await?);
    }
    for (name, value) in &new.fields {
        record = record.field(name, value);
    }
    for (name, value) in &new.personal {
        record = record.personal(name, value);
    }
    Ok(record)
}

/// The external id of an integrator's record as the log has it.
fn external_id(id: &str) -> String {
    format!("{CLIENT}:{id}")
}

/// The subject as the log has it: `customer:<id>` is the tenant's customer, anything else is a name of
/// the tenant's own.
///
/// # Errors
/// `not_found` when there is no such customer, `unprocessable` when it is no name.
pub(crate) async fn subject_of(
    tx: &mut Tx,
    caller: &Caller,
    subject: &str,
) -> Result<String, Error> {
    check_id("subject", subject)?;
    let Some(customer) = subject.strip_prefix("customer:") else {
        return Ok(format!("{CLIENT}:{}:{subject}", caller.tenant));
    };
    let found = match customer.parse::<Uuid>() {
        Ok(id) => customers::get(tx, caller.tenant, id).await?,
        Err(_) => None,
    };
    Ok(found.ok_or_else(|| missing("subject"))?.id.to_string())
}

fn check_id(name: &str, text: &str) -> Result<(), Error> {
    let fits = (1..=ID_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits {
        return Ok(());
    }
    let detail = format!("{name} must have 1 to {ID_CHARS_MAX} visible ASCII characters");
    Err(Error::refuse(Code::Unprocessable, detail))
}

/// The tenant's record with this id, the record's or the integrator's own. One of another tenant is
/// refused in the same words as one that is not there.
pub(crate) async fn own(
    app: &App,
    tx: &mut Tx,
    caller: &Caller,
    id: &str,
) -> Result<(AuditLog, RecordId), Error> {
    let tenant = caller.tenant.to_string();
    let logs = app.audit.to_read(tx, caller.tenant).await?;
    if let Ok(id) = id.parse::<RecordId>() {
        for log in &logs {
            let owner = log.tenant_of(tx, id).await?;
            if owner.is_some_and(|owner| owner == tenant) {
                return Ok((log.clone(), id));
            }
        }
    }
    if check_id("id", id).is_ok() {
        for log in logs {
            if let Some(found) = log.find(tx, &tenant, &external_id(id)).await? {
                return Ok((log, found));
            }
        }
    }
    Err(missing("audit record"))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecordView {
    /// The audit record.
    record: String,
    /// The name of the log that holds it.
    log: String,
    /// `queued`, `logged`, `checkpointed`, `witnessed`, `anchored` or `final`.
    state: &'static str,
    /// Its index, once it has one.
    index: Option<u64>,
    /// The size of the first checkpoint that covers it.
    checkpoint: Option<u64>,
    /// The names of the configured witnesses who cosigned that checkpoint.
    witnessed_by: Vec<String>,
    /// How many of them are wanted; `witnessed` when so many have.
    witnesses_wanted: u64,
    /// The chains on which it is anchored, CAIP-2 ids.
    anchored_on: Vec<String>,
    /// Those of them on which the anchor is final.
    final_on: Vec<String>,
    /// On how many chains it is to be; `final` when it is final on so many.
    anchors_wanted: u64,
}

async fn view(app: &App, tx: &mut Tx, log: &AuditLog, id: RecordId) -> Result<RecordView, Error> {
    let RecordStatus { state, index, checkpoint, anchored_on, final_on } =
        log.status(tx, id).await?;
    let witnessed_by = match checkpoint {
        Some(size) => witnesses::cosigners(app, &audit::exactly(log, tx, size).await?)?,
        None => Vec::new(),
    };
    let (anchors_wanted, witnesses_wanted) = (anchors::wanted(app), witnesses::wanted(app));
    let is_witnessed = witnesses_wanted > 0 && witnessed_by.len() as u64 >= witnesses_wanted;
    let count = |chains: &[String]| chains.len() as u64;
    let state = match state {
        "anchored" | "final" if anchors_wanted > 0 && count(&final_on) >= anchors_wanted => "final",
        "anchored" | "final" => "anchored",
        "checkpointed" if is_witnessed => "witnessed",
        state => state,
    };
    Ok(RecordView {
        record: id.to_string(),
        log: log.origin().to_owned(),
        state,
        index,
        checkpoint,
        witnessed_by,
        witnesses_wanted,
        anchored_on,
        final_on,
        anchors_wanted,
    })
}

/// How far a record is: queued, logged, checkpointed, anchored on which chains, final. `id` is the
/// record's, or your own id of it.
#[utoipa::path(get, path = "/v1/audit/records/{id}", tag = "audit", params(("id" = String, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = RecordView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn record(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<String>,
) -> Result<Json<RecordView>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    let (log, id) = own(&app, &mut tx, &caller, &id).await?;
    view(&app, &mut tx, &log, id).await.map(Json).map_err(Problem::from)
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReceiptQuery {
    /// Which fields to disclose, separated by commas; all when absent.
    fields: Option<String>,
}

/// The record's receipt: one bundle that `roadstead-verify` checks offline.
#[utoipa::path(get, path = "/v1/audit/records/{id}/receipt", tag = "audit",
    params(("id" = String, Path), ReceiptQuery), security(("api_key" = [])),
    responses((status = 200, body = Object), (status = "default", body = ProblemDocument)))]
pub(crate) async fn receipt(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<String>,
    Args(query): Args<ReceiptQuery>,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let disclosure = match query.fields {
        None => Disclosure::All,
        Some(names) => Disclosure::Only(names.split(',').map(str::to_owned).collect()),
    };
    let mut tx = app.db.read().await?;
    let (log, id) = own(&app, &mut tx, &caller, &id).await?;
    let receipt = log.receipt(&mut tx, id, &disclosure).await?;
    Ok((file_name(&format!("{id}.receipt.json")), Json(receipt)).into_response())
}

/// The record's inclusion proof as a C2SP `.tlog-proof` file.
#[utoipa::path(get, path = "/v1/audit/records/{id}/tlog-proof", tag = "audit", params(("id" = String, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = String, content_type = "text/plain"),
              (status = "default", body = ProblemDocument)))]
pub(crate) async fn tlog_proof(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<String>,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    let (log, id) = own(&app, &mut tx, &caller, &id).await?;
    let proof = log.tlog_proof(&mut tx, id).await?;
    Ok((file_name(&format!("{id}.tlog-proof")), proof).into_response())
}

/// The OpenTimestamps proof of the first checkpoint on Bitcoin that covers the record. Which file it
/// stamps is in the header `Link`.
#[utoipa::path(get, path = "/v1/audit/records/{id}/ots", tag = "audit", params(("id" = String, Path)),
    security(("api_key" = [])),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
              (status = "default", body = ProblemDocument)))]
pub(crate) async fn ots(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<String>,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = app.db.read().await?;
    let (log, id) = own(&app, &mut tx, &caller, &id).await?;
    let checkpoint = log.status(&mut tx, id).await?.checkpoint;
    let found = match checkpoint {
        Some(size) => log.ots_from(&mut tx, size).await?,
        None => None,
    };
    let (size, ots) = found.ok_or_else(|| {
        Error::refuse(Code::NotAnchored, "no checkpoint that covers it is on Bitcoin yet")
    })?;
    let prefix = audit::prefix(&app, &log);
    let link = format!("<{prefix}/checkpoints/{size}.txt>; rel=\"describes\"");
    let headers =
        [(header::CONTENT_TYPE, "application/octet-stream".to_owned()), (header::LINK, link)];
    Ok((file_name(&format!("{size}.txt.ots")), headers, ots.proof).into_response())
}

/// The name under which a browser or `curl -OJ` saves the answer.
pub(crate) fn file_name(name: &str) -> [(header::HeaderName, String); 1] {
    [(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\""))]
}
