//! Input that nobody sends by accident: always an answer of the 4xx kind that says what is wrong.

use api_store::Engine;
use serde_json::{Value, json};

use crate::http::{Answer, Call, Operation, operations};
use crate::tenants::Belongings;
use crate::world::{Setup, World, unique};

/// Values that no field takes.
fn odd_values() -> Vec<Value> {
    let mut odd = vec![
        json!(null),
        json!(true),
        json!(-1),
        json!(1.5),
        json!(u64::MAX),
        json!([]),
        json!({}),
        json!(""),
        json!(" "),
        json!("\u{0}"),
        json!("a\u{0}b"),
        json!("line\nbreak"),
        json!("\u{1b}[31mred"),
        json!("\u{202e}txt.exe"),
        json!("' OR '1'='1"),
        json!("%' ; DROP TABLE customers; --"),
        json!("-1"),
        json!("1e9"),
        json!("NaN"),
        json!("\u{ff11}"),
        json!("9".repeat(400)),
        json!("x".repeat(20_000)),
    ];
    odd.push(serde_json::from_str("1e300").unwrap());
    odd
}

async fn hostile_input_is_answered(engine: Engine) {
    let world = World::start(Setup::EVM.on(engine)).await;
    let belongings = Belongings::of(&world).await;
    let mut faults = Vec::new();
    for operation in operations(&world).await {
        let key =
            if operation.is_operators { &world.stack.operator_key } else { &world.tenant_key };
        if operation.has_body {
            odd_bodies(&world, &belongings, &operation, key, &mut faults).await;
            odd_fields(&world, &belongings, &operation, key, &mut faults).await;
        }
        odd_paths(&world, &belongings, &operation, key, &mut faults).await;
    }
    faults.dedup();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    // After all that it works as before.
    let check = world.operator.get("/v1/treasury/ledger-check").await.unwrap();
    assert_eq!(check["clean"], true, "{check}");
    world.customer("still alive").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_38_no_input_gives_a_5xx_on_sqlite() {
    hostile_input_is_answered(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_38_no_input_gives_a_5xx_on_postgresql() {
    hostile_input_is_answered(Engine::Postgres).await;
}

fn assert_refused(answer: &Answer, codes: &[&str], place: &str) {
    if answer.status >= 500 {
        // Noted where it was met.
        return;
    }
    assert!((400..500).contains(&answer.status), "{place}: {answer:?}");
    assert!(codes.contains(&answer.code()), "{place}: {answer:?}");
}

/// Bodies that are no JSON, or no object, or too much of one.
async fn odd_bodies(
    world: &World,
    belongings: &Belongings,
    operation: &Operation,
    key: &str,
    faults: &mut Vec<String>,
) {
    let place = format!("{} {}", operation.method, operation.path);
    let call = || belongings.call(world, operation, None).key(key);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_field = format!("{{\"name\":{}1{}}}", "{\"a\":".repeat(50_000), "}".repeat(50_000));
    let broken: [&[u8]; 9] = [
        b"",
        b"{",
        b"nul",
        b"\xff\xfe",
        b"{\"reference\": \"\xc3\x28\"}",
        b"{\"a\": 1}{\"b\": 2}",
        b"{'reference': 'x'}",
        deep.as_bytes(),
        deep_field.as_bytes(),
    ];
    for body in broken {
        let answer = call().raw("application/json", body).probe(faults).await;
        assert_refused(&answer, &["bad_request", "unprocessable"], &place);
    }
    for body in [json!(null), json!([]), json!("x"), json!(1)] {
        let answer = call().json(&body).probe(faults).await;
        assert_refused(&answer, &["unprocessable"], &place);
    }
    let right = belongings.body(operation).unwrap().to_string();
    let answer = call().raw("text/plain", right.clone()).probe(faults).await;
    assert_refused(&answer, &["unsupported_media_type"], &place);
    let mut unknown: Value = serde_json::from_str(&right).unwrap();
    unknown["no_such_field"] = json!(1);
    let answer = call().json(&unknown).probe(faults).await;
    assert_refused(&answer, &["unprocessable"], &place);
    assert!(answer.text.contains("no_such_field") || right == "{}", "{place}: {answer:?}");
    let twice = right.replacen('{', &format!("{{{},", right.trim_matches(['{', '}'])), 1);
    if right.len() > 2 && !right.contains("terms") {
        let answer = call().raw("application/json", twice).probe(faults).await;
        assert_refused(&answer, &["bad_request", "unprocessable"], &place);
    }
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(2 << 20));
    if let Ok(answer) = call().raw("application/json", large).try_send().await {
        // Bodies with many transfers may be this long.
        let many = ["/batch", "/dry-run", "/v1/audit/records"]
            .iter()
            .any(|end| operation.path.ends_with(end));
        let code = if many { "unprocessable" } else { "body_too_large" };
        assert_refused(&answer, &[code], &place);
    }
}

/// Each field in turn with each odd value.
async fn odd_fields(
    world: &World,
    belongings: &Belongings,
    operation: &Operation,
    key: &str,
    faults: &mut Vec<String>,
) {
    let right = belongings.body(operation).unwrap();
    for name in right.as_object().unwrap().keys() {
        for odd in odd_values() {
            let mut body = right.clone();
            body[name] = odd.clone();
            let call = belongings.call(world, operation, None).key(key);
            // Some are right after all: a name may be odd, a filter may be absent. None is a 5xx,
            // which `send` sees to.
            let answer = call.json(&body).probe(faults).await;
            let is_amount = ["amount", "principal"].contains(&name.as_str());
            if is_amount {
                let place = format!("{} {name} {odd}", operation.path);
                assert_refused(&answer, &["invalid_amount", "unprocessable"], &place);
            }
            if odd.as_str().is_some_and(|text| text.chars().any(char::is_control)) {
                let place = format!("{} {name} {odd:?}", operation.path);
                assert!(answer.status >= 400, "{place}: {answer:?}");
            }
        }
    }
}

/// Odd ids in the path and odd queries behind it.
async fn odd_paths(
    world: &World,
    belongings: &Belongings,
    operation: &Operation,
    key: &str,
    faults: &mut Vec<String>,
) {
    if operation.method != "get" {
        return;
    }
    let own = belongings.path(operation, None);
    for query in [
        "limit=0",
        "limit=501",
        "limit=-1",
        "limit=99999999999999999999",
        "limit=abc",
        "after=%00",
        "customer=%00",
        "client_id=a%00b",
        "after=%FF%FE",
        "from=-1&to=1",
        "from=0&to=0",
        "from=18446744073709551615&to=18446744073709551615",
        "from=9223372036854775808&to=9223372036854775809",
        "size=18446744073709551615",
        "size=-5",
        "fields=%00",
        "fields=,,,",
        "no_such_filter=1",
        "after=9223372036854775808",
        "after=-9223372036854775808",
        "after='%20OR%201=1",
        "limit=1&limit=2",
        "=",
    ] {
        let path = own.split('?').next().unwrap();
        Call::new(world, "get", &format!("{path}?{query}")).key(key).probe(faults).await;
    }
    if operation.path.contains('{') {
        for id in ["%00", "%2e%2e%2f", "..%2f..%2fetc%2fpasswd", "%F0%9F%92%A9", "'", "%25", "0"] {
            let path = operation.path.replace("{id}", id).replace("{asset}", id);
            let path = path.split('{').next().unwrap().to_owned()
                + if path.contains('{') { id } else { "" };
            let answer = Call::new(world, "get", &path).key(key).probe(faults).await;
            assert_refused(&answer, &["not_found", "bad_request"], &path);
        }
        let path = operation.path.replace("{id}", &belongings.alice).replace("{asset}", "%00");
        if !path.contains('{') {
            Call::new(world, "get", &path).key(key).probe(faults).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_38_a_body_that_never_ends_or_never_comes_does_not_hold_the_others_up() {
    use tokio::io::AsyncWriteExt as _;
    let world = World::start(Setup::NONE).await;
    let address = world.stack.url().replace("http://", "");
    let mut open = Vec::new();
    for number in 0..40 {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        let head = if number % 2 == 0 {
            // A promise of a body, kept with a byte.
            "POST /v1/customers HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             content-length: 1000\r\n\r\n{"
        } else {
            // A head that does not end.
            "GET /v1/customers HTTP/1.1\r\nhost: x\r\nx-slow: "
        };
        stream.write_all(head.as_bytes()).await.unwrap();
        open.push(stream);
    }
    let started = std::time::Instant::now();
    for number in 0..20 {
        world.customer(&format!("patient-{number}-{}", unique())).await;
    }
    assert!(started.elapsed().as_secs() < 15, "{:?}", started.elapsed());
    drop(open);
}
