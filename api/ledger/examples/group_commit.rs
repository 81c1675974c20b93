//! Many callers in one commit, a batch in which each stands alone, and a group of all or none.
//!
//! `cargo run -p api-ledger --example group_commit`
#![expect(clippy::print_stdout, reason = "an example")]

use api_ledger::{
    AsOf, Floor, GroupCommit, Ledger, Leg, NewAccount, Outcome, PostError, Refusal, Side, TenantId,
    Transfer, TransferId,
};
use tokio::task::JoinSet;
use uuid::Uuid;

#[tokio::main]
pub(crate) async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let db = api_store::Db::open_sqlite(&folder.path().join("books.db")).await?;
    db.migrate().await?;
    let ledger = Ledger::new(db);
    let bank = TenantId::new(Uuid::now_v7());
    let mut tx = ledger.db().begin().await?;
    let vault = NewAccount::new(bank, "assets:vault", "EUR", Side::Debit).with_floor(Floor::None);
    let vault = ledger.open_account(&mut tx, &vault).await?;
    let ann = NewAccount::new(bank, "customers:ann", "EUR", Side::Credit);
    let ann = ledger.open_account(&mut tx, &ann).await?;
    tx.commit().await?;
    let transfer = |debit, credit, amount| {
        let legs = vec![Leg { debit, credit, amount }];
        Transfer::new(bank, TransferId::generate(), legs)
    };

    // A server has one front and clones it for each request: 100 callers share a few commits.
    let front = GroupCommit::start(ledger.clone());
    let mut callers = JoinSet::new();
    for _ in 0..100 {
        let (front, top_up) = (front.clone(), transfer(vault, ann, 10));
        callers.spawn(async move { front.post(top_up).await });
    }
    for posted in callers.join_all().await {
        assert_eq!(posted?.outcome, Outcome::Executed);
    }

    // In a batch each is answered by itself.
    let batch = [transfer(ann, vault, 400), transfer(ann, vault, 601), transfer(ann, vault, 600)];
    let results = ledger.post_batch(&batch).await?;
    assert_eq!(results[1], Err(Refusal::InsufficientFunds));
    assert!(results[0].is_ok() && results[2].is_ok());

    // Of a group nothing happens when one is refused, and the others are told which.
    let group = vec![transfer(vault, ann, 5), transfer(ann, vault, 6)];
    let results = front.post_group(group.clone()).await?;
    assert_eq!(results[0], Err(Refusal::GroupRefused(group[1].id)));
    assert_eq!(results[1], Err(Refusal::InsufficientFunds));

    // What is refused leaves no trace: the same request may come through later.
    front.post(transfer(vault, ann, 1)).await?;
    assert!(front.post_group(group).await?.iter().all(Result::is_ok));
    let too_much = front.post(transfer(ann, vault, 1)).await;
    assert!(matches!(too_much, Err(PostError::Refused(Refusal::InsufficientFunds))));

    let mut tx = ledger.db().read().await?;
    let balance = ledger.balance(&mut tx, ann, AsOf::Now).await?;
    println!("{} credited, {} left", balance.totals.credits_posted, balance.available());
    assert_eq!((balance.totals.credits_posted, balance.available().or_zero()), (1_006, 0));
    Ok(())
}
