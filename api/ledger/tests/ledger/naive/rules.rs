//! What is accepted and what is refused.

use api_ledger::*;

use super::{Accepted, Account, Answer, Naive, day_of, is_new, moves};

impl Naive {
    pub(super) fn one(&mut self, request: &Transfer, now: i64) -> Answer {
        if let Some(known) = self.find(request.tenant, request.id) {
            let same = self.is_same(known, request);
            return if same { Ok(Outcome::AlreadyApplied) } else { Err(vec![Refusal::IdConflict]) };
        }
        let mut reasons = form(request, now);
        match self.legs(request, now) {
            Ok(legs) => {
                let mark = self.accepted.len();
                // One leg after the other, each seen by the next.
                self.accepted.push(Accepted { request: request.clone(), legs: vec![], at: now });
                let of = legs.len();
                let refused = legs.into_iter().enumerate().map(|(at, leg)| {
                    let reasons = self.leg(request, leg, now).into_iter();
                    reasons.map(|reason| at_leg(reason, at, of)).collect::<Vec<_>>()
                });
                reasons.extend(refused.skip_while(Vec::is_empty).take(1).flatten());
                if !reasons.is_empty() {
                    self.accepted.truncate(mark);
                }
            }
            Err(reason) => reasons.push(reason),
        }
        if reasons.is_empty() { Ok(Outcome::Executed) } else { Err(reasons) }
    }

    /// Moves the leg; returns why it must not.
    fn leg(&mut self, request: &Transfer, leg: Leg, now: i64) -> Vec<Refusal> {
        let account = |id| self.accounts.get(&id).filter(|own| own.tenant == request.tenant);
        let (Some(debit), Some(credit)) = (account(leg.debit), account(leg.credit)) else {
            return vec![Refusal::UnknownAccount];
        };
        let (debit, credit) = (debit.clone(), credit.clone());
        let mut reasons = Vec::new();
        if request.by_client && !(debit.for_clients && credit.for_clients) {
            reasons.push(Refusal::AccountManaged);
        }
        if debit.asset != credit.asset {
            reasons.push(Refusal::AssetMismatch);
        }
        self.accepted.last_mut().unwrap().legs.push(leg);
        if self.sums(leg.debit).is_none() || self.sums(leg.credit).is_none() {
            reasons.push(Refusal::BalanceOverflow);
        }
        if is_new(request) {
            if debit.closed || credit.closed {
                reasons.push(Refusal::AccountClosed);
            }
            if debit.frozen || credit.frozen {
                reasons.push(Refusal::AccountFrozen);
            }
            if debit.side == Side::Credit {
                reasons.extend(self.outflow(&debit, leg.debit, now));
            }
            if credit.side == Side::Debit {
                reasons.extend(self.outflow(&credit, leg.credit, now));
            }
        }
        reasons
    }

    /// Why the account must not be as it is, after something left it.
    fn outflow(&self, account: &Account, id: AccountId, now: i64) -> Vec<Refusal> {
        let mut reasons = Vec::new();
        if !self.is_above_floor(account, id) {
            reasons.push(Refusal::InsufficientFunds);
        }
        for limit in &account.limits {
            let (mut count, mut sum) = (0_u32, 0_u128);
            for accepted in self.accepted.iter().filter(|accepted| is_new(&accepted.request)) {
                let out = |leg: &&Leg| match account.side {
                    Side::Debit => leg.credit == id,
                    Side::Credit => leg.debit == id,
                };
                let in_window = accepted.at > now - i64::from(limit.window_secs);
                if in_window && accepted.legs.iter().any(|leg| out(&leg)) {
                    count += 1;
                    let legs = accepted.legs.iter().filter(out);
                    sum = legs.fold(sum, |sum, leg| sum.saturating_add(leg.amount));
                }
            }
            let many = limit.count_max.is_some_and(|max| count > max);
            if many || limit.sum_max.is_some_and(|max| sum > max) {
                reasons.push(Refusal::VelocityExceeded);
            }
        }
        reasons
    }

    fn is_above_floor(&self, account: &Account, id: AccountId) -> bool {
        let (Some(floor), Some(totals)) = (account.floor, self.sums(id)) else { return true };
        let (plus, minus) = match account.side {
            Side::Debit => (totals.debits_posted, [totals.credits_posted, totals.credits_pending]),
            Side::Credit => (totals.credits_posted, [totals.debits_posted, totals.debits_pending]),
        };
        let size = floor.unsigned_abs();
        let (add, take) = if floor < 0 { (size, 0) } else { (0, size) };
        wide(&[plus, add]) >= wide(&[minus[0], minus[1], take])
    }

