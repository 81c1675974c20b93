#![expect(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]
use api_store::Engine;
use api_store::test_db::TestDb;

use crate::{
    Action, Floor, Ledger, Leg, NewAccount, Outcome, Refusal, Side, TenantId, Transfer, TransferId,
};

const TENANT: TenantId = TenantId::new(uuid::Uuid::from_u128(7));

fn id(number: u128) -> TransferId {
    TransferId::new(uuid::Uuid::from_u128(number))
}

/// Groups that are decided and inserted in pieces on SQLite: refused ones, ones that are undone after more
/// legs than a piece has, and ones that name transfers of an earlier piece.
async fn pieces(engine: Engine) {
    let test_db = TestDb::new(engine).await.unwrap();
    let ledger = Ledger::new(test_db.db.clone());
    let mut tx = test_db.db.begin().await.unwrap();
    let mut accounts = Vec::new();
    for (code, floor) in [("bank", Floor::None), ("ann", Floor::Zero), ("bob", Floor::Zero)] {
        let new = NewAccount::new(TENANT, code, "EUR", Side::Credit).with_floor(floor);
        accounts.push(ledger.open_account(&mut tx, &new).await.unwrap());
    }
    tx.commit().await.unwrap();
    let &[bank, ann, bob] = accounts.as_slice() else { panic!("three accounts") };
    let leg = |debit, credit| Leg { debit, credit, amount: 1 };
    let pay = |number, legs| Transfer::new(TENANT, id(number), legs);
    let about = |number, action| Transfer { action, ..pay(number, Vec::new()) };
    let (paid, poor) = (leg(bank, ann), leg(bob, bank));
    let many = |range: std::ops::Range<u128>| range.map(|number| pay(number, vec![paid])).collect();

    let reserve = Action::Pending { legs: vec![paid; 3], timeout_secs: None };
    let mut groups: Vec<Vec<Transfer>> = vec![vec![pay(1, vec![paid])], vec![about(2, reserve)]];
    groups.extend((10..310).map(|n| vec![pay(n, vec![if n % 7 == 0 { poor } else { paid }])]));
    let undone: Vec<Transfer> = many(1000..1400);
    groups.push([undone, vec![pay(1400, vec![poor])]].concat());
    groups.push(many(2000..2400));
    groups.push(vec![pay(3000, vec![paid; 100]), pay(3001, vec![paid; 100])]);
    groups.push(vec![pay(3002, [vec![paid; 99], vec![poor]].concat())]);
    groups.push(vec![about(4000, Action::Reverse { original: id(1) })]);
    groups.push(vec![about(4001, Action::PostPending { pending: id(2), amounts: None })]);
    groups.push(vec![pay(10, vec![paid])]);
    groups.push(vec![pay(11, vec![paid, paid])]);

    let groups: Vec<&[Transfer]> = groups.iter().map(Vec::as_slice).collect();
    let results = ledger.post_groups(&groups).await.unwrap();
    let first_seq = results.first().unwrap().as_ref().unwrap().seq;
    let found = results
        .into_iter()
        .map(|result| result.map(|posted| (posted.seq - first_seq, posted.outcome)));

    let mut legs = 0;
    let mut new = |count: i64| {
        legs += count;
        Ok((legs - count, Outcome::Executed))
    };
    let mut expected = vec![new(1), new(3)];
    for number in 10..310 {
        expected.push(if number % 7 == 0 { Err(Refusal::InsufficientFunds) } else { new(1) });
    }
    expected.extend((0..400).map(|_| Err(Refusal::GroupRefused(id(1400)))));
    expected.push(Err(Refusal::InsufficientFunds));
    expected.extend((0..400).map(|_| new(1)));
    expected.extend([new(100), new(100)]);
    let last = Refusal::AtLeg { leg: 99, cause: Box::new(Refusal::InsufficientFunds) };
    expected.extend([Err(last), new(1), new(3)]);
    expected.push(Ok((4, Outcome::AlreadyApplied)));
    expected.push(Err(Refusal::IdConflict));
    assert_eq!(found.collect::<Vec<_>>(), expected);

    let mut tx = test_db.db.read().await.unwrap();
    let sql = "SELECT COUNT(*), MAX(seq) - MIN(seq) FROM ledger_transfers";
    let rows: (i64, i64) = tx.fetch_one(sql, Vec::new()).await.unwrap();
    assert_eq!(rows, (legs, legs - 1), "no row of what was refused, and no gap");
    let report = ledger.check(&mut tx).await.unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test]
async fn pieces_on_sqlite() {
    pieces(Engine::Sqlite).await;
}

#[tokio::test]
async fn pieces_on_postgres() {
    pieces(Engine::Postgres).await;
}
