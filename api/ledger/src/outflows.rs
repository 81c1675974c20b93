//! What left accounts with velocity limits lately, in memory: how much of a limit is used up is then the
//! difference of two sums, and not a walk through the whole window.
//!
//! What is kept was read from legs that are durable. A [`Walk`] reads those that came since, as far as the
//! last one that is known; when that one is not in the history, it is another history, of a database
//! that was restored, and everything is read again.

use std::collections::{HashMap, VecDeque};

use crate::book::Usage;
use crate::{AccountId, TransferId, VelocityLimit};

const MICROS_PER_SECOND: i64 = 1_000_000;
/// How many entries may stay in memory over all accounts, with 48 bytes each.
const ENTRIES_MAX: usize = 1 << 20;
/// What an account costs besides its entries, in entries.
const ACCOUNT_WEIGHT: usize = 4;
/// Entries stay for so much longer than the window: the clock of the next posting may be behind.
const SLACK_MICROS: i64 = 60_000_000;

/// Which leg is where in an account's history. Two histories that have the same one have the same legs
/// before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) seq: i64,
    pub(crate) transfer: TransferId,
    pub(crate) leg: i64,
    pub(crate) recorded_at: i64,
}

/// A leg of an account's history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) place: Place,
    /// What left the account with it.
    pub(crate) out: Option<u128>,
    /// The leg before it; zero: there is none.
    pub(crate) prev: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The rest is in memory.
    Known(Place),
    /// The rest is too old to count.
    Old,
    Beginning,
}

/// The way back through an account's history.
#[derive(Debug)]
pub(crate) struct Walk {
    known: Option<Place>,
    /// What was recorded then or before it does not count.
    from: i64,
    next: i64,
    end: Option<End>,
    /// The account's last leg.
    last: Option<Place>,
    /// Newest first.
    outflows: Vec<(Place, u128)>,
}

impl Walk {
    /// From the leg `last_seq` (zero: there is none) to `known`, or as far as counts for any of the limits.
    pub(crate) fn new(
        last_seq: i64,
        known: Option<Place>,
        limits: &[VelocityLimit],
        now: i64,
    ) -> Self {
        let from = begin(limits, now).saturating_sub(SLACK_MICROS);
        let end = (last_seq == 0).then_some(End::Beginning);
        Self { known, from, next: last_seq, end, last: None, outflows: Vec::new() }
    }

    /// The `seq` of the next leg; `None` when it is over.
    pub(crate) fn next(&self) -> Option<i64> {
        self.end.is_none().then_some(self.next)
    }

    /// Legs before this one will not be needed, as far as is known.
    pub(crate) fn stop(&self) -> i64 {
        self.known.map_or(0, |known| known.seq)
    }

    pub(crate) fn step(&mut self, step: &Step) {
        let Step { place, out, prev } = *step;
        if self.next() != Some(place.seq) {
            return;
        }
        self.last.get_or_insert(place);
        if self.known == Some(place) {
            self.end = Some(End::Known(place));
            return;
        }
        if place.recorded_at <= self.from {
            self.end = Some(End::Old);
            return;
        }
        // Past where it should have been.
        self.known = self.known.filter(|known| known.seq < place.seq);
        self.outflows.extend(out.map(|amount| (place, amount)));
        self.next = prev;
        if prev == 0 {
            self.end = Some(End::Beginning);
        }
    }
}

/// Where the longest window begins.
fn begin(limits: &[VelocityLimit], now: i64) -> i64 {
    let windows = limits.iter().map(|limit| limit.window_secs);
    begin_of(windows.max().unwrap_or_default(), now)
}

fn begin_of(window_secs: u32, now: i64) -> i64 {
    now.saturating_sub(i64::from(window_secs).saturating_mul(MICROS_PER_SECOND))
}

/// All outflows up to one of them: how many transfers, and how much (`high` counts 2^128s).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Sum {
    count: u64,
    high: u64,
    low: u128,
}

