use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::allocate::Allocation;
use super::books::{Account, Books};
use super::event::Amounts;
use super::fold::Loan;
use super::line::Line;
use super::restructure::Figures;
use crate::calendar::days_between;
use crate::schedule::Instalment;
use crate::terms::{Component, Contract};
use crate::{LoanError, Money};

/// What a loan is, derived from its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nothing is overdue.
    Active,
    /// Something is overdue.
    Overdue,
    /// Nothing is owed any more.
    Settled,
    /// The lender has given up on the claim.
    ChargedOff,
}

/// Days past due in the usual buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Bucket {
    /// Nothing is overdue.
    #[serde(rename = "current")]
    Current,
    /// 1 to 30 days.
    #[serde(rename = "1-30")]
    To30,
    /// 31 to 60 days.
    #[serde(rename = "31-60")]
    To60,
    /// 61 to 90 days.
    #[serde(rename = "61-90")]
    To90,
    /// More than 90 days.
    #[serde(rename = "90+")]
    Over90,
}

impl Bucket {
    /// The bucket of a number of days past due.
    #[must_use]
    pub const fn of(days: i64) -> Self {
        match days {
            ..=0 => Self::Current,
            1..=30 => Self::To30,
            31..=60 => Self::To60,
            61..=90 => Self::To90,
            _ => Self::Over90,
        }
    }
}

/// The provisioning stage of IFRS 9, with the backstops of 30 and 90 days past due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Performing.
    One,
    /// Credit risk has risen significantly: more than 30 days past due, or forborne.
    Two,
    /// Credit-impaired: more than 90 days past due or written off.
    Three,
}

/// A deferral or restructuring whose probation may still run. It does not cure delinquency: until
/// the probation ends the stage is at least what it was, and at least 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Forbearance {
    /// The day of the change.
    pub since: Date,
    /// The stage on that day.
    pub stage: Stage,
    /// The last day of the probation.
    pub probation_until: Date,
}

/// What settles the loan on a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettlementQuote {
    /// The day up to which it is valid: interest runs on from there.
    pub valid_on: Date,
    /// By component: what is due and the whole rest, the prepayment fee included.
    pub amounts: Amounts,
    /// Money held for the borrower, which counts.
    pub held: Money,
    /// What is to be paid on that day.
    pub to_pay: Money,
}

/// A loan as it stands, for answers and statements.
#[derive(Clone, Debug, Serialize)]
pub struct Position {
    /// The day.
    pub as_of: Date,
    /// The currency of every amount.
    pub currency: String,
    /// What it is.
    pub status: Status,
    /// Days since the oldest unpaid due date.
    pub days_past_due: i64,
    /// The bucket of these.
    pub bucket: Bucket,
    /// The provisioning stage.
    pub stage: Stage,
    /// A deferral whose probation runs.
    pub forbearance: Option<Forbearance>,
    /// What is owed by component, interest accrued to the day, due or not.
    pub outstanding: Amounts,
    /// What is due by component.
    pub due: Amounts,
    /// All that was paid.
    pub received: Money,
    /// Money held for the borrower.
    pub held: Money,
    /// Money held that was paid back.
    pub refunded: Money,
    /// The largest number of days past due so far.
    pub worst_days_past_due: i64,
    /// What was due.
    pub lines: Vec<Line>,
    /// What is to come.
    pub coming: Vec<Instalment>,
    /// What the payments paid.
    pub allocations: Vec<Allocation>,
}

impl Loan {
    /// The day the loan stands on.
    #[must_use]
    pub const fn as_of(&self) -> Date {
        self.clock
    }

    /// The contract.
    #[must_use]
    pub const fn contract(&self) -> &Contract {
        &self.contract
    }

    /// What was due.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The instalments to come.
    pub fn coming(&self) -> impl Iterator<Item = &Instalment> {
        self.coming.iter().map(|coming| &coming.planned.instalment)
    }

    /// What the payments paid, in order.
    #[must_use]
    pub fn allocations(&self) -> &[Allocation] {
        &self.allocations
    }

    /// The amount paid out.
    #[must_use]
    pub const fn disbursed_amount(&self) -> Money {
        self.disbursed
    }

    /// Everything that became principal.
    #[must_use]
    pub const fn capitalised(&self) -> Money {
        self.capitalised
    }

    /// All payments.
    #[must_use]
    pub const fn received(&self) -> Money {
        self.received
    }

    /// What was paid back of money held.
    #[must_use]
    pub const fn refunded(&self) -> Money {
        self.refunded
    }

