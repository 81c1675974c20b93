//! Stored loans on both databases, posted through the ledger.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::Arc;

use api_ledger::{Refusal, TenantId};
use api_loans::loan::{RepaymentMode, Status};
use api_loans::{Applied, Disburse, LoanError, Money, NewProduct, Repay, ServiceError};
use api_store::Tx;
use common::world::{START, World, on_both, top_up};
use common::{money, plain_terms};
use jiff::civil::date;
use uuid::Uuid;

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
        let ServiceError::Refused(refusal) = &refused else { panic!("{refused}") };
        // A repayment has a leg for each part of it: the first that could not be paid is named.
        assert_eq!(refusal.cause(), &Refusal::InsufficientFunds, "{refused}");
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

#[tokio::test]
async fn a_deferral_is_accepted_by_signing_its_preview() -> anyhow::Result<()> {
    use api_loans::loan::{Arrears, Restructuring};
    use api_loans::{Acceptance, acceptance_message};
    use ed25519_dalek::{Signer, SigningKey};

    on_both(|engine| async move {
        let world = World::new(engine, date(2024, 5, 1)).await?;
        let key = SigningKey::from_bytes(&[7; 32]);
        let loan = Uuid::now_v7();
        let borrower_key = Some(key.verifying_key().to_bytes());
        let mut tx = world.db().begin().await?;
        let disbursal = Disburse { borrower_key, ..world.disbursal(loan) };
        world.loans.disburse(&mut tx, world.tenant, &disbursal).await?;
        tx.commit().await?;

        let on = date(2024, 4, 20);
        let change =
            Restructuring { pause: 2, arrears: Arrears::Capitalise, ..Restructuring::default() };
        let mut tx = world.db().begin().await?;
        let preview = world.loans.preview(&mut tx, world.tenant, loan, &change, on).await?;
        tx.rollback().await?;
        assert!(preview.before.days_past_due > 60 && preview.after.days_past_due == 0);
        assert_eq!(preview.after.instalments_left, 11, "nine, and two for the pause");
        let hash = preview.hash()?;
        let signed = |hash: &str| Some(key.sign(acceptance_message(hash).as_bytes()).to_bytes());
        let good = Acceptance {
            id: Uuid::now_v7(),
            change,
            effective: on,
            preview: hash.clone(),
            signature: signed(&hash),
        };
        let cases = [
            (Acceptance { signature: None, ..good.clone() }, "loan_acceptance_invalid"),
            (Acceptance { signature: signed("00"), ..good.clone() }, "loan_acceptance_invalid"),
            (Acceptance { preview: "00".to_owned(), ..good.clone() }, "loan_preview_changed"),
            (
                Acceptance { change: Restructuring { pause: 3, ..change }, ..good.clone() },
                "loan_preview_changed",
            ),
        ];
        for (acceptance, code) in cases {
            let mut tx = world.db().begin().await?;
            match world.loans.accept(&mut tx, world.tenant, loan, &acceptance).await {
                Err(ServiceError::Loan(error)) => assert_eq!(error.code(), code),
                other => panic!("{code}: {other:?}"),
            }
        }
        for expected in [Applied::Executed, Applied::AlreadyApplied] {
            let mut tx = world.db().begin().await?;
            let done = world.loans.accept(&mut tx, world.tenant, loan, &good).await?;
            assert_eq!(done, expected);
            tx.commit().await?;
        }
        world.assert_books(&[loan], on).await?;
        // While it is the last event it can be taken back; after a payment it cannot.
        world.pay(&world.payment(loan, on, 1_000)).await?;
        let mut tx = world.db().begin().await?;
        let back = world.loans.reverse(&mut tx, world.tenant, loan, Uuid::now_v7(), good.id, "no");
        let refused = back.await.unwrap_err();
        assert!(matches!(refused, ServiceError::Loan(LoanError::NotReversible)), "{refused}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_write_off_and_a_recovery_keep_the_books() -> anyhow::Result<()> {
    on_both(|engine| async move {
        let world = World::new(engine, date(2024, 9, 1)).await?;
        let loan = world.lend().await?;
        world.loans.end_of_day(world.db(), date(2024, 8, 31), 10).await?;
        let mut tx = world.db().begin().await?;
        world
            .loans
            .waive(
                &mut tx,
                world.tenant,
                loan,
                Uuid::now_v7(),
                api_loans::loan::Amounts { interest: money(2_000), ..Default::default() },
                "goodwill",
            )
            .await?;
        world
            .loans
            .charge_fee(&mut tx, world.tenant, loan, Uuid::now_v7(), money(500), "letter")
            .await?;
        world.loans.charge_off(&mut tx, world.tenant, loan, Uuid::now_v7()).await?;
        tx.commit().await?;
        world.assert_books(&[loan], date(2024, 9, 1)).await?;
        let lost: i128 = world.balance("loans:charge-off").await?.parse()?;
        let (_, repayment) = world.pay(&world.payment(loan, date(2024, 9, 1), 100_000)).await?;
        assert!(repayment.allocations.iter().all(|part| part.recovery));
        assert_eq!(repayment.status, Status::ChargedOff);
        assert_eq!(world.balance("loans:charge-off").await?, (lost - 100_000).to_string());
        assert_eq!(world.balance("loans:suspense").await?, "0");
        assert_eq!(world.balance("loans:forgiveness").await?, "2000");
        Ok(())
    })
    .await
}
