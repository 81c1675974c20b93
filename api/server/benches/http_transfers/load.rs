//! The load: connections that are kept, each with one request under way, all on one thread.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::usage::{self, Usage};

/// The place of a transfer is that of its commit, and so many bits for its own in it.
const COMMIT_BITS: u32 = 20;

/// Whom to send to, and between which accounts.
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) key: String,
    pub(crate) accounts: Vec<String>,
}

/// What is sent.
#[derive(Clone, Copy)]
pub(crate) enum Request {
    /// One transfer with an amount that is none: refused before the ledger.
    Refused,
    /// One transfer.
    Single,
    /// So many transfers.
    Batch(usize),
}

/// The times of all answers, and what they cost.
pub(crate) struct Measured {
    micros: Vec<u64>,
    wall: Duration,
    /// How many answers came, those of the warm-up included.
    answered: usize,
    /// What all of them cost.
    used: Usage,
    /// The first and last commit that an answer named.
    commits: Option<(i64, i64)>,
}

impl Measured {
    /// Microseconds of processor time for each of `each` in an answer.
    pub(crate) fn cost_us(&self, each: usize, of: impl Fn(&Usage) -> u64) -> f64 {
        let total = u32::try_from(of(&self.used)).unwrap();
        f64::from(total) / f64::from(u32::try_from(self.answered * each).unwrap())
    }

    /// Answers for each commit of the ledger.
    pub(crate) fn per_commit(&self) -> Option<f64> {
        let (first, last) = self.commits?;
        let commits = f64::from(i32::try_from(last - first + 1).unwrap());
        Some(f64::from(u32::try_from(self.answered).unwrap()) / commits)
    }

    /// Answers a second, each counted `each` times.
    pub(crate) fn per_second(&self, each: usize) -> f64 {
        f64::from(u32::try_from(self.micros.len() * each).unwrap()) / self.wall.as_secs_f64()
    }

    pub(crate) fn percentile(&self, percent: usize) -> u64 {
        self.micros[(self.micros.len() - 1) * percent / 100]
    }
}

/// Sends for `time` after a warm-up of a fifth of it.
pub(crate) fn run(
    target: &Target,
    connections: usize,
    time: Duration,
    request: Request,
) -> Measured {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let target = Arc::new(Target {
        address: target.address,
        key: target.key.clone(),
        accounts: target.accounts.clone(),
    });
    runtime.block_on(async {
        let before = usage::now();
        let begin = Instant::now() + time / 5;
        let end = begin + time;
        let callers: Vec<_> = (0..connections)
            .map(|_| tokio::spawn(caller(Arc::clone(&target), request, begin, end)))
            .collect();
        let mut all = Caller::default();
        for caller in callers {
            all.add(caller.await.unwrap());
        }
        let (wall, used) = (begin.elapsed(), usage::now() - before);
        all.micros.sort_unstable();
        assert!(!all.micros.is_empty(), "nothing was answered in time");
        Measured { micros: all.micros, wall, answered: all.answered, used, commits: all.commits }
    })
}

/// What the callers saw.
#[derive(Default)]
struct Caller {
    micros: Vec<u64>,
    answered: usize,
    commits: Option<(i64, i64)>,
}

impl Caller {
    fn add(&mut self, other: Self) {
        self.micros.extend(other.micros);
        self.answered += other.answered;
        for commit in other.commits.into_iter().flat_map(|(first, last)| [first, last]) {
            self.saw(commit);
        }
    }

    fn saw(&mut self, commit: i64) {
        let (first, last) = self.commits.unwrap_or((commit, commit));
        self.commits = Some((first.min(commit), last.max(commit)));
    }
}

async fn caller(target: Arc<Target>, request: Request, begin: Instant, end: Instant) -> Caller {
    let mut stream = TcpStream::connect(target.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut caller = Caller::default();
    let (mut bytes, mut answer) = (String::new(), Vec::new());
    while Instant::now() < end {
        write_request(&target, request, &mut bytes);
        let sent = Instant::now();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let status = read_answer(&mut stream, &mut answer).await;
        let expected = match request {
            Request::Refused => 400,
            Request::Single => 201,
            Request::Batch(_) => 200,
        };
        assert_eq!(status, expected, "{}", String::from_utf8_lossy(&answer));
        caller.answered += 1;
        if caller.answered == 1 {
            caller.commits = commit(&answer).map(|commit| (commit, commit));
        }
        if sent >= begin {
            caller.micros.push(u64::try_from(sent.elapsed().as_micros()).unwrap());
        }
    }
    if let Some(last) = commit(&answer) {
        caller.saw(last);
    }
    caller
}

/// The commit of the transfer that is first in an answer.
fn commit(answer: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(answer).unwrap();
    let (_, rest) = text.split_once("\"seq\":\"")?;
    let seq: i64 = rest.split_once('"')?.0.parse().unwrap();
    Some(seq >> COMMIT_BITS)
}

fn write_request(target: &Target, request: Request, bytes: &mut String) {
    let mut body = String::new();
    let path = match request {
        Request::Refused => {
            write_transfer(target, "none", &mut body);
            "/v1/ledger/transfers"
        }
        Request::Single => {
            write_transfer(target, "1", &mut body);
            "/v1/ledger/transfers"
        }
        Request::Batch(size) => {
            body.push_str("{\"transfers\":[");
            for number in 0..size {
                if number > 0 {
                    body.push(',');
                }
                write_transfer(target, "1", &mut body);
            }
            body.push_str("]}");
            "/v1/ledger/transfers/batch"
        }
    };
    bytes.clear();
    write!(
        bytes,
        "POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        target.key,
        body.len()
    )
    .unwrap();
}

fn write_transfer(target: &Target, amount: &str, body: &mut String) {
    let mut rng = rand::rng();
    let count = target.accounts.len();
    let debit = rng.random_range(0..count);
    let credit = (debit + rng.random_range(1..count)) % count;
    write!(
        body,
        "{{\"id\":\"{}\",\"legs\":[{{\"debit\":\"{}\",\"credit\":\"{}\",\"amount\":\"{amount}\"}}]}}",
        Uuid::now_v7(),
        target.accounts[debit],
        target.accounts[credit],
    )
    .unwrap();
}

/// Reads one answer into `answer`; returns its status.
async fn read_answer(stream: &mut TcpStream, answer: &mut Vec<u8>) -> u16 {
    answer.clear();
    let mut whole = None;
    while whole.is_none_or(|length| answer.len() < length) {
        let read = stream.read_buf(answer).await.unwrap();
        assert!(read > 0, "the connection ended");
        whole = whole.or_else(|| whole_length(answer));
    }
    std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap()
}

/// The length of head and body, once the head is there. The server writes names in small letters.
fn whole_length(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&answer[..head]).unwrap();
    let (_, length) = text.split_once("\r\ncontent-length: ").unwrap();
    Some(head + length.split_once('\r').unwrap().0.parse::<usize>().unwrap())
}
