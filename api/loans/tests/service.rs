//! Stored loans on both databases, posted through the ledger.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::Arc;

use api_ledger::{
    AccountId, Floor, Ledger, Leg, NewAccount, Refusal, Side, TenantId, Transfer, TransferId,
};
use api_loans::loan::{RepaymentMode, Status};
use api_loans::{Applied, Disburse, LoanError, Loans, Money, NewProduct, Repay, ServiceError};
use api_store::test_db::TestDb;
use api_store::{Db, Engine, Tx};
use common::{money, plain_terms};
use jiff::Timestamp;
use jiff::civil::{Date, date};
use uuid::Uuid;

struct World {
    test_db: TestDb,
    ledger: Ledger,
    loans: Loans,
    tenant: TenantId,
    customer: AccountId,
    product: Uuid,
}

const START: Date = date(2024, 1, 15);

fn at(day: Date) -> Timestamp {
    day.at(12, 0, 0, 0).in_tz("UTC").unwrap().timestamp()
}

impl World {
    async fn new(engine: Engine, today: Date) -> anyhow::Result<Self> {
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

    fn db(&self) -> &Db {
        &self.test_db.db
    }

    fn disbursal(&self, loan: Uuid) -> Disburse {
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

    fn payment(&self, loan: Uuid, on: Date, minor: i128) -> Repay {
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

    async fn lend(&self) -> anyhow::Result<Uuid> {
        let loan = Uuid::now_v7();
        let mut tx = self.db().begin().await?;
        self.loans.disburse(&mut tx, self.tenant, &self.disbursal(loan)).await?;
        tx.commit().await?;
        Ok(loan)
    }

    async fn pay(&self, request: &Repay) -> Result<(Applied, api_loans::Repayment), ServiceError> {
        let mut tx = self.db().begin().await?;
        let done = self.loans.repay(&mut tx, self.tenant, request).await?;
        tx.commit().await?;
        Ok(done)
    }

    async fn balance(&self, code: &str) -> anyhow::Result<String> {
        let mut tx = self.db().begin().await?;
        let found = self.ledger.find_account(&mut tx, self.tenant, code, "CNY").await?;
        Ok(found.unwrap().1.posted().to_string())
    }

    /// The ledger has what the folds of these loans say, each up to `on`.
    async fn assert_books(&self, loans: &[Uuid], on: Date) -> anyhow::Result<()> {
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

async fn top_up(world: &World, minor: u128) -> anyhow::Result<()> {
    let mut tx = world.db().begin().await?;
    let bank = NewAccount::new(world.tenant, "bank", "CNY", Side::Debit).with_floor(Floor::None);
    let bank = world.ledger.open_account(&mut tx, &bank).await?;
    let leg = Leg { debit: bank, credit: world.customer, amount: minor };
    let transfer = Transfer::new(world.tenant, TransferId::generate(), vec![leg]);
    world.ledger.post_one_in(&mut tx, &transfer).await?;
    tx.commit().await?;
    Ok(())
}

async fn on_both<F: Future<Output = anyhow::Result<()>>>(
    test: fn(Engine) -> F,
) -> anyhow::Result<()> {
    test(Engine::Sqlite).await?;
    test(Engine::Postgres).await
}

#[tokio::test]
async fn a_loan_is_paid_out_and_repaid() -> anyhow::Result<()> {
    on_both(|engine| async move {
        let world = World::new(engine, date(2024, 3, 1)).await?;
        let loan = world.lend().await?;
        assert_eq!(world.balance("customer:1:available").await?, "1200000");
        assert_eq!(world.balance("loans:suspense").await?, "0");

        // 12 % a year on 12,000.00 for a month is 120.00; the level instalment is 1,066.19.
        let first = world.payment(loan, date(2024, 2, 15), 106_619);
        let (applied, repayment) = world.pay(&first).await?;
        assert_eq!(applied, Applied::Executed);
        let paid: Vec<String> =
            repayment.allocations.iter().map(|part| part.amount.to_string()).collect();
        assert_eq!(paid, ["12000", "94619"], "interest first, then principal");
        assert_eq!(repayment.outstanding.principal, money(1_105_381));
        assert_eq!(world.balance("customer:1:available").await?, "1093381");
        assert_eq!(world.balance("loans:income:interest").await?, "12000");
        world.assert_books(&[loan], date(2024, 2, 15)).await?;

        let (again, same) = world.pay(&first).await?;
        assert_eq!(again, Applied::AlreadyApplied);
        assert_eq!(same.allocations, repayment.allocations);
        let other = Repay { amount: money(1), ..first.clone() };
        let refused = world.pay(&other).await.unwrap_err();
        assert!(matches!(refused, ServiceError::Loan(LoanError::IdReused)), "{refused}");
        assert_eq!(world.balance("customer:1:available").await?, "1093381");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn bad_input_has_a_code_and_changes_nothing() -> anyhow::Result<()> {
    on_both(|engine| async move {
        let world = World::new(engine, date(2024, 3, 1)).await?;
        let loan = world.lend().await?;
        let good = world.payment(loan, date(2024, 2, 15), 5_000);
        let cases = [
            (Repay { currency: "EUR".to_owned(), ..good.clone() }, "loan_currency_mismatch"),
            (Repay { amount: money(0), ..good.clone() }, "loan_amount_out_of_range"),
            (Repay { amount: money(-5), ..good.clone() }, "loan_amount_out_of_range"),
            (
                Repay { effective: date(2024, 1, 14), ..good.clone() },
                "loan_event_before_disbursement",
            ),
            (Repay { effective: date(2024, 3, 9), ..good.clone() }, "loan_date_invalid"),
            (Repay { loan: Uuid::now_v7(), ..good.clone() }, "loan_unknown"),
        ];
        for (request, code) in cases {
            match world.pay(&request).await {
                Err(ServiceError::Loan(error)) => assert_eq!(error.code(), code),
                other => panic!("{code}: {other:?}"),
            }
        }
        let poor = Repay { amount: money(9_000_000), ..good };
        let refused = world.pay(&poor).await.unwrap_err();
        assert!(matches!(refused, ServiceError::Refused(Refusal::InsufficientFunds)), "{refused}");
        assert_eq!(world.balance("customer:1:available").await?, "1200000");
        let mut tx = world.db().begin().await?;
        assert_eq!(world.loans.events(&mut tx, world.tenant, loan).await?.len(), 1);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_loan_is_seen_by_its_tenant_alone() -> anyhow::Result<()> {
    on_both(|engine| async move {
        let world = World::new(engine, date(2024, 3, 1)).await?;
        let loan = world.lend().await?;
        let stranger = TenantId::new(Uuid::now_v7());
        let mut tx = world.db().begin().await?;
        let loans = &world.loans;
        let unknown = |error: ServiceError| {
            let LoanError::UnknownLoan(id) = (match error {
                ServiceError::Loan(error) => error,
                other => panic!("{other}"),
            }) else {
                panic!("not unknown")
            };
            assert_eq!(id, loan);
        };
        unknown(loans.loan(&mut tx, stranger, loan, START).await.unwrap_err());
        unknown(loans.schedule(&mut tx, stranger, loan).await.unwrap_err());
        unknown(loans.events(&mut tx, stranger, loan).await.unwrap_err());
        unknown(loans.repayments(&mut tx, stranger, loan).await.unwrap_err());
        unknown(loans.settlement_quote(&mut tx, stranger, loan, START).await.unwrap_err());
        let payment = world.payment(loan, START, 1);
        unknown(loans.repay(&mut tx, stranger, &payment).await.unwrap_err());
        unknown(loans.charge_off(&mut tx, stranger, loan, Uuid::now_v7()).await.unwrap_err());
        let by_product = loans.product(&mut tx, stranger, world.product).await.unwrap_err();
        assert!(matches!(by_product, ServiceError::Loan(LoanError::UnknownProduct(_))));
        assert!(loans.products(&mut tx, stranger, "", 10).await?.is_empty());
        assert!(loans.loans_of(&mut tx, stranger, "customer-1", None, 10).await?.is_empty());
        assert_eq!(loans.loans_of(&mut tx, world.tenant, "customer-1", None, 10).await?, [loan]);
        // The stranger cannot even learn that the id is taken.
        let new = NewProduct { id: Uuid::now_v7(), name: "plain".to_owned(), terms: plain_terms() };
        loans.create_product(&mut tx, stranger, &new).await?;
        let theirs = Disburse { product: new.id, ..world.disbursal(loan) };
        let reused = loans.disburse(&mut tx, stranger, &theirs).await.unwrap_err();
        assert!(matches!(reused, ServiceError::Loan(LoanError::IdReused)), "{reused}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_backdated_and_a_bounced_payment_post_the_difference() -> anyhow::Result<()> {
    on_both(|engine| async move {
        let world = World::new(engine, date(2024, 5, 1)).await?;
        let loan = world.lend().await?;
        world.loans.end_of_day(world.db(), date(2024, 4, 20), 10).await?;
        world.assert_books(&[loan], date(2024, 4, 20)).await?;
        let late = world.payment(loan, date(2024, 2, 15), 106_619);
        world.pay(&late).await?;
        world.assert_books(&[loan], date(2024, 4, 20)).await?;

        let mut tx = world.db().begin().await?;
        let reversal = Uuid::now_v7();
        for expected in [Applied::Executed, Applied::AlreadyApplied] {
            let reverse =
                world.loans.reverse(&mut tx, world.tenant, loan, reversal, late.id, "bounced");
            assert_eq!(reverse.await?, expected);
        }
        tx.commit().await?;
        assert_eq!(world.balance("customer:1:available").await?, "1200000");
        world.loans.end_of_day(world.db(), date(2024, 5, 1), 10).await?;
        world.assert_books(&[loan], date(2024, 5, 1)).await?;
        let mut tx = world.db().begin().await?;
        let repayments = world.loans.repayments(&mut tx, world.tenant, loan).await?;
        assert!(repayments[0].reversed && repayments[0].allocations.is_empty());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn promise_33_replaying_a_day_changes_nothing() -> anyhow::Result<()> {
    on_both(|engine| async move {
        let world = World::new(engine, date(2025, 6, 1)).await?;
        let mut loans = Vec::new();
        for _ in 0..7 {
            loans.push(world.lend().await?);
        }
        for day in [date(2024, 2, 1), date(2024, 2, 15), date(2024, 4, 2)] {
            let done = world.loans.end_of_day(world.db(), day, 3).await?;
            assert_eq!((done.loans, done.transfers), (7, 3), "{day}");
            let again = world.loans.end_of_day(world.db(), day, 3).await?;
            assert_eq!((again.loans, again.transfers), (0, 0), "{day}");
            world.assert_books(&loans, day).await?;
        }
        let earlier = world.loans.end_of_day(world.db(), date(2024, 3, 1), 3).await?;
        assert_eq!(earlier.loans, 0, "an earlier day than the posted one");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_correction_of_a_closed_period_counts_for_the_open_one() -> anyhow::Result<()> {
    on_both(|engine| async move {
        let world = World::new(engine, date(2024, 5, 1)).await?;
        let loan = world.lend().await?;
        let mut tx = world.db().begin().await?;
        world.loans.close_books(&mut tx, world.tenant, date(2024, 3, 31)).await?;
        world.loans.close_books(&mut tx, world.tenant, date(2024, 2, 29)).await?;
        tx.commit().await?;
        let payment = world.payment(loan, date(2024, 2, 15), 106_619);
        world.pay(&payment).await?;
        let mut tx: Tx = world.db().begin().await?;
        let records = world.loans.repayments(&mut tx, world.tenant, loan).await?;
        let id = records[0].transfer.unwrap();
        let transfer = world.ledger.transfer(&mut tx, world.tenant, id).await?.unwrap();
        assert_eq!(transfer.effective_on, date(2024, 4, 1));
        assert_eq!(records[0].effective, date(2024, 2, 15), "the borrower's day stays");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_early_settlement_pays_the_quote() -> anyhow::Result<()> {
    on_both(|engine| async move {
        let world = World::new(engine, date(2024, 3, 1)).await?;
        top_up(&world, 100_000).await?;
        let loan = world.lend().await?;
        let on = date(2024, 2, 25);
        let mut tx = world.db().begin().await?;
        let quote = world.loans.settlement_quote(&mut tx, world.tenant, loan, on).await?;
        tx.rollback().await?;
        let payment =
            Repay { mode: RepaymentMode::Settle, ..world.payment(loan, on, quote.to_pay.minor()) };
        let (_, repayment) = world.pay(&payment).await?;
        assert_eq!(repayment.status, Status::Settled);
        assert_eq!(repayment.held, Money::ZERO);
        world.assert_books(&[loan], on).await?;
        let done = world.loans.end_of_day(world.db(), date(2024, 3, 1), 10).await?;
        assert_eq!(done.loans, 0, "a settled loan runs no more");
        Ok(())
    })
    .await
}

/// Twenty payments of one id at once are one payment.
#[tokio::test(flavor = "multi_thread")]
async fn promise_28_one_id_is_one_payment_under_race() -> anyhow::Result<()> {
    on_both(|engine| async move {
        let world = Arc::new(World::new(engine, date(2024, 3, 1)).await?);
        let loan = world.lend().await?;
        let payment = world.payment(loan, date(2024, 2, 15), 106_619);
        let tries: Vec<_> = (0..20)
            .map(|_| {
                let (world, payment) = (world.clone(), payment.clone());
                tokio::spawn(async move { world.pay(&payment).await.unwrap().0 })
            })
            .collect();
        let mut executed = 0;
        for one in tries {
            executed += usize::from(one.await? == Applied::Executed);
        }
        assert_eq!(executed, 1);
        assert_eq!(world.balance("customer:1:available").await?, "1093381");
        Ok(())
    })
    .await
}
