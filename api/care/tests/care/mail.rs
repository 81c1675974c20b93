//! Mail through a real SMTP server, read back by another implementation.

use std::collections::BTreeSet;
use std::time::Duration;

use api_care::{SendState, SmtpTls};
use api_loans::reminders::{Channel, Reason};
use api_store::Engine;
use jiff::SignedDuration;

use crate::smtp::MailServer;
use crate::world::World;

const ADA: &str = "ada@mail.example";
const LIN: &str = "lin@mail.example";

async fn borrower(world: &World, language: &str, address: &str) -> uuid::Uuid {
    let (customer, _) = world.borrower().await;
    world.reach(customer, language, &[(Channel::Email, address)]).await;
    customer
}

#[tokio::test]
async fn mails_come_in_the_borrowers_language_with_a_way_to_stop_them() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let server = MailServer::start();
        let world = World::with_mail(engine, Some(server.port(SmtpTls::None))).await;
        let ada = borrower(&world, "en", ADA).await;
        let lin = borrower(&world, "zh", LIN).await;
        assert_eq!(world.care.decide_due().await.unwrap().sends, 2);
        assert_eq!(world.care.deliver_due().await.unwrap().sent, 2);
        let mails = server.wait_for(2).await;
        for (customer, address, subject, words, language) in [
            (ada, ADA, "A payment on your loan is 5 days late", "ask for a deferral", "en"),
            (lin, LIN, "您的贷款还款已逾期 5 天", "申请延期", "zh-CN"),
        ] {
            let mail = mails.iter().find(|mail| mail["headers"]["to"] == address).unwrap();
            let headers = &mail["headers"];
            let text = mail["body"].as_str().unwrap();
            let decision = &world.decisions(customer).await[0];
            let id = decision.reminder.id.simple();
            assert_eq!(headers["x-rcpt"], address);
            assert_eq!(headers["subject"], subject);
            assert_eq!(headers["from"], "First Harbour Bank <loans@bank.example>");
            assert_eq!(headers["message-id"], format!("<{id}@bank.example>"));
            assert_eq!(headers["content-language"], language);
            assert_eq!(headers["auto-submitted"], "auto-generated");
            assert_eq!(headers["list-unsubscribe-post"], "List-Unsubscribe=One-Click");
            let link = headers["list-unsubscribe"].as_str().unwrap();
            let link = link.trim_matches(['<', '>']);
            assert!(link.starts_with("https://wallet.example/v1/opt-out/"), "{link}");
            assert!(text.contains(link) && text.contains("1066.19 CNY"), "{text}");
            assert!(text.contains(words), "{text}");
            assert_eq!(world.state(customer).await, SendState::Sent);
        }
        let link = mails[0]["headers"]["list-unsubscribe"].as_str().unwrap().to_owned();
        let token = link.trim_end_matches('>').rsplit('/').next().unwrap();
        stop_by_link(&world, token, if mails[0]["headers"]["to"] == ADA { ada } else { lin }).await;
    }
}