impl Sum {
    fn plus(self, is_other_transfer: bool, amount: u128) -> Self {
        let (low, carry) = self.low.overflowing_add(amount);
        Self {
            count: self.count.saturating_add(u64::from(is_other_transfer)),
            high: self.high.saturating_add(u64::from(carry)),
            low,
        }
    }

    /// What came after `before`, which is the sum up to an earlier one.
    fn since(self, before: Self) -> (u64, u128) {
        let (low, borrow) = self.low.overflowing_sub(before.low);
        let high = self.high.saturating_sub(before.high).saturating_sub(u64::from(borrow));
        let sum = if high == 0 { low } else { u128::MAX };
        (self.count.saturating_sub(before.count), sum)
    }
}

/// Outflows by the time when they were recorded.
#[derive(Clone, Debug, Default)]
struct Sums {
    /// Up to the first entry, without it.
    before: Sum,
    /// Up to each time, with all that was recorded then.
    entries: VecDeque<(i64, Sum)>,
    /// The last transfer that was counted: its further legs are not counted again.
    last: Option<TransferId>,
}

impl Sums {
    fn end(&self) -> Sum {
        self.entries.back().map_or(self.before, |(_, sum)| *sum)
    }

    fn add(&mut self, place: Place, amount: u128) {
        let sum = self.end().plus(self.last != Some(place.transfer), amount);
        self.last = Some(place.transfer);
        match self.entries.back_mut() {
            Some((time, last)) if *time == place.recorded_at => *last = sum,
            _ => self.entries.push_back((place.recorded_at, sum)),
        }
    }

    /// The outflows that were recorded after `time`.
    fn after(&self, time: i64) -> (u64, u128) {
        let next = self.entries.partition_point(|(recorded_at, _)| *recorded_at <= time);
        let before = next.checked_sub(1).and_then(|at| self.entries.get(at));
        self.end().since(before.map_or(self.before, |(_, sum)| *sum))
    }

    fn remove_until(&mut self, time: i64) {
        while let Some((_, sum)) = self.entries.pop_front_if(|(at, _)| *at <= time) {
            self.before = sum;
        }
    }
}

#[derive(Debug)]
struct Kept {
    /// The leg up to which it is.
    last: Place,
    /// All outflows that were recorded later than this are here.
    from: i64,
    sums: Sums,
    /// When it was last used: greater is later.
    used: u64,
}

impl Kept {
    fn weight(&self) -> usize {
        self.sums.entries.len().saturating_add(ACCOUNT_WEIGHT)
    }
}

/// The outflows of accounts.
#[derive(Debug)]
pub(crate) struct Outflows {
    accounts: HashMap<AccountId, Kept>,
    weight: usize,
    weight_max: usize,
    uses: u64,
}

impl Default for Outflows {
    fn default() -> Self {
        Self { accounts: HashMap::new(), weight: 0, weight_max: ENTRIES_MAX, uses: 0 }
    }
}

impl Outflows {
    /// The leg up to which the account is here, if all is here that counts for these limits.
    pub(crate) fn known(
        &self,
        account: AccountId,
        limits: &[VelocityLimit],
        now: i64,
    ) -> Option<Place> {
        let kept = self.accounts.get(&account)?;
        (kept.from <= begin(limits, now)).then_some(kept.last)
    }

    /// What is used up of the limits after a walk that is over; `None` when what the walk left out is
    /// no longer here. With `keep`, which is for legs that are durable, the next walk is as far shorter.
    pub(crate) fn count(
        &mut self,
        account: AccountId,
        walk: &Walk,
        limits: &[VelocityLimit],
        now: i64,
        keep: bool,
    ) -> Option<Vec<Usage>> {
        let older = match walk.end? {
            End::Known(place) => {
                let kept = self.accounts.get(&account)?;
                (kept.last == place && kept.from <= begin(limits, now)).then_some(&kept.sums)
            }
            End::Old | End::Beginning => None,
        };
        if older.is_none() && matches!(walk.end, Some(End::Known(_))) {
            return None;
        }
        let mut newer = Sums { last: older.and_then(|sums| sums.last), ..Sums::default() };
        for (place, amount) in walk.outflows.iter().rev() {
            newer.add(*place, *amount);
        }
        let usage = |limit: &VelocityLimit| {
            let time = begin_of(limit.window_secs, now);
            let (count, sum) = newer.after(time);
            let (more, much) = older.map_or((0, 0), |sums| sums.after(time));
            Usage {
                limit: *limit,
                count: count.saturating_add(more),
                sum: sum.saturating_add(much),
                last: newer.last,
            }
        };
        let usages = limits.iter().map(usage).collect();
        if keep {
            self.keep(account, walk, newer);
        }
        Some(usages)
    }

