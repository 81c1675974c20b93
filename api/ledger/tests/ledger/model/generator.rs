//! What makes requests, good ones and bad ones.

use api_ledger::*;
use jiff::{Span, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::naive::{Change, day_of, moves};

/// The accounts of a tenant: in the order in which they are opened.
pub(super) const EUROS: [usize; 6] = [0, 1, 2, 3, 4, 6];
pub(super) const SPARE: usize = 7;
const BIG: [usize; 2] = [8, 9];
const WINDOWS: [u32; 4] = [20, 45, 3600, 100_000];

pub(crate) struct Generator {
    pub(crate) random: StdRng,
    pub(crate) tenants: [TenantId; 2],
    pub(crate) accounts: [Vec<AccountId>; 2],
    pub(crate) sent: Vec<Transfer>,
    /// Those that were accepted, as far as it is told.
    pub(crate) accepted: Vec<Transfer>,
    /// In seconds.
    pub(crate) now: i64,
}

impl Generator {
    pub(crate) fn new(seed: u64, tenants: [TenantId; 2], accounts: [Vec<AccountId>; 2]) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let random = StdRng::from_seed(bytes);
        Self { random, tenants, accounts, sent: Vec::new(), accepted: Vec::new(), now: 0 }
    }

    /// True once in `times`.
    pub(crate) fn once_in(&mut self, times: u32) -> bool {
        self.random.random_ratio(1, times)
    }

    pub(crate) fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.random.random_range(0..of.len())].clone()
    }

    fn id(&mut self) -> TransferId {
        if self.once_in(40) {
            return TransferId::reserved(self.random.random());
        }
        TransferId::from_u128(self.random.random())
    }

    fn account(&mut self, tenant: usize) -> AccountId {
        match self.random.random_range(0..150) {
            0 => self.pick(&self.accounts[1 - tenant].clone()),
            1 => AccountId::new(1_000_000),
            2..=6 => self.pick(&self.accounts[tenant].clone()),
            _ => {
                let at = self.pick(&EUROS);
                self.accounts[tenant][at]
            }
        }
    }

    fn leg(&mut self, tenant: usize) -> Leg {
        let debit = self.account(tenant);
        let mut credit = self.account(tenant);
        while debit == credit && !self.once_in(8) {
            credit = self.account(tenant);
        }
        let amount = if self.once_in(80) { 0 } else { self.random.random_range(1..40) };
        Leg { debit, credit, amount }
    }

    fn legs(&mut self, tenant: usize) -> Vec<Leg> {
        if self.once_in(10) {
            // Sooner or later more than 128 bits.
            let [debit, credit] = BIG.map(|at| self.accounts[tenant][at]);
            let amount = self.random.random::<u128>() >> self.random.random_range(0..2);
            return vec![Leg { debit, credit, amount }];
        }
        let count = if self.once_in(100) { 0 } else { self.pick(&[1, 1, 1, 2, 3]) };
        (0..count).map(|_| self.leg(tenant)).collect()
    }

    /// An id that was used before, mostly one that this tenant used lately for what is `wanted`.
    fn known(&mut self, tenant: usize, wanted: fn(&Transfer) -> bool) -> TransferId {
        let own = self.tenants[tenant];
        let accepted = self.accepted.iter().rev().filter(|transfer| transfer.tenant == own);
        let among: Vec<TransferId> = match self.random.random_range(0..16) {
            0 => self.sent.iter().map(|transfer| transfer.id).collect(),
            1..=2 => accepted.take(20).map(|transfer| transfer.id).collect(),
            _ => accepted.filter(|of| wanted(of)).take(4).map(|transfer| transfer.id).collect(),
        };
        if among.is_empty() || self.once_in(30) { self.id() } else { self.pick(&among) }
    }

    pub(crate) fn transfer(&mut self) -> Transfer {
        let at = usize::from(self.once_in(4));
        let (tenant, id) = (self.tenants[at], self.id());
        let transfer = match self.random.random_range(0..23) {
            0..=7 => Transfer::new(tenant, id, self.legs(at)),
            8..=11 => {
                let timeout = self.random.random_range(0..4);
                let timeout = (timeout > 0).then_some(timeout * 30);
                Transfer::pending(tenant, id, self.legs(at), timeout)
            }
            12..=13 => Transfer::post_pending(tenant, id, self.known(at, is_pending)),
            14 => {
                let count = self.random.random_range(1..=3);
                let amounts = (0..count).map(|_| self.random.random_range(0..40)).collect();
                Transfer::post_pending_part(tenant, id, self.known(at, is_pending), amounts)
            }
            15 => Transfer::void_pending(tenant, id, self.known(at, is_pending)),
            16 | 21..=22 => Transfer::reverse(tenant, id, self.known(at, moves)),
            17 => {
                let pending = self.known(at, is_pending);
                let mut expire = Transfer::void_pending(tenant, id, pending);
                expire.action = Action::ExpirePending { pending };
                expire
            }
            18..=19 if !self.sent.is_empty() => return self.again(),
            _ => Transfer::new(tenant, self.known(at, is_pending), self.legs(at)),
        };
        let transfer = self.dressed(transfer);
        self.sent.push(transfer.clone());
        transfer
    }

    /// One that was sent before, perhaps with a difference.
    fn again(&mut self) -> Transfer {
        let mut transfer = self.pick(&self.sent.clone());
        match self.random.random_range(0..12) {
            0 => transfer.by_client = !transfer.by_client,
            1 => transfer.not_after = Some(Timestamp::UNIX_EPOCH),
            2 => transfer.effective_on = Some(day_of(self.now)),
            3 => transfer.effective_on = None,
            4 => transfer.reference.push('x'),
            5 => transfer.tenant = self.pick(&self.tenants.clone()),
            6 => {
                if let Action::Transfer(legs) | Action::Pending { legs, .. } = &mut transfer.action
                {
                    legs.iter_mut().for_each(|leg| leg.amount = leg.amount.saturating_add(1));
                }
            }
            _ => {}
        }
        transfer
    }

    /// With what every kind can have.
    fn dressed(&mut self, mut transfer: Transfer) -> Transfer {
        transfer.by_client = self.once_in(15);
        if self.once_in(4) {
            let days = Span::new().days(self.random.random_range(-4..=4));
            transfer.effective_on = Some(day_of(self.now) + days);
        }
        if self.once_in(20) {
            let time = self.now + self.random.random_range(-1..=3);
            transfer.not_after = Some(Timestamp::from_second(time).unwrap());
        }
        if self.once_in(5) {
            transfer.code = self.pick(&["sale", "fee"]).to_owned();
            transfer.reference = self.pick(&["", "7", "8", "ü"]).to_owned();
        }
        if self.once_in(100) {
            let long = "a".repeat(65);
            transfer.code = self.pick(&["a\nb", &long]).to_owned();
        }
        transfer
    }

    pub(crate) fn group(&mut self) -> Vec<Transfer> {
        let lone = self.random.random_ratio(3, 4);
        let length = if lone { 1 } else { self.random.random_range(2..5) };
        (0..length).map(|_| self.transfer()).collect()
    }

    /// Money for every account that may not go below its floor.
    pub(crate) fn funds(&mut self) -> Vec<Vec<Transfer>> {
        let mut groups = Vec::new();
        for (tenant, accounts) in self.tenants.into_iter().zip(&self.accounts.clone()) {
            let pairs = [(2, 6), (4, 6), (0, 1), (0, 3)];
            let leg = |(debit, credit): (usize, usize)| Leg {
                debit: accounts[debit],
                credit: accounts[credit],
                amount: 150,
            };
            let id = self.id();
            groups.push(vec![Transfer::new(tenant, id, pairs.map(leg).to_vec())]);
        }
        groups
    }

    /// Limits that are reached now and then.
    pub(crate) fn first_limits(&self) -> Vec<(AccountId, Change)> {
        let limit = |window_secs, count, sum| VelocityLimit {
            window_secs,
            count_max: Some(count),
            sum_max: Some(sum),
        };
        let limits = [limit(20, 2, 60), limit(45, 5, 110)].map(Change::Limit);
        let of = |at: usize| limits.clone().map(|change| (self.accounts[0][at], change));
        [1, 2, 3].into_iter().flat_map(of).collect()
    }

    pub(crate) fn change(&mut self) -> (AccountId, Change) {
        let at = usize::from(self.once_in(4));
        let among = self.accounts[at].clone();
        let id = if self.once_in(40) { AccountId::new(1_000_000) } else { self.pick(&among) };
        match self.random.random_range(0..12) {
            0..=2 => (id, Change::Frozen(self.once_in(4))),
            3..=4 => {
                let floor = Floor::At(self.random.random_range(-60..20));
                (id, Change::Floor(self.pick(&[Floor::Zero, Floor::None, floor, floor])))
            }
            6 => (self.accounts[at][SPARE], Change::Close),
            7 if self.once_in(2) => (id, Change::Close),
            5 | 8..=10 => (id, Change::Limit(self.limit())),
            _ => (id, Change::Unlimit(self.pick(&WINDOWS))),
        }
    }

    fn limit(&mut self) -> VelocityLimit {
        let count = self.random.random_range(1..6);
        let sum = self.random.random_range(20..200);
        VelocityLimit {
            window_secs: self.pick(&WINDOWS),
            count_max: self.pick(&[None, Some(count)]),
            sum_max: self.pick(&[None, Some(sum)]),
        }
    }
}

fn is_pending(transfer: &Transfer) -> bool {
    matches!(transfer.action, Action::Pending { .. })
}
