//! A node that lies, stalls or babbles, over a real socket.

use std::sync::Arc;
use std::time::Duration;

use chain_core::{BroadcastOutcome, ChainId, Node, NodeError, SignedTx, TxId, TxStatus, WatchSet};
use chain_nodes::solana::{SolanaNode, SolanaOptions};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const GENESIS: &str = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d";

/// What the node answers to a method.
enum Says {
    Result(Value),
    Error(i64, Value),
    Raw(&'static str, &'static str),
    Nothing,
}

type Script = dyn Fn(&str, &Value) -> Says + Send + Sync;

fn chain() -> ChainId {
    format!("solana:{}", &GENESIS[..32]).parse().unwrap()
}

/// A node that is honest about its genesis and else follows `script`.
async fn node(script: impl Fn(&str, &Value) -> Says + Send + Sync + 'static) -> SolanaNode {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let script: Arc<Script> = Arc::new(script);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let script = Arc::clone(&script);
            tokio::spawn(async move { serve(stream, &*script).await });
        }
    });
    let options = SolanaOptions { limit: Duration::from_millis(500), ..SolanaOptions::default() };
    SolanaNode::connect(&url, chain(), options).await.unwrap()
}

/// Answers one request and closes the connection.
async fn serve(mut stream: TcpStream, script: &Script) {
    let request = request(&mut stream).await;
    let said = match request["method"].as_str().unwrap() {
        "getGenesisHash" => Says::Result(json!(GENESIS)),
        method => script(method, &request["params"]),
    };
    let (status, body) = match said {
        Says::Result(result) => ("200 OK", json!({ "jsonrpc": "2.0", "id": 1, "result": result })),
        Says::Error(code, data) => {
            let error = json!({ "code": code, "message": "no", "data": data });
            ("200 OK", json!({ "jsonrpc": "2.0", "id": 1, "error": error }))
        }
        Says::Raw(status, body) => return answer(&mut stream, status, body).await,
        Says::Nothing => return tokio::time::sleep(Duration::from_secs(60)).await,
    };
    answer(&mut stream, status, &body.to_string()).await;
}

async fn request(stream: &mut TcpStream) -> Value {
    let mut received = Vec::new();
    loop {
        stream.read_buf(&mut received).await.unwrap();
        let text = String::from_utf8_lossy(&received);
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body);
        if let Some(request) = body.and_then(|body| serde_json::from_str(body).ok()) {
            return request;
        }
    }
}

async fn answer(stream: &mut TcpStream, status: &str, body: &str) {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    // The other side may have hung up already.
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}

fn signed() -> SignedTx {
    SignedTx { chain: chain(), id: TxId("signature".to_owned()), bytes: vec![1, 2, 3] }
}

