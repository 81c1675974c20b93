//! What goes on without a request: blocks are scanned, intents carried out, records anchored.
//!
//! Each job reads its work from the database, does one step, and writes the outcome by
//! compare-and-set; after a crash at any point it goes on from the row. A lease says which server
//! runs a job, and no correctness rests on it: the states and the signer's journal guard the money.

pub(crate) mod anchors;
pub(crate) mod cancel;
pub(crate) mod care;
pub(crate) mod deposits;
pub(crate) mod executor;
pub(crate) mod jobs;
pub(crate) mod prepare;
pub(crate) mod reconcile;
pub(crate) mod replace;
pub(crate) mod reports;
pub(crate) mod settle;
pub(crate) mod setup;
pub(crate) mod sweeps;
pub(crate) mod topups;
pub(crate) mod treasury;
pub(crate) mod withdrawals;
pub(crate) mod witnesses;
