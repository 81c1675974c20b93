//! A client of the HTTP API, as thin as curl.

use std::time::{Duration, Instant};

use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

use crate::error::{Error, Result};

/// A refusal of the API: an RFC 9457 problem document, or no answer at all (status 0).
#[derive(Clone, Debug, thiserror::Error)]
#[error("{status} {code}: {detail}")]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// The stable code.
    pub code: String,
    /// What is wrong.
    pub detail: String,
}

impl From<ApiError> for Error {
    fn from(error: ApiError) -> Self {
        Self::Refused(error.to_string())
    }
}

/// A caller of the API with one key.
#[derive(Clone, Debug)]
pub struct Api {
    client: Client,
    url: String,
    key: String,
}

impl Api {
    /// A caller of the server at `url`.
    ///
    /// # Errors
    /// [`Error::Refused`] when no HTTP client can be made.
    pub fn new(url: &str, key: &str) -> Result<Self> {
        let client = Client::builder().timeout(Duration::from_secs(40)).build();
        let client = client.map_err(|error| Error::Refused(error.to_string()))?;
        Ok(Self { client, url: url.to_owned(), key: key.to_owned() })
    }

    /// `GET`.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn get(&self, path: &str) -> std::result::Result<Value, ApiError> {
        self.call(Method::GET, path, None, None).await
    }

    /// `GET`, as text.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn get_text(&self, path: &str) -> std::result::Result<String, ApiError> {
        let request = self.client.get(format!("{}{path}", self.url)).bearer_auth(&self.key);
        let response = request.send().await.map_err(no_answer)?;
        let status = response.status();
        let text = response.text().await.map_err(no_answer)?;
        if status.is_success() { Ok(text) } else { Err(problem(status, &text)) }
    }

    /// `POST` without idempotency key.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn post(&self, path: &str, body: Value) -> std::result::Result<Value, ApiError> {
        self.call(Method::POST, path, Some(body), None).await
    }

    /// `POST` with an idempotency key.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn post_once(
        &self,
        path: &str,
        key: &str,
        body: Value,
    ) -> std::result::Result<Value, ApiError> {
        self.call(Method::POST, path, Some(body), Some(key)).await
    }

    /// `DELETE`.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn delete(&self, path: &str) -> std::result::Result<Value, ApiError> {
        self.call(Method::DELETE, path, None, None).await
    }

    /// Any request.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        idempotency_key: Option<&str>,
    ) -> std::result::Result<Value, ApiError> {
        let mut request =
            self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        let response = request.send().await.map_err(no_answer)?;
        let status = response.status();
        let text = response.text().await.map_err(no_answer)?;
        if status.is_success() {
            return Ok(serde_json::from_str(&text).unwrap_or(Value::Null));
        }
        Err(problem(status, &text))
    }

    /// Asks `path` again and again until `done` says so of the answer.
    ///
    /// # Errors
    /// [`Error::Refused`] with the last answer after `limit`.
    pub async fn wait_for(
        &self,
        path: &str,
        limit: Duration,
        done: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let end = Instant::now() + limit;
        loop {
            let answer = self.get(path).await;
            if let Ok(answer) = &answer
                && done(answer)
            {
                return Ok(answer.clone());
            }
            if Instant::now() > end {
                let last =
                    answer.map_or_else(|error| error.to_string(), |answer| answer.to_string());
                return Err(Error::Refused(format!(
                    "{path} is not as awaited after {limit:?}: {last}"
                )));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn no_answer(error: reqwest::Error) -> ApiError {
    ApiError { status: 0, code: "no_answer".into(), detail: error.to_string() }
}

fn problem(status: StatusCode, text: &str) -> ApiError {
    let document: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    let field = |name: &str| document[name].as_str().map(str::to_owned);
    ApiError {
        status: status.as_u16(),
        code: field("code").unwrap_or_else(|| "no_problem_document".into()),
        detail: field("detail").unwrap_or_else(|| text.to_owned()),
    }
}
