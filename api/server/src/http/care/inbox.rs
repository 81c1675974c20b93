use api_care::Letter;
use api_ledger::TenantId;
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
pub(crate) struct LetterView {
    id: Uuid,
    /// `reminder` or `offer`.
    kind: String,
    /// The loan that it is about.
    loan: Option<Uuid>,
    subject: String,
    body: String,
    created_at: String,
    /// When it was first read.
    read_at: Option<String>,
}

impl From<Letter> for LetterView {
    fn from(letter: Letter) -> Self {
        Self {
            id: letter.id,
            kind: letter.kind,
            loan: letter.loan,
            subject: letter.subject,
            body: letter.body,
            created_at: letter.created_at.to_string(),
            read_at: letter.read_at.map(|at| at.to_string()),
        }
    }
}

/// What a customer finds in the wallet, the newest first.
#[utoipa::path(get, path = "/v1/customers/{id}/inbox", tag = "care",
    params(("id" = Uuid, Path), NewestQuery), security(("api_key" = [])),
    responses((status = 200, body = Page<LetterView>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(customer): Params<Uuid>,
    Args(query): Args<NewestQuery>,
) -> Result<Json<Page<LetterView>>, Problem> {
    caller.require(Scope::Read)?;
    let limit = query.limit()?;
    let mut tx = app.db.read().await?;
    own(&mut tx, &caller, customer).await?;
    let tenant = TenantId::new(caller.tenant);
    let found = app.care.inbox(&mut tx, tenant, customer, query.after, limit).await?;
    let views = found.into_iter().map(Into::into).collect();
    Ok(Json(Page::new(views, limit, |letter: &LetterView| letter.id.to_string())))
}

/// Marks a letter as read; the first time counts.
#[utoipa::path(post, path = "/v1/customers/{id}/inbox/{letter}/read", tag = "care",
    params(("id" = Uuid, Path), ("letter" = Uuid, Path)), security(("api_key" = [])),
    responses((status = 204, description = "Read"), (status = "default", body = ProblemDocument)))]
pub(crate) async fn mark_read(
    State(app): State<App>,
    caller: Caller,
    Params((customer, letter)): Params<(Uuid, Uuid)>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Customers)?;
    let mut tx = app.db.begin().await?;
    own(&mut tx, &caller, customer).await?;
    app.care.mark_read(&mut tx, TenantId::new(caller.tenant), customer, letter).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
