use jiff::civil::Date;
use serde::Serialize;
use uuid::Uuid;

use super::fold::Loan;
use crate::terms::{Component, WaterfallBy};
use crate::{LoanError, Money};

/// A part of a payment and what it paid. The allocations of a payment and what is still held of it
/// sum to the payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Allocation {
    /// The repayment.
    pub event: Uuid,
    /// The day of the allocation: later than the payment when the money was held.
    pub date: Date,
    /// The number of the instalment.
    pub instalment: u32,
    /// The place of the line among the loan's lines.
    pub line: usize,
    /// What was paid.
    pub component: Component,
    /// Minor units.
    pub amount: Money,
    /// True when the amount had been written off.
    pub recovery: bool,
}

/// Money of a payment that is not allocated yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Credit {
    pub(super) event: Uuid,
    pub(super) left: Money,
}

impl Loan {
    /// Allocates held money to what is open, in the order of the waterfall.
    pub(super) fn apply_credits(&mut self) -> Result<(), LoanError> {
        if self.credits.is_empty() {
            return Ok(());
        }
        for (line, component) in self.targets() {
            if self.credits.is_empty() {
                break;
            }
            self.pay(line, component)?;
        }
        Ok(())
    }

    /// Every line and component, in the order in which money goes to them.
    fn targets(&self) -> Vec<(usize, Component)> {
        let waterfall = self.contract.terms.waterfall;
        let lines = || self.first_open..self.lines.len();
        match waterfall.by {
            WaterfallBy::DueDate => lines()
                .flat_map(|line| waterfall.order.map(|component| (line, component)))
                .collect(),
            WaterfallBy::Component => waterfall
                .order
                .into_iter()
                .flat_map(|component| lines().map(move |line| (line, component)))
                .collect(),
        }
    }

    fn pay(&mut self, index: usize, component: Component) -> Result<(), LoanError> {
        let recovery = self.charged_off_on.is_some();
        let today = self.clock;
        let Some(line) = self.lines.get_mut(index) else { return Ok(()) };
        let number = line.number;
        while let Some(credit) = self.credits.first_mut() {
            let slot = line.slot_mut(component);
            let wanted = if recovery { slot.written_off } else { slot.open()? };
            let amount = wanted.min(credit.left);
            if !amount.is_positive() {
                break;
            }
            slot.paid = slot.paid.plus(amount)?;
            if recovery {
                slot.written_off = slot.written_off.minus(amount)?;
            }
            credit.left = credit.left.minus(amount)?;
            self.allocations.push(Allocation {
                event: credit.event,
                date: today,
                instalment: number,
                line: index,
                component,
                amount,
                recovery,
            });
            if credit.left.is_zero() {
                self.credits.remove(0);
            }
        }
        line.note_settled(today)
    }
}
