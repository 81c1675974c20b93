//! A node that lies, lacks methods, or breaks off: a proxy before a real anvil.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::U256;
use chain_core::{
    BroadcastOutcome, ChainId, Context, Node, NodeError, ScannedDeposit, TxStatus, WatchSet,
};
use chain_nodes::evm::{EvmNode, EvmOptions};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{Payer, TestToken, World, brief, exact};

/// What the proxy does with a question.
enum Reply {
    /// The node's own answer.
    Forward,
    /// The node's own answer, changed.
    Change(fn(Value) -> Value),
    /// A JSON-RPC error.
    Error(i64, &'static str),
    /// Something else, with this HTTP status.
    Text(u16, &'static str),
    /// Ask the node, then hang up without a word.
    SwallowAnswer,
}

type Script = dyn Fn(&str, &Value) -> Reply + Send + Sync;

async fn proxied(
    world: &World,
    script: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static,
) -> Result<EvmNode, NodeError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let script: Arc<Script> = Arc::new(script);
    let behind = world.evm().rpc_url().to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, behind.clone(), Arc::clone(&script)));
        }
    });
    let chain: ChainId = world.chain.clone();
    EvmNode::connect(&url, chain, EvmOptions { timeout: Duration::from_secs(10) }).await
}

async fn serve(mut stream: TcpStream, behind: String, script: Arc<Script>) {
    let question = read_body(&mut stream).await;
    let question: Value = serde_json::from_slice(&question).unwrap();
    let reply = script(question["method"].as_str().unwrap(), &question["params"]);
    let (status, answer) = match reply {
        Reply::Forward => (200, forward(&behind, &question).await.to_string()),
        Reply::Change(change) => (200, change(forward(&behind, &question).await).to_string()),
        Reply::Error(code, message) => {
            let error = json!({ "code": code, "message": message });
            (200, json!({ "jsonrpc": "2.0", "id": question["id"], "error": error }).to_string())
        }
        Reply::Text(status, text) => (status, text.to_owned()),
        Reply::SwallowAnswer => {
            forward(&behind, &question).await;
            return;
        }
    };
    let length = answer.len();
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(answer.as_bytes()).await.unwrap();
}

async fn read_body(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).await.unwrap();
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        let Some(end) = text.find("\r\n\r\n") else { continue };
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.unwrap().trim().parse().unwrap();
        if bytes.len() >= end + 4 + length {
            return bytes.split_off(end + 4);
        }
    }
}

async fn forward(behind: &str, question: &Value) -> Value {
    let client = reqwest_ring::Client::new();
    client.post(behind).json(question).send().await.unwrap().json().await.unwrap()
}

async fn deposits(node: &EvmNode, watch: &WatchSet) -> Vec<ScannedDeposit> {
    let blocks = node.scan(0, 99, watch).await.unwrap();
    let events = blocks.into_iter().flat_map(|block| block.events);
    events
        .map(|event| match event {
            chain_core::ChainEvent::Deposit(deposit) => deposit,
            other @ chain_core::ChainEvent::Spent { .. } => panic!("{other:?}"),
        })
        .collect()
}

/// A world where a watched address was paid in every way.
async fn paid(number: u8) -> (World, WatchSet) {
    let world = World::new().await;
    let (_, alice) = world.key(number);
    let payer = world.deploy(&Payer::BYTECODE).await;
    let token = world.deploy_test_token().await;
    world.fund(alice, 5).await;
    let split = Payer::splitCall { first: alice, second: alice };
    world.call(payer, 7, &split).await;
    world.call(payer, 50, &Payer::payAndCatchCall { to: alice }).await;
    world.call(payer, 60, &Payer::payAndRevertCall { to: alice }).await;
    world.call(payer, 9, &Payer::payByDestructionCall { to: alice }).await;
    let depth = U256::from(3);
    world.call(payer, 11, &Payer::payFromBelowCall { to: alice, depth }).await;
    let mint = TestToken::mintCall { to: alice, value: U256::from(13) };
    world.call(token, 0, &mint).await;
    let watch = WatchSet {
        addresses: [alice.to_checksum(None)].into(),
        tokens: [format!("{token:#x}")].into(),
    };
    (world, watch)
}

