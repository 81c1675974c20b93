use jiff::Timestamp;
use jiff::civil::Date;

use crate::book::Row;
use crate::ledger::timestamp;
use crate::{AccountId, LedgerError, TenantId, TransferId};

/// One movement: `amount` minor units leave `credit` and enter `debit`, in bookkeeping's sense.
/// Seen from a customer's (credit-normal) account, being debited is paying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    /// The account that is debited.
    pub debit: AccountId,
    /// The account that is credited; it counts the same asset.
    pub credit: AccountId,
    /// In minor units, not zero.
    pub amount: u128,
}

/// What a transfer does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Moves money at once. All legs or none; they apply in this order.
    Transfer(Vec<Leg>),
    /// Reserves money: it counts against what is available, until it is posted, voided or expires.
    Pending {
        /// What is reserved.
        legs: Vec<Leg>,
        /// Seconds after which it can no longer be posted; `None` for ever.
        timeout_secs: Option<u32>,
    },
    /// Ends a pending transfer by moving the money, and releases the rest.
    PostPending {
        /// The pending transfer.
        pending: TransferId,
        /// How much of each of its legs, at most what is reserved; `None` for all.
        amounts: Option<Vec<u128>>,
    },
    /// Ends a pending transfer by releasing the money.
    VoidPending {
        /// The pending transfer.
        pending: TransferId,
    },
    /// Ends a pending transfer whose time is over by releasing the money; the job that cleans up
    /// sends it.
    ExpirePending {
        /// The pending transfer.
        pending: TransferId,
    },
    /// Moves back what a transfer (or the posting of a pending one) moved. At most once for each.
    Reverse {
        /// What is corrected.
        original: TransferId,
    },
}

/// A request to move money. Two with the same tenant and id are the same request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Whose books. All accounts of the transfer are in them.
    pub tenant: TenantId,
    /// Made by the client.
    pub id: TransferId,
    /// What it does.
    pub action: Action,
    /// The kind of business, for example `withdrawal`; up to 64 bytes.
    pub code: String,
    /// The business document, for example the withdrawal's id; up to 256 bytes.
    pub reference: String,
    /// The day that it counts for; `None` for the day of recording (UTC).
    pub effective_on: Option<Date>,
    /// Refused after this time, for example when a quote has run out. Not stored.
    pub not_after: Option<Timestamp>,
    /// True when a client asked for it, so that it may touch only accounts that are for clients. Not
    /// stored.
    pub by_client: bool,
}

impl Transfer {
    fn with_action(tenant: TenantId, id: TransferId, action: Action) -> Self {
        Self {
            tenant,
            id,
            action,
            code: String::new(),
            reference: String::new(),
            effective_on: None,
            not_after: None,
            by_client: false,
        }
    }

    /// Moves `legs` at once.
    #[must_use]
    pub fn new(tenant: TenantId, id: TransferId, legs: Vec<Leg>) -> Self {
        Self::with_action(tenant, id, Action::Transfer(legs))
    }

    /// Reserves `legs`, for `timeout_secs` seconds at most.
    #[must_use]
    pub fn pending(
        tenant: TenantId,
        id: TransferId,
        legs: Vec<Leg>,
        timeout_secs: Option<u32>,
    ) -> Self {
        Self::with_action(tenant, id, Action::Pending { legs, timeout_secs })
    }

    /// Moves all that `pending` reserved.
    #[must_use]
    pub fn post_pending(tenant: TenantId, id: TransferId, pending: TransferId) -> Self {
        Self::with_action(tenant, id, Action::PostPending { pending, amounts: None })
    }

    /// Moves these `amounts` of the legs of `pending`, and releases the rest.
    #[must_use]
    pub fn post_pending_part(
        tenant: TenantId,
        id: TransferId,
        pending: TransferId,
        amounts: Vec<u128>,
    ) -> Self {
        Self::with_action(tenant, id, Action::PostPending { pending, amounts: Some(amounts) })
    }

    /// Releases what `pending` reserved.
    #[must_use]
    pub fn void_pending(tenant: TenantId, id: TransferId, pending: TransferId) -> Self {
        Self::with_action(tenant, id, Action::VoidPending { pending })
    }

    /// Moves back what `original` moved.
    #[must_use]
    pub fn reverse(tenant: TenantId, id: TransferId, original: TransferId) -> Self {
        Self::with_action(tenant, id, Action::Reverse { original })
    }

    /// The same with a kind of business.
    #[must_use]
    pub fn with_code(mut self, code: &str) -> Self {
        code.clone_into(&mut self.code);
        self
    }

    /// The same with a business document.
    #[must_use]
    pub fn with_reference(mut self, reference: &str) -> Self {
        reference.clone_into(&mut self.reference);
        self
    }

    /// The same, counting for another day.
    #[must_use]
    pub const fn with_effective_on(mut self, day: Date) -> Self {
        self.effective_on = Some(day);
        self
    }

    /// The same, refused after `time`.
    #[must_use]
    pub const fn with_not_after(mut self, time: Timestamp) -> Self {
        self.not_after = Some(time);
        self
    }

