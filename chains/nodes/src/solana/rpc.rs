use std::time::Duration;

use chain_core::NodeError;
use reqwest_ring::{Client, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The largest answer that is read; a full block of the main network stays under it.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// How much of a node's words is kept in an error.
const REASON_CHARS_MAX: usize = 300;

/// JSON-RPC over HTTP with a time limit on every call.
#[derive(Clone)]
pub(super) struct Rpc {
    client: Client,
    url: Url,
}

impl std::fmt::Debug for Rpc {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Rpc")
    }
}

/// Why a call gave no result.
#[derive(Debug)]
pub(super) enum RpcError {
    /// There is no answer that makes sense.
    Node(NodeError),
    /// The node answered with an error.
    Refused(Refusal),
}

/// An error that the node answered.
#[derive(Debug, Deserialize)]
pub(super) struct Refusal {
    /// JSON-RPC's code.
    pub(super) code: i64,
    message: String,
    #[serde(default)]
    data: Value,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    result: Value,
    error: Option<Refusal>,
}

impl Rpc {
    pub(super) fn new(url: &str, limit: Duration) -> Result<Self, NodeError> {
        let unusable = |what: &str| NodeError::Unreachable(format!("the node's URL {what}"));
        let url: Url = url.parse().map_err(|_| unusable("is not a URL"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(unusable("is not http or https"));
        }
        let client = Client::builder()
            .timeout(limit)
            .connect_timeout(limit)
            .redirect(reqwest_ring::redirect::Policy::none())
            .build()
            .map_err(|_| unusable("cannot be used: no TLS"))?;
        Ok(Self { client, url })
    }

    /// Calls `method`; `null` is a result too, where `T` allows it.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        params: Value,
    ) -> Result<T, RpcError> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let (status, bytes) = self.post(&body).await.map_err(RpcError::Node)?;
        let malformed = |error: serde_json::Error| {
            RpcError::Node(NodeError::Malformed(format!("{method}: {error}")))
        };
        // A proper answer may come with an HTTP error status; a proxy's page is no answer.
        let answer: Answer = match serde_json::from_slice(&bytes) {
            Err(_) if !status.is_success() => {
                let reason = format!("HTTP status {}", status.as_u16());
                return Err(RpcError::Node(NodeError::Unreachable(reason)));
            }
            answer => answer.map_err(malformed)?,
        };
        match answer.error {
            Some(refusal) => Err(RpcError::Refused(refusal)),
            None => serde_json::from_value(answer.result).map_err(malformed),
        }
    }

    /// Status and body of the answer. Errors name neither the URL, which holds a key at most hosted
    /// nodes, nor what the node wrote.
    async fn post(&self, body: &Value) -> Result<(StatusCode, Vec<u8>), NodeError> {
        let mut answer =
            self.client.post(self.url.clone()).json(body).send().await.map_err(no_answer)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(no_answer)? {
            if bytes.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
                return Err(NodeError::Malformed("the answer is too long".to_owned()));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok((answer.status(), bytes))
    }
}

fn no_answer(error: reqwest_ring::Error) -> NodeError {
    NodeError::Unreachable(if error.is_timeout() {
        "no answer in time".to_owned()
    } else if error.is_connect() {
        "no connection".to_owned()
    } else {
        "the connection broke".to_owned()
    })
}

impl Refusal {
    /// The transaction error of a failed preflight, where there is one.
    pub(super) fn transaction_error(&self) -> &Value {
        &self.data["err"]
    }

    /// True when the node has processed the same transaction before. Agave says so in the data,
    /// other nodes in words only.
    pub(super) fn is_already_processed(&self) -> bool {
        self.transaction_error() == "AlreadyProcessed"
            || self.message.contains("already been processed")
    }

    /// In the node's words.
    pub(super) fn reason(&self) -> String {
        let Self { code, message, .. } = self;
        let error = match self.transaction_error() {
            Value::Null => String::new(),
            error => format!(" {error}"),
        };
        format!("{code}{error}: {message}").chars().take(REASON_CHARS_MAX).collect()
    }
}

impl From<RpcError> for NodeError {
    fn from(error: RpcError) -> Self {
        match error {
            RpcError::Node(error) => error,
            RpcError::Refused(refusal) => Self::Refused(refusal.reason()),
        }
    }
}
