//! From the outbox to a gateway: retries, crashes, receipts, and what happened in the meantime.

use std::collections::BTreeSet;
use std::time::Duration;

use api_care::{CareError, Counted, Decided, SendState, Signed};
use api_loans::reminders::{Channel, Hours, Profile, Reason};
use api_store::{Engine, args};
use api_webhooks::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::time;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use uuid::Uuid;

use crate::receiver::{Receiver, SILENCE};
use crate::world::{INSTALMENT, LATE, World};

const NUMBER: &str = "+4915112345678";
const SMS: [(Channel, &str); 1] = [(Channel::Sms, NUMBER)];

/// A world with a gateway and a borrower whose reminder is decided and has not left.
async fn decided(engine: Engine) -> (World, Receiver, (Uuid, Secret), Uuid, Uuid) {
    let (world, receiver) = (World::new(engine).await, Receiver::start().await);
    let gateway = world.sms_gateway(&receiver.url()).await;
    let (ada, loan) = world.borrower().await;
    world.reach(ada, "en", &SMS).await;
    assert_eq!(world.care.decide_due().await.unwrap().sends, 1);
    (world, receiver, gateway, ada, loan)
}

fn minutes(count: i64) -> SignedDuration {
    SignedDuration::from_mins(count)
}

fn withdrawn(all: &[Decided]) -> Vec<Option<Reason>> {
    all.iter().map(|one| one.reminder.withdrawn).collect()
}

#[tokio::test]
async fn a_gateway_that_fails_and_recovers_gets_one_message_with_one_id() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (world, receiver, (_, secret), ada, _) = decided(engine).await;
        receiver.answer(500);
        world.care.deliver_due().await.unwrap();
        assert_eq!(world.state(ada).await, SendState::Queued);
        world.care.deliver_due().await.unwrap();
        assert_eq!(receiver.take().len(), 1, "not again before its time");
        world.move_clock(minutes(1));
        receiver.answer(200);
        world.care.deliver_due().await.unwrap();
        let again = receiver.take();
        assert_eq!(world.state(ada).await, SendState::Sent);
        world.move_clock(minutes(600));
        world.care.deliver_due().await.unwrap();
        assert!(receiver.take().is_empty(), "sent once");
        let decision = &world.decisions(ada).await[0];
        assert_eq!(again[0].id, format!("msg_{}", decision.reminder.id.simple()));
        assert!(again[0].verifies(&secret) && !again[0].verifies(&Secret::generate().unwrap()));
        assert_eq!(again[0].body["to"], NUMBER);
        assert!(
            again[0].body["body"].as_str().unwrap().contains("https://wallet.example/v1/opt-out/")
        );
        assert_eq!(decision.sent.as_ref().unwrap().attempts, 2);
    }
}

#[tokio::test]
async fn an_outage_without_end_ends_in_a_dead_letter_that_can_be_tried_again() {
    let (world, receiver, _, ada, _) = decided(Engine::Sqlite).await;
    receiver.answer(503);
    // At any hour, so that only the gateway keeps it from leaving.
    let mut tx = world.db().begin().await.unwrap();
    let mut always = Profile::built_in("eu").unwrap();
    always.hours =
        Hours { from: time(0, 0, 0, 0), until: time(23, 59, 59, 0), rest_days: BTreeSet::new() };
    world.loans.put_profile(&mut tx, world.tenant, &always).await.unwrap();
    tx.commit().await.unwrap();
    for seconds in [0, 6, 34, 133, 661, 1_981, 3_961, 7_921, 15_841, 31_681] {
        assert_eq!(world.state(ada).await, SendState::Queued, "before {seconds}");
        world.move_clock(SignedDuration::from_secs(seconds));
        world.care.deliver_due().await.unwrap();
    }
    assert_eq!(world.state(ada).await, SendState::Dead);
    assert_eq!(receiver.take().len(), 10);
    let mut tx = world.db().begin().await.unwrap();
    let dead = world.care.dead_letters(&mut tx, world.tenant, None, 10).await.unwrap();
    assert_eq!(dead.len(), 1);
    let stranger = api_ledger::TenantId::new(Uuid::now_v7());
    assert!(world.care.retry_dead(&mut tx, stranger, dead[0].id).await.is_err());
    assert!(world.care.dead_letters(&mut tx, stranger, None, 10).await.unwrap().is_empty());
    world.care.retry_dead(&mut tx, world.tenant, dead[0].id).await.unwrap();
    tx.commit().await.unwrap();
    receiver.answer(200);
    world.care.deliver_due().await.unwrap();
    assert_eq!(world.state(ada).await, SendState::Sent);
}

