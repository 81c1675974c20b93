//! Witnesses: who cosigns the server's checkpoints, and what a reader can ask for.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use api_store::Engine;
use api_verify::Language;
use api_verify::answer::{Answer, Question};
use api_witness::store::Store;
use api_witness::{Witness, http};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::records::wait_logged;
use crate::world::{PATIENCE, Setup, World, edit};

/// A witness of somebody else, who may be away at first.
struct Other {
    name: &'static str,
    folder: TempDir,
    key: String,
    address: SocketAddr,
}

impl Other {
    fn new(name: &'static str, log_keys: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let key = Store::init(folder.path(), name).unwrap();
        let (store, _) = Store::open(folder.path()).unwrap();
        for key in log_keys {
            store.add_log(&key.parse().unwrap()).unwrap();
        }
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Self { name, folder, key, address }
    }

    fn config(&self, name: &str) -> String {
        let Self { key, address, .. } = self;
        format!(
            "\n[[log.witnesses]]\nname = \"{name}\"\nurl = \"http://{address}\"\nkey = \"{key}\"\n"
        )
    }

    async fn begin(&self) {
        let (store, key) = Store::open(self.folder.path()).unwrap();
        let listener = tokio::net::TcpListener::bind(self.address).await.unwrap();
        let witness = Arc::new(Witness::new(store, key));
        tokio::spawn(http::serve(listener, witness, std::future::pending()));
    }
}

fn receipt(id: &str) -> String {
    format!("/v1/audit/records/{id}/receipt")
}

async fn record(world: &World, id: &str) {
    let record = json!({ "id": id, "kind": "loan.repayment", "fields": { "amount": "1" } });
    world.tenant.post("/v1/audit/records", json!({ "records": [record] })).await.unwrap();
    wait_logged(world, id).await;
}

