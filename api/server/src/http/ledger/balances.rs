use api_ledger::{AccountId, AsOf, Balance, LedgerError, Line, Statement, StatementPage};
use api_store::Tx;
use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::accounts::SideView;
use super::found;
use super::transfers::check_limit;
use super::wire::{AccountNumber, read_day};
use crate::app::App;
use crate::error::{Code, Error};
use crate::http::auth::{Caller, Scope};
use crate::http::extract::{Args, Params};
use crate::http::problem::{Problem, ProblemDocument};

/// The totals of an account, in minor units, and what follows from them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BalanceView {
    /// What was posted; positive on the account's normal side.
    posted: String,
    debits_posted: String,
    credits_posted: String,
    /// What open pending transfers would bring; it does not count as available. Absent, like all that is
    /// about pending transfers, for any other time than now: reservations of the past are not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_in: Option<String>,
    /// What open pending transfers hold back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_out: Option<String>,
    /// Posted minus pending out.
    #[serde(skip_serializing_if = "Option::is_none")]
    available: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    debits_pending: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credits_pending: Option<String>,
}

impl BalanceView {
    /// What is posted and reserved now.
    pub(super) fn now(balance: &Balance) -> Self {
        Self {
            pending_in: Some(balance.pending_in().to_string()),
            pending_out: Some(balance.pending_out().to_string()),
            available: Some(balance.available().to_string()),
            debits_pending: Some(balance.totals.debits_pending.to_string()),
            credits_pending: Some(balance.totals.credits_pending.to_string()),
            ..Self::posted(balance)
        }
    }

    /// What was posted at another time.
    fn posted(balance: &Balance) -> Self {
        Self {
            posted: balance.posted().to_string(),
            debits_posted: balance.totals.debits_posted.to_string(),
            credits_posted: balance.totals.credits_posted.to_string(),
            pending_in: None,
            pending_out: None,
            available: None,
            debits_pending: None,
            credits_pending: None,
        }
    }
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct BalanceQuery {
    /// What counts for the days up to this one, `YYYY-MM-DD`.
    effective_on: Option<String>,
    /// What the books said at this time, RFC 3339. Together with `effective_on`: what counted for that
    /// day by what was known at this time.
    #[param(value_type = Option<String>)]
    recorded_at: Option<Timestamp>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BalanceAsOf {
    account: String,
    asset: String,
    /// One unit of the asset is 10 to this power minor units; absent when the server no longer knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    decimals: Option<u8>,
    effective_on: Option<String>,
    recorded_at: Option<String>,
    #[serde(flatten)]
    balance: BalanceView,
}

/// The balance of an account: now, as of a day, as of what was known at a time, or both. Of another
/// time than now it is what was posted alone: reservations of the past are not kept, so what was pending and
/// available then is absent.
#[utoipa::path(get, path = "/v1/ledger/accounts/{id}/balance", tag = "ledger",
    params(("id" = String, Path), BalanceQuery), security(("api_key" = [])),
    responses((status = 200, body = BalanceAsOf), (status = "default", body = ProblemDocument)))]