#[tokio::test(flavor = "multi_thread")]
async fn both_kinds_of_trace_show_the_same_payments() {
    let (world, watch) = paid(81).await;
    let nested = deposits(&world.node, &watch).await;
    let amounts: Vec<_> = brief(&nested).into_iter().map(|(_, _, amount)| amount).collect();
    assert_eq!(amounts, [5, 3, 4, 9, 11, 13].map(exact));

    let flat = proxied(&world, |method, _| match method {
        "debug_traceBlockByHash" => Reply::Error(-32601, "Method not found"),
        _ => Reply::Forward,
    });
    let flat = flat.await.unwrap();
    assert!(flat.sees_internal_payments());
    assert_eq!(deposits(&flat, &watch).await, nested);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_traces_shows_the_rest() {
    let (world, watch) = paid(82).await;
    let node = proxied(&world, |method, _| match method {
        "debug_traceBlockByHash" => Reply::Error(-32601, "Method not found"),
        "trace_block" => Reply::Error(-32000, "upgrade your plan"),
        _ => Reply::Forward,
    });
    let node = node.await.unwrap();
    assert!(!node.sees_internal_payments());
    let found = deposits(&node, &watch).await;
    let amounts: Vec<_> = brief(&found).into_iter().map(|(_, _, amount)| amount).collect();
    assert_eq!(amounts, [5, 13].map(exact));
}

/// Whatever does not fit together is an error: no deposit is seen, and none is passed over.
#[tokio::test(flavor = "multi_thread")]
async fn a_scan_of_answers_that_do_not_fit_together_fails() {
    let (world, watch) = paid(83).await;
    type Lie = fn(Value) -> Value;
    let lies: [(&str, Lie); 6] = [
        ("eth_getBlockReceipts", |mut answer| {
            answer["result"] = json!([]);
            answer
        }),
        ("eth_getBlockReceipts", |mut answer| {
            answer["result"][0]["transactionHash"] = json!(format!("0x{}", "77".repeat(32)));
            answer
        }),
        ("eth_getBlockReceipts", |mut answer| {
            answer["result"] = Value::Null;
            answer
        }),
        ("eth_getBlockByNumber", |mut answer| {
            answer["result"]["number"] = json!("0x1");
            answer
        }),
        ("eth_getBlockByNumber", |mut answer| {
            answer["result"]["parentHash"] = json!(format!("0x{}", "77".repeat(32)));
            answer
        }),
        ("debug_traceBlockByHash", |mut answer| {
            answer["result"] = json!([]);
            answer
        }),
    ];
    for (lied, lie) in lies {
        let node = proxied(&world, move |method, params| {
            // `latest` stays true, so that the connection is made.
            let about_a_block = params[0] != json!("latest");
            if method == lied && about_a_block { Reply::Change(lie) } else { Reply::Forward }
        });
        let scanned = node.await.unwrap().scan(0, 99, &watch).await;
        assert!(scanned.is_err(), "{lied}: {scanned:?}");
    }
}

/// A connection that breaks after the node took the transaction says nothing about it: the outcome
/// is unknown, and the second attempt finds it.
#[tokio::test(flavor = "multi_thread")]
async fn promise_29_a_broken_connection_is_no_rejection() {
    let world = World::new().await;
    let (key, from) = world.key(84);
    let (_, to) = world.key(85);
    world.fund(from, 10_u128.pow(18)).await;
    let action = world.pay_native(to, 5);
    let context = world.context(&key, &action).await;
    let signed = world.sign(&key, &action, &context);
    let cut = proxied(&world, |method, _| match method {
        "eth_sendRawTransaction" => Reply::SwallowAnswer,
        _ => Reply::Forward,
    });
    let error = cut.await.unwrap().broadcast(&signed).await.unwrap_err();
    assert!(matches!(error, NodeError::Unreachable(_)), "{error:?}");
    let again = world.node.broadcast(&signed).await.unwrap();
    assert_eq!(again, BroadcastOutcome::AlreadyKnown);
    world.receipt(&signed.id.0).await;
    assert_eq!(world.held(&world.chain.native(), to).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_verdict_on_the_transaction_is_a_rejection() {
    let world = World::new().await;
    let (key, from) = world.key(86);
    let (_, to) = world.key(87);
    world.fund(from, 10_u128.pow(18)).await;
    let action = world.pay_native(to, 5);
    let context = world.context(&key, &action).await;
    let signed = world.sign(&key, &action, &context);
    type Answer = fn() -> Reply;
    let answers: [(Answer, &str); 6] = [
        (|| Reply::Error(-32000, "insufficient funds"), "rejected"),
        (|| Reply::Error(-32003, "transaction rejected"), "rejected"),
        (|| Reply::Error(-32005, "daily request count exceeded"), "unknown"),
        (|| Reply::Error(-32603, "internal error"), "unknown"),
        (|| Reply::Text(429, "slow down"), "unknown"),
        (|| Reply::Text(502, "<html>Bad Gateway</html>"), "unknown"),
    ];
    for (answer, expected) in answers {
        let node = proxied(&world, move |method, _| match method {
            "eth_sendRawTransaction" => answer(),
            _ => Reply::Forward,
        });
        let outcome = node.await.unwrap().broadcast(&signed).await;
        let found = match outcome {
            Ok(BroadcastOutcome::Rejected { .. }) => "rejected",
            Ok(other) => panic!("{other:?}"),
            Err(_) => "unknown",
        };
        assert_eq!(found, expected, "{outcome:?}");
    }
    let wrong_id = proxied(&world, |method, _| match method {
        "eth_sendRawTransaction" => Reply::Change(|mut answer| {
            answer["result"] = json!(format!("0x{}", "77".repeat(32)));
            answer
        }),
        _ => Reply::Forward,
    });
    let outcome = wrong_id.await.unwrap().broadcast(&signed).await;
    assert!(matches!(outcome, Err(NodeError::Malformed(_))), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_of_another_kind_are_read_too() {
    let world = World::new().await;
    let (key, from) = world.key(88);
    let (_, to) = world.key(89);
    world.fund(from, 10_u128.pow(18)).await;
    let payment = world.perform(&key, &world.pay_native(to, 5)).await;
    let rollup = proxied(&world, |method, params| match (method, params[0].as_str()) {
        ("eth_getBlockByNumber", Some("finalized")) => Reply::Error(-32602, "unknown tag"),
        ("eth_getTransactionReceipt", _) => Reply::Change(|mut answer| {
            answer["result"]["l1Fee"] = json!("0x64");
            answer
        }),
        ("eth_feeHistory", _) => Reply::Change(|mut answer| {
            answer["result"]["reward"] = Value::Null;
            answer
        }),
        ("eth_maxPriorityFeePerGas", _) => Reply::Error(-32601, "Method not found"),
        _ => Reply::Forward,
    });
    let rollup = rollup.await.unwrap();
    assert_eq!(rollup.tip().await.unwrap().finalized, None);
    let fee = |status| match status {
        TxStatus::Included { fee, finalized: false, .. } => fee.minor(),
        other => panic!("{other:?}"),
    };
    let with_data = fee(rollup.status(&payment.id).await.unwrap());
    let without = fee(world.node.status(&payment.id).await.unwrap());
    assert_eq!(with_data, without + 100);
    let request = world.request(&key, &world.pay_native(to, 5));
    let Context::Evm(context) = rollup.context(&request).await.unwrap() else { panic!() };
    assert_eq!(context.max_priority_fee_per_gas, 1_000_000_000);
}
