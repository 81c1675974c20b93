use std::collections::BTreeSet;

use jiff::civil::Date;
use uuid::Uuid;

use super::allocate::{Allocation, Credit};
use super::event::{Amounts, Body, Event, RepaymentMode};
use super::line::{Line, LineKind, Slot};
use super::restructure::Pause;
use super::view::Forbearance;
use crate::calendar::{add_days, days_between};
use crate::schedule::{PlanInput, Planned, periods, plan, residual};
use crate::terms::{Component, Contract};
use crate::{Fraction, LoanError, Money, Rate};

/// An instalment that is not due yet, and what was moved to it.
#[derive(Clone, Debug)]
pub(super) struct Coming {
    pub(super) planned: Planned,
    /// By [`Component::index`]; principal is always zero.
    pub(super) extra: [Money; 4],
}

/// A loan as it stands on a day: the fold over its events up to that day.
#[derive(Clone, Debug)]
pub struct Loan {
    pub(super) contract: Contract,
    /// The day it stands on.
    pub(super) clock: Date,
    pub(super) disbursed: Money,
    /// What has fallen due.
    pub(super) lines: Vec<Line>,
    /// Lines before this one are settled.
    pub(super) first_open: usize,
    /// What has not.
    pub(super) coming: Vec<Coming>,
    /// Principal of `coming`.
    pub(super) unbilled: Money,
    /// Interest of past periods that a pause keeps from being due.
    pub(super) deferred: Money,
    /// Interest of past periods.
    pub(super) accrued_past: Money,
    /// Interest that became principal by the schedule.
    pub(super) capitalised_interest: Money,
    /// Everything that became principal.
    pub(super) capitalised: Money,
    pub(super) credits: Vec<Credit>,
    pub(super) received: Money,
    pub(super) refunded: Money,
    pub(super) allocations: Vec<Allocation>,
    pub(super) rate: Option<Rate>,
    pub(super) pause: Pause,
    pub(super) forbearance: Option<Forbearance>,
    pub(super) charged_off_on: Option<Date>,
    pub(super) worst_days_past_due: i64,
}

/// Folds `events` up to and including `as_of`. Their order in the slice does not matter: they count
/// in the order of their effective days, and of recording within a day. A reversed event does not
/// count at all.
///
/// # Errors
/// [`LoanError::NotDisbursed`] without a disbursement, [`LoanError::Overflow`] past 128 bits.
pub fn fold(contract: &Contract, events: &[Event], as_of: Date) -> Result<Loan, LoanError> {
    let reversed: BTreeSet<Uuid> = events.iter().filter_map(reversed_event).collect();
    let mut counting: Vec<&Event> = events
        .iter()
        .filter(|event| event.effective <= as_of && !reversed.contains(&event.id))
        .filter(|event| reversed_event(event).is_none())
        .collect();
    counting.sort_by_key(|event| (event.effective, event.seq));
    let Some((first, rest)) = counting.split_first() else { return Err(LoanError::NotDisbursed) };
    if first.body != Body::Disbursed || first.effective != contract.start {
        return Err(LoanError::NotDisbursed);
    }
    let mut loan = Loan::disbursed(contract)?;
    for event in rest {
        loan.advance(event.effective)?;
        loan.apply(event)?;
    }
    loan.advance(as_of)?;
    loan.check()?;
    Ok(loan)
}

pub(super) const fn reversed_event(event: &Event) -> Option<Uuid> {
    match &event.body {
        Body::Reversed { event, .. } => Some(*event),
        _ => None,
    }
}

impl Loan {
    fn disbursed(contract: &Contract) -> Result<Self, LoanError> {
        contract.check()?;
        let mut loan = Self {
            contract: contract.clone(),
            clock: contract.start,
            disbursed: contract.principal,
            lines: Vec::new(),
            first_open: 0,
            coming: Vec::new(),
            unbilled: contract.principal,
            deferred: Money::ZERO,
            accrued_past: Money::ZERO,
            capitalised_interest: Money::ZERO,
            capitalised: Money::ZERO,
            credits: Vec::new(),
            received: Money::ZERO,
            refunded: Money::ZERO,
            allocations: Vec::new(),
            rate: None,
            pause: Pause::starting(1, contract.terms.grace, 0),
            forbearance: None,
            charged_off_on: None,
            worst_days_past_due: 0,
        };
        let terms = &contract.terms;
        let all = periods(contract, 1, terms.instalments)?;
        let planned = plan(&PlanInput {
            terms,
            periods: &all,
            rate_at: &|number| terms.rate_at(number),
            principal: contract.principal,
            grace: terms.grace,
            fee_free: 0,
            carry: Fraction::ZERO,
            accrue_from: contract.start,
            deferred: Money::ZERO,
            level: None,
            residual: residual(contract)?,
        })?;
        loan.set_coming(planned, [Money::ZERO; 4]);
        let upfront = terms.fees.upfront.on(contract.principal, terms.rounding)?;
        if upfront.is_positive() {
            let mut line = loan.line(LineKind::Upfront, 0, contract.start)?;
            let paid = Slot { owed: upfront, paid: upfront, ..Slot::default() };
            *line.slot_mut(Component::Fee) = paid;
            line.settled_on = Some(contract.start);
            loan.lines.push(line);
        }
        Ok(loan)
    }

