//! A row of `ledger_tail` as bytes: which form they have is said by the first.

use std::iter::once;

use serde::{Deserialize, Serialize, Serializer};

use crate::book::Standing;
use crate::repo::first_seq;
use crate::{AccountId, LedgerError, Totals};

/// Only states, as an earlier version wrote them.
const STATES: u8 = 1;
/// States and marks, as an earlier version wrote them; `changed_at` is relative to the time of the commit, and
/// `last_seq` to the commit's first, so that they are short.
const STATES_AND_MARKS: u8 = 2;
/// The same in less space: each account is relative to the one before it, and what few states have is left out
/// of the others.
const PACKED: u8 = 3;

/// About how long a packed state is.
const PACKED_BYTES: usize = 16;

/// A leg whose number in its account's history is a multiple of [`MARK_EVERY`](crate::repo::MARK_EVERY):
/// account and `seq`.
pub(crate) type Mark = (AccountId, i64);

/// What a commit changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TailRow {
    pub(crate) commit: i64,
    pub(crate) recorded_at: i64,
    pub(crate) states: Vec<(AccountId, Standing)>,
    pub(crate) marks: Vec<Mark>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    account: i64,
    debits_posted: u128,
    credits_posted: u128,
    debits_pending: u128,
    credits_pending: u128,
    changed_at: i64,
    last_seq: i64,
    legs: i64,
}

/// The account and the place of the leg in the commit.
type StoredMark = (i64, i64);

#[derive(Serialize, Deserialize)]
enum Packed {
    /// Nothing is pending, and the commit added to its history.
    Settled { account: u64, debits_posted: u128, credits_posted: u128, last_seq: u32, legs: u64 },
    /// Any other.
    Any(Stored),
}

impl From<Stored> for Packed {
    fn from(stored: Stored) -> Self {
        let Stored { account, debits_posted, credits_posted, last_seq, legs, .. } = stored;
        let rest = (stored.debits_pending, stored.credits_pending, stored.changed_at);
        match (u32::try_from(last_seq), rest) {
            (Ok(last_seq), (0, 0, 0)) => {
                let (account, legs) = (account.cast_unsigned(), legs.cast_unsigned());
                Self::Settled { account, debits_posted, credits_posted, last_seq, legs }
            }
            _ => Self::Any(stored),
        }
    }
}

impl From<Packed> for Stored {
    fn from(packed: Packed) -> Self {
        match packed {
            Packed::Settled { account, debits_posted, credits_posted, last_seq, legs } => Self {
                account: account.cast_signed(),
                debits_posted,
                credits_posted,
                debits_pending: 0,
                credits_pending: 0,
                changed_at: 0,
                last_seq: last_seq.into(),
                legs: legs.cast_signed(),
            },
            Packed::Any(stored) => stored,
        }
    }
}

impl TailRow {
    pub(super) fn encode(&self) -> Result<Vec<u8>, LedgerError> {
        let first_seq = first_seq(self.commit)?;
        let position = |(account, seq): &Mark| (account.get(), seq.saturating_sub(first_seq));
        let marks: Vec<StoredMark> = self.marks.iter().map(position).collect();
        let mut bytes = Vec::with_capacity(self.states.len().saturating_mul(PACKED_BYTES));
        bytes.push(PACKED);
        let body = (States { row: self, first_seq }, marks);
        postcard::to_extend(&body, bytes).map_err(|_| LedgerError::damaged("tail"))
    }

    pub(super) fn decode(commit: i64, recorded_at: i64, bytes: &[u8]) -> Result<Self, LedgerError> {
        let damaged = || LedgerError::damaged("a row of ledger_tail cannot be read");
        let (format, body) = bytes.split_first().ok_or_else(damaged)?;
        let decoded = match *format {
            STATES => postcard::take_from_bytes(body)
                .map(|(states, rest): (Vec<Stored>, _)| ((states, Vec::new()), rest)),
            STATES_AND_MARKS => postcard::take_from_bytes(body),
            PACKED => postcard::take_from_bytes(body)
                .map(|((states, marks), rest)| ((unpacked(states), marks), rest)),
            _ => return Err(damaged()),
        };
        let ((states, marks), rest) = decoded.map_err(|_| damaged())?;
        if !rest.is_empty() {
            return Err(damaged());
        }
        let first_seq = first_seq(commit)?;
        let (time, seq) = if *format == STATES { (0, 0) } else { (recorded_at, first_seq) };
        let mark = |(account, position): StoredMark| {
            first_seq.checked_add(position).map(|seq| (AccountId::new(account), seq))
        };
        let marks = marks.into_iter().map(mark).collect::<Option<_>>().ok_or_else(damaged)?;
        let standing = |stored: &Stored| Standing {
            commit,
            totals: Totals {
                debits_posted: stored.debits_posted,
                credits_posted: stored.credits_posted,
                debits_pending: stored.debits_pending,
                credits_pending: stored.credits_pending,
            },
            changed_at: stored.changed_at.wrapping_add(time),
            last_seq: stored.last_seq.wrapping_add(seq),
            legs: stored.legs,
        };
        let states = states.iter().map(|stored| (AccountId::new(stored.account), standing(stored)));
        Ok(Self { commit, recorded_at, states: states.collect(), marks })
    }
}

