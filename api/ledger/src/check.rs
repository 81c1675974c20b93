//! A second opinion: recomputes every balance from the transfers, and shares no rule with the code
//! that posts.

mod kept;
mod outbox;

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;

use api_store::Tx;

use kept::tail_after;
use outbox::Outbox;

use crate::repo::{self, RawBalance, RawTransfer, SEQ_BITS, TailRow};
use crate::{LedgerError, bytes};

const PAGE: u32 = 5000;

/// What the check found.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CheckReport {
    /// How many accounts were read.
    pub accounts: u64,
    /// How many legs were read.
    pub legs: u64,
    /// How many pending transfers are open.
    pub open: u64,
    /// The first thing that is not as it must be; `None` when all is well.
    pub difference: Option<Difference>,
}

impl CheckReport {
    /// True when nothing was found.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.difference.is_none()
    }
}

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where: an account or the `seq` of a leg.
    pub place: String,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.what)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Sums {
    posted: [u128; 2],
    pending: [u128; 2],
}

struct AccountFold {
    stored: RawBalance,
    sums: Sums,
    last_recorded: i64,
    last_seq: i64,
    legs: i64,
    marks: Vec<i64>,
    /// The commit of its last leg.
    changed: i64,
    /// The last commit for which the tail has it.
    kept: i64,
}

type Reserved = Vec<(i64, i64, u128)>;

/// A reversal whose legs are read: how many were, and what all must be.
struct Reversing {
    id: Vec<u8>,
    read: usize,
    legs: Vec<(i64, i64, u128)>,
}

/// What is kept for the commits to come, in their order.
#[derive(Default)]
struct Ahead {
    /// Commits of the rows of `ledger_balances`, with their accounts.
    rows: VecDeque<(i64, i64)>,
    /// The next row of the tail.
    tail: Option<TailRow>,
}

#[derive(Default)]
struct Fold {
    accounts: HashMap<i64, AccountFold>,
    open: HashMap<(i64, Vec<u8>), Reserved>,
    ending: Option<((i64, Vec<u8>), usize)>,
    reversing: Option<Reversing>,
    legs: u64,
    last: Option<(i64, Vec<u8>, i64)>,
    /// The commit whose legs are read.
    commit: i64,
    ahead: Ahead,
    /// The marks of the tail.
    marked: HashSet<(i64, i64)>,
    /// The tail no longer counts up to this commit.
    folded: i64,
    outbox: Outbox,
}

enum Stop {
    Found(Difference),
    Failed(LedgerError),
}

impl<E: Into<LedgerError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

fn found<T>(place: impl fmt::Display, what: impl fmt::Display) -> Result<T, Stop> {
    Err(Stop::Found(Difference { place: place.to_string(), what: what.to_string() }))
}

pub(crate) async fn check(tx: &mut Tx) -> Result<CheckReport, LedgerError> {
    let mut fold = Fold::default();
    let outcome = run(tx, &mut fold).await;
    let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
    let difference = match outcome {
        Ok(()) => None,
        Err(Stop::Found(difference)) => Some(difference),
        Err(Stop::Failed(error)) => return Err(error),
    };
    let (accounts, open) = (count(fold.accounts.len()), count(fold.open.len()));
    Ok(CheckReport { accounts, legs: fold.legs, open, difference })
}

async fn run(tx: &mut Tx, fold: &mut Fold) -> Result<(), Stop> {
    let mut account = 0;
    loop {
        let page = repo::balances_page(tx, account, PAGE).await?;
        let Some(last) = page.last() else { break };
        account = last.0;
        for stored in page {
            let empty = AccountFold {
                stored,
                sums: Sums::default(),
                last_recorded: i64::MIN,
                last_seq: 0,
                legs: 0,
                marks: Vec::new(),
                changed: 0,
                kept: 0,
            };
            fold.ahead.rows.push_back((empty.stored.13, empty.stored.0));
            fold.accounts.insert(empty.stored.0, empty);
        }
    }
    fold.ahead.rows.make_contiguous().sort_unstable();
    let (head, _) = repo::head(tx, 0).await?;
    if head.folded > head.commits {
        return found("ledger_state", format!("folded up to {}, which is no commit", head.folded));
    }
    fold.folded = head.folded;
    fold.ahead.tail = tail_after(tx, 0).await?;
    let mut seq = 0;
    loop {
        let page = repo::transfers_page(tx, seq, PAGE).await?;
        let Some(last) = page.last() else { break };
        seq = last.0;
        for leg in page {
            fold.kept_until(tx, leg.0 >> SEQ_BITS).await?;
            fold.leg(tx, &leg).await?;
        }
    }
    fold.end_target(None)?;
    fold.end_reversal()?;
    fold.kept_until(tx, i64::MAX).await?;
    fold.balances()?;
    fold.marks(tx).await?;
    fold.outbox.end(tx).await?;
    fold.holds(tx).await
}

