use std::cmp::Ordering;
use std::fmt;

use crate::Side;

/// The four running totals of an account, in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Totals {
    /// All that was debited.
    pub debits_posted: u128,
    /// All that was credited.
    pub credits_posted: u128,
    /// Debits of open pending transfers.
    pub debits_pending: u128,
    /// Credits of open pending transfers.
    pub credits_pending: u128,
}

/// A difference of two amounts: a sign and 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Net {
    negative: bool,
    minor: u128,
}

impl Net {
    /// `plus - minus`.
    #[must_use]
    pub const fn difference(plus: u128, minus: u128) -> Self {
        Self { negative: minus > plus, minor: plus.abs_diff(minus) }
    }

    /// True below zero.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.negative
    }

    /// How far from zero, in minor units.
    #[must_use]
    pub const fn magnitude(self) -> u128 {
        self.minor
    }

    /// The amount, or zero when it is negative.
    #[must_use]
    pub const fn or_zero(self) -> u128 {
        if self.negative { 0 } else { self.minor }
    }
}

impl fmt::Display for Net {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", if self.negative { "-" } else { "" }, self.minor)
    }
}

impl Ord for Net {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.minor.cmp(&other.minor),
            (true, true) => other.minor.cmp(&self.minor),
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
        }
    }
}

impl PartialOrd for Net {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The totals of an account, and how to read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Where the balance normally is.
    pub side: Side,
    /// The totals.
    pub totals: Totals,
}

impl Balance {
    /// What was posted, positive on the normal side.
    #[must_use]
    pub const fn posted(&self) -> Net {
        let totals = &self.totals;
        match self.side {
            Side::Debit => Net::difference(totals.debits_posted, totals.credits_posted),
            Side::Credit => Net::difference(totals.credits_posted, totals.debits_posted),
        }
    }

    /// What open pending transfers would bring.
    #[must_use]
    pub const fn pending_in(&self) -> u128 {
        match self.side {
            Side::Debit => self.totals.debits_pending,
            Side::Credit => self.totals.credits_pending,
        }
    }

    /// What open pending transfers hold back.
    #[must_use]
    pub const fn pending_out(&self) -> u128 {
        match self.side {
            Side::Debit => self.totals.credits_pending,
            Side::Credit => self.totals.debits_pending,
        }
    }

    /// Posted minus pending out: what can be moved now, were the floor zero. What is pending in does
    /// not count. Saturates at the ends of the range, which postings never reach.
    #[must_use]
    pub const fn available(&self) -> Net {
        let (plus, minus) = self.spendable();
        Net::difference(plus, minus)
    }

    /// What adds to the available amount and what takes from it.
    const fn spendable(&self) -> (u128, u128) {
        let totals = &self.totals;
        match self.side {
            Side::Debit => {
                (totals.debits_posted, totals.credits_posted.saturating_add(totals.credits_pending))
            }
            Side::Credit => {
                (totals.credits_posted, totals.debits_posted.saturating_add(totals.debits_pending))
            }
        }
    }

    /// True when the available amount is at `floor` or above it.
    pub(crate) const fn holds(&self, floor: Option<i128>) -> bool {
        let Some(floor) = floor else { return true };
        let (plus, minus) = self.spendable();
        if floor.is_negative() {
            plus.saturating_add(floor.unsigned_abs()) >= minus
        } else {
            plus >= minus.saturating_add(floor.unsigned_abs())
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::arithmetic_side_effects, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_floor_agrees_with_wide_arithmetic(
            posted: [u64; 2], pending: [u64; 2], floor: i32, debit_normal: bool,
        ) {
            let side = if debit_normal { Side::Debit } else { Side::Credit };
            let totals = Totals {
                debits_posted: posted[0].into(), credits_posted: posted[1].into(),
                debits_pending: pending[0].into(), credits_pending: pending[1].into(),
            };
            let balance = Balance { side, totals };
            let wide = |value: u64| i128::from(value);
            let available = if debit_normal {
                wide(posted[0]) - wide(posted[1]) - wide(pending[1])
            } else {
                wide(posted[1]) - wide(posted[0]) - wide(pending[0])
            };
            prop_assert_eq!(balance.available().to_string(), available.to_string());
            prop_assert_eq!(balance.holds(Some(floor.into())), available >= i128::from(floor));
        }

        #[test]
        fn nets_order_as_numbers(a: i64, b: i64) {
            let net = |value: i64| Net {
                negative: value < 0, minor: value.unsigned_abs().into(),
            };
            prop_assert_eq!(net(a).cmp(&net(b)), a.cmp(&b));
        }
    }
}
