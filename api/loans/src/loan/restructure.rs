use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::event::{Amounts, Arrears, Body, Event, FeeTreatment, Restructuring};
use super::fold::{Coming, Loan, fold};
use super::line::LineKind;
use super::view::Forbearance;
use crate::calendar::add_days;
use crate::schedule::{Period, PlanInput, periods, plan, residual};
use crate::terms::{Component, Grace, INSTALMENTS_MAX, InterestTreatment, Product};
use crate::{Fraction, LoanError, Money};

/// The most instalments that one change may skip or add.
const CHANGE_MAX: u32 = 120;

/// How the rest is planned anew.
struct Replan {
    grace: Grace,
    fee_free: u32,
    extend: u32,
    level: Option<Money>,
    extra: [Money; 4],
}

impl Loan {
    /// Refuses a change that the engine cannot apply to this loan as it stands.
    pub(super) fn check_restructuring(&self, change: &Restructuring) -> Result<(), LoanError> {
        let long = change.pause > CHANGE_MAX || change.extend > CHANGE_MAX;
        let last = self.coming.last().map_or(0, |coming| coming.planned.period.number);
        let total = last.saturating_add(change.pause).saturating_add(change.extend);
        if long || total > INSTALMENTS_MAX {
            return Err(LoanError::TermOutOfRange);
        }
        let bullet = self.contract.terms.product == Product::Bullet;
        if bullet && change.pause > 0 && change.interest != InterestTreatment::Accrue {
            return Err(LoanError::Terms("the interest of a paused bullet accrues"));
        }
        let mut trial = self.clone();
        if trial.forgive(&change.forgive)? != change.forgive {
            return Err(LoanError::ForgivesTooMuch);
        }
        trial.restructure_rest(change)
    }

    pub(super) fn restructure(&mut self, change: &Restructuring) -> Result<(), LoanError> {
        if self.charged_off_on.is_some() || self.is_settled()? {
            return Ok(());
        }
        let stage = self.stage()?;
        self.forgive(&change.forgive)?;
        self.restructure_rest(change)?;
        self.forbearance = Some(Forbearance {
            since: self.clock,
            stage,
            probation_until: add_days(self.clock, change.probation_days.into())?,
        });
        self.apply_credits()
    }

    fn restructure_rest(&mut self, change: &Restructuring) -> Result<(), LoanError> {
        if change.rate.is_some() {
            self.rate = change.rate;
        }
        let moved = self.take_arrears(change.arrears)?;
        let bullet = self.contract.terms.product == Product::Bullet;
        let interest = if bullet { 0 } else { change.pause };
        let fee_free = if change.fees == FeeTreatment::Waive { change.pause } else { 0 };
        self.replan(&Replan {
            grace: Grace { principal: change.pause, interest, treatment: change.interest },
            fee_free,
            extend: change.pause.saturating_add(change.extend),
            level: None,
            extra: moved,
        })
    }

    /// Takes the arrears out of the lines: into unbilled principal, and the rest as amounts to add
    /// to the last instalment.
    fn take_arrears(&mut self, arrears: Arrears) -> Result<[Money; 4], LoanError> {
        let mut moved = [Money::ZERO; 4];
        if arrears == Arrears::Keep {
            return Ok(moved);
        }
        let today = self.clock;
        for line in &mut self.lines {
            for component in Component::ALL {
                let slot = line.slot_mut(component);
                let open = slot.open()?;
                if component == Component::Principal {
                    slot.moved = slot.moved.plus(open)?;
                    self.unbilled = self.unbilled.plus(open)?;
                } else if arrears == Arrears::Capitalise {
                    slot.capitalised = slot.capitalised.plus(open)?;
                    self.capitalised = self.capitalised.plus(open)?;
                    self.unbilled = self.unbilled.plus(open)?;
                } else if let Some(total) = moved.get_mut(component.index()) {
                    slot.moved = slot.moved.plus(open)?;
                    *total = total.plus(open)?;
                }
            }
            line.note_settled(today)?;
        }
        Ok(moved)
    }

    /// Repays principal early with all that is held, after the fee for that.
    pub(super) fn prepay(&mut self, shorter: bool) -> Result<(), LoanError> {
        let terms = &self.contract.terms;
        let held = self.held()?;
        if !held.is_positive() || self.unbilled.is_zero() {
            return Ok(());
        }
        let fee = terms.fees.prepayment.on(held.min(self.unbilled), terms.rounding)?.min(held);
        let principal = held.minus(fee)?.min(self.unbilled);
        if principal == self.unbilled {
            return self.settle();
        }
        if !principal.is_positive() {
            return Ok(());
        }
        let level = self.coming.iter().find_map(|coming| coming.planned.level);
        let mut line = self.line(LineKind::Early, self.current_number(), self.clock)?;
        line.slot_mut(Component::Fee).owed = fee;
        line.slot_mut(Component::Principal).owed = principal;
        self.lines.push(line);
        self.unbilled = self.unbilled.minus(principal)?;
        self.apply_credits()?;
        let (grace, fee_free) = self.remaining_pause();
        let level = level.filter(|_| shorter);
        self.replan(&Replan { grace, fee_free, extend: 0, level, extra: [Money::ZERO; 4] })
    }