    pub(super) fn set_coming(&mut self, planned: Vec<Planned>, extra: [Money; 4]) {
        self.coming = planned
            .into_iter()
            .map(|planned| Coming { planned, extra: [Money::ZERO; 4] })
            .collect();
        if let Some(last) = self.coming.last_mut() {
            last.extra = extra;
        }
    }

    pub(super) fn line(&self, kind: LineKind, number: u32, due: Date) -> Result<Line, LoanError> {
        let late_after = i64::from(self.contract.terms.grace_days()).saturating_add(1);
        Ok(Line {
            kind,
            number,
            due,
            late_on: add_days(due, late_after)?,
            late: false,
            settled_on: None,
            slots: [Slot::default(); 4],
            penalty: Fraction::ZERO,
        })
    }

    fn apply(&mut self, event: &Event) -> Result<(), LoanError> {
        match &event.body {
            Body::Disbursed => Err(LoanError::AlreadyDisbursed),
            Body::Repaid { amount, mode } => self.repaid(event.id, *amount, *mode),
            Body::Refunded { amount, .. } => self.refund(*amount),
            Body::FeeCharged { amount, .. } => self.fee_charged(*amount),
            Body::Waived { amounts, .. } => self.forgive_due(amounts).map(drop),
            Body::Restructured { change, .. } => self.restructure(change),
            Body::ChargedOff => self.charge_off(),
            Body::Reversed { .. } => Ok(()),
        }
    }

    fn repaid(&mut self, event: Uuid, amount: Money, mode: RepaymentMode) -> Result<(), LoanError> {
        self.received = self.received.plus(amount)?;
        self.credits.push(Credit { event, left: amount });
        self.apply_credits()?;
        if self.charged_off_on.is_some() {
            return Ok(());
        }
        match mode {
            RepaymentMode::Hold => Ok(()),
            RepaymentMode::Settle => self.settle(),
            RepaymentMode::ShorterTerm => self.prepay(true),
            RepaymentMode::SmallerInstalments => self.prepay(false),
        }
    }

    /// Takes held money out again, the newest first.
    fn refund(&mut self, amount: Money) -> Result<(), LoanError> {
        let mut left = amount;
        while left.is_positive() {
            let credit = self.credits.last_mut().ok_or(LoanError::RefundsTooMuch)?;
            let part = credit.left.min(left);
            credit.left = credit.left.minus(part)?;
            left = left.minus(part)?;
            if credit.left.is_zero() {
                self.credits.pop();
            }
        }
        self.refunded = self.refunded.plus(amount)?;
        Ok(())
    }

    fn fee_charged(&mut self, amount: Money) -> Result<(), LoanError> {
        let mut line = self.line(LineKind::Fee, self.current_number(), self.clock)?;
        line.slot_mut(Component::Fee).owed = amount;
        self.lines.push(line);
        self.apply_credits()
    }

    /// Settles the rest today when the held money suffices.
    pub(super) fn settle(&mut self) -> Result<(), LoanError> {
        let rest = self.rest_amounts(true)?.total()?;
        if rest.is_zero() || self.held()? < rest {
            return Ok(());
        }
        self.bill_rest(true)?;
        self.apply_credits()
    }

    /// Bills the whole rest today as one line: principal, interest to date, what was moved or
    /// deferred, and the prepayment fee when `with_fee`.
    pub(super) fn bill_rest(&mut self, with_fee: bool) -> Result<(), LoanError> {
        let amounts = self.rest_amounts(with_fee)?;
        let mut line = self.line(LineKind::Final, self.current_number(), self.clock)?;
        for component in Component::ALL {
            line.slot_mut(component).owed = amounts.of(component);
        }
        self.accrued_past = self.accrued_past.plus(self.accruing()?)?;
        self.unbilled = Money::ZERO;
        self.deferred = Money::ZERO;
        self.coming.clear();
        self.lines.push(line);
        Ok(())
    }

    /// What [`Loan::bill_rest`] would bill today.
    pub(super) fn rest_amounts(&self, with_fee: bool) -> Result<Amounts, LoanError> {
        let [fee, penalty, interest, _] = self.extras()?;
        let terms = &self.contract.terms;
        let charge = with_fee && self.unbilled.is_positive();
        let early = match charge {
            true => terms.fees.prepayment.on(self.unbilled, terms.rounding)?,
            false => Money::ZERO,
        };
        Ok(Amounts {
            principal: self.unbilled,
            interest: Money::sum([interest, self.deferred, self.accruing()?])?,
            fee: fee.plus(early)?,
            penalty,
        })
    }

