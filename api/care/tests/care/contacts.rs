//! Contacts and consents: what is personal is encrypted and can be erased.

use api_care::{Address, SendState};
use api_loans::reminders::{Channel, Reason};
use api_store::Engine;
use jiff::SignedDuration;

use crate::receiver::Receiver;
use crate::world::World;

const NUMBER: &str = "+4915112345678";
const PROOF: &str = "signed at the counter by Ada Lovelace";

#[tokio::test]
async fn consents_are_kept_with_their_proof_and_the_last_word_counts() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let world = World::new(engine).await;
        let (ada, _) = world.borrower().await;
        let (care, tenant) = (&world.care, world.tenant);
        let mut tx = world.db().begin().await.unwrap();
        for proof in [None, Some(""), Some("  ")] {
            let refused = care.consent(&mut tx, tenant, ada, Channel::Sms, true, proof).await;
            assert!(refused.is_err(), "a consent without proof");
        }
        care.consent(&mut tx, tenant, ada, Channel::Sms, true, Some(PROOF)).await.unwrap();
        care.consent(&mut tx, tenant, ada, Channel::Email, true, Some(PROOF)).await.unwrap();
        care.consent(&mut tx, tenant, ada, Channel::Email, false, None).await.unwrap();
        let history = care.consents(&mut tx, tenant, ada).await.unwrap();
        let seen: Vec<_> = history.iter().map(|one| (one.channel.as_str(), one.granted)).collect();
        assert_eq!(seen, [("sms", true), ("email", true), ("email", false)]);
        assert_eq!(history[0].proof.as_deref(), Some(PROOF));
        let known = care.known(&mut tx, tenant, ada).await.unwrap().unwrap();
        assert!(!known.consents[&Channel::Email]);
        // A consent without an address reaches nobody.
        let contact = world.loans.contact(&mut tx, tenant, &ada.to_string()).await.unwrap();
        assert!(contact.unwrap().debtor.consents.is_empty());
        let address = Address::new(Channel::Sms, NUMBER).unwrap();
        care.set_address(&mut tx, tenant, ada, Channel::Sms, &address).await.unwrap();
        let contact = world.loans.contact(&mut tx, tenant, &ada.to_string()).await.unwrap();
        assert_eq!(contact.unwrap().debtor.consents, [Channel::Sms].into());
        let stranger = api_ledger::TenantId::new(uuid::Uuid::now_v7());
        assert!(care.known(&mut tx, stranger, ada).await.unwrap().is_none());
        assert!(care.consents(&mut tx, stranger, ada).await.unwrap().is_empty());
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn no_address_stands_in_the_database_and_an_erasure_leaves_none() {
    let (world, receiver) = (World::new(Engine::Sqlite).await, Receiver::start().await);
    world.sms_gateway(&receiver.url()).await;
    let (ada, _) = world.borrower().await;
    world.reach(ada, "en", &[(Channel::Sms, NUMBER), (Channel::InApp, "")]).await;
    let mut tx = world.db().begin().await.unwrap();
    let proof = Some(PROOF);
    world.care.consent(&mut tx, world.tenant, ada, Channel::Sms, true, proof).await.unwrap();
    tx.commit().await.unwrap();
    world.care.decide_due().await.unwrap();
    world.care.deliver_due().await.unwrap();
    let has = |what: &str| world.bytes().windows(what.len()).any(|part| part == what.as_bytes());
    assert!(has("5 days late"), "the letter in the inbox is there, so the check sees something");
    assert!(!has(NUMBER) && !has(PROOF), "personal data in the clear");
    let mut tx = world.db().begin().await.unwrap();
    let (care, tenant) = (&world.care, world.tenant);
    let hold = api_care::LenderHolds { legal_hold: true, ..Default::default() };
    care.set_holds(&mut tx, tenant, ada, hold).await.unwrap();
    assert!(care.erase(&mut tx, tenant, ada).await.is_err(), "under legal hold");
    care.set_holds(&mut tx, tenant, ada, Default::default()).await.unwrap();
    care.erase(&mut tx, tenant, ada).await.unwrap();
    assert!(care.known(&mut tx, tenant, ada).await.unwrap().is_none());
    assert!(care.inbox(&mut tx, tenant, ada, None, 10).await.unwrap().is_empty());
    let history = care.consents(&mut tx, tenant, ada).await.unwrap();
    assert!(!history.is_empty() && history.iter().all(|one| one.proof.is_none()));
    tx.commit().await.unwrap();
    // The decisions stay, and from now on the customer is unknown.
    let before = world.decisions(ada).await.len();
    assert!(before > 0);
    world.move_clock(SignedDuration::from_hours(25));
    world.care.decide_due().await.unwrap();
    let newest = world.decisions(ada).await.remove(0);
    assert!(format!("{:?}", newest.reminder.decision).contains("UnknownDebtor"), "{newest:?}");
}

#[tokio::test]
async fn who_is_erased_between_decision_and_sending_gets_nothing() {
    let (world, receiver) = (World::new(Engine::Sqlite).await, Receiver::start().await);
    world.sms_gateway(&receiver.url()).await;
    let (ada, _) = world.borrower().await;
    world.reach(ada, "en", &[(Channel::Sms, NUMBER)]).await;
    world.care.decide_due().await.unwrap();
    let mut tx = world.db().begin().await.unwrap();
    world.care.erase(&mut tx, world.tenant, ada).await.unwrap();
    tx.commit().await.unwrap();
    world.care.deliver_due().await.unwrap();
    assert!(receiver.take().is_empty());
    assert_eq!(world.state(ada).await, SendState::Withdrawn);
    let decision = world.decisions(ada).await.remove(0);
    assert_eq!(decision.reminder.withdrawn, Some(Reason::UnknownDebtor));
}

#[tokio::test]
async fn an_opt_out_is_one_call_and_can_be_taken_back_with_proof() {
    let world = World::new(Engine::Sqlite).await;
    let (ada, _) = world.borrower().await;
    world.reach(ada, "en", &[(Channel::InApp, "")]).await;
    let (care, tenant) = (&world.care, world.tenant);
    let mut tx = world.db().begin().await.unwrap();
    care.opt_out(&mut tx, tenant, ada, "the API").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(world.care.decide_due().await.unwrap().sends, 0);
    let mut tx = world.db().begin().await.unwrap();
    assert!(care.opt_in(&mut tx, tenant, ada, " ").await.is_err(), "without proof");
    tx.rollback().await.unwrap();
    let mut tx = world.db().begin().await.unwrap();
    care.opt_in(&mut tx, tenant, ada, "a letter").await.unwrap();
    tx.commit().await.unwrap();
    world.move_clock(SignedDuration::from_secs(1));
    assert_eq!(world.care.decide_due().await.unwrap().sends, 1);
}