impl Fold {
    async fn leg(&mut self, tx: &mut Tx, leg: &RawTransfer) -> Result<(), Stop> {
        self.legs = self.legs.saturating_add(1);
        let (seq, book, id, number, kind, debit, credit) =
            (leg.0, leg.1, &leg.2, leg.3, leg.4, leg.5, leg.6);
        let expected = match &self.last {
            Some((last_book, last_id, last)) if *last_book == book && last_id == id => {
                last.saturating_add(1)
            }
            _ => 0,
        };
        if number != expected {
            return found(seq, format!("leg {number} where leg {expected} was expected"));
        }
        self.last = Some((book, id.clone(), number));
        self.same_asset(seq, book, debit, credit)?;
        let amount = bytes::decode(&leg.7)?;
        let target = leg.8.as_ref().map(|target| (book, target.clone()));
        if number == 0 {
            self.end_target(target.as_ref().filter(|_| matches!(kind, 3..=5)))?;
            self.end_reversal()?;
            self.outbox.transfer(book);
        }
        match (kind, target) {
            (1, None) => self.post(seq, debit, credit, amount)?,
            (2, None) => {
                self.reserve(seq, debit, credit, amount)?;
                let legs = self.open.entry((book, id.clone())).or_default();
                legs.push((debit, credit, amount));
            }
            (3..=5, Some(target)) => {
                let reserved = self.reserved(seq, &target, number, debit, credit)?;
                self.release(seq, debit, credit, reserved)?;
                match kind {
                    3 if amount <= reserved => self.post(seq, debit, credit, amount)?,
                    4 | 5 if amount == reserved => {}
                    _ => return found(seq, "its amount is not what was reserved"),
                }
            }
            (6, Some((_, target))) => {
                self.reverses(tx, leg, &target, amount).await?;
                self.post(seq, debit, credit, amount)?;
            }
            _ => return found(seq, "its kind and its target do not fit"),
        }
        self.after(seq, debit, leg.9, leg.10.as_deref(), leg.11.as_deref())?;
        self.after(seq, credit, leg.9, leg.12.as_deref(), leg.13.as_deref())?;
        self.follows(seq, debit, leg.14)?;
        self.follows(seq, credit, leg.15)
    }

    fn account(&mut self, seq: i64, number: i64) -> Result<&mut AccountFold, Stop> {
        match self.accounts.get_mut(&number) {
            Some(account) => Ok(account),
            None => found(seq, format!("account {number} does not exist")),
        }
    }

    fn same_asset(&mut self, seq: i64, book: i64, debit: i64, credit: i64) -> Result<(), Stop> {
        let one = self.account(seq, debit)?;
        let (debit_book, asset) = (one.stored.1, one.stored.2.clone());
        let other = self.account(seq, credit)?;
        if other.stored.2 != asset {
            return found(seq, "its accounts count different assets");
        }
        if debit_book != book || other.stored.1 != book {
            return found(seq, "an account is in another book");
        }
        Ok(())
    }

    fn post(&mut self, seq: i64, debit: i64, credit: i64, amount: u128) -> Result<(), Stop> {
        for (number, side) in [(debit, 0), (credit, 1)] {
            let total = &mut self.account(seq, number)?.sums.posted[side];
            let Some(sum) = total.checked_add(amount) else { return found(seq, "overflow") };
            *total = sum;
        }
        Ok(())
    }

    fn reserve(&mut self, seq: i64, debit: i64, credit: i64, amount: u128) -> Result<(), Stop> {
        for (number, side) in [(debit, 0), (credit, 1)] {
            let total = &mut self.account(seq, number)?.sums.pending[side];
            let Some(sum) = total.checked_add(amount) else { return found(seq, "overflow") };
            *total = sum;
        }
        Ok(())
    }

    fn release(&mut self, seq: i64, debit: i64, credit: i64, amount: u128) -> Result<(), Stop> {
        for (number, side) in [(debit, 0), (credit, 1)] {
            let total = &mut self.account(seq, number)?.sums.pending[side];
            let Some(rest) = total.checked_sub(amount) else {
                return found(seq, "it releases more than is reserved");
            };
            *total = rest;
        }
        Ok(())
    }

    /// What the pending transfer `target` reserved with this leg.
    fn reserved(
        &mut self,
        seq: i64,
        target: &(i64, Vec<u8>),
        number: i64,
        debit: i64,
        credit: i64,
    ) -> Result<u128, Stop> {
        let Some(legs) = self.open.get(target) else {
            return found(seq, "it ends a pending transfer that is not open");
        };
        let leg = usize::try_from(number).ok().and_then(|number| legs.get(number));
        let Some(&(from, to, reserved)) = leg else {
            return found(seq, "it has more legs than the pending transfer");
        };
        if (from, to) != (debit, credit) {
            return found(seq, "its accounts are not those of the pending transfer");
        }
        if let Some((ending, legs)) = &mut self.ending
            && ending == target
        {
            *legs = legs.saturating_add(1);
        }
        Ok(reserved)
    }

