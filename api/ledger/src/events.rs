use std::collections::HashMap;

use api_store::Tx;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::ledger::timestamp;
use crate::repo::{self, OutboxRow};
use crate::{Ledger, LedgerError, StoredTransfer, TenantId, TransferId};

/// The version of what is in [`Event::data`].
pub const EVENT_SCHEMA_VERSION: u32 = 1;
const EVENTS_MAX: u32 = 1000;

/// Something to be told, in the transaction in which it happens.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// To whom.
    pub tenant: TenantId,
    /// What it is, for example `withdrawal.settled`.
    pub kind: String,
    /// What it is about, for example the withdrawal's id.
    pub subject: String,
    /// The facts.
    pub data: Value,
}

/// Something that happened. Its place in the tenant's sequence never changes; the sequence begins
/// with 1 and has no gaps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Its place.
    pub sequence: i64,
    /// What it is: `ledger.transfer`, `ledger.pending`, …, or what was emitted.
    #[serde(rename = "type")]
    pub kind: String,
    /// The version of `data`.
    pub schema_version: u32,
    /// What it is about.
    pub subject: String,
    /// When it happened.
    pub recorded_at: Timestamp,
    /// The facts. Amounts are decimal texts of minor units.
    pub data: Value,
}

impl Event {
    /// 32 hexadecimal digits that name this event among all that could be at its place: after the database
    /// was set back to an older state, another event gets the same place, and has another mark.
    #[must_use]
    pub fn mark(&self) -> String {
        let digest = Sha256::new()
            .chain_update(self.sequence.to_be_bytes())
            .chain_update(self.recorded_at.as_microsecond().to_be_bytes())
            .chain_update(&self.kind)
            .chain_update([0])
            .chain_update(&self.subject)
            .finalize();
        digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Ledger {
    /// Writes an event into the outbox, in the caller's transaction. Transfers have theirs already.
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub async fn emit(&self, tx: &mut Tx, event: &NewEvent) -> Result<(), LedgerError> {
        repo::insert_event(tx, event, self.now().as_microsecond()).await
    }

    /// Gives up to `limit` committed rows of the outbox their places in the public sequences;
    /// returns how many rows. A job calls it all the time; several may run at once.
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub async fn place_events(&self, limit: u32) -> Result<usize, LedgerError> {
        let mut tx = self.db().begin().await?;
        repo::lock_heads(&mut tx).await?;
        // Read after the lock was taken: what another one placed is seen.
        let rows = repo::unplaced(&mut tx, limit).await?;
        if !rows.is_empty() {
            repo::give_positions(&mut tx, &rows).await?;
        }
        tx.commit().await?;
        Ok(rows.len())
    }

    /// Up to `limit` (at most 1000) of the tenant's events after the place `after`, in order. To
    /// begin, `after` is zero; then it is the last `sequence` that was seen.
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub async fn events(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Event>, LedgerError> {
        let limit = limit.clamp(1, EVENTS_MAX);
        let after = after.max(0);
        let most = limit as usize;
        let mut events = Vec::new();
        for row in repo::outbox_page(tx, tenant, after, limit).await? {
            let rest = most.saturating_sub(events.len());
            if rest == 0 {
                break;
            }
            events.extend(expand(tx, tenant, row, after, rest).await?);
        }
        Ok(events)
    }

    /// The mark of the event at the place `after`; none for zero, which is always a place. A reader that
    /// comes back gives its place, and the mark that it had there.
    ///
    /// # Errors
    /// [`LedgerError::CursorLost`] when there is no such place, or an event with another mark;
    /// [`LedgerError::Store`].
    pub async fn event_mark(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        after: i64,
        mark: Option<&str>,
    ) -> Result<Option<String>, LedgerError> {
        if after <= 0 && mark.is_none() {
            return Ok(None);
        }
        let found = self.events(tx, tenant, after.saturating_sub(1), 1).await?.pop();
        let found = found.filter(|event| event.sequence == after).map(|event| event.mark());
        match found {
            Some(found) if mark.is_none_or(|mark| mark == found) => Ok(Some(found)),
            _ => Err(LedgerError::CursorLost { after, last: self.last_event(tx, tenant).await? }),
        }
    }

    /// Up to `limit` (at most 1000) of the tenant's transfers, each with its place in the sequence of
    /// events, after the place `after`. Other events are passed over.
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub async fn transfers(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<(i64, StoredTransfer)>, LedgerError> {
        let limit = limit.clamp(1, EVENTS_MAX);
        let mut after = after.max(0);
        let mut found = Vec::new();
        loop {
            let rows = repo::outbox_page(tx, tenant, after, limit).await?;
            let Some(last) = rows.last() else { return Ok(found) };
            let end = last.6.saturating_add(last.4).saturating_sub(1);
            for row in rows.iter().filter(|row| row.3.is_some()) {
                let rest = (limit as usize).saturating_sub(found.len());
                found.extend(placed(tx, tenant, row, after, rest).await?);
            }
            if found.len() >= limit as usize || end <= after {
                return Ok(found);
            }
            after = end;
        }
    }

    /// The last place in the tenant's sequence that is given; zero when there is none.
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub async fn last_event(&self, tx: &mut Tx, tenant: TenantId) -> Result<i64, LedgerError> {
        repo::last_position(tx, tenant).await
    }
}

/// The transfers of a row that come after `after`, up to `rest`, with their places.
async fn placed(
    tx: &mut Tx,
    tenant: TenantId,
    row: &OutboxRow,
    after: i64,
    rest: usize,
) -> Result<Vec<(i64, StoredTransfer)>, LedgerError> {
    let (position, count) = (row.6, row.4);
    let first = after.saturating_add(1).max(position);
    let Some(commit) = row.3.filter(|_| rest > 0 && first < position.saturating_add(count)) else {
        return Ok(Vec::new());
    };
    let skip = first.saturating_sub(position);
    let limit = i64::try_from(rest).unwrap_or(i64::MAX);
    let ids = repo::transfer_ids(tx, tenant, commit, skip, limit).await?;
    Ok((first..).zip(transfers(tx, tenant, &ids).await?).collect())
}

/// The events of a row that come after `after`, up to `rest`.
async fn expand(
    tx: &mut Tx,
    tenant: TenantId,
    row: OutboxRow,
    after: i64,
    rest: usize,
) -> Result<Vec<Event>, LedgerError> {
    if row.3.is_some() {
        let transfers = placed(tx, tenant, &row, after, rest).await?;
        return Ok(transfers
            .iter()
            .map(|(sequence, transfer)| event(*sequence, transfer))
            .collect());
    }
    let (kind, subject, body, _, _, created_at, sequence) = row;
    if sequence <= after {
        return Ok(Vec::new());
    }
    let data = serde_json::from_str(&body).map_err(|_| LedgerError::damaged("event"))?;
    let recorded_at = timestamp(created_at)?;
    let schema_version = EVENT_SCHEMA_VERSION;
    Ok(vec![Event { sequence, kind, schema_version, subject, recorded_at, data }])
}

async fn transfers(
    tx: &mut Tx,
    tenant: TenantId,
    ids: &[TransferId],
) -> Result<Vec<StoredTransfer>, LedgerError> {
    let keys: Vec<_> = ids.iter().map(|id| (tenant, *id)).collect();
    let mut legs: HashMap<TransferId, Vec<_>> = HashMap::new();
    for row in repo::stored(tx, &keys).await? {
        legs.entry(row.id).or_default().push(row);
    }
    let transfer = |id: &TransferId| {
        let rows = legs.get(id).map(Vec::as_slice).unwrap_or_default();
        StoredTransfer::from_rows(rows)?.ok_or_else(|| LedgerError::damaged("event"))
    };
    ids.iter().map(transfer).collect()
}

fn event(sequence: i64, transfer: &StoredTransfer) -> Event {
    let legs: Vec<Value> = transfer
        .legs
        .iter()
        .map(|leg| {
            let (debit, credit) = (leg.debit.to_string(), leg.credit.to_string());
            json!({ "debit": debit, "credit": credit, "amount": leg.amount.to_string() })
        })
        .collect();
    Event {
        sequence,
        kind: format!("ledger.{}", transfer.kind.name()),
        schema_version: EVENT_SCHEMA_VERSION,
        subject: transfer.id.to_string(),
        recorded_at: transfer.recorded_at,
        data: json!({
            "id": transfer.id,
            "kind": transfer.kind.name(),
            "legs": legs,
            "target": transfer.target,
            "code": transfer.code,
            "reference": transfer.reference,
            "effective_on": transfer.effective_on,
            "expires_at": transfer.expires_at,
            "seq": transfer.seq.to_string(),
        }),
    }
}
