//! What the tests of the ledger share.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use api_ledger::*;
use api_store::test_db::TestDb;
use api_store::{Engine, Tx};
use jiff::Timestamp;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

/// 2026-03-01T12:00:00Z.
const START: i64 = 1_772_366_400;

/// All that is done to large batches and large tails, with the smallest: some are alone, some when they can
/// be and some never, and there is always something to fold and something to forget.
pub(crate) const SMALL: TailOptions = TailOptions {
    alone_from: 3,
    alone_if_free_from: 2,
    fold_from: 6,
    fold_ratio: 1,
    slice: 2,
    accounts: 5,
    wary: 1,
};

/// A ledger in a database of its own, with a clock that the test moves.
pub(crate) struct Fixture {
    pub(crate) ledger: Ledger,
    pub(crate) tenant: TenantId,
    pub(crate) test_db: TestDb,
    clock: Arc<AtomicI64>,
}

impl Fixture {
    pub(crate) async fn new(engine: Engine) -> Self {
        Self::of(TestDb::new(engine).await.unwrap())
    }

    pub(crate) fn of(test_db: TestDb) -> Self {
        let clock = Arc::new(AtomicI64::new(START));
        let seconds = Arc::clone(&clock);
        let now = move || Timestamp::from_second(seconds.load(Ordering::SeqCst)).unwrap();
        let ledger = Ledger::with_clock(test_db.db.clone(), Arc::new(now)).with_tail(SMALL);
        Self { ledger, tenant: TenantId::new(Uuid::new_v4()), test_db, clock }
    }

    /// Another ledger on the same database, as another server has it: nothing is in its memory.
    pub(crate) fn another(&self) -> Ledger {
        self.ledger.clone().with_tail(SMALL)
    }

    /// Moves the clock.
    pub(crate) fn sleep(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_second(self.clock.load(Ordering::SeqCst)).unwrap()
    }

    pub(crate) async fn begin(&self) -> Tx {
        self.test_db.db.begin().await.unwrap()
    }

    pub(crate) async fn open(&self, account: NewAccount) -> AccountId {
        let mut tx = self.begin().await;
        let id = self.ledger.open_account(&mut tx, &account).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    /// The bank's own account: debit-normal, without floor.
    pub(crate) async fn bank(&self) -> AccountId {
        let bank = NewAccount::new(self.tenant, "bank", "EUR", Side::Debit);
        self.open(bank.with_floor(Floor::None)).await
    }

    /// A customer's account: credit-normal, not below zero.
    pub(crate) async fn customer(&self, name: &str) -> AccountId {
        let code = format!("customer:{name}:available");
        self.open(NewAccount::new(self.tenant, &code, "EUR", Side::Credit)).await
    }

    pub(crate) fn transfer(
        &self,
        id: u128,
        debit: AccountId,
        credit: AccountId,
        amount: u128,
    ) -> Transfer {
        Transfer::new(self.tenant, TransferId::from_u128(id), vec![Leg { debit, credit, amount }])
    }

    pub(crate) fn pending(
        &self,
        id: u128,
        debit: AccountId,
        credit: AccountId,
        amount: u128,
    ) -> Transfer {
        let legs = vec![Leg { debit, credit, amount }];
        Transfer::pending(self.tenant, TransferId::from_u128(id), legs, None)
    }

    pub(crate) async fn balance(&self, id: AccountId) -> Balance {
        self.balance_as_of(id, AsOf::Now).await
    }

    pub(crate) async fn balance_as_of(&self, id: AccountId, as_of: AsOf) -> Balance {
        let mut tx = self.test_db.db.read().await.unwrap();
        self.ledger.balance(&mut tx, id, as_of).await.unwrap()
    }

    pub(crate) async fn post(&self, transfer: &Transfer) -> Result<Posted, Refusal> {
        match self.ledger.post(transfer).await {
            Ok(posted) => Ok(posted),
            Err(PostError::Refused(refusal)) => Err(refusal),
            Err(PostError::Ledger(error)) => panic!("{error}"),
        }
    }

    pub(crate) async fn check(&self) -> CheckReport {
        let mut tx = self.test_db.db.read().await.unwrap();
        self.ledger.check(&mut tx).await.unwrap()
    }

    pub(crate) async fn assert_clean(&self) {
        let report = self.check().await;
        assert!(report.is_clean(), "{:?}", report.difference);
    }
}

/// Statements as they are, without the checks that the ledger's own go through.
pub(crate) async fn run(tx: &mut Tx, sql: &str) {
    let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
    match tx {
        Tx::Sqlite(tx) => drop(sql.execute(&mut **tx).await.unwrap()),
        Tx::Postgres(tx) => drop(sql.execute(&mut **tx).await.unwrap()),
    }
}

/// A test on each engine of a function `async fn name(engine: Engine)`.
macro_rules! on_both_engines {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(api_store::Engine::Sqlite).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(api_store::Engine::Postgres).await;
            })*
        }
    };
}
