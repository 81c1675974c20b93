use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::{Problem, ProblemDocument};
use crate::app::{App, fiat_decimals};
use crate::chains::Chain;
use crate::config::Finality;
use crate::error::{Code, Error};
use crate::repo::{blocks, facts};

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChainView {
    /// Its name in this API.
    name: String,
    /// CAIP-2 id.
    id: String,
    /// `finalized` or a number of confirmations.
    finality: String,
    /// The newest block that was scanned.
    scanned_height: Option<u64>,
    /// True once the node was reached.
    connected: bool,
    /// Why nothing is sent now, if so.
    halted: Option<String>,
}

/// Lists the chains. Public.
#[utoipa::path(get, path = "/v1/chains", tag = "status",
    responses((status = 200, body = Vec<ChainView>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn chains(State(app): State<App>) -> Result<Json<Vec<ChainView>>, Problem> {
    let mut tx = app.db.read().await?;
    let mut views = Vec::new();
    for chain in app.chains.iter() {
        let name = &chain.config.name;
        views.push(ChainView {
            name: name.clone(),
            id: chain.config.id.to_string(),
            finality: match chain.config.finality {
                Finality::Finalized => "finalized".to_owned(),
                Finality::Confirmations(depth) => depth.to_string(),
            },
            scanned_height: blocks::newest(&mut tx, name).await?.map(|block| block.height),
            connected: chain.is_connected(),
            halted: facts::halted(&mut tx, name).await?,
        });
    }
    Ok(Json(views))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AssetView {
    /// Its code in this API.
    code: String,
    /// CAIP-19 id of a chain asset; absent for fiat money.
    id: Option<String>,
    /// One unit is 10 to this power minor units.
    decimals: u8,
}

/// Lists the assets and currencies. Public.
#[utoipa::path(get, path = "/v1/assets", tag = "status",
    responses((status = 200, body = Vec<AssetView>), (status = "default", body = ProblemDocument)))]
pub(crate) async fn assets(State(app): State<App>) -> Json<Vec<AssetView>> {
    let chain = app.chains.assets().iter().map(|asset| AssetView {
        code: asset.code.clone(),
        id: Some(asset.id.to_string()),
        decimals: asset.decimals,
    });
    let fiat = app.config.fiat.currencies.iter().map(|code| AssetView {
        code: code.clone(),
        id: None,
        decimals: fiat_decimals(code),
    });
    Json(chain.chain(fiat).collect())
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// True when requests can be served.
    ready: bool,
    /// Each part: `ok`, or what is wrong with it.
    parts: BTreeMap<String, String>,
}

/// Is the process alive? Public.
#[utoipa::path(get, path = "/health/live", tag = "status", responses((status = 200, description = "Alive")))]
pub(crate) async fn live() -> StatusCode {
    StatusCode::OK
}

/// Do database, signer and nodes answer? Public; 503 when one does not.
#[utoipa::path(get, path = "/health/ready", tag = "status",
    responses((status = 200, body = Health), (status = 503, body = Health)))]
pub(crate) async fn ready(State(app): State<App>) -> (StatusCode, Json<Health>) {
    let mut parts = BTreeMap::new();
    let database = app.db.read().await.map(|_| ());
    parts.insert("database".to_owned(), word(database.map_err(|error| error.to_string())));
    if app.config.signer.is_some() {
        let signer = app.signer.hello().await.map(|_| ());
        parts.insert("signer".to_owned(), word(signer.map_err(|error| error.to_string())));
    }
    for chain in app.chains.iter() {
        let part = follows(&app, chain).await.map_err(|error| error.to_string());
        parts.insert(format!("chain:{}", chain.config.name), word(part));
    }
    let ready = parts.values().all(|word| word == "ok");
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Health { ready, parts }))
}

/// The node answers, and its blocks are being scanned.
async fn follows(app: &App, chain: &Chain) -> Result<(), Error> {
    chain_core::Node::tip(chain.node().await?).await?;
    let mut tx = app.db.read().await?;
    match blocks::newest(&mut tx, &chain.config.name).await? {
        Some(_) => Ok(()),
        None => Err(Error::refuse(Code::Unavailable, "nothing was scanned yet")),
    }
}

fn word(outcome: Result<(), String>) -> String {
    outcome.map_or_else(|error| error, |()| "ok".to_owned())
}
