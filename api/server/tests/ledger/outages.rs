//! The database goes away under the running server: callers are told 503, nothing is half written, and the
//! server goes on by itself as soon as the database does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use api_store::StoreError;
use api_store::test_disk::TestDisk;
use api_store::test_server::TestServer;
use serde_json::{Value, json};

use crate::support::Server;
use crate::world::{World, transfer, unique};

const UNAVAILABLE: (u16, &str) = (503, "unavailable");
/// How long the server uses its copy of an API key.
const KEYS_ARE_FRESH_FOR: Duration = Duration::from_secs(1);

type Request = (&'static str, String, Option<Value>);

fn reads(account: &str) -> Vec<Request> {
    ["/v1/events", "/v1/ledger/transfers", "/v1/webhooks"]
        .map(str::to_owned)
        .into_iter()
        .chain([format!("/v1/ledger/accounts/{account}/balance")])
        .map(|path| ("GET", path, None))
        .collect()
}

fn writes(posts: &[Value], account: &str) -> Vec<Request> {
    let single = posts.iter().map(|body| ("/v1/ledger/transfers", body.clone()));
    let batch = json!({ "transfers": posts });
    let new = json!({ "code": unique("assets"), "asset": "EUR", "side": "debit" });
    let others = [
        ("/v1/ledger/transfers/batch", batch),
        ("/v1/ledger/accounts", new),
        ("/v1/webhooks", json!({ "url": "http://127.0.0.1:9/" })),
    ];
    let freeze = ("POST", format!("/v1/ledger/accounts/{account}/freeze"), Some(json!({})));
    let all = single.chain(others).map(|(path, body)| ("POST", path.to_owned(), Some(body)));
    all.chain([freeze]).collect()
}

/// Sends them at the same time; each must be answered with this status, and a 503 with its code.
fn all_are_answered(world: &World, requests: Vec<Request>, status: u16) {
    std::thread::scope(|scope| {
        for (method, path, body) in requests {
            let client = world.tenant.clone();
            scope.spawn(move || {
                let answer = client.send(method, &path, "", body.as_ref());
                assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
                if status == UNAVAILABLE.0 {
                    assert_eq!(answer.refusal(), UNAVAILABLE, "{method} {path}");
                }
            });
        }
    });
}

/// Sends the same request again until the server can serve it, as callers are told to.
fn post_until_served(world: &World, body: &Value) {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = world.post(body);
        if [200, 201].contains(&answer.status) {
            return;
        }
        assert_eq!(answer.refusal(), UNAVAILABLE);
        assert!(Instant::now() < end, "it does not come back: {answer:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn posted(world: &World, account: &str) -> u64 {
    world.balance(account, "")["posted"].as_str().unwrap().parse().unwrap()
}

/// The request to freeze it was refused, so it did nothing.
fn assert_not_frozen(world: &World, account: &str) {
    let shown = world.tenant.get(&format!("/v1/ledger/accounts/{account}")).expect(200);
    assert_eq!(shown["frozen"], false, "{shown}");
}

fn some_transfers(bank: &str, ann: &str) -> Vec<Value> {
    (0..4).map(|_| transfer(bank, ann, 1)).collect()
}

#[test]
fn promise_40_postgresql_goes_away_and_comes_back_under_the_server() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut database = runtime.block_on(TestServer::start(&std::env::temp_dir())).unwrap();
    let world = World::of(Server::start_on(&database.url()));
    let (bank, ann) = world.bank_and_customer(100);
    let posts = some_transfers(&bank, &ann);
    database.kill().unwrap();
    let mut requests = writes(&posts, &ann);
    requests.extend(reads(&ann));
    std::thread::scope(|scope| {
        let (first, health, alive) =
            (world.tenant.clone(), world.tenant.clone(), world.tenant.clone());
        // One comes as far as the ledger; the others come when the key has to be read again.
        let body = &posts[0];
        scope.spawn(move || {
            let answer = first.post("/v1/ledger/transfers", body);
            assert_eq!(answer.refusal(), UNAVAILABLE);
        });
        std::thread::sleep(KEYS_ARE_FRESH_FOR + Duration::from_millis(200));
        scope.spawn(move || {
            let health = health.get("/health/ready").expect(503);
            assert_ne!(health["parts"]["database"], "ok", "{health}");
        });
        assert_eq!(alive.get("/health/live").status, 200);
        all_are_answered(&world, requests, UNAVAILABLE.0);
    });
    assert!(world.server.lives());
    database.restart().unwrap();
    for body in &posts {
        post_until_served(&world, body);
    }
    assert_eq!(posted(&world, &ann), 104, "each once");
    assert_not_frozen(&world, &ann);

    // The same while many post: each is acknowledged in the end, and counts once.
    let stop = AtomicBool::new(false);
    let acknowledged: u64 = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..8)
            .map(|_| {
                let caller = World { server: world.server, tenant: world.tenant.clone() };
                let (stop, bank, ann) = (&stop, &bank, &ann);
                scope.spawn(move || {
                    let mut count = 0;
                    while !stop.load(Ordering::SeqCst) {
                        post_until_served(&caller, &transfer(bank, ann, 1));
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(500));
        database.kill().unwrap();
        database.restart().unwrap();
        std::thread::sleep(Duration::from_millis(500));
        stop.store(true, Ordering::SeqCst);
        callers.into_iter().map(|caller| caller.join().unwrap()).sum()
    });
    assert!(acknowledged > 0);
    assert_eq!(posted(&world, &ann), 104 + acknowledged);
    assert!(world.server.lives());
    world.server.assert_clean();
    world.server.kill();
}

/// The disk, unless it cannot be mounted here.
fn mounted(disk: Result<Option<TestDisk>, StoreError>) -> Option<TestDisk> {
    let disk = disk.unwrap();
    if disk.is_none() {
        println!("not run: no right to mount a file system");
    }
    disk
}

fn on_disk(disk: &TestDisk) -> String {
    format!("sqlite:{}", disk.path().join("roadstead.db").display())
}

#[test]
fn promise_40_a_full_disk_under_the_server_has_space_again() {
    let Some(disk) = mounted(TestDisk::in_memory(64)) else { return };
    let world = World::of(Server::start_on(&on_disk(&disk)));
    let (bank, ann) = world.bank_and_customer(100);
    for round in 0..2 {
        let before = posted(&world, &ann);
        disk.fill().unwrap();
        // What has its place in the files already still goes.
        let (accepted, refused) = post_until_refused(&world, &bank, &ann);
        all_are_answered(&world, reads(&ann), 200);
        all_are_answered(&world, writes(&some_transfers(&bank, &ann), &ann), UNAVAILABLE.0);
        assert_eq!(posted(&world, &ann), before + accepted, "round {round}: half of something");
        disk.free().unwrap();
        post_until_served(&world, &refused);
        assert_eq!(posted(&world, &ann), before + accepted + 1, "round {round}");
        assert_not_frozen(&world, &ann);
    }
    assert!(world.server.lives());
    world.server.assert_clean();
    world.server.kill();
}

/// Posts until the disk does not take it; how many were taken, and the one that was not.
fn post_until_refused(world: &World, bank: &str, ann: &str) -> (u64, Value) {
    for accepted in 0..20_000 {
        let body = transfer(bank, ann, 1);
        let answer = world.post(&body);
        if answer.status != 201 {
            assert_eq!(answer.refusal(), UNAVAILABLE);
            return (accepted, body);
        }
    }
    panic!("it goes on without space");
}

/// The kernel mounts the file system of a disk that failed read-only under the open database. Only
/// unmounting and checking it ends that, so the server has to be started again.
#[test]
fn promise_40_a_disk_that_becomes_read_only_under_the_server_loses_nothing() {
    let Some(disk) = mounted(TestDisk::breakable(64)) else { return };
    let world = World::of(Server::start_on(&on_disk(&disk)));
    let (bank, ann) = world.bank_and_customer(100);
    disk.break_down().unwrap();
    let (accepted, refused) = post_until_refused(&world, &bank, &ann);
    assert_eq!(accepted, 0, "it wrote to a read-only file system");
    all_are_answered(&world, writes(&some_transfers(&bank, &ann), &ann), UNAVAILABLE.0);
    all_are_answered(&world, reads(&ann), 200);
    assert!(world.server.lives());
    world.server.kill();
    disk.mend().unwrap();
    let world = World::with_key(Server::start_on(&on_disk(&disk)), &world.tenant.key);
    post_until_served(&world, &refused);
    assert_eq!(posted(&world, &ann), 101);
    assert_not_frozen(&world, &ann);
    let again = json!({ "transfers": [refused] });
    let again = world.tenant.post("/v1/ledger/transfers/batch", &again).expect(200);
    assert_eq!(again["results"][0]["status"], "already_applied", "{again}");
    world.server.assert_clean();
    world.server.kill();
}