    /// The last deferral or restructuring.
    #[must_use]
    pub const fn forbearance(&self) -> Option<Forbearance> {
        self.forbearance
    }

    /// The largest number of days past due so far.
    #[must_use]
    pub const fn worst_days_past_due(&self) -> i64 {
        self.worst_days_past_due
    }

    /// The sum of one part of one component's slots.
    fn sum(
        &self,
        component: Component,
        part: impl Fn(&super::Slot) -> Result<Money, LoanError>,
    ) -> Result<Money, LoanError> {
        self.lines.iter().try_fold(Money::ZERO, |sum, line| sum.plus(part(line.slot(component))?))
    }

    /// What is due by component.
    ///
    /// # Errors
    /// [`LoanError::Overflow`].
    pub fn due(&self) -> Result<Amounts, LoanError> {
        let mut due = [Money::ZERO; 4];
        for (component, due) in Component::ALL.into_iter().zip(&mut due) {
            *due = self.sum(component, |slot| slot.open())?;
        }
        Ok(Amounts::from_array(due))
    }

    /// What is owed by component: due, accrued to the day, deferred or moved to later.
    ///
    /// # Errors
    /// [`LoanError::Overflow`].
    pub fn outstanding(&self) -> Result<Amounts, LoanError> {
        let (due, rest) = (self.due()?, self.rest_amounts(false)?);
        Ok(Amounts {
            principal: due.principal.plus(rest.principal)?,
            interest: due.interest.plus(rest.interest)?,
            fee: due.fee.plus(rest.fee)?,
            penalty: due.penalty.plus(rest.penalty)?,
        })
    }

    /// True when nothing is owed any more.
    ///
    /// # Errors
    /// [`LoanError::Overflow`].
    pub fn is_settled(&self) -> Result<bool, LoanError> {
        let nothing_comes = self.unbilled.is_zero()
            && self.deferred.is_zero()
            && self.extras()?.iter().all(|extra| extra.is_zero())
            && self.accruing()?.is_zero();
        Ok(nothing_comes && self.charged_off_on.is_none() && self.due()?.total()?.is_zero())
    }

    /// Days since the oldest due date with something open.
    ///
    /// # Errors
    /// [`LoanError::Overflow`].
    pub fn days_past_due(&self) -> Result<i64, LoanError> {
        let mut worst = 0;
        for line in self.lines.iter().skip(self.first_open) {
            if line.open()?.is_positive() {
                worst = worst.max(days_between(line.due, self.clock));
            }
        }
        Ok(worst)
    }

    /// What it is.
    ///
    /// # Errors
    /// [`LoanError::Overflow`].
    pub fn status(&self) -> Result<Status, LoanError> {
        Ok(if self.charged_off_on.is_some() {
            Status::ChargedOff
        } else if self.is_settled()? {
            Status::Settled
        } else if self.days_past_due()? > 0 {
            Status::Overdue
        } else {
            Status::Active
        })
    }

    /// The provisioning stage.
    ///
    /// # Errors
    /// [`LoanError::Overflow`].
    pub fn stage(&self) -> Result<Stage, LoanError> {
        let own = match self.days_past_due()? {
            _ if self.charged_off_on.is_some() => Stage::Three,
            ..=30 => Stage::One,
            31..=90 => Stage::Two,
            _ => Stage::Three,
        };
        let probation = self.forbearance.filter(|held| self.clock <= held.probation_until);
        Ok(probation.map_or(own, |held| own.max(held.stage).max(Stage::Two)))
    }

    /// What settles the loan on the day it stands on.
    ///
    /// # Errors
    /// [`LoanError::Overflow`].
    pub fn settlement_quote(&self) -> Result<SettlementQuote, LoanError> {
        let (due, rest) = (self.due()?, self.rest_amounts(true)?);
        let amounts = Amounts {
            principal: due.principal.plus(rest.principal)?,
            interest: due.interest.plus(rest.interest)?,
            fee: due.fee.plus(rest.fee)?,
            penalty: due.penalty.plus(rest.penalty)?,
        };
        let held = self.held()?;
        let to_pay = amounts.total()?.minus(held)?.max(Money::ZERO);
        Ok(SettlementQuote { valid_on: self.clock, amounts, held, to_pay })
    }

    /// The loan as it stands, for answers and statements.
    ///
    /// # Errors
    /// [`LoanError::Overflow`].
    pub fn position(&self) -> Result<Position, LoanError> {
        let days = self.days_past_due()?;
        Ok(Position {
            as_of: self.clock,
            currency: self.contract.terms.currency.clone(),
            status: self.status()?,
            days_past_due: days,
            bucket: Bucket::of(days),
            stage: self.stage()?,
            forbearance: self.forbearance,
            outstanding: self.outstanding()?,
            due: self.due()?,
            received: self.received,
            held: self.held()?,
            refunded: self.refunded,
            worst_days_past_due: self.worst_days_past_due,
            lines: self.lines.clone(),
            coming: self.coming().cloned().collect(),
            allocations: self.allocations.clone(),
        })
    }

