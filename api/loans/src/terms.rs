//! The terms of a loan product, as data.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::calendar::{BusinessDayRule, DayCount, Frequency, HolidayCalendar};
use crate::{LoanError, Money, Rate, Rounding};

/// How principal is repaid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Product {
    /// Level instalments of principal and interest (等额本息).
    Annuity,
    /// Level principal, falling interest (等额本金).
    EqualPrincipal,
    /// Interest each period, the principal with the last instalment.
    InterestOnly,
    /// One instalment at the end of the term.
    Bullet,
    /// Level instalments and a residual share of the principal with the last one.
    Balloon {
        /// The share of the principal left for the last instalment, below 1.
        residual: Rate,
    },
}

/// A new rate from an instalment on; the level instalment is computed anew there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateStep {
    /// The first instalment with this rate, from 1.
    pub from_instalment: u32,
    /// The annual rate.
    pub rate: Rate,
}

/// What happens to interest while none is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InterestTreatment {
    /// It accrues without compounding and is due with the first instalment afterwards.
    #[default]
    Accrue,
    /// It accrues and becomes principal at the end of the pause.
    Capitalise,
    /// It is not charged.
    Waive,
}

/// Instalments without principal or without interest at the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Grace {
    /// Instalments without principal.
    pub principal: u32,
    /// Instalments without interest; at most those without principal.
    pub interest: u32,
    /// What happens to the interest of these.
    pub treatment: InterestTreatment,
}

/// Due dates and business days.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BusinessDays {
    /// How a due date moves.
    pub rule: BusinessDayRule,
    /// True: interest runs to the moved date; false: to the nominal one.
    pub adjust_accrual: bool,
    /// Which days are business days.
    pub calendar: HolidayCalendar,
}

/// A fee: a fixed amount, a share of a base, or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fee {
    /// Minor units.
    pub fixed: Money,
    /// A share of the base: the principal up front, the opening balance per instalment, the amount
    /// overdue for the late fee.
    pub share: Rate,
}

impl Fee {
    /// The fee on `base`, rounded to `side`.
    ///
    /// # Errors
    /// [`LoanError::Overflow`].
    pub fn on(&self, base: Money, side: Rounding) -> Result<Money, LoanError> {
        if self.share.is_zero() {
            return Ok(self.fixed);
        }
        self.share.of(base)?.round(side)?.plus(self.fixed)
    }
}

/// The fees of a product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fees {
    /// Due at disbursement and withheld from it.
    pub upfront: Fee,
    /// Due with each instalment.
    pub instalment: Fee,
    /// Charged once per instalment that is unpaid after the days of grace.
    pub late: Fee,
    /// Charged on principal repaid before it is due.
    pub prepayment: Fee,
}

/// Simple interest on what is overdue, in place of the contract rate. It does not compound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Penalty {
    /// The annual rate, ACT/365F.
    pub rate: Rate,
    /// Days after the due date on which a payment still avoids late fee and penalty.
    #[serde(default)]
    pub grace_days: u16,
    /// True: on overdue principal and interest; false: on principal alone.
    #[serde(default)]
    pub on_interest: bool,
}

/// What a payment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// Fees of any kind.
    Fee,
    /// Interest on what is overdue.
    Penalty,
    /// Contract interest.
    Interest,
    /// Principal.
    Principal,
}

impl Component {
    /// All four, in the usual order of a waterfall.
    pub const ALL: [Self; 4] = [Self::Fee, Self::Penalty, Self::Interest, Self::Principal];

    /// Its name: `fee`, `penalty`, `interest`, `principal`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fee => "fee",
            Self::Penalty => "penalty",
            Self::Interest => "interest",
            Self::Principal => "principal",
        }
    }

    /// The place in an array of four.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Fee => 0,
            Self::Penalty => 1,
            Self::Interest => 2,
            Self::Principal => 3,
        }
    }
}

/// Which comes first when a payment does not cover everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaterfallBy {
    /// The oldest instalment, all its components, then the next.
    #[default]
    DueDate,
    /// The first component of all instalments, then the next component.
    Component,
}

/// The order in which a payment is allocated, as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Waterfall {
    /// All four components, each once.
    pub order: [Component; 4],
    /// By instalment or by component.
    pub by: WaterfallBy,
}

impl Default for Waterfall {
    fn default() -> Self {
        Self { order: Component::ALL, by: WaterfallBy::DueDate }
    }
}