async fn stop_by_link(world: &World, token: &str, customer: uuid::Uuid) {
    let mut tx = world.db().begin().await.unwrap();
    for odd in ["", "x", &token[1..], &format!("{token}A"), &token.replace(&token[..2], "zz")] {
        assert!(world.care.stop(&mut tx, odd).await.is_err(), "{odd:?}");
    }
    let known = world.care.known(&mut tx, world.tenant, customer).await.unwrap().unwrap();
    assert!(!known.opted_out, "a look changes nothing");
    world.care.stop(&mut tx, token).await.unwrap();
    world.care.stop(&mut tx, token).await.unwrap();
    let known = world.care.known(&mut tx, world.tenant, customer).await.unwrap().unwrap();
    assert!(known.opted_out);
    let words = world.care.consents(&mut tx, world.tenant, customer).await.unwrap();
    assert_eq!(words.iter().filter(|one| one.channel == "all").count(), 1, "recorded once");
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_relay_that_is_down_and_comes_up_gets_the_mail_once() {
    let mut server = MailServer::start();
    let world = World::with_mail(Engine::Sqlite, Some(server.port(SmtpTls::None))).await;
    let ada = borrower(&world, "en", ADA).await;
    world.care.decide_due().await.unwrap();
    server.stop();
    world.care.deliver_due().await.unwrap();
    assert_eq!(world.state(ada).await, SendState::Queued);
    server.up();
    server.mode("later");
    world.move_clock(SignedDuration::from_mins(1));
    world.care.deliver_due().await.unwrap();
    let decision = &world.decisions(ada).await[0];
    let last = decision.sent.as_ref().unwrap().last_error.clone().unwrap();
    assert_eq!(last, "SMTP 451 to RCPT", "the relay's words may repeat the address");
    server.mode("ok");
    world.move_clock(SignedDuration::from_mins(5));
    world.care.deliver_due().await.unwrap();
    world.care.deliver_due().await.unwrap();
    assert_eq!(world.state(ada).await, SendState::Sent);
    assert_eq!(server.wait_for(1).await.len(), 1);
}

#[tokio::test]
async fn a_run_of_mails_uses_few_connections_and_one_that_broke_is_replaced() {
    let mut server = MailServer::start();
    let world = World::with_mail(Engine::Sqlite, Some(server.port(SmtpTls::None))).await;
    for number in 0..24 {
        borrower(&world, "en", &format!("b{number}@mail.example")).await;
    }
    assert_eq!(world.care.decide_due().await.unwrap().sends, 24);
    assert_eq!(world.care.deliver_due().await.unwrap().sent, 24);
    let mails = server.wait_for(24).await;
    let receivers: BTreeSet<_> =
        mails.iter().map(|mail| mail["headers"]["x-rcpt"].to_string()).collect();
    assert_eq!(receivers.len(), 24, "each got its own mail");
    let (made, ended) = server.connections();
    assert!((1..=8).contains(&made), "{made} connections for 24 mails");
    assert_eq!(ended, 0);
    // The relay is started anew, and with it the connections are gone: nobody has to wait for that.
    server.stop();
    server.up();
    let ada = borrower(&world, "en", ADA).await;
    world.care.decide_due().await.unwrap();
    assert_eq!(world.care.deliver_due().await.unwrap().sent, 1);
    assert_eq!(world.state(ada).await, SendState::Sent);
    // When nothing is left to send, they are closed.
    let (made, _) = server.connections();
    assert_eq!(world.care.deliver_due().await.unwrap().taken, 0);
    let (still, ended) = server.connections();
    assert_eq!((still, ended), (made, 1));
}

#[tokio::test]
async fn a_mailbox_that_does_not_exist_is_not_written_to_again() {
    let server = MailServer::start();
    let world = World::with_mail(Engine::Sqlite, Some(server.port(SmtpTls::None))).await;
    let ada = borrower(&world, "en", ADA).await;
    server.mode("no-such-user");
    world.care.decide_due().await.unwrap();
    world.care.deliver_due().await.unwrap();
    assert_eq!(world.state(ada).await, SendState::Undelivered);
    let decision = &world.decisions(ada).await[0];
    assert_eq!(decision.reminder.withdrawn, Some(Reason::Undeliverable));
    let delivery = decision.reminder.delivery.clone().unwrap();
    assert_eq!(delivery, "SMTP 550 to RCPT");
    server.mode("ok");
    world.move_clock(SignedDuration::from_hours(48));
    world.care.decide_due().await.unwrap();
    world.care.deliver_due().await.unwrap();
    assert!(server.mails().is_empty());
    let mut tx = world.db().read().await.unwrap();
    let known = world.care.known(&mut tx, world.tenant, ada).await.unwrap().unwrap();
    assert!(!known.addresses[0].2, "marked as unusable");
}

#[tokio::test]
async fn a_mail_that_may_have_been_taken_is_never_sent_twice() {
    let server = MailServer::start();
    let world = World::with_mail(Engine::Sqlite, Some(server.port(SmtpTls::None))).await;
    let ada = borrower(&world, "en", ADA).await;
    world.care.decide_due().await.unwrap();
    // The server stops (here: its task is dropped) after the message and before the answer.
    server.mode("silent");
    let dying = tokio::time::timeout(Duration::from_secs(3), world.care.deliver_due()).await;
    assert!(dying.is_err(), "it waits for the answer");
    assert_eq!(server.wait_for(1).await.len(), 1);
    server.mode("ok");
    let restarted = world.restarted(Some(server.port(SmtpTls::None)));
    world.move_clock(SignedDuration::from_mins(10));
    restarted.deliver_due().await.unwrap();
    restarted.deliver_due().await.unwrap();
    assert_eq!(world.state(ada).await, SendState::Unknown);
    world.move_clock(SignedDuration::from_hours(24));
    restarted.decide_due().await.unwrap();
    restarted.deliver_due().await.unwrap();
    assert_eq!(server.mails().len(), 1, "and it counts for the ladder");
}

#[tokio::test]
async fn mail_is_encrypted_on_its_way_or_does_not_leave() {
    let tls = MailServer::start_tls();
    let world = World::with_mail(Engine::Sqlite, Some(tls.port(SmtpTls::Starttls))).await;
    let ada = borrower(&world, "en", ADA).await;
    world.care.decide_due().await.unwrap();
    world.care.deliver_due().await.unwrap();
    assert_eq!(world.state(ada).await, SendState::Sent);
    assert_eq!(tls.wait_for(1).await[0]["headers"]["x-tls"], "True");
    // A relay without TLS, or whose certificate nobody vouches for, gets nothing.
    let plain = MailServer::start();
    for (server, mode) in [(&plain, SmtpTls::Starttls), (&plain, SmtpTls::Implicit)] {
        let world = World::with_mail(Engine::Sqlite, Some(server.port(mode))).await;
        let ada = borrower(&world, "en", ADA).await;
        world.care.decide_due().await.unwrap();
        world.care.deliver_due().await.unwrap();
        assert_eq!(world.state(ada).await, SendState::Queued, "{mode:?}");
    }
    assert!(plain.mails().is_empty());
}
