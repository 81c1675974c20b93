//! Promise 8: who may connect, and what a hostile peer can do.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use signer_client::SignerClient;
use signer_daemon::{Config, Server};
use signer_protocol::{
    AddressRequest, CheckpointRequest, FreezeRequest, Hello, JournalHead, Refusal, RefusalCode,
    Request, Response, Signer, SignerError, VERSION, decode, encode,
};

use crate::common::*;

fn start(place: &Place) -> Server {
    start_with(place, place.config.clone())
}

fn start_with(place: &Place, config: Config) -> Server {
    Server::start(place.engine(), config).unwrap()
}

fn client(place: &Place) -> SignerClient {
    SignerClient::new(&place.config.socket, None)
}

fn say(stream: &mut UnixStream, request: &Request) -> Response {
    stream.write_all(&encode(request).unwrap()).unwrap();
    hear(stream)
}

fn hear(stream: &mut UnixStream) -> Response {
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut header = [0; 4];
    stream.read_exact(&mut header).unwrap();
    let mut body = vec![0; u32::from_be_bytes(header) as usize];
    stream.read_exact(&mut body).unwrap();
    decode(&body).unwrap()
}

fn hello() -> Request {
    Request::Hello(Hello { version: VERSION, journal_seen: None })
}

#[tokio::test]
async fn the_client_does_everything_over_the_socket() {
    let place = Place::new();
    let requests = three(&mut place.engine());
    let mut server = start(&place);
    let client = client(&place);
    let answer = client.hello().await.unwrap();
    assert_eq!(answer.chains.len(), 3);
    assert!(answer.log_keys[0].starts_with("roadstead.local/log+"));
    let request = AddressRequest { chain: chain(EVM), key: "bip44-evm/16/0/0".parse().unwrap() };
    let address = client.address(&request).await.unwrap();
    assert_eq!(client.address(&request).await.unwrap(), address);
    for request in &requests {
        let signed = client.sign(request).await.unwrap();
        assert_eq!(client.sign(request).await.unwrap().signatures, signed.signatures);
        assert_eq!(client.last_head().await, Some(signed.journal));
    }
    let checkpoint = CheckpointRequest { origin: ORIGIN.to_owned(), size: 1, root: [1; 32] };
    let note = client.checkpoint(&checkpoint).await.unwrap().note;
    assert!(note.contains("\n\n\u{2014} roadstead.local/log "));
    // The signer restarts; the client connects again by itself.
    server.stop();
    let down = client.sign(&requests[0]).await;
    assert!(matches!(down, Err(SignerError::Unreachable(_))), "{down:?}");
    let _server = start(&place);
    client.sign(&requests[0]).await.unwrap();
    let freeze = FreezeRequest { asset: None, account: Some(0), reason: "test".to_owned() };
    assert_eq!(client.freeze(&freeze).await.unwrap(), client.frozen().await.unwrap());
    let frozen = client.sign(&requests[0]).await;
    let Err(SignerError::Refused(refusal)) = frozen else { panic!("{frozen:?}") };
    assert!(refusal.code.is_temporary());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn promise_15_ten_connections_race_for_a_slot() {
    let place = Place::new();
    let mut engine = place.engine();
    let requests: Vec<_> =
        (0..10).map(|id| evm_withdrawal(&mut engine, 100 + id, 7, 1_000 + id)).collect();
    drop(engine);
    let _server = start(&place);
    let tasks: Vec<_> = requests
        .into_iter()
        .map(|request| {
            let client = client(&place);
            tokio::spawn(async move { client.sign(&request).await })
        })
        .collect();
    let mut signed = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => signed += 1,
            Err(SignerError::Refused(Refusal { code: RefusalCode::Conflict, .. })) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(signed, 1);
}

#[test]
fn promise_08_a_length_of_4_gib_is_refused_and_costs_nothing() {
    let place = Place::new();
    let _server = start(&place);
    let mut stream = UnixStream::connect(&place.config.socket).unwrap();
    stream.write_all(&[0xFF; 4]).unwrap();
    let Response::Refused(refusal) = hear(&mut stream) else { panic!("accepted") };
    assert_eq!(refusal.code, RefusalCode::BadRequest);
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0, "and the connection is closed");
}

