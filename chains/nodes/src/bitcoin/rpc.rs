use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use chain_core::NodeError;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const CALL_LIMIT: Duration = Duration::from_secs(60);
/// A scan of all coins takes minutes on the main network.
const SCAN_LIMIT: Duration = Duration::from_secs(900);
/// A block in hex has at most 8 MB; a batch of transactions is kept under that.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// Bitcoin Core's `RPC_INVALID_PARAMETER`, for example a height past the tip.
pub(super) const INVALID_PARAMETER: i64 = -8;
/// `RPC_INVALID_ADDRESS_OR_KEY`: no such transaction or block.
pub(super) const NOT_FOUND: i64 = -5;
/// `RPC_IN_WARMUP`.
const WARMING_UP: i64 = -28;

/// How to log in to a node.
#[derive(Clone)]
pub enum BitcoinAuth {
    /// `rpcuser` and `rpcpassword` (or `rpcauth`).
    UserPassword {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// The node's `.cookie` file, read again for each call because a restart changes it.
    CookieFile(PathBuf),
}

impl fmt::Debug for BitcoinAuth {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UserPassword { user, .. } => {
                formatter.debug_struct("UserPassword").field("user", user).finish_non_exhaustive()
            }
            Self::CookieFile(path) => formatter.debug_tuple("CookieFile").field(path).finish(),
        }
    }
}

/// What came of a call.
#[derive(Debug, thiserror::Error)]
pub(super) enum RpcError {
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error("{method}: {message} ({code})")]
    Answer { method: String, code: i64, message: String },
}

impl From<RpcError> for NodeError {
    fn from(error: RpcError) -> Self {
        match error {
            RpcError::Node(error) => error,
            RpcError::Answer { code: WARMING_UP, message, .. } => {
                Self::Unreachable(format!("it is starting: {message}"))
            }
            answer @ RpcError::Answer { .. } => Self::Refused(answer.to_string()),
        }
    }
}

/// A JSON-RPC 2.0 client. Credentials appear in no error and no log.
#[derive(Debug)]
pub(super) struct Rpc {
    http: reqwest::Client,
    url: reqwest::Url,
    auth: BitcoinAuth,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    id: Value,
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
    pub(super) fn new(url: &str, auth: BitcoinAuth) -> Result<Self, NodeError> {
        let refuse = |what: &str| NodeError::Refused(format!("the node's URL: {what}"));
        let url: reqwest::Url =
            url.parse().map_err(|_| refuse("it is not of the form http://host:port"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("credentials belong in the settings beside it"));
        }
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_LIMIT)
            .build()
            .map_err(|error| refuse(&error.to_string()))?;
        Ok(Self { http, url, auth })
    }

    /// One call.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        params: Value,
    ) -> Result<T, RpcError> {
        self.call_within(CALL_LIMIT, method, params).await
    }

    /// One call that may take minutes.
    pub(super) async fn call_slow<T: DeserializeOwned>(
        &self,
        method: &str,
        params: Value,
    ) -> Result<T, RpcError> {
        self.call_within(SCAN_LIMIT, method, params).await
    }

    async fn call_within<T: DeserializeOwned>(
        &self,
        limit: Duration,
        method: &str,
        params: Value,
    ) -> Result<T, RpcError> {
        let answer: Answer = self.post(limit, method, &request(0, method, &params)).await?;
        read(method, answer)
    }

    /// The same method with many parameters in one request; the answers are in their order.
    pub(super) async fn batch<T: DeserializeOwned>(
        &self,
        method: &str,
        params: &[Value],
    ) -> Result<Vec<Result<T, RpcError>>, NodeError> {
        let requests: Vec<Value> =
            params.iter().zip(0..).map(|(params, id)| request(id, method, params)).collect();
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let mut answers: Vec<Answer> =
            self.post(CALL_LIMIT, method, &Value::from(requests)).await?;
        answers.sort_by_key(|answer| answer.id.as_u64());
        let ids = answers.iter().map(|answer| answer.id.as_u64());
        if !ids.eq((0..).take(params.len()).map(Some)) {
            return Err(NodeError::Malformed(format!("{method}: a batch lacks answers")));
        }
        Ok(answers.into_iter().map(|answer| read(method, answer)).collect())
    }

    async fn post<T: DeserializeOwned>(
        &self,
        limit: Duration,
        method: &str,
        body: &Value,
    ) -> Result<T, NodeError> {
        let (user, password) = self.credentials().await?;
        let unreachable =
            |error: reqwest::Error| NodeError::Unreachable(format!("{method}: {}", chain(&error)));
        let request = self.http.post(self.url.clone()).timeout(limit).json(body);
        let response =
            request.basic_auth(user, Some(password)).send().await.map_err(unreachable)?;
        let status = response.status();
        match status.as_u16() {
            401 | 403 => {
                return Err(NodeError::Refused("it does not accept the credentials".to_owned()));
            }
            503 => return Err(NodeError::Unreachable("its work queue is full".to_owned())),
            _ => {}
        }
        let bytes = self.read_all(response, method).await?;
        serde_json::from_slice(&bytes)
            .map_err(|error| NodeError::Malformed(format!("{method}: HTTP {status}: {error}")))
    }

    async fn read_all(
        &self,
        mut response: reqwest::Response,
        method: &str,
    ) -> Result<Vec<u8>, NodeError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| NodeError::Unreachable(format!("{method}: {}", chain(&error))))?
        {
            if bytes.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
                return Err(NodeError::Malformed(format!("{method}: the answer is too large")));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    async fn credentials(&self) -> Result<(String, String), NodeError> {
        match &self.auth {
            BitcoinAuth::UserPassword { user, password } => Ok((user.clone(), password.clone())),
            BitcoinAuth::CookieFile(path) => {
                let unreadable =
                    |what: &dyn fmt::Display| NodeError::Unreachable(format!("its cookie: {what}"));
                let text =
                    tokio::fs::read_to_string(path).await.map_err(|error| unreadable(&error))?;
                let (user, password) =
                    text.trim_end().split_once(':').ok_or_else(|| unreadable(&"no colon"))?;
                Ok((user.to_owned(), password.to_owned()))
            }
        }
    }
}

fn request(id: u64, method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

fn read<T: DeserializeOwned>(method: &str, answer: Answer) -> Result<T, RpcError> {
    if let Some(Failure { code, message }) = answer.error {
        return Err(RpcError::Answer { method: method.to_owned(), code, message });
    }
    serde_json::from_value(answer.result)
        .map_err(|error| NodeError::Malformed(format!("{method}: {error}")).into())
}

/// An error with its causes; the URL, which holds no credentials, is named once by the caller.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
