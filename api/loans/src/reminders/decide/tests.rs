#![expect(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]
use super::*;
use crate::reminders::Hours;
use jiff::civil::date;

fn debtor() -> Debtor {
    Debtor {
        zone: "Asia/Shanghai".to_owned(),
        language: "zh".to_owned(),
        consents: BTreeSet::from([Channel::Push, Channel::Sms, Channel::Email]),
        opted_out: false,
        holds: Holds::default(),
    }
}

/// 2024-03-05, a Tuesday, at this hour in Shanghai.
fn at(hour: i8) -> Timestamp {
    date(2024, 3, 5).at(hour, 0, 0, 0).in_tz("Asia/Shanghai").unwrap().timestamp()
}

fn opens(day: i8) -> Option<Timestamp> {
    Some(date(2024, 3, day).at(8, 0, 0, 0).in_tz("Asia/Shanghai").unwrap().timestamp())
}

fn overdue(days: i64) -> Dues {
    let due = add_days(date(2024, 3, 5), -days).unwrap();
    Dues { loan: Uuid::nil(), days, due, amount: Money::new(100) }
}

fn sent(hours_ago: i64, rung_days: i64, due: Date) -> Sent {
    Sent { loan: Uuid::nil(), at: at(12) - SignedDuration::from_hours(hours_ago), rung_days, due }
}

fn reason(decision: Decision) -> (Reason, Option<Timestamp>) {
    match decision {
        Decision::Suppress { reason, retry_at } => (reason, retry_at),
        Decision::Send { .. } => panic!("sent"),
    }
}

#[test]
fn a_reminder_goes_out_on_the_first_channel_with_consent() {
    let cn = Profile::built_in("cn").unwrap();
    for (days, channel, template) in [
        (1, Channel::Push, "overdue"),
        (7, Channel::Sms, "overdue-help"),
        (45, Channel::Email, "overdue-help"),
        (-2, Channel::Push, "before-due"),
    ] {
        let decision = decide(at(12), &debtor(), Some(&overdue(days)), &[], &cn).unwrap();
        let Decision::Send { channel: on, template: with, .. } = decision else {
            panic!("{decision:?}")
        };
        assert_eq!((on, with.as_str()), (channel, template), "{days}");
    }
}

#[test]
fn holds_come_before_everything() {
    let cn = Profile::built_in("cn").unwrap();
    let until = Some(date(2024, 3, 10));
    let cases = [
        (Holds { deceased: true, dispute: true, ..Holds::default() }, Reason::Deceased, None),
        (Holds { legal_hold: true, ..Holds::default() }, Reason::LegalHold, None),
        (Holds { dispute: true, ..Holds::default() }, Reason::Dispute, None),
        (Holds { promise_until: until, ..Holds::default() }, Reason::Promise, opens(11)),
        (Holds { hardship_until: until, ..Holds::default() }, Reason::Hardship, opens(11)),
    ];
    for (holds, why, retry) in cases {
        let debtor = Debtor { holds, ..debtor() };
        // At midnight too: a hold is never hidden behind quiet hours.
        for hour in [0, 12] {
            let decision = decide(at(hour), &debtor, Some(&overdue(9)), &[], &cn).unwrap();
            assert_eq!(reason(decision), (why, retry));
        }
    }
    let past = Holds { promise_until: Some(date(2024, 3, 4)), ..Holds::default() };
    let broken = Debtor { holds: past, ..debtor() };
    let decision = decide(at(12), &broken, Some(&overdue(9)), &[], &cn).unwrap();
    assert!(matches!(decision, Decision::Send { .. }), "the promise was for yesterday");
}

