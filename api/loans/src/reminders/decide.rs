use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::profile::{Channel, Profile, Rung};
use crate::calendar::{add_days, days_between, next_day};
use crate::loan::{Loan, Status};
use crate::{LoanError, Money};

/// Why a debtor is left alone for a time or for good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Holds {
    /// The day for which payment is promised; reminders rest up to and including it.
    pub promise_until: Option<Date>,
    /// The claim is disputed.
    pub dispute: bool,
    /// Hardship was declared; reminders rest up to and including this day.
    pub hardship_until: Option<Date>,
    /// The debtor has died.
    pub deceased: bool,
    /// A lawyer, court or insolvency forbids contact.
    pub legal_hold: bool,
}

/// What is known of a debtor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Debtor {
    /// The IANA name of the debtor's time zone.
    pub zone: String,
    /// The language of messages: `en` or `zh`.
    pub language: String,
    /// The channels the debtor has consented to.
    #[serde(default)]
    pub consents: BTreeSet<Channel>,
    /// No reminders at all, at the debtor's word.
    #[serde(default)]
    pub opted_out: bool,
    /// Reasons to leave the debtor alone.
    #[serde(default)]
    pub holds: Holds,
}

/// A reminder that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// About which loan.
    pub loan: Uuid,
    /// When.
    pub at: Timestamp,
    /// The rung it was for, by its days.
    pub rung_days: i64,
    /// The due date it was about.
    pub due: Date,
}

/// What a reminder would be about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dues {
    /// The loan.
    pub loan: Uuid,
    /// Days past the oldest unpaid due date; negative before the next one.
    pub days: i64,
    /// That due date.
    pub due: Date,
    /// What is due, or what will be.
    pub amount: Money,
}

/// Why no reminder is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Nothing is due, for example because it was paid.
    NothingDue,
    /// No rung of the ladder applies yet.
    TooEarly,
    /// The reminder of this rung was sent for this due date.
    AlreadySent,
    /// The debtor has opted out.
    OptedOut,
    /// The debtor has consented to none of the rung's channels.
    NoConsent,
    /// It is night, or a day of rest, where the debtor is.
    QuietHours,
    /// The day's reminders are used up.
    DayCap,
    /// The week's are.
    WeekCap,
    /// The debtor has promised to pay.
    Promise,
    /// The claim is disputed.
    Dispute,
    /// The debtor is in hardship.
    Hardship,
    /// The debtor has died.
    Deceased,
    /// Contact is forbidden.
    LegalHold,
    /// Nothing is known of the debtor, or the time zone is unknown: nobody is woken on a guess.
    UnknownDebtor,
    /// A reminder that was decided did not leave in time, and another one would be sent now.
    Superseded,
    /// A reminder that was decided came back: nobody can be reached there.
    Undeliverable,
}

impl Reason {
    /// Its name on the wire.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::NothingDue => "nothing_due",
            Self::TooEarly => "too_early",
            Self::AlreadySent => "already_sent",
            Self::OptedOut => "opted_out",
            Self::NoConsent => "no_consent",
            Self::QuietHours => "quiet_hours",
            Self::DayCap => "day_cap",
            Self::WeekCap => "week_cap",
            Self::Promise => "promise",
            Self::Dispute => "dispute",
            Self::Hardship => "hardship",
            Self::Deceased => "deceased",
            Self::LegalHold => "legal_hold",
            Self::UnknownDebtor => "unknown_debtor",
            Self::Superseded => "superseded",
            Self::Undeliverable => "undeliverable",
        }
    }
}

/// What to do about a debtor now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "decision")]
pub enum Decision {
    /// Send this.
    Send {
        /// On this channel.
        channel: Channel,
        /// The message id of the template.
        template: String,
        /// The rung, by its days.
        rung_days: i64,
    },
    /// Send nothing.
    Suppress {
        /// Why.
        reason: Reason,
        /// When to look again; `None` when something has to change first.
        retry_at: Option<Timestamp>,
    },
}

impl Decision {
    const fn suppress(reason: Reason, retry_at: Option<Timestamp>) -> Self {
        Self::Suppress { reason, retry_at }
    }
}

/// What a reminder about this loan would be about; `None` when nothing is or will be due.
///
/// # Errors
/// [`LoanError::Overflow`].
pub fn dues(id: Uuid, loan: &Loan) -> Result<Option<Dues>, LoanError> {
    if !matches!(loan.status()?, Status::Active | Status::Overdue) {
        return Ok(None);
    }
    let amount = loan.due()?.total()?.minus(loan.held()?)?;
    for line in loan.lines() {
        if amount.is_positive() && line.open()?.is_positive() {
            let days = days_between(line.due, loan.as_of());
            return Ok(Some(Dues { loan: id, days, due: line.due, amount }));
        }
    }
    let Some((due, next)) = loan.next_payment()? else { return Ok(None) };
    let amount = next.minus(loan.held()?)?;
    let days = days_between(due, loan.as_of());
    Ok(amount.is_positive().then_some(Dues { loan: id, days, due, amount }))
}