/// The terms of a product. Amounts are in minor units of `currency`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// The currency of every amount, as the ledger names it.
    pub currency: String,
    /// How principal is repaid.
    pub product: Product,
    /// The annual rate.
    pub rate: Rate,
    /// Later rates, by instalment.
    #[serde(default)]
    pub steps: Vec<RateStep>,
    /// How days are counted.
    pub day_count: DayCount,
    /// How often an instalment is due.
    pub frequency: Frequency,
    /// The number of instalments, 1 to 1,200 (for a bullet: the number of periods).
    pub instalments: u32,
    /// Instalments without principal or interest.
    #[serde(default)]
    pub grace: Grace,
    /// Due dates that are not business days.
    #[serde(default)]
    pub business_days: BusinessDays,
    /// The side to which interest, fees and the level instalment are rounded.
    #[serde(default)]
    pub rounding: Rounding,
    /// Fees.
    #[serde(default)]
    pub fees: Fees,
    /// Interest on what is overdue; none when absent.
    #[serde(default)]
    pub penalty: Option<Penalty>,
    /// How payments are allocated.
    #[serde(default)]
    pub waterfall: Waterfall,
}

/// The largest number of instalments.
pub const INSTALMENTS_MAX: u32 = 1200;

impl Terms {
    /// Refuses terms that contradict themselves.
    ///
    /// # Errors
    /// [`LoanError::Terms`] naming the field, [`LoanError::TermOutOfRange`].
    pub fn check(&self) -> Result<(), LoanError> {
        if !(1..=INSTALMENTS_MAX).contains(&self.instalments) {
            return Err(LoanError::TermOutOfRange);
        }
        self.frequency.check()?;
        let currency = !self.currency.is_empty()
            && self.currency.len() <= 64
            && self.currency.bytes().all(|byte| byte.is_ascii_graphic());
        self.require(currency, "currency")?;
        let ascending = self.steps.windows(2).all(|pair| match pair {
            [a, b] => a.from_instalment < b.from_instalment,
            _ => true,
        });
        let first = self.steps.first().is_none_or(|step| step.from_instalment > 1);
        self.require(ascending && first, "steps")?;
        let bullet = self.product == Product::Bullet;
        self.require(
            !(bullet && (!self.steps.is_empty() || self.grace != Grace::default())),
            "grace and steps of a bullet",
        )?;
        let grace =
            self.grace.interest <= self.grace.principal && self.grace.principal < self.instalments;
        self.require(grace, "grace")?;
        if let Product::Balloon { residual } = self.product {
            self.require(residual.to_decimal() < rust_decimal::Decimal::ONE, "residual")?;
        }
        let fees = [self.fees.upfront, self.fees.instalment, self.fees.late, self.fees.prepayment];
        let fits = |fee: &Fee| !fee.fixed.is_negative() && fee.fixed <= Money::MAX_INPUT;
        self.require(fees.iter().all(fits), "fees")?;
        let each_once = Component::ALL.iter().all(|kind| self.waterfall.order.contains(kind));
        self.require(each_once, "waterfall")
    }

    fn require(&self, holds: bool, field: &'static str) -> Result<(), LoanError> {
        holds.then_some(()).ok_or(LoanError::Terms(field))
    }

    /// The rate of an instalment, from 1.
    #[must_use]
    pub fn rate_at(&self, instalment: u32) -> Rate {
        let step = self.steps.iter().rev().find(|step| step.from_instalment <= instalment);
        step.map_or(self.rate, |step| step.rate)
    }

    /// Days after the due date on which a payment is still in time.
    #[must_use]
    pub fn grace_days(&self) -> u16 {
        self.penalty.map_or(0, |penalty| penalty.grace_days)
    }
}

/// The terms with what one borrower agreed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// The product's terms at the time of the contract.
    pub terms: Terms,
    /// The amount lent, in minor units.
    pub principal: Money,
    /// The day of disbursement.
    pub start: Date,
    /// The first nominal due date; one period after `start` when absent. A short or long first
    /// period is charged by its days.
    #[serde(default)]
    pub first_due: Option<Date>,
}

impl Contract {
    /// Refuses unusable contracts.
    ///
    /// # Errors
    /// Those of [`Terms::check`], [`LoanError::AmountOutOfRange`], [`LoanError::Date`].
    pub fn check(&self) -> Result<(), LoanError> {
        self.terms.check()?;
        self.principal.checked_input()?;
        if self.first_due.is_some_and(|due| due <= self.start) {
            return Err(LoanError::Date("the first due date is not after the start"));
        }
        let upfront = self.terms.fees.upfront.on(self.principal, self.terms.rounding)?;
        self.terms.require(upfront < self.principal, "the fee up front reaches the principal")
    }
}