/// What is at a path, once these witnesses have cosigned its checkpoint.
async fn witnessed(world: &World, path: &str, others: &[&Other]) -> String {
    let end = Instant::now() + PATIENCE;
    loop {
        let receipt = world.tenant.get_text(path).await.unwrap();
        let has = |other: &&Other| receipt.contains(&format!("— {} ", other.name));
        if others.iter().all(has) {
            return receipt;
        }
        assert!(Instant::now() < end, "{receipt}\n{}", world.stack.server_log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What a reader concludes who asks for `quorum` of the two.
fn judge(receipt: &str, log: &str, others: [&Other; 2], quorum: &str) -> Answer {
    let [one, two] = others.map(|other| &other.key);
    let policy = format!(
        "log {log}\nwitness one {one}\nwitness two {two}\ngroup both {quorum} one two\nquorum both\n"
    );
    let question =
        Question { receipt: receipt.to_owned(), policy: Some(policy), ..Question::default() };
    question.answer(Language::English)
}

async fn state(world: &World, id: &str) -> Value {
    world.tenant.get(&format!("/v1/audit/records/{id}")).await.unwrap()
}

/// Waits until a record is as far as that.
async fn wait_state(world: &World, id: &str, wanted: &str) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let found = state(world, id).await;
        if found["state"] == wanted {
            return found;
        }
        assert!(Instant::now() < end, "{found}\n{}", world.stack.server_log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn witnesses_cosign_and_readers_ask_for_a_quorum(engine: Engine) {
    let mut world = World::start(Setup::NONE.on(engine)).await;
    let log = world.stack.log_key().unwrap();
    let one = Other::new("one.example/w", &[&log]);
    let two = Other::new("two.example/w", &[&log]);
    world.stack.kill_server();
    edit(&world.stack, "roadstead.toml", |text| text + &one.config("one") + &two.config("two"));
    world.stack.start_server(&[]).await.unwrap();
    one.begin().await;

    record(&world, "first").await;
    let found = witnessed(&world, &receipt("first"), &[&one]).await;
    let by = |quorum| judge(&found, &log, [&one, &two], quorum).exit_code;
    assert_eq!((by("any"), by("all")), (0, 3), "one of two");
    assert!(judge(&found, &log, [&one, &two], "any").json["since"].is_string());
    // All of them are wanted when nothing else is said.
    let first = state(&world, "first").await;
    assert_eq!((&first["state"], &first["witnesses_wanted"]), (&json!("checkpointed"), &json!(2)));
    assert_eq!(first["witnessed_by"], json!(["one.example/w"]));

    // The other comes late and begins with the newest; each later checkpoint has both, in order.
    two.begin().await;
    witnessed(&world, "/log/checkpoint", &[&one, &two]).await;
    for id in ["second", "third", "fourth"] {
        record(&world, id).await;
    }
    for id in ["second", "third", "fourth"] {
        let found = witnessed(&world, &receipt(id), &[&one, &two]).await;
        assert_eq!(judge(&found, &log, [&one, &two], "all").exit_code, 0, "{id}");
        assert_eq!(state(&world, id).await["state"], "witnessed");
    }

    // On PostgreSQL each new process waits for the leases of the one that was killed: once is enough.
    if engine == Engine::Postgres {
        return;
    }
    // A new process knows nothing of where they stand, and asks. One of them is enough for it.
    world.stack.kill_server();
    edit(&world.stack, "roadstead.toml", |text| text.replace("[log]", "[log]\nwitnesses_min = 1"));
    world.stack.start_server(&[]).await.unwrap();
    record(&world, "fifth").await;
    let found = witnessed(&world, &receipt("fifth"), &[&one, &two]).await;
    assert_eq!(judge(&found, &log, [&one, &two], "all").exit_code, 0);
    let first = state(&world, "first").await;
    assert_eq!((&first["state"], &first["witnesses_wanted"]), (&json!("witnessed"), &json!(1)));
    // A cosignature over another checkpoint is none over this one.
    let old = witnessed(&world, &receipt("second"), &[&one, &two]).await;
    let line = |receipt: &str| receipt.split("— one.example/w ").nth(1).unwrap()[..60].to_owned();
    let forged = found.replace(&line(&found), &line(&old));
    let answer = judge(&forged, &log, [&one, &two], "all");
    assert_eq!((answer.exit_code, &answer.json["code"]), (1, &json!("forged")));
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_39_witnesses_cosign_and_readers_ask_for_a_quorum_on_sqlite() {
    witnesses_cosign_and_readers_ask_for_a_quorum(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_39_witnesses_cosign_and_readers_ask_for_a_quorum_on_postgresql() {
    witnesses_cosign_and_readers_ask_for_a_quorum(Engine::Postgres).await;
}

/// A witness is shown each tenant's log too, and a new one, where that is wanted, what came before it. A
/// log that it does not know keeps it from none of the others.
#[tokio::test(flavor = "multi_thread")]
async fn promise_39_witnesses_cosign_each_tenants_log_from_the_size_on_that_is_wanted() {
    let mut world = World::start(Setup::NONE).await;
    edit(&world.stack, "policy.toml", |text| {
        text.replace(
            "\"roadstead.local/log\"",
            "\"roadstead.local/log\", \"roadstead.local/log/*\"",
        )
    });
    record(&world, "shared").await;
    world.stack.kill_server();
    edit(&world.stack, "roadstead.toml", |text| text.replace("[log]", "[log]\nper_tenant = true"));
    world.stack.start_server(&[]).await.unwrap();
    for id in ["first", "second", "third"] {
        record(&world, id).await;
    }
    let first = state(&world, "first").await;
    let origin = first["log"].as_str().unwrap().to_owned();
    assert_ne!(origin, state(&world, "shared").await["log"].as_str().unwrap());
    let own = world.stack.log_key_of(&origin).unwrap();
    let shared = world.stack.log_key().unwrap();
    let both = Other::new("both.example/w", &[&shared, &own]);
    let tenants = Other::new("tenants.example/w", &[&own]);
    world.stack.kill_server();
    edit(&world.stack, "roadstead.toml", |text| {
        text + &both.config("both") + "from_size = 1\n" + &tenants.config("tenants")
    });
    world.stack.start_server(&[]).await.unwrap();
    both.begin().await;
    for id in ["shared", "first", "second", "third"] {
        witnessed(&world, &receipt(id), &[&both]).await;
    }
    // This one begins with the newest, and never saw the shared log.
    tenants.begin().await;
    let third = wait_state(&world, "third", "witnessed").await;
    assert_eq!(third["witnessed_by"], json!(["both.example/w", "tenants.example/w"]));
    assert_eq!(state(&world, "first").await["witnessed_by"], json!(["both.example/w"]));
    let found = witnessed(&world, &receipt("third"), &[&both, &tenants]).await;
    assert_eq!(judge(&found, &own, [&both, &tenants], "all").exit_code, 0);
    record(&world, "fourth").await;
    wait_state(&world, "fourth", "witnessed").await;
}
