use super::{Book, Row};
use crate::balance::Totals;
use crate::transfer::{Action, Kind, Leg, Transfer};
use crate::{AccountId, LEGS_MAX, Refusal, Side};

const CODE_BYTES_MAX: usize = 64;
const REFERENCE_BYTES_MAX: usize = 256;
const MICROS_PER_SECOND: i64 = 1_000_000;

/// What a transfer will do, once it was found to be well formed.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) legs: Vec<PlannedLeg>,
    pub(crate) effective_on: Option<i64>,
    pub(crate) expires_at: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct PlannedLeg {
    pub(crate) debit: AccountId,
    pub(crate) credit: AccountId,
    /// What is moved, reserved or released.
    pub(crate) amount: u128,
    /// What was reserved before and is no more.
    pub(crate) reserved: u128,
}

impl Book {
    pub(super) fn plan(&self, transfer: &Transfer) -> Result<Plan, Refusal> {
        check_text(&transfer.code, CODE_BYTES_MAX)?;
        check_text(&transfer.reference, REFERENCE_BYTES_MAX)?;
        if transfer.by_client && transfer.id.is_reserved() {
            return Err(Refusal::ReservedId);
        }
        if transfer.not_after.is_some_and(|time| time.as_microsecond() < self.now) {
            return Err(Refusal::TooLate);
        }
        let mut expires_at = None;
        let legs = match &transfer.action {
            Action::Transfer(legs) => new_legs(legs)?,
            Action::Pending { legs, timeout_secs } => {
                expires_at = self.expiry(*timeout_secs)?;
                new_legs(legs)?
            }
            Action::PostPending { amounts, .. } => {
                let pending = self.open_pending(transfer)?;
                refuse_expired(pending, self.now)?;
                posted_legs(pending, amounts.as_deref())?
            }
            Action::VoidPending { .. } => released_legs(self.open_pending(transfer)?),
            Action::ExpirePending { .. } => {
                let pending = self.open_pending(transfer)?;
                if refuse_expired(pending, self.now).is_ok() {
                    return Err(Refusal::PendingNotExpired);
                }
                released_legs(pending)
            }
            Action::Reverse { .. } => reversed_legs(self.reversible(transfer)?),
        };
        let effective_on = transfer.effective_on.map(day_number).transpose()?;
        Ok(Plan { kind: transfer.kind(), legs, effective_on, expires_at })
    }

    fn expiry(&self, timeout_secs: Option<u32>) -> Result<Option<i64>, Refusal> {
        let Some(seconds) = timeout_secs else { return Ok(None) };
        // It could never be posted.
        if seconds == 0 {
            return Err(Refusal::InvalidDate);
        }
        let micros = i64::from(seconds).checked_mul(MICROS_PER_SECOND);
        let expires_at = micros.and_then(|micros| micros.checked_add(self.now));
        expires_at.map(Some).ok_or(Refusal::InvalidDate)
    }

    fn open_pending(&self, transfer: &Transfer) -> Result<&[Row], Refusal> {
        let rows = self.target_rows(transfer);
        if rows.first().is_none_or(|row| row.kind != Kind::Pending) {
            return Err(Refusal::PendingNotFound);
        }
        match self.ending(transfer) {
            None => Ok(rows),
            Some(Kind::PostPending) => Err(Refusal::PendingAlreadyPosted),
            Some(Kind::ExpirePending) => Err(Refusal::PendingExpired),
            Some(_) => Err(Refusal::PendingAlreadyVoided),
        }
    }

    fn reversible(&self, transfer: &Transfer) -> Result<&[Row], Refusal> {
        let rows = self.target_rows(transfer);
        let first = rows.first().ok_or(Refusal::OriginalNotFound)?;
        if !first.kind.moves_money() {
            return Err(Refusal::NotReversible);
        }
        if self.ending(transfer).is_some() {
            return Err(Refusal::AlreadyReversed);
        }
        Ok(rows)
    }

    fn ending(&self, transfer: &Transfer) -> Option<Kind> {
        let target = transfer.target()?;
        self.ended.get(&(transfer.tenant, target)).copied()
    }
}

fn check_text(text: &str, bytes_max: usize) -> Result<(), Refusal> {
    if text.len() > bytes_max || text.chars().any(char::is_control) {
        return Err(Refusal::InvalidText);
    }
    Ok(())
}

/// Days since 1970-01-01.
fn day_number(date: jiff::civil::Date) -> Result<i64, Refusal> {
    let epoch = jiff::civil::date(1970, 1, 1);
    let days = epoch.until(date).map_err(|_| Refusal::InvalidDate)?.get_days();
    Ok(days.into())
}

fn new_legs(legs: &[Leg]) -> Result<Vec<PlannedLeg>, Refusal> {
    if legs.is_empty() || legs.len() > LEGS_MAX {
        return Err(Refusal::LegCount);
    }
    let plan = |(at, leg): (usize, &Leg)| {
        if leg.amount == 0 {
            return Err(Refusal::ZeroAmount.at_leg(at, legs.len()));
        }
        if leg.debit == leg.credit {
            return Err(Refusal::SameAccount.at_leg(at, legs.len()));
        }
        Ok(PlannedLeg { debit: leg.debit, credit: leg.credit, amount: leg.amount, reserved: 0 })
    };
    legs.iter().enumerate().map(plan).collect()
}

