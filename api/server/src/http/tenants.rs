use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::auth::{Caller, Operator, Scope, new_key, split};
use super::extract::{Body, Params};
use super::missing;
use super::problem::{Problem, ProblemDocument};
use super::views::{check_text, time};
use crate::app::{App, now_ms};
use crate::error::{Code, Error};
use crate::repo::tenants;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTenant {
    /// Unique among the tenants.
    name: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantCreated {
    id: Uuid,
    name: String,
    /// A key with every scope. It is shown once and stored as a hash.
    api_key: String,
}

/// Creates a tenant and its first API key (operator).
#[utoipa::path(post, path = "/v1/tenants", tag = "tenants", request_body = NewTenant, security(("api_key" = [])),
    responses((status = 201, body = TenantCreated), (status = "default", body = ProblemDocument)))]
pub(crate) async fn create(
    State(app): State<App>,
    _: Operator,
    body: Body<NewTenant>,
) -> Result<(StatusCode, Json<TenantCreated>), Problem> {
    check_text("name", &body.value.name, 100)?;
    let id = Uuid::now_v7();
    let (key, api_key) = new_key(id, "first", &Scope::ALL, false, None);
    let mut tx = app.db.begin().await?;
    if !tenants::insert_tenant(&mut tx, id, &body.value.name, now_ms()).await? {
        return Err(Error::refuse(Code::AlreadyExists, "there is a tenant with this name").into());
    }
    tenants::insert_key(&mut tx, &key).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(TenantCreated { id, name: body.value.name, api_key })))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewKey {
    /// For you to tell keys apart.
    name: String,
    /// What it may do; at most what the calling key may.
    scopes: Vec<Scope>,
    /// Whether it belongs to a person: then each of its reads is a record of the audit log. A key made
    /// by such a key is one too.
    #[serde(default)]
    staff: bool,
    /// RFC 3339; never when absent.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<jiff::Timestamp>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyCreated {
    id: Uuid,
    /// The key. It is shown once and stored as a hash.
    api_key: String,
}

/// Makes an API key.
#[utoipa::path(post, path = "/v1/api-keys", tag = "tenants", request_body = NewKey, security(("api_key" = [])),
    responses((status = 201, body = KeyCreated), (status = "default", body = ProblemDocument)))]
pub(crate) async fn create_key(
    State(app): State<App>,
    caller: Caller,
    body: Body<NewKey>,
) -> Result<(StatusCode, Json<KeyCreated>), Problem> {
    caller.require(Scope::Keys)?;
    caller.require_all(&body.value.scopes)?;
    check_text("name", &body.value.name, 100)?;
    let expires_at = body.value.expires_at.map(jiff::Timestamp::as_millisecond);
    let staff = body.value.staff || caller.staff;
    let (key, api_key) =
        new_key(caller.tenant, &body.value.name, &body.value.scopes, staff, expires_at);
    let mut tx = app.db.begin().await?;
    tenants::insert_key(&mut tx, &key).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(KeyCreated { id: key.id, api_key })))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyView {
    id: Uuid,
    name: String,
    scopes: Vec<Scope>,
    /// Whether it belongs to a person, whose reads are logged.
    staff: bool,
    created_at: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
}

/// Lists the tenant's API keys, without their secrets.
#[utoipa::path(get, path = "/v1/api-keys", tag = "tenants", security(("api_key" = [])),
    responses((status = 200, body = Vec<KeyView>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn list_keys(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<Vec<KeyView>>, Problem> {
    caller.require(Scope::Keys)?;
    let mut tx = app.db.read().await?;
    let keys = tenants::keys(&mut tx, caller.tenant).await?;
    let views = keys.into_iter().map(|key| KeyView {
        id: key.id,
        name: key.name,
        scopes: split(&key.scopes),
        staff: key.staff,
        created_at: time(key.created_at),
        expires_at: key.expires_at.map(time),
        revoked_at: key.revoked_at.map(time),
    });
    Ok(Json(views.collect()))
}

/// Revokes an API key: the next request with it is refused.
#[utoipa::path(delete, path = "/v1/api-keys/{id}", tag = "tenants", params(("id" = Uuid, Path)),
    security(("api_key" = [])),
    responses((status = 204, description = "Revoked"), (status = "default", body = ProblemDocument)))]
pub(crate) async fn revoke_key(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<Uuid>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Keys)?;
    let mut tx = app.db.begin().await?;
    if !tenants::revoke_key(&mut tx, caller.tenant, id, now_ms()).await? {
        return Err(missing("live API key").into());
    }
    tx.commit().await?;
    app.keys.forget(id);
    Ok(StatusCode::NO_CONTENT)
}