    /// What is left of a pause, in instalments that are still to be planned.
    fn remaining_pause(&self) -> (Grace, u32) {
        let numbers = self.open_periods().map(|coming| coming.planned.period.number);
        let first = numbers.min().unwrap_or(u32::MAX);
        let left = |before: u32| before.saturating_sub(first);
        let pause = &self.pause;
        let grace = Grace {
            principal: left(pause.principal_before),
            interest: left(pause.interest_before),
            treatment: pause.treatment,
        };
        (grace, left(pause.fee_free_before))
    }

    /// Instalments whose period has not ended.
    fn open_periods(&self) -> impl Iterator<Item = &Coming> {
        self.coming.iter().filter(|coming| coming.planned.period.end > self.clock)
    }

    /// Plans the rest anew from today. Periods that have ended and wait for their due date stay;
    /// interest that has accrued in the running one is carried into its new plan, exactly.
    fn replan(&mut self, how: &Replan) -> Result<(), LoanError> {
        let today = self.clock;
        let mut extra = self.extras()?;
        for (total, more) in extra.iter_mut().zip(how.extra) {
            *total = total.plus(more)?;
        }
        let all = std::mem::take(&mut self.coming);
        let (mut kept, rest): (Vec<Coming>, Vec<Coming>) =
            all.into_iter().partition(|coming| coming.planned.period.end <= today);
        let (mut principal, mut deferred) = (self.unbilled, self.deferred);
        for coming in &mut kept {
            let line = &coming.planned.instalment;
            principal = principal.plus(line.capitalised)?.minus(line.principal)?;
            deferred =
                deferred.plus(line.accrued)?.minus(line.interest)?.minus(line.capitalised)?;
            coming.extra = [Money::ZERO; 4];
        }
        let (carry, accrue_from) = match rest.first() {
            Some(coming) => (coming.planned.accrued_exact(&self.contract.terms, today)?, today),
            None => (Fraction::ZERO, today),
        };
        let all = self.periods_from(&rest, how.extend)?;
        let first = all.first().map_or(1, |period| period.number);
        self.pause = Pause::starting(first, how.grace, how.fee_free);
        let terms = &self.contract.terms;
        let planned = plan(&PlanInput {
            terms,
            periods: &all,
            rate_at: &|number| self.rate.unwrap_or_else(|| terms.rate_at(number)),
            principal,
            grace: how.grace,
            fee_free: how.fee_free,
            carry,
            accrue_from,
            deferred,
            level: how.level,
            residual: residual(&self.contract)?,
        })?;
        self.set_coming(planned, extra);
        self.coming.splice(0..0, kept);
        Ok(())
    }

    /// The periods of `rest` and `extend` more of the contract's calendar; at least one, and none
    /// that has ended or is due already.
    fn periods_from(&self, rest: &[Coming], extend: u32) -> Result<Vec<Period>, LoanError> {
        let mut all: Vec<Period> = rest.iter().map(|coming| coming.planned.period).collect();
        let billed = self.lines.iter().map(|line| line.number).max().unwrap_or(0);
        let mut next = all.last().map_or(billed, |period| period.number).saturating_add(1);
        let missing = if all.is_empty() { extend.max(1) } else { extend };
        let mut left = missing;
        while left > 0 {
            for period in periods(&self.contract, next, 1)? {
                if period.end > self.clock && period.due > self.clock {
                    all.push(period);
                    left = left.saturating_sub(1);
                }
            }
            next = next.saturating_add(1);
        }
        Ok(all)
    }

    /// Forgives amounts of what is due, oldest first, and then principal that is not due and
    /// interest that a pause has deferred. Returns what was forgiven: at most what there is.
    fn forgive(&mut self, amounts: &Amounts) -> Result<Amounts, LoanError> {
        let mut done = self.forgive_due(amounts)?;
        let principal = amounts.principal.minus(done.principal)?.min(self.unbilled);
        let interest = amounts.interest.minus(done.interest)?.min(self.deferred);
        if principal.is_positive() || interest.is_positive() {
            let mut line = self.line(LineKind::Early, self.current_number(), self.clock)?;
            for (component, amount) in
                [(Component::Principal, principal), (Component::Interest, interest)]
            {
                let slot = line.slot_mut(component);
                (slot.owed, slot.forgiven) = (amount, amount);
            }
            line.note_settled(self.clock)?;
            self.lines.push(line);
            self.unbilled = self.unbilled.minus(principal)?;
            self.deferred = self.deferred.minus(interest)?;
            done.principal = done.principal.plus(principal)?;
            done.interest = done.interest.plus(interest)?;
        }
        Ok(done)
    }

