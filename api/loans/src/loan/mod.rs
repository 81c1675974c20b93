//! A loan: the fold over its events.

mod allocate;
mod books;
mod event;
mod fold;
mod line;
mod restructure;
mod view;

pub use allocate::Allocation;
pub use books::{Account, Books, Flow};
pub use event::{Amounts, Arrears, Body, Event, FeeTreatment, RepaymentMode, Restructuring};
pub use fold::{Loan, check_append, fold};
pub use line::{Line, LineKind, Slot};
pub use restructure::{Figures, Preview, preview};
pub use view::{Bucket, Forbearance, Position, SettlementQuote, Stage, Status};
