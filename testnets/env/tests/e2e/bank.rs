//! The bank rail: statements as files.

use std::time::{Duration, Instant};

use api_store::Engine;
use serde_json::Value;

use crate::world::{PATIENCE, Setup, World, balance, items};

const HEADER: &str = "id,booked_on,currency,amount,reference\n";

/// Puts a statement into the folder, whole, and waits until the server is done with it; its new name.
pub(crate) async fn deliver(world: &World, name: &str, text: &str) -> String {
    let file = world.stack.statements().join(name);
    std::fs::write(file.with_extension("part"), text).unwrap();
    std::fs::rename(file.with_extension("part"), &file).unwrap();
    let limit = Instant::now() + PATIENCE;
    while file.exists() {
        assert!(Instant::now() < limit, "{name} was not read");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let names = std::fs::read_dir(world.stack.statements()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|found| found.starts_with(name)).max().unwrap()
}

/// A customer with fiat money.
pub(crate) async fn top_up(world: &World, customer: &str, cents: u64) {
    let id = hex::encode(rand::random::<[u8; 8]>());
    let line = format!("{HEADER}{id},2026-01-31,EUR,{cents},{customer}\n");
    assert_eq!(deliver(world, &format!("{id}.csv"), &line).await, format!("{id}.csv.done"));
}

async fn euros(world: &World, customer: &str) -> u128 {
    let path = format!("/v1/customers/{customer}/balances");
    balance(&world.tenant.get(&path).await.unwrap(), "EUR", "available")
}

async fn statements_are_booked_once(engine: Engine) {
    let world = World::start(Setup::NONE.on(engine)).await;
    let alice = world.customer("alice").await;
    let good = format!("{HEADER}b-1,2026-01-31,EUR,50000,{alice}\nb-2,2026-01-31,EUR,25,{alice}\n");
    assert_eq!(deliver(&world, "a.csv", &good).await, "a.csv.done");
    assert_eq!(euros(&world, &alice).await, 50_025);
    // The same file, the same lines in another file, and one new line.
    assert_eq!(deliver(&world, "a.csv", &good).await, "a.csv.done");
    let more = format!("{good}b-3,2026-02-01,EUR,1,{alice}\n");
    assert_eq!(deliver(&world, "b.csv", &more).await, "b.csv.done");
    assert_eq!(euros(&world, &alice).await, 50_026);
    // A line that cannot be read: nothing of the file is credited.
    let bad = format!("{HEADER}b-4,2026-02-01,EUR,100,{alice}\nb-5,2026-02-30,EUR,1,{alice}\n");
    assert_eq!(deliver(&world, "c.csv", &bad).await, "c.csv.refused");
    for (number, odd) in [
        "".to_owned(),
        "id;booked_on;currency;amount;reference\n".to_owned(),
        format!("{HEADER}b-6,2026-02-01,EUR,1.50,{alice}\n"),
        format!("{HEADER}b-6,2026-02-01,EUR,-1,{alice}\n"),
        format!("{HEADER}b-6,2026-02-01,EUR,340282366920938463463374607431768211456,{alice}\n"),
        format!("{HEADER}b-6,2026-02-01,EUR,1\n"),
    ]
    .iter()
    .enumerate()
    {
        let name = format!("odd-{number}.csv");
        assert_eq!(deliver(&world, &name, odd).await, format!("{name}.refused"), "{odd:?}");
    }
    assert_eq!(euros(&world, &alice).await, 50_026);
    // Binary rubbish is refused as well, and the rail goes on after it.
    let file = world.stack.statements().join("rubbish.csv");
    std::fs::write(&file, [0xff, 0xfe, 0x00, 0x80]).unwrap();
    let done = deliver(&world, "z.csv", &format!("{HEADER}b-7,2026-02-02,EUR,4,{alice}\n")).await;
    assert_eq!(done, "z.csv.done");
    assert_eq!(euros(&world, &alice).await, 50_030);
    unknown_references_go_to_suspense(&world, &alice).await;
    let check = world.operator.get("/v1/treasury/ledger-check").await.unwrap();
    assert_eq!(check["clean"], true, "{check}");
}

async fn unknown_references_go_to_suspense(world: &World, alice: &str) {
    let nobody = "01890000-0000-7000-8000-000000000000";
    let odd = format!(
        "{HEADER}s-1,2026-02-01,EUR,700,{nobody}\ns-2,2026-02-01,EUR,800,\ns-3,2026-02-01,EUR,900,alice\n\
         s-4,2026-02-01,EUR,1000,{alice}x\ns-5,2026-02-01,EUR,1100,' OR 1=1 --\n"
    );
    assert_eq!(deliver(world, "s.csv", &odd).await, "s.csv.done");
    assert_eq!(euros(world, alice).await, 50_030, "credited by a guess");
    let seen = world.tenant.get("/v1/topups").await.unwrap();
    let lines: Vec<&Value> = items(&seen).iter().collect();
    assert_eq!(lines.len(), 4, "{seen}");
    assert!(lines.iter().all(|line| line["state"] == "credited"), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_23_statements_are_booked_once_or_not_at_all_on_sqlite() {
    statements_are_booked_once(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_23_statements_are_booked_once_or_not_at_all_on_postgresql() {
    statements_are_booked_once(Engine::Postgres).await;
}