#[test]
fn promise_08_a_dripping_peer_is_cut_off_and_harms_nobody() {
    let place = Place::new();
    let config = Config { request_timeout_seconds: 1, ..place.config.clone() };
    let _server = start_with(&place, config);
    let mut slow = UnixStream::connect(&place.config.socket).unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let started = Instant::now();
    slow.write_all(&[0, 0, 1, 0]).unwrap();
    let mut good = UnixStream::connect(&place.config.socket).unwrap();
    // A byte each 200 ms would keep a time-out per read alive for ever.
    while started.elapsed() < Duration::from_secs(8) {
        if slow.write_all(b" ").is_err() {
            break;
        }
        assert!(matches!(say(&mut good, &hello()), Response::Hello(_)));
        std::thread::sleep(Duration::from_millis(200));
    }
    let took = started.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[test]
fn promise_08_connections_are_counted() {
    let place = Place::new();
    let config = Config { connections_max: 2, ..place.config.clone() };
    let _server = start_with(&place, config);
    let mut kept: Vec<_> =
        (0..2).map(|_| UnixStream::connect(&place.config.socket).unwrap()).collect();
    for stream in &mut kept {
        assert!(matches!(say(stream, &hello()), Response::Hello(_)));
    }
    let mut third = UnixStream::connect(&place.config.socket).unwrap();
    third.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert_eq!(third.read(&mut [0; 1]).unwrap_or(0), 0, "closed at once");
    drop(kept);
    let answered = (0..50).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        let mut stream = UnixStream::connect(&place.config.socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(&encode(&hello()).unwrap()).is_ok()
            && stream.read_exact(&mut [0; 4]).is_ok()
    });
    assert!(answered, "places are free again");
}

#[test]
fn promise_08_other_users_and_strangers_are_not_answered() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let own = rustix::process::geteuid().as_raw();
    let config = Config { allowed_uids: Some(vec![own + 1]), ..place.config.clone() };
    let _server = start_with(&place, config);
    let mode = std::fs::metadata(&place.config.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut stream = UnixStream::connect(&place.config.socket).unwrap();
    let _ = stream.write_all(&encode(&hello()).unwrap());
    assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0);
}

#[tokio::test]
async fn promise_08_the_client_checks_who_answers() {
    let place = Place::new();
    let _server = start(&place);
    let own = rustix::process::geteuid().as_raw();
    let client = client(&place).with_signer_uid(own + 1);
    let answer = client.hello().await;
    assert!(matches!(answer, Err(SignerError::Malformed(_))), "{answer:?}");
}

#[tokio::test]
async fn promise_08_the_client_gives_up_on_a_silent_signer() {
    let place = Place::new();
    let _silent = std::os::unix::net::UnixListener::bind(&place.config.socket).unwrap();
    let client = client(&place).with_timeout(Duration::from_millis(300));
    let started = Instant::now();
    let answer = client.frozen().await;
    assert!(matches!(answer, Err(SignerError::Unreachable(_))), "{answer:?}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_connection_starts_with_a_hello_of_this_version() {
    let place = Place::new();
    let _server = start(&place);
    let mut stream = UnixStream::connect(&place.config.socket).unwrap();
    let Response::Refused(refusal) = say(&mut stream, &Request::Frozen) else { panic!("served") };
    assert_eq!(refusal.code, RefusalCode::BadRequest);
    let other = Request::Hello(Hello { version: VERSION + 1, journal_seen: None });
    let Response::Refused(refusal) = say(&mut stream, &other) else { panic!("served") };
    assert_eq!(refusal.code, RefusalCode::Version);
    let Response::Refused(_) = say(&mut stream, &Request::Frozen) else { panic!("served") };
    stream.write_all(&[0, 0, 0, 2, b'{', b'}']).unwrap();
    let Response::Refused(refusal) = hear(&mut stream) else { panic!("served") };
    assert_eq!(refusal.code, RefusalCode::BadRequest);
    assert!(matches!(say(&mut stream, &hello()), Response::Hello(_)));
    assert!(matches!(say(&mut stream, &Request::Frozen), Response::Frozen { .. }));
}

#[tokio::test]
async fn promise_09_a_client_that_has_seen_more_stops_all_signing() {
    let place = Place::new();
    let request = evm_withdrawal(&mut place.engine(), 1, 0, 1);
    let _server = start(&place);
    let fresh = client(&place);
    fresh.sign(&request).await.unwrap();
    let future = JournalHead { records: 99, hash: [9; 32] };
    let ahead = SignerClient::new(&place.config.socket, Some(future.clone()));
    let answer = ahead.sign(&request).await;
    let Err(SignerError::Refused(refusal)) = answer else { panic!("{answer:?}") };
    assert_eq!(refusal.code, RefusalCode::JournalRolledBack);
    assert!(refusal.detail.contains(&signer_daemon::show(&future)), "{refusal}");
    let answer = fresh.sign(&request).await;
    assert!(matches!(answer, Err(SignerError::Refused(_))), "for every client: {answer:?}");
    assert_eq!(ahead.last_head().await, Some(future), "an older head does not replace it");
}
