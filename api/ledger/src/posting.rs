//! One posting: load and lock, decide in Rust, write.

use api_store::{Engine, Tx};
use jiff::Timestamp;

use crate::book::{Applied, Book, Decisions};
use crate::ledger::{Clock, timestamp};
use crate::repo::{Keeper, TailRow};
use crate::resident::{self, Alone, Resident, Written};
use crate::transfer::{Outcome, Posted, Transfer};
use crate::{
    LedgerError, Recorder, Refusal, TRANSFERS_MAX, TenantId, TransferId, recorder, repo, velocity,
};

/// How often a posting is tried again when another one took the same id, or after a deadlock.
pub(crate) const ATTEMPTS_MAX: u32 = 8;

pub(crate) type Results = Vec<Result<Posted, Refusal>>;

/// What is known of the ids of the transfers before they are posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ids {
    /// Any of them may be stored: all are looked up.
    LookUp,
    /// Most likely none is. The unique index says when one is, and what is refused is looked up.
    New,
}

/// What a posting needs besides its transaction.
#[derive(Clone, Copy)]
pub(crate) struct Posting<'a> {
    pub(crate) resident: &'a Resident,
    pub(crate) clock: &'a Clock,
    /// The transaction is the ledger's own and has written nothing: what it reads is durable.
    pub(crate) is_own: bool,
}

impl Posting<'_> {
    /// Posts each group all or nothing; returns the results in the order of the transfers. Works in the
    /// caller's transaction, which stays usable when another one took the same id meanwhile.
    pub(crate) async fn post_groups_in(
        self,
        tx: &mut Tx,
        groups: &[&[Transfer]],
    ) -> Result<Results, LedgerError> {
        if tx.engine() == Engine::Sqlite {
            return self.attempt_looking_up(tx, groups).await;
        }
        let mut attempts = 0_u32;
        loop {
            attempts = attempts.saturating_add(1);
            tx.execute("SAVEPOINT ledger_posting", Vec::new()).await?;
            match self.attempt_looking_up(tx, groups).await {
                Err(error) if error.is_unique_violation() && attempts < ATTEMPTS_MAX => {
                    tx.execute("ROLLBACK TO SAVEPOINT ledger_posting", Vec::new()).await?;
                }
                Ok(results) => {
                    tx.execute("RELEASE SAVEPOINT ledger_posting", Vec::new()).await?;
                    return Ok(results);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn attempt_looking_up(
        self,
        tx: &mut Tx,
        groups: &[&[Transfer]],
    ) -> Result<Results, LedgerError> {
        let results = self.attempt(tx, groups, Ids::LookUp, None).await?;
        results.ok_or_else(|| LedgerError::damaged("ids"))
    }

    /// The same without a savepoint: after an error, or when an id is not [`Ids::New`] (`None`), the
    /// transaction is only good for a rollback.
    pub(crate) async fn attempt(
        self,
        tx: &mut Tx,
        groups: &[&[Transfer]],
        ids: Ids,
        recorder: Option<&dyn Recorder>,
    ) -> Result<Option<Results>, LedgerError> {
        let mut decisions = self.prepare_shared(tx, groups, ids).await?;
        let commit = repo::write(tx, &mut decisions, Keeper::Balances).await?;
        let (book, applied) = decisions.into_parts();
        if ids == Ids::New && is_refused_known(tx, &book, groups, &applied).await? {
            return Ok(None);
        }
        let first_seq = commit.map_or(0, |commit| commit.first_seq);
        if commit.is_some() {
            record(tx, recorder, &book, first_seq).await?;
        }
        answers(&book, applied, groups, first_seq).map(Some)
    }

    /// The same in a transaction of the ledger's own, which has [`repo::lock_alone`]: the new totals go into
    /// the tail. What it returns is to be told to [`Resident::committed`] after the commit.
    pub(crate) async fn attempt_alone(
        self,
        tx: &mut Tx,
        groups: &[&[Transfer]],
        ids: Ids,
        recorder: Option<&dyn Recorder>,
    ) -> Result<Option<(Results, Option<Written>)>, LedgerError> {
        let mut book = self.begin(tx, groups).await?;
        let accounts = book.accounts_of(groups);
        let Alone { head, accounts, loaded } = self.resident.alone(tx, &accounts).await?;
        book.add_accounts(accounts);
        book.pass_time_to(now(self.clock));
        let mut decisions = self.prepare(tx, book, groups, ids).await?;
        let commit = repo::write(tx, &mut decisions, Keeper::Tail).await?;
        let (book, applied) = decisions.into_parts();
        if ids == Ids::New && is_refused_known(tx, &book, groups, &applied).await? {
            return Ok(None);
        }
        let Some(commit) = commit else {
            return Ok(Some((answers(&book, applied, groups, 0)?, None)));
        };
        record(tx, recorder, &book, commit.first_seq).await?;
        let row = TailRow {
            commit: commit.id,
            recorded_at: book.now(),
            states: book.standings(commit.id, commit.first_seq),
            marks: repo::marks(book.rows(), commit.first_seq),
        };
        let slice = self.resident.slice(row.states.len());
        let clean = resident::fold(tx, &slice).await?;
        // The last thing: whoever reads the tail finds there what is durable.
        repo::insert_tail(tx, &row).await?;
        let written = Written { before: head, loaded, row, slice, clean };
        Ok(Some((answers(&book, applied, groups, commit.first_seq)?, Some(written))))
    }

    /// The same by the same rules, but nothing is written.
    pub(crate) async fn attempt_without_writing(
        self,
        tx: &mut Tx,
        groups: &[&[Transfer]],
    ) -> Result<Results, LedgerError> {
        let mut decisions = self.prepare_shared(tx, groups, Ids::LookUp).await?;
        decisions.all();
        let (book, applied) = decisions.into_parts();
        answers(&book, applied, groups, 0)
    }

    /// Everything but deciding and writing.
    async fn prepare_shared<'a>(
        self,
        tx: &mut Tx,
        groups: &'a [&'a [Transfer]],
        ids: Ids,
    ) -> Result<Decisions<'a>, LedgerError> {
        let mut book = self.begin(tx, groups).await?;
        let accounts = book.accounts_of(groups);
        book.add_accounts(self.resident.lock_shared(tx, &accounts).await?);
        book.pass_time_to(now(self.clock));
        self.prepare(tx, book, groups, ids).await
    }

    /// A book with the transfers that are named by others: which accounts these have never changes.
    async fn begin(self, tx: &mut Tx, groups: &[&[Transfer]]) -> Result<Book, LedgerError> {
        if transfers(groups).count() > TRANSFERS_MAX {
            return Err(LedgerError::TooMany);
        }
        let mut book = Book::default();
        let targets = targets(groups);
        if !targets.is_empty() {
            book.add_stored(repo::stored(tx, &targets).await?);
        }
        Ok(book)
    }

    /// Reads what is needed to decide with the accounts that are locked.
    async fn prepare<'a>(
        self,
        tx: &mut Tx,
        mut book: Book,
        groups: &'a [&'a [Transfer]],
        ids: Ids,
    ) -> Result<Decisions<'a>, LedgerError> {
        let now = book.now();
        for account in book.limited_accounts() {
            velocity::load(tx, self.resident, account, now, self.is_own).await?;
        }
        // Only what is read after the locks were taken cannot change any more.
        if ids == Ids::LookUp {
            let ids: Vec<_> = transfers(groups).map(key).collect();
            book.add_stored(repo::stored(tx, &ids).await?);
        }
        let targets = targets(groups);
        if !targets.is_empty() {
            book.add_ended(repo::ended(tx, &targets).await?);
        }
        Ok(Decisions::new(book, groups))
    }
}

