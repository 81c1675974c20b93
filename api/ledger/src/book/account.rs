//! An account as a posting sees it.

use std::sync::Arc;

use crate::account::{CLOSED, FROZEN, LIMITED, VelocityLimit};
use crate::balance::{Balance, Totals};
use crate::{AccountId, Refusal, Side, TenantId, TransferId};

/// What an account is and may do; it changes seldom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Terms {
    pub(crate) book: i64,
    pub(crate) tenant: TenantId,
    pub(crate) asset: String,
    pub(crate) side: Side,
    pub(crate) flags: i64,
    pub(crate) floor: Option<i128>,
}

/// What postings change of an account, as of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Standing {
    /// The commit after which it is so.
    pub(crate) commit: i64,
    pub(crate) totals: Totals,
    pub(crate) changed_at: i64,
    /// The last leg of its history; zero: there is none.
    pub(crate) last_seq: i64,
    /// How many legs its history has.
    pub(crate) legs: i64,
}

impl Standing {
    /// The one after the later commit.
    #[must_use]
    pub(crate) const fn newer(self, other: Self) -> Self {
        if other.commit > self.commit { other } else { self }
    }
}

/// An account that is locked for this posting.
#[derive(Clone, Debug)]
pub(crate) struct AccountState {
    pub(crate) id: AccountId,
    pub(crate) terms: Arc<Terms>,
    pub(crate) totals: Totals,
    pub(crate) changed_at: i64,
    pub(crate) changed: bool,
    pub(crate) usages: Vec<Usage>,
    /// The last leg of its history.
    pub(crate) last: Link,
    /// How many legs its history has.
    pub(crate) legs: i64,
}

/// Where a leg is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// In the database, with this `seq`; zero: there is none.
    Stored(i64),
    /// At this position of the new rows.
    New(usize),
}

impl Link {
    /// Its `seq`, when the first new row gets `first_seq`.
    pub(crate) fn seq(self, first_seq: i64) -> i64 {
        match self {
            Self::Stored(seq) => seq,
            Self::New(position) => {
                first_seq.saturating_add(i64::try_from(position).unwrap_or(i64::MAX))
            }
        }
    }
}

/// How much of a velocity limit is used up.
#[derive(Clone, Debug)]
pub(crate) struct Usage {
    pub(crate) limit: VelocityLimit,
    pub(crate) count: u64,
    pub(crate) sum: u128,
    /// The last transfer that was counted: its further legs are not counted again.
    pub(crate) last: Option<TransferId>,
}

impl Usage {
    /// Counts `amount` that leaves the account with `transfer`.
    pub(crate) fn add(&mut self, transfer: TransferId, amount: u128) -> Result<(), Refusal> {
        if self.last != Some(transfer) {
            self.last = Some(transfer);
            self.count = self.count.saturating_add(1);
        }
        self.sum = self.sum.saturating_add(amount);
        let many = self.limit.count_max.is_some_and(|max| self.count > u64::from(max));
        let much = self.limit.sum_max.is_some_and(|max| self.sum > max);
        if many || much { Err(Refusal::VelocityExceeded) } else { Ok(()) }
    }
}

impl AccountState {
    pub(crate) const fn new(id: AccountId, terms: Arc<Terms>, standing: Standing) -> Self {
        let Standing { totals, changed_at, last_seq, legs, .. } = standing;
        let last = Link::Stored(last_seq);
        Self { id, terms, totals, changed_at, changed: false, usages: Vec::new(), last, legs }
    }

    /// How it is after the commit `commit`, whose first row has `first_seq`.
    pub(crate) fn standing(&self, commit: i64, first_seq: i64) -> Standing {
        let Self { totals, changed_at, last, legs, .. } = *self;
        Standing { commit, totals, changed_at, last_seq: last.seq(first_seq), legs }
    }

    pub(crate) fn is_limited(&self) -> bool {
        self.has(LIMITED)
    }

    pub(super) fn has(&self, flag: i64) -> bool {
        self.terms.flags & flag != 0
    }

    /// Refuses new movements of a closed or frozen account.
    pub(super) fn accepts_new(&self) -> Result<(), Refusal> {
        if self.has(CLOSED) {
            return Err(Refusal::AccountClosed);
        }
        if self.has(FROZEN) {
            return Err(Refusal::AccountFrozen);
        }
        Ok(())
    }

    pub(super) fn covers_its_floor(&self) -> bool {
        Balance { side: self.terms.side, totals: self.totals }.holds(self.terms.floor)
    }
}
