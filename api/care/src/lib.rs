#![doc = include_str!("../README.md")]
#![warn(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

mod day;
mod early;
mod error;
mod inbox;
mod repo;
mod rules;

pub use day::{Closed, TenantDays};
pub use early::{Explained, LoanWarnings, Offer, OfferState};
pub use error::CareError;
pub use inbox::Letter;
pub use rules::{Affordability, EarlyRules};

use api_audit::AuditLog;
use api_ledger::Ledger;
use api_loans::Loans;
use api_store::Db;
use uuid::Uuid;

/// The account of what a customer can spend, by the chart of accounts of the caller.
pub type WalletCode = fn(Uuid) -> String;

/// Care for the borrowers of all tenants. Cloning it is cheap. Every call names the tenant and sees
/// only that tenant's rows.
#[derive(Clone, Debug)]
pub struct Care {
    pub(crate) db: Db,
    pub(crate) ledger: Ledger,
    pub(crate) loans: Loans,
    pub(crate) audit: AuditLog,
    pub(crate) wallet: WalletCode,
}

impl Care {
    /// For the borrowers of `loans`, whose clock counts here too.
    #[must_use]
    pub const fn new(
        db: Db,
        ledger: Ledger,
        loans: Loans,
        audit: AuditLog,
        wallet: WalletCode,
    ) -> Self {
        Self { db, ledger, loans, audit, wallet }
    }

    /// Milliseconds since 1970, by the clock of the loans.
    pub(crate) fn now_ms(&self) -> i64 {
        self.loans.now().as_millisecond()
    }
}