#[test]
fn the_table_of_suppressions() {
    let cn = Profile::built_in("cn").unwrap();
    let due = overdue(7).due;
    let opted_out = Debtor { opted_out: true, ..debtor() };
    let silent = Debtor { consents: BTreeSet::new(), ..debtor() };
    let nowhere = Debtor { zone: "Mars/Olympus".to_owned(), ..debtor() };
    let other = date(2024, 1, 1);
    let week = [sent(30, 1, other), sent(60, 1, other), sent(160, 1, other)];
    let week_free = week[2].at + SignedDuration::from_hours(168);
    type Row<'a> = (&'a str, &'a Debtor, i64, i8, &'a [Sent], Reason, Option<Timestamp>);
    let cases: [Row<'_>; 10] = [
        ("opted out", &opted_out, 7, 12, &[], Reason::OptedOut, None),
        ("no consent", &silent, 7, 12, &[], Reason::NoConsent, None),
        ("no such zone", &nowhere, 7, 12, &[], Reason::UnknownDebtor, None),
        ("too early", &debtor(), -9, 12, &[], Reason::TooEarly, opens(11)),
        ("too early in the day", &debtor(), 7, 7, &[], Reason::QuietHours, opens(5)),
        ("too late in the day", &debtor(), 7, 22, &[], Reason::QuietHours, opens(6)),
        ("this morning", &debtor(), 7, 12, &[sent(2, 1, other)], Reason::DayCap, opens(6)),
        ("this week", &debtor(), 7, 12, &week, Reason::WeekCap, Some(week_free)),
        ("same rung", &debtor(), 7, 12, &[sent(900, 7, due)], Reason::AlreadySent, opens(28)),
        (
            "last rung",
            &debtor(),
            99,
            12,
            &[sent(900, 60, overdue(99).due)],
            Reason::AlreadySent,
            None,
        ),
    ];
    for (name, debtor, days, hour, sent, why, retry) in cases {
        let decision = decide(at(hour), debtor, Some(&overdue(days)), sent, &cn).unwrap();
        assert_eq!(reason(decision), (why, retry), "{name}");
    }
    let nothing = decide(at(12), &debtor(), None, &[], &cn).unwrap();
    assert_eq!(reason(nothing), (Reason::NothingDue, None));
}

#[test]
fn quiet_hours_are_the_debtors_own() {
    let us = Profile::built_in("us").unwrap();
    let noon_in_shanghai = at(12);
    let in_new_york = Debtor { zone: "America/New_York".to_owned(), ..debtor() };
    let decision = decide(noon_in_shanghai, &in_new_york, Some(&overdue(7)), &[], &us).unwrap();
    assert_eq!(reason(decision).0, Reason::QuietHours, "it is 23:00 in New York");
    let eu = Profile::built_in("eu").unwrap();
    let sunday = date(2024, 3, 10).at(12, 0, 0, 0).in_tz("Asia/Shanghai").unwrap().timestamp();
    let decision = decide(sunday, &debtor(), Some(&overdue(12)), &[], &eu).unwrap();
    assert_eq!(reason(decision), (Reason::QuietHours, opens(11)), "Sunday rests");
}

fn in_new_york(hours: (i8, i8, i8)) -> (Debtor, Profile) {
    let (from, minute, until) = hours;
    let hours = Hours {
        from: jiff::civil::time(from, minute, 0, 0),
        until: jiff::civil::time(until, 0, 0, 0),
        rest_days: BTreeSet::new(),
    };
    let debtor = Debtor { zone: "America/New_York".to_owned(), ..debtor() };
    (debtor, Profile { hours, ..Profile::built_in("us").unwrap() })
}

