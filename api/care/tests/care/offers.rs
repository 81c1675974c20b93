//! Early warning by explainable rules, and offers before anybody is chased.

use api_care::{EarlyRules, OfferState};
use api_loans::care::Rule;
use api_loans::loan::Body;
use api_loans::reminders::Channel;
use api_loans::{Acceptance, Money};
use api_store::Engine;
use jiff::civil::date;
use uuid::Uuid;

use crate::world::{INSTALMENT, LATE, START, World};

/// A borrower who has spent nearly all, and whose first instalment is late.
async fn in_trouble(engine: Engine) -> (World, Uuid, Uuid) {
    let world = World::new(engine).await;
    world.set_day(START);
    let (ada, loan) = world.borrower().await;
    world.spend(ada, 1_150_000, date(2024, 2, 10)).await;
    world.reach(ada, "zh", &[(Channel::InApp, "")]).await;
    world.set_day(LATE);
    (world, ada, loan)
}

async fn offers(world: &World, customer: Uuid) -> Vec<api_care::Offer> {
    let mut tx = world.db().read().await.unwrap();
    world.care.offers(&mut tx, world.tenant, customer, None, 10).await.unwrap()
}

#[tokio::test]
async fn warnings_say_which_rule_holds_and_by_which_figure() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (world, _, loan) = in_trouble(engine).await;
        let mut tx = world.db().read().await.unwrap();
        let found = world.care.warnings(&mut tx, world.tenant, loan).await.unwrap();
        let codes: Vec<_> =
            found.warnings.iter().map(|one| (one.code.as_str(), one.value.as_str())).collect();
        assert_eq!(codes, [("days_past_due", "5"), ("balance_falling", "1200000 -> 50000")]);
        assert!(found.offer);
        assert_eq!(found.on, LATE);
        let texts: Vec<String> = found.warnings.iter().map(|one| one.text("en").unwrap()).collect();
        assert_eq!(texts[0], "A payment is 5 days late.");
        assert!(found.warnings[0].text("zh").unwrap().contains("逾期 5 天"));
        // The wallet's history is the ledger's, day by day.
        assert_eq!(found.balances.first().unwrap().1, Money::new(1_200_000));
        assert_eq!(*found.balances.last().unwrap(), (LATE, Money::new(50_000)));
        let stranger = api_ledger::TenantId::new(Uuid::now_v7());
        assert!(world.care.warnings(&mut tx, stranger, loan).await.is_err());
    }
}

#[tokio::test]
async fn missed_and_bounced_payments_are_counted() {
    let (world, ada, loan) = in_trouble(Engine::Sqlite).await;
    world.set_day(date(2024, 2, 1));
    let (bob, other) = world.borrower().await;
    world.set_day(date(2024, 3, 20));
    let payment = world.pay(bob, other, date(2024, 2, 15)).await;
    let mut tx = world.db().begin().await.unwrap();
    let (id, why) = (Uuid::now_v7(), "the bank took it back");
    world.loans.reverse(&mut tx, world.tenant, other, id, payment, why).await.unwrap();
    let value = |found: &api_care::LoanWarnings, code: &str| {
        let one = found.warnings.iter().find(|one| one.code == code);
        one.map(|one| one.value.clone())
    };
    let found = world.care.warnings(&mut tx, world.tenant, other).await.unwrap();
    assert_eq!(value(&found, "bounced_payments").as_deref(), Some("1"));
    assert_eq!(value(&found, "missed_payments").as_deref(), Some("2"));
    let found = world.care.warnings(&mut tx, world.tenant, loan).await.unwrap();
    assert_eq!(value(&found, "bounced_payments"), None, "{ada} has paid nothing");
    assert_eq!(value(&found, "missed_payments").as_deref(), Some("2"));
}

