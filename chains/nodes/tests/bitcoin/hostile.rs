//! A node that lies, stalls or babbles, over a real socket.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hashes::Hash;
use bitcoin::{Network, Transaction, Txid};
use chain_core::{BroadcastOutcome, Node, NodeError, SignedTx, TxId, TxStatus, WatchSet};
use chain_nodes::bitcoin::{BitcoinAuth, BitcoinNode, BitcoinNodeConfig};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::regtest;

/// What the node answers to a method: a result, an error, or nothing for ever.
enum Says {
    Result(Value),
    Error(i64, &'static str),
    Raw(Vec<u8>),
    Nothing,
}

type Script = dyn Fn(&str, &Value) -> Option<Says> + Send + Sync;

/// Serves honest answers for the connection, and `script` before them.
async fn node(
    script: impl Fn(&str, &Value) -> Option<Says> + Send + Sync + 'static,
) -> BitcoinNode {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let script: Arc<Script> = Arc::new(script);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let script = Arc::clone(&script);
            tokio::spawn(async move {
                let _ = serve(stream, &*script).await;
            });
        }
    });
    let auth = BitcoinAuth::UserPassword { user: "u".into(), password: "p".into() };
    let config = BitcoinNodeConfig { url, auth, chain: regtest(), fallback_fee_sat_per_kwu: None };
    BitcoinNode::connect(config).await.unwrap()
}

async fn serve(mut stream: TcpStream, script: &Script) -> Result<()> {
    let mut received = Vec::new();
    loop {
        let (head, body_at) = loop {
            if let Some(at) = received.windows(4).position(|window| window == b"\r\n\r\n") {
                break (String::from_utf8_lossy(&received[..at]).to_lowercase(), at + 4);
            }
            if stream.read_buf(&mut received).await? == 0 {
                return Ok(());
            }
        };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let end = body_at + length.unwrap().parse::<usize>()?;
        while received.len() < end {
            stream.read_buf(&mut received).await?;
        }
        let request: Value = serde_json::from_slice(&received[body_at..end])?;
        received.drain(..end);
        let method = request["method"].as_str().unwrap_or_default();
        let answer = script(method, &request["params"]).unwrap_or_else(|| honest(method));
        let body = match answer {
            Says::Result(result) => json!({ "jsonrpc": "2.0", "id": 0, "result": result }),
            Says::Error(code, message) => {
                json!({ "id": 0, "error": { "code": code, "message": message } })
            }
            Says::Raw(bytes) => {
                stream.write_all(&bytes).await?;
                return Ok(());
            }
            Says::Nothing => std::future::pending().await,
        };
        let body = body.to_string();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).await?;
    }
}

fn genesis() -> bitcoin::Block {
    bitcoin::constants::genesis_block(Network::Regtest)
}

fn honest(method: &str) -> Says {
    match method {
        "getblockhash" => Says::Result(json!(genesis().block_hash())),
        "getindexinfo" => {
            Says::Result(json!({ "txindex": { "synced": true, "best_block_height": 0 } }))
        }
        "getblockcount" => Says::Result(json!(0)),
        _ => Says::Error(-32601, "no such method"),
    }
}

async fn scanned(block: bitcoin::Block) -> Result<usize, NodeError> {
    let hex = serialize_hex(&block);
    let node =
        node(move |method, _| (method == "getblock").then(|| Says::Result(json!(hex)))).await;
    node.scan(0, 0, &WatchSet::default()).await.map(|blocks| blocks.len())
}

#[tokio::test]
async fn promise_24_a_block_has_to_be_what_its_hash_says() {
    assert_eq!(scanned(genesis()).await.unwrap(), 1);
    let mut other_header = genesis();
    other_header.header.nonce += 1;
    let mut other_payee = genesis();
    other_payee.txdata[0].output[0].value = bitcoin::Amount::MAX_MONEY;
    let mut one_more = genesis();
    one_more.txdata.push(genesis().txdata[0].clone());
    one_more.txdata[1].lock_time = bitcoin::absolute::LockTime::from_consensus(5);
    for lie in [other_header, other_payee, one_more] {
        let error = scanned(lie).await.unwrap_err();
        assert!(matches!(error, NodeError::Malformed(_)), "{error}");
    }
}

