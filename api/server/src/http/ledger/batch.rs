use api_ledger::{Posted, Refusal, Transfer};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::wire::{ResultView, TransferIn};
use crate::app::App;
use crate::error::{Code, Error, Failure};
use crate::http::auth::{Caller, Scope};
use crate::http::extract::{BulkBytes, unreadable};
use crate::http::idempotency::{Key, ids_alone};
use crate::http::problem::{Problem, ProblemDocument};

/// Many transfers.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Batch {
    /// 1 to 8,190 transfers, each with its id. They apply in this order.
    transfers: Vec<TransferIn>,
    /// True: all of them or none. False or absent: each by itself.
    #[serde(default)]
    atomic: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchView {
    /// What became of each, in their order.
    results: Vec<ResultView>,
    /// How many were posted now.
    executed: usize,
    /// How many were posted before.
    already_applied: usize,
    /// How many were refused.
    refused: usize,
}

/// The same, of transfers that are read one by one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Loose<'a> {
    #[serde(borrow)]
    transfers: Vec<&'a RawValue>,
    #[serde(default)]
    atomic: bool,
}

/// The id of a transfer whose other fields cannot be read.
#[derive(Deserialize)]
struct Named {
    id: Option<Uuid>,
}

/// A batch as it came: each id with its transfer, or why that cannot be read.
struct Sent {
    transfers: Vec<(Uuid, Result<TransferIn, Failure>)>,
    atomic: bool,
}

impl Sent {
    /// Reads the whole at once, and only when that fails each transfer by itself, so that one that cannot be
    /// read is refused alone. All need an id, which names their result.
    fn parse(body: &[u8]) -> Result<Self, Error> {
        let error = match serde_json::from_slice::<Batch>(body) {
            Ok(Batch { transfers, atomic }) => {
                check_count(transfers.len())?;
                let named = |(index, transfer): (usize, TransferIn)| {
                    Ok((transfer.id().ok_or_else(|| no_id(index))?, Ok(transfer)))
                };
                let transfers = transfers.into_iter().enumerate().map(named);
                return Ok(Self { transfers: transfers.collect::<Result<_, Error>>()?, atomic });
            }
            Err(error) => error,
        };
        let loose = serde_json::from_slice::<Loose<'_>>(body);
        let Loose { transfers, atomic } = loose.map_err(|_| unreadable(&error))?;
        check_count(transfers.len())?;
        let transfers = transfers.into_iter().enumerate();
        let transfers = transfers.map(|(index, one)| read_one(index, one.get()));
        Ok(Self { transfers: transfers.collect::<Result<_, Error>>()?, atomic })
    }
}

fn check_count(transfers: usize) -> Result<(), Error> {
    match transfers {
        0 => Err(Error::refuse(Code::Unprocessable, "there are no transfers")),
        1..=api_ledger::TRANSFERS_MAX => Ok(()),
        _ => Err(Code::TooManyTransfers.into()),
    }
}

fn no_id(index: usize) -> Error {
    Error::refuse(Code::BadRequest, format!("transfers[{index}] has no id"))
}

fn read_one(index: usize, one: &str) -> Result<(Uuid, Result<TransferIn, Failure>), Error> {
    let error = match serde_json::from_str::<TransferIn>(one) {
        Ok(transfer) => return Ok((transfer.id().ok_or_else(|| no_id(index))?, Ok(transfer))),
        Err(error) => error,
    };
    let named = serde_json::from_str::<Named>(one);
    let named = named.map_err(|error| {
        Error::refuse(Code::BadRequest, format!("transfers[{index}]: {}", reason(&error)))
    })?;
    let detail = format!("transfers[{index}]: {}", reason(&error));
    let id = named.id.ok_or_else(|| no_id(index))?;
    Ok((id, Err(Failure::new(Code::Unprocessable, detail))))
}

/// Without the position, which would be within the transfer and not within the body.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(reason, _)| reason.to_owned())
}

/// A batch as the ledger takes it: each id with its transfer, or why it is none.
struct Items {
    ids: Vec<Uuid>,
    read: Vec<Result<Transfer, Failure>>,
    atomic: bool,
}