fn utc(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn quiet_hours_over_midnight_end_with_the_first_allowed_minute_and_begin_with_the_first_late_one() {
    let us = Profile::built_in("us").unwrap();
    let debtor = Debtor { zone: "America/New_York".to_owned(), ..debtor() };
    // 2024-01-10, UTC-5; allowed from 08:00 until 21:00.
    let cases = [
        ("2024-01-11T01:59:59Z", None),
        ("2024-01-11T02:00:00Z", Some("2024-01-11T13:00:00Z")),
        ("2024-01-11T04:59:59Z", Some("2024-01-11T13:00:00Z")),
        ("2024-01-11T05:00:00Z", Some("2024-01-11T13:00:00Z")),
        ("2024-01-11T12:59:59Z", Some("2024-01-11T13:00:00Z")),
        ("2024-01-11T13:00:00Z", None),
    ];
    for (now, opens) in cases {
        let decision = decide(utc(now), &debtor, Some(&overdue(7)), &[], &us).unwrap();
        match opens {
            None => assert!(matches!(decision, Decision::Send { .. }), "{now}: {decision:?}"),
            Some(opens) => {
                let found = reason(decision);
                assert_eq!(found, (Reason::QuietHours, Some(utc(opens))), "{now}");
            }
        }
    }
}

#[test]
fn quiet_hours_follow_the_clocks_of_summer() {
    // On 2024-03-10 New York's clocks go from 02:00 to 03:00: there is no 02:30 on that day.
    let (debtor, profile) = in_new_york((2, 30, 21));
    let retry =
        |now: &str| reason(decide(utc(now), &debtor, Some(&overdue(7)), &[], &profile).unwrap());
    let opens = Some(utc("2024-03-10T07:30:00Z"));
    assert_eq!(retry("2024-03-10T06:59:59Z"), (Reason::QuietHours, opens), "01:59:59");
    let sends = |now: &str| {
        let decision = decide(utc(now), &debtor, Some(&overdue(7)), &[], &profile).unwrap();
        matches!(decision, Decision::Send { .. })
    };
    assert!(sends("2024-03-10T07:00:00Z"), "03:00 in summer time is past 02:30");
    // The evening of that day is an hour earlier by UTC than the one before.
    assert!(sends("2024-03-10T00:59:59Z"), "19:59:59 of the day before");
    assert!(sends("2024-03-11T00:59:59Z"), "20:59:59 in summer time");
    assert!(!sends("2024-03-11T01:00:00Z"), "21:00 in summer time");
    // On 2024-11-03 01:30 comes twice.
    let (debtor, profile) = in_new_york((1, 30, 21));
    let decision = decide(utc("2024-11-03T05:00:00Z"), &debtor, Some(&overdue(7)), &[], &profile);
    let opens = Some(utc("2024-11-03T05:30:00Z"));
    assert_eq!(reason(decision.unwrap()), (Reason::QuietHours, opens), "01:00 in summer time");
    let again = decide(utc("2024-11-03T06:00:00Z"), &debtor, Some(&overdue(7)), &[], &profile);
    let opens = Some(utc("2024-11-03T06:30:00Z"));
    assert_eq!(reason(again.unwrap()), (Reason::QuietHours, opens), "01:00 in winter time");
}

#[test]
fn a_day_of_the_cap_is_the_debtors_own_whether_it_has_23_or_25_hours() {
    let (debtor, mut profile) = in_new_york((0, 0, 23));
    profile.per_day = 1;
    let past = |at: &str| Sent {
        loan: Uuid::from_u128(9),
        at: utc(at),
        rung_days: 1,
        due: date(2024, 1, 1),
    };
    // 2024-11-03 has 25 hours: from 04:00Z to 05:00Z of the next day.
    let sent = [past("2024-11-03T04:10:00Z")];
    let late = decide(utc("2024-11-04T03:50:00Z"), &debtor, Some(&overdue(7)), &sent, &profile);
    assert_eq!(reason(late.unwrap()).0, Reason::DayCap, "22:50 of the same day");
    let next = decide(utc("2024-11-04T05:00:00Z"), &debtor, Some(&overdue(7)), &sent, &profile);
    assert!(matches!(next.unwrap(), Decision::Send { .. }), "the day after");
}

#[test]
fn the_built_in_profiles_are_usable() {
    for name in ["cn", "eu", "us"] {
        Profile::built_in(name).unwrap().check().unwrap();
    }
    assert!(Profile::built_in("xx").is_err());
}
