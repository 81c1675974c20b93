//! Deliveries to a receiver on a real socket, verified by the specification's own library.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use api_ledger::*;
use api_store::Engine;
use api_store::test_db::TestDb;
use api_webhooks::*;
use jiff::Timestamp;
use reqwest_ring::dns::{Addrs, Name, Resolve, Resolving};
use standardwebhooks::Webhook;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

/// A test on each engine of a function `async fn name(engine: Engine)`.
macro_rules! on_both_engines {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(api_store::Engine::Sqlite).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(api_store::Engine::Postgres).await;
            })*
        }
    };
}

on_both_engines! {
    messages_come_in_order_and_verify
    failures_are_repeated_in_order_then_given_up_and_can_be_replayed
    a_receiver_is_told_about_the_types_that_it_chose
    events_that_went_back_are_not_passed_over
    a_receiver_that_is_gone_is_switched_off
    a_slow_receiver_holds_nobody_up
    dead_letters_are_retried_at_once_and_a_deleted_receiver_gets_nothing
    a_tenant_has_a_limited_number_of_receivers
    promise_37_a_receiver_that_has_become_private_gets_nothing
}

/// A message as the receiver got it.
#[derive(Clone, Debug)]
struct Message {
    id: String,
    timestamp: String,
    signature: String,
    body: Vec<u8>,
}

impl Message {
    fn sequence(&self) -> i64 {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        body["sequence"].as_i64().unwrap()
    }

    /// True when the specification's library takes it for `secret`.
    fn verifies(&self, secret: &Secret) -> bool {
        let mut headers = reqwest_ring::header::HeaderMap::new();
        headers.insert("webhook-id", self.id.parse().unwrap());
        headers.insert("webhook-timestamp", self.timestamp.parse().unwrap());
        headers.insert("webhook-signature", self.signature.parse().unwrap());
        Webhook::new(&secret.reveal()).unwrap().verify(&self.body, &headers).is_ok()
    }
}

struct Receiver {
    address: SocketAddr,
    status: Arc<AtomicU16>,
    messages: Arc<Mutex<Vec<Message>>>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let status = Arc::new(AtomicU16::new(200));
        let messages = Arc::new(Mutex::new(Vec::new()));
        let (answer, inbox) = (Arc::clone(&status), Arc::clone(&messages));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let message = receive(stream, answer.load(Ordering::SeqCst)).await;
                inbox.lock().unwrap().push(message);
            }
        });
        Self { address, status, messages }
    }

    fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn take(&self) -> Vec<Message> {
        std::mem::take(&mut *self.messages.lock().unwrap())
    }
}

async fn receive(mut stream: TcpStream, status: u16) -> Message {
    let mut bytes = Vec::new();
    let (head, length) = loop {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await.unwrap();
        bytes.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let length: usize = header(head, "content-length").parse().unwrap_or(0);
            break (head.to_owned(), length);
        }
    };
    let start = head.len() + 4;
    while bytes.len() < start + length {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await.unwrap();
        bytes.extend_from_slice(&buffer[..read]);
    }
    let location = "location: http://127.0.0.1:1/\r\n";
    let answer = format!("HTTP/1.1 {status} x\r\n{location}content-length: 0\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.unwrap();
    Message {
        id: header(&head, "webhook-id"),
        timestamp: header(&head, "webhook-timestamp"),
        signature: header(&head, "webhook-signature"),
        body: bytes[start..start + length].to_vec(),
    }
}

fn header(head: &str, name: &str) -> String {
    let line = head.lines().find_map(|line| line.split_once(": ").filter(|(key, _)| *key == name));
    line.map(|(_, value)| value.to_owned()).unwrap_or_default()
}

struct Setup {
    _test_db: TestDb,
    ledger: Ledger,
    webhooks: Webhooks,
    tenant: TenantId,
    skew: Arc<AtomicI64>,
    receiver: Receiver,
    id: Uuid,
    secret: Secret,
}

fn vault() -> Vault {
    Vault::new(&"17".repeat(32)).unwrap()
}

const LOCAL: Policy = Policy { allow_http: true, allow_private: true };

