#![doc = include_str!("../README.md")]
#![warn(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

mod account;
mod accounts;
mod balance;
mod book;
mod bytes;
mod chart;
mod check;
mod conversion;
mod currency;
mod error;
mod events;
mod group_commit;
mod ids;
mod ledger;
mod outflows;
mod posting;
mod recorder;
mod refusal;
mod repo;
mod resident;
mod statement;
mod transfer;
mod velocity;

pub use account::{Account, Floor, NewAccount, Side, VelocityLimit};
pub use balance::{Balance, Net, Totals};
pub use chart::ChartNode;
pub use check::{CheckReport, Difference};
pub use conversion::{ConversionAccounts, ConversionError, Quote};
pub use currency::{DecimalError, format_decimal, iso4217_decimals, parse_decimal};
pub use error::{LedgerError, PostError};
pub use events::{EVENT_SCHEMA_VERSION, Event, NewEvent};
pub use group_commit::{GroupCommit, QUEUE_DEFAULT};
pub use ids::{AccountId, TenantId, TransferId};
pub use ledger::{Clock, Ledger};
pub use recorder::Recorder;
pub use refusal::Refusal;
pub use resident::TailOptions;
pub use statement::{AccountTotals, AsOf, Line, Statement, StatementPage};
pub use transfer::{Action, Kind, Leg, Outcome, Posted, StoredLeg, StoredTransfer, Transfer};

/// The most transfers in one call.
pub const TRANSFERS_MAX: usize = 8190;
/// The most legs of one transfer.
pub const LEGS_MAX: usize = 100;
