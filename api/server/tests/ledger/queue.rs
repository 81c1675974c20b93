//! More transfers at once than the server takes on.

use std::sync::mpsc;
use std::time::Duration;

use api_store::Engine;
use serde_json::{Value, json};

use crate::support::{Answer, Server};
use crate::world::{World, transfer};

/// With room for one full batch, of which the large one leaves room for 50.
const SETTINGS: &str = "queued_transfers_max = 8190\n";
const LARGE: usize = 8140;
const SINGLES: usize = 60;
const A_WHILE: Duration = Duration::from_secs(15);

#[test]
fn what_does_not_fit_is_told_busy_and_can_be_sent_again_on_sqlite() {
    what_does_not_fit_is_told_busy_and_can_be_sent_again(Engine::Sqlite);
}

#[test]
fn what_does_not_fit_is_told_busy_and_can_be_sent_again_on_postgres() {
    what_does_not_fit_is_told_busy_and_can_be_sent_again(Engine::Postgres);
}

fn assert_busy(answer: &Answer) {
    assert_eq!(answer.refusal(), (503, "busy"));
    assert!(answer.head.contains("retry-after: 1"), "{answer:?}");
}

fn what_does_not_fit_is_told_busy_and_can_be_sent_again(engine: Engine) {
    let world = World::of(Server::start_with(engine, SETTINGS));
    let (bank, ann) = world.bank_and_customer(0);
    let large: Vec<Value> = (0..LARGE).map(|_| transfer(&bank, &ann, 1)).collect();
    let mut bodies = vec![("/v1/ledger/transfers/batch", json!({ "transfers": large }))];
    bodies.extend((0..SINGLES).map(|_| ("/v1/ledger/transfers", transfer(&bank, &ann, 1))));
    let answers = std::thread::scope(|scope| {
        let (send, answered) = mpsc::channel();
        let early = world.server.held_up(|| {
            for (number, (path, body)) in bodies.iter().enumerate() {
                let (client, send) = (world.tenant.clone(), send.clone());
                scope.spawn(move || send.send((number, client.post(path, body))));
            }
            // The others wait: whichever came first, at least one does not fit.
            answered.recv_timeout(A_WHILE).unwrap()
        });
        assert_busy(&early.1);
        drop(send);
        let mut answers: Vec<(usize, Answer)> = answered.iter().collect();
        answers.push(early);
        answers
    });
    assert_eq!(answers.len(), bodies.len());
    let mut refused = 0;
    for (number, answer) in answers {
        let (path, body) = &bodies[number];
        let status = if number == 0 { 200 } else { 201 };
        // Executed, and not already applied: nothing of it had been done.
        let done = if answer.status == status {
            answer.body
        } else {
            assert_busy(&answer);
            refused += 1;
            world.tenant.post(path, body).expect(status)
        };
        if number == 0 {
            assert_eq!(done["executed"], LARGE);
        }
    }
    assert!(refused < SINGLES, "{refused} refused: nothing waited");
    let all = (LARGE + SINGLES).to_string();
    world.assert_balance(&ann, &all, "0", &all);
    world.server.assert_clean();
    world.server.kill();
}
