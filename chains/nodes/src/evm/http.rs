use std::net::IpAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use alloy_json_rpc::{RequestPacket, ResponsePacket};
use alloy_transport::{TransportError, TransportErrorKind, TransportFut};
use chain_core::NodeError;
use reqwest_ring::{Client, Response, Url};
use tower::Service;

/// The largest answer that is read: well above any block with its receipts.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// JSON-RPC over HTTP or HTTPS.
///
/// Not the transport that comes with alloy: its time-out and size limit are set here, and neither
/// its errors nor its log spans name the URL, which holds a key at most hosted nodes.
#[derive(Clone)]
pub(super) struct Http {
    client: Client,
    url: Url,
}

impl Http {
    pub(super) fn new(url: &str, timeout: Duration) -> Result<Self, NodeError> {
        let unusable = |what: &str| NodeError::Unreachable(format!("the node's URL {what}"));
        let url: Url = url.parse().map_err(|_| unusable("is not a URL"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(unusable("is not http or https"));
        }
        let mut client = Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout)
            .redirect(reqwest_ring::redirect::Policy::none());
        if is_loopback(&url) {
            // A proxy of the environment cannot reach a node of this machine.
            client = client.no_proxy();
        }
        let client = client.build().map_err(|_| unusable("cannot be used: no TLS"))?;
        Ok(Self { client, url })
    }

    async fn exchange(self, packet: RequestPacket) -> Result<ResponsePacket, TransportError> {
        let answer = self.client.post(self.url).json(&packet).send().await.map_err(no_answer)?;
        let status = answer.status();
        let body = body(answer).await?;
        // Some nodes send a proper JSON-RPC error with an HTTP error status.
        serde_json::from_slice(&body).map_err(|_| {
            if status.is_success() {
                TransportErrorKind::custom_str("the answer is not JSON-RPC")
            } else {
                TransportErrorKind::http_error(status.as_u16(), String::new())
            }
        })
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

async fn body(mut answer: Response) -> Result<Vec<u8>, TransportError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(no_answer)? {
        if body.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
            return Err(TransportErrorKind::custom_str("the answer is too long"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn no_answer(error: reqwest_ring::Error) -> TransportError {
    TransportErrorKind::custom_str(if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    })
}

impl Service<RequestPacket> for Http {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, packet: RequestPacket) -> Self::Future {
        Box::pin(self.clone().exchange(packet))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_all_its_names() {
        let is = |url: &str| url.parse().is_ok_and(|url| is_loopback(&url));
        for local in ["http://localhost:8545", "http://127.0.0.1", "http://[::1]:8545/x"] {
            assert!(is(local), "{local}");
        }
        for remote in ["https://localhost.example.com", "http://10.0.0.1", "https://[2001:db8::1]"]
        {
            assert!(!is(remote), "{remote}");
        }
    }
}