impl Setup {
    async fn new(engine: Engine) -> Self {
        let test_db = TestDb::new(engine).await.unwrap();
        // The real time, which the specification's library compares with, and what the test adds.
        let skew = Arc::new(AtomicI64::new(0));
        let added = Arc::clone(&skew);
        let clock: Clock = Arc::new(move || {
            let seconds = Timestamp::now().as_second() + added.load(Ordering::SeqCst);
            Timestamp::from_second(seconds).unwrap()
        });
        let ledger = Ledger::with_clock(test_db.db.clone(), Arc::clone(&clock));
        let webhooks = Webhooks::new(ledger.clone(), Sender::new(LOCAL).unwrap(), vault(), clock);
        let (tenant, receiver) = (TenantId::new(Uuid::new_v4()), Receiver::start().await);
        let mut tx = test_db.db.begin().await.unwrap();
        let url = format!("http://{}/hook", receiver.address);
        let new = NewEndpoint { url: &url, after: 0, types: &EventTypes::default() };
        let (id, secret) = webhooks.create(&mut tx, tenant, &new).await.unwrap();
        tx.commit().await.unwrap();
        Self { _test_db: test_db, ledger, webhooks, tenant, skew, receiver, id, secret }
    }

    async fn emit(&self, count: usize) {
        self.emit_all(&vec!["test.happened"; count]).await;
    }

    /// One event of each of these types, in this order.
    async fn emit_all(&self, types: &[&str]) {
        let mut tx = self.ledger.db().begin().await.unwrap();
        for (number, kind) in types.iter().enumerate() {
            let event = NewEvent {
                tenant: self.tenant,
                kind: (*kind).to_owned(),
                subject: number.to_string(),
                data: serde_json::json!({ "number": number }),
            };
            self.ledger.emit(&mut tx, &event).await.unwrap();
        }
        tx.commit().await.unwrap();
        while self.ledger.place_events(100).await.unwrap() > 0 {}
    }

    /// Moves the clock and delivers; returns the places that arrived.
    async fn deliver_after(&self, seconds: i64) -> (Report, Vec<i64>) {
        self.skew.fetch_add(seconds, Ordering::SeqCst);
        let report = self.webhooks.deliver_due(10).await.unwrap();
        (report, self.receiver.take().iter().map(Message::sequence).collect())
    }

    async fn endpoint(&self) -> Endpoint {
        let mut tx = self.ledger.db().read().await.unwrap();
        self.webhooks.list(&mut tx, self.tenant).await.unwrap().remove(0)
    }
}

async fn messages_come_in_order_and_verify(engine: Engine) {
    let setup = Setup::new(engine).await;
    setup.emit(3).await;
    let report = setup.webhooks.deliver_due(10).await.unwrap();
    assert_eq!(report, Report { delivered: 3, ..Report::default() });
    let messages = setup.receiver.take();
    let places: Vec<i64> = messages.iter().map(Message::sequence).collect();
    assert_eq!(places, [1, 2, 3]);
    let other = Secret::generate().unwrap();
    for message in &messages {
        assert!(message.verifies(&setup.secret), "{message:?}");
        assert!(!message.verifies(&other));
        let mut forged = message.clone();
        forged.body.push(b' ');
        assert!(!forged.verifies(&setup.secret));
    }
    assert_eq!(setup.deliver_after(2).await.1, [0; 0], "nothing twice");

    let mut tx = setup.ledger.db().begin().await.unwrap();
    let rotated = setup.webhooks.rotate_secret(&mut tx, setup.tenant, setup.id).await.unwrap();
    tx.commit().await.unwrap();
    setup.emit(1).await;
    setup.skew.fetch_add(2, Ordering::SeqCst);
    setup.webhooks.deliver_due(10).await.unwrap();
    let both = setup.receiver.take().remove(0);
    assert!(both.verifies(&setup.secret) && both.verifies(&rotated));
    let mut tx = setup.ledger.db().begin().await.unwrap();
    setup.webhooks.drop_old_secret(&mut tx, setup.tenant, setup.id).await.unwrap();
    tx.commit().await.unwrap();
    setup.emit(1).await;
    setup.skew.fetch_add(2, Ordering::SeqCst);
    setup.webhooks.deliver_due(10).await.unwrap();
    let one = setup.receiver.take().remove(0);
    assert!(!one.verifies(&setup.secret) && one.verifies(&rotated));
}

