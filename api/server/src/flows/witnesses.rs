//! Every checkpoint of every log is shown to each witness, in order, and its cosignature kept with the
//! note. One job for each witness: one that is slow or away holds up nobody.

use std::collections::HashMap;
use std::sync::Mutex;

use api_audit::{AuditLog, StoredCheckpoint};
use api_store::Tx;
use api_verify::checkpoint::Checkpoint;
use api_witness::AddCheckpoint;
use api_witness::client::{Answer, Remote};

use crate::app::{App, now_ms};
use crate::config::WitnessConfig;
use crate::error::Error;

/// After so many checkpoints of a log the others have their turn, and the lease is looked at again.
const CHECKPOINTS_MAX: usize = 100;

/// A witness, and the size at which it stands with each log as far as this process knows.
#[derive(Debug)]
pub(crate) struct Asked {
    witness: WitnessConfig,
    sizes: Mutex<HashMap<String, u64>>,
}

impl Asked {
    pub(crate) fn new(witness: WitnessConfig) -> Self {
        Self { witness, sizes: Mutex::default() }
    }

    /// 0 is not known.
    fn size(&self, log: &AuditLog) -> u64 {
        let sizes = self.sizes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        sizes.get(log.origin()).copied().unwrap_or_default()
    }

    fn stands_at(&self, log: &AuditLog, size: u64) {
        let mut sizes = self.sizes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        sizes.insert(log.origin().to_owned(), size);
    }
}

/// The names of the configured witnesses who cosigned a checkpoint, their signatures verified.
pub(crate) fn cosigners(app: &App, checkpoint: &StoredCheckpoint) -> Result<Vec<String>, Error> {
    let note = Checkpoint::parse(&checkpoint.note).map_err(Error::internal)?.note;
    let mut names = Vec::new();
    for WitnessConfig { key, .. } in &app.config.log.witnesses {
        if note.cosigned_by(key).map_err(Error::internal)?.is_some() {
            names.push(key.name.clone());
        }
    }
    Ok(names)
}

/// How many witnesses are to cosign a checkpoint.
pub(crate) fn wanted(app: &App) -> u64 {
    let all = app.config.log.witnesses.len() as u64;
    app.config.log.witnesses_min.map_or(all, u64::from)
}

/// Asks for what is missing in every log; true while there is more. A log that fails keeps none of the
/// others from their turn.
pub(crate) async fn step(app: &App, asked: &Asked) -> Result<bool, Error> {
    let WitnessConfig { url, key, .. } = &asked.witness;
    let remote = Remote::new(url, key.clone()).map_err(Error::internal)?;
    let logs = app.audit.all(&mut app.db.read().await?).await?;
    let (mut more, mut failed) = (false, None);
    for log in &logs {
        match step_log(app, asked, &remote, log).await {
            Ok(left) => more |= left,
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(more), Err)
}

async fn step_log(
    app: &App,
    asked: &Asked,
    remote: &Remote,
    log: &AuditLog,
) -> Result<bool, Error> {
    for _ in 0..CHECKPOINTS_MAX {
        let mut tx = app.db.read().await?;
        let Some(next) = next(&mut tx, asked, log).await? else { return Ok(false) };
        let known = asked.size(log);
        let request = request(&mut tx, log, known, &next).await?;
        tx.rollback().await?;
        match remote.add_checkpoint(&request).await {
            Ok(Answer::Cosigned { line, time }) => {
                keep(app, asked, log, next.size, &line, time).await?;
            }
            Ok(Answer::AtSize(size)) => stand_at(app, asked, log, known, size).await?,
            Err(error) => {
                return Err(Error::internal(format!("the log {}: {error}", log.origin())));
            }
        }
    }
    Ok(true)
}

/// The checkpoint to show: the one at which the witness stands if its cosignature was lost, or else
/// the one after it. A witness about which nothing is known begins with the newest, or with the first
/// one from the size on that is configured for it.
async fn next(
    tx: &mut Tx,
    asked: &Asked,
    log: &AuditLog,
) -> Result<Option<StoredCheckpoint>, Error> {
    if asked.size(log) == 0 {
        let Some(latest) = log.latest_checkpoint(tx).await? else { return Ok(None) };
        if is_cosigned(asked, &latest)? {
            asked.stands_at(log, latest.size);
            return Ok(None);
        }
        let from = asked.witness.from_size.unwrap_or(latest.size).min(latest.size);
        let first = log.checkpoint_from(tx, from).await?.unwrap_or(latest);
        if !is_cosigned(asked, &first)? {
            return Ok(Some(first));
        }
        asked.stands_at(log, first.size);
    }
    let known = asked.size(log);
    match log.checkpoint_from(tx, known).await? {
        Some(at) if at.size > known || !is_cosigned(asked, &at)? => Ok(Some(at)),
        Some(_) => Ok(log.checkpoint_from(tx, known.saturating_add(1)).await?),
        None => Ok(None),
    }
}

fn is_cosigned(asked: &Asked, checkpoint: &StoredCheckpoint) -> Result<bool, Error> {
    let note = Checkpoint::parse(&checkpoint.note).map_err(Error::internal)?.note;
    Ok(note.cosigned_by(&asked.witness.key).map_err(Error::internal)?.is_some())
}

async fn request(
    tx: &mut Tx,
    log: &AuditLog,
    known: u64,
    next: &StoredCheckpoint,
) -> Result<AddCheckpoint, Error> {
    let proof = match known {
        0 => Vec::new(),
        known => log.consistency_proof(tx, known, next.size).await?,
    };
    AddCheckpoint::new(known, proof, &next.note).map_err(Error::internal)
}

/// The client has verified the line.
async fn keep(
    app: &App,
    asked: &Asked,
    log: &AuditLog,
    size: u64,
    line: &str,
    time: u64,
) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    log.add_cosignatures_in(&mut tx, size, line).await?;
    tx.commit().await?;
    asked.stands_at(log, size);
    let name = asked.witness.name.clone();
    let now = u64::try_from(now_ms() / 1_000).unwrap_or_default();
    metrics::counter!("roadstead_cosignatures_total", "witness" => name.clone()).increment(1);
    let late = u32::try_from(time.abs_diff(now)).unwrap_or(u32::MAX);
    metrics::gauge!("roadstead_witness_clock_seconds", "witness" => name).set(f64::from(late));
    Ok(())
}

/// The witness stands elsewhere. It cannot know more than the log, unless the log lost something.
async fn stand_at(
    app: &App,
    asked: &Asked,
    log: &AuditLog,
    known: u64,
    size: u64,
) -> Result<(), Error> {
    let (name, origin) = (&asked.witness.name, log.origin());
    let mut tx = app.db.read().await?;
    let latest = log.latest_checkpoint(&mut tx).await?.map_or(0, |latest| latest.size);
    if size > latest {
        return Err(Error::internal(format!(
            "the witness {name} cosigned {size} entries of {origin}, which has {latest}: was an old \
             backup restored?"
        )));
    }
    // One that forgot what it cosigned is worth nothing, and this log helps it to nothing.
    if size <= known {
        return Err(Error::internal(format!(
            "the witness {name} stood at {known} entries of {origin} and says that it stands at {size}"
        )));
    }
    asked.stands_at(log, size);
    Ok(())
}