    /// Forgives amounts of what is due, oldest first.
    pub(super) fn forgive_due(&mut self, amounts: &Amounts) -> Result<Amounts, LoanError> {
        let mut done = [Money::ZERO; 4];
        let today = self.clock;
        for (component, done) in Component::ALL.into_iter().zip(&mut done) {
            let mut left = amounts.of(component);
            if left.is_negative() {
                return Err(LoanError::AmountOutOfRange);
            }
            for line in self.lines.iter_mut().skip(self.first_open) {
                let slot = line.slot_mut(component);
                let part = slot.open()?.min(left);
                slot.forgiven = slot.forgiven.plus(part)?;
                left = left.minus(part)?;
                *done = done.plus(part)?;
                line.note_settled(today)?;
            }
        }
        Ok(Amounts::from_array(done))
    }
}

/// The running pause, by the numbers of the first instalments after it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pause {
    principal_before: u32,
    interest_before: u32,
    fee_free_before: u32,
    treatment: InterestTreatment,
}

impl Pause {
    pub(super) const fn starting(first: u32, grace: Grace, fee_free: u32) -> Self {
        Self {
            principal_before: first.saturating_add(grace.principal),
            interest_before: first.saturating_add(grace.interest),
            fee_free_before: first.saturating_add(fee_free),
            treatment: grace.treatment,
        }
    }
}

/// A loan in figures on a day, for the two sides of a preview. Minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Principal owed, due or not.
    pub principal: Money,
    /// Interest accrued and owed, due or not.
    pub interest_accrued: Money,
    /// Fees charged and owed.
    pub fees: Money,
    /// Interest on what is overdue, owed.
    pub penalty: Money,
    /// What became principal since the disbursement.
    pub capitalised: Money,
    /// What was forgiven since the disbursement, principal and the rest.
    pub forgiven_principal: Money,
    /// What was forgiven of interest, fees and penalty.
    pub forgiven_other: Money,
    /// Interest that the schedule still adds.
    pub interest_to_come: Money,
    /// Fees that the schedule still adds.
    pub fees_to_come: Money,
    /// All that is still to be paid when every instalment is paid when due.
    pub to_pay: Money,
    /// Interest, fees and penalty over the whole life: what the loan costs.
    pub total_cost: Money,
    /// Instalments to come.
    pub instalments_left: u32,
    /// The next due date with something to pay, and how much.
    pub next: Option<(Date, Money)>,
    /// The last due date.
    pub last_due: Option<Date>,
    /// Days past due.
    pub days_past_due: i64,
}

/// A change before it is made, by the engine that would make it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// The loan.
    pub loan: Uuid,
    /// The last event that the preview knows of.
    pub head: u64,
    /// The day of the change.
    pub effective: Date,
    /// The change.
    pub change: Restructuring,
    /// The loan as it is.
    pub before: Figures,
    /// The loan as it would be.
    pub after: Figures,
}

impl Preview {
    /// The SHA-256 of the preview as compact JSON with the fields in this order, in hexadecimal:
    /// what the borrower signs.
    ///
    /// # Errors
    /// [`LoanError::Stored`] when it cannot be written as JSON.
    pub fn hash(&self) -> Result<String, LoanError> {
        Ok(hex::encode(Sha256::digest(self.json()?)))
    }

    /// The preview as the compact JSON that is hashed.
    ///
    /// # Errors
    /// [`LoanError::Stored`] when it cannot be written.
    pub fn json(&self) -> Result<String, LoanError> {
        Ok(serde_json::to_string(self)?)
    }

    /// What goes out of a side must go into another: principal grows by what is capitalised and
    /// shrinks by what is forgiven; interest, fees and penalty shrink by both.
    fn check(&self) -> Result<(), LoanError> {
        let (before, after) = (&self.before, &self.after);
        let capitalised = after.capitalised.minus(before.capitalised)?;
        let forgiven = after.forgiven_principal.minus(before.forgiven_principal)?;
        let principal = before.principal.plus(capitalised)?.minus(forgiven)?;
        let other = |side: &Figures| {
            Money::sum([side.interest_accrued, side.fees, side.penalty, side.forgiven_other])
        };
        let rest = other(before)?.minus(capitalised)?;
        if principal != after.principal || rest != other(after)? {
            return Err(LoanError::Conservation("the change does not conserve"));
        }
        Ok(())
    }
}

/// What a change would do on `on`, by the engine that would do it; its conservation is checked.
///
/// # Errors
/// The reasons for which the change itself would be refused.
pub fn preview(
    contract: &super::super::terms::Contract,
    events: &[Event],
    loan: Uuid,
    change: &Restructuring,
    on: Date,
) -> Result<Preview, LoanError> {
    let head = events.iter().map(|event| event.seq).max().unwrap_or(0);
    let body = Body::Restructured { change: *change, preview: String::new() };
    let trial = Event { id: Uuid::nil(), seq: head.saturating_add(1), effective: on, body };
    super::check_append(contract, events, &trial)?;
    let before = fold(contract, events, on)?.figures()?;
    let mut with_change = events.to_vec();
    with_change.push(trial);
    let after = fold(contract, &with_change, on)?.figures()?;
    let preview = Preview { loan, head, effective: on, change: *change, before, after };
    preview.check()?;
    Ok(preview)
}
