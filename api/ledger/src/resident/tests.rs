#![expect(clippy::unwrap_used, reason = "tests")]
use std::sync::Arc;

use api_store::Engine;
use api_store::test_db::TestDb;
use jiff::Timestamp;

use super::TailOptions;
use crate::ledger::Clock;
use crate::posting::{Ids, Posting};
use crate::{
    AccountId, AsOf, Floor, Ledger, Leg, NewAccount, Outcome, PostError, Refusal, Side, TenantId,
    Transfer, TransferId, repo,
};

struct Books {
    ledger: Ledger,
    tenant: TenantId,
    accounts: [AccountId; 3],
}

impl Books {
    async fn new(test_db: &TestDb) -> Self {
        let options = TailOptions { alone_from: 1, wary: 0, ..TailOptions::default() };
        let ledger = Ledger::new(test_db.db.clone()).with_tail(options);
        let tenant = TenantId::new(uuid::Uuid::now_v7());
        let mut tx = test_db.db.begin().await.unwrap();
        let mut accounts = [AccountId::new(0); 3];
        for (number, id) in accounts.iter_mut().enumerate() {
            let account = NewAccount::new(tenant, &format!("a{number}"), "EUR", Side::Credit);
            let floor = if number == 0 { Floor::None } else { Floor::Zero };
            *id = ledger.open_account(&mut tx, &account.with_floor(floor)).await.unwrap();
        }
        tx.commit().await.unwrap();
        Self { ledger, tenant, accounts }
    }

    fn transfer(&self, debit: usize, credit: usize, amount: u128) -> Transfer {
        let account = |number: usize| self.accounts.get(number).copied().unwrap();
        let leg = Leg { debit: account(debit), credit: account(credit), amount };
        Transfer::new(self.tenant, TransferId::generate(), vec![leg])
    }
}

/// A batch is durable, but before this process notes so, another server folds it and goes on, and a reader
/// here sees that: the batch's accounts must be read again.
#[tokio::test]
async fn a_late_note_hides_nothing() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let test_db = TestDb::new(engine).await.unwrap();
        let books = Books::new(&test_db).await;
        let (ledger, other) =
            (&books.ledger, books.ledger.clone().with_tail(TailOptions::default()));
        ledger.post(&books.transfer(0, 1, 100)).await.unwrap();
        let clock: Clock = Arc::new(Timestamp::now);
        let posting = Posting { resident: &ledger.resident, clock: &clock, is_own: true };
        let spend = books.transfer(1, 0, 100);
        let mut tx = test_db.db.begin().await.unwrap();
        repo::lock_alone(&mut tx).await.unwrap();
        let attempt = posting.attempt_alone(&mut tx, &[&[spend]], Ids::New, None).await.unwrap();
        let (results, written) = attempt.unwrap();
        assert!(results.iter().all(Result::is_ok));
        tx.commit().await.unwrap();
        other.fold().await.unwrap();
        let others = books.ledger.clone().with_tail(ledger.resident.options());
        others.post(&books.transfer(0, 2, 1)).await.unwrap();
        let mut tx = test_db.db.read().await.unwrap();
        for account in books.accounts {
            ledger.balance(&mut tx, account, AsOf::Now).await.unwrap();
        }
        tx.rollback().await.unwrap();
        ledger.resident.committed(&written.unwrap());
        let again = ledger.post(&books.transfer(1, 0, 100)).await;
        assert!(matches!(again, Err(PostError::Refused(Refusal::InsufficientFunds))), "{again:?}");
        let mut tx = test_db.db.read().await.unwrap();
        assert!(ledger.check(&mut tx).await.unwrap().is_clean());
    }
}

/// Ids that are taken for new: one that comes twice in a batch is compared there and then, one that was stored
/// before has all ids looked up.
#[tokio::test]
async fn only_what_was_stored_before_is_decided_again() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let test_db = TestDb::new(engine).await.unwrap();
        let books = Books::new(&test_db).await;
        let clock: Clock = Arc::new(Timestamp::now);
        let resident = &books.ledger.resident;
        let posting = Posting { resident, clock: &clock, is_own: true };
        let first = books.transfer(0, 1, 5);
        let with_its_id = |transfer: Transfer| Transfer { id: first.id, ..transfer };
        let other = with_its_id(books.transfer(0, 1, 6));
        let mut tx = test_db.db.begin().await.unwrap();
        repo::lock_alone(&mut tx).await.unwrap();
        let batch = [first.clone(), first.clone(), other];
        let groups: Vec<_> = batch.chunks(1).collect();
        let attempt = posting.attempt_alone(&mut tx, &groups, Ids::New, None).await.unwrap();
        let (results, written) = attempt.unwrap();
        let outcomes: Vec<_> =
            results.into_iter().map(|r| r.map(|posted| posted.outcome)).collect();
        let expected =
            [Ok(Outcome::Executed), Ok(Outcome::AlreadyApplied), Err(Refusal::IdConflict)];
        assert_eq!(outcomes, expected);
        tx.commit().await.unwrap();
        resident.committed(&written.unwrap());

        let refused = with_its_id(books.transfer(2, 1, 5));
        let mut tx = test_db.db.begin().await.unwrap();
        repo::lock_alone(&mut tx).await.unwrap();
        let batch = [books.transfer(0, 1, 7), refused.clone()];
        let groups: Vec<_> = batch.chunks(1).collect();
        let attempt = posting.attempt_alone(&mut tx, &groups, Ids::New, None).await.unwrap();
        assert!(attempt.is_none(), "refused for want of money, but stored: a conflict");
        tx.rollback().await.unwrap();
        let again = books.ledger.post(&refused).await;
        assert!(matches!(again, Err(PostError::Refused(Refusal::IdConflict))), "{again:?}");
        let mut tx = test_db.db.read().await.unwrap();
        assert!(books.ledger.check(&mut tx).await.unwrap().is_clean());
    }
}
