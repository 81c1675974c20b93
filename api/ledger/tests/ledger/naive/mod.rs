//! The naive ledger: lists and sums. It shares no code with the real one but the request types, keeps what
//! was accepted, and adds all of it up again for every question.

mod rules;
mod views;

use std::collections::HashMap;

use api_ledger::*;
use jiff::Timestamp;
use jiff::civil::Date;

pub(crate) use views::Entry;

/// What is answered. When several rules refuse a request, any of them may be the reason.
pub(crate) type Answer = Result<Outcome, Vec<Refusal>>;

#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) tenant: TenantId,
    pub(crate) asset: String,
    pub(crate) side: Side,
    pub(crate) floor: Option<i128>,
    pub(crate) history: bool,
    pub(crate) for_clients: bool,
    pub(crate) frozen: bool,
    pub(crate) closed: bool,
    pub(crate) limits: Vec<VelocityLimit>,
}

/// An accepted transfer, with the legs that it moved, reserved or released.
#[derive(Clone)]
pub(crate) struct Accepted {
    pub(crate) request: Transfer,
    pub(crate) legs: Vec<Leg>,
    /// In seconds.
    pub(crate) at: i64,
}

impl Accepted {
    /// The day that it counts for.
    pub(crate) fn day(&self) -> Date {
        self.request.effective_on.unwrap_or_else(|| day_of(self.at))
    }
}

/// What somebody does to an account.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    Frozen(bool),
    Close,
    Floor(Floor),
    Limit(VelocityLimit),
    /// Removes the limit for this window.
    Unlimit(u32),
}

#[derive(Clone, Default)]
pub(crate) struct Naive {
    pub(crate) accounts: HashMap<AccountId, Account>,
    pub(crate) accepted: Vec<Accepted>,
}

impl Naive {
    pub(crate) fn open(&mut self, id: AccountId, new: &NewAccount) {
        let account = Account {
            tenant: new.tenant,
            asset: new.asset.clone(),
            side: new.side,
            floor: limit(new.floor),
            history: new.history,
            for_clients: new.for_clients,
            frozen: false,
            closed: false,
            limits: Vec::new(),
        };
        self.accounts.insert(id, account);
    }

    /// False when it is refused.
    pub(crate) fn change(&mut self, id: AccountId, change: &Change) -> bool {
        let totals = self.totals(id);
        let Some(account) = self.accounts.get_mut(&id) else {
            // There is no limit of it to remove.
            return matches!(change, Change::Unlimit(_));
        };
        match change {
            Change::Frozen(frozen) => account.frozen = *frozen,
            Change::Floor(floor) => account.floor = limit(*floor),
            Change::Close => {
                let settled = Totals { debits_posted: totals.credits_posted, ..totals };
                let empty = Totals { debits_pending: 0, credits_pending: 0, ..settled };
                if totals != empty {
                    return false;
                }
                account.closed = true;
            }
            Change::Limit(limit) => {
                if !account.history {
                    return false;
                }
                account.limits.retain(|other| other.window_secs != limit.window_secs);
                account.limits.push(*limit);
            }
            Change::Unlimit(window) => {
                account.limits.retain(|limit| limit.window_secs != *window);
            }
        }
        true
    }

    /// All of the group or nothing, at the second `now`.
    pub(crate) fn post(&mut self, group: &[Transfer], now: i64) -> Vec<Answer> {
        let before = self.accepted.len();
        let mut answers = Vec::new();
        for transfer in group {
            let answer = self.one(transfer, now);
            let failed = answer.is_err();
            answers.push(answer);
            if failed {
                self.accepted.truncate(before);
                let last = answers.pop().unwrap();
                let refused = || Err(vec![Refusal::GroupRefused(transfer.id)]);
                answers.fill_with(refused);
                answers.push(last);
                answers.resize_with(group.len(), refused);
                return answers;
            }
        }
        answers
    }

    /// What the group would be answered; nothing is done.
    pub(crate) fn would(&mut self, group: &[Transfer], now: i64) -> Vec<Answer> {
        let before = self.accepted.len();
        let answers = self.post(group, now);
        self.accepted.truncate(before);
        answers
    }

    pub(crate) fn find(&self, tenant: TenantId, id: TransferId) -> Option<&Accepted> {
        let same = |accepted: &&Accepted| accepted.request.tenant == tenant;
        self.accepted.iter().filter(same).find(|accepted| accepted.request.id == id)
    }

    /// What ended or reversed the transfer.
    fn ending(&self, tenant: TenantId, id: TransferId) -> Option<&Accepted> {
        let same = |accepted: &&Accepted| accepted.request.tenant == tenant;
        self.accepted.iter().filter(same).find(|accepted| target(&accepted.request) == Some(id))
    }
}

/// True when this is what may be answered.
pub(crate) fn agrees(expected: &Answer, found: &Result<Outcome, Refusal>) -> bool {
    match (expected, found) {
        (Ok(expected), Ok(found)) => expected == found,
        (Err(reasons), Err(refusal)) => reasons.contains(refusal),
        _ => false,
    }
}

const fn limit(floor: Floor) -> Option<i128> {
    match floor {
        Floor::Zero => Some(0),
        Floor::At(minor) => Some(minor),
        Floor::None => None,
    }
}

/// The day of a second, in UTC.
pub(crate) fn day_of(second: i64) -> Date {
    Timestamp::from_second(second).unwrap().to_zoned(jiff::tz::TimeZone::UTC).date()
}

pub(crate) fn moves(request: &Transfer) -> bool {
    matches!(
        request.action,
        Action::Transfer(_) | Action::PostPending { .. } | Action::Reverse { .. }
    )
}

/// True for what takes or reserves money anew.
fn is_new(request: &Transfer) -> bool {
    matches!(request.action, Action::Transfer(_) | Action::Pending { .. } | Action::Reverse { .. })
}

pub(crate) fn target(request: &Transfer) -> Option<TransferId> {
    match request.action {
        Action::PostPending { pending, .. }
        | Action::VoidPending { pending }
        | Action::ExpirePending { pending } => Some(pending),
        Action::Reverse { original } => Some(original),
        Action::Transfer(_) | Action::Pending { .. } => None,
    }
}
