//! Damage of every kind that postings do not notice by themselves is found by the check.

use crate::common::{Fixture, run};
use api_ledger::*;
use api_store::Engine;

on_both_engines! {
    each_damage_is_found_and_named
    what_a_refused_transfer_would_have_changed_stays_as_it_was
}

/// Books of two tenants: a conversion of two legs and its reversal, pending money with and without an
/// end, other events, and places for all but the last.
async fn books(engine: Engine) -> Fixture {
    let mut f = Fixture::new(engine).await;
    f.ledger = f.ledger.clone().with_tail(TailOptions { alone_from: 1, ..TailOptions::default() });
    let (bank, ann, bob) = (f.bank().await, f.customer("ann").await, f.customer("bob").await);
    f.post(&f.transfer(1, bank, ann, 100)).await.unwrap();
    f.sleep(1);
    let id = TransferId::from_u128;
    let leg = |debit, credit, amount| Leg { debit, credit, amount };
    let legs = vec![leg(bank, ann, 30), leg(bank, bob, 40), leg(bank, ann, 30)];
    f.post(&Transfer::new(f.tenant, id(2), legs)).await.unwrap();
    f.sleep(1);
    f.post(&Transfer::reverse(f.tenant, id(3), id(2))).await.unwrap();
    let legs = vec![leg(ann, bank, 7)];
    f.post(&Transfer::pending(f.tenant, id(4), legs.clone(), Some(60))).await.unwrap();
    f.post(&Transfer::pending(f.tenant, id(5), legs, None)).await.unwrap();
    let mut tx = f.begin().await;
    let event = NewEvent {
        tenant: f.tenant,
        kind: "withdrawal.settled".to_owned(),
        subject: "w1".to_owned(),
        data: serde_json::json!({}),
    };
    f.ledger.emit(&mut tx, &event).await.unwrap();
    tx.commit().await.unwrap();
    f.tenant = TenantId::new(uuid::Uuid::from_u128(7));
    let (bank, cid) = (f.bank().await, f.customer("cid").await);
    f.post(&f.transfer(1, bank, cid, 5)).await.unwrap();
    f.ledger.place_events(100).await.unwrap();
    f.post(&f.transfer(2, bank, cid, 5)).await.unwrap();
    f.ledger.fold().await.unwrap();
    f.assert_clean().await;
    f
}

/// The rows of the reversal, as they must not be.
const REVERSAL: &str = "SELECT seq FROM ledger_transfers WHERE kind = 6 AND leg = ";

async fn each_damage_is_found_and_named(engine: Engine) {
    let f = books(engine).await;
    let unlock = match engine {
        Engine::Sqlite => {
            "DROP TRIGGER ledger_transfers_no_update; DROP TRIGGER ledger_transfers_no_delete"
        }
        Engine::Postgres => "DROP TRIGGER ledger_transfers_no_change ON ledger_transfers",
    };
    // Legs 0 and 2 move the same amount between the same accounts.
    let once = format!("DELETE FROM ledger_transfers WHERE seq IN ({REVERSAL} 2)");
    let twice = format!(
        "UPDATE ledger_transfers SET debit = (SELECT debit FROM ledger_transfers WHERE seq IN
             ({REVERSAL} 0)), amount = (SELECT amount FROM ledger_transfers WHERE seq IN
             ({REVERSAL} 0)) WHERE seq IN ({REVERSAL} 1)"
    );
    let damages = [
        ("UPDATE ledger_holds SET expires_at = NULL", "it is listed with None"),
        ("UPDATE ledger_holds SET expires_at = 1 WHERE expires_at IS NULL", "but expires None"),
        ("UPDATE ledger_balances SET changed_at = changed_at - 1", "changed at"),
        ("UPDATE ledger_balances SET changed_at = changed_at + 1", "changed at"),
        ("DELETE FROM events_outbox WHERE commit_id = 2", "it is not told"),
        ("UPDATE events_outbox SET commit_id = 99 WHERE commit_id = 2", "it is not told"),
        ("UPDATE events_outbox SET commit_id = 1 WHERE commit_id = 2", "it is not told"),
        ("UPDATE events_outbox SET count = 2 WHERE commit_id = 2", "2 are told of 1 transfers"),
        ("UPDATE events_outbox SET count = 2 WHERE commit_id IS NULL", "do not fit"),
        (
            "UPDATE events_outbox SET position = NULL, tenant = (SELECT MIN(tenant) FROM events_outbox)
                 WHERE commit_id = 1",
            "in book 1: it is not told",
        ),
        (
            "INSERT INTO events_outbox (tenant, kind, subject, body, commit_id, count, created_at)
                 SELECT tenant, kind, subject, body, commit_id, count, created_at
                 FROM events_outbox WHERE commit_id = 2",
            "it is told",
        ),
        ("UPDATE events_outbox SET position = 40 WHERE commit_id = 2", "place 3 where 2"),
        ("UPDATE events_outbox SET position = NULL WHERE commit_id = 5", "place 6 where 5"),
        ("UPDATE events_heads SET next = next + 1 WHERE next > 0", "is not the next place"),
        ("UPDATE events_heads SET next = next - 1 WHERE next > 0", "is not the next place"),
        ("DELETE FROM events_heads WHERE next > 2", "it has no head"),
        (once.as_str(), "it reverses 2 of 3 legs"),
        (twice.as_str(), "it reverses nothing that was posted"),
    ];
    for (damage, what) in damages {
        let mut tx = f.begin().await;
        run(&mut tx, unlock).await;
        run(&mut tx, damage).await;
        let report = f.ledger.check(&mut tx).await.unwrap();
        let found = report.difference.map(|difference| difference.to_string());
        assert!(found.as_ref().is_some_and(|found| found.contains(what)), "{damage}: {found:?}");
        tx.rollback().await.unwrap();
    }
    f.assert_clean().await;
}

/// A batch in which one transfer was refused leaves the accounts of that one untouched.
async fn what_a_refused_transfer_would_have_changed_stays_as_it_was(engine: Engine) {
    let mut f = Fixture::new(engine).await;
    f.ledger = f.ledger.clone().with_tail(TailOptions { alone_from: 1, ..TailOptions::default() });
    let (bank, ann, bob) = (f.bank().await, f.customer("ann").await, f.customer("bob").await);
    f.post(&f.transfer(1, bank, ann, 10)).await.unwrap();
    f.sleep(60);
    let batch = [f.transfer(2, bob, ann, 5), f.transfer(3, bank, bob, 5)];
    let results = f.ledger.post_batch(&batch).await.unwrap();
    assert_eq!(results[0], Err(Refusal::InsufficientFunds));
    assert!(results[1].is_ok());
    f.ledger.fold().await.unwrap();
    let mut tx = f.begin().await;
    let sql = "SELECT account, changed_at, commit_id FROM ledger_balances ORDER BY account";
    let rows: Vec<(i64, i64, i64)> = tx.fetch_all(sql, Vec::new()).await.unwrap();
    let [bank_row, ann_row, bob_row] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((bank_row.2, bob_row.2), (2, 2));
    assert_eq!(ann_row.2, 1, "nothing was done to it");
    assert_eq!(bank_row.1 - ann_row.1, 60_000_000);
    drop(tx);
    f.assert_clean().await;
}
