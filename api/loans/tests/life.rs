//! One loan's life in figures: late, warned, deferred, paid off; its record, plot and statement.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use api_loans::Money;
use api_loans::care::{
    Affordable, OfferLimits, Rule, Signals, affordable_offer, credit_record, warnings,
};
use api_loans::loan::{
    Amounts, Arrears, Body, Bucket, Event, RepaymentMode, Restructuring, Stage, Status, fold,
    preview,
};
use api_loans::messages::Messages;
use api_loans::paper::{loan_bars, schedule_bars, schedule_svg, statement_html};
use api_loans::schedule::Schedule;
use api_loans::terms::{Component, Contract, Fee, InterestTreatment, Penalty};
use common::{disbursed, event, money, plain_contract, rate, repaid};
use jiff::civil::{Date, date};
use uuid::Uuid;

/// The plain contract with a late fee of 10.00 and 18 % on what is overdue, five days of grace.
fn contract() -> Contract {
    let mut contract = plain_contract();
    contract.terms.penalty =
        Some(Penalty { rate: rate("0.18"), grace_days: 5, on_interest: false });
    contract.terms.fees.late = Fee { fixed: money(1_000), ..Fee::default() };
    contract
}

fn two_payments(contract: &Contract) -> Vec<Event> {
    vec![
        disbursed(contract),
        repaid(2, date(2024, 2, 15), 106_619, RepaymentMode::Hold),
        repaid(3, date(2024, 3, 15), 106_619, RepaymentMode::Hold),
    ]
}

#[test]
fn lateness_costs_what_the_terms_say() {
    let contract = contract();
    let events = two_payments(&contract);
    let on = |day| fold(&contract, &events, day).unwrap();
    // The third instalment: 9,977.61 owed, interest 99.78... principal 966.41 overdue.
    let in_grace = on(date(2024, 4, 20));
    assert_eq!(in_grace.due().unwrap().total().unwrap(), money(106_619));
    assert_eq!(
        (in_grace.status().unwrap(), in_grace.days_past_due().unwrap()),
        (Status::Overdue, 5)
    );
    let late = on(date(2024, 4, 21));
    let line = late.lines().last().unwrap();
    assert_eq!(line.slot(Component::Fee).owed, money(1_000), "once, after the grace");
    let principal = line.slot(Component::Principal).owed.minor();
    // 18 % over 365 days, for the six days since the due date: half up.
    let penalty = (principal * 18 * 6 * 2 + 36_500) / (36_500 * 2);
    assert_eq!(line.slot(Component::Penalty).owed, money(penalty));
    let paid_in_grace =
        [events.clone(), vec![repaid(4, date(2024, 4, 20), 106_619, RepaymentMode::Hold)]].concat();
    let calm = fold(&contract, &paid_in_grace, date(2024, 5, 1)).unwrap();
    assert_eq!(calm.due().unwrap(), Amounts::default(), "no fee, no penalty");
    let buckets = [
        (date(2024, 5, 15), Bucket::To30, Stage::One),
        (date(2024, 5, 16), Bucket::To60, Stage::Two),
        (date(2024, 7, 15), Bucket::Over90, Stage::Three),
    ];
    for (day, bucket, stage) in buckets {
        let loan = on(day);
        assert_eq!(
            (loan.position().unwrap().bucket, loan.stage().unwrap()),
            (bucket, stage),
            "{day}"
        );
    }
}

#[test]
fn a_prepayment_shortens_or_lowers() {
    let contract = plain_contract();
    let day = date(2024, 2, 15);
    let paid = |mode| {
        let events = [disbursed(&contract), repaid(2, day, 306_619, mode)];
        fold(&contract, &events, day).unwrap()
    };
    let held = paid(RepaymentMode::Hold);
    assert_eq!((held.held().unwrap(), held.coming().count()), (money(200_000), 11));
    let shorter = paid(RepaymentMode::ShorterTerm);
    assert_eq!(shorter.held().unwrap(), Money::ZERO);
    let first = shorter.coming().next().unwrap();
    assert_eq!(first.total().unwrap(), money(106_619), "the instalment stays");
    assert_eq!(shorter.coming().count(), 9, "the term gets shorter");
    let smaller = paid(RepaymentMode::SmallerInstalments);
    assert_eq!(smaller.coming().count(), 11, "the term stays");
    let first = smaller.coming().next().unwrap().total().unwrap();
    assert_eq!(first, money(87_328), "905,381 over 11 months at 1 %");
    assert_eq!(smaller.outstanding().unwrap().principal, shorter.outstanding().unwrap().principal);
}