#[tokio::test]
async fn the_use_of_a_credit_limit_is_over_all_loans_of_the_customer() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let world = World::new(engine).await;
        world.set_day(START);
        let (ada, loan) = world.borrower().await;
        let mut tx = world.db().begin().await.unwrap();
        world.lend(&mut tx, ada).await;
        let (care, tenant) = (&world.care, world.tenant);
        let warned = |found: &api_care::LoanWarnings| {
            let one = found.warnings.iter().find(|one| one.code == "utilisation_above");
            one.map(|one| one.value.clone())
        };
        for (limit, expected) in [
            (Money::new(2_500_000), Some("0.96".to_owned())),
            (Money::new(2_700_000), None),
            (Money::new(2_400_000), Some("1".to_owned())),
            (Money::ZERO, None),
        ] {
            care.set_credit_limit(&mut tx, tenant, ada, "CNY", limit).await.unwrap();
            let found = care.warnings(&mut tx, tenant, loan).await.unwrap();
            assert_eq!(warned(&found), expected, "{limit}");
        }
        assert!(care.credit_limits(&mut tx, tenant, ada).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn every_rule_has_a_sentence_in_both_languages() {
    let codes = [
        "days_past_due",
        "paid_later_each_time",
        "bounced_payments",
        "missed_payments",
        "balance_below_next",
        "balance_falling",
        "utilisation_above",
    ];
    for code in codes {
        let one = api_care::Explained { code: code.to_owned(), value: "42".to_owned() };
        for language in ["en", "zh"] {
            assert!(one.text(language).unwrap().contains("42"), "{code} {language}");
        }
    }
    assert_eq!(EarlyRules::default().warn.len(), codes.len());
}

#[tokio::test]
async fn the_end_of_the_day_offers_what_the_borrower_can_afford_and_it_can_be_accepted() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (world, ada, loan) = in_trouble(engine).await;
        let closed = world.care.close_days(None).await.unwrap();
        assert_eq!(closed.offers, 1);
        assert_eq!(world.care.close_days(None).await.unwrap().offers, 0);
        let offer = offers(&world, ada).await.remove(0);
        assert_eq!((offer.state, offer.loan), (OfferState::Open, loan));
        assert!(offer.affordable_per_instalment < Money::new(INSTALMENT));
        let figures = offer.figures.as_ref().unwrap();
        assert_eq!(figures.hash().unwrap(), offer.hash.clone().unwrap());
        let mut tx = world.db().begin().await.unwrap();
        let inbox = world.care.inbox(&mut tx, world.tenant, ada, None, 10).await.unwrap();
        assert_eq!((inbox[0].kind.as_str(), inbox[0].id), ("offer", offer.id));
        assert!(inbox[0].body.contains("2024-02-27"), "{}", inbox[0].body);
        let acceptance = Acceptance {
            id: Uuid::now_v7(),
            change: offer.change.unwrap(),
            effective: offer.effective,
            preview: offer.hash.clone().unwrap(),
            signature: None,
        };
        world.loans.accept(&mut tx, world.tenant, loan, &acceptance).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(offers(&world, ada).await[0].state, OfferState::Accepted);
        let mut tx = world.db().read().await.unwrap();
        let after = world.loans.fold(&mut tx, world.tenant, loan, LATE).await.unwrap();
        assert!(after.largest_payment().unwrap() <= offer.affordable_per_instalment);
        assert_eq!(after.days_past_due().unwrap(), 0);
        let events = world.loans.events(&mut tx, world.tenant, loan).await.unwrap();
        assert!(matches!(events.last().unwrap().body, Body::Restructured { .. }));
    }
}

#[tokio::test]
async fn an_offer_ends_with_a_payment_or_with_its_time_and_a_new_one_may_follow() {
    let (world, ada, loan) = in_trouble(Engine::Sqlite).await;
    let (bob, other) = world.borrower().await;
    world.care.close_days(None).await.unwrap();
    world.pay(bob, other, LATE).await;
    assert_eq!(offers(&world, bob).await[0].state, OfferState::Overtaken);
    world.set_day(date(2024, 2, 27));
    assert_eq!(offers(&world, ada).await[0].state, OfferState::Open);
    world.set_day(date(2024, 2, 28));
    assert_eq!(offers(&world, ada).await[0].state, OfferState::Expired);
    assert!(offers(&world, ada).await[0].figures.is_none());
    world.care.close_days(None).await.unwrap();
    let all = offers(&world, ada).await;
    assert_eq!((all.len(), all[0].state, all[0].loan), (2, OfferState::Open, loan));
}

#[tokio::test]
async fn a_healthy_loan_gets_no_offer_and_rules_are_the_tenants_own() {
    let world = World::new(Engine::Sqlite).await;
    world.set_day(START);
    let (ada, loan) = world.borrower().await;
    world.set_day(date(2024, 2, 1));
    assert_eq!(world.care.close_days(None).await.unwrap().offers, 0);
    let mut tx = world.db().begin().await.unwrap();
    let mut rules = world.care.rules(&mut tx, world.tenant).await.unwrap();
    rules.warn = vec![Rule::BalanceBelowNext {
        share: api_loans::Rate::parse("10").unwrap(),
        within_days: 20,
    }];
    world.care.set_rules(&mut tx, world.tenant, &rules).await.unwrap();
    rules.open_days = 0;
    assert!(world.care.set_rules(&mut tx, world.tenant, &rules).await.is_err());
    tx.commit().await.unwrap();
    world.spend(ada, 1_000_000, date(2024, 2, 1)).await;
    let mut tx = world.db().read().await.unwrap();
    let found = world.care.warnings(&mut tx, world.tenant, loan).await.unwrap();
    assert_eq!(found.warnings[0].code, "balance_below_next");
    drop(tx);
    world.set_day(date(2024, 2, 2));
    assert_eq!(world.care.close_days(None).await.unwrap().offers, 1);
}