#[tokio::test]
async fn what_happens_between_decision_and_sending_withdraws_the_message() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        for case in ["paid", "opted out", "dispute", "no consent", "no address", "night"] {
            let (world, receiver, _, ada, loan) = decided(engine).await;
            let (care, tenant) = (&world.care, world.tenant);
            let mut tx = world.db().begin().await.unwrap();
            let expected = match case {
                "paid" => {
                    tx.rollback().await.unwrap();
                    world.pay(ada, loan, LATE).await;
                    tx = world.db().begin().await.unwrap();
                    Reason::TooEarly
                }
                "opted out" => {
                    care.opt_out(&mut tx, tenant, ada, "a call").await.unwrap();
                    Reason::OptedOut
                }
                "dispute" => {
                    let id = Uuid::now_v7();
                    let words = "I have paid";
                    world
                        .loans
                        .open_dispute(&mut tx, tenant, (id, loan), None, words)
                        .await
                        .unwrap();
                    Reason::Dispute
                }
                "no consent" => {
                    care.consent(&mut tx, tenant, ada, Channel::Sms, false, None).await.unwrap();
                    Reason::NoConsent
                }
                "no address" => {
                    care.remove_address(&mut tx, tenant, ada, Channel::Sms).await.unwrap();
                    Reason::NoConsent
                }
                _ => {
                    world.set_clock("2024-02-20T23:30:00Z".parse().unwrap());
                    Reason::QuietHours
                }
            };
            tx.commit().await.unwrap();
            world.care.deliver_due().await.unwrap();
            assert!(receiver.take().is_empty(), "{case}: it left");
            assert_eq!(world.state(ada).await, SendState::Withdrawn, "{case}");
            let all = world.decisions(ada).await;
            assert_eq!(withdrawn(&all), [Some(expected)], "{case}");
            // A new decision follows at once, and has its own reason.
            world.move_clock(SignedDuration::from_secs(1));
            world.care.decide_due().await.unwrap();
            assert_eq!(world.decisions(ada).await.len(), 2, "{case}");
        }
    }
}

#[tokio::test]
async fn after_a_crash_between_decision_and_sending_it_is_sent_once() {
    let (world, receiver, _, ada, _) = decided(Engine::Sqlite).await;
    let restarted = world.restarted(None);
    restarted.deliver_due().await.unwrap();
    restarted.deliver_due().await.unwrap();
    world.care.deliver_due().await.unwrap();
    assert_eq!(receiver.take().len(), 1);
    assert_eq!(world.state(ada).await, SendState::Sent);
}

#[tokio::test]
async fn after_a_crash_while_sending_a_gateway_gets_the_same_id_again() {
    let (world, receiver, _, ada, _) = decided(Engine::Sqlite).await;
    receiver.answer(SILENCE);
    let dying = tokio::time::timeout(Duration::from_millis(1500), world.care.deliver_due()).await;
    assert!(dying.is_err(), "it waits for the answer");
    let first = receiver.take();
    assert_eq!((first.len(), world.state(ada).await), (1, SendState::Sending));
    receiver.answer(200);
    let restarted = world.restarted(None);
    restarted.deliver_due().await.unwrap();
    assert!(receiver.take().is_empty(), "the sender may still live");
    world.move_clock(minutes(4));
    restarted.deliver_due().await.unwrap();
    restarted.deliver_due().await.unwrap();
    let second = receiver.take();
    assert_eq!(second.len(), 1);
    assert_eq!(first[0].id, second[0].id, "the gateway can drop the second");
    assert_eq!(world.state(ada).await, SendState::Sent);
}

