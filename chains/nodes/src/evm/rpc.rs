use std::time::Duration;

use alloy_json_rpc::{RpcError, RpcRecv, RpcSend};
use alloy_primitives::{Address as RawAddress, Bytes};
use alloy_rpc_client::RpcClient;
use alloy_transport::{TransportError, TransportErrorKind};
use chain_core::{Address, BlockRef, NodeError};

use super::answers::BlockHeader;
use super::http::Http;

/// The longest part of a node's message that is kept.
const MESSAGE_CHARS_MAX: usize = 300;

/// The JSON-RPC code of a method that the node does not have.
const METHOD_NOT_FOUND: i64 = -32601;

/// Questions to one node.
pub(super) struct Rpc(RpcClient);

/// Why a question has no answer.
pub(super) enum CallError {
    /// The node answered with a JSON-RPC error.
    Answered { code: i64, message: String },
    /// It did not answer, or nothing that makes sense.
    Failed(NodeError),
}

impl CallError {
    /// True when the node lacks the method.
    pub(super) fn is_missing_method(&self) -> bool {
        matches!(self, Self::Answered { code: METHOD_NOT_FOUND, .. })
    }

    /// True when a call was run and reverted.
    pub(super) fn is_revert(&self) -> bool {
        match self {
            Self::Answered { code, message } => *code == 3 || message.contains("revert"),
            Self::Failed(_) => false,
        }
    }
}

impl From<CallError> for NodeError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Answered { code, message } => {
                Self::Refused(format!("{message} (code {code})"))
            }
            CallError::Failed(error) => error,
        }
    }
}

impl From<TransportError> for CallError {
    fn from(error: TransportError) -> Self {
        let failed = match error {
            RpcError::ErrorResp(payload) => {
                let message = payload.message.chars().take(MESSAGE_CHARS_MAX).collect();
                return Self::Answered { code: payload.code, message };
            }
            RpcError::Transport(TransportErrorKind::HttpError(error)) => {
                NodeError::Unreachable(format!("HTTP status {}", error.status))
            }
            RpcError::Transport(error) => NodeError::Unreachable(error.to_string()),
            RpcError::DeserError { err, .. } => NodeError::Malformed(err.to_string()),
            other => NodeError::Malformed(other.to_string()),
        };
        Self::Failed(failed)
    }
}

impl Rpc {
    pub(super) fn new(url: &str, timeout: Duration) -> Result<Self, NodeError> {
        Ok(Self(RpcClient::new(Http::new(url, timeout)?, false)))
    }

    /// Asks; any error is the node's.
    pub(super) async fn call<P: RpcSend, R: RpcRecv>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<R, NodeError> {
        Ok(self.ask(method, params).await?)
    }

    /// Asks; the node's own refusal is kept apart from no answer.
    pub(super) async fn ask<P: RpcSend, R: RpcRecv>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<R, CallError> {
        Ok(self.0.request(method, params).await?)
    }

    /// The reference of the block that a tag or number names.
    pub(super) async fn block_ref(&self, block: &str) -> Result<Option<BlockRef>, NodeError> {
        let header: Option<BlockHeader> = self.call("eth_getBlockByNumber", (block, false)).await?;
        Ok(header.map(|header| header.block_ref()))
    }

    /// The height that the chain calls final; `None` where the node knows no such thing.
    pub(super) async fn finalized(&self) -> Result<Option<u64>, NodeError> {
        let answer: Result<Option<BlockHeader>, CallError> =
            self.ask("eth_getBlockByNumber", ("finalized", false)).await;
        match answer {
            Ok(header) => Ok(header.map(|header| header.number.to())),
            Err(CallError::Answered { .. }) => Ok(None),
            Err(CallError::Failed(error)) => Err(error),
        }
    }

    pub(super) async fn has_code(&self, address: RawAddress) -> Result<bool, NodeError> {
        let code: Bytes = self.call("eth_getCode", (address, "latest")).await?;
        Ok(!code.is_empty())
    }
}

/// A number as JSON-RPC writes it.
pub(super) fn quantity(number: u64) -> String {
    format!("{number:#x}")
}

/// The 20 bytes of a checked address.
pub(super) fn raw_address(address: &Address) -> Result<RawAddress, NodeError> {
    let checked = chain_evm::check_address(address.chain(), &address.to_unchecked());
    let checked = checked.map_err(|error| NodeError::Malformed(error.to_string()))?;
    checked.as_str().parse().map_err(|_| NodeError::Malformed(format!("{address} is no address")))
}
