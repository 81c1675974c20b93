use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::terms::{Component, InterestTreatment};
use crate::{LoanError, Money, Rate};

/// Something that happened to a loan. Events are only ever added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Made by the client: the same id is the same event.
    pub id: Uuid,
    /// The order in which events were recorded, from 1.
    pub seq: u64,
    /// The day from which it counts. Events of one day count in the order of recording.
    pub effective: Date,
    /// What happened.
    pub body: Body,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Body {
    /// The contract's principal was paid out, on the contract's start.
    Disbursed,
    /// The borrower paid.
    Repaid {
        /// Minor units of the loan's currency.
        amount: Money,
        /// What happens to money that nothing is due for.
        #[serde(default)]
        mode: RepaymentMode,
    },
    /// Money held for the borrower was paid back.
    Refunded {
        /// Minor units.
        amount: Money,
        /// For the borrower's statement.
        reason: String,
    },
    /// A fee outside the schedule.
    FeeCharged {
        /// Minor units.
        amount: Money,
        /// For the borrower's statement.
        reason: String,
    },
    /// A part of what is due was forgiven.
    Waived {
        /// How much of each component, oldest instalment first.
        amounts: Amounts,
        /// For the record.
        reason: String,
    },
    /// The schedule was changed with the borrower's consent.
    Restructured {
        /// How.
        change: Restructuring,
        /// The hash of the preview that the borrower accepted, in hexadecimal.
        preview: String,
    },
    /// The lender gave up on the claim; what still comes in is a recovery.
    ChargedOff,
    /// An earlier event does not count: a bounced payment, a correction.
    Reversed {
        /// The event.
        event: Uuid,
        /// For the record.
        reason: String,
    },
}

/// What happens to the part of a payment for which nothing is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepaymentMode {
    /// It is held and pays the next instalments when they fall due.
    #[default]
    Hold,
    /// It repays principal at once; the instalment stays and the term gets shorter.
    ShorterTerm,
    /// It repays principal at once; the term stays and the instalments get smaller.
    SmallerInstalments,
    /// It settles the loan at once if it suffices; otherwise it is held.
    Settle,
}

/// An amount for each component, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Amounts {
    /// Principal.
    pub principal: Money,
    /// Contract interest.
    pub interest: Money,
    /// Fees.
    pub fee: Money,
    /// Interest on what was overdue.
    pub penalty: Money,
}

impl Amounts {
    /// The amount of one component.
    #[must_use]
    pub const fn of(&self, component: Component) -> Money {
        match component {
            Component::Fee => self.fee,
            Component::Penalty => self.penalty,
            Component::Interest => self.interest,
            Component::Principal => self.principal,
        }
    }

    /// Amounts in the order of [`Component::index`].
    #[must_use]
    pub(crate) const fn from_array([fee, penalty, interest, principal]: [Money; 4]) -> Self {
        Self { principal, interest, fee, penalty }
    }

    /// The sum.
    ///
    /// # Errors
    /// [`LoanError::Overflow`].
    pub fn total(&self) -> Result<Money, LoanError> {
        Money::sum(Component::ALL.map(|component| self.of(component)))
    }
}

/// What happens to arrears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrears {
    /// They stay due as they are.
    #[default]
    Keep,
    /// Overdue principal is spread over the instalments to come; overdue interest, fees and penalty
    /// are due with the last one, without interest on them.
    ReAge,
    /// Everything overdue becomes principal.
    Capitalise,
}

/// Whether instalments within a pause carry the fee per instalment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeeTreatment {
    /// They do.
    #[default]
    Charge,
    /// They do not.
    Waive,
}

/// A change of the schedule: a deferral, an extension, a new rate, or several at once. The rest is
/// always amortised anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restructuring {
    /// The next instalments that are skipped; the term gets longer by as many.
    #[serde(default)]
    pub pause: u32,
    /// What happens to interest within the pause.
    pub interest: InterestTreatment,
    /// What happens to the fee per instalment within the pause.
    pub fees: FeeTreatment,
    /// Instalments added at the end.
    #[serde(default)]
    pub extend: u32,
    /// What happens to arrears.
    pub arrears: Arrears,
    /// A new annual rate from now on.
    #[serde(default)]
    pub rate: Option<Rate>,
    /// What is forgiven, before everything else.
    #[serde(default)]
    pub forgive: Amounts,
    /// Days for which the provisioning stage stays as it was, at least stage 2.
    #[serde(default = "default_probation_days")]
    pub probation_days: u16,
}

const fn default_probation_days() -> u16 {
    365
}

impl Default for Restructuring {
    fn default() -> Self {
        Self {
            pause: 0,
            interest: InterestTreatment::Accrue,
            fees: FeeTreatment::Charge,
            extend: 0,
            arrears: Arrears::Keep,
            rate: None,
            forgive: Amounts::default(),
            probation_days: default_probation_days(),
        }
    }
}
