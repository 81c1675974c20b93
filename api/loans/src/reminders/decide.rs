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
mod tests;
