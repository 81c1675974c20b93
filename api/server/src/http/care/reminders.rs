use api_care::{Decided, Sent};
use api_ledger::TenantId;
use api_loans::reminders::{Decision, Reason};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::early::NewestQuery;
use super::own;
use crate::app::App;
use crate::http::auth::{Caller, Scope};
use crate::http::extract::{Args, Params};
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::views::Page;

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SentView {
    /// `queued`, `sending`, `sent`, `delivered`, `undelivered`, `withdrawn`, `unknown` or `dead`.
    state: &'static str,
    channel: &'static str,
    /// How often it was tried.
    attempts: i64,
    /// When the other side took it over.
    sent_at: Option<String>,
    /// Why the last attempt failed, or why it was withdrawn.
    last_error: Option<String>,
}

impl From<Sent> for SentView {
    fn from(sent: Sent) -> Self {
        Self {
            state: sent.state.text(),
            channel: sent.channel.text(),
            attempts: sent.attempts,
            sent_at: sent.sent_at.map(|at| at.to_string()),
            last_error: sent.last_error,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DecisionView {
    id: Uuid,
    loan: Uuid,
    /// By the tenant's business date.
    decided_at: String,
    /// `send` or `suppress`.
    decision: &'static str,
    /// Why nothing is sent.
    reason: Option<&'static str>,
    /// When it is looked at again, if something else does not come first.
    retry_at: Option<String>,
    /// The template of what is sent.
    template: Option<String>,
    /// The rung of the ladder, by its days.
    rung_days: Option<i64>,
    /// Minor units that are due or will be.
    amount: Option<String>,
    due: Option<String>,
    /// What became of the message.
    message: Option<SentView>,
    /// Why it did not leave after all.
    withdrawn: Option<&'static str>,
    /// The audit record; `GET /v1/audit/records/{id}/receipt` proves the decision.
    record: Option<String>,
}

impl From<Decided> for DecisionView {
    fn from(decided: Decided) -> Self {
        let reminder = decided.reminder;
        let mut view = Self {
            id: reminder.id,
            loan: reminder.loan,
            decided_at: reminder.decided_at.to_string(),
            decision: "suppress",
            reason: None,
            retry_at: None,
            template: None,
            rung_days: None,
            amount: reminder.amount.map(|amount| amount.to_string()),
            due: reminder.due.map(|due| due.to_string()),
            message: decided.sent.map(Into::into),
            withdrawn: reminder.withdrawn.map(Reason::text),
            record: decided.record.map(|record| record.to_string()),
        };
        match reminder.decision {
            Decision::Send { template, rung_days, .. } => {
                view.decision = "send";
                view.template = Some(template);
                view.rung_days = Some(rung_days);
            }
            Decision::Suppress { reason, retry_at } => {
                view.reason = Some(reason.text());
                view.retry_at = retry_at.map(|at| at.to_string());
            }
        }
        view
    }
}

/// Every decision to remind a customer or not to, with its reason, the newest first.
#[utoipa::path(get, path = "/v1/customers/{id}/reminders", tag = "care",
    params(("id" = Uuid, Path), NewestQuery), security(("api_key" = [])),
    responses((status = 200, body = Page<DecisionView>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn decisions(
    State(app): State<App>,
    caller: Caller,
    Params(customer): Params<Uuid>,
    Args(query): Args<NewestQuery>,
) -> Result<Json<Page<DecisionView>>, Problem> {
    caller.require(Scope::Read)?;
    let limit = query.limit()?;
    let mut tx = app.db.read().await?;
    own(&mut tx, &caller, customer).await?;
    let tenant = TenantId::new(caller.tenant);
    let all = app.care.decisions(&mut tx, tenant, customer, query.after, limit).await?;
    let views = all.into_iter().map(Into::into).collect();
    Ok(Json(Page::new(views, limit, |view: &DecisionView| view.id.to_string())))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeadLetterView {
    id: Uuid,
    #[serde(flatten)]
    message: SentView,
}

/// The messages that were given up after the last attempt, the newest first.
#[utoipa::path(get, path = "/v1/reminder-dead-letters", tag = "care", params(NewestQuery),
    security(("api_key" = [])),
    responses((status = 200, body = Page<DeadLetterView>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn dead(
    State(app): State<App>,
    caller: Caller,
    Args(query): Args<NewestQuery>,
) -> Result<Json<Page<DeadLetterView>>, Problem> {
    caller.require(Scope::Read)?;
    let limit = query.limit()?;
    let mut tx = app.db.read().await?;
    let tenant = TenantId::new(caller.tenant);
    let all = app.care.dead_letters(&mut tx, tenant, query.after, limit).await?;
    let views = all.into_iter().map(|sent| DeadLetterView { id: sent.id, message: sent.into() });
    Ok(Json(Page::new(views.collect(), limit, |view: &DeadLetterView| view.id.to_string())))
}

/// Tries a dead letter again. It is looked at again before it leaves, as always.
#[utoipa::path(post, path = "/v1/reminder-dead-letters/{id}/retry", tag = "care",
    params(("id" = Uuid, Path)), security(("api_key" = [])),
    responses((status = 204, description = "Queued"), (status = "default", body = ProblemDocument)))]
pub(crate) async fn retry(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Loans)?;
    let mut tx = app.db.begin().await?;
    app.care.retry_dead(&mut tx, TenantId::new(caller.tenant), id).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