pub(crate) async fn balance(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<AccountNumber>,
    Args(query): Args<BalanceQuery>,
) -> Result<Json<BalanceAsOf>, Problem> {
    caller.require(Scope::Read)?;
    let day = query.effective_on.as_deref().map(read_day).transpose().map_err(Error::from)?;
    let as_of = match (day, query.recorded_at) {
        (None, None) => AsOf::Now,
        (None, Some(time)) => AsOf::Recorded(time),
        (Some(day), None) => AsOf::Effective(day),
        (Some(effective), Some(recorded)) => AsOf::Bitemporal { effective, recorded },
    };
    let mut tx = app.db.read().await?;
    let (account, _) = found(&app, &mut tx, &caller, id).await?;
    let balance = app.ledger.balance(&mut tx, account.id, as_of).await?;
    Ok(Json(BalanceAsOf {
        account: account.id.to_string(),
        decimals: app.decimals(&account.asset),
        asset: account.asset,
        effective_on: day.map(|day| day.to_string()),
        recorded_at: query.recorded_at.map(|time| time.to_string()),
        balance: match as_of {
            AsOf::Now => BalanceView::now(&balance),
            _ => BalanceView::posted(&balance),
        },
    }))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LedgerStatementQuery {
    /// The `next` of the page before.
    after: Option<i64>,
    /// To begin with what was recorded after this time, RFC 3339. Not with `after`, but for `order=desc`.
    #[param(value_type = Option<String>)]
    from: Option<Timestamp>,
    /// To end with what was recorded at this time or before it, RFC 3339. Send it with every page.
    #[param(value_type = Option<String>)]
    to: Option<Timestamp>,
    /// `asc`, the oldest first, when absent; `desc` for the newest first. With `desc` a page begins at
    /// `to`, `from` is to be sent with every page, and `to` not with `after`.
    #[serde(default)]
    #[param(inline)]
    order: Order,
    /// At most this many lines, 1 to 500; 100 when absent.
    #[serde(default = "super::transfers::default_limit")]
    limit: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    #[default]
    Asc,
    Desc,
}

impl Order {
    /// A page of an account's history, after `cursor` or from the beginning of this order.
    pub(crate) async fn page(
        self,
        app: &App,
        tx: &mut Tx,
        id: AccountId,
        cursor: Option<i64>,
        limit: u32,
    ) -> Result<Statement, LedgerError> {
        match self {
            Self::Asc => {
                let page = StatementPage { after: cursor.unwrap_or_default(), limit };
                app.ledger.statement(tx, id, page).await
            }
            Self::Desc => {
                app.ledger.statement_before(tx, id, cursor.unwrap_or(i64::MAX), limit).await
            }
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LedgerStatement {
    account: String,
    asset: String,
    /// One unit of the asset is 10 to this power minor units; absent when the server no longer knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    decimals: Option<u8>,
    /// The posted balance before the oldest line.
    opening: String,
    lines: Vec<LedgerLine>,
    /// The posted balance after the newest line: opening and changes together.
    closing: String,
    /// Give this as `after` for the next page; absent at the end.
    next: Option<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LedgerLine {
    /// Its place in the account's history.
    seq: i64,
    transfer: Uuid,
    /// Which leg of the transfer, from 0.
    leg: u32,
    /// `transfer`, `post_pending` or `reversal`.
    kind: &'static str,
    side: SideView,
    /// Minor units; negative when it took from the balance.
    change: String,
    /// The posted balance after it.
    balance: String,
    /// The account on the other side.
    other: String,
    /// The pending transfer that was posted, or the transfer that was reversed.
    target: Option<Uuid>,
    code: String,
    reference: String,
    effective_on: String,
    recorded_at: String,
}

impl From<Line> for LedgerLine {
    fn from(line: Line) -> Self {
        let sign = if line.side == line.balance.side { "" } else { "-" };
        Self {
            seq: line.seq,
            transfer: line.transfer.get(),
            leg: line.leg,
            kind: line.kind.name(),
            side: line.side.into(),
            change: if line.amount == 0 {
                "0".to_owned()
            } else {
                format!("{sign}{}", line.amount)
            },
            balance: line.balance.posted().to_string(),
            other: line.other.to_string(),
            target: line.target.map(api_ledger::TransferId::get),
            code: line.code,
            reference: line.reference,
            effective_on: line.effective_on.to_string(),
            recorded_at: line.recorded_at.to_string(),
        }
    }
}

/// A part of an account's history: opening balance, movements, closing balance. Later movements are
/// only ever added at the newer end, and a page is found by a place in the history, so pages do not shift.
#[utoipa::path(get, path = "/v1/ledger/accounts/{id}/statement", tag = "ledger",
    params(("id" = String, Path), LedgerStatementQuery), security(("api_key" = [])),
    responses((status = 200, body = LedgerStatement), (status = "default", body = ProblemDocument)))]
pub(crate) async fn statement(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<AccountNumber>,
    Args(query): Args<LedgerStatementQuery>,
) -> Result<Json<LedgerStatement>, Problem> {
    caller.require(Scope::Read)?;
    let limit = check_limit(query.limit)?;
    let (first, first_name) = match query.order {
        Order::Asc => (query.from, "from"),
        Order::Desc => (query.to, "to"),
    };
    if query.after.is_some() && first.is_some() {
        let detail = format!("{first_name} is for the first page; then give after");
        return Err(Error::refuse(Code::BadRequest, detail).into());
    }
    let mut tx = app.db.read().await?;
    let (account, _) = found(&app, &mut tx, &caller, id).await?;
    let cursor = match first {
        Some(time) => Some(app.ledger.statement_cursor(&mut tx, account.id, time).await?),
        None => query.after.map(|after| after.max(0)),
    };
    // What is at the time's cursor belongs to the page when the newest come first; what is at `after` does not.
    let at_end = i64::from(first.is_some() && query.order == Order::Desc);
    let cursor = cursor.map(|cursor| cursor.saturating_add(at_end));
    let mut statement = query.order.page(&app, &mut tx, account.id, cursor, limit).await?;
    end_at(&mut statement, &query);
    Ok(Json(LedgerStatement {
        account: account.id.to_string(),
        decimals: app.decimals(&account.asset),
        asset: account.asset,
        opening: statement.opening.posted().to_string(),
        closing: statement.closing.posted().to_string(),
        next: statement.next,
        lines: statement.lines.into_iter().map(LedgerLine::from).collect(),
    }))
}

/// Leaves out what is on the other side of the time at which the statement ends.
fn end_at(statement: &mut Statement, query: &LedgerStatementQuery) {
    let is_within = |line: &Line| match query.order {
        Order::Asc => query.to.is_none_or(|to| line.recorded_at <= to),
        Order::Desc => query.from.is_none_or(|from| line.recorded_at > from),
    };
    let kept = statement.lines.iter().take_while(|line| is_within(line)).count();
    let Some(left_out) = statement.lines.get(kept).map(|line| line.balance) else { return };
    statement.lines.truncate(kept);
    statement.next = None;
    match query.order {
        Order::Asc => {
            let last = statement.lines.last();
            statement.closing = last.map_or(statement.opening, |line| line.balance);
        }
        Order::Desc => {
            statement.opening = left_out;
            let first = statement.lines.first();
            statement.closing = first.map_or(left_out, |line| line.balance);
        }
    }
}
