//! Balances of all times and statements.

use std::collections::HashSet;

use api_ledger::*;
use jiff::civil::Date;

use super::{Accepted, Naive, moves, target};

/// A line of a statement. `totals` are those posted after it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) transfer: TransferId,
    pub(crate) leg: u32,
    pub(crate) side: Side,
    pub(crate) amount: u128,
    pub(crate) other: AccountId,
    pub(crate) target: Option<TransferId>,
    pub(crate) code: String,
    pub(crate) reference: String,
    pub(crate) effective_on: Date,
    pub(crate) recorded_at: i64,
    pub(crate) totals: Totals,
}

impl From<&Line> for Entry {
    fn from(line: &Line) -> Self {
        Self {
            transfer: line.transfer,
            leg: line.leg,
            side: line.side,
            amount: line.amount,
            other: line.other,
            target: line.target,
            code: line.code.clone(),
            reference: line.reference.clone(),
            effective_on: line.effective_on,
            recorded_at: line.recorded_at.as_second(),
            totals: line.balance.totals,
        }
    }
}

impl Naive {
    /// Adds up everything again. `None` when a total, or what it becomes when all that is pending is
    /// posted, does not fit.
    pub(super) fn sums(&self, id: AccountId) -> Option<Totals> {
        let ended: HashSet<(TenantId, TransferId)> = self
            .accepted
            .iter()
            .filter_map(|accepted| Some((accepted.request.tenant, target(&accepted.request)?)))
            .collect();
        let mut totals = Totals::default();
        for accepted in &self.accepted {
            let key = (accepted.request.tenant, accepted.request.id);
            let is_held =
                matches!(accepted.request.action, Action::Pending { .. }) && !ended.contains(&key);
            let (debits, credits) = match (moves(&accepted.request), is_held) {
                (true, _) => (&mut totals.debits_posted, &mut totals.credits_posted),
                (false, true) => (&mut totals.debits_pending, &mut totals.credits_pending),
                (false, false) => continue,
            };
            add(&accepted.legs, id, debits, credits)?;
        }
        totals.debits_posted.checked_add(totals.debits_pending)?;
        totals.credits_posted.checked_add(totals.credits_pending)?;
        Some(totals)
    }

    pub(crate) fn totals(&self, id: AccountId) -> Totals {
        self.sums(id).unwrap()
    }

    /// What was posted by the transfers that count.
    pub(crate) fn posted(&self, id: AccountId, counts: impl Fn(&Accepted) -> bool) -> Totals {
        let mut totals = Totals::default();
        for accepted in self.accepted.iter().filter(|accepted| counts(accepted)) {
            if moves(&accepted.request) {
                let Totals { debits_posted, credits_posted, .. } = &mut totals;
                add(&accepted.legs, id, debits_posted, credits_posted).unwrap();
            }
        }
        totals
    }

    /// The whole statement of an account: each leg of what was posted, even of nothing.
    pub(crate) fn statement(&self, id: AccountId) -> Vec<Entry> {
        let mut totals = Totals::default();
        let mut entries = Vec::new();
        for accepted in self.accepted.iter().filter(|accepted| moves(&accepted.request)) {
            for (number, leg) in (0..).zip(&accepted.legs) {
                if leg.debit != id && leg.credit != id {
                    continue;
                }
                let Totals { debits_posted, credits_posted, .. } = &mut totals;
                add(&[*leg], id, debits_posted, credits_posted).unwrap();
                let is_debit = leg.debit == id;
                entries.push(Entry {
                    transfer: accepted.request.id,
                    leg: number,
                    side: if is_debit { Side::Debit } else { Side::Credit },
                    amount: leg.amount,
                    other: if is_debit { leg.credit } else { leg.debit },
                    target: target(&accepted.request),
                    code: accepted.request.code.clone(),
                    reference: accepted.request.reference.clone(),
                    effective_on: accepted.day(),
                    recorded_at: accepted.at,
                    totals,
                });
            }
        }
        entries
    }
}

fn add(legs: &[Leg], id: AccountId, debits: &mut u128, credits: &mut u128) -> Option<()> {
    for leg in legs {
        if leg.debit == id {
            *debits = debits.checked_add(leg.amount)?;
        }
        if leg.credit == id {
            *credits = credits.checked_add(leg.amount)?;
        }
    }
    Some(())
}