/// Serializes the states of a row as a `Vec<Packed>`, without making one.
struct States<'a> {
    row: &'a TailRow,
    first_seq: i64,
}

impl Serialize for States<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let packed = |(before, (account, standing)): (i64, &(AccountId, Standing))| {
            let Standing { totals, changed_at, last_seq, legs, .. } = *standing;
            Packed::from(Stored {
                account: account.get().wrapping_sub(before),
                debits_posted: totals.debits_posted,
                credits_posted: totals.credits_posted,
                debits_pending: totals.debits_pending,
                credits_pending: totals.credits_pending,
                changed_at: changed_at.wrapping_sub(self.row.recorded_at),
                last_seq: last_seq.wrapping_sub(self.first_seq),
                legs,
            })
        };
        let accounts = self.row.states.iter().map(|(account, _)| account.get());
        serializer.collect_seq(once(0).chain(accounts).zip(&self.row.states).map(packed))
    }
}

fn unpacked(states: Vec<Packed>) -> Vec<Stored> {
    let mut before = 0_i64;
    let stored = |packed| {
        let stored = Stored::from(packed);
        before = before.wrapping_add(stored.account);
        Stored { account: before, ..stored }
    };
    states.into_iter().map(stored).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn standing(commit: i64, totals: [u128; 4], rest: (i64, i64, i64)) -> Standing {
        let [debits_posted, credits_posted, debits_pending, credits_pending] = totals;
        let totals = Totals { debits_posted, credits_posted, debits_pending, credits_pending };
        let (changed_at, last_seq, legs) = rest;
        Standing { commit, totals, changed_at, last_seq, legs }
    }

    proptest! {
        #[test]
        fn rows_round_trip(
            commit in 0_i64..1 << 40,
            recorded_at: i64,
            entries: Vec<(i64, [u128; 4], (i64, i64, i64))>,
            settled: Vec<(i64, u128, u128, u16, i64)>,
            marks: Vec<(i64, u16)>,
            junk in 1_usize..40,
        ) {
            let seq = |position: u16| (commit << 20) | i64::from(position);
            let settled = settled.into_iter().map(|(account, debits, credits, position, legs)| {
                let rest = (recorded_at, seq(position), legs);
                (account, [debits, credits, 0, 0], rest)
            });
            let states = entries
                .into_iter()
                .chain(settled)
                .map(|(account, totals, rest)| {
                    (AccountId::new(account), standing(commit, totals, rest))
                })
                .collect();
            let mark = |(account, position)| (AccountId::new(account), seq(position));
            let marks = marks.into_iter().map(mark).collect();
            let row = TailRow { commit, recorded_at, states, marks };
            let bytes = row.encode().unwrap();
            prop_assert_eq!(&TailRow::decode(commit, recorded_at, &bytes).unwrap(), &row);
            let cut = bytes.len().saturating_sub(junk);
            prop_assert!(TailRow::decode(commit, 0, bytes.get(..cut).unwrap_or_default()).is_err());
            prop_assert!(TailRow::decode(commit, 0, &[bytes, vec![0]].concat()).is_err());
        }
    }

    #[test]
    fn all_forms_are_read_and_no_other() {
        let (first, id) = (3 << 20, AccountId::new);
        let states = |rest| vec![(id(1), standing(3, [7, 0, 0, 0], rest))];
        let read = |bytes: &[u8]| TailRow::decode(3, 5, bytes).unwrap();
        let row = |states, marks| TailRow { commit: 3, recorded_at: 5, states, marks };
        let absolute = row(states((2, 3, 4)), Vec::new());
        assert_eq!(read(&[1, 1, 2, 7, 0, 0, 0, 4, 6, 8]), absolute);
        let relative = row(states((3, first + 6, 4)), vec![(id(1), first + 6)]);
        assert_eq!(read(&[2, 1, 2, 7, 0, 0, 0, 3, 12, 8, 1, 2, 12]), relative);
        let mut packed = row(states((5, first + 6, 4)), vec![(id(1), first + 6)]);
        packed.states.push((id(3), standing(3, [0, 7, 1, 0], (5, 0, 0))));
        let any = [1, 4, 0, 7, 1, 0, 0, 255, 255, 255, 2, 0];
        let bytes = [&[3, 2, 0, 1, 7, 0, 6, 4], &any[..], &[1, 2, 12]].concat();
        assert_eq!((read(&bytes), packed.encode().unwrap()), (packed, bytes));
        assert_eq!(read(&[2, 0, 0]), row(Vec::new(), Vec::new()));
        for bytes in [&[][..], &[2, 0], &[3, 0], &[4, 0, 0]] {
            assert!(TailRow::decode(1, 1, bytes).is_err());
        }
    }
}