fn refuse_expired(pending: &[Row], now: i64) -> Result<(), Refusal> {
    let expires_at = pending.first().and_then(|row| row.expires_at);
    if expires_at.is_some_and(|time| time <= now) { Err(Refusal::PendingExpired) } else { Ok(()) }
}

fn posted_legs(pending: &[Row], amounts: Option<&[u128]>) -> Result<Vec<PlannedLeg>, Refusal> {
    let Some(amounts) = amounts else { return Ok(released_legs(pending)) };
    let nothing = amounts.iter().all(|amount| *amount == 0);
    if amounts.len() != pending.len() || nothing {
        return Err(Refusal::PendingAmounts);
    }
    let plan = |(at, (row, amount)): (usize, (&Row, &u128))| {
        let leg = released_leg(row);
        let planned = (*amount <= leg.reserved).then_some(PlannedLeg { amount: *amount, ..leg });
        planned.ok_or_else(|| Refusal::PendingAmounts.at_leg(at, amounts.len()))
    };
    pending.iter().zip(amounts).enumerate().map(plan).collect()
}

fn released_legs(pending: &[Row]) -> Vec<PlannedLeg> {
    pending.iter().map(released_leg).collect()
}

const fn released_leg(row: &Row) -> PlannedLeg {
    PlannedLeg { debit: row.debit, credit: row.credit, amount: row.amount, reserved: row.amount }
}

/// The legs the other way round, the last one first; those that moved nothing are left out.
fn reversed_legs(original: &[Row]) -> Vec<PlannedLeg> {
    let moved = original.iter().rev().filter(|row| row.amount > 0);
    let back = |row: &Row| PlannedLeg {
        debit: row.credit,
        credit: row.debit,
        amount: row.amount,
        reserved: 0,
    };
    moved.map(back).collect()
}

/// The totals of one account of a leg after it. `entry` says whether it is the debited one.
pub(super) fn moved(
    before: &Totals,
    kind: Kind,
    leg: &PlannedLeg,
    entry: Side,
) -> Result<Totals, Refusal> {
    let mut totals = *before;
    let (posted, pending) = match entry {
        Side::Debit => (&mut totals.debits_posted, &mut totals.debits_pending),
        Side::Credit => (&mut totals.credits_posted, &mut totals.credits_pending),
    };
    let overflow = Refusal::BalanceOverflow;
    *pending = pending.checked_sub(leg.reserved).ok_or(Refusal::BalanceOverflow)?;
    let grows = match kind {
        Kind::Transfer | Kind::PostPending | Kind::Reversal => Some(&mut *posted),
        Kind::Pending => Some(&mut *pending),
        Kind::VoidPending | Kind::ExpirePending => None,
    };
    if let Some(total) = grows {
        *total = total.checked_add(leg.amount).ok_or(Refusal::BalanceOverflow)?;
    }
    posted.checked_add(*pending).ok_or(overflow)?;
    Ok(totals)
}

/// True when `transfer` asks for what `rows` recorded; `target` are the rows of its target.
pub(super) fn same_body(transfer: &Transfer, rows: &[Row], target: &[Row]) -> bool {
    let Some(first) = rows.first() else { return false };
    first.kind == transfer.kind()
        && first.target == transfer.target()
        && first.code == transfer.code
        && first.reference == transfer.reference
        && same_day(transfer, first)
        && same_action(&transfer.action, rows, target)
}

fn same_day(transfer: &Transfer, row: &Row) -> bool {
    match transfer.effective_on.map(day_number) {
        None => row.effective_on.is_none(),
        Some(day) => day == Ok(row.effective_day()),
    }
}

fn same_action(action: &Action, rows: &[Row], target: &[Row]) -> bool {
    match action {
        Action::Transfer(legs) => same_legs(legs, rows),
        Action::Pending { legs, timeout_secs } => {
            same_legs(legs, rows) && rows.first().map(timeout) == Some(*timeout_secs)
        }
        Action::PostPending { amounts: Some(amounts), .. } => {
            rows.iter().map(|row| row.amount).eq(amounts.iter().copied())
        }
        Action::PostPending { amounts: None, .. } => {
            rows.iter().map(|row| row.amount).eq(target.iter().map(|row| row.amount))
        }
        Action::VoidPending { .. } | Action::ExpirePending { .. } | Action::Reverse { .. } => true,
    }
}

fn same_legs(legs: &[Leg], rows: &[Row]) -> bool {
    let asked = legs.iter().map(|leg| (leg.debit, leg.credit, leg.amount));
    asked.eq(rows.iter().map(|row| (row.debit, row.credit, row.amount)))
}

/// The timeout that the client asked for, in seconds.
fn timeout(row: &Row) -> Option<u32> {
    let micros = row.expires_at?.checked_sub(row.recorded_at)?;
    u32::try_from(micros.checked_div(MICROS_PER_SECOND)?).ok()
}
