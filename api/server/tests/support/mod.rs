//! A running server without chains, on a database of its own, and a client as thin as curl.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use api_store::Engine;
use api_store::test_db::TestDb;
use serde_json::{Value, json};
use tempfile::TempDir;

const ROADSTEAD: &str = env!("CARGO_BIN_EXE_roadstead");
const OPERATOR_KEY: &str = "operator-of-the-tests-0123456789abcdef";
const PATIENCE: Duration = Duration::from_secs(30);
/// Longer than the server takes to give a request up.
const ANSWER_WITHIN: Duration = Duration::from_secs(45);

/// The server, as a process of its own; it ends with this value.
pub(crate) struct Server {
    process: Mutex<Child>,
    pub(crate) address: SocketAddr,
    pub(crate) folder: TempDir,
    /// Its database, unless the test brought one.
    test_db: Option<TestDb>,
    runtime: tokio::runtime::Runtime,
}

/// See [`Server::beside`].
pub(crate) struct Beside {
    _process: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start(engine: Engine) -> Self {
        Self::start_with(engine, "")
    }

    /// With these lines more in the configuration's part `[server]`.
    pub(crate) fn start_with(engine: Engine, settings: &str) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let test_db = runtime.block_on(TestDb::new(engine)).unwrap();
        let mut server = Self::start_as(&test_db.url, settings);
        (server.test_db, server.runtime) = (Some(test_db), runtime);
        server
    }

    /// On a database that the test takes care of.
    pub(crate) fn start_on(url: &str) -> Self {
        Self::start_as(url, "")
    }

    fn start_as(url: &str, settings: &str) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let folder = TempDir::new().unwrap();
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("operator.key"), OPERATOR_KEY).unwrap();
        let config = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\noperator_key_file = \"{}\"\n{settings}\n[database]\nurl = \"{}\"\n\n\
             [webhooks]\nkey_file = \"{}\"\nallow_http = true\nallow_private = true\n\n\
             [log]\norigin = \"roadstead.local/test\"\n\n[fiat]\ncurrencies = [\"EUR\", \"CNY\"]\n\
             statement_folder = \"{}\"\n",
            file("operator.key").display(),
            url,
            file("webhook.key").display(),
            file("statements").display(),
        );
        std::fs::create_dir(file("statements")).unwrap();
        std::fs::write(file("webhook.key"), "1f".repeat(32)).unwrap();
        std::fs::write(file("roadstead.toml"), config).unwrap();
        let (process, address) = serve(folder.path());
        let process = Mutex::new(process);
        Self { process, address, folder, test_db: None, runtime }
    }

    /// Kills it at once.
    pub(crate) fn kill(&self) {
        let mut process = self.process.lock().unwrap();
        drop(process.stdin.take());
        process.wait().unwrap();
    }

    /// True while the process that was started lives.
    pub(crate) fn lives(&self) -> bool {
        self.process.lock().unwrap().try_wait().unwrap().is_none()
    }

    /// Another server on the same database.
    pub(crate) fn beside(&self) -> Beside {
        let (process, address) = serve(self.folder.path());
        Beside { _process: process, address }
    }

    /// A command of the server's program on the same configuration.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        let config = self.folder.path().join("roadstead.toml");
        Command::new(ROADSTEAD).args(arguments).arg("--config").arg(config).output().unwrap()
    }

    /// Every balance from its entries, by the program's own command.
    pub(crate) fn assert_clean(&self) {
        let output = self.command(&["ledger", "check"]);
        let words = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && words.starts_with("clean: "), "{output:?}");
    }

    /// Both secrets of a webhook endpoint as they lie in the database.
    pub(crate) fn stored_webhook_secrets(&self, endpoint: &str) -> Vec<Vec<u8>> {
        let sql = "SELECT secret, old_secret FROM webhook_endpoints WHERE id = $1";
        self.runtime.block_on(async {
            let test_db = self.test_db.as_ref().unwrap();
            let mut tx = test_db.db.read().await.unwrap();
            let (new, old): (Vec<u8>, Vec<u8>) =
                tx.fetch_one(sql, api_store::args![endpoint]).await.unwrap();
            vec![new, old]
        })
    }

    /// Sets the events of the tenant that has this account back to the first `last` of them.
    pub(crate) fn set_events_back(&self, account: &str, last: i64) {
        let account: i64 = account.parse().unwrap();
        let tenant = "SELECT k.tenant FROM ledger_books AS k JOIN ledger_accounts AS a ON a.book = k.key \
                      WHERE a.key = $1";
        let gone = "DELETE FROM events_outbox WHERE tenant = $1 AND position > $2";
        let head = "UPDATE events_heads SET next = $2 WHERE tenant = $1";
        self.runtime.block_on(async {
            let mut tx = self.test_db.as_ref().unwrap().db.begin().await.unwrap();
            let (tenant,): (String,) =
                tx.fetch_one(tenant, api_store::args![account]).await.unwrap();
            tx.execute(gone, api_store::args![&tenant, last]).await.unwrap();
            tx.execute(head, api_store::args![&tenant, last + 1]).await.unwrap();
            tx.commit().await.unwrap();
        });
    }

    /// The kinds of the audit records about a ledger account, in their order.
    pub(crate) fn records_about(&self, account: &str) -> Vec<String> {
        let sql = "SELECT kind FROM audit_records WHERE external_id LIKE $1 ORDER BY seq";
        let name = format!("ledger-account:{account}:%");
        let rows: Vec<(String,)> = self.runtime.block_on(async {
            let mut tx = self.test_db.as_ref().unwrap().db.read().await.unwrap();
            tx.fetch_all(sql, api_store::args![name]).await.unwrap()
        });
        rows.into_iter().map(|(kind,)| kind).collect()
    }

    /// Lets these events be given up for a webhook endpoint, as after the last attempt.
    pub(crate) fn give_up(&self, endpoint: &str, events: std::ops::RangeInclusive<i64>) {
        let sql = "INSERT INTO webhook_dead_letters (endpoint, sequence, attempts, last_error, created_at) \
                   VALUES ($1, $2, 10, 'the receiver answered 500', 1772366400)";
        self.runtime.block_on(async {
            let mut tx = self.test_db.as_ref().unwrap().db.begin().await.unwrap();
            for event in events {
                tx.execute(sql, api_store::args![endpoint, event]).await.unwrap();
            }
            tx.commit().await.unwrap();
        });
    }

    /// Does this while the ledger can be read and nothing can be posted.
    pub(crate) fn held_up<T>(&self, act: impl FnOnce() -> T) -> T {
        let lock = "LOCK TABLE ledger_commits IN EXCLUSIVE MODE";
        let tx = self.runtime.block_on(async {
            let mut tx = self.test_db.as_ref().unwrap().db.begin().await.unwrap();
            if tx.engine() == Engine::Postgres {
                tx.execute(lock, api_store::args![]).await.unwrap();
            }
            tx
        });
        let done = act();
        self.runtime.block_on(tx.rollback()).unwrap();
        done
    }

    pub(crate) fn operator(&self) -> Client {
        Client::new(self.address, OPERATOR_KEY)
    }

    /// The bank says that this much arrived for a customer, in cents of a euro.
    pub(crate) fn top_up(&self, customer: &str, cents: u64) {
        let line = format!("{customer}-{cents},2026-01-31,EUR,{cents},{customer}");
        let file = self.folder.path().join("statements").join(format!("{customer}.csv"));
        let whole = format!("id,booked_on,currency,amount,reference\n{line}\n");
        std::fs::write(file.with_extension("part"), whole).unwrap();
        std::fs::rename(file.with_extension("part"), file).unwrap();
    }

    /// A new tenant's first key.
    pub(crate) fn tenant(&self, name: &str) -> Client {
        let answer = self.operator().post("/v1/tenants", &json!({ "name": name }));
        Client::new(self.address, answer.expect(201)["api_key"].as_str().unwrap())
    }
}