    /// The pending transfer whose legs were being ended must have been ended with all of them.
    fn end_target(&mut self, next: Option<&(i64, Vec<u8>)>) -> Result<(), Stop> {
        if let Some((target, ended)) = self.ending.take() {
            let reserved = self.open.remove(&target).map_or(0, |legs| legs.len());
            if ended != reserved {
                let id = repo::transfer_id(&target.1)?;
                return found(id, format!("{ended} of its {reserved} legs were ended"));
            }
        }
        self.ending = next.map(|target| (target.clone(), 0));
        Ok(())
    }

    /// A reversal moves back all legs of an earlier transfer that moved money, the last one first.
    async fn reverses(
        &mut self,
        tx: &mut Tx,
        leg: &RawTransfer,
        target: &[u8],
        amount: u128,
    ) -> Result<(), Stop> {
        if leg.3 == 0 {
            let mut legs = Vec::new();
            for row in repo::transfer_rows(tx, leg.1, target).await?.into_iter().rev() {
                let moved = bytes::decode(&row.7)?;
                if row.0 < leg.0 && matches!(row.4, 1 | 3 | 6) && moved > 0 {
                    legs.push((row.6, row.5, moved));
                }
            }
            self.reversing = Some(Reversing { id: leg.2.clone(), read: 0, legs });
        }
        let reversing = self.reversing.as_mut().filter(|reversing| reversing.id == leg.2);
        let expected = reversing.and_then(|reversing| {
            let at = reversing.read;
            reversing.read = at.saturating_add(1);
            reversing.legs.get(at)
        });
        if expected == Some(&(leg.5, leg.6, amount)) {
            return Ok(());
        }
        found(leg.0, "it reverses nothing that was posted")
    }

    /// All legs must have been moved back.
    fn end_reversal(&mut self) -> Result<(), Stop> {
        match self.reversing.take() {
            Some(Reversing { id, read, legs }) if read != legs.len() => {
                let id = repo::transfer_id(&id)?;
                found(id, format!("it reverses {read} of {} legs", legs.len()))
            }
            _ => Ok(()),
        }
    }

    /// The totals stored with the leg, and the order of times.
    fn after(
        &mut self,
        seq: i64,
        number: i64,
        recorded_at: i64,
        debits: Option<&[u8]>,
        credits: Option<&[u8]>,
    ) -> Result<(), Stop> {
        let account = self.account(seq, number)?;
        if recorded_at < account.last_recorded {
            return found(seq, format!("recorded before an earlier leg of account {number}"));
        }
        account.last_recorded = recorded_at;
        account.changed = seq >> SEQ_BITS;
        let keeps_history = account.stored.4 & 1 == 1;
        let stored = debits.zip(credits);
        if keeps_history != stored.is_some() {
            return found(
                seq,
                format!("account {number}: history is missing or was not asked for"),
            );
        }
        let Some((debits, credits)) = stored else { return Ok(()) };
        let stored = [bytes::decode(debits)?, bytes::decode(credits)?];
        if stored != account.sums.posted {
            let sums = account.sums.posted;
            return found(seq, format!("account {number}: stored {stored:?}, summed {sums:?}"));
        }
        Ok(())
    }

    /// The leg names the one before it of an account that keeps history.
    fn follows(&mut self, seq: i64, number: i64, prev: Option<i64>) -> Result<(), Stop> {
        let account = self.account(seq, number)?;
        let last = (account.stored.4 & 1 == 1).then_some(account.last_seq);
        if prev != last {
            return found(seq, format!("account {number}: it follows {prev:?}, not {last:?}"));
        }
        if last.is_some() {
            account.last_seq = seq;
            account.legs = account.legs.saturating_add(1);
            if account.legs & 31 == 0 {
                account.marks.push(seq);
            }
        }
        Ok(())
    }

    async fn holds(&self, tx: &mut Tx) -> Result<(), Stop> {
        let mut seen = 0_usize;
        let mut after = (0, Vec::new());
        loop {
            let page = repo::holds_page(tx, (after.0, &after.1), PAGE).await?;
            let Some((book, id, ..)) = page.last() else { break };
            after = (*book, id.clone());
            for (book, id, expires_at, expected) in page {
                let place = repo::transfer_id(&id)?;
                if !self.open.contains_key(&(book, id)) {
                    return found(place, "listed as open, but it has ended");
                }
                if expires_at != expected {
                    let what =
                        format!("it is listed with {expires_at:?}, but expires {expected:?}");
                    return found(place, what);
                }
                seen = seen.saturating_add(1);
            }
        }
        if seen == self.open.len() {
            Ok(())
        } else {
            found("ledger_holds", format!("{seen} rows for {} open transfers", self.open.len()))
        }
    }
}
