use std::collections::BTreeSet;

use api_loans::care::{OfferLimits, Rule};
use api_loans::terms::InterestTreatment;
use api_loans::{LoanError, Money, Rate, Rounding};
use serde::{Deserialize, Serialize};

use crate::CareError;

const RULES_MAX: usize = 32;
const DAYS_MAX: u16 = 366;
/// For so many days a preview can be accepted.
const OPEN_DAYS_MAX: u16 = 7;

/// When a loan shows early signs of trouble and what is offered then, as data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyRules {
    /// The rules of the early warning.
    pub warn: Vec<Rule>,
    /// Over how many days the wallet's history is looked at.
    pub history_days: u16,
    /// The codes of warnings each of which is enough for an offer.
    pub alone: BTreeSet<String>,
    /// As many warnings of whatever code are enough, too.
    pub together: u32,
    /// What counts as affordable.
    pub afford: Affordability,
    /// How far an offer may go.
    pub limits: OfferLimits,
    /// For how many days an offer is open.
    pub open_days: u16,
}

/// What a borrower can afford per instalment: `balance_share` of the wallet's average balance or of
/// what it holds now, whichever is less, but at least `floor_share` of the instalment and at most the instalment itself. Instalments are
/// paused first when the wallet holds less than that now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Affordability {
    /// The share of the wallet's average balance, or of the present one when that is less.
    pub balance_share: Rate,
    /// The least share of the present instalment.
    pub floor_share: Rate,
    /// How many instalments are paused when the wallet holds less than one.
    pub pause_when_short: u32,
}

/// A share of hundredths.
fn percent(hundredths: &str) -> Rate {
    Rate::parse(hundredths).unwrap_or(Rate::ZERO)
}

impl Default for EarlyRules {
    fn default() -> Self {
        let alone = [
            "days_past_due",
            "paid_later_each_time",
            "bounced_payments",
            "missed_payments",
            "balance_below_next",
        ];
        Self {
            warn: vec![
                Rule::DaysPastDue { at_least: 1 },
                Rule::PaidLaterEachTime { instalments: 3 },
                Rule::BouncedPayments { at_least: 1, within_days: 60 },
                Rule::MissedPayments { at_least: 2, within_days: 90 },
                Rule::BalanceBelowNext { share: percent("1"), within_days: 5 },
                Rule::BalanceFalling { by: percent("0.5") },
                Rule::UtilisationAbove { share: percent("0.9") },
            ],
            history_days: 28,
            alone: alone.map(str::to_owned).into(),
            together: 2,
            afford: Affordability {
                balance_share: percent("0.8"),
                floor_share: percent("0.5"),
                pause_when_short: 1,
            },
            limits: OfferLimits {
                pause_max: 3,
                extend_max: 24,
                interest: InterestTreatment::Accrue,
            },
            open_days: OPEN_DAYS_MAX,
        }
    }
}

impl EarlyRules {
    /// Refuses rules that cannot be carried out.
    ///
    /// # Errors
    /// [`CareError::Refused`].
    pub fn check(&self) -> Result<(), CareError> {
        if self.warn.len() > RULES_MAX || self.alone.len() > RULES_MAX {
            return Err(CareError::Refused("at most 32 rules"));
        }
        let open = (1..=OPEN_DAYS_MAX).contains(&self.open_days);
        if !open || !(1..=DAYS_MAX).contains(&self.history_days) {
            return Err(CareError::Refused("history_days is 1 to 366, open_days 1 to 7"));
        }
        if self.together == 0 || self.limits.pause_max > 60 || self.limits.extend_max > 120 {
            return Err(CareError::Refused(
                "together is at least 1, pause_max at most 60, extend_max at most 120",
            ));
        }
        Ok(())
    }

    /// True when warnings of these codes are enough for an offer.
    #[must_use]
    pub fn suffices(&self, codes: &[&str]) -> bool {
        let together = usize::try_from(self.together).unwrap_or(usize::MAX);
        codes.iter().any(|code| self.alone.contains(*code)) || codes.len() >= together
    }
}

impl Affordability {
    /// What can be paid per instalment of a loan whose instalment is `instalment`, with a wallet
    /// that held `average` and holds `now`; and how many instalments cannot be paid at all first.
    ///
    /// # Errors
    /// [`LoanError::Overflow`].
    pub fn per_instalment(
        &self,
        instalment: Money,
        average: Money,
        now: Money,
    ) -> Result<(Money, u32), LoanError> {
        let share = self.balance_share.of(average.min(now))?.round(Rounding::Down)?;
        let floor = self.floor_share.of(instalment)?.round(Rounding::Up)?;
        let can = share.max(floor).min(instalment);
        Ok((can, if now < can { self.pause_when_short } else { 0 }))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_rules_are_data() {
        let rules = EarlyRules::default();
        rules.check().unwrap();
        let text = serde_json::to_string(&rules).unwrap();
        assert_eq!(serde_json::from_str::<EarlyRules>(&text).unwrap(), rules);
        assert_eq!(rules.afford.balance_share, Rate::parse("0.8").unwrap());
    }

    #[test]
    fn one_grave_warning_or_two_others_are_enough() {
        let rules = EarlyRules::default();
        assert!(rules.suffices(&["days_past_due"]));
        assert!(!rules.suffices(&["balance_falling"]));
        assert!(rules.suffices(&["balance_falling", "utilisation_above"]));
        assert!(!rules.suffices(&[]));
    }

    #[test]
    fn what_is_affordable_stays_between_the_floor_and_the_instalment() {
        let afford = EarlyRules::default().afford;
        let money = Money::new;
        let cases = [
            (1000, 2000, 2000, (1000, 0)),
            (1000, 1000, 1000, (800, 0)),
            (1000, 0, 0, (500, 1)),
            (1000, 1000, 799, (639, 0)),
            (1000, 9000, 100, (500, 1)),
            (1001, 0, 501, (501, 0)),
            (1001, 0, 500, (501, 1)),
        ];
        for (instalment, average, now, (can, pause)) in cases {
            let found = afford.per_instalment(money(instalment), money(average), money(now));
            assert_eq!(found.unwrap(), (money(can), pause), "{instalment} {average} {now}");
        }
    }
}
