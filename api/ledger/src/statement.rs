use std::collections::BTreeMap;

use api_store::Tx;
use jiff::Timestamp;
use jiff::civil::Date;

use crate::book::{DAY_MICROS, Standing, day_of};
use crate::ledger::timestamp;
use crate::repo::{self, Correction, DatedLeg, History, HistoryLeg, SEQ_BITS};
use crate::resident::TailView;
use crate::transfer::{Kind, date};
use crate::{
    Account, AccountId, Balance, Ledger, LedgerError, Side, TenantId, Totals, TransferId, bytes,
};

const ACCOUNTS_PAGE: u32 = 1000;
const LINES_MAX: u32 = 1000;

/// The time for which a balance is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// Now, with what is pending.
    Now,
    /// What the books said at this time.
    Recorded(Timestamp),
    /// What counts for the days up to this one, by all that is known now.
    Effective(Date),
    /// What counted for the days up to `effective`, by what the books said at `recorded`.
    Bitemporal {
        /// The last day that counts.
        effective: Date,
        /// What is recorded later is left out.
        recorded: Timestamp,
    },
}

/// One movement on an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its place in the account's history.
    pub seq: i64,
    /// The transfer.
    pub transfer: TransferId,
    /// Which leg of it, from zero.
    pub leg: u32,
    /// What the transfer did.
    pub kind: Kind,
    /// Which side of this account the amount is on.
    pub side: Side,
    /// In minor units.
    pub amount: u128,
    /// The account on the other side.
    pub other: AccountId,
    /// The pending transfer that was posted, or the transfer that was reversed.
    pub target: Option<TransferId>,
    /// The kind of business.
    pub code: String,
    /// The business document.
    pub reference: String,
    /// The day that it counts for.
    pub effective_on: Date,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The posted balance after it.
    pub balance: Balance,
}

/// Which part of a statement is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementPage {
    /// The `seq` of the last line already seen; zero to begin.
    pub after: i64,
    /// At most this many lines, up to 1000.
    pub limit: u32,
}

/// A part of an account's history: opening balance + lines = closing balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The account.
    pub account: Account,
    /// The posted balance before the oldest line.
    pub opening: Balance,
    /// The movements, oldest first, or newest first when they were asked for so. Later ones are only ever
    /// added at the newer end.
    pub lines: Vec<Line>,
    /// The posted balance after the newest line.
    pub closing: Balance,
    /// Where the next page begins; `None` at the end of the history, or its beginning.
    pub next: Option<i64>,
}

/// The sum over the accounts of one asset in a part of the chart.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AccountTotals {
    /// The asset.
    pub asset: String,
    /// How many accounts.
    pub accounts: u64,
    /// The sums of their totals.
    pub totals: Totals,
}

impl Ledger {
    /// The balance of an account. Of another time than now it has no pending part: it is what was
    /// posted.
    ///
    /// # Errors
    /// [`LedgerError::UnknownAccount`]; [`LedgerError::NoHistory`] when the account keeps none and
    /// another time than now is asked for; [`LedgerError::Store`].
    pub async fn balance(
        &self,
        tx: &mut Tx,
        id: AccountId,
        as_of: AsOf,
    ) -> Result<Balance, LedgerError> {
        let (account, standing) = self.standing(tx, id).await?;
        let balance = Balance { side: account.side, totals: standing.totals };
        if as_of == AsOf::Now {
            return Ok(balance);
        }
        if !account.history {
            return Err(LedgerError::NoHistory);
        }
        let (effective, recorded) = match as_of {
            AsOf::Now => return Ok(balance),
            AsOf::Recorded(time) => (None, time.as_microsecond()),
            AsOf::Effective(day) => (Some(day), i64::MAX),
            AsOf::Bitemporal { effective, recorded } => {
                (Some(effective), recorded.as_microsecond())
            }
        };
        let history = self.history(id, standing.last_seq);
        let totals = match effective {
            None => recorded_totals(tx, history, recorded).await?,
            Some(day) => effective_totals(tx, history, day, recorded).await?,
        };
        Ok(Balance { side: account.side, totals })
    }

    /// The cursor behind all lines that were recorded at `time` or before it, for the statement of a
    /// period.
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub async fn statement_cursor(
        &self,
        tx: &mut Tx,
        id: AccountId,
        time: Timestamp,
    ) -> Result<i64, LedgerError> {
        let (_, Standing { last_seq, .. }) = self.standing(tx, id).await?;
        let history = self.history(id, last_seq);
        let last = last_recorded(tx, history, time.as_microsecond()).await?;
        Ok(last.map_or(0, |leg| leg.0))
    }