    /// The loan in figures, for a preview.
    pub(super) fn figures(&self) -> Result<Figures, LoanError> {
        let outstanding = self.outstanding()?;
        let forgiven = |component| self.sum(component, |slot| Ok(slot.forgiven));
        let coming = |part: fn(&Instalment) -> Money| Money::sum(self.coming().map(part));
        let to_accrue = coming(|line| line.accrued)?.minus(self.accruing()?)?;
        let fees_to_come = coming(|line| line.fee)?;
        let books = self.books()?;
        let earned = |component| books.balance(Account::Income(component));
        let cost = Money::sum([
            Money::ZERO.minus(earned(Component::Interest)?)?,
            Money::ZERO.minus(earned(Component::Fee)?)?,
            Money::ZERO.minus(earned(Component::Penalty)?)?,
            to_accrue,
            fees_to_come,
        ])?;
        let forgiven_other = Money::sum([
            forgiven(Component::Interest)?,
            forgiven(Component::Fee)?,
            forgiven(Component::Penalty)?,
        ])?;
        Ok(Figures {
            principal: outstanding.principal,
            interest_accrued: outstanding.interest,
            fees: outstanding.fee,
            penalty: outstanding.penalty,
            capitalised: self.capitalised,
            forgiven_principal: forgiven(Component::Principal)?,
            forgiven_other,
            interest_to_come: to_accrue,
            fees_to_come,
            to_pay: outstanding.total()?.plus(to_accrue)?.plus(fees_to_come)?,
            total_cost: cost.minus(forgiven_other)?,
            instalments_left: u32::try_from(self.coming.len()).unwrap_or(u32::MAX),
            next: self.next_payment()?,
            last_due: self.coming().last().map(|line| line.due),
            days_past_due: self.days_past_due()?,
        })
    }

    /// The next due date with something to pay, and how much.
    ///
    /// # Errors
    /// [`LoanError::Overflow`].
    pub fn next_payment(&self) -> Result<Option<(Date, Money)>, LoanError> {
        for coming in &self.coming {
            let line = &coming.planned.instalment;
            let amount = line.total()?.plus(Money::sum(coming.extra)?)?;
            if amount.is_positive() {
                return Ok(Some((line.due, amount)));
            }
        }
        Ok(None)
    }

    /// What was moved to instalments to come, on top of what their lines show.
    ///
    /// # Errors
    /// [`LoanError::Overflow`].
    pub fn extra_to_come(&self) -> Result<Money, LoanError> {
        Money::sum(self.extras()?)
    }

    /// The largest payment to come.
    ///
    /// # Errors
    /// [`LoanError::Overflow`].
    pub fn largest_payment(&self) -> Result<Money, LoanError> {
        let mut largest = Money::ZERO;
        for coming in &self.coming {
            let extra = Money::sum(coming.extra)?;
            largest = largest.max(coming.planned.instalment.total()?.plus(extra)?);
        }
        Ok(largest)
    }

    /// The equations that hold at every moment; a fold that breaks one is refused, so that nothing
    /// of it is ever posted.
    pub(super) fn check(&self) -> Result<(), LoanError> {
        let require =
            |holds: bool, equation| holds.then_some(()).ok_or(LoanError::Conservation(equation));
        let books: Books = self.books()?;
        let outstanding = self.outstanding()?;
        for component in Component::ALL {
            let balance = books.balance(Account::Receivable(component))?;
            require(balance == outstanding.of(component), "receivable = outstanding")?;
            require(!balance.is_negative(), "no negative component")?;
        }
        let mut comes = Money::ZERO;
        for coming in &self.coming {
            let line = &coming.planned.instalment;
            comes = comes.plus(line.principal)?.minus(line.capitalised)?;
        }
        require(comes == self.unbilled, "the plan repays the principal")?;
        let allocated = Money::sum(self.allocations.iter().map(|part| part.amount))?;
        let kept = allocated.plus(self.held()?)?.plus(self.refunded)?;
        require(kept == self.received, "allocations sum to the payments")?;
        let negative = |line: &Line| {
            line.slots.iter().any(|slot| slot.open().map_or(true, Money::is_negative))
        };
        require(!self.lines.iter().any(negative), "no negative slot")
    }
}