    fn charge_off(&mut self) -> Result<(), LoanError> {
        if self.charged_off_on.is_some() {
            return Ok(());
        }
        self.bill_rest(false)?;
        for line in &mut self.lines {
            for slot in &mut line.slots {
                slot.written_off = slot.open()?;
            }
        }
        self.first_open = 0;
        self.charged_off_on = Some(self.clock);
        self.apply_credits()
    }

    /// Goes forward to `to`: accrues penalties, bills what falls due, pays it from held money,
    /// charges late fees.
    fn advance(&mut self, to: Date) -> Result<(), LoanError> {
        while let Some(next) = self.next_boundary().filter(|next| *next <= to) {
            self.run_to(next)?;
            self.bill_due()?;
            self.charge_late()?;
        }
        self.run_to(to)
    }

    /// The next day on which something falls due or becomes late.
    fn next_boundary(&self) -> Option<Date> {
        let due = self.coming.first().map(|coming| coming.planned.period.due);
        let open = self.lines.get(self.first_open..).unwrap_or_default().iter();
        let waiting = open.filter(|line| !line.late && line.late_on > self.clock);
        let late = waiting.map(|line| line.late_on).min();
        match (due, late.filter(|_| self.charged_off_on.is_none())) {
            (Some(due), Some(late)) => Some(due.min(late)),
            (due, late) => due.or(late),
        }
    }

    fn run_to(&mut self, to: Date) -> Result<(), LoanError> {
        let from = self.clock;
        self.clock = to.max(from);
        if self.charged_off_on.is_some() || to <= from {
            return Ok(());
        }
        let terms = &self.contract.terms;
        let days = i128::from(days_between(from, to));
        for line in self.lines.iter_mut().skip(self.first_open) {
            let open = line.open()?;
            if !open.is_positive() {
                continue;
            }
            self.worst_days_past_due = self.worst_days_past_due.max(days_between(line.due, to));
            let Some(penalty) = terms.penalty else { continue };
            let principal = line.slot(Component::Principal).open()?;
            let base = match penalty.on_interest {
                true => principal.plus(line.slot(Component::Interest).open()?)?,
                false => principal,
            };
            let interest = penalty.rate.interest(base, Fraction::new(days, 365)?)?;
            line.penalty = line.penalty.plus(interest)?;
            line.bill_penalty(terms.rounding)?;
        }
        Ok(())
    }

    fn bill_due(&mut self) -> Result<(), LoanError> {
        let today = self.clock;
        let mut billed = false;
        while self.coming.first().is_some_and(|coming| coming.planned.period.due <= today) {
            let Coming { planned, extra } = self.coming.remove(0);
            let instalment = planned.instalment;
            let mut line =
                self.line(LineKind::Instalment, instalment.number, planned.period.due)?;
            let [fee, penalty, interest, _] = extra;
            line.slot_mut(Component::Principal).owed = instalment.principal;
            line.slot_mut(Component::Interest).owed = instalment.interest.plus(interest)?;
            line.slot_mut(Component::Fee).owed = instalment.fee.plus(fee)?;
            line.slot_mut(Component::Penalty).owed = penalty;
            line.penalty = Fraction::new(penalty.minor(), 1)?;
            line.note_settled(today)?;
            self.lines.push(line);
            self.accrued_past = self.accrued_past.plus(instalment.accrued)?;
            let due = instalment.interest.plus(instalment.capitalised)?;
            self.deferred = self.deferred.plus(instalment.accrued)?.minus(due)?;
            self.capitalised_interest = self.capitalised_interest.plus(instalment.capitalised)?;
            self.capitalised = self.capitalised.plus(instalment.capitalised)?;
            self.unbilled =
                self.unbilled.plus(instalment.capitalised)?.minus(instalment.principal)?;
            billed = true;
        }
        if billed {
            self.apply_credits()?;
        }
        self.skip_settled()
    }

    fn skip_settled(&mut self) -> Result<(), LoanError> {
        while let Some(line) = self.lines.get(self.first_open) {
            if self.charged_off_on.is_some() || line.open()?.is_positive() {
                break;
            }
            self.first_open = self.first_open.saturating_add(1);
        }
        Ok(())
    }

    fn charge_late(&mut self) -> Result<(), LoanError> {
        if self.charged_off_on.is_some() {
            return Ok(());
        }
        let (terms, today) = (&self.contract.terms, self.clock);
        for line in self.lines.iter_mut().skip(self.first_open) {
            let open = line.open()?;
            if line.late || line.late_on > today || !open.is_positive() {
                continue;
            }
            line.late = true;
            if line.kind == LineKind::Instalment {
                let fee = terms.fees.late.on(open, terms.rounding)?;
                let slot = line.slot_mut(Component::Fee);
                slot.owed = slot.owed.plus(fee)?;
            }
            line.bill_penalty(terms.rounding)?;
        }
        Ok(())
    }