    /// The account and its history, if it keeps one.
    async fn kept_history(
        &self,
        tx: &mut Tx,
        id: AccountId,
    ) -> Result<(Account, History<'_>), LedgerError> {
        let (account, Standing { last_seq, .. }) = self.standing(tx, id).await?;
        if account.history {
            Ok((account, self.history(id, last_seq)))
        } else {
            Err(LedgerError::NoHistory)
        }
    }

    /// A page of an account's history.
    ///
    /// # Errors
    /// [`LedgerError::UnknownAccount`], [`LedgerError::NoHistory`], [`LedgerError::Store`].
    pub async fn statement(
        &self,
        tx: &mut Tx,
        id: AccountId,
        page: StatementPage,
    ) -> Result<Statement, LedgerError> {
        let (account, history) = self.kept_history(tx, id).await?;
        let limit = page.limit.clamp(1, LINES_MAX);
        let before = history.before(tx, page.after).await?;
        let opening = Balance { side: account.side, totals: totals_after(before.as_ref())? };
        let mut legs = history.after(tx, page.after, limit.saturating_add(1)).await?;
        let more = legs.len() > limit as usize;
        legs.truncate(limit as usize);
        let lines = lines(legs, account.side)?;
        let closing = lines.last().map_or(opening, |line| line.balance);
        let next = lines.last().filter(|_| more).map(|line| line.seq);
        Ok(Statement { account, opening, lines, closing, next })
    }

    /// The same from the end: the newest lines first, those before the `seq` in `before` (`i64::MAX` to
    /// begin). Opening is the balance before the last line of the page, closing the one after its first,
    /// and the closing of the next page is the opening of this one.
    ///
    /// # Errors
    /// As [`Ledger::statement`].
    pub async fn statement_before(
        &self,
        tx: &mut Tx,
        id: AccountId,
        before: i64,
        limit: u32,
    ) -> Result<Statement, LedgerError> {
        let (account, history) = self.kept_history(tx, id).await?;
        let limit = limit.clamp(1, LINES_MAX);
        let mut legs = history.back(tx, before, limit.saturating_add(1)).await?;
        let earlier = if legs.len() > limit as usize { legs.pop() } else { None };
        let opening = Balance { side: account.side, totals: totals_after(earlier.as_ref())? };
        let lines = lines(legs, account.side)?;
        let closing = lines.first().map_or(opening, |line| line.balance);
        let next = lines.last().filter(|_| earlier.is_some()).map(|line| line.seq);
        Ok(Statement { account, opening, lines, closing, next })
    }

    /// The sums over all accounts at `code` or below it (all for the empty code), for each asset.
    ///
    /// # Errors
    /// [`LedgerError::Store`]; also when a sum does not fit in 128 bits.
    pub async fn account_totals(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        code: &str,
    ) -> Result<Vec<AccountTotals>, LedgerError> {
        let mut sums: BTreeMap<String, AccountTotals> = BTreeMap::new();
        self.each_account(tx, tenant, code, |account, balance| {
            add_account(&mut sums, account, &balance.totals)
        })
        .await?;
        Ok(sums.into_values().collect())
    }

    /// Calls `each` with every account at `code` or below it (all for the empty code) and its balance now,
    /// ordered by code and asset.
    ///
    /// # Errors
    /// What `each` returned first; [`LedgerError::Store`].
    pub async fn each_account<E: From<LedgerError>>(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        code: &str,
        mut each: impl FnMut(&Account, &Balance) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut after = (String::new(), String::new());
        let mut view = TailView::default();
        loop {
            let cursor = (after.0.as_str(), after.1.as_str());
            let ids = repo::accounts_under(tx, tenant, code, cursor, ACCOUNTS_PAGE).await?;
            let page = self.balances(tx, &ids, &mut view).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            let next = (last.code.clone(), last.asset.clone());
            page.iter().try_for_each(|(account, balance)| each(account, balance))?;
            after = next;
        }
    }
}

pub(crate) fn add_account(
    sums: &mut BTreeMap<String, AccountTotals>,
    account: &Account,
    totals: &Totals,
) -> Result<(), LedgerError> {
    let sum = sums.entry(account.asset.clone()).or_default();
    sum.asset.clone_from(&account.asset);
    sum.accounts = sum.accounts.saturating_add(1);
    let add = |left: u128, right: u128| {
        left.checked_add(right).ok_or_else(|| LedgerError::damaged("a sum exceeds 128 bits"))
    };
    sum.totals = Totals {
        debits_posted: add(sum.totals.debits_posted, totals.debits_posted)?,
        credits_posted: add(sum.totals.credits_posted, totals.credits_posted)?,
        debits_pending: add(sum.totals.debits_pending, totals.debits_pending)?,
        credits_pending: add(sum.totals.credits_pending, totals.credits_pending)?,
    };
    Ok(())
}

