//! What is kept of the accounts, in their rows and in the tail, against what was summed.

use std::collections::HashMap;

use api_store::Tx;

use super::{AccountFold, Fold, PAGE, Stop, Sums, found};
use crate::bytes;
use crate::repo::{self, RawBalance, TailRow};

/// What is kept of an account for a commit: in its row, or in the tail.
#[derive(Clone, Copy, Debug)]
struct Kept {
    sums: Sums,
    changed_at: i64,
    last_seq: i64,
    legs: i64,
}

impl Fold {
    /// Every 32nd leg of an account is marked, in its table or in the tail, and no other.
    pub(super) async fn marks(&mut self, tx: &mut Tx) -> Result<(), Stop> {
        let mut after = (0, 0);
        let mut seen: HashMap<i64, usize> = HashMap::new();
        loop {
            let page = repo::marks_page(tx, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = *last;
            for (number, seq) in page {
                self.mark(number, seq)?;
                self.marked.remove(&(number, seq));
                let count = seen.entry(number).or_default();
                *count = count.saturating_add(1);
            }
        }
        for (number, _) in self.marked.drain() {
            let count = seen.entry(number).or_default();
            *count = count.saturating_add(1);
        }
        let missing = |number: &i64, account: &AccountFold| {
            account.marks.len() != seen.get(number).copied().unwrap_or_default()
        };
        match self.accounts.iter().find(|(number, account)| missing(number, account)) {
            Some((number, _)) => found(format!("account {number}"), "a mark is missing"),
            None => Ok(()),
        }
    }

    /// The leg `seq` of an account is rightly marked.
    fn mark(&self, number: i64, seq: i64) -> Result<(), Stop> {
        let marks = self.accounts.get(&number).map(|account| account.marks.as_slice());
        if marks.is_some_and(|marks| marks.binary_search(&seq).is_ok()) {
            return Ok(());
        }
        found(format!("account {number}"), format!("leg {seq} is marked"))
    }

    /// Compares what is kept for the commits before `commit` with the sums after them.
    pub(super) async fn kept_until(&mut self, tx: &mut Tx, commit: i64) -> Result<(), Stop> {
        if commit == self.commit {
            return Ok(());
        }
        self.outbox.end_commit(tx, self.commit).await?;
        let before = commit.saturating_sub(1);
        while let Some((_, account)) = self.ahead.rows.pop_front_if(|(at, _)| *at <= before) {
            if let Some(fold) = self.accounts.get(&account) {
                same(tx, account, fold, kept(&fold.stored)?).await?;
            }
        }
        while let Some(row) = self.ahead.tail.take_if(|row| row.commit <= before) {
            if row.commit != self.commit {
                return found("ledger_tail", format!("commit {} has no legs", row.commit));
            }
            for (account, standing) in row.states {
                let Some(fold) = self.accounts.get_mut(&account.get()) else {
                    return found("ledger_tail", format!("account {account} does not exist"));
                };
                let totals = standing.totals;
                let sums = Sums {
                    posted: [totals.debits_posted, totals.credits_posted],
                    pending: [totals.debits_pending, totals.credits_pending],
                };
                let (changed_at, last_seq) = (standing.changed_at, standing.last_seq);
                let kept = Kept { sums, changed_at, last_seq, legs: standing.legs };
                same(tx, account.get(), fold, kept).await?;
                if row.commit > self.folded {
                    fold.kept = row.commit;
                }
            }
            for (account, seq) in row.marks {
                self.mark(account.get(), seq)?;
                if row.commit > self.folded {
                    self.marked.insert((account.get(), seq));
                }
            }
            self.ahead.tail = tail_after(tx, row.commit).await?;
        }
        self.commit = commit;
        Ok(())
    }

    /// The newest that is kept of each account is as new as its last leg; all together debits are credits.
    pub(super) fn balances(&self) -> Result<(), Stop> {
        let mut assets: HashMap<(i64, &str), (u128, u128)> = HashMap::new();
        let mut numbers: Vec<i64> = self.accounts.keys().copied().collect();
        numbers.sort_unstable();
        for account in numbers.iter().filter_map(|number| self.accounts.get(number)) {
            let row = &account.stored;
            if account.changed > account.kept.max(row.13) {
                let what = format!("nothing is kept of it since commit {}", account.changed);
                return found(format!("account {}", row.0), what);
            }
            let (debits, credits) = assets.entry((row.1, row.2.as_str())).or_default();
            // Modulo 2^128, in which equal sums stay equal.
            *debits = debits.wrapping_add(account.sums.posted[0]);
            *credits = credits.wrapping_add(account.sums.posted[1]);
        }
        match assets.iter().find(|(_, (debits, credits))| debits != credits) {
            Some(((book, asset), _)) => {
                found(format!("book {book}, {asset}"), "debits and credits differ")
            }
            None => Ok(()),
        }
    }
}

fn kept(row: &RawBalance) -> Result<Kept, Stop> {
    let sums = Sums {
        posted: [bytes::decode(&row.6)?, bytes::decode(&row.7)?],
        pending: [bytes::decode(&row.8)?, bytes::decode(&row.9)?],
    };
    Ok(Kept { sums, changed_at: row.10, last_seq: row.11, legs: row.12 })
}

async fn same(tx: &mut Tx, number: i64, account: &AccountFold, kept: Kept) -> Result<(), Stop> {
    let place = format!("account {number}");
    if kept.sums != account.sums {
        return found(place, format!("stored {:?}, summed {:?}", kept.sums, account.sums));
    }
    if (kept.last_seq, kept.legs) != (account.last_seq, account.legs) {
        return found(place, "its last leg is not the last of its history");
    }
    let last = if account.changed == 0 { 0 } else { account.last_recorded };
    // A later time is that of a commit in which all that would have changed the account was refused.
    let is_time = kept.changed_at == last
        || (kept.changed_at > last && repo::is_commit_time(tx, kept.changed_at).await?);
    if !is_time {
        let what = format!("changed at {}, its last leg is of {last}", kept.changed_at);
        return found(place, what);
    }
    Ok(())
}

pub(super) async fn tail_after(tx: &mut Tx, commit: i64) -> Result<Option<TailRow>, Stop> {
    Ok(repo::tail_after(tx, commit, 1).await?.pop())
}
