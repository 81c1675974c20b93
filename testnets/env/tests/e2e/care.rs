//! Reminders over the public API: consents, a gateway that comes and goes, a server that is killed, a
//! link that stops everything, and the proof of each decision.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api_store::Engine;
use api_webhooks::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::Signer as _;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::http::Call;
use crate::loans::Lending;
use crate::world::{PATIENCE, Setup, items, text, unique};

const NUMBER: &str = "+4915112345678";
const PROOF: &str = "web form 3, seen by Ada Lovelace";

/// What a gateway got: the headers and the body.
#[derive(Clone, Debug)]
struct Got {
    id: String,
    timestamp: i64,
    signature: String,
    bytes: Vec<u8>,
    body: Value,
}

/// A gateway on a real socket.
struct Gateway {
    url: String,
    status: Arc<AtomicU16>,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Gateway {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/in", listener.local_addr().unwrap());
        let (status, got) = (Arc::new(AtomicU16::new(200)), Arc::new(Mutex::new(Vec::new())));
        let (answer, inbox) = (Arc::clone(&status), Arc::clone(&got));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Some(message) = receive(stream, answer.load(Ordering::SeqCst)).await {
                    inbox.lock().unwrap().push(message);
                }
            }
        });
        Self { url, status, got }
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    async fn wait_for(&self, count: usize) -> Vec<Got> {
        let limit = std::time::Instant::now() + PATIENCE;
        while self.got().len() < count {
            assert!(std::time::Instant::now() < limit, "{:?}", self.got());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.got()
    }
}

async fn receive(mut stream: TcpStream, status: u16) -> Option<Got> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    let (head, start) = loop {
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            break (head.to_owned(), head.len() + 4);
        }
    };
    let header = |name: &str| {
        let mut found = head.lines().filter_map(|line| line.split_once(": "));
        found.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
    };
    let length: usize = header("content-length")?.parse().unwrap();
    while bytes.len() < start + length {
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
    }
    let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n");
    let _ = stream.write_all(answer.as_bytes()).await;
    let bytes = bytes[start..].to_vec();
    Some(Got {
        id: header("webhook-id")?,
        timestamp: header("webhook-timestamp")?.parse().unwrap(),
        signature: header("webhook-signature")?,
        body: serde_json::from_slice(&bytes).unwrap(),
        bytes,
    })
}

/// A zone in which it is about one in the afternoon now.
fn zone_at_noon() -> String {
    let hour = Timestamp::now().to_zoned(TimeZone::UTC).hour();
    // The names have the sign the other way round.
    match hour - 13 {
        0 => "Etc/GMT".to_owned(),
        west @ 1.. => format!("Etc/GMT+{west}"),
        east => format!("Etc/GMT-{}", -east),
    }
}

struct Debtor {
    lending: Lending,
    gateway: Gateway,
    gateway_id: String,
    secret: Secret,
    loan: String,
}

impl Debtor {
    /// A borrower whose first instalment is five days late, to be reminded by text message.
    async fn start(engine: Engine) -> Self {
        let lending = Lending::start(Setup::NONE.on(engine), "2026-01-15").await;
        let loan = lending.lend("1200000").await;
        let gateway = Gateway::start().await;
        gateway.status.store(500, Ordering::SeqCst);
        let put = |path: String, body: Value| {
            let api = lending.world.tenant.clone();
            async move { api.call(Method::PUT, &path, Some(body), None).await.unwrap() }
        };
        let made = put("/v1/reminder-gateways/sms".into(), json!({ "url": gateway.url })).await;
        let secret = text(&made, "secret");
        let secret = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let profile = json!({ "hours": { "from": "08:00:00", "until": "20:00:00" }, "per_day": 5,
            "per_week": 20, "ladder": [{ "from_days": 1, "template": "overdue", "channels": ["sms"] },
                { "from_days": 20, "template": "overdue-help", "channels": ["in_app", "sms"] }] });
        put("/v1/reminder-profiles/ours".into(), profile).await;
        let customer = format!("/v1/customers/{}", lending.borrower);
        let contact = json!({ "zone": zone_at_noon(), "language": "en", "profile": "ours" });
        put(format!("{customer}/contact"), contact).await;
        put(format!("{customer}/contact/sms"), json!({ "address": NUMBER })).await;
        let consent = json!({ "granted": true, "proof": PROOF });
        put(format!("{customer}/consents/sms"), consent.clone()).await;
        put(format!("{customer}/consents/in_app"), consent).await;
        let gateway_id = text(&made, "id");
        Self { lending, gateway, gateway_id, secret: Secret::from_bytes(secret), loan }
    }

    fn path(&self, part: &str) -> String {
        format!("/v1/customers/{}/{part}", self.lending.borrower)
    }

