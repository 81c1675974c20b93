//! A tenant with a customer and a product in a test database.
use std::sync::Arc;

use api_ledger::{AccountId, Floor, Ledger, Leg, NewAccount, Side, TenantId, Transfer, TransferId};
use api_loans::loan::RepaymentMode;
use api_loans::{Applied, Disburse, Loans, Money, NewProduct, Repay, ServiceError};
use api_store::test_db::TestDb;
use api_store::{Db, Engine};
use jiff::Timestamp;
use jiff::civil::{Date, date};
use uuid::Uuid;

use super::{money, plain_terms};

pub struct World {
    pub test_db: TestDb,
    pub ledger: Ledger,
    pub loans: Loans,
    pub tenant: TenantId,
    pub customer: AccountId,
    pub product: Uuid,
}

pub const START: Date = date(2024, 1, 15);

pub fn at(day: Date) -> Timestamp {
    day.at(12, 0, 0, 0).in_tz("UTC").unwrap().timestamp()
}

impl World {
    pub async fn new(engine: Engine, today: Date) -> anyhow::Result<Self> {
        let test_db = TestDb::new(engine).await?;
        let ledger = Ledger::new(test_db.db.clone());
        let loans = Loans::with_clock(ledger.clone(), Arc::new(move || at(today)));
        let tenant = TenantId::new(Uuid::now_v7());
        let mut tx = test_db.db.begin().await?;
        let customer = NewAccount::new(tenant, "customer:1:available", "CNY", Side::Credit);
        let customer = ledger.open_account(&mut tx, &customer).await?;
        let new = NewProduct { id: Uuid::now_v7(), name: "plain".to_owned(), terms: plain_terms() };
        let product = loans.create_product(&mut tx, tenant, &new).await?.id;
        tx.commit().await?;
        Ok(Self { test_db, ledger, loans, tenant, customer, product })
    }

    pub fn db(&self) -> &Db {
        &self.test_db.db
    }

    pub fn disbursal(&self, loan: Uuid) -> Disburse {
        Disburse {
            loan,
            product: self.product,
            borrower: "customer-1".to_owned(),
            principal: money(1_200_000),
            start: START,
            first_due: None,
            to: self.customer,
            borrower_key: None,
        }
    }

    pub fn payment(&self, loan: Uuid, on: Date, minor: i128) -> Repay {
        Repay {
            id: Uuid::now_v7(),
            loan,
            amount: money(minor),
            currency: "CNY".to_owned(),
            effective: on,
            mode: RepaymentMode::Hold,
            from: self.customer,
        }
    }

    pub async fn lend(&self) -> anyhow::Result<Uuid> {
        let loan = Uuid::now_v7();
        let mut tx = self.db().begin().await?;
        self.loans.disburse(&mut tx, self.tenant, &self.disbursal(loan)).await?;
        tx.commit().await?;
        Ok(loan)
    }

    pub async fn pay(
        &self,
        request: &Repay,
    ) -> Result<(Applied, api_loans::Repayment), ServiceError> {
        let mut tx = self.db().begin().await?;
        let done = self.loans.repay(&mut tx, self.tenant, request).await?;
        tx.commit().await?;
        Ok(done)
    }

    pub async fn balance(&self, code: &str) -> anyhow::Result<String> {
        let mut tx = self.db().begin().await?;
        let found = self.ledger.find_account(&mut tx, self.tenant, code, "CNY").await?;
        Ok(found.unwrap().1.posted().to_string())
    }

    /// The ledger has what the folds of these loans say, each up to `on`.
    pub async fn assert_books(&self, loans: &[Uuid], on: Date) -> anyhow::Result<()> {
        let mut tx = self.db().begin().await?;
        let mut expected = [Money::ZERO; 4];
        for loan in loans {
            let outstanding =
                self.loans.fold(&mut tx, self.tenant, *loan, on).await?.outstanding()?;
            for (sum, component) in expected.iter_mut().zip(api_loans::terms::Component::ALL) {
                *sum = sum.plus(outstanding.of(component))?;
            }
        }
        tx.rollback().await?;
        for (component, sum) in api_loans::terms::Component::ALL.into_iter().zip(expected) {
            let code = format!("loans:receivable:{}", component.name());
            assert_eq!(self.balance(&code).await?, sum.to_string(), "{code}");
        }
        Ok(())
    }
}

pub async fn top_up(world: &World, minor: u128) -> anyhow::Result<()> {
    let mut tx = world.db().begin().await?;
    let bank = NewAccount::new(world.tenant, "bank", "CNY", Side::Debit).with_floor(Floor::None);
    let bank = world.ledger.open_account(&mut tx, &bank).await?;
    let leg = Leg { debit: bank, credit: world.customer, amount: minor };
    let transfer = Transfer::new(world.tenant, TransferId::generate(), vec![leg]);
    world.ledger.post_one_in(&mut tx, &transfer).await?;
    tx.commit().await?;
    Ok(())
}

pub async fn on_both<F: Future<Output = anyhow::Result<()>>>(
    test: fn(Engine) -> F,
) -> anyhow::Result<()> {
    test(Engine::Sqlite).await?;
    test(Engine::Postgres).await
}
