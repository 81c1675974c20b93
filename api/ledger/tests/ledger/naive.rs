//! The naive ledger: lists and sums. It shares no code with the real one but the request types.

use std::collections::HashMap;

use api_ledger::*;

#[derive(Clone)]
struct Account {
    asset: String,
    debit_normal: bool,
    floor: Option<i128>,
}

/// An accepted transfer, with the legs that it moved, reserved or released.
#[derive(Clone)]
struct Accepted {
    request: Transfer,
    legs: Vec<Leg>,
    at: i64,
}

#[derive(Clone, Default)]
pub(crate) struct Naive {
    accounts: HashMap<AccountId, Account>,
    accepted: Vec<Accepted>,
}

impl Naive {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn open(&mut self, id: AccountId, new: &NewAccount) {
        let floor = match new.floor {
            Floor::Zero => Some(0),
            Floor::At(minor) => Some(minor),
            Floor::None => None,
        };
        let debit_normal = new.side == Side::Debit;
        self.accounts.insert(id, Account { asset: new.asset.clone(), debit_normal, floor });
    }

    /// All of the group or nothing, at the second `now`.
    pub(crate) fn post(&mut self, group: &[Transfer], now: i64) -> Vec<Result<Outcome, Refusal>> {
        let before = self.accepted.len();
        let mut answers = Vec::new();
        for transfer in group {
            let answer = self.one(transfer, now);
            let failed = answer.is_err();
            answers.push(answer);
            if failed {
                self.accepted.truncate(before);
                let last = answers.pop().unwrap();
                let refused = || Err(Refusal::GroupRefused(transfer.id));
                answers.fill_with(refused);
                answers.push(last);
                answers.resize_with(group.len(), refused);
                return answers;
            }
        }
        answers
    }

    fn one(&mut self, request: &Transfer, now: i64) -> Result<Outcome, Refusal> {
        if let Some(known) = self.find(request.id) {
            return if self.same(known, request) {
                Ok(Outcome::AlreadyApplied)
            } else {
                Err(Refusal::IdConflict)
            };
        }
        let legs = self.legs(request, now)?;
        let mark = self.accepted.len();
        // One leg after the other, each seen by the next.
        self.accepted.push(Accepted { request: request.clone(), legs: Vec::new(), at: now });
        for leg in legs {
            if let Err(refusal) = self.leg(request, leg) {
                self.accepted.truncate(mark);
                return Err(refusal);
            }
        }
        Ok(Outcome::Executed)
    }

    fn leg(&mut self, request: &Transfer, leg: Leg) -> Result<(), Refusal> {
        let account = |id| self.accounts.get(&id).cloned().ok_or(Refusal::UnknownAccount);
        let (debit, credit) = (account(leg.debit)?, account(leg.credit)?);
        if debit.asset != credit.asset {
            return Err(Refusal::AssetMismatch);
        }
        self.accepted.last_mut().unwrap().legs.push(leg);
        let is_new = matches!(
            request.action,
            Action::Transfer(_) | Action::Pending { .. } | Action::Reverse { .. }
        );
        let below = |account: &Account, id| {
            account.floor.is_some_and(|floor| self.available(account, id) < floor)
        };
        if is_new && !debit.debit_normal && below(&debit, leg.debit)
            || is_new && credit.debit_normal && below(&credit, leg.credit)
        {
            return Err(Refusal::InsufficientFunds);
        }
        Ok(())
    }

    fn available(&self, account: &Account, id: AccountId) -> i128 {
        let totals = self.totals(id);
        let number = |minor| i128::try_from(minor).unwrap();
        let (debits, credits) = (number(totals.debits_posted), number(totals.credits_posted));
        if account.debit_normal {
            debits - credits - number(totals.credits_pending)
        } else {
            credits - debits - number(totals.debits_pending)
        }
    }