#[tokio::test]
async fn two_servers_do_not_send_twice() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (world, receiver) = (World::new(engine).await, Receiver::start().await);
        world.sms_gateway(&receiver.url()).await;
        for _ in 0..20 {
            let (customer, _) = world.borrower().await;
            world.reach(customer, "en", &SMS).await;
        }
        let other = world.restarted(None);
        let (one, two) = tokio::join!(world.care.decide_due(), other.decide_due());
        let sends = one.unwrap().sends + two.unwrap().sends;
        assert_eq!(sends, 20, "each loan was decided about once");
        let (one, two) = tokio::join!(world.care.deliver_due(), other.deliver_due());
        assert_eq!(one.unwrap().sent + two.unwrap().sent, 20);
        let mut ids: Vec<String> = receiver.take().into_iter().map(|got| got.id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 20);
    }
}

#[tokio::test]
async fn promise_05_a_gateways_secret_lies_sealed() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (world, receiver, (id, secret), _, _) = decided(engine).await;
        let stored = async || {
            let mut tx = world.db().read().await.unwrap();
            let sql = "SELECT secret, sealed FROM care_gateways WHERE id = $1";
            tx.fetch_one::<(Vec<u8>, bool)>(sql, args![id]).await.unwrap()
        };
        let encoded = secret.reveal();
        let bytes = STANDARD.decode(encoded.strip_prefix("whsec_").unwrap()).unwrap();
        let (sealed, marked) = stored().await;
        assert!(marked && !sealed.windows(bytes.len()).any(|part| part == bytes));
        // Without the keys nothing is sent with it, and no gateway is taken.
        let care = world.without_vault();
        care.deliver_due().await.unwrap();
        let mut tx = world.db().begin().await.unwrap();
        let url = receiver.url();
        let made = care.put_gateway(&mut tx, world.tenant, Channel::Push, Some(&url)).await;
        assert!(matches!(made, Err(CareError::Vault)), "{made:?}");
        tx.rollback().await.unwrap();
        assert!(receiver.take().is_empty());

        // One from before it was sealed: it works, and is sealed at the next start with keys.
        let mut tx = world.db().begin().await.unwrap();
        let sql = "UPDATE care_gateways SET secret = $2, sealed = FALSE WHERE id = $1";
        tx.execute(sql, args![id, &bytes]).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(care.seal_gateways().await.unwrap(), 0, "there are no keys");
        assert_eq!(stored().await, (bytes.clone(), false));
        assert_eq!(world.care.seal_gateways().await.unwrap(), 1);
        assert_eq!(world.care.seal_gateways().await.unwrap(), 0);
        let (sealed, marked) = stored().await;
        assert!(marked && !sealed.windows(bytes.len()).any(|part| part == bytes));
        world.care.deliver_due().await.unwrap();
        assert!(receiver.take()[0].verifies(&secret), "it is the same secret");
    }
}

/// A receipt as a gateway signs it.
async fn receipt(
    world: &World,
    (gateway, secret): &(Uuid, Secret),
    (id, seconds): (&str, i64),
    message: Uuid,
    status: &str,
) -> Result<Counted, CareError> {
    let body = json!({ "message": message, "status": status }).to_string();
    let signature = secret.sign(id, seconds, body.as_bytes());
    let timestamp = seconds.to_string();
    let signed = Signed { id, timestamp: &timestamp, signature: &signature };
    let mut tx = world.db().begin().await.unwrap();
    let counted = world.care.take_receipt(&mut tx, *gateway, signed, body.as_bytes()).await?;
    tx.commit().await.unwrap();
    Ok(counted)
}

