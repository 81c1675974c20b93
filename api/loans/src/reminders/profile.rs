use jiff::civil::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

use crate::LoanError;

/// A way to reach a debtor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// The inbox in the wallet.
    InApp,
    /// A push notification.
    Push,
    /// A text message.
    Sms,
    /// Electronic mail.
    Email,
}

impl Channel {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::InApp, Self::Push, Self::Sms, Self::Email];

    /// Its name on the wire.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::InApp => "in_app",
            Self::Push => "push",
            Self::Sms => "sms",
            Self::Email => "email",
        }
    }

    /// The channel of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.text() == name)
    }
}

/// When a debtor may be reached, in the debtor's own time zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// The first minute of the day.
    pub from: Time,
    /// The first minute of the evening that is too late.
    pub until: Time,
    /// Weekly days without reminders, 1 (Monday) to 7 (Sunday).
    #[serde(default)]
    pub rest_days: BTreeSet<i8>,
}

/// A step of the escalation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rung {
    /// Days past due from which it applies; negative before the due date.
    pub from_days: i64,
    /// The message id of its template.
    pub template: String,
    /// The channels to try, in order.
    pub channels: Vec<Channel>,
}

/// What a jurisdiction allows and a lender wants, as data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// Hours.
    pub hours: Hours,
    /// The most reminders in one local day.
    pub per_day: u32,
    /// The most reminders in seven days.
    pub per_week: u32,
    /// The escalation, by ascending days.
    pub ladder: Vec<Rung>,
}

const BUILT_IN: &str = include_str!("profiles.json");

impl Profile {
    /// The names of the built-in profiles.
    pub const BUILT_IN: [&str; 3] = ["cn", "eu", "us"];

    /// The built-in profile of this name (`cn`, `eu`, `us`).
    ///
    /// # Errors
    /// [`LoanError::Terms`] when there is none.
    pub fn built_in(name: &str) -> Result<Self, LoanError> {
        let all: Vec<Self> = serde_json::from_str(BUILT_IN)?;
        let found = all.into_iter().find(|profile| profile.name == name);
        found.ok_or(LoanError::Terms("reminder profile"))
    }

    /// Refuses a profile that contradicts itself.
    ///
    /// # Errors
    /// [`LoanError::Terms`].
    pub fn check(&self) -> Result<(), LoanError> {
        let ascending = self.ladder.windows(2).all(|pair| match pair {
            [a, b] => a.from_days < b.from_days,
            _ => true,
        });
        let rest = self.hours.rest_days.iter().all(|day| (1..=7).contains(day));
        let open = self.hours.from < self.hours.until && self.hours.rest_days.len() < 7;
        let reachable = |rung: &Rung| !rung.channels.is_empty() && rung.channels.len() <= 4;
        let known = |rung: &Rung| crate::messages::TEMPLATES.contains(&rung.template.as_str());
        let ladder = self.ladder.iter().all(|rung| reachable(rung) && known(rung));
        let named = (1..=64).contains(&self.name.len());
        let all = ascending && rest && open && ladder && named && self.ladder.len() <= 32;
        all.then_some(()).ok_or(LoanError::Terms("reminder profile"))
    }

    /// The last rung that applies at this many days past due.
    #[must_use]
    pub fn rung(&self, days: i64) -> Option<&Rung> {
        self.ladder.iter().rev().find(|rung| rung.from_days <= days)
    }
}
