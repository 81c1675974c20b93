//! A posting that is tried first, made, and taken back.
//!
//! `cargo run -p api-ledger --example reversal`
#![expect(clippy::print_stdout, reason = "an example")]

use api_ledger::{
    AsOf, Floor, Kind, Ledger, Leg, NewAccount, PostError, Refusal, Side, TenantId, Transfer,
    TransferId,
};
use uuid::Uuid;

#[tokio::main]
pub(crate) async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let db = api_store::Db::open_sqlite(&folder.path().join("books.db")).await?;
    db.migrate().await?;
    let ledger = Ledger::new(db);
    let bank = TenantId::new(Uuid::now_v7());
    let mut tx = ledger.db().begin().await?;
    let open = |code, side| NewAccount::new(bank, code, "EUR", side);
    let vault = open("assets:vault", Side::Debit).with_floor(Floor::None);
    let vault = ledger.open_account(&mut tx, &vault).await?;
    let ann = ledger.open_account(&mut tx, &open("customers:ann", Side::Credit)).await?;
    let fees = ledger.open_account(&mut tx, &open("income:fees", Side::Credit)).await?;
    tx.commit().await?;
    let id = TransferId::generate;
    let leg = |debit, credit, amount| Leg { debit, credit, amount };
    ledger.post(&Transfer::new(bank, id(), vec![leg(vault, ann, 2_000)])).await?;

    // A withdrawal of 19.00 with a fee of 1.50 would be refused: asked before, nothing is written.
    let withdrawal = |fee| {
        let legs = vec![leg(ann, vault, 1_900), leg(ann, fees, fee)];
        Transfer::new(bank, id(), legs).with_code("withdrawal")
    };
    let tried = ledger.dry_run(&[withdrawal(150), withdrawal(100)]).await?;
    let cause = Box::new(Refusal::InsufficientFunds);
    assert_eq!(tried[0], Err(Refusal::AtLeg { leg: 1, cause }), "the fee is too much");
    assert!(tried[1].is_ok());

    let balance = async |id| {
        let mut tx = ledger.db().read().await?;
        Ok::<_, anyhow::Error>(ledger.balance(&mut tx, id, AsOf::Now).await?.posted().or_zero())
    };
    assert_eq!(balance(ann).await?, 2_000);
    let withdrawal = withdrawal(100);
    ledger.post(&withdrawal).await?;
    assert_eq!((balance(ann).await?, balance(fees).await?), (0, 100));

    // It never arrived. Entries are not changed: all legs move back, once.
    let back = Transfer::reverse(bank, id(), withdrawal.id).with_reference("returned by the bank");
    ledger.post(&back).await?;
    assert_eq!((balance(ann).await?, balance(fees).await?), (2_000, 0));
    let twice = ledger.post(&Transfer::reverse(bank, id(), withdrawal.id)).await;
    assert!(matches!(twice, Err(PostError::Refused(Refusal::AlreadyReversed))));

    let mut tx = ledger.db().read().await?;
    let stored = ledger.transfer(&mut tx, bank, back.id).await?.ok_or(Refusal::OriginalNotFound)?;
    println!("{} of {:?}: {} legs", stored.kind.name(), stored.target, stored.legs.len());
    assert_eq!((stored.kind, stored.target), (Kind::Reversal, Some(withdrawal.id)));
    Ok(())
}