#[tokio::test]
async fn receipts_are_authenticated_and_count_once() {
    let (world, _receiver, gateway, ada, _) = decided(Engine::Sqlite).await;
    world.care.deliver_due().await.unwrap();
    let message = world.decisions(ada).await[0].reminder.id;
    let now = Timestamp::now().as_second();
    let forged = (gateway.0, Secret::generate().unwrap());
    let other = (Uuid::now_v7(), gateway.1.clone());
    for (who, at) in [(&forged, now), (&other, now), (&gateway, now - 400), (&gateway, now + 400)] {
        let refused = receipt(&world, who, ("r-1", at), message, "delivered").await;
        assert!(matches!(refused, Err(CareError::Signature)), "{refused:?}");
    }
    let unknown = receipt(&world, &gateway, ("r-1", now), Uuid::now_v7(), "delivered").await;
    assert!(matches!(unknown, Err(CareError::Missing(_))), "{unknown:?}");
    let odd = receipt(&world, &gateway, ("r-1", now), message, "eaten").await;
    assert!(matches!(odd, Err(CareError::Refused(_))), "{odd:?}");
    assert_eq!(world.state(ada).await, SendState::Sent);
    let first = receipt(&world, &gateway, ("r-1", now), message, "delivered").await;
    assert_eq!(first.unwrap(), Counted::New);
    let second = receipt(&world, &gateway, ("r-1", now), message, "delivered").await;
    assert_eq!(second.unwrap(), Counted::Before);
    // A later word does not call back what has arrived.
    let late = receipt(&world, &gateway, ("r-2", now), message, "failed").await;
    assert_eq!(late.unwrap(), Counted::New);
    assert_eq!(world.state(ada).await, SendState::Delivered);
    let mut tx = world.db().read().await.unwrap();
    let sql = "SELECT COUNT(*) FROM care_receipts";
    let (count,): (i64,) = tx.fetch_one(sql, args![]).await.unwrap();
    assert_eq!(count, 2);
}

#[tokio::test]
async fn a_number_that_does_not_exist_is_not_tried_again_and_another_way_is_taken() {
    for by_receipt in [false, true] {
        let (world, receiver) = (World::new(Engine::Sqlite).await, Receiver::start().await);
        let gateway = world.sms_gateway(&receiver.url()).await;
        let (ada, _) = world.borrower().await;
        world.lift_caps().await;
        world.reach(ada, "en", &SMS).await;
        receiver.answer(if by_receipt { 200 } else { 422 });
        world.care.decide_due().await.unwrap();
        world.care.deliver_due().await.unwrap();
        if by_receipt {
            let (message, now) =
                (world.decisions(ada).await[0].reminder.id, Timestamp::now().as_second());
            receipt(&world, &gateway, ("r", now), message, "unreachable").await.unwrap();
        }
        assert_eq!(world.state(ada).await, SendState::Undelivered);
        assert_eq!(withdrawn(&world.decisions(ada).await), [Some(Reason::Undeliverable)]);
        // The inbox is left.
        world.reach(ada, "en", &[(Channel::InApp, "")]).await;
        world.move_clock(SignedDuration::from_secs(1));
        world.care.decide_due().await.unwrap();
        world.care.deliver_due().await.unwrap();
        assert_eq!(world.state(ada).await, SendState::Delivered);
        assert_eq!(receiver.take().len(), 1);
    }
}

#[tokio::test]
async fn what_is_sent_says_what_is_due_then() {
    let (world, receiver, _, ada, loan) = decided(Engine::Sqlite).await;
    receiver.answer(500);
    world.care.deliver_due().await.unwrap();
    receiver.take();
    // A part is paid while the gateway is down.
    let mut tx = world.db().begin().await.unwrap();
    let code = format!("customer:{ada}");
    let found = world.ledger.find_account(&mut tx, world.tenant, &code, "CNY").await.unwrap();
    let request = api_loans::Repay {
        id: Uuid::now_v7(),
        loan,
        amount: api_loans::Money::new(INSTALMENT - 4_200),
        currency: "CNY".to_owned(),
        effective: LATE,
        mode: api_loans::loan::RepaymentMode::Hold,
        from: found.unwrap().0.id,
    };
    world.loans.repay(&mut tx, world.tenant, &request).await.unwrap();
    tx.commit().await.unwrap();
    receiver.answer(200);
    world.move_clock(minutes(1));
    world.care.deliver_due().await.unwrap();
    let got = receiver.take();
    assert!(got[0].body["body"].as_str().unwrap().contains(" 42.00 CNY"), "{got:?}");
}