type Results = Vec<Result<Posted, Refusal>>;

impl Items {
    fn read(tenant: Uuid, sent: Sent) -> Self {
        let read = |(id, one): (Uuid, Result<TransferIn, Failure>)| {
            (id, one.and_then(|transfer| transfer.read(tenant, id)))
        };
        let (ids, read) = sent.transfers.into_iter().map(read).unzip();
        Self { ids, read, atomic: sent.atomic }
    }

    /// The transfers to be sent to the ledger: all that can be read; none of a group with one that
    /// cannot.
    fn transfers(&self) -> Vec<Transfer> {
        if self.atomic && self.read.iter().any(Result::is_err) {
            return Vec::new();
        }
        self.read.iter().filter_map(|read| read.as_ref().ok()).cloned().collect()
    }

    /// The answer, with the ledger's results for [`Items::transfers`].
    fn view(self, results: Results) -> BatchView {
        let mut results = results.into_iter();
        let unread = self.read.iter().zip(&self.ids).find(|(read, _)| read.is_err());
        let blamed = unread.filter(|_| self.atomic).map(|(_, id)| *id);
        let one = |(read, id): (Result<Transfer, Failure>, Uuid)| match (read, blamed) {
            (Err(failure), _) => ResultView::refused(id, failure),
            (Ok(_), Some(blamed)) => {
                let refusal = Refusal::GroupRefused(blamed.into());
                ResultView::refused(id, Failure::of_ledger(&refusal))
            }
            (Ok(_), None) => match results.next() {
                Some(Ok(posted)) => ResultView::posted(&posted),
                Some(Err(refusal)) => ResultView::refused(id, Failure::of_ledger(&refusal)),
                None => ResultView::refused(id, Code::Internal.into()),
            },
        };
        let results: Vec<ResultView> = self.read.into_iter().zip(self.ids).map(one).collect();
        let count = |status| results.iter().filter(|result| result.status == status).count();
        BatchView {
            executed: count("executed"),
            already_applied: count("already_applied"),
            refused: count("refused"),
            results,
        }
    }
}

/// Posts up to 8,190 transfers in one commit: each by itself with its own result, or all or nothing.
/// The answer is 200 also when some or all were refused, or could not be read: look at each. The transfers' ids make it safe to
/// send again; an `Idempotency-Key` beside them is refused.
#[utoipa::path(post, path = "/v1/ledger/transfers/batch", tag = "ledger", request_body = Batch,
    security(("api_key" = [])),
    responses((status = 200, body = BatchView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn post(
    State(app): State<App>,
    caller: Caller,
    key: Option<Key>,
    BulkBytes(body): BulkBytes,
) -> Result<Json<BatchView>, Problem> {
    caller.require(Scope::Ledger)?;
    ids_alone(key.as_ref())?;
    let items = Items::read(caller.tenant, Sent::parse(&body)?);
    let transfers = items.transfers();
    let results = match (transfers.is_empty(), items.atomic) {
        (true, _) => Vec::new(),
        (false, true) => app.group.post_group(transfers).await?,
        (false, false) => app.group.post_batch(transfers).await?,
    };
    Ok(Json(items.view(results)))
}

/// Says what posting the same body would answer now, by the same code, and writes nothing. `seq` is
/// only a position then.
#[utoipa::path(post, path = "/v1/ledger/transfers/dry-run", tag = "ledger", request_body = Batch,
    security(("api_key" = [])),
    responses((status = 200, body = BatchView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn dry_run(
    State(app): State<App>,
    caller: Caller,
    key: Option<Key>,
    BulkBytes(body): BulkBytes,
) -> Result<Json<BatchView>, Problem> {
    caller.require(Scope::Ledger)?;
    ids_alone(key.as_ref())?;
    let items = Items::read(caller.tenant, Sent::parse(&body)?);
    let transfers = items.transfers();
    let results = match (transfers.is_empty(), items.atomic) {
        (true, _) => Vec::new(),
        (false, true) => app.ledger.dry_run_group(&transfers).await?,
        (false, false) => app.ledger.dry_run(&transfers).await?,
    };
    Ok(Json(items.view(results)))
}
