//! The same transfers by the library alone, in this process: what HTTP is measured against.

use std::time::{Duration, Instant};

use api_ledger::{
    AccountId, Floor, GroupCommit, Ledger, Leg, NewAccount, Side, TenantId, Transfer, TransferId,
};
use api_store::Engine;
use api_store::test_db::TestDb;
use rand::Rng as _;
use uuid::Uuid;

/// Transfers a second.
pub(crate) struct Rates {
    pub(crate) single: f64,
    pub(crate) batch: f64,
}

struct Library {
    ledger: Ledger,
    tenant: TenantId,
    accounts: Vec<AccountId>,
}

pub(crate) fn measure(engine: Engine, accounts: usize, callers: usize, time: Duration) -> Rates {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let test_db = TestDb::new(engine).await.unwrap();
        let library = Library::new(&test_db, accounts).await;
        let single = library.singles(callers, time).await;
        Rates { single, batch: library.batches(time).await }
    })
}

impl Library {
    async fn new(test_db: &TestDb, count: usize) -> Self {
        let ledger = Ledger::new(test_db.db.clone());
        let tenant = TenantId::new(Uuid::now_v7());
        let mut accounts = Vec::new();
        let mut tx = test_db.db.begin().await.unwrap();
        for number in 0..count {
            let code = format!("bench:{number}");
            let account = NewAccount::new(tenant, &code, "EUR", Side::Credit)
                .with_floor(Floor::None)
                .for_clients();
            accounts.push(ledger.open_account(&mut tx, &account).await.unwrap());
        }
        tx.commit().await.unwrap();
        Self { ledger, tenant, accounts }
    }

    fn transfer(&self) -> Transfer {
        let mut rng = rand::rng();
        let count = self.accounts.len();
        let debit = rng.random_range(0..count);
        let credit = (debit + rng.random_range(1..count)) % count;
        let leg = Leg { debit: self.accounts[debit], credit: self.accounts[credit], amount: 1 };
        Transfer::new(self.tenant, TransferId::generate(), vec![leg]).by_client()
    }

    async fn singles(&self, callers: usize, time: Duration) -> f64 {
        let front = GroupCommit::start(self.ledger.clone());
        let begin = Instant::now();
        let mut posted = 0_u32;
        let callers = (0..callers).map(|_| async {
            let mut own = 0_u32;
            while begin.elapsed() < time {
                front.post(self.transfer()).await.unwrap();
                own += 1;
            }
            own
        });
        for own in futures_util::future::join_all(callers).await {
            posted += own;
        }
        f64::from(posted) / begin.elapsed().as_secs_f64()
    }

    async fn batches(&self, time: Duration) -> f64 {
        let begin = Instant::now();
        let mut posted = 0_u32;
        while begin.elapsed() < time {
            let batch: Vec<Transfer> = (0..super::BATCH).map(|_| self.transfer()).collect();
            let results = self.ledger.post_batch(&batch).await.unwrap();
            assert!(results.iter().all(Result::is_ok));
            posted += u32::try_from(results.len()).unwrap();
        }
        f64::from(posted) / begin.elapsed().as_secs_f64()
    }
}
