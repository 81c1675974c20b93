use jiff::civil::Date;

use super::level::Annuity;
use super::{Instalment, Period};
use crate::terms::{Grace, InterestTreatment, Product, Terms};
use crate::{Fraction, LoanError, Money, Rate};

/// What is to be repaid over which periods: a whole loan, or the rest of one after a prepayment, a
/// pause or a restructuring.
pub(crate) struct PlanInput<'a> {
    pub(crate) terms: &'a Terms,
    pub(crate) periods: &'a [Period],
    pub(crate) rate_at: &'a dyn Fn(u32) -> Rate,
    pub(crate) principal: Money,
    pub(crate) grace: Grace,
    /// The first lines that carry no instalment fee.
    pub(crate) fee_free: u32,
    /// Interest accrued in the first period before `accrue_from`, exactly.
    pub(crate) carry: Fraction,
    pub(crate) accrue_from: Date,
    /// Interest of earlier periods that is not due yet.
    pub(crate) deferred: Money,
    /// Keep this level (instalment of an annuity, principal of the equal-principal product) and
    /// finish earlier.
    pub(crate) level: Option<Money>,
    pub(crate) residual: Money,
}

/// An instalment and how its interest accrues day by day.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) instalment: Instalment,
    pub(crate) period: Period,
    pub(crate) carry: Fraction,
    pub(crate) accrue_from: Date,
    /// The level this line was computed from.
    pub(crate) level: Option<Money>,
}

impl Planned {
    /// Interest from `accrue_from` to `date` and what was carried, exactly.
    pub(crate) fn accrued_exact(&self, terms: &Terms, date: Date) -> Result<Fraction, LoanError> {
        let date = date.max(self.accrue_from);
        let years = self.period.years(terms, self.accrue_from, date)?;
        self.instalment.rate.interest(self.instalment.opening, years)?.plus(self.carry)
    }
}

/// The instalments of a plan. The last takes whatever rounding has left.
pub(crate) fn plan(input: &PlanInput<'_>) -> Result<Vec<Planned>, LoanError> {
    let joined;
    let periods = match (input.terms.product, input.periods) {
        (Product::Bullet, [first, .., last]) => {
            joined = [first.joined_to(last)];
            &joined[..]
        }
        (_, periods) => periods,
    };
    let mut run = Run {
        input,
        balance: input.principal,
        deferred: input.deferred,
        level: input.level,
        level_rate: None,
    };
    let mut lines = Vec::with_capacity(periods.len());
    for index in 0..periods.len() {
        let line = run.line(periods.get(index..).unwrap_or_default(), index)?;
        let done = input.level.is_some() && line.instalment.closing.is_zero();
        lines.push(line);
        if done && run.deferred.is_zero() {
            break;
        }
    }
    Ok(lines)
}

struct Run<'a> {
    input: &'a PlanInput<'a>,
    balance: Money,
    deferred: Money,
    level: Option<Money>,
    level_rate: Option<Rate>,
}

impl Run<'_> {
    /// The line of the first of `rest`, the `index`-th of the plan.
    fn line(&mut self, rest: &[Period], index: usize) -> Result<Planned, LoanError> {
        let [period, ..] = rest else { return Err(LoanError::TermOutOfRange) };
        let (terms, grace) = (self.input.terms, self.input.grace);
        let last = rest.len() == 1;
        let pausing = |count: u32| usize::try_from(count).is_ok_and(|count| index < count);
        let pausing_next =
            usize::try_from(grace.interest).is_ok_and(|n| index.saturating_add(1) < n);
        let paused = pausing(grace.interest) && !last;
        let waived = pausing(grace.interest) && grace.treatment == InterestTreatment::Waive;
        let rate = if waived { Rate::ZERO } else { (self.input.rate_at)(period.number) };
        let (carry, accrue_from) = self.accrual_start(period, index);
        let opening = self.balance;
        let exact = rate.interest(opening, period.years(terms, accrue_from, period.end)?)?;
        let accrued = exact.plus(carry)?.round(terms.rounding)?;

        self.deferred = self.deferred.plus(accrued)?;
        let interest = if paused { Money::ZERO } else { std::mem::take(&mut self.deferred) };
        let pause_ends = paused && !pausing_next;
        let capitalise = pause_ends && grace.treatment == InterestTreatment::Capitalise;
        let capitalised = if capitalise { std::mem::take(&mut self.deferred) } else { Money::ZERO };
        let principal = if last {
            opening
        } else if pausing(grace.principal) {
            Money::ZERO
        } else {
            self.principal(rest, rate, accrued, (carry, accrue_from))?
        };
        self.balance = opening.plus(capitalised)?.minus(principal)?;
        let fee = if pausing(self.input.fee_free) || opening.is_zero() {
            Money::ZERO
        } else {
            terms.fees.instalment.on(opening, terms.rounding)?
        };
        let instalment = Instalment {
            number: period.number,
            start: period.start,
            end: period.end,
            due: period.due,
            opening,
            rate,
            accrued,
            interest,
            capitalised,
            principal,
            fee,
            closing: self.balance,
        };
        Ok(Planned { instalment, period: *period, carry, accrue_from, level: self.level })
    }

    fn accrual_start(&self, period: &Period, index: usize) -> (Fraction, Date) {
        match index {
            0 => (self.input.carry, self.input.accrue_from.max(period.start)),
            _ => (Fraction::ZERO, period.start),
        }
    }

    /// The principal due with a line that is neither paused nor the last.
    fn principal(
        &mut self,
        rest: &[Period],
        rate: Rate,
        accrued: Money,
        (carry, accrue_from): (Fraction, Date),
    ) -> Result<Money, LoanError> {
        let terms = self.input.terms;
        let balance = self.balance;
        let wanted = match terms.product {
            Product::InterestOnly | Product::Bullet => Money::ZERO,
            Product::EqualPrincipal => match self.level {
                Some(level) => level,
                None => share(balance, rest.len())?.round(terms.rounding)?,
            },
            Product::Annuity | Product::Balloon { .. } => {
                let residual = self.input.residual.min(balance);
                let kept = self.level.filter(|_| self.level_rate.is_none_or(|at| at == rate));
                let level = match kept {
                    Some(level) => level,
                    None => {
                        let annuity = Annuity {
                            terms,
                            periods: rest,
                            rate,
                            balance,
                            carry,
                            accrue_from,
                            residual,
                        };
                        annuity.instalment()?
                    }
                };
                self.level = Some(level);
                level.minus(accrued)?
            }
        };
        self.level_rate = Some(rate);
        if terms.product == Product::EqualPrincipal {
            self.level = Some(wanted);
        }
        Ok(wanted.max(Money::ZERO).min(balance))
    }
}

fn share(amount: Money, parts: usize) -> Result<Fraction, LoanError> {
    Fraction::new(amount.minor(), i128::try_from(parts).map_err(|_| LoanError::Overflow)?)
}
