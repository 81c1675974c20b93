#![doc = include_str!("../README.md")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use chain_core::Address;
use signer_protocol::{
    AddressRequest, CancelRequest, Cancelled, CheckpointRequest, CheckpointSigned, FreezeRequest,
    Hello, HelloAnswer, JournalHead, Request, Response, SignRequest, Signed, Signer, SignerError,
    VERSION, decode, encode, frame_bytes,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

/// How long one request may take, hello included, unless [`SignerClient::with_timeout`] says else.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A connection to the signer, made when it is first needed and again after a failure. Requests from
/// many tasks wait for each other: the signer answers one at a time anyway.
#[derive(Debug)]
pub struct SignerClient {
    socket: PathBuf,
    signer_uid: u32,
    timeout: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    stream: Option<UnixStream>,
    hello: Option<HelloAnswer>,
    seen: Option<JournalHead>,
}

impl SignerClient {
    /// A client of the signer at `socket`, whose process must be of this process's user.
    /// `journal_seen` is the head that [`SignerClient::last_head`] gave in an earlier life: with it, a
    /// signer that runs on an older copy of its journal refuses to sign.
    #[must_use]
    pub fn new(socket: &Path, journal_seen: Option<JournalHead>) -> Self {
        let state = State { stream: None, hello: None, seen: journal_seen };
        Self {
            socket: socket.to_owned(),
            signer_uid: rustix::process::geteuid().as_raw(),
            timeout: TIMEOUT,
            state: Mutex::new(state),
        }
    }

    /// Expects the signer to run as this user instead.
    #[must_use]
    pub const fn with_signer_uid(mut self, uid: u32) -> Self {
        self.signer_uid = uid;
        self
    }

    /// Waits this long for an answer instead of 15 seconds.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What the signer says of itself: its networks, its journal's head, its log's keys. Asks anew.
    ///
    /// # Errors
    /// [`SignerError`].
    pub async fn hello(&self) -> Result<HelloAnswer, SignerError> {
        let mut state = self.state.lock().await;
        state.stream = None;
        self.within(self.connect(&mut state)).await?;
        state.hello.clone().ok_or_else(|| SignerError::Malformed("no hello".to_owned()))
    }

    /// The newest journal head that was seen; keep it, and give it to [`SignerClient::new`] after a
    /// restart.
    pub async fn last_head(&self) -> Option<JournalHead> {
        self.state.lock().await.seen.clone()
    }

    /// Everything that is frozen.
    ///
    /// # Errors
    /// [`SignerError`].
    pub async fn frozen(&self) -> Result<Vec<FreezeRequest>, SignerError> {
        freezes(self.ask(&Request::Frozen).await?)
    }

    /// Sends a request, at most twice: a signer that was restarted since the last request closes the
    /// old connection, and every request may be repeated.
    async fn ask(&self, request: &Request) -> Result<Response, SignerError> {
        let mut state = self.state.lock().await;
        let reused = state.stream.is_some();
        let first = self.within(self.exchange(&mut state, request)).await;
        let answer = match first {
            Err(SignerError::Unreachable(reason)) if reused => {
                tracing::debug!(reason, "connecting to the signer again");
                self.within(self.exchange(&mut state, request)).await
            }
            first => first,
        };
        // After any failure the next answer on this connection might be of this request.
        if answer.is_err() {
            state.stream = None;
        }
        match answer? {
            Response::Refused(refusal) => Err(refusal.into()),
            response => {
                state.keep_head(&response);
                Ok(response)
            }
        }
    }

    async fn exchange(
        &self,
        state: &mut State,
        request: &Request,
    ) -> Result<Response, SignerError> {
        let mut stream = match state.stream.take() {
            Some(stream) => stream,
            None => {
                self.connect(state).await?;
                state.stream.take().ok_or_else(|| unreachable("no connection"))?
            }
        };
        let response = round_trip(&mut stream, request).await?;
        state.stream = Some(stream);
        Ok(response)
    }

    async fn connect(&self, state: &mut State) -> Result<(), SignerError> {
        let mut stream = UnixStream::connect(&self.socket).await.map_err(unreachable)?;
        let peer = stream.peer_cred().map_err(unreachable)?.uid();
        if peer != self.signer_uid {
            return Err(SignerError::Malformed(format!(
                "the process at {} is of user {peer}, not {}",
                self.socket.display(),
                self.signer_uid
            )));
        }
        let hello = Hello { version: VERSION, journal_seen: state.seen.clone() };
        match round_trip(&mut stream, &Request::Hello(hello)).await? {
            Response::Hello(answer) if answer.version == VERSION => {
                state.advance(&answer.journal);
                state.hello = Some(answer);
                state.stream = Some(stream);
                Ok(())
            }
            Response::Refused(refusal) => Err(refusal.into()),
            other => Err(SignerError::Malformed(format!("{other:?} to a hello"))),
        }
    }

    async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, SignerError>>,
    ) -> Result<T, SignerError> {
        match tokio::time::timeout(self.timeout, work).await {
            Ok(result) => result,
            Err(_) => Err(unreachable("no answer in time")),
        }
    }
}