/// Runs the server until the pipe from this process closes, however this process ends; then kills it.
const WATCHDOG: &str = r#"
    "$0" serve --config "$1" </dev/null &
    read -r _
    kill -KILL "$!"
    wait "$!"
"#;

/// Starts it, and reads from its log where it listens.
fn serve(folder: &Path) -> (Child, SocketAddr) {
    let mut process = Command::new("sh")
        .args(["-c", WATCHDOG, ROADSTEAD])
        .arg(folder.join("roadstead.toml"))
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = BufReader::new(process.stderr.take().unwrap());
    let (send, address) = mpsc::channel();
    std::thread::spawn(move || {
        for line in log.lines().map_while(Result::ok) {
            let entry: Value = serde_json::from_str(&line).unwrap_or_default();
            match entry["fields"]["address"].as_str() {
                Some(address) => drop(send.send(address.parse().unwrap())),
                None if entry["level"] != "INFO" => eprintln!("server: {line}"),
                None => {}
            }
        }
    });
    (process, address.recv_timeout(PATIENCE).expect("the server did not start"))
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl Answer {
    /// The body, of an answer with this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.body
    }

    /// Status and code of a refusal, which must be a problem document.
    #[track_caller]
    pub(crate) fn refusal(&self) -> (u16, &str) {
        assert!(self.head.contains("application/problem+json"), "{self:?}");
        assert_eq!(self.body["status"], self.status, "{self:?}");
        (self.status, self.body["code"].as_str().unwrap())
    }
}

/// One connection that is kept, with one API key.
pub(crate) struct Client {
    address: SocketAddr,
    pub(crate) key: String,
    stream: std::cell::RefCell<Option<BufReader<TcpStream>>>,
}

impl Clone for Client {
    fn clone(&self) -> Self {
        Self::new(self.address, &self.key)
    }
}

impl Client {
    pub(crate) fn new(address: SocketAddr, key: &str) -> Self {
        Self { address, key: key.to_owned(), stream: std::cell::RefCell::default() }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", None)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, "", Some(body))
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, "", Some(body))
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, "", None)
    }

    /// `headers` are whole lines.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: Option<&Value>,
    ) -> Answer {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: roadstead\r\nauthorization: Bearer {}\r\n{headers}\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.key,
            body.len()
        );
        let mut kept = self.stream.borrow_mut();
        let stream = kept.get_or_insert_with(|| {
            let stream = TcpStream::connect(self.address).unwrap();
            stream.set_read_timeout(Some(ANSWER_WITHIN)).unwrap();
            BufReader::new(stream)
        });
        stream.get_mut().write_all(request.as_bytes()).unwrap();
        read_answer(stream)
    }

    /// Asks again until `done` says so of the answer.
    #[track_caller]
    pub(crate) fn wait_for(&self, path: &str, done: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let body = self.get(path).expect(200);
            if done(&body) {
                return body;
            }
            assert!(Instant::now() < end, "{path} is not as awaited: {body}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn read_answer(stream: &mut BufReader<TcpStream>) -> Answer {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).unwrap() > 0, "the connection ended: {head:?}");
    }
    let lower = head.to_ascii_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Answer { status, head: lower, body }
}