#[test]
fn a_deferral_keeps_the_stage_and_states_its_interest() {
    let contract = contract();
    let events = two_payments(&contract);
    let on = date(2024, 5, 20);
    let base = Restructuring { pause: 3, arrears: Arrears::ReAge, ..Restructuring::default() };
    let look = |interest| {
        let change = Restructuring { interest, ..base };
        preview(&contract, &events, Uuid::nil(), &change, on).unwrap()
    };
    let accrue = look(InterestTreatment::Accrue);
    let capitalise = look(InterestTreatment::Capitalise);
    let waive = look(InterestTreatment::Waive);
    assert!(waive.after.total_cost < accrue.after.total_cost);
    assert!(accrue.after.total_cost < capitalise.after.total_cost, "interest on interest");
    assert_ne!(accrue.hash().unwrap(), capitalise.hash().unwrap());
    assert_eq!(accrue.after.to_pay, {
        let mut all = events.clone();
        let change = Restructuring { interest: InterestTreatment::Accrue, ..base };
        all.push(event(4, on, Body::Restructured { change, preview: String::new() }));
        let loan = fold(&contract, &all, on).unwrap();
        assert_eq!(loan.days_past_due().unwrap(), 0);
        assert_eq!(loan.stage().unwrap(), Stage::Two, "no cure by paper");
        let later = fold(&contract, &all, date(2024, 8, 14)).unwrap();
        assert_eq!(later.days_past_due().unwrap(), 0, "paused instalments are not missed");
        let coming = loan.coming().map(|line| line.total().unwrap());
        Money::sum(coming).unwrap().plus(loan.extra_to_come().unwrap()).unwrap()
    });
}

#[test]
fn trouble_is_seen_early_and_answered_with_an_affordable_offer() {
    let contract = contract();
    let mut events = vec![
        disbursed(&contract),
        repaid(2, date(2024, 2, 16), 106_619, RepaymentMode::Hold),
        repaid(3, date(2024, 3, 18), 106_619, RepaymentMode::Hold),
        repaid(4, date(2024, 4, 19), 106_619, RepaymentMode::Hold),
        repaid(5, date(2024, 5, 2), 50_000, RepaymentMode::Hold),
    ];
    let back = Body::Reversed { event: events[4].id, reason: "bounced".to_owned() };
    events.push(event(6, date(2024, 5, 3), back));
    let on = date(2024, 5, 12);
    let loan = fold(&contract, &events, on).unwrap();
    let signals = Signals {
        balances: vec![(date(2024, 4, 1), money(400_000)), (on, money(60_000))],
        utilisation: Some(rate("0.95")),
    };
    let rules = [
        Rule::DaysPastDue { at_least: 1 },
        Rule::PaidLaterEachTime { instalments: 3 },
        Rule::BouncedPayments { at_least: 1, within_days: 30 },
        Rule::BalanceBelowNext { share: rate("1"), within_days: 5 },
        Rule::BalanceFalling { by: rate("0.5") },
        Rule::UtilisationAbove { share: rate("0.9") },
    ];
    let found = warnings(&loan, &events, &signals, &rules).unwrap();
    let codes: Vec<&str> = found.iter().map(|warning| warning.code).collect();
    assert_eq!(
        codes,
        [
            "paid_later_each_time",
            "bounced_payments",
            "balance_below_next",
            "balance_falling",
            "utilisation_above",
        ]
    );
    assert_eq!(found[0].value, "1, 3, 4");
    let healthy = Signals { balances: vec![(on, money(400_000))], utilisation: Some(rate("0.1")) };
    let calm = fold(&contract, &events[..1], date(2024, 2, 1)).unwrap();
    assert!(warnings(&calm, &events[..1], &healthy, &rules).unwrap().is_empty());

    let can = |per_instalment| Affordable { per_instalment: money(per_instalment), pause: 1 };
    let offer = |can| {
        affordable_offer(&contract, &events, Uuid::nil(), on, can, OfferLimits::default()).unwrap()
    };
    let plenty = offer(can(120_000)).unwrap();
    assert_eq!((plenty.change.pause, plenty.change.extend), (1, 0), "no longer than needed");
    let tight = offer(can(60_000)).unwrap();
    assert!(tight.change.extend > 0);
    assert!(offer(can(1_000)).is_none(), "nothing within the limits");
}