fn transfers<'a>(groups: &'a [&'a [Transfer]]) -> impl Iterator<Item = &'a Transfer> {
    groups.iter().flat_map(|group| group.iter())
}

fn targets(groups: &[&[Transfer]]) -> Vec<(TenantId, TransferId)> {
    transfers(groups).filter_map(|transfer| Some((transfer.tenant, transfer.target()?))).collect()
}

/// True when something that was refused as new was stored before: it must be answered with its first
/// result, and the group that it is in may not have to be refused. What the book knows was compared already.
async fn is_refused_known(
    tx: &mut Tx,
    book: &Book,
    groups: &[&[Transfer]],
    applied: &[Result<Applied, Refusal>],
) -> Result<bool, LedgerError> {
    let refused = transfers(groups).zip(applied).filter(|(_, applied)| applied.is_err());
    let ids = refused.map(|(transfer, _)| key(transfer)).filter(|key| !book.knows(key));
    let ids: Vec<_> = ids.collect();
    Ok(!ids.is_empty() && !repo::stored(tx, &ids).await?.is_empty())
}

/// To be asked once the locks are held: the wait for them may have been long.
fn now(clock: &Clock) -> i64 {
    clock().as_microsecond()
}

const fn key(transfer: &Transfer) -> (TenantId, TransferId) {
    (transfer.tenant, transfer.id)
}

async fn record(
    tx: &mut Tx,
    recorder: Option<&dyn Recorder>,
    book: &Book,
    first_seq: i64,
) -> Result<(), LedgerError> {
    if let Some(recorder) = recorder {
        recorder.record(tx, &recorder::transfers(book.rows(), first_seq)?).await?;
    }
    Ok(())
}

fn answers(
    book: &Book,
    applied: Vec<Result<Applied, Refusal>>,
    groups: &[&[Transfer]],
    first_seq: i64,
) -> Result<Results, LedgerError> {
    let recorded_at = timestamp(book.now())?;
    let transfers = groups.iter().flat_map(|group| group.iter());
    let results = applied.into_iter().zip(transfers).map(|(applied, transfer)| match applied {
        Ok(applied) => posted(transfer.id, applied, first_seq, recorded_at).map(Ok),
        Err(refusal) => Ok(Err(refusal)),
    });
    results.collect()
}

fn posted(
    id: TransferId,
    applied: Applied,
    first_seq: i64,
    recorded_at: Timestamp,
) -> Result<Posted, LedgerError> {
    let seq = |position: usize| {
        let position = i64::try_from(position).ok();
        let seq = position.and_then(|position| first_seq.checked_add(position));
        seq.ok_or_else(|| LedgerError::damaged("seq"))
    };
    Ok(match applied {
        Applied::Before { seq, recorded_at } => {
            let recorded_at = timestamp(recorded_at)?;
            Posted { id, seq, recorded_at, outcome: Outcome::AlreadyApplied }
        }
        Applied::Now { position } => {
            Posted { id, seq: seq(position)?, recorded_at, outcome: Outcome::Executed }
        }
        Applied::Again { position } => {
            Posted { id, seq: seq(position)?, recorded_at, outcome: Outcome::AlreadyApplied }
        }
    })
}

#[cfg(test)]
mod tests;
