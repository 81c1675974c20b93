use crate::TransferId;

/// Why a transfer was not posted. Nothing of it was, and the same request may be sent again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such account in the tenant's books.
    #[error("there is no such account")]
    UnknownAccount,
    /// A client's transfer touches an account that is not for clients.
    #[error("the account is kept by the system: clients read it and cannot move its money")]
    AccountManaged,
    /// A client's transfer has an id of those that are reserved.
    #[error("ids that begin with ffffffff are reserved")]
    ReservedId,
    /// The two accounts of a leg count different assets.
    #[error("the accounts of a leg count different assets")]
    AssetMismatch,
    /// An amount is zero.
    #[error("an amount is zero")]
    ZeroAmount,
    /// A leg debits and credits the same account.
    #[error("a leg debits and credits the same account")]
    SameAccount,
    /// No legs, or more than [`LEGS_MAX`](crate::LEGS_MAX).
    #[error("a transfer has 1 to 100 legs")]
    LegCount,
    /// `code` or `reference` is too long or has control characters.
    #[error("code or reference is too long or has control characters")]
    InvalidText,
    /// A day or timeout is outside what can be stored.
    #[error("a date or timeout is out of range")]
    InvalidDate,
    /// The account is closed.
    #[error("the account is closed")]
    AccountClosed,
    /// The account is frozen.
    #[error("the account is frozen")]
    AccountFrozen,
    /// The available balance would go below the account's floor.
    #[error("insufficient funds")]
    InsufficientFunds,
    /// A total would not fit in 128 bits.
    #[error("a balance would not fit in 128 bits")]
    BalanceOverflow,
    /// The account's limit for a window of time is used up.
    #[error("the account's velocity limit is reached")]
    VelocityExceeded,
    /// The id was used for another body.
    #[error("the id was used for another transfer")]
    IdConflict,
    /// No such pending transfer.
    #[error("there is no such pending transfer")]
    PendingNotFound,
    /// Its time was over.
    #[error("the pending transfer has expired")]
    PendingExpired,
    /// Its time is not over yet, so it cannot be expired.
    #[error("the pending transfer has not expired yet")]
    PendingNotExpired,
    /// It was posted before.
    #[error("the pending transfer was posted before")]
    PendingAlreadyPosted,
    /// It was voided before.
    #[error("the pending transfer was voided before")]
    PendingAlreadyVoided,
    /// More than was reserved, nothing at all, or another number of legs.
    #[error("the amounts do not fit the pending transfer")]
    PendingAmounts,
    /// No such transfer to reverse.
    #[error("there is no such transfer to reverse")]
    OriginalNotFound,
    /// It moved no money.
    #[error("only a transfer that moved money can be reversed")]
    NotReversible,
    /// It was reversed before.
    #[error("the transfer was reversed before")]
    AlreadyReversed,
    /// The request came after its `not_after`.
    #[error("the request came too late")]
    TooLate,
    /// One of several legs was refused. A transfer with one leg is refused without this.
    #[error("leg {leg}: {cause}")]
    AtLeg {
        /// Which one, from zero. Those of a reversal count from the last leg of the original, and the ends of
        /// a pending transfer have its legs.
        leg: u32,
        /// Why. It is not of this kind itself.
        cause: Box<Refusal>,
    },
    /// Another transfer of the same atomic group was refused.
    #[error("transfer {0} of the same group was refused")]
    GroupRefused(TransferId),
}

impl Refusal {
    /// The same of one of `of` legs.
    pub(crate) fn at_leg(self, leg: usize, of: usize) -> Self {
        match u32::try_from(leg) {
            Ok(leg) if of > 1 => Self::AtLeg { leg, cause: Box::new(self) },
            _ => self,
        }
    }

    /// Why, wherever it was.
    #[must_use]
    pub fn cause(&self) -> &Self {
        match self {
            Self::AtLeg { cause, .. } => cause,
            _ => self,
        }
    }

    /// Which of several legs was refused, from zero.
    #[must_use]
    pub const fn leg(&self) -> Option<u32> {
        match self {
            Self::AtLeg { leg, .. } => Some(*leg),
            _ => None,
        }
    }

    /// A stable code for programs: that of the [`Refusal::cause`].
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::AtLeg { cause, .. } => cause.code(),
            Self::UnknownAccount => "unknown_account",
            Self::AccountManaged => "account_managed",
            Self::ReservedId => "reserved_id",
            Self::AssetMismatch => "asset_mismatch",
            Self::ZeroAmount => "zero_amount",
            Self::SameAccount => "same_account",
            Self::LegCount => "leg_count",
            Self::InvalidText => "invalid_text",
            Self::InvalidDate => "invalid_date",
            Self::AccountClosed => "account_closed",
            Self::AccountFrozen => "account_frozen",
            Self::InsufficientFunds => "insufficient_funds",
            Self::BalanceOverflow => "balance_overflow",
            Self::VelocityExceeded => "velocity_exceeded",
            Self::IdConflict => "transfer_id_conflict",
            Self::PendingNotFound => "pending_not_found",
            Self::PendingExpired => "pending_expired",
            Self::PendingNotExpired => "pending_not_expired",
            Self::PendingAlreadyPosted => "pending_already_posted",
            Self::PendingAlreadyVoided => "pending_already_voided",
            Self::PendingAmounts => "pending_amounts",
            Self::OriginalNotFound => "original_not_found",
            Self::NotReversible => "not_reversible",
            Self::AlreadyReversed => "already_reversed",
            Self::TooLate => "too_late",
            Self::GroupRefused(_) => "group_refused",
        }
    }
}
