//! Reminders that respect the debtor: a pure decision over data.

mod decide;
mod profile;

pub use decide::{Debtor, Decision, Dues, Holds, Reason, Sent, decide, dues};
pub use profile::{Channel, Hours, Profile, Rung};
