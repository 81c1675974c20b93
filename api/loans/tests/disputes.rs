//! A disputed claim is not chased, and a dispute ends in words or in a correction.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::BTreeSet;

use api_loans::reminders::{Channel, Debtor, Decision, Holds, Profile, Reason};
use api_loans::{Contact, DisputeOutcome, DisputeState, LoanError, Resolution, ServiceError};
use common::world::{World, on_both};
use jiff::civil::date;
use uuid::Uuid;

fn contact() -> Contact {
    Contact {
        debtor: Debtor {
            zone: "Europe/Berlin".to_owned(),
            language: "en".to_owned(),
            consents: BTreeSet::from([Channel::Email]),
            opted_out: false,
            holds: Holds::default(),
        },
        profile: Profile::built_in("eu").unwrap(),
    }
}

async fn suppressed(world: &World, loan: Uuid) -> anyhow::Result<Option<Reason>> {
    let mut tx = world.db().begin().await?;
    let reminder = world.loans.remind(&mut tx, world.tenant, loan).await?;
    tx.rollback().await?;
    Ok(match reminder.decision {
        Decision::Suppress { reason, .. } => Some(reason),
        Decision::Send { .. } => None,
    })
}

fn code<T: std::fmt::Debug>(refused: Result<T, ServiceError>) -> &'static str {
    match refused.unwrap_err() {
        ServiceError::Loan(error) => error.code(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_open_dispute_suppresses_reminders_until_it_is_resolved() -> anyhow::Result<()> {
    on_both(|engine| async move {
        let world = World::new(engine, date(2024, 2, 20)).await?;
        let (loan, other) = (world.lend().await?, world.lend().await?);
        let (loans, tenant) = (&world.loans, world.tenant);
        let mut tx = world.db().begin().await?;
        loans.set_contact(&mut tx, tenant, "customer-1", &contact()).await?;
        tx.commit().await?;
        assert_eq!(suppressed(&world, loan).await?, None, "overdue, with consent");

        let id = Uuid::now_v7();
        let mut tx = world.db().begin().await?;
        let stranger = api_ledger::TenantId::new(Uuid::now_v7());
        let foreign = loans.open_dispute(&mut tx, stranger, (id, loan), None, "x").await;
        assert_eq!(code(foreign), "loan_unknown");
        let opened = loans.open_dispute(&mut tx, tenant, (id, loan), None, "I have paid").await?;
        assert_eq!((opened.state, opened.opened_on), (DisputeState::Open, date(2024, 2, 20)));
        tx.commit().await?;
        assert_eq!(suppressed(&world, loan).await?, Some(Reason::Dispute));
        assert_eq!(suppressed(&world, other).await?, None, "the other loan is not in dispute");

        let mut tx = world.db().begin().await?;
        assert_eq!(code(loans.answer_dispute(&mut tx, stranger, id, "x").await), "not_found");
        loans.answer_dispute(&mut tx, tenant, id, "we look").await?;
        assert_eq!(
            code(loans.answer_dispute(&mut tx, tenant, id, "x").await),
            "loan_dispute_closed"
        );
        tx.commit().await?;
        assert_eq!(suppressed(&world, loan).await?, Some(Reason::Dispute), "answered, not over");

        let mut tx = world.db().begin().await?;
        let note = "the slip is lost".to_owned();
        let corrected =
            Resolution { outcome: DisputeOutcome::Corrected, note: note.clone(), correction: None };
        let unnamed = loans.resolve_dispute(&mut tx, tenant, id, &corrected).await;
        assert_eq!(code(unnamed), "loan_event_unknown");
        // An event of another loan is no correction of this one.
        let foreign = Resolution { correction: Some(other), ..corrected };
        let unknown = loans.resolve_dispute(&mut tx, tenant, id, &foreign).await;
        assert_eq!(code(unknown), LoanError::UnknownEvent.code());
        let upheld = Resolution { outcome: DisputeOutcome::Upheld, note, correction: None };
        let resolved = loans.resolve_dispute(&mut tx, tenant, id, &upheld).await?;
        assert_eq!(loans.disputes(&mut tx, tenant, loan).await?, [resolved]);
        tx.commit().await?;
        assert_eq!(suppressed(&world, loan).await?, None);
        Ok(())
    })
    .await
}