fn totals_after(leg: Option<&HistoryLeg>) -> Result<Totals, LedgerError> {
    let Some(leg) = leg else { return Ok(Totals::default()) };
    Ok(Totals {
        debits_posted: bytes::decode(&leg.12)?,
        credits_posted: bytes::decode(&leg.13)?,
        ..Totals::default()
    })
}

fn lines(legs: Vec<HistoryLeg>, side: Side) -> Result<Vec<Line>, LedgerError> {
    legs.into_iter().map(|leg| line(leg, side)).collect()
}

fn line(leg: HistoryLeg, side: Side) -> Result<Line, LedgerError> {
    let totals = totals_after(Some(&leg))?;
    Ok(Line {
        seq: leg.0,
        transfer: repo::transfer_id(&leg.1)?,
        leg: u32::try_from(leg.2).map_err(|_| LedgerError::damaged("leg number"))?,
        kind: repo::kind(leg.3)?,
        side: if leg.5 == 1 { Side::Debit } else { Side::Credit },
        amount: bytes::decode(&leg.6)?,
        other: AccountId::new(leg.4),
        target: leg.8.as_deref().map(repo::transfer_id).transpose()?,
        code: leg.9,
        reference: leg.10,
        effective_on: date(leg.7.unwrap_or_else(|| day_of(leg.11)))?,
        recorded_at: timestamp(leg.11)?,
        balance: Balance { side, totals },
    })
}

/// The account's last leg that was recorded at `time` or before it. Commits of several processes
/// may be numbered in another order than their times; along one account the two agree.
pub(crate) async fn last_recorded(
    tx: &mut Tx,
    history: History<'_>,
    time: i64,
) -> Result<Option<HistoryLeg>, LedgerError> {
    let Some(commit) = repo::commit_before(tx, time).await? else { return Ok(None) };
    let end = commit
        .checked_add(1)
        .and_then(|next| next.checked_shl(SEQ_BITS))
        .map_or(i64::MAX, |first| first.saturating_sub(1));
    let mut last = history.before(tx, end).await?;
    while let Some(leg) = last.as_ref().filter(|leg| leg.11 > time) {
        last = history.before(tx, leg.0.saturating_sub(1)).await?;
    }
    loop {
        let from = last.as_ref().map_or(end, |leg| leg.0.max(end));
        let mut after = history.after(tx, from, 1).await?;
        match after.pop().filter(|leg| leg.11 <= time) {
            Some(leg) => last = Some(leg),
            None => return Ok(last),
        }
    }
}

async fn recorded_totals(
    tx: &mut Tx,
    history: History<'_>,
    time: i64,
) -> Result<Totals, LedgerError> {
    totals_after(last_recorded(tx, history, time).await?.as_ref())
}

/// What was recorded by the end of `day`, corrected by the legs that count on the other side of it. Along
/// one account, what was recorded earlier has a smaller `seq`.
async fn effective_totals(
    tx: &mut Tx,
    history: History<'_>,
    day: Date,
    recorded: i64,
) -> Result<Totals, LedgerError> {
    let epoch = jiff::civil::date(1970, 1, 1);
    let span = epoch.until(day).map_err(|_| LedgerError::damaged("day out of range"))?;
    let day = i64::from(span.get_days());
    let end_of_day = day.saturating_add(1).saturating_mul(DAY_MICROS).saturating_sub(1);
    let counted = last_recorded(tx, history, recorded.min(end_of_day)).await?;
    let last = last_recorded(tx, history, recorded).await?;
    let seq = |leg: Option<&HistoryLeg>| leg.map_or(0, |leg| leg.0);
    let (account, last) = (history.account, seq(last.as_ref()));
    let correction = Correction { account, day, counted: seq(counted.as_ref()), last };
    let mut totals = totals_after(counted.as_ref())?;
    for leg in repo::dated_legs(tx, correction).await? {
        correct(&mut totals, &leg)?;
    }
    Ok(totals)
}

fn correct(totals: &mut Totals, leg: &DatedLeg) -> Result<(), LedgerError> {
    let (is_counted, debited, amount) = leg;
    let amount = bytes::decode(amount)?;
    let total = if *debited == 1 { &mut totals.debits_posted } else { &mut totals.credits_posted };
    let corrected =
        if *is_counted == 1 { total.checked_sub(amount) } else { total.checked_add(amount) };
    *total = corrected.ok_or_else(|| LedgerError::damaged("totals by day"))?;
    Ok(())
}
