#![doc = include_str!("../README.md")]

mod anchors;
mod append;
mod bulk;
mod check;
mod error;
mod ids;
mod leaves;
mod listing;
mod log;
mod logs;
mod map;
mod ots;
mod receipt;
mod record;
mod repo;
mod service_level;
mod subjects;
mod tiles;
mod tree;

pub use anchors::{Anchor, AnchorState, AnchorUpdate};
pub use bulk::Appended;
pub use check::{Checked, Damage};
pub use error::AuditError;
pub use listing::Listed;
pub use log::{AuditLog, Commitment, TreeHead};
pub use logs::Logs;
pub use ots::Ots;
pub use receipt::{Disclosure, Receipt, RecordStatus};
pub use record::{Record, RecordId};
pub use repo::trees::StoredCheckpoint;
pub use service_level::{AnchorCost, ServiceLevel};
pub use subjects::SubjectStatus;
pub use tiles::TileRequest;
pub use tree::MemoryTree;