    /// What the request would move, reserve or release.
    fn legs(&self, request: &Transfer, now: i64) -> Result<Vec<Leg>, Refusal> {
        match &request.action {
            Action::Transfer(legs) | Action::Pending { legs, .. } => Ok(legs.clone()),
            Action::PostPending { pending, amounts } => {
                let target = self.open_pending(request.tenant, *pending)?;
                if is_over(target, now) {
                    return Err(Refusal::PendingExpired);
                }
                let whole: Vec<u128> = target.legs.iter().map(|leg| leg.amount).collect();
                let amounts = amounts.as_ref().unwrap_or(&whole);
                if amounts.len() != whole.len() || amounts.iter().all(|amount| *amount == 0) {
                    return Err(Refusal::PendingAmounts);
                }
                let too_much = amounts.iter().zip(&whole).position(|(amount, most)| amount > most);
                if let Some(at) = too_much {
                    return Err(at_leg(Refusal::PendingAmounts, at, whole.len()));
                }
                let legs = target.legs.iter().zip(amounts);
                Ok(legs.map(|(leg, amount)| Leg { amount: *amount, ..*leg }).collect())
            }
            Action::VoidPending { pending } => {
                Ok(self.open_pending(request.tenant, *pending)?.legs.clone())
            }
            Action::ExpirePending { pending } => {
                let target = self.open_pending(request.tenant, *pending)?;
                is_over(target, now).then(|| target.legs.clone()).ok_or(Refusal::PendingNotExpired)
            }
            Action::Reverse { original } => {
                let target = self.find(request.tenant, *original);
                let target = target.ok_or(Refusal::OriginalNotFound)?;
                if !moves(&target.request) {
                    return Err(Refusal::NotReversible);
                }
                if self.ending(request.tenant, *original).is_some() {
                    return Err(Refusal::AlreadyReversed);
                }
                let moved = target.legs.iter().rev().filter(|leg| leg.amount > 0);
                let back = |leg: &Leg| Leg { debit: leg.credit, credit: leg.debit, ..*leg };
                Ok(moved.map(back).collect())
            }
        }
    }

    fn open_pending(&self, tenant: TenantId, id: TransferId) -> Result<&Accepted, Refusal> {
        let found = self.find(tenant, id).ok_or(Refusal::PendingNotFound)?;
        if !matches!(found.request.action, Action::Pending { .. }) {
            return Err(Refusal::PendingNotFound);
        }
        match self.ending(tenant, id).map(|ending| &ending.request.action) {
            None => Ok(found),
            Some(Action::PostPending { .. }) => Err(Refusal::PendingAlreadyPosted),
            Some(Action::ExpirePending { .. }) => Err(Refusal::PendingExpired),
            Some(_) => Err(Refusal::PendingAlreadyVoided),
        }
    }

    /// What only says who asks and until when is not part of the body. No day is the day of recording,
    /// and posting all is posting exactly all.
    fn is_same(&self, known: &Accepted, request: &Transfer) -> bool {
        let day = request.effective_on.unwrap_or_else(|| day_of(known.at));
        let same_action = match (&known.request.action, &request.action) {
            (
                Action::PostPending { pending: one, .. },
                Action::PostPending { pending: other, amounts },
            ) if one == other => {
                let moved: Vec<u128> = known.legs.iter().map(|leg| leg.amount).collect();
                let pending = self.find(request.tenant, *one).unwrap();
                let whole = pending.legs.iter().map(|leg| leg.amount).collect();
                *amounts.as_ref().unwrap_or(&whole) == moved
            }
            (one, other) => one == other,
        };
        same_action
            && known.day() == day
            && known.request.code == request.code
            && known.request.reference == request.reference
    }
}

/// Of several legs it is said which one was refused.
fn at_leg(cause: Refusal, at: usize, of: usize) -> Refusal {
    if of == 1 {
        return cause;
    }
    Refusal::AtLeg { leg: u32::try_from(at).unwrap(), cause: Box::new(cause) }
}

/// What is wrong with the request, whatever is in the books.
fn form(request: &Transfer, now: i64) -> Vec<Refusal> {
    let mut reasons = Vec::new();
    let text = |text: &str, most| text.len() > most || text.chars().any(char::is_control);
    if text(&request.code, 64) || text(&request.reference, 256) {
        reasons.push(Refusal::InvalidText);
    }
    if request.by_client && request.id.is_reserved() {
        reasons.push(Refusal::ReservedId);
    }
    if request.not_after.is_some_and(|time| time.as_second() < now) {
        reasons.push(Refusal::TooLate);
    }
    if let Action::Transfer(legs) | Action::Pending { legs, .. } = &request.action {
        if legs.is_empty() || legs.len() > 100 {
            reasons.push(Refusal::LegCount);
        }
        for (at, leg) in legs.iter().enumerate() {
            if leg.amount == 0 {
                reasons.push(at_leg(Refusal::ZeroAmount, at, legs.len()));
            }
            if leg.debit == leg.credit {
                reasons.push(at_leg(Refusal::SameAccount, at, legs.len()));
            }
        }
    }
    reasons
}

fn is_over(pending: &Accepted, now: i64) -> bool {
    match pending.request.action {
        Action::Pending { timeout_secs: Some(seconds), .. } => {
            now >= pending.at + i64::from(seconds)
        }
        _ => false,
    }
}

/// The sum: how often it is more than 128 bits, and the rest.
fn wide(numbers: &[u128]) -> (u32, u128) {
    numbers.iter().fold((0, 0), |(carries, sum): (u32, u128), number| {
        let (sum, carry) = sum.overflowing_add(*number);
        (carries + u32::from(carry), sum)
    })
}