async fn failures_are_repeated_in_order_then_given_up_and_can_be_replayed(engine: Engine) {
    let setup = Setup::new(engine).await;
    setup.emit(2).await;
    setup.receiver.answer(500);
    let failed = Report { failed: 1, ..Report::default() };
    assert_eq!(setup.deliver_after(0).await, (failed, vec![1]), "the second waits for the first");
    assert_eq!(setup.deliver_after(2).await.1, [0; 0], "not before its time");
    assert_eq!(setup.deliver_after(10).await.1, [1]);
    let endpoint = setup.endpoint().await;
    assert_eq!((endpoint.attempts, endpoint.last_sequence), (2, 0));
    assert_eq!(endpoint.last_error.as_deref(), Some("the receiver answered 500"));
    for _ in 0..7 {
        assert_eq!(setup.deliver_after(100_000).await, (failed, vec![1]));
    }
    let dead = Report { dead: 1, ..Report::default() };
    assert_eq!(setup.deliver_after(100_000).await, (dead, vec![1]));
    setup.receiver.answer(204);
    assert_eq!(setup.deliver_after(1).await.1, [2], "the stream goes on");

    let mut tx = setup.ledger.db().begin().await.unwrap();
    let (webhooks, tenant, id) = (&setup.webhooks, setup.tenant, setup.id);
    let letters = webhooks.dead_letters(&mut tx, tenant, id, 0, 10).await.unwrap();
    assert_eq!((letters[0].sequence, letters[0].attempts), (1, 10));
    assert!(matches!(webhooks.replay(&mut tx, tenant, id, 2, 1).await, Err(WebhookError::Range)));
    let stranger = TenantId::new(Uuid::new_v4());
    assert!(matches!(
        webhooks.replay(&mut tx, stranger, id, 1, 2).await,
        Err(WebhookError::UnknownEndpoint)
    ));
    webhooks.replay(&mut tx, tenant, id, 1, 2).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(setup.deliver_after(2).await.1, [1, 2]);
    let mut tx = setup.ledger.db().begin().await.unwrap();
    assert_eq!(webhooks.dead_letters(&mut tx, tenant, id, 0, 10).await.unwrap(), []);
}

async fn a_receiver_is_told_about_the_types_that_it_chose(engine: Engine) {
    let setup = Setup::new(engine).await;
    let choose = async |names: &[&str]| {
        let types = EventTypes::parse(names.iter().copied()).unwrap();
        let mut tx = setup.ledger.db().begin().await.unwrap();
        setup.webhooks.set_types(&mut tx, setup.tenant, setup.id, &types).await.unwrap();
        tx.commit().await.unwrap();
        types
    };
    let types = choose(&["loan.*", "test.b"]).await;
    assert_eq!(setup.endpoint().await.types, types);
    setup.emit_all(&["test.a", "test.b", "loan.paid", "loans.paid", "test.a"]).await;
    assert_eq!(setup.deliver_after(0).await.1, [2, 3]);
    assert_eq!(setup.endpoint().await.last_sequence, 5, "the others are passed over");

    // More of another type than are looked at in one go, and a failure that is not forgotten.
    setup.emit_all(&vec!["test.a"; 1200]).await;
    setup.emit_all(&["loan.paid"]).await;
    setup.receiver.answer(500);
    assert_eq!(setup.deliver_after(0).await.1, [0; 0]);
    assert_eq!(setup.endpoint().await.last_sequence, 1005);
    assert_eq!(setup.deliver_after(0).await.1, [1206]);
    assert_eq!(setup.endpoint().await.attempts, 1);
    setup.receiver.answer(200);
    assert_eq!(setup.deliver_after(10).await.1, [1206]);

    // Sent again is what it is told about now.
    choose(&["test.a"]).await;
    let mut tx = setup.ledger.db().begin().await.unwrap();
    setup.webhooks.replay(&mut tx, setup.tenant, setup.id, 1, 5).await.unwrap();
    tx.commit().await.unwrap();
    let replayed = Report { delivered: 2, ..Report::default() };
    assert_eq!(setup.deliver_after(2).await, (replayed, vec![1, 5]));

    // What it waits for in vain can be given up by choosing something else.
    setup.receiver.answer(500);
    setup.emit_all(&["test.a", "test.b"]).await;
    assert_eq!(setup.deliver_after(0).await.1, [1207]);
    setup.receiver.answer(200);
    choose(&["test.b"]).await;
    assert_eq!(setup.deliver_after(0).await.1, [1208], "at once");
    choose(&[]).await;
    setup.emit_all(&["anything"]).await;
    assert_eq!(setup.deliver_after(0).await.1, [1209]);
}

