//! Asking witnesses, our own or others: C2SP `tlog-witness` from the log's side.

use std::time::Duration;

use api_verify::checkpoint::Checkpoint;
use api_verify::note::{KeyKind, VerifierKey};
use reqwest_ring::{Client, StatusCode, header, redirect};

use crate::request::{AddCheckpoint, decimal};

const TIMEOUT: Duration = Duration::from_secs(10);
/// A witness answers with a few lines.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What a witness answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Its signature line, which was verified, and its time in seconds since 1970.
    Cosigned {
        /// To be added to the note.
        line: String,
        /// When the witness saw the checkpoint.
        time: u64,
    },
    /// Its last checkpoint of this log has this size: ask again from there.
    AtSize(u64),
}

/// Why there is no cosignature.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The witness could not be reached, or broke off.
    #[error("the witness cannot be reached: {0}")]
    Unreachable(String),
    /// It refuses: does not know the log, or holds the checkpoint for a fork.
    #[error("the witness refuses with status {status}: {reason}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Its first line.
        reason: String,
    },
    /// Its answer is no cosignature by its key over this checkpoint.
    #[error("the witness's answer is not its cosignature: {0}")]
    Answer(String),
}

/// A witness that can be asked.
#[derive(Clone, Debug)]
pub struct Remote {
    client: Client,
    url: String,
    key: VerifierKey,
}

impl Remote {
    /// The witness with this submission prefix and verifier key.
    ///
    /// # Errors
    /// [`ClientError`] when the key is not a witness's, or the HTTP client cannot be made.
    pub fn new(url: &str, key: VerifierKey) -> Result<Self, ClientError> {
        if key.kind != KeyKind::Witness {
            return Err(ClientError::Answer("the key is a log's, not a witness's".to_owned()));
        }
        let client = Client::builder().timeout(TIMEOUT).redirect(redirect::Policy::none());
        let client = client.build().map_err(unreachable)?;
        Ok(Self { client, url: url.trim_end_matches('/').to_owned(), key })
    }

    /// Asks for a cosignature.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn add_checkpoint(&self, request: &AddCheckpoint) -> Result<Answer, ClientError> {
        let url = format!("{}/add-checkpoint", self.url);
        let answer =
            self.client.post(url).body(request.body()).send().await.map_err(unreachable)?;
        let status = answer.status();
        let is_size = answer.headers().get(header::CONTENT_TYPE).is_some_and(|kind| {
            kind.to_str().is_ok_and(|kind| kind.split(';').next() == Some("text/x.tlog.size"))
        });
        let body = read(answer).await?;
        if status == StatusCode::OK {
            return self.cosigned(&request.checkpoint, &body);
        }
        let size = body.strip_suffix('\n').and_then(decimal);
        match size.filter(|_| status == StatusCode::CONFLICT && is_size) {
            Some(size) => Ok(Answer::AtSize(size)),
            None => {
                let reason: String =
                    body.lines().next().unwrap_or_default().chars().take(200).collect();
                Err(ClientError::Refused { status: status.as_u16(), reason })
            }
        }
    }

    /// The lines of the answer that are by the known key; others are ignored.
    fn cosigned(&self, checkpoint: &Checkpoint, body: &str) -> Result<Answer, ClientError> {
        let wrong = |error: String| ClientError::Answer(error);
        for line in body.split_inclusive('\n') {
            let note = format!("{}\n{line}", checkpoint.note.text());
            let one = Checkpoint::parse(&note).map_err(|error| wrong(error.to_string()))?;
            let time = one.note.cosigned_by(&self.key).map_err(|error| wrong(error.to_string()))?;
            if let Some(time) = time.filter(|time| *time > 0) {
                return Ok(Answer::Cosigned { line: line.to_owned(), time });
            }
        }
        Err(wrong("no line is by the key that is configured for it".to_owned()))
    }
}

async fn read(mut answer: reqwest_ring::Response) -> Result<String, ClientError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            return Err(ClientError::Answer("it is too long".to_owned()));
        }
    }
    String::from_utf8(body).map_err(|_| ClientError::Answer("it is no text".to_owned()))
}

fn unreachable(error: reqwest_ring::Error) -> ClientError {
    // The address may hold a secret path.
    ClientError::Unreachable(error.without_url().to_string())
}
