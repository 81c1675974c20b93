//! One posting: load and lock, decide in Rust, write.

use api_store::{Engine, Tx};
use jiff::Timestamp;

use crate::book::{Applied, Book};
use crate::ledger::timestamp;
use crate::transfer::{Outcome, Posted, Transfer};
use crate::{
    LedgerError, Recorder, Refusal, TRANSFERS_MAX, TenantId, TransferId, recorder, repo, velocity,
};

/// How often a posting is tried again when another one took the same id, or after a deadlock.
pub(crate) const ATTEMPTS_MAX: u32 = 8;

pub(crate) type Results = Vec<Result<Posted, Refusal>>;

/// Posts each group all or nothing; returns the results in the order of the transfers. Works in the
/// caller's transaction, which stays usable when another one took the same id meanwhile.
pub(crate) async fn post_groups_in(
    tx: &mut Tx,
    now: Timestamp,
    groups: &[&[Transfer]],
) -> Result<Results, LedgerError> {
    if tx.engine() == Engine::Sqlite {
        return attempt(tx, now, groups, None).await;
    }
    let mut attempts = 0_u32;
    loop {
        attempts = attempts.saturating_add(1);
        tx.execute("SAVEPOINT ledger_posting", Vec::new()).await?;
        match attempt(tx, now, groups, None).await {
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

/// The same without a savepoint: after an error the transaction is only good for a rollback.
pub(crate) async fn attempt(
    tx: &mut Tx,
    now: Timestamp,
    groups: &[&[Transfer]],
    recorder: Option<&dyn Recorder>,
) -> Result<Results, LedgerError> {
    let (book, applied) = decide(tx, now, groups).await?;
    let mut first_seq = 0;
    if !book.rows().is_empty() {
        first_seq = repo::write(tx, &book).await?;
        if let Some(recorder) = recorder {
            recorder.record(tx, &recorder::transfers(book.rows(), first_seq)?).await?;
        }
    }
    answers(&book, applied, groups, first_seq)
}

/// The same by the same rules, but nothing is written.
pub(crate) async fn attempt_without_writing(
    tx: &mut Tx,
    now: Timestamp,
    groups: &[&[Transfer]],
) -> Result<Results, LedgerError> {
    let (book, applied) = decide(tx, now, groups).await?;
    answers(&book, applied, groups, 0)
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

/// Everything but the writing.
async fn decide(
    tx: &mut Tx,
    now: Timestamp,
    groups: &[&[Transfer]],
) -> Result<(Book, Vec<Result<Applied, Refusal>>), LedgerError> {
    let transfers = || groups.iter().flat_map(|group| group.iter());
    if transfers().count() > TRANSFERS_MAX {
        return Err(LedgerError::TooMany);
    }
    let mut book = Book::new(now.as_microsecond());
    let targets: Vec<(TenantId, TransferId)> =
        transfers().filter_map(|transfer| Some((transfer.tenant, transfer.target()?))).collect();
    if !targets.is_empty() {
        book.add_stored(repo::stored(tx, &targets).await?);
    }
    let mut accounts: Vec<_> = book.stored_accounts().into_iter().collect();
    let legs = transfers().flat_map(Transfer::legs);
    accounts.extend(legs.flat_map(|leg| [leg.debit, leg.credit]));
    book.add_accounts(repo::lock_accounts(tx, &accounts).await?);
    let now = book.now();
    for account in book.limited_accounts() {
        velocity::load(tx, account, now).await?;
    }
    // Only what is read after the locks were taken cannot change any more.
    let ids: Vec<_> = transfers().map(|transfer| (transfer.tenant, transfer.id)).collect();
    book.add_stored(repo::stored(tx, &ids).await?);
    if !targets.is_empty() {
        book.add_ended(repo::ended(tx, &targets).await?);
    }
    let applied = groups.iter().flat_map(|group| book.apply_group(group)).collect();
    Ok((book, applied))
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
