use super::plan::{Plan, PlannedLeg};
use super::{Link, day_of};
use crate::transfer::{Kind, Transfer};
use crate::{AccountId, TenantId, TransferId};

/// A row of `ledger_transfers`: one leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Set by the database for stored rows; zero for new ones.
    pub(crate) seq: i64,
    pub(crate) tenant: TenantId,
    pub(crate) book: i64,
    pub(crate) id: TransferId,
    pub(crate) leg: i64,
    pub(crate) kind: Kind,
    pub(crate) debit: AccountId,
    pub(crate) credit: AccountId,
    pub(crate) amount: u128,
    /// Days since 1970, when it is not the day of recording.
    pub(crate) effective_on: Option<i64>,
    pub(crate) expires_at: Option<i64>,
    pub(crate) target: Option<TransferId>,
    pub(crate) code: String,
    pub(crate) reference: String,
    pub(crate) recorded_at: i64,
    /// Posted debits and credits of the debited account after this leg, when it keeps history.
    pub(crate) debit_after: Option<(u128, u128)>,
    /// The same of the credited account.
    pub(crate) credit_after: Option<(u128, u128)>,
    /// Where the debited account's history goes on; not read back for stored rows.
    pub(crate) debit_link: Option<ChainLink>,
    /// The same of the credited account.
    pub(crate) credit_link: Option<ChainLink>,
}

/// A leg's place in the history of one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChainLink {
    /// The leg before it.
    pub(crate) prev: Link,
    /// From one.
    pub(crate) number: i64,
}

impl Row {
    /// The row of a leg, before it is known what its accounts say.
    pub(super) fn new(
        transfer: &Transfer,
        plan: &Plan,
        leg: &PlannedLeg,
        number: i64,
        book: i64,
        now: i64,
    ) -> Self {
        Self {
            seq: 0,
            tenant: transfer.tenant,
            book,
            id: transfer.id,
            leg: number,
            kind: plan.kind,
            debit: leg.debit,
            credit: leg.credit,
            amount: leg.amount,
            effective_on: plan.effective_on.filter(|day| *day != day_of(now)),
            expires_at: plan.expires_at,
            target: transfer.target(),
            code: transfer.code.clone(),
            reference: transfer.reference.clone(),
            recorded_at: now,
            debit_after: None,
            credit_after: None,
            debit_link: None,
            credit_link: None,
        }
    }

    /// The day that it counts for.
    pub(crate) fn effective_day(&self) -> i64 {
        self.effective_on.unwrap_or_else(|| day_of(self.recorded_at))
    }
}