    /// What the request would move, reserve or release.
    fn legs(&self, request: &Transfer, now: i64) -> Result<Vec<Leg>, Refusal> {
        match &request.action {
            Action::Transfer(legs) | Action::Pending { legs, .. } => {
                for leg in legs {
                    if leg.amount == 0 {
                        return Err(Refusal::ZeroAmount);
                    }
                    if leg.debit == leg.credit {
                        return Err(Refusal::SameAccount);
                    }
                }
                Ok(legs.clone())
            }
            Action::PostPending { pending, amounts } => {
                let target = self.open_pending(*pending)?;
                if is_over(target, now) {
                    return Err(Refusal::PendingExpired);
                }
                let whole: Vec<u128> = target.legs.iter().map(|leg| leg.amount).collect();
                let amounts = amounts.as_ref().unwrap_or(&whole);
                let fits = amounts.len() == whole.len()
                    && amounts.iter().sum::<u128>() > 0
                    && amounts.iter().zip(&whole).all(|(amount, most)| amount <= most);
                if !fits {
                    return Err(Refusal::PendingAmounts);
                }
                let legs = target.legs.iter().zip(amounts);
                Ok(legs.map(|(leg, amount)| Leg { amount: *amount, ..*leg }).collect())
            }
            Action::VoidPending { pending } => Ok(self.open_pending(*pending)?.legs.clone()),
            Action::ExpirePending { pending } => {
                let target = self.open_pending(*pending)?;
                if is_over(target, now) {
                    Ok(target.legs.clone())
                } else {
                    Err(Refusal::PendingNotExpired)
                }
            }
            Action::Reverse { original } => {
                let target = self.find(*original).ok_or(Refusal::OriginalNotFound)?;
                if !moves(&target.request) {
                    return Err(Refusal::NotReversible);
                }
                if self.ending(*original).is_some() {
                    return Err(Refusal::AlreadyReversed);
                }
                let moved = target.legs.iter().rev().filter(|leg| leg.amount > 0);
                let back = |leg: &Leg| Leg { debit: leg.credit, credit: leg.debit, ..*leg };
                Ok(moved.map(back).collect())
            }
        }
    }

    fn find(&self, id: TransferId) -> Option<&Accepted> {
        self.accepted.iter().find(|accepted| accepted.request.id == id)
    }

    /// What ended or reversed the transfer.
    fn ending(&self, id: TransferId) -> Option<&Accepted> {
        self.accepted.iter().find(|accepted| target(&accepted.request) == Some(id))
    }

    fn open_pending(&self, id: TransferId) -> Result<&Accepted, Refusal> {
        let found = self.find(id).ok_or(Refusal::PendingNotFound)?;
        if !matches!(found.request.action, Action::Pending { .. }) {
            return Err(Refusal::PendingNotFound);
        }
        match self.ending(id).map(|ending| &ending.request.action) {
            None => Ok(found),
            Some(Action::PostPending { .. }) => Err(Refusal::PendingAlreadyPosted),
            Some(Action::ExpirePending { .. }) => Err(Refusal::PendingExpired),
            Some(_) => Err(Refusal::PendingAlreadyVoided),
        }
    }

    fn same(&self, known: &Accepted, request: &Transfer) -> bool {
        if known.request == *request {
            return true;
        }
        // Asking for all and asking for exactly all is the same request.
        match (&known.request.action, &request.action) {
            (
                Action::PostPending { pending: one, .. },
                Action::PostPending { pending: other, amounts },
            ) if one == other => {
                let moved: Vec<u128> = known.legs.iter().map(|leg| leg.amount).collect();
                let whole = self.find(*one).unwrap().legs.iter().map(|leg| leg.amount).collect();
                *amounts.as_ref().unwrap_or(&whole) == moved
            }
            _ => false,
        }
    }

    /// Adds up everything again.
    pub(crate) fn totals(&self, id: AccountId) -> Totals {
        let mut totals = Totals::default();
        for accepted in &self.accepted {
            let held = self.is_held(accepted);
            for leg in &accepted.legs {
                let (debits, credits) = match (moves(&accepted.request), held) {
                    (true, _) => (&mut totals.debits_posted, &mut totals.credits_posted),
                    (false, true) => (&mut totals.debits_pending, &mut totals.credits_pending),
                    (false, false) => continue,
                };
                if leg.debit == id {
                    *debits += leg.amount;
                }
                if leg.credit == id {
                    *credits += leg.amount;
                }
            }
        }
        totals
    }

    fn is_held(&self, accepted: &Accepted) -> bool {
        matches!(accepted.request.action, Action::Pending { .. })
            && self.ending(accepted.request.id).is_none()
    }
}

fn is_over(pending: &Accepted, now: i64) -> bool {
    match pending.request.action {
        Action::Pending { timeout_secs: Some(seconds), .. } => {
            now >= pending.at + i64::from(seconds)
        }
        _ => false,
    }
}

fn moves(request: &Transfer) -> bool {
    matches!(
        request.action,
        Action::Transfer(_) | Action::PostPending { .. } | Action::Reverse { .. }
    )
}

fn target(request: &Transfer) -> Option<TransferId> {
    match request.action {
        Action::PostPending { pending, .. }
        | Action::VoidPending { pending }
        | Action::ExpirePending { pending } => Some(pending),
        Action::Reverse { original } => Some(original),
        Action::Transfer(_) | Action::Pending { .. } => None,
    }
}