impl State {
    fn keep_head(&mut self, response: &Response) {
        match response {
            Response::Signed(signed) => self.advance(&signed.journal),
            Response::Checkpoint(signed) => self.advance(&signed.journal),
            Response::Cancelled(cancelled) => self.advance(&cancelled.journal),
            Response::Hello(_)
            | Response::Address(_)
            | Response::Frozen { .. }
            | Response::Refused(_) => {}
        }
    }

    /// A head counts only if it is newer: an older one is what the signer must be told of.
    fn advance(&mut self, head: &JournalHead) {
        if self.seen.as_ref().is_none_or(|seen| seen.records < head.records) {
            self.seen = Some(head.clone());
        }
    }
}

async fn round_trip(stream: &mut UnixStream, request: &Request) -> Result<Response, SignerError> {
    let malformed = |error: signer_protocol::FrameError| SignerError::Malformed(error.to_string());
    let frame = encode(request).map_err(malformed)?;
    stream.write_all(&frame).await.map_err(unreachable)?;
    let mut header = [0; 4];
    stream.read_exact(&mut header).await.map_err(unreachable)?;
    let mut body = vec![0; frame_bytes(header).map_err(malformed)?];
    stream.read_exact(&mut body).await.map_err(unreachable)?;
    decode(&body).map_err(malformed)
}

fn unreachable(error: impl std::fmt::Display) -> SignerError {
    SignerError::Unreachable(error.to_string())
}

fn freezes(response: Response) -> Result<Vec<FreezeRequest>, SignerError> {
    match response {
        Response::Frozen { freezes } => Ok(freezes),
        other => Err(odd(&other)),
    }
}

fn odd(response: &Response) -> SignerError {
    SignerError::Malformed(format!("an answer to something else: {response:?}"))
}

impl Signer for SignerClient {
    async fn address(&self, request: &AddressRequest) -> Result<Address, SignerError> {
        match self.ask(&Request::Address(request.clone())).await? {
            Response::Address(keyed)
                if keyed.key == request.key && *keyed.address.chain() == request.chain =>
            {
                Ok(keyed.address)
            }
            other => Err(odd(&other)),
        }
    }

    async fn sign(&self, request: &SignRequest) -> Result<Signed, SignerError> {
        match self.ask(&Request::Sign(Box::new(request.clone()))).await? {
            Response::Signed(signed)
                if signed.signatures.len() == request.unsigned.signers.len() =>
            {
                Ok(signed)
            }
            other => Err(odd(&other)),
        }
    }

    async fn checkpoint(
        &self,
        request: &CheckpointRequest,
    ) -> Result<CheckpointSigned, SignerError> {
        match self.ask(&Request::Checkpoint(request.clone())).await? {
            Response::Checkpoint(signed) => Ok(signed),
            other => Err(odd(&other)),
        }
    }

    async fn cancel(&self, request: &CancelRequest) -> Result<Cancelled, SignerError> {
        match self.ask(&Request::Cancel(request.clone())).await? {
            Response::Cancelled(cancelled) => Ok(cancelled),
            other => Err(odd(&other)),
        }
    }

    async fn freeze(&self, request: &FreezeRequest) -> Result<Vec<FreezeRequest>, SignerError> {
        freezes(self.ask(&Request::Freeze(request.clone())).await?)
    }
}