    async fn wait(&self, part: &str, done: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let path = self.path(part);
        let done = |answer: &Value| done(items(answer));
        let answer = self.lending.world.tenant.wait_for(&path, PATIENCE, done).await;
        let log = || self.lending.world.stack.server_log();
        items(&answer.unwrap_or_else(|error| panic!("{error}\n{}", log()))).to_vec()
    }

    /// Posts a receipt as the gateway signs it.
    async fn receipt(&self, id: &str, message: &str, secret: &Secret) -> (u16, Value) {
        let body = json!({ "message": message, "status": "delivered" }).to_string();
        let now = Timestamp::now().as_second();
        let url = format!("{}/v1/receipts/{}", self.lending.world.stack.url(), self.gateway_id);
        let request = Client::new()
            .post(url)
            .header("webhook-id", id)
            .header("webhook-timestamp", now.to_string())
            .header("webhook-signature", secret.sign(id, now, body.as_bytes()));
        let answer = request.body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

async fn a_borrower_is_reminded_once_and_can_stop_it(engine: Engine) {
    let mut debtor = Debtor::start(engine).await;
    debtor.lending.move_to("2026-02-20").await;
    // Decided, tried in vain; then the server is killed.
    debtor.gateway.wait_for(1).await;
    let queued = |all: &[Value]| all.iter().any(|one| one["message"]["attempts"] == 1);
    debtor.wait("reminders", queued).await;
    debtor.lending.world.stack.kill_server();
    debtor.gateway.status.store(200, Ordering::SeqCst);
    debtor.lending.world.stack.start_server(&[("ROADSTEAD_LOG", "trace")]).await.unwrap();
    let sent = |all: &[Value]| all.iter().any(|one| one["message"]["state"] == "sent");
    let all = debtor.wait("reminders", sent).await;
    let decision = all.iter().find(|one| one["decision"] == "send").unwrap().clone();
    let got = debtor.gateway.wait_for(2).await;
    let ids: Vec<&String> = got.iter().map(|one| &one.id).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "one message, whatever happens: {ids:?}");
    let last = got.last().unwrap();
    assert_eq!(last.signature, debtor.secret.sign(&last.id, last.timestamp, &last.bytes));
    assert_eq!(last.body["to"], NUMBER);
    assert_eq!((&last.body["id"], &last.body["channel"]), (&decision["id"], &json!("sms")));
    receipts_count_once(&debtor, &text(&decision, "id")).await;
    every_decision_is_provable(&debtor, &decision).await;
    let stop = text(&last.body, "stop_link");
    one_click_stops_it(&debtor, &stop).await;
    nothing_personal_is_left(&debtor).await;
}

async fn receipts_count_once(debtor: &Debtor, message: &str) {
    let forged = Secret::generate().unwrap();
    assert_eq!(debtor.receipt("r-1", message, &forged).await.0, 401);
    let first = debtor.receipt("r-1", message, &debtor.secret).await;
    assert_eq!(first, (200, json!({ "new": true })));
    let second = debtor.receipt("r-1", message, &debtor.secret).await;
    assert_eq!(second, (200, json!({ "new": false })));
    let all = debtor.wait("reminders", |all| !all.is_empty()).await;
    let found = all.iter().find(|one| one["id"] == message).unwrap();
    assert_eq!(found["message"]["state"], "delivered");
}

async fn every_decision_is_provable(debtor: &Debtor, sent: &Value) {
    // A suppression is proved as a sending is: the day after, this rung was sent already.
    debtor.lending.move_to("2026-02-21").await;
    let again = |all: &[Value]| all.iter().any(|one| one["decision"] == "suppress");
    let all = debtor.wait("reminders", again).await;
    let suppressed = all.iter().find(|one| one["decision"] == "suppress").unwrap();
    let world = &debtor.lending.world;
    let key = world.stack.log_key().unwrap();
    for (decision, words) in [(sent, "send"), (suppressed, "suppress")] {
        let path = format!("/v1/audit/records/{}", text(decision, "record"));
        let is_logged = |answer: &Value| answer["checkpoint"].is_u64();
        world.tenant.wait_for(&path, PATIENCE, is_logged).await.unwrap();
        let receipt = world.tenant.get_text(&format!("{path}/receipt")).await.unwrap();
        assert!(receipt.contains(words) && receipt.contains("reminder.decided"), "{receipt}");
        assert!(!receipt.contains(NUMBER) && !receipt.contains(&debtor.lending.borrower));
        let file = world.stack.folder().join("decision.json");
        std::fs::write(&file, &receipt).unwrap();
        let (_, answer) = world.stack.verify(&file, &key).unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let changed = receipt.replacen(words, "nothing", 1);
        std::fs::write(&file, changed).unwrap();
        let (accepted, tampered) = world.stack.verify(&file, &key).unwrap();
        let tampered: Value = serde_json::from_str(&tampered).unwrap();
        assert!(!accepted && tampered != answer, "{tampered}");
    }
}

async fn one_click_stops_it(debtor: &Debtor, link: &str) {
    let world = &debtor.lending.world;
    let path = link.strip_prefix(&world.stack.url()).unwrap();
    let page = Call::new(world, "get", path).send().await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("Stop reminders") && page.text.contains("停止提醒"));
    let before = world.tenant.get(&debtor.path("contact")).await.unwrap();
    assert_eq!(before["opted_out"], false, "a look changes nothing");
    let forged = format!("{}A", &path[..path.len() - 1]);
    let answer = Call::new(world, "post", &forged).send().await;
    assert!(answer.status == 404 || path.ends_with('A'), "{answer:?}");
    // As a mail program does it (RFC 8058).
    let one_click = Call::new(world, "post", path)
        .raw("application/x-www-form-urlencoded", "List-Unsubscribe=One-Click");
    assert_eq!(one_click.send().await.status, 200);
    let after = world.tenant.get(&debtor.path("contact")).await.unwrap();
    assert_eq!(after["opted_out"], true);
    debtor.lending.move_to("2026-03-20").await;
    let stopped = |all: &[Value]| all.iter().any(|one| one["reason"] == "opted_out");
    debtor.wait("reminders", stopped).await;
    let inbox = world.tenant.get(&debtor.path("inbox")).await.unwrap();
    // An offer that was made before is no reminder.
    assert!(items(&inbox).iter().all(|one| one["kind"] == "offer"), "{inbox}");
}