/// A node that answers `sending` to a transaction and `status` to the question where it is.
async fn sends(sending: fn() -> Says, status: Value) -> Result<BroadcastOutcome, NodeError> {
    let node = node(move |method, _| match method {
        "sendTransaction" => sending(),
        "getSignatureStatuses" => {
            Says::Result(json!({ "context": { "slot": 9 }, "value": [status] }))
        }
        other => panic!("{other}"),
    });
    node.await.broadcast(&signed()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_29_a_refusal_counts_only_when_the_chain_does_not_know_the_transaction() {
    let landed = json!({ "slot": 8, "err": null, "confirmationStatus": "confirmed" });
    let stale = || Says::Error(-32_002, json!({ "err": "BlockhashNotFound" }));
    let outcome = sends(stale, landed).await.unwrap();
    assert_eq!(outcome, BroadcastOutcome::AlreadyKnown, "it moved the nonce itself");
    let Ok(BroadcastOutcome::Rejected { reason }) = sends(stale, json!(null)).await else {
        panic!("another transaction moved the nonce");
    };
    assert!(reason.contains("BlockhashNotFound"), "{reason}");
    let processed = || Says::Error(-32_002, json!({ "err": "AlreadyProcessed" }));
    let outcome = sends(processed, json!(null)).await.unwrap();
    assert_eq!(outcome, BroadcastOutcome::AlreadyKnown);
    let accepted = || Says::Result(json!("signature"));
    assert_eq!(sends(accepted, json!(null)).await.unwrap(), BroadcastOutcome::Accepted);
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_29_trouble_of_the_node_is_no_refusal() {
    let nothing = || Says::Nothing;
    let page = || Says::Raw("502 Bad Gateway", "<html>try later</html>");
    let busy = || Says::Raw("429 Too Many Requests", "slow down");
    for unknown in [nothing, page, busy] {
        let outcome = sends(unknown, json!(null)).await;
        assert!(matches!(outcome, Err(NodeError::Unreachable(_))), "{outcome:?}");
    }
    let behind = || Says::Error(-32_005, json!({ "numSlotsBehind": 42 }));
    let internal = || Says::Error(-32_603, json!(null));
    for unknown in [behind, internal] {
        let outcome = sends(unknown, json!(null)).await;
        assert!(matches!(outcome, Err(NodeError::Refused(_))), "{outcome:?}");
    }
    let other = || Says::Result(json!("another signature"));
    let babble = || Says::Raw("200 OK", "{\"jsonrpc\":");
    for unknown in [other, babble] {
        let outcome = sends(unknown, json!(null)).await;
        assert!(matches!(outcome, Err(NodeError::Malformed(_))), "{outcome:?}");
    }
}

fn block(slot: u64, hash: &str, parent: &str) -> Value {
    json!({
        "blockhash": hash, "previousBlockhash": parent, "parentSlot": slot - 1,
        "blockTime": 1_700_000_000, "transactions": [],
    })
}

/// A chain of slots 5 to 7 with a skipped slot 6, and the given answers instead.
async fn chain_of(slots: Value, seventh: fn() -> Says) -> SolanaNode {
    let script = move |method: &str, params: &Value| match (method, params[0].as_u64()) {
        ("getSlot", _) => Says::Result(json!(7)),
        ("getBlocks", Some(7)) => Says::Result(json!([7])),
        ("getBlocks", _) => Says::Result(slots.clone()),
        ("getBlock", Some(5)) => Says::Result(block(5, "e", "d")),
        ("getBlock", Some(6)) => Says::Error(-32_007, json!(null)),
        ("getBlock", Some(7)) => seventh(),
        other => panic!("{other:?}"),
    };
    node(script).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_in_the_chain_is_an_error_and_a_skipped_slot_is_none() {
    let nothing = WatchSet::default();
    let good = chain_of(json!([5, 7]), || Says::Result(block(7, "g", "e"))).await;
    let blocks = good.scan(5, 7, &nothing).await.unwrap();
    assert_eq!(blocks.iter().map(|block| block.block.height).collect::<Vec<_>>(), [5, 7]);
    assert_eq!(good.block_at(6).await.unwrap(), None, "skipped");
    let tip = good.tip().await.unwrap();
    assert_eq!((tip.head.height, tip.finalized), (7, Some(7)));

    let lost: [(Value, fn() -> Says); 4] = [
        (json!([5, 7]), || Says::Result(block(7, "g", "f"))),
        (json!([5, 7]), || Says::Result(json!(null))),
        (json!([5, 7]), || Says::Error(-32_004, json!(null))),
        (json!([7, 5]), || Says::Result(block(7, "g", "e"))),
    ];
    for (slots, seventh) in lost {
        let found = chain_of(slots.clone(), seventh).await.scan(5, 7, &nothing).await;
        assert!(found.is_err(), "{slots} {found:?}");
    }
    let beyond = good.scan(5, 8, &nothing).await;
    assert!(matches!(beyond, Err(NodeError::NotAvailable(_))), "{beyond:?}");
}

/// The status of a transaction that the node reports at `level`, of which it shows no more.
async fn status(level: Value) -> TxStatus {
    let script = move |method: &str, _: &Value| match method {
        "getSignatureStatuses" => {
            let found = json!({ "slot": 8, "err": null, "confirmationStatus": level });
            Says::Result(json!({ "context": { "slot": 9 }, "value": [found] }))
        }
        "getTransaction" => Says::Result(json!(null)),
        other => panic!("{other}"),
    };
    node(script).await.status(&TxId("signature".to_owned())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_pending_until_the_node_can_show_it() {
    for level in [json!("processed"), json!(null), json!("confirmed"), json!("finalized")] {
        assert_eq!(status(level.clone()).await, TxStatus::Pending, "{level}");
    }
    let other =
        SignedTx { chain: "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1".parse().unwrap(), ..signed() };
    let node = node(|method, _| panic!("{method} is not to be asked")).await;
    let refused = node.broadcast(&other).await;
    assert!(matches!(refused, Err(NodeError::Refused(_))), "{refused:?}");
}
