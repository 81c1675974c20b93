use api_ledger::{Posted, Refusal, Transfer};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::wire::{ResultView, TransferIn};
use crate::app::App;
use crate::error::{Code, Error, Failure};
use crate::http::auth::{Caller, Scope};
use crate::http::extract::Bulk;
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

/// A batch as it was read: each id with its transfer, or why it is none.
struct Items {
    ids: Vec<Uuid>,
    read: Vec<Result<Transfer, Failure>>,
    atomic: bool,
}

type Results = Vec<Result<Posted, Refusal>>;

impl Items {
    fn read(tenant: Uuid, batch: Batch) -> Result<Self, Error> {
        if batch.transfers.is_empty() {
            return Err(Error::refuse(Code::Unprocessable, "there are no transfers"));
        }
        if batch.transfers.len() > api_ledger::TRANSFERS_MAX {
            return Err(Code::TooManyTransfers.into());
        }
        let mut ids = Vec::with_capacity(batch.transfers.len());
        for transfer in &batch.transfers {
            let id = transfer.id();
            ids.push(id.ok_or_else(|| Error::refuse(Code::Unprocessable, "a transfer has no id"))?);
        }
        let read = batch.transfers.into_iter().zip(&ids);
        let read = read.map(|(transfer, id)| transfer.read(tenant, *id)).collect();
        Ok(Self { ids, read, atomic: batch.atomic })
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
/// The answer is 200 also when some or all were refused: look at each. The transfers' ids make it safe to
/// send again; an `Idempotency-Key` beside them is refused.
#[utoipa::path(post, path = "/v1/ledger/transfers/batch", tag = "ledger", request_body = Batch,
    security(("api_key" = [])),
    responses((status = 200, body = BatchView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn post(
    State(app): State<App>,
    caller: Caller,
    key: Option<Key>,
    Bulk(batch): Bulk<Batch>,
) -> Result<Json<BatchView>, Problem> {
    caller.require(Scope::Ledger)?;
    ids_alone(key.as_ref())?;
    let items = Items::read(caller.tenant, batch)?;
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
    Bulk(batch): Bulk<Batch>,
) -> Result<Json<BatchView>, Problem> {
    caller.require(Scope::Ledger)?;
    ids_alone(key.as_ref())?;
    let items = Items::read(caller.tenant, batch)?;
    let transfers = items.transfers();
    let results = match (transfers.is_empty(), items.atomic) {
        (true, _) => Vec::new(),
        (false, true) => app.ledger.dry_run_group(&transfers).await?,
        (false, false) => app.ledger.dry_run(&transfers).await?,
    };
    Ok(Json(items.view(results)))
}