    /// The same on behalf of a client: all accounts that it touches, those of a pending transfer that
    /// it ends and of one that it reverses included, must be for clients.
    #[must_use]
    pub const fn by_client(mut self) -> Self {
        self.by_client = true;
        self
    }

    /// The kind as which it is stored.
    pub(crate) const fn kind(&self) -> Kind {
        match self.action {
            Action::Transfer(_) => Kind::Transfer,
            Action::Pending { .. } => Kind::Pending,
            Action::PostPending { .. } => Kind::PostPending,
            Action::VoidPending { .. } => Kind::VoidPending,
            Action::ExpirePending { .. } => Kind::ExpirePending,
            Action::Reverse { .. } => Kind::Reversal,
        }
    }

    pub(crate) fn legs(&self) -> &[Leg] {
        match &self.action {
            Action::Transfer(legs) | Action::Pending { legs, .. } => legs,
            _ => &[],
        }
    }

    /// The earlier transfer that this one is about.
    pub(crate) const fn target(&self) -> Option<TransferId> {
        match &self.action {
            Action::PostPending { pending, .. }
            | Action::VoidPending { pending }
            | Action::ExpirePending { pending } => Some(*pending),
            Action::Reverse { original } => Some(*original),
            Action::Transfer(_) | Action::Pending { .. } => None,
        }
    }
}

/// What a stored transfer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Moved money at once.
    Transfer,
    /// Reserved money.
    Pending,
    /// Posted a pending transfer.
    PostPending,
    /// Released a pending transfer, on request.
    VoidPending,
    /// Released a pending transfer, because its time was over.
    ExpirePending,
    /// Moved money back.
    Reversal,
}

impl Kind {
    pub(crate) const fn number(self) -> i64 {
        match self {
            Self::Transfer => 1,
            Self::Pending => 2,
            Self::PostPending => 3,
            Self::VoidPending => 4,
            Self::ExpirePending => 5,
            Self::Reversal => 6,
        }
    }

    pub(crate) const fn from_number(number: i64) -> Option<Self> {
        Some(match number {
            1 => Self::Transfer,
            2 => Self::Pending,
            3 => Self::PostPending,
            4 => Self::VoidPending,
            5 => Self::ExpirePending,
            6 => Self::Reversal,
            _ => return None,
        })
    }

    /// True when the posted totals change.
    #[must_use]
    pub const fn moves_money(self) -> bool {
        matches!(self, Self::Transfer | Self::PostPending | Self::Reversal)
    }

    /// Its name in the API: `transfer`, `pending`, `post_pending`, ….
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transfer => "transfer",
            Self::Pending => "pending",
            Self::PostPending => "post_pending",
            Self::VoidPending => "void_pending",
            Self::ExpirePending => "expire_pending",
            Self::Reversal => "reversal",
        }
    }
}

/// Whether this call had the effect or an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// This one.
    Executed,
    /// An earlier one with the same id and body; the rest of the answer is that one's.
    AlreadyApplied,
}

/// A transfer that is in the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The client's id.
    pub id: TransferId,
    /// Where it is in the books: grows along each account's history.
    pub seq: i64,
    /// When it was recorded; never runs backwards along an account.
    pub recorded_at: Timestamp,
    /// By whom.
    pub outcome: Outcome,
}

/// A leg as it was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredLeg {
    /// The account that is debited.
    pub debit: AccountId,
    /// The account that is credited.
    pub credit: AccountId,
    /// In minor units; zero only for a leg of which nothing was posted.
    pub amount: u128,
}

/// A transfer as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTransfer {
    /// The client's id.
    pub id: TransferId,
    /// Where its first leg is in the books.
    pub seq: i64,
    /// What it did.
    pub kind: Kind,
    /// Its legs.
    pub legs: Vec<StoredLeg>,
    /// The pending transfer that it ended, or the transfer that it reversed.
    pub target: Option<TransferId>,
    /// When a pending transfer can no longer be posted.
    pub expires_at: Option<Timestamp>,
    /// The kind of business.
    pub code: String,
    /// The business document.
    pub reference: String,
    /// The day that it counts for.
    pub effective_on: Date,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

impl StoredTransfer {
    /// From the rows of one transfer.
    pub(crate) fn from_rows(rows: &[Row]) -> Result<Option<Self>, LedgerError> {
        let Some(first) = rows.first() else { return Ok(None) };
        let leg =
            |row: &Row| StoredLeg { debit: row.debit, credit: row.credit, amount: row.amount };
        Ok(Some(Self {
            id: first.id,
            seq: first.seq,
            kind: first.kind,
            legs: rows.iter().map(leg).collect(),
            target: first.target,
            expires_at: first.expires_at.map(timestamp).transpose()?,
            code: first.code.clone(),
            reference: first.reference.clone(),
            effective_on: date(first.effective_day())?,
            recorded_at: timestamp(first.recorded_at)?,
        }))
    }
}

/// The day that is `days` after 1970-01-01.
pub(crate) fn date(days: i64) -> Result<Date, LedgerError> {
    let span = jiff::Span::new().try_days(days);
    let date = span.and_then(|span| jiff::civil::date(1970, 1, 1).checked_add(span));
    date.map_err(|_| LedgerError::damaged("day out of range"))
}
