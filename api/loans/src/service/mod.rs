//! Loans in the database, posted through the ledger in the caller's transaction.

mod accounts;
mod append;
mod change;
mod contacts;
mod date;
mod day;
mod disburse;
mod dispute;
mod error;
mod product;
mod remind;
mod repay;
mod view;

pub(crate) use accounts::Accounts;
pub use append::Applied;
pub use change::{Acceptance, Consent, acceptance_message};
pub use contacts::Contact;
pub use date::DateSource;
pub use day::EndOfDay;
pub use disburse::Disburse;
pub use dispute::{Dispute, DisputeOutcome, DisputeState, Resolution};
pub use error::ServiceError;
pub use product::{NewProduct, Product};
pub use remind::{Confirmation, DueLoan, Reminder, SEND_WITHIN};
pub use repay::{Repay, Repayment};
pub use view::{LoanRecord, RepaymentRecord};

use std::fmt;
use std::sync::Arc;

use api_ledger::Ledger;
use jiff::civil::{Date, date};
use jiff::{Timestamp, tz::TimeZone};

use crate::LoanError;
use crate::calendar::{add_days, days_between};

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The loans in a database. Cloning it is cheap. Every call names the tenant and sees only that
/// tenant's rows.
#[derive(Clone)]
pub struct Loans {
    ledger: Ledger,
    clock: Clock,
}

impl fmt::Debug for Loans {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Loans").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

impl Loans {
    /// Loans posted through `ledger`, by the system's clock.
    #[must_use]
    pub fn new(ledger: Ledger) -> Self {
        Self::with_clock(ledger, Arc::new(Timestamp::now))
    }

    /// The same by another clock.
    #[must_use]
    pub fn with_clock(ledger: Ledger, clock: Clock) -> Self {
        Self { ledger, clock }
    }

    /// The day it is by the calendar, in UTC. A tenant's own day is [`Loans::today_in`].
    #[must_use]
    pub fn today(&self) -> Date {
        self.now().to_zoned(TimeZone::UTC).date()
    }

    /// What its clock shows. A tenant's own moment is [`Loans::now_in`].
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }
}

const EPOCH: Date = date(1970, 1, 1);

/// Days since 1970-01-01, the form in which days are stored.
pub(crate) fn day_number(date: Date) -> i64 {
    days_between(EPOCH, date)
}

/// The day with this number.
pub(crate) fn day_of(number: i64) -> Result<Date, LoanError> {
    add_days(EPOCH, number)
}