#[test]
fn the_credit_record_is_explained_and_follows_a_correction() {
    let contract = contract();
    let mut events = two_payments(&contract);
    events.push(repaid(4, date(2024, 6, 1), 500_000, RepaymentMode::Hold));
    let record = |events: &[Event]| {
        let loan = fold(&contract, events, date(2024, 6, 10)).unwrap();
        credit_record(&loan, events).unwrap()
    };
    let before = record(&events);
    let codes: Vec<&str> = before.entries.iter().map(|entry| entry.code).collect();
    assert_eq!(codes, ["disbursed", "paid_on_time", "paid_on_time", "paid_late", "paid_late"]);
    let sum: i64 = before.score.reasons.iter().map(|reason| reason.points).sum();
    assert_eq!(before.score.points, 500 + sum);
    assert_eq!(before.score.points, 500 + 20 - 15 - 40);
    // The payment had come in time and was booked late: corrected, the record follows.
    let wrong = Body::Reversed { event: events[3].id, reason: "booked late".to_owned() };
    events.push(event(5, date(2024, 6, 10), wrong));
    events.push(repaid(6, date(2024, 4, 15), 500_000, RepaymentMode::Hold));
    let after = record(&events);
    assert!(after.score.points > before.score.points);
    assert!(after.entries.iter().all(|entry| entry.code != "paid_late"));
}

#[test]
fn plots_and_statements_can_be_read() {
    let contract = contract();
    let mut events = two_payments(&contract);
    let change = Restructuring { pause: 3, arrears: Arrears::ReAge, ..Restructuring::default() };
    events.push(event(4, date(2024, 5, 20), Body::Restructured { change, preview: String::new() }));
    let loan = fold(&contract, &events, date(2024, 5, 20)).unwrap();
    let schedule = Schedule::build(&contract).unwrap();
    for (language, word) in [("en", "Loan statement"), ("zh", "贷款对账单")] {
        let messages = Messages::new(language).unwrap();
        let (before, after) = (schedule_bars(&schedule), loan_bars(&loan));
        let svg = schedule_svg(&messages, &before, Some(&after)).unwrap();
        assert_eq!(svg.matches("<g>").count(), before.len() + after.len());
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
        let html = statement_html(language, "L-7", "<b>Li & Co</b>", &loan).unwrap();
        assert!(html.contains(word) && html.contains("&lt;b&gt;Li &amp; Co&lt;/b&gt;"));
        assert!(!html.contains("<b>"), "nothing of the borrower's is markup");
        assert!(html.contains("1066.19"));
    }
}

#[test]
fn paying_everything_settles() {
    let contract = contract();
    let mut events = two_payments(&contract);
    let on: Date = date(2024, 6, 3);
    let quote = fold(&contract, &events, on).unwrap().settlement_quote().unwrap();
    events.push(repaid(4, on, quote.to_pay.minor(), RepaymentMode::Settle));
    let loan = fold(&contract, &events, date(2025, 1, 1)).unwrap();
    assert_eq!(loan.status().unwrap(), Status::Settled);
    assert_eq!(loan.held().unwrap(), Money::ZERO);
    assert!(loan.worst_days_past_due() > 40);
}

/// Found by the property tests: the due date of the first new period, moved back to a Friday, was
/// the day of the change itself, and its fee was billed within the change.
#[test]
fn a_new_period_is_never_due_on_the_day_of_the_change() {
    use api_loans::calendar::{BusinessDayRule, Frequency};
    let mut contract = plain_contract();
    contract.start = date(2023, 5, 13);
    contract.terms.frequency = Frequency::Weekly { every: 1 };
    contract.terms.instalments = 1;
    contract.terms.business_days.rule = BusinessDayRule::Preceding;
    contract.terms.fees.instalment = Fee { fixed: money(770), ..Fee::default() };
    let on = date(2024, 3, 8);
    let change = Restructuring { arrears: Arrears::ReAge, ..Restructuring::default() };
    let preview = preview(&contract, &[disbursed(&contract)], Uuid::nil(), &change, on).unwrap();
    assert_eq!(preview.after.next.map(|(due, _)| due), Some(date(2024, 3, 15)));
}
