use jiff::civil::Date;
use serde::Serialize;

use crate::terms::Component;
use crate::{Fraction, LoanError, Money, Rounding};

/// What became of one component of a due item. Every amount is in minor units and never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Slot {
    /// What fell due.
    pub owed: Money,
    /// What was paid.
    pub paid: Money,
    /// What was forgiven.
    pub forgiven: Money,
    /// What became principal.
    pub capitalised: Money,
    /// What was moved to a later instalment.
    pub moved: Money,
    /// What was written off and has not been recovered.
    pub written_off: Money,
}

impl Slot {
    /// What is still owed.
    ///
    /// # Errors
    /// [`LoanError::Overflow`].
    pub fn open(&self) -> Result<Money, LoanError> {
        let done = [self.paid, self.forgiven, self.capitalised, self.moved, self.written_off];
        self.owed.minus(Money::sum(done)?)
    }
}

/// Why a line exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// The fee withheld at disbursement.
    Upfront,
    /// An instalment of the schedule.
    Instalment,
    /// A fee outside the schedule.
    Fee,
    /// Principal repaid or forgiven before it was due.
    Early,
    /// The whole rest: settlement or write-off.
    Final,
}

/// Something that fell due.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Why it exists.
    pub kind: LineKind,
    /// The instalment's number; for other kinds that of the period it fell in.
    pub number: u32,
    /// The day it was due.
    pub due: Date,
    /// The day from which it counts as late, when something is open by then.
    pub late_on: Date,
    /// True once it has counted as late.
    pub late: bool,
    /// The day on which nothing was left open.
    pub settled_on: Option<Date>,
    /// By [`Component::index`].
    pub slots: [Slot; 4],
    #[serde(skip)]
    pub(crate) penalty: Fraction,
}

impl Line {
    /// The slot of one component.
    #[must_use]
    pub const fn slot(&self, component: Component) -> &Slot {
        let [fee, penalty, interest, principal] = &self.slots;
        match component {
            Component::Fee => fee,
            Component::Penalty => penalty,
            Component::Interest => interest,
            Component::Principal => principal,
        }
    }

    pub(crate) const fn slot_mut(&mut self, component: Component) -> &mut Slot {
        let [fee, penalty, interest, principal] = &mut self.slots;
        match component {
            Component::Fee => fee,
            Component::Penalty => penalty,
            Component::Interest => interest,
            Component::Principal => principal,
        }
    }

    /// What is open over all components.
    ///
    /// # Errors
    /// [`LoanError::Overflow`].
    pub fn open(&self) -> Result<Money, LoanError> {
        let mut sum = Money::ZERO;
        for slot in &self.slots {
            sum = sum.plus(slot.open()?)?;
        }
        Ok(sum)
    }

    /// Notes the day on which nothing was left, or that something is again.
    pub(crate) fn note_settled(&mut self, today: Date) -> Result<(), LoanError> {
        if self.open()?.is_positive() {
            self.settled_on = None;
        } else if self.settled_on.is_none() {
            self.settled_on = Some(today);
        }
        Ok(())
    }

    /// Brings the penalty owed up to what has accrued, once the line is late.
    pub(crate) fn bill_penalty(&mut self, side: Rounding) -> Result<(), LoanError> {
        if self.late {
            let owed = self.penalty.round(side)?;
            self.slot_mut(Component::Penalty).owed = owed;
        }
        Ok(())
    }
}