/// Decides about one debtor at `now`. Pure: the same inputs give the same answer.
///
/// # Errors
/// [`LoanError::Date`] at the ends of the calendar.
pub fn decide(
    now: Timestamp,
    debtor: &Debtor,
    dues: Option<&Dues>,
    sent: &[Sent],
    profile: &Profile,
) -> Result<Decision, LoanError> {
    let Ok(zone) = TimeZone::get(&debtor.zone) else {
        return Ok(Decision::suppress(Reason::UnknownDebtor, None));
    };
    let local = now.to_zoned(zone);
    if let Some(held) = held(debtor, &local, profile)? {
        return Ok(held);
    }
    let Some(dues) = dues else { return Ok(Decision::suppress(Reason::NothingDue, None)) };
    let Some(rung) = profile.rung(dues.days) else {
        let first = profile.ladder.first().map_or(0, |rung| rung.from_days);
        let wait = first.saturating_sub(dues.days);
        let retry = opening(&local, add_days(local.date(), wait)?, profile)?;
        return Ok(Decision::suppress(Reason::TooEarly, Some(retry)));
    };
    let same = |past: &Sent| {
        (past.loan, past.due, past.rung_days) == (dues.loan, dues.due, rung.from_days)
    };
    if sent.iter().any(same) {
        let retry = next_rung(&local, dues, rung, profile)?;
        return Ok(Decision::suppress(Reason::AlreadySent, retry));
    }
    let Some(channel) = rung.channels.iter().find(|channel| debtor.consents.contains(channel))
    else {
        return Ok(Decision::suppress(Reason::NoConsent, None));
    };
    if let Some(wait) = waits(&local, sent, profile)? {
        return Ok(wait);
    }
    Ok(Decision::Send {
        channel: *channel,
        template: rung.template.clone(),
        rung_days: rung.from_days,
    })
}

/// What keeps every reminder from this debtor, whatever is due.
fn held(debtor: &Debtor, local: &Zoned, profile: &Profile) -> Result<Option<Decision>, LoanError> {
    let holds = &debtor.holds;
    let for_good = [
        (holds.deceased, Reason::Deceased),
        (holds.legal_hold, Reason::LegalHold),
        (debtor.opted_out, Reason::OptedOut),
        (holds.dispute, Reason::Dispute),
    ];
    if let Some((_, reason)) = for_good.into_iter().find(|(holds, _)| *holds) {
        return Ok(Some(Decision::suppress(reason, None)));
    }
    let until = [(holds.hardship_until, Reason::Hardship), (holds.promise_until, Reason::Promise)];
    for (until, reason) in until {
        if let Some(until) = until.filter(|until| local.date() <= *until) {
            let retry = opening(local, next_day(until)?, profile)?;
            return Ok(Some(Decision::suppress(reason, Some(retry))));
        }
    }
    Ok(None)
}

/// Quiet hours and caps.
fn waits(local: &Zoned, sent: &[Sent], profile: &Profile) -> Result<Option<Decision>, LoanError> {
    let today = local.date();
    let hours = &profile.hours;
    let rest = hours.rest_days.contains(&today.weekday().to_monday_one_offset());
    if rest || local.time() < hours.from || local.time() >= hours.until {
        let day = if !rest && local.time() < hours.from { today } else { next_day(today)? };
        let retry = opening(local, day, profile)?;
        return Ok(Some(Decision::suppress(Reason::QuietHours, Some(retry))));
    }
    let now = local.timestamp();
    let on_day = |past: &&Sent| past.at.to_zoned(local.time_zone().clone()).date() == today;
    if at_least(sent.iter().filter(on_day).count(), profile.per_day) {
        let retry = opening(local, next_day(today)?, profile)?;
        return Ok(Some(Decision::suppress(Reason::DayCap, Some(retry))));
    }
    let week = SignedDuration::from_hours(7 * 24);
    let in_week = |past: &&Sent| now.duration_since(past.at) < week;
    if at_least(sent.iter().filter(in_week).count(), profile.per_week) {
        let oldest = sent.iter().filter(in_week).map(|past| past.at).min().unwrap_or(now);
        let free = oldest.checked_add(week).map_err(|_| LoanError::Date("past the calendar"))?;
        let free = free.to_zoned(local.time_zone().clone());
        let retry = opening(&free, free.date(), profile)?.max(free.timestamp());
        return Ok(Some(Decision::suppress(Reason::WeekCap, Some(retry))));
    }
    Ok(None)
}

fn at_least(count: usize, cap: u32) -> bool {
    usize::try_from(cap).is_ok_and(|cap| count >= cap)
}

/// The first allowed minute on `day` or the next day that is not one of rest.
fn opening(local: &Zoned, day: Date, profile: &Profile) -> Result<Timestamp, LoanError> {
    let mut day = day;
    for _ in 0..7 {
        if !profile.hours.rest_days.contains(&day.weekday().to_monday_one_offset()) {
            break;
        }
        day = next_day(day)?;
    }
    let at = local.time_zone().to_ambiguous_zoned(day.to_datetime(profile.hours.from));
    let past = |_| LoanError::Date("past the calendar");
    let first = at.clone().compatible().map_err(past)?.timestamp();
    // Where clocks go back the hour comes twice: once the first is over, the second counts.
    if first <= local.timestamp() && at.is_ambiguous() {
        return Ok(at.later().map_err(past)?.timestamp());
    }
    Ok(first)
}

fn next_rung(
    local: &Zoned,
    dues: &Dues,
    rung: &Rung,
    profile: &Profile,
) -> Result<Option<Timestamp>, LoanError> {
    let next = profile.ladder.iter().find(|later| later.from_days > rung.from_days);
    let Some(next) = next else { return Ok(None) };
    opening(local, add_days(dues.due, next.from_days)?, profile).map(Some)
}

#[cfg(test)]
mod tests {
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
        Sent {
            loan: Uuid::nil(),
            at: at(12) - SignedDuration::from_hours(hours_ago),
            rung_days,
            due,
        }
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
    fn quiet_hours_over_midnight_end_with_the_first_allowed_minute_and_begin_with_the_first_late_one()
     {
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
        let retry = |now: &str| {
            reason(decide(utc(now), &debtor, Some(&overdue(7)), &[], &profile).unwrap())
        };
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
        let decision =
            decide(utc("2024-11-03T05:00:00Z"), &debtor, Some(&overdue(7)), &[], &profile);
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
}
