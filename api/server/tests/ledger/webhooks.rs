//! Deliveries of the running server to a receiver, verified by the specification's own libraries.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::on_both_engines;
use crate::world::{World, about, id, pending, transfer, unique};

on_both_engines! {
    a_delivery_is_verified_by_the_specifications_library
    a_receiver_is_paused_replayed_and_removed
    events_that_were_given_up_are_listed_by_page_and_sent_again
    a_second_rotation_waits_until_the_old_secret_is_dropped
    a_receiver_and_a_reader_choose_types_of_events
    the_receiver_of_the_page_takes_what_is_ours_and_nothing_else
    promise_34_nobody_sees_or_moves_another_tenants_receiver
    promise_04_secrets_are_shown_once_and_lie_sealed
}

/// A message as it arrived.
#[derive(Clone, Debug)]
struct Message {
    headers: Value,
    body: String,
}

impl Message {
    fn sequence(&self) -> i64 {
        let body: Value = serde_json::from_str(&self.body).unwrap();
        body["sequence"].as_i64().unwrap()
    }
}

/// A receiver on a port of its own that answers with `status`.
#[derive(Clone)]
struct Receiver {
    url: String,
    status: Arc<AtomicU16>,
    messages: Arc<Mutex<Vec<Message>>>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (status, messages) = (Arc::new(AtomicU16::new(204)), Arc::default());
        let receiver = Self { url, status, messages };
        let own = receiver.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut stream = BufReader::new(stream);
                let message = read(&mut stream);
                let status = own.status.load(Ordering::SeqCst);
                own.messages.lock().unwrap().push(message);
                let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n");
                let _ = stream.get_mut().write_all(answer.as_bytes());
            }
        });
        receiver
    }

    /// Waits for `count` messages and takes them.
    #[track_caller]
    fn take(&self, count: usize) -> Vec<Message> {
        let end = Instant::now() + Duration::from_secs(30);
        while self.messages.lock().unwrap().len() < count {
            assert!(Instant::now() < end, "{:?}", self.messages.lock().unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
        std::mem::take(&mut *self.messages.lock().unwrap())
    }

    fn places(&self, count: usize) -> Vec<i64> {
        self.take(count).iter().map(Message::sequence).collect()
    }
}

fn read(stream: &mut BufReader<std::net::TcpStream>) -> Message {
    let mut headers = json!({});
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            if line.trim_end().is_empty() {
                break;
            }
            continue;
        };
        if name == "content-length" {
            length = value.parse().unwrap();
        }
        headers[name] = json!(value);
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    Message { headers, body: String::from_utf8(body).unwrap() }
}

/// Fetches the library once; `None` where there is no registry and no npm, which CI must have.
fn library() -> Option<PathBuf> {
    static ONCE: Mutex<()> = Mutex::new(());
    let _guard = ONCE.lock().unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("standardwebhooks-1.0.0");
    if folder.join("node_modules/standardwebhooks").exists() {
        return Some(folder);
    }
    std::fs::create_dir_all(&folder).unwrap();
    let install = ["install", "--no-audit", "--no-fund", "standardwebhooks@1.0.0", "--prefix"];
    let done = Command::new("npm").args(install).arg(&folder).output();
    if done.as_ref().is_ok_and(|output| output.status.success()) {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "{done:?}");
    println!("not run: npm cannot install standardwebhooks");
    None
}

/// What the docs tell a receiver in Node.js to do.
const VERIFY: &str = r#"
const { Webhook } = require("standardwebhooks");
const { secret, headers, body } = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(new Webhook(secret).verify(body, headers)));
"#;

