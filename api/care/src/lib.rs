#![doc = include_str!("../README.md")]
#![warn(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

mod address;
mod channels;
mod consent;
mod contact;
mod day;
mod decide;
mod early;
mod error;
mod gateways;
mod inbox;
mod limits;
mod outbox;
mod receipts;
mod repo;
mod rules;
mod seal;
mod stop;

pub use address::Address;
pub use channels::{Message, Outcome, Port, Resting, Sending, Smtp, SmtpConfig, SmtpTls};
pub use consent::Consent;
pub use contact::{Known, LenderHolds};
pub use day::{Closed, TenantDays};
pub use decide::{Decided, Decisions};
pub use early::{Explained, LoanWarnings, Offer, OfferState};
pub use error::CareError;
pub use gateways::Gateway;
pub use inbox::Letter;
pub use outbox::{Deliveries, SendState, Sent};
pub use receipts::{Counted, Signed};
pub use rules::{Affordability, EarlyRules};

use std::sync::Arc;

use api_audit::Logs;
use api_ledger::Ledger;
use api_loans::Loans;
use api_store::Db;
use api_webhooks::{Sender, Vault};
use uuid::Uuid;

/// The account of what a customer can spend, by the chart of accounts of the caller.
pub type WalletCode = fn(Uuid) -> String;

/// The ways out.
#[derive(Clone, Debug)]
pub struct Ports {
    /// What calls the gateways.
    pub sender: Sender,
    /// What seals the gateways' secrets in the database; without it a tenant can have no gateway.
    pub vault: Option<Arc<Vault>>,
    /// The relay for mail; without one a tenant needs a gateway for mail.
    pub mail: Option<Arc<dyn Port>>,
    /// Where the server is for the world, for the links in messages: `https://wallet.example`.
    pub public_url: String,
}

/// Care for the borrowers of all tenants. Cloning it is cheap. Every call names the tenant and sees
/// only that tenant's rows.
#[derive(Clone, Debug)]
pub struct Care {
    pub(crate) db: Db,
    pub(crate) ledger: Ledger,
    pub(crate) loans: Loans,
    pub(crate) audit: Logs,
    pub(crate) wallet: WalletCode,
    pub(crate) ports: Ports,
}

impl Care {
    /// For the borrowers of `loans`, whose clock counts here too.
    #[must_use]
    pub fn new(
        db: Db,
        ledger: Ledger,
        loans: Loans,
        audit: impl Into<Logs>,
        wallet: WalletCode,
        ports: Ports,
    ) -> Self {
        Self { db, ledger, loans, audit: audit.into(), wallet, ports }
    }

    /// Milliseconds since 1970, by the clock of the loans.
    pub(crate) fn now_ms(&self) -> i64 {
        self.loans.now().as_millisecond()
    }
}
