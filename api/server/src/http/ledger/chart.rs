use api_ledger::{AccountTotals, ChartNode};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::error::{Code, Error};
use crate::http::auth::{Caller, Scope};
use crate::http::extract::Args;
use crate::http::problem::{Problem, ProblemDocument};

const DEPTH_MAX: u32 = 20;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ChartQuery {
    /// The place to begin with; the whole chart when absent.
    #[serde(default)]
    under: String,
    /// How many levels below it, 0 to 20; 1 when absent.
    #[serde(default = "default_depth")]
    depth: u32,
}

const fn default_depth() -> u32 {
    1
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChartView {
    items: Vec<NodeView>,
}

/// A place in the chart, whether or not there is an account just there.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NodeView {
    code: String,
    parent: Option<String>,
    /// The sums over the accounts here and below, for each asset.
    totals: Vec<TotalsView>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TotalsView {
    asset: String,
    /// How many accounts.
    accounts: u64,
    debits_posted: String,
    credits_posted: String,
    debits_pending: String,
    credits_pending: String,
}

impl From<AccountTotals> for TotalsView {
    fn from(sum: AccountTotals) -> Self {
        Self {
            asset: sum.asset,
            accounts: sum.accounts,
            debits_posted: sum.totals.debits_posted.to_string(),
            credits_posted: sum.totals.credits_posted.to_string(),
            debits_pending: sum.totals.debits_pending.to_string(),
            credits_pending: sum.totals.credits_pending.to_string(),
        }
    }
}

impl From<ChartNode> for NodeView {
    fn from(node: ChartNode) -> Self {
        let totals = node.totals.into_iter().map(TotalsView::from).collect();
        Self { code: node.code, parent: node.parent, totals }
    }
}

/// Your chart of accounts as a tree: each place with the totals of itself and all that is below it.
#[utoipa::path(get, path = "/v1/ledger/chart", tag = "ledger", params(ChartQuery), security(("api_key" = [])),
    responses((status = 200, body = ChartView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn chart(
    State(app): State<App>,
    caller: Caller,
    Args(query): Args<ChartQuery>,
) -> Result<Json<ChartView>, Problem> {
    caller.require(Scope::Read)?;
    if query.depth > DEPTH_MAX {
        return Err(Error::refuse(Code::BadRequest, "depth must be between 0 and 20").into());
    }
    let mut tx = app.db.read().await?;
    let tenant = caller.tenant.into();
    let nodes = app.ledger.chart(&mut tx, tenant, &query.under, query.depth).await?;
    Ok(Json(ChartView { items: nodes.into_iter().map(NodeView::from).collect() }))
}