/// Merkle trees of Bitcoin repeat the last node of an odd level, so that a block with its last
/// transactions listed twice has the same hash (CVE-2012-2459): a deposit would be seen twice.
#[tokio::test]
async fn promise_18_a_block_that_lists_a_transaction_twice_is_refused() {
    let (first, mut second) = (genesis().txdata[0].clone(), genesis().txdata[0].clone());
    second.version.0 = 7;
    let with = |txdata: Vec<Transaction>| {
        let mut block = bitcoin::Block { txdata, ..genesis() };
        block.header.merkle_root = block.compute_merkle_root().unwrap();
        block
    };
    let third = Transaction { version: bitcoin::transaction::Version(8), ..second.clone() };
    let odd = with(vec![first.clone(), second.clone(), third.clone()]);
    let forged = with(vec![first, second, third.clone(), third]);
    assert_eq!(odd.block_hash(), forged.block_hash(), "the same hash for two lists");

    let hash = odd.block_hash();
    let hex = serialize_hex(&forged);
    let asked = std::sync::atomic::AtomicBool::new(false);
    let node = node(move |method, _| match method {
        // The first question is for the genesis block, at connection.
        "getblockhash" if asked.swap(true, std::sync::atomic::Ordering::SeqCst) => {
            Some(Says::Result(json!(hash)))
        }
        "getblock" => Some(Says::Result(json!(hex))),
        _ => None,
    })
    .await;
    let error = node.scan(0, 0, &WatchSet::default()).await.unwrap_err();
    assert!(matches!(error, NodeError::Malformed(_)), "{error}");
}

#[tokio::test]
async fn silence_is_no_answer_and_no_rejection() {
    let quiet = node(|method, _| (method == "getblockcount").then_some(Says::Nothing)).await;
    let tx = SignedTx { chain: regtest(), ..broadcast_of(&quiet_transaction()) };
    let silent = node(|method, _| (method == "getrawtransaction").then_some(Says::Nothing)).await;
    // From here on time passes only while everything waits.
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let error = silent.broadcast(&tx).await.unwrap_err();
    assert!(matches!(error, NodeError::Unreachable(_)), "{error}");
    assert!(began.elapsed() <= Duration::from_secs(61), "{:?}", began.elapsed());
    let error = quiet.status(&TxId("ab".repeat(32))).await.unwrap_err();
    assert!(!matches!(error, NodeError::Malformed(_)), "{error}");
}

fn quiet_transaction() -> Transaction {
    genesis().txdata[0].clone()
}

fn broadcast_of(tx: &Transaction) -> SignedTx {
    SignedTx {
        chain: regtest(),
        id: TxId(tx.compute_txid().to_string()),
        bytes: bitcoin::consensus::serialize(tx),
    }
}

#[tokio::test]
async fn only_a_verdict_on_the_transaction_is_a_rejection() {
    let tx = broadcast_of(&quiet_transaction());
    for (code, rejected) in [(-25, true), (-26, true), (-22, true), (-28, false), (-32603, false)] {
        let node = node(move |method, _| match method {
            "getrawtransaction" => Some(Says::Error(-5, "No such mempool transaction")),
            "sendrawtransaction" => Some(Says::Error(code, "in its words")),
            _ => None,
        })
        .await;
        let outcome = node.broadcast(&tx).await;
        if rejected {
            assert_eq!(
                outcome.unwrap(),
                BroadcastOutcome::Rejected { reason: "in its words".into() }
            );
        } else {
            assert!(outcome.is_err(), "{code}");
        }
    }
    let node = node(|_, _| None).await;
    let other_id = SignedTx { id: TxId(Txid::all_zeros().to_string()), ..tx };
    assert!(matches!(node.broadcast(&other_id).await, Err(NodeError::Malformed(_))));
}

#[tokio::test]
async fn odd_answers_are_errors_and_never_a_status() {
    let endless = b"HTTP/1.1 200 OK\r\ncontent-length: 40000000\r\n\r\n".to_vec();
    let endless = [endless, vec![b' '; 40_000_000]].concat();
    let answers = [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello".to_vec(),
        b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n".to_vec(),
        b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
            .to_vec(),
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"cut".to_vec(),
        endless,
    ];
    for answer in answers {
        let node = node(move |method, _| {
            (method == "getrawtransaction").then(|| Says::Raw(answer.clone()))
        })
        .await;
        assert!(node.status(&TxId("ab".repeat(32))).await.is_err());
    }
}

#[tokio::test]
async fn a_transaction_in_a_block_that_was_reorganised_away_is_not_found() {
    let stale = json!({
        "hex": serialize_hex(&quiet_transaction()),
        "blockhash": genesis().block_hash(),
        "confirmations": 0,
    });
    let node =
        node(move |method, _| (method == "getrawtransaction").then(|| Says::Result(stale.clone())))
            .await;
    let status = node.status(&TxId("ab".repeat(32))).await.unwrap();
    assert_eq!(status, TxStatus::NotFound);
}
