//! Every checkpoint is shown to each witness, in order, and its cosignature kept with the note. One
//! job for each witness: one that is slow or away holds up nobody.

use std::sync::atomic::{AtomicU64, Ordering};

use api_audit::StoredCheckpoint;
use api_verify::checkpoint::Checkpoint;
use api_witness::AddCheckpoint;
use api_witness::client::{Answer, Remote};

use crate::app::{App, now_ms};
use crate::config::WitnessConfig;
use crate::error::Error;

/// After so many checkpoints the lease is looked at again.
const CHECKPOINTS_MAX: usize = 100;

/// A witness, and the size at which it stands as far as this process knows; 0 is not known.
#[derive(Debug)]
pub(crate) struct Asked {
    witness: WitnessConfig,
    size: AtomicU64,
}

impl Asked {
    pub(crate) const fn new(witness: WitnessConfig) -> Self {
        Self { witness, size: AtomicU64::new(0) }
    }
}

/// Asks for what is missing; true while there is more.
pub(crate) async fn step(app: &App, asked: &Asked) -> Result<bool, Error> {
    let WitnessConfig { url, key, .. } = &asked.witness;
    let remote = Remote::new(url, key.clone()).map_err(Error::internal)?;
    for _ in 0..CHECKPOINTS_MAX {
        let known = asked.size.load(Ordering::Relaxed);
        let Some(next) = next(app, asked, known).await? else { return Ok(false) };
        match remote.add_checkpoint(&request(app, known, &next).await?).await {
            Ok(Answer::Cosigned { line, time }) => keep(app, asked, next.size, &line, time).await?,
            Ok(Answer::AtSize(size)) => stand_at(app, asked, known, size).await?,
            Err(error) => return Err(Error::internal(error)),
        }
    }
    Ok(true)
}

/// The checkpoint to show: the one at which the witness stands if its cosignature was lost, or else
/// the one after it. A witness about which nothing is known begins with the newest.
async fn next(app: &App, asked: &Asked, known: u64) -> Result<Option<StoredCheckpoint>, Error> {
    let mut tx = app.db.read().await?;
    if known == 0 {
        let latest = app.audit.shared().latest_checkpoint(&mut tx).await?;
        let Some(latest) = latest else { return Ok(None) };
        if !is_cosigned(asked, &latest)? {
            return Ok(Some(latest));
        }
        asked.size.store(latest.size, Ordering::Relaxed);
        return Ok(None);
    }
    let at = app.audit.shared().checkpoint_from(&mut tx, known).await?;
    match at {
        Some(at) if at.size > known || !is_cosigned(asked, &at)? => Ok(Some(at)),
        Some(_) => Ok(app.audit.shared().checkpoint_from(&mut tx, known.saturating_add(1)).await?),
        None => Ok(None),
    }
}

fn is_cosigned(asked: &Asked, checkpoint: &StoredCheckpoint) -> Result<bool, Error> {
    let note = Checkpoint::parse(&checkpoint.note).map_err(Error::internal)?.note;
    Ok(note.cosigned_by(&asked.witness.key).map_err(Error::internal)?.is_some())
}

async fn request(app: &App, known: u64, next: &StoredCheckpoint) -> Result<AddCheckpoint, Error> {
    let proof = if known == 0 {
        Vec::new()
    } else {
        let mut tx = app.db.read().await?;
        app.audit.shared().consistency_proof(&mut tx, known, next.size).await?
    };
    AddCheckpoint::new(known, proof, &next.note).map_err(Error::internal)
}

/// The client has verified the line.
async fn keep(app: &App, asked: &Asked, size: u64, line: &str, time: u64) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    app.audit.shared().add_cosignatures_in(&mut tx, size, line).await?;
    tx.commit().await?;
    asked.size.store(size, Ordering::Relaxed);
    let name = asked.witness.name.clone();
    let now = u64::try_from(now_ms() / 1_000).unwrap_or_default();
    metrics::counter!("roadstead_cosignatures_total", "witness" => name.clone()).increment(1);
    let late = u32::try_from(time.abs_diff(now)).unwrap_or(u32::MAX);
    metrics::gauge!("roadstead_witness_clock_seconds", "witness" => name).set(f64::from(late));
    Ok(())
}

/// The witness stands elsewhere. It cannot know more than the log, unless the log lost something.
async fn stand_at(app: &App, asked: &Asked, known: u64, size: u64) -> Result<(), Error> {
    let name = &asked.witness.name;
    let mut tx = app.db.read().await?;
    let latest =
        app.audit.shared().latest_checkpoint(&mut tx).await?.map_or(0, |latest| latest.size);
    if size > latest {
        return Err(Error::internal(format!(
            "the witness {name} cosigned {size} entries, and this log has {latest}: was an old \
             backup restored?"
        )));
    }
    // One that forgot what it cosigned is worth nothing, and this log helps it to nothing.
    if size <= known {
        return Err(Error::internal(format!(
            "the witness {name} stood at {known} entries and says that it stands at {size}"
        )));
    }
    asked.size.store(size, Ordering::Relaxed);
    Ok(())
}