    fn keep(&mut self, account: AccountId, walk: &Walk, newer: Sums) {
        let old = self.accounts.remove(&account);
        self.weight = self.weight.saturating_sub(old.as_ref().map_or(0, Kept::weight));
        let Some(last) = walk.last else { return };
        let (mut sums, from) = match (walk.end, old) {
            (Some(End::Known(_)), Some(old)) => (old.sums, old.from),
            (Some(End::Beginning), _) => (Sums::default(), i64::MIN),
            _ => (Sums::default(), walk.from),
        };
        if sums.entries.is_empty() && sums.before == Sum::default() {
            sums = newer;
        } else {
            walk.outflows.iter().rev().for_each(|(place, amount)| sums.add(*place, *amount));
        }
        sums.remove_until(walk.from);
        self.uses = self.uses.saturating_add(1);
        let kept = Kept { last, from: from.max(walk.from), sums, used: self.uses };
        self.weight = self.weight.saturating_add(kept.weight());
        self.accounts.insert(account, kept);
        if self.weight > self.weight_max {
            self.shrink();
        }
    }

    /// Drops the accounts that were not used for longest, a quarter of all at once.
    fn shrink(&mut self) {
        let mut accounts: Vec<_> =
            self.accounts.iter().map(|(account, kept)| (kept.used, *account)).collect();
        accounts.sort_unstable();
        let enough = self.weight_max.saturating_sub(self.weight_max.checked_div(4).unwrap_or(0));
        for (_, account) in accounts {
            if self.weight <= enough {
                return;
            }
            let dropped = self.accounts.remove(&account);
            self.weight = self.weight.saturating_sub(dropped.as_ref().map_or(0, Kept::weight));
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const ACCOUNT: AccountId = AccountId::new(1);
    const DAY: i64 = 86_400 * MICROS_PER_SECOND;

    fn limit(window_secs: u32) -> VelocityLimit {
        VelocityLimit { window_secs, count_max: None, sum_max: None }
    }

    #[derive(Clone, Debug)]
    enum Event {
        /// A transfer with these legs; `None` comes in. So many seconds later.
        Post(Vec<Option<u128>>, u32),
        /// The database is restored as it was so many legs ago.
        Restore(usize),
        /// A posting counts for these windows, its clock so far behind; it may keep what it read, and its
        /// page may end early.
        Count(Vec<u32>, u32, bool, usize),
        Forget,
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let amount = prop_oneof![1_u128..100, Just(u128::MAX), Just(u128::MAX / 3)];
        let window = prop_oneof![1_u32..40, 1_u32..4000, Just(u32::MAX)];
        let event = prop_oneof![
            6 => (vec(proptest::option::weighted(0.8, amount), 1..4), 0_u32..30)
                .prop_map(|(legs, later)| Event::Post(legs, later)),
            1 => (1_usize..9).prop_map(Event::Restore),
            6 => (vec(window, 1..4), 0_u32..90, any::<bool>(), 1_usize..6)
                .prop_map(|(windows, behind, keep, page)| Event::Count(windows, behind, keep, page)),
            1 => Just(Event::Forget),
        ];
        vec(event, 1..60)
    }

    /// A walk through `history` in pages, as the database gives them.
    fn walk(history: &[Step], mut walk: Walk, page: usize) -> (Walk, usize) {
        let mut read = 0;
        while let Some(seq) = walk.next() {
            let stop = walk.stop();
            let top = history.iter().position(|step| step.place.seq == seq).unwrap();
            for step in history[..=top].iter().rev().take(page) {
                walk.step(step);
                read += 1;
                if step.place.seq <= stop {
                    break;
                }
            }
        }
        (walk, read)
    }

    fn by_hand(history: &[Step], window: u32, now: i64) -> (u64, u128) {
        let (mut count, mut sum, mut last) = (0, 0_u128, None);
        for step in history.iter().filter(|step| step.place.recorded_at > begin_of(window, now)) {
            let Some(amount) = step.out else { continue };
            count += u64::from(last != Some(step.place.transfer));
            last = Some(step.place.transfer);
            sum = sum.saturating_add(amount);
        }
        (count, sum)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]
        #[test]
        fn what_memory_says_is_what_all_legs_say(events in events(), weight_max in 4_usize..40) {
            let mut outflows = Outflows { weight_max, ..Outflows::default() };
            let (mut history, mut now, mut next) = (Vec::<Step>::new(), 50 * DAY, 0_u128);
            for event in events {
                match event {
                    Event::Post(legs, later) => {
                        now += i64::from(later) * MICROS_PER_SECOND;
                        next += 1;
                        for (leg, out) in (0..).zip(legs) {
                            let prev = history.last().map_or(0, |step| step.place.seq);
                            let transfer = TransferId::from_u128(next);
                            let place = Place { seq: prev + 1, transfer, leg, recorded_at: now };
                            history.push(Step { place, out, prev });
                        }
                    }
                    Event::Restore(legs) => history.truncate(history.len().saturating_sub(legs)),
                    Event::Forget => outflows = Outflows { weight_max, ..Outflows::default() },
                    Event::Count(windows, behind, keep, page) => {
                        let limits: Vec<_> = windows.iter().copied().map(limit).collect();
                        let last = history.last().map(|step| step.place);
                        // Not before what the account has.
                        let clock = now - i64::from(behind) * MICROS_PER_SECOND;
                        let now = last.map_or(clock, |last| clock.max(last.recorded_at));
                        let last_seq = last.map_or(0, |last| last.seq);
                        let known = outflows.known(ACCOUNT, &limits, now);
                        let new = Walk::new(last_seq, known, &limits, now);
                        let (walked, read) = walk(&history, new, page);
                        let usages = outflows.count(ACCOUNT, &walked, &limits, now, keep).unwrap();
                        for (usage, window) in usages.iter().zip(windows) {
                            prop_assert_eq!((usage.count, usage.sum), by_hand(&history, window, now));
                        }
                        if let Some(known) = known.filter(|known| last == Some(*known)) {
                            prop_assert_eq!(read, 1, "only {:?} is read again", known);
                        }
                        prop_assert!(outflows.weight <= weight_max);
                        let weights = outflows.accounts.values().map(Kept::weight);
                        prop_assert_eq!(outflows.weight, weights.sum::<usize>());
                    }
                }
            }
        }
    }

    #[test]
    fn the_account_that_was_not_used_for_longest_is_dropped() {
        let mut outflows = Outflows { weight_max: 16, ..Outflows::default() };
        let limits = [limit(60)];
        let place = Place { seq: 1, transfer: TransferId::from_u128(1), leg: 0, recorded_at: DAY };
        let mut count = |account| {
            let mut walk = Walk::new(1, None, &limits, DAY);
            walk.step(&Step { place, out: Some(7), prev: 0 });
            let usages = outflows.count(AccountId::new(account), &walk, &limits, DAY, true);
            assert_eq!(usages.unwrap()[0].sum, 7);
            (1..=5).filter(|n| outflows.accounts.contains_key(&AccountId::new(*n))).collect()
        };
        let kept: [Vec<i64>; 5] = [1, 2, 3, 1, 4].map(&mut count);
        assert_eq!(kept[3], [1, 2, 3]);
        assert_eq!(kept[4], [1, 4], "5 for each: down to three quarters of 16");
    }
}
