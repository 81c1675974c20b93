use jiff::Timestamp;

use crate::{AccountId, TenantId};

/// The side on which an account's balance normally is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Assets and expenses: what is ours, or is owed to us.
    Debit,
    /// Liabilities, equity and income: what we owe, for example to a customer.
    Credit,
}

/// How far down the balance of an account may be taken by a posting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Floor {
    /// Not below zero.
    #[default]
    Zero,
    /// Not below this many minor units: negative for an overdraft, positive for a minimum.
    At(i128),
    /// It may go negative without limit.
    None,
}

impl Floor {
    pub(crate) const fn limit(self) -> Option<i128> {
        match self {
            Self::Zero => Some(0),
            Self::At(minor) => Some(minor),
            Self::None => None,
        }
    }

    pub(crate) const fn from_limit(limit: Option<i128>) -> Self {
        match limit {
            Some(0) => Self::Zero,
            Some(minor) => Self::At(minor),
            None => Self::None,
        }
    }
}

/// An account to be opened. Tenant, code and asset identify it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAccount {
    /// Whose books it is in.
    pub tenant: TenantId,
    /// Its place in the chart of accounts, with `:` between the levels: `customer:42:available`.
    pub code: String,
    /// What it counts: an ISO 4217 code or a CAIP-19 asset id.
    pub asset: String,
    /// Where its balance normally is.
    pub side: Side,
    /// How far down it may go.
    pub floor: Floor,
    /// True to keep what statements and balances as of another time need.
    pub history: bool,
    /// True when transfers of clients ([`Transfer::by_client`](crate::Transfer::by_client)) may touch
    /// it; all others are for the program's own postings alone.
    pub for_clients: bool,
    /// The caller's own name for it.
    pub external_id: Option<String>,
}

impl NewAccount {
    /// An account that keeps history and may not go below zero.
    #[must_use]
    pub fn new(tenant: TenantId, code: &str, asset: &str, side: Side) -> Self {
        Self {
            tenant,
            code: code.to_owned(),
            asset: asset.to_owned(),
            side,
            floor: Floor::Zero,
            history: true,
            for_clients: false,
            external_id: None,
        }
    }

    /// The same with another floor.
    #[must_use]
    pub const fn with_floor(mut self, floor: Floor) -> Self {
        self.floor = floor;
        self
    }

    /// The same without history: cheaper, for accounts whose statements nobody reads.
    #[must_use]
    pub const fn without_history(mut self) -> Self {
        self.history = false;
        self
    }

    /// The same, open to transfers of clients.
    #[must_use]
    pub const fn for_clients(mut self) -> Self {
        self.for_clients = true;
        self
    }

    /// The same with the caller's own name for it.
    #[must_use]
    pub fn with_external_id(mut self, external_id: &str) -> Self {
        self.external_id = Some(external_id.to_owned());
        self
    }
}

/// An account as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its number.
    pub id: AccountId,
    /// Whose books it is in.
    pub tenant: TenantId,
    /// Its place in the chart of accounts.
    pub code: String,
    /// What it counts.
    pub asset: String,
    /// Where its balance normally is.
    pub side: Side,
    /// How far down it may go.
    pub floor: Floor,
    /// Whether history is kept.
    pub history: bool,
    /// Whether transfers of clients may touch it.
    pub for_clients: bool,
    /// Whether nothing new may be posted to it for now.
    pub frozen: bool,
    /// Whether nothing new may ever be posted to it.
    pub closed: bool,
    /// The caller's own name for it.
    pub external_id: Option<String>,
    /// When it was opened.
    pub created_at: Timestamp,
}

/// How much may leave an account within any window of this length. Money that a pending transfer
/// reserves counts when it is reserved, and goes on counting when it is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VelocityLimit {
    /// The length of the window.
    pub window_secs: u32,
    /// At most this many transfers; `None` for any number.
    pub count_max: Option<u32>,
    /// At most this much in all, in minor units; `None` for any amount.
    pub sum_max: Option<u128>,
}

pub(crate) const HISTORY: i64 = 1;
pub(crate) const FROZEN: i64 = 2;
pub(crate) const CLOSED: i64 = 4;
pub(crate) const LIMITED: i64 = 8;
pub(crate) const FOR_CLIENTS: i64 = 16;
