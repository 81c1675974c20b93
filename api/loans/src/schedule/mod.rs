//! The schedule: a pure function of the contract.

mod level;
mod periods;
mod plan;

pub(crate) use periods::{Period, periods};
pub(crate) use plan::{PlanInput, Planned, plan};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::terms::{Contract, Product};
use crate::{Fraction, LoanError, Money, Rate};

/// One instalment of a schedule. Amounts are minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instalment {
    /// Its number, from 1.
    pub number: u32,
    /// The first day on which interest runs.
    pub start: Date,
    /// The day to which interest runs: the nominal due date.
    pub end: Date,
    /// The day it is due, moved by the business-day rule.
    pub due: Date,
    /// The principal on which interest runs.
    pub opening: Money,
    /// The annual rate.
    pub rate: Rate,
    /// The interest of this period.
    pub accrued: Money,
    /// The interest due: `accrued`, and what a pause deferred; zero within a pause.
    pub interest: Money,
    /// Interest that becomes principal at the end of the period.
    pub capitalised: Money,
    /// The principal due.
    pub principal: Money,
    /// The fee due.
    pub fee: Money,
    /// The principal left afterwards: `opening + capitalised - principal`.
    pub closing: Money,
}

impl Instalment {
    /// What the borrower pays: principal, interest and fee.
    ///
    /// # Errors
    /// [`LoanError::Overflow`].
    pub fn total(&self) -> Result<Money, LoanError> {
        Money::sum([self.principal, self.interest, self.fee])
    }
}

/// The schedule of a contract, with its totals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The amount lent.
    pub principal: Money,
    /// The day of disbursement.
    pub start: Date,
    /// The fee withheld from the disbursement.
    pub upfront_fee: Money,
    /// The instalments in the order of their due dates.
    pub instalments: Vec<Instalment>,
    /// All interest that falls due, capitalised interest included.
    pub total_interest: Money,
    /// All fees, the one up front included.
    pub total_fees: Money,
    /// Interest and fees: what the loan costs when every instalment is paid when due.
    pub total_cost: Money,
    /// The sum of all instalments.
    pub total_payable: Money,
}

impl Schedule {
    /// The schedule of a contract.
    ///
    /// # Errors
    /// Those of [`Contract::check`]; [`LoanError::Overflow`] past 128 bits.
    pub fn build(contract: &Contract) -> Result<Self, LoanError> {
        contract.check()?;
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
        let upfront_fee = terms.fees.upfront.on(contract.principal, terms.rounding)?;
        let instalments = planned.into_iter().map(|planned| planned.instalment).collect();
        Self::total(contract, upfront_fee, instalments)
    }

    fn total(
        contract: &Contract,
        upfront_fee: Money,
        instalments: Vec<Instalment>,
    ) -> Result<Self, LoanError> {
        let sum = |part: fn(&Instalment) -> Money| Money::sum(instalments.iter().map(part));
        let total_interest = sum(|line| line.interest)?.plus(sum(|line| line.capitalised)?)?;
        let instalment_fees = sum(|line| line.fee)?;
        let total_fees = instalment_fees.plus(upfront_fee)?;
        let paid = Money::sum([sum(|line| line.principal)?, sum(|line| line.interest)?])?;
        Ok(Self {
            principal: contract.principal,
            start: contract.start,
            upfront_fee,
            total_cost: total_interest.plus(total_fees)?,
            total_payable: paid.plus(instalment_fees)?,
            total_interest,
            total_fees,
            instalments,
        })
    }
}

/// The principal that a balloon leaves for its last instalment.
pub(crate) fn residual(contract: &Contract) -> Result<Money, LoanError> {
    match contract.terms.product {
        Product::Balloon { residual } => {
            residual.of(contract.principal)?.round(contract.terms.rounding)
        }
        _ => Ok(Money::ZERO),
    }
}