    pub(super) fn current_number(&self) -> u32 {
        let coming = self.coming.first().map(|coming| coming.planned.period.number);
        coming.unwrap_or_else(|| self.lines.last().map_or(0, |line| line.number))
    }

    /// What was moved to instalments that are not due yet.
    pub(super) fn extras(&self) -> Result<[Money; 4], LoanError> {
        let mut sum = [Money::ZERO; 4];
        for coming in &self.coming {
            for (total, extra) in sum.iter_mut().zip(coming.extra) {
                *total = total.plus(extra)?;
            }
        }
        Ok(sum)
    }

    /// Interest that has accrued in periods that are not billed yet, rounded.
    pub(super) fn accruing(&self) -> Result<Money, LoanError> {
        let terms = &self.contract.terms;
        let mut sum = Money::ZERO;
        for coming in &self.coming {
            let planned = &coming.planned;
            if planned.period.start > self.clock {
                break;
            }
            let exact = planned.accrued_exact(terms, self.clock)?;
            sum = sum.plus(exact.round(terms.rounding)?)?;
        }
        Ok(sum)
    }

    /// Money received and not allocated.
    ///
    /// # Errors
    /// [`LoanError::Overflow`].
    pub fn held(&self) -> Result<Money, LoanError> {
        Money::sum(self.credits.iter().map(|credit| credit.left))
    }
}

/// Refuses an event that may not be added to `events` now: a payment or change before the
/// disbursement, an unknown reversal, a change of a closed loan, more forgiveness than is owed.
///
/// # Errors
/// The variant that names the reason.
pub fn check_append(contract: &Contract, events: &[Event], new: &Event) -> Result<(), LoanError> {
    let disbursed = events.iter().any(|event| event.body == Body::Disbursed);
    if new.body == Body::Disbursed {
        let start = new.effective == contract.start;
        return match (disbursed, start) {
            (true, _) => Err(LoanError::AlreadyDisbursed),
            (false, false) => Err(LoanError::Date("the disbursement is on the contract's start")),
            (false, true) => contract.check(),
        };
    }
    if !disbursed {
        return Err(LoanError::NotDisbursed);
    }
    if new.effective < contract.start {
        return Err(LoanError::BeforeDisbursement);
    }
    match &new.body {
        Body::Disbursed => Err(LoanError::AlreadyDisbursed),
        Body::Repaid { amount, .. } | Body::FeeCharged { amount, .. } => {
            amount.checked_input().map(drop)
        }
        Body::Refunded { amount, .. } => {
            let held = fold(contract, events, new.effective)?.held()?;
            let amount = amount.checked_input()?;
            (amount <= held).then_some(()).ok_or(LoanError::RefundsTooMuch)
        }
        Body::Reversed { event, .. } => check_reversal(events, *event),
        Body::ChargedOff => open_loan(contract, events, new.effective).map(drop),
        Body::Waived { amounts, .. } => {
            let mut loan = open_loan(contract, events, new.effective)?;
            let forgiven = loan.forgive_due(amounts)?;
            (forgiven == *amounts).then_some(()).ok_or(LoanError::ForgivesTooMuch)
        }
        Body::Restructured { change, .. } => {
            let loan = open_loan(contract, events, new.effective)?;
            loan.check_restructuring(change)
        }
    }
}

fn open_loan(contract: &Contract, events: &[Event], on: Date) -> Result<Loan, LoanError> {
    let loan = fold(contract, events, on)?;
    if loan.charged_off_on.is_some() || loan.is_settled()? {
        return Err(LoanError::Closed);
    }
    Ok(loan)
}

fn check_reversal(events: &[Event], target: Uuid) -> Result<(), LoanError> {
    let found = events.iter().find(|event| event.id == target).ok_or(LoanError::UnknownEvent)?;
    let counts = |event: &&Event| {
        reversed_event(event).is_none()
            && !events.iter().any(|other| reversed_event(other) == Some(event.id))
    };
    if !counts(&found) {
        let reversal = reversed_event(found).is_some();
        return Err(if reversal { LoanError::NotReversible } else { LoanError::AlreadyReversed });
    }
    let last = events.iter().filter(counts).max_by_key(|event| event.seq);
    match found.body {
        Body::Repaid { .. } | Body::FeeCharged { .. } | Body::Waived { .. } => Ok(()),
        Body::Restructured { .. } | Body::ChargedOff if last == Some(found) => Ok(()),
        _ => Err(LoanError::NotReversible),
    }
}
