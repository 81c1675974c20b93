use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::{Error, Result};

/// A JSON-RPC client over HTTP, for what the handles do not offer.
#[derive(Clone, Debug)]
pub struct Rpc {
    client: reqwest::Client,
    url: String,
    login: Option<(String, String)>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    result: Value,
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    code: i64,
    message: String,
}

impl Rpc {
    /// A client for `url`; a user and password in it are sent as basic authentication.
    ///
    /// # Errors
    /// [`Error::Refused`] when the text is no URL.
    pub fn new(url: &str) -> Result<Self> {
        let unusable = |reason: String| Error::Refused(format!("{url} is not usable: {reason}"));
        let mut parsed = reqwest::Url::parse(url).map_err(|error| unusable(error.to_string()))?;
        let login = (!parsed.username().is_empty()).then(|| {
            (parsed.username().to_owned(), parsed.password().unwrap_or_default().to_owned())
        });
        if login.is_some() {
            parsed.set_username("").map_err(|()| unusable("user name".into()))?;
            parsed.set_password(None).map_err(|()| unusable("password".into()))?;
        }
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(60))
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        Ok(Self { client, url: parsed.into(), login })
    }

    /// Calls `method` and reads the result as `T`.
    ///
    /// # Errors
    /// [`Error::Transport`] without an answer, [`Error::Rpc`] with the node's refusal.
    pub async fn call<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T> {
        let transport = |reason: String| Error::Transport {
            method: method.to_owned(),
            url: self.url.clone(),
            reason,
        };
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let mut request = self.client.post(&self.url).json(&body);
        if let Some((user, password)) = &self.login {
            request = request.basic_auth(user, Some(password));
        }
        // Bitcoin Core answers errors with HTTP status 500 and a JSON body.
        let response = request.send().await.map_err(|error| transport(error.to_string()))?;
        let status = response.status();
        let answer: Answer = response
            .json()
            .await
            .map_err(|error| transport(format!("HTTP {status}, no JSON-RPC answer: {error}")))?;
        if let Some(Failure { code, message }) = answer.error {
            return Err(Error::Rpc { method: method.to_owned(), code, message });
        }
        serde_json::from_value(answer.result).map_err(|error| transport(error.to_string()))
    }
}