async fn events_that_went_back_are_not_passed_over(engine: Engine) {
    let setup = Setup::new(engine).await;
    setup.emit(3).await;
    setup.webhooks.deliver_due(10).await.unwrap();
    let before = setup.receiver.take();
    assert_eq!(before.iter().map(Message::sequence).collect::<Vec<_>>(), [1, 2, 3]);
    // The events alone are set back; what a receiver was sent cannot be.
    let mut tx = setup.ledger.db().begin().await.unwrap();
    let sql = "DELETE FROM events_outbox WHERE position > 1";
    tx.execute(sql, api_store::args![]).await.unwrap();
    let sql = "UPDATE events_heads SET next = 2 WHERE tenant <> ''";
    tx.execute(sql, api_store::args![]).await.unwrap();
    let all = EventTypes::default();
    let new = |after| NewEndpoint { url: "http://127.0.0.1:9/", after, types: &all };
    let refused = setup.webhooks.create(&mut tx, setup.tenant, &new(2)).await;
    assert!(matches!(
        refused,
        Err(WebhookError::Ledger(LedgerError::CursorLost { after: 2, last: 1 }))
    ));
    tx.commit().await.unwrap();
    assert_eq!(setup.deliver_after(2).await.1, [0; 0]);
    let endpoint = setup.endpoint().await;
    assert_eq!((endpoint.last_sequence, endpoint.attempts), (1, 0));
    let error = endpoint.last_error.unwrap();
    assert!(error.starts_with("the events went back from 3 to 1"), "{error}");
    assert_eq!(setup.deliver_after(2).await.1, [0; 0], "nothing is repeated by itself");
    setup.emit(1).await;
    setup.skew.fetch_add(2, Ordering::SeqCst);
    setup.webhooks.deliver_due(10).await.unwrap();
    let after = setup.receiver.take().remove(0);
    assert_eq!(after.sequence(), 2, "what is new is sent");
    assert_ne!(after.id, before[1].id, "and is not taken for a repetition");
    assert_eq!(setup.endpoint().await.last_error, Some(error), "it can still be seen");
}

async fn a_receiver_that_is_gone_is_switched_off(engine: Engine) {
    let setup = Setup::new(engine).await;
    setup.emit(1).await;
    setup.receiver.answer(410);
    assert_eq!(setup.deliver_after(0).await.1, [1]);
    assert!(!setup.endpoint().await.enabled);
    assert_eq!(setup.deliver_after(100_000).await.1, [0; 0]);
    setup.receiver.answer(200);
    let mut tx = setup.ledger.db().begin().await.unwrap();
    setup.webhooks.set_enabled(&mut tx, setup.tenant, setup.id, true).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(setup.deliver_after(1).await.1, [1]);
}

async fn a_slow_receiver_holds_nobody_up(engine: Engine) {
    let setup = Setup::new(engine).await;
    // It takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut tx = setup.ledger.db().begin().await.unwrap();
    for number in 0..3 {
        let url = format!("http://{}/{number}", silent.local_addr().unwrap());
        let new = NewEndpoint { url: &url, after: 0, types: &EventTypes::default() };
        setup.webhooks.create(&mut tx, setup.tenant, &new).await.unwrap();
    }
    tx.commit().await.unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let webhooks = setup.webhooks.clone();
    let running = tokio::spawn(async move { webhooks.run(stopped).await });
    let started = std::time::Instant::now();
    let mut places = Vec::new();
    for round in 0..3 {
        setup.emit(10).await;
        while places.len() < (round + 1) * 10 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            places.extend(setup.receiver.take().iter().map(Message::sequence));
            assert!(started.elapsed().as_secs() < 9, "{places:?}");
        }
    }
    assert_eq!(places, (1..=30).collect::<Vec<i64>>());
    running.abort();
    drop(stop);
}