/// True when the library takes the message for `secret`.
fn verifies(library: &Path, message: &Message, secret: &str) -> bool {
    let input = json!({ "secret": secret, "headers": message.headers, "body": message.body });
    let mut node = Command::new("node")
        .args(["-e", VERIFY])
        .env("NODE_PATH", library.join("node_modules"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    node.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    if !output.status.success() {
        return false;
    }
    let verified: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(verified, serde_json::from_str::<Value>(&message.body).unwrap());
    true
}

fn create(world: &World, receiver: &Receiver) -> (String, String) {
    let body = json!({ "url": receiver.url, "after": 0 });
    let hook = world.tenant.post("/v1/webhooks", &body).expect(201);
    (id(&hook), hook["secret"].as_str().unwrap().to_owned())
}

fn act(world: &World, hook: &str, what: &str) -> crate::support::Answer {
    world.tenant.post(&format!("/v1/webhooks/{hook}/{what}"), &json!({}))
}

fn a_delivery_is_verified_by_the_specifications_library(world: &World) {
    let Some(library) = library() else { return };
    let receiver = Receiver::start();
    let (hook, secret) = create(world, &receiver);
    assert!(secret.starts_with("whsec_"));
    let (bank, ann) = world.bank_and_customer(7);
    let message = receiver.take(1).remove(0);
    assert!(verifies(&library, &message, &secret));
    let mut forged = message.clone();
    forged.body = forged.body.replace("\"7\"", "\"8\"");
    assert_ne!(forged.body, message.body);
    assert!(!verifies(&library, &forged, &secret));
    let body: Value = serde_json::from_str(&message.body).unwrap();
    assert_eq!(body["type"], "ledger.transfer");
    assert_eq!(body["data"]["legs"][0], json!({ "debit": bank, "credit": ann, "amount": "7" }));
    let listed = world.tenant.get("/v1/events").expect(200);
    assert_eq!(listed["items"][0]["data"], body["data"], "the stream says the same");

    // Two live secrets: while the receiver is changed over, both verify.
    let rotated = act(world, &hook, "rotate-secret").expect(200);
    let rotated = rotated["secret"].as_str().unwrap();
    world.post(&transfer(&bank, &ann, 1)).expect(201);
    let both = receiver.take(1).remove(0);
    assert!(verifies(&library, &both, &secret) && verifies(&library, &both, rotated));
    assert_eq!(act(world, &hook, "drop-old-secret").expect(200)["has_old_secret"], false);
    world.post(&transfer(&bank, &ann, 1)).expect(201);
    let one = receiver.take(1).remove(0);
    assert!(!verifies(&library, &one, &secret) && verifies(&library, &one, rotated));
}

fn a_receiver_is_paused_replayed_and_removed(world: &World) {
    let receiver = Receiver::start();
    let (hook, _) = create(world, &receiver);
    let (bank, ann) = world.bank_and_customer(7);
    assert_eq!(receiver.places(1), [1]);
    assert_eq!(act(world, &hook, "pause").expect(200)["enabled"], false);
    for _ in 0..3 {
        world.post(&transfer(&bank, &ann, 1)).expect(201);
    }
    world.tenant.wait_for("/v1/events", |page| page["next"] == 4);
    std::thread::sleep(Duration::from_millis(600));
    assert!(receiver.messages.lock().unwrap().is_empty());
    act(world, &hook, "resume").expect(200);
    assert_eq!(receiver.places(3), [2, 3, 4]);

    let path = format!("/v1/webhooks/{hook}");
    let replay = |first: i64, last: i64| {
        let body = json!({ "first": first, "last": last });
        world.tenant.post(&format!("{path}/replay"), &body)
    };
    assert_eq!(replay(2, 3).status, 202);
    assert_eq!(receiver.places(2), [2, 3]);
    assert_eq!(replay(3, 2).refusal(), (422, "unprocessable"));
    assert_eq!(replay(1, 10_001).refusal(), (422, "unprocessable"));

    receiver.status.store(500, Ordering::SeqCst);
    world.post(&transfer(&bank, &ann, 1)).expect(201);
    let shown = world.tenant.wait_for(&path, |hook| hook["attempts"].as_i64() > Some(0));
    assert_eq!(shown["last_error"], "the receiver answered 500");
    let letters = world.tenant.get(&format!("{path}/dead-letters")).expect(200);
    assert_eq!(letters, json!({ "items": [], "next": null }));
    let retried = act(world, &hook, "dead-letters/retry").expect(202);
    assert_eq!(retried["count"], 0);
    receiver.status.store(410, Ordering::SeqCst);
    act(world, &hook, "resume").expect(200);
    world.tenant.wait_for(&path, |hook| hook["enabled"] == false);
    assert_eq!(world.tenant.delete(&path).status, 204);
    assert_eq!(world.tenant.get(&path).refusal(), (404, "not_found"));
    for (url, status, code) in [
        ("ftp://example.com/", 422, "invalid_url"),
        ("https://user:secret@example.com/", 422, "invalid_url"),
        ("nonsense", 422, "invalid_url"),
    ] {
        let answer = world.tenant.post("/v1/webhooks", &json!({ "url": url }));
        assert_eq!(answer.refusal(), (status, code), "{url}");
    }
}

fn events_that_were_given_up_are_listed_by_page_and_sent_again(world: &World) {
    let receiver = Receiver::start();
    let (hook, _) = create(world, &receiver);
    let (bank, ann) = world.bank_and_customer(7);
    for _ in 0..4 {
        world.post(&transfer(&bank, &ann, 1)).expect(201);
    }
    assert_eq!(receiver.places(5), [1, 2, 3, 4, 5]);
    world.server.give_up(&hook, 2..=4);
    let path = format!("/v1/webhooks/{hook}/dead-letters");
    let first = world.tenant.get(&format!("{path}?limit=2")).expect(200);
    let letter = |sequence: i64| {
        json!({
            "sequence": sequence, "attempts": 10, "last_error": "the receiver answered 500",
            "created_at": "2026-03-01T12:00:00Z",
        })
    };
    assert_eq!(first, json!({ "items": [letter(2), letter(3)], "next": 3 }));
    let rest = world.tenant.get(&format!("{path}?limit=2&after=3")).expect(200);
    assert_eq!(rest, json!({ "items": [letter(4)], "next": null }));
    assert_eq!(act(world, &hook, "dead-letters/retry").expect(202)["count"], 3);
    assert_eq!(receiver.places(3), [2, 3, 4]);
    world.tenant.wait_for(&path, |page| page["items"] == json!([]));

    // A range that goes past the end is what there is of it, all in one statement.
    let replay = json!({ "first": 3, "last": 10_002 });
    let replayed = world.tenant.post(&format!("/v1/webhooks/{hook}/replay"), &replay);
    assert_eq!(replayed.status, 202);
    assert_eq!(receiver.places(3), [3, 4, 5]);
    let replay = json!({ "first": 6, "last": 7 });
    let replayed = world.tenant.post(&format!("/v1/webhooks/{hook}/replay"), &replay);
    assert_eq!(replayed.status, 202);
    world.post(&transfer(&bank, &ann, 1)).expect(201);
    assert_eq!(receiver.places(1), [6], "once");
}

fn a_second_rotation_waits_until_the_old_secret_is_dropped(world: &World) {
    let receiver = Receiver::start();
    let (hook, first) = create(world, &receiver);
    let second = act(world, &hook, "rotate-secret").expect(200);
    let stored = world.server.stored_webhook_secrets(&hook);
    assert_eq!(act(world, &hook, "rotate-secret").refusal(), (409, "invalid_state"));
    assert_eq!(world.server.stored_webhook_secrets(&hook), stored, "both live on");
    act(world, &hook, "drop-old-secret").expect(200);
    let third = act(world, &hook, "rotate-secret").expect(200);
    assert!(third != second && third["secret"] != first.as_str());
}

fn a_receiver_and_a_reader_choose_types_of_events(world: &World) {
    let receiver = Receiver::start();
    let body = json!({ "url": receiver.url, "types": ["ledger.reversal", "ledger.void_pending"] });
    let hook = world.tenant.post("/v1/webhooks", &body).expect(201);
    let path = format!("/v1/webhooks/{}", id(&hook));
    assert_eq!(hook["types"], json!(["ledger.reversal", "ledger.void_pending"]));
    let (bank, ann) = world.bank_and_customer(7);
    let (paid, hold) = (transfer(&bank, &ann, 5), pending(&ann, &bank, 3));
    for body in [&paid, &about("reversal", &paid), &hold, &about("void_pending", &hold)] {
        world.post(body).expect(201);
    }
    assert_eq!(receiver.places(2), [3, 5]);
    assert_eq!(world.tenant.get(&path).expect(200)["last_error"], Value::Null);

    let read = |query: &str| {
        let page = world.tenant.get(&format!("/v1/events?{query}")).expect(200);
        let sequences = page["items"].as_array().unwrap().iter().map(|item| &item["sequence"]);
        let sequences: Vec<i64> = sequences.map(|number| number.as_i64().unwrap()).collect();
        (sequences, page["next"].as_i64().unwrap())
    };
    assert_eq!(read("types=ledger.reversal"), (vec![3], 5), "it goes on behind the others");
    assert_eq!(read("types=ledger.pending,ledger.transfer&limit=2"), (vec![1, 2], 2));
    assert_eq!(read("types=ledger.pending,ledger.transfer&limit=2&after=2"), (vec![4], 5));
    assert_eq!(read("types=ledger.*"), (vec![1, 2, 3, 4, 5], 5));
    assert_eq!(read("types=ledger.post_pending&after=1&wait_secs=1"), (vec![], 5));
    for query in ["types=ledger.transfers", "types=loan.*", "types=*", "types=ledger."] {
        let answer = world.tenant.get(&format!("/v1/events?{query}"));
        assert_eq!(answer.refusal(), (422, "unprocessable"), "{query}");
    }

    let choose =
        |types: Value| world.tenant.put(&format!("{path}/types"), &json!({ "types": types }));
    assert_eq!(choose(json!(["loan.*"])).refusal(), (422, "unprocessable"));
    assert_eq!(choose(json!(["ledger.pending"])).expect(200)["types"], json!(["ledger.pending"]));
    // The last of the range is the one that is sent, so that nothing of it is left for the next choice.
    let replay = json!({ "first": 1, "last": 4 });
    assert_eq!(world.tenant.post(&format!("{path}/replay"), &replay).status, 202);
    assert_eq!(receiver.places(1), [4]);
    assert_eq!(choose(json!([])).expect(200)["types"], json!([]));
    world.post(&transfer(&bank, &ann, 1)).expect(201);
    assert_eq!(receiver.places(1), [6]);
}

/// Puts Python's library into a folder once; `None` where pip cannot, which it must in CI.
fn python_library() -> Option<PathBuf> {
    static ONCE: Mutex<()> = Mutex::new(());
    let _guard = ONCE.lock().unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("standardwebhooks-1.1.0-py");
    if folder.join("standardwebhooks-1.1.0.dist-info/RECORD").exists() {
        return Some(folder);
    }
    let pip = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"];
    let done = Command::new("python3")
        .args(pip)
        .args(["standardwebhooks==1.1.0", "--upgrade", "--target"])
        .arg(&folder)
        .output();
    if done.as_ref().is_ok_and(|output| output.status.success()) {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "{done:?}");
    println!("not run: pip cannot install standardwebhooks");
    None
}

/// The receiver that the docs show, as it stands there, on a port of its own.
struct PageReceiver {
    process: std::process::Child,
    said: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl PageReceiver {
    fn start(library: &Path, port: u16, secret: &str) -> Self {
        let page = include_str!("../../../../docs/API-LEDGER.md");
        let mut blocks = page.split("```python\n").skip(1);
        let script = blocks.find(|block| block.contains("class Receiver")).unwrap();
        let script = script.split("```").next().unwrap();
        let mut process = Command::new("python3")
            .args(["-u", "-c", script])
            .env("PYTHONPATH", library)
            .env("WEBHOOK_SECRET", secret)
            .env("PORT", port.to_string())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let said = BufReader::new(process.stdout.take().unwrap()).lines();
        let end = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "the receiver of the page does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { process, said }
    }
}

impl Drop for PageReceiver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn the_receiver_of_the_page_takes_what_is_ours_and_nothing_else(world: &World) {
    let Some(library) = python_library() else { return };
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let body = json!({ "url": format!("http://127.0.0.1:{port}/hook") });
    let hook = world.tenant.post("/v1/webhooks", &body).expect(201);
    let path = format!("/v1/webhooks/{}", id(&hook));
    let secret = hook["secret"].as_str().unwrap();
    let mut receiver = PageReceiver::start(&library, port, secret);
    let (bank, ann) = world.bank_and_customer(7);
    let line = receiver.said.next().unwrap().unwrap();
    assert!(line.starts_with("evt_") && line.contains("ledger.transfer"), "{line}");
    world.tenant.wait_for(&path, |hook| hook["last_sequence"] == 1);
    // It refuses what another secret signed.
    drop(receiver);
    let _other = PageReceiver::start(&library, port, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    world.post(&transfer(&bank, &ann, 1)).expect(201);
    let shown = world.tenant.wait_for(&path, |hook| hook["attempts"].as_i64() > Some(0));
    assert_eq!(shown["last_error"], "the receiver answered 400");
    assert_eq!(shown["last_sequence"], 1);
}

fn promise_34_nobody_sees_or_moves_another_tenants_receiver(world: &World) {
    let receiver = Receiver::start();
    let (hook, _) = create(world, &receiver);
    let stranger = world.server.tenant(&unique("stranger"));
    let path = format!("/v1/webhooks/{hook}");
    assert_eq!(stranger.get("/v1/webhooks").expect(200), json!([]));
    assert_eq!(stranger.get(&path).refusal(), (404, "not_found"));
    assert_eq!(stranger.get(&format!("{path}/dead-letters")).refusal(), (404, "not_found"));
    for what in ["rotate-secret", "drop-old-secret", "pause", "resume", "dead-letters/retry"] {
        let answer = stranger.post(&format!("{path}/{what}"), &json!({}));
        assert_eq!(answer.refusal(), (404, "not_found"), "{what}");
    }
    let replay = json!({ "first": 1, "last": 1 });
    assert_eq!(stranger.post(&format!("{path}/replay"), &replay).refusal(), (404, "not_found"));
    let types = stranger.put(&format!("{path}/types"), &json!({ "types": [] }));
    assert_eq!(types.refusal(), (404, "not_found"));
    assert_eq!(stranger.delete(&path).refusal(), (404, "not_found"));
    // It is told about its own tenant's events alone.
    let new = json!({ "code": "a", "asset": "EUR", "side": "debit", "floor": "none" });
    let a = id(&stranger.post("/v1/ledger/accounts", &new).expect(201));
    let new = json!({ "code": "b", "asset": "EUR", "side": "debit", "floor": "none" });
    let b = id(&stranger.post("/v1/ledger/accounts", &new).expect(201));
    stranger.post("/v1/ledger/transfers", &transfer(&a, &b, 1)).expect(201);
    stranger.wait_for("/v1/events", |page| page["next"] == 1);
    let (bank, _) = world.bank_and_customer(3);
    let message = receiver.take(1).remove(0);
    assert!(message.body.contains(&format!("\"debit\":\"{bank}\"")), "{message:?}");
    std::thread::sleep(Duration::from_millis(600));
    assert!(receiver.messages.lock().unwrap().is_empty());
}

fn promise_04_secrets_are_shown_once_and_lie_sealed(world: &World) {
    let receiver = Receiver::start();
    let (hook, secret) = create(world, &receiver);
    let shown = world.tenant.get(&format!("/v1/webhooks/{hook}"));
    let listed = world.tenant.get("/v1/webhooks");
    for answer in [shown, listed] {
        assert!(!answer.body.to_string().contains("whsec_"), "{answer:?}");
    }
    let rotated = act(world, &hook, "rotate-secret").expect(200);
    let rotated = rotated["secret"].as_str().unwrap().to_owned();
    use base64::Engine as _;
    for secret in [secret, rotated] {
        let text = secret.strip_prefix("whsec_").unwrap().to_owned();
        let bytes = base64::engine::general_purpose::STANDARD.decode(&text).unwrap();
        assert_eq!(bytes.len(), 32);
        let stored = world.server.stored_webhook_secrets(&hook);
        assert_eq!(stored.len(), 2);
        for sealed in stored {
            assert!(!sealed.windows(32).any(|window| window == bytes));
            assert!(!sealed.windows(text.len()).any(|window| window == text.as_bytes()));
        }
    }
}