async fn nothing_personal_is_left(debtor: &Debtor) {
    let world = &debtor.lending.world;
    let log = world.stack.server_log();
    assert!(log.contains("reminder") || log.contains("roadstead"), "the log is empty");
    assert!(!log.contains(NUMBER) && !log.contains(PROOF), "personal data in the log");
    let consents = world.tenant.get(&debtor.path("consents")).await.unwrap();
    assert_eq!(consents[0]["proof"], PROOF);
    world.tenant.delete(&debtor.path("contact")).await.unwrap();
    let consents = world.tenant.get(&debtor.path("consents")).await.unwrap();
    assert_eq!(consents[0]["proof"], Value::Null, "{consents}");
    assert_eq!(world.tenant.get(&debtor.path("contact")).await.unwrap_err().status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_borrower_is_reminded_once_and_can_stop_it_on_sqlite() {
    a_borrower_is_reminded_once_and_can_stop_it(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_borrower_is_reminded_once_and_can_stop_it_on_postgresql() {
    a_borrower_is_reminded_once_and_can_stop_it(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loan_in_trouble_is_warned_of_and_its_offer_is_accepted_by_signature() {
    let debtor = Debtor::start(Engine::Sqlite).await;
    debtor.gateway.status.store(200, Ordering::SeqCst);
    let (lending, world) = (&debtor.lending, &debtor.lending.world);
    lending.move_to("2026-02-20").await;
    let warnings = lending.get(&debtor.loan, "warnings?language=zh").await;
    assert_eq!(warnings["warnings"][0]["code"], "days_past_due");
    assert!(text(&warnings["warnings"][0], "text").contains("逾期 5 天"), "{warnings}");
    assert_eq!(warnings["offer"], true);
    let closed = world.operator.post("/v1/operator/end-of-day", json!({})).await.unwrap();
    assert!(closed["offers"].is_u64(), "{closed}");
    let open = |all: &[Value]| all.iter().any(|one| one["state"] == "open");
    let offer = debtor.wait("offers", open).await.remove(0);
    let letter = debtor.wait("inbox", |all| all.iter().any(|one| one["kind"] == "offer")).await;
    let read = debtor.path(&format!("inbox/{}/read", text(&letter[0], "id")));
    world.tenant.post(&read, json!(null)).await.unwrap();
    let signature = lending.key.sign(text(&offer, "message").as_bytes());
    let body = json!({ "change": offer["change"], "effective": offer["effective"],
        "hash": offer["hash"], "signature": hex::encode(signature.to_bytes()) });
    let changes = format!("/v1/loans/{}/changes", debtor.loan);
    world.tenant.post_once(&changes, &unique(), body).await.unwrap();
    let accepted = |all: &[Value]| all.iter().any(|one| one["state"] == "accepted");
    debtor.wait("offers", accepted).await;
    assert_eq!(lending.position(&debtor.loan).await["days_past_due"], 0);
    let preview = "/v1/messages/preview?template=overdue-help&language=zh&amount=5&currency=JPY";
    let preview = world.tenant.get(preview).await.unwrap();
    assert!(text(&preview, "body").contains("5 JPY"), "{preview}");
    let odd = world.tenant.get("/v1/messages/preview?template=threat").await.unwrap_err();
    assert_eq!((odd.status, odd.code.as_str()), (422, "unprocessable"));
}