async fn dead_letters_are_retried_at_once_and_a_deleted_receiver_gets_nothing(engine: Engine) {
    let setup = Setup::new(engine).await;
    setup.emit(2).await;
    setup.receiver.answer(500);
    for _ in 0..10 {
        setup.deliver_after(100_000).await;
    }
    // The second event fails now, and waits.
    setup.deliver_after(0).await;
    setup.receiver.answer(200);
    assert_eq!(setup.deliver_after(0).await.1, [0; 0]);
    let (webhooks, tenant, id) = (&setup.webhooks, setup.tenant, setup.id);
    let mut tx = setup.ledger.db().begin().await.unwrap();
    assert_eq!(webhooks.retry_dead_letters(&mut tx, tenant, id).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(setup.deliver_after(0).await.1, [1, 2], "both, without waiting");
    let mut tx = setup.ledger.db().begin().await.unwrap();
    assert_eq!(webhooks.dead_letters(&mut tx, tenant, id, 0, 10).await.unwrap(), []);
    webhooks.delete(&mut tx, tenant, id).await.unwrap();
    let gone = webhooks.get(&mut tx, tenant, id).await;
    assert!(matches!(gone, Err(WebhookError::UnknownEndpoint)));
    tx.commit().await.unwrap();
    setup.emit(1).await;
    assert_eq!(setup.deliver_after(1).await.1, [0; 0]);
}

async fn a_tenant_has_a_limited_number_of_receivers(engine: Engine) {
    let setup = Setup::new(engine).await;
    let mut tx = setup.ledger.db().begin().await.unwrap();
    let new = NewEndpoint { url: "http://127.0.0.1:9/", after: 0, types: &EventTypes::default() };
    for _ in 1..ENDPOINTS_MAX {
        setup.webhooks.create(&mut tx, setup.tenant, &new).await.unwrap();
    }
    let one_more = setup.webhooks.create(&mut tx, setup.tenant, &new).await;
    assert!(matches!(one_more, Err(WebhookError::TooMany)));
}

/// Whatever was allowed when it was registered, what counts is the time of the connection.
async fn promise_37_a_receiver_that_has_become_private_gets_nothing(engine: Engine) {
    let setup = Setup::new(engine).await;
    setup.emit(1).await;
    let skew = Arc::clone(&setup.skew);
    let clock: Clock = Arc::new(move || {
        let seconds = Timestamp::now().as_second() + skew.load(Ordering::SeqCst);
        Timestamp::from_second(seconds).unwrap()
    });
    let policy = Policy { allow_http: true, allow_private: false };
    let sender = Sender::new(policy).unwrap();
    let strict = Webhooks::new(setup.ledger.clone(), sender, vault(), clock);
    let failed = Report { failed: 1, ..Report::default() };
    assert_eq!(strict.deliver_due(10).await.unwrap(), failed);
    assert!(setup.receiver.take().is_empty(), "a private address was reached");
    let endpoint = setup.endpoint().await;
    assert_eq!((endpoint.attempts, endpoint.last_sequence), (1, 0));
    assert_eq!(endpoint.last_error, Some(SendError::NotPublic.to_string()));
    let url = format!("http://{}/hook", setup.receiver.address);
    let new = NewEndpoint { url: &url, after: 0, types: &EventTypes::default() };
    let mut tx = setup.ledger.db().begin().await.unwrap();
    let refused = strict.create(&mut tx, setup.tenant, &new).await;
    assert!(refused.is_err(), "registered a private receiver");
    tx.rollback().await.unwrap();
    assert_eq!(setup.deliver_after(100).await.1, [1], "nothing is lost");
}

/// Always the same answer, as an attacker's name server could give.
struct Stub(&'static str);

impl Resolve for Stub {
    fn resolve(&self, _: Name) -> Resolving {
        let address = SocketAddr::new(self.0.parse().unwrap(), 0);
        Box::pin(async move {
            let addresses: Addrs = Box::new(std::iter::once(address));
            Ok(addresses)
        })
    }
}

#[tokio::test]
async fn promise_37_private_addresses_are_refused_when_the_connection_is_made() {
    let receiver = Receiver::start().await;
    let url = format!("http://public.example:{}/", receiver.address.port());
    let policy = Policy { allow_http: true, allow_private: false };
    for address in ["127.0.0.1", "::1", "169.254.169.254", "::ffff:127.0.0.1"] {
        let sender = Sender::with_resolver(policy, Arc::new(Stub(address))).unwrap();
        assert_eq!(sender.post(&url, &[], vec![]).await, Err(SendError::NotPublic), "{address}");
    }
    assert!(receiver.take().is_empty());
    let sender = Sender::with_resolver(LOCAL, Arc::new(Stub("127.0.0.1"))).unwrap();
    sender.post(&url, &[], vec![]).await.unwrap();
    assert_eq!(receiver.take().len(), 1, "the refusal was the policy's");

    let strict = Sender::new(Policy::default()).unwrap();
    let cases = [
        ("http://example.com/", SendError::NotHttps),
        ("ftp://example.com/", SendError::NotHttps),
        ("https://user:secret@example.com/", SendError::Credentials),
        ("https://127.0.0.1/", SendError::NotPublic),
        ("https://0x7f.1/", SendError::NotPublic),
        ("https://2130706433/", SendError::NotPublic),
        ("https://[::1]/", SendError::NotPublic),
        ("https://[::ffff:10.0.0.1]/", SendError::NotPublic),
        ("nonsense", SendError::InvalidUrl),
    ];
    for (url, error) in cases {
        assert_eq!(strict.check_url(url).err(), Some(error), "{url}");
    }
}

#[tokio::test]
async fn promise_37_redirects_are_not_followed() {
    let receiver = Receiver::start().await;
    receiver.answer(307);
    let sender = Sender::new(LOCAL).unwrap();
    let url = format!("http://{}/", receiver.address);
    assert_eq!(sender.post(&url, &[], vec![]).await, Err(SendError::Status(307)));
    assert_eq!(receiver.take().len(), 1);
}
