//! Writing records, and reading what is personal in them.

use std::collections::{BTreeSet, HashMap};

use api_store::Tx;
use api_verify::merkle::leaf_hash;
use rand::RngCore as _;

use crate::ids::Ids;
use crate::record::{Fields, NewFields, encode_leaf};
use crate::repo::batches::BATCH_SEQS;
use crate::repo::records::{self, NewRow, Row};
use crate::repo::subjects;
use crate::{AuditError, AuditLog, Record, RecordId};

/// How often a list is written anew because others have used its external ids meanwhile.
const ATTEMPTS: usize = 10;

/// The subjects' keys; `None` for those that were erased.
pub(crate) type Keys = HashMap<String, Option<[u8; 32]>>;

/// Records by their external ids: those that are stored, and with the record itself those of the list.
type Known<'a> = HashMap<(&'a str, &'a str), (RecordId, Option<&'a Record>)>;

impl AuditLog {
    /// Writes a record in the caller's transaction: it is durable when that is. It gets its index
    /// from [`AuditLog::sequence`] or [`AuditLog::seal`] later.
    ///
    /// # Errors
    /// [`AuditError::Record`] when it cannot be encoded, [`AuditError::ExternalIdUsed`] when its
    /// external id names another record, [`AuditError::Store`]. What is personal of a subject that was
    /// erased is committed to and not kept: what happened to it goes on, and it stays erased.
    pub async fn append_in(&self, tx: &mut Tx, record: &Record) -> Result<RecordId, AuditError> {
        let ids = self.append_many_in(tx, std::slice::from_ref(record)).await?;
        ids.first().copied().ok_or_else(|| AuditError::damaged("a record was not written"))
    }

    /// Writes many records, in their order, and answers their ids. A record whose external id is
    /// there already, from before or from earlier in the list, is not written again.
    ///
    /// # Errors
    /// As for [`AuditLog::append_in`]; then nothing of the list is to be kept: roll back.
    pub async fn append_many_in(
        &self,
        tx: &mut Tx,
        list: &[Record],
    ) -> Result<Vec<RecordId>, AuditError> {
        let mut ids = Vec::with_capacity(list.len());
        for batch in list.chunks(BATCH_SEQS) {
            ids.extend(self.append_batch(tx, batch).await?);
        }
        Ok(ids)
    }

    /// Writes records that are new by the way they are named, such as by a number that was drawn in
    /// this transaction: nothing is looked up.
    ///
    /// # Errors
    /// As for [`AuditLog::append_in`]; [`AuditError::Store`] when an external id is used all the same.
    pub async fn append_new_in(
        &self,
        tx: &mut Tx,
        list: &[Record],
    ) -> Result<Vec<RecordId>, AuditError> {
        let mut ids = Vec::with_capacity(list.len());
        for batch in list.chunks(BATCH_SEQS) {
            batch.iter().try_for_each(Record::check)?;
            let keys = subject_keys(tx, batch).await?;
            let (new, rows) = plan(batch, Known::new(), &keys)?;
            records::insert_new(tx, self.id, rows).await?;
            ids.extend(new);
        }
        Ok(ids)
    }

    async fn append_batch(
        &self,
        tx: &mut Tx,
        list: &[Record],
    ) -> Result<Vec<RecordId>, AuditError> {
        list.iter().try_for_each(Record::check)?;
        let keys = subject_keys(tx, list).await?;
        // A list is taken to be new: only after a refusal is it looked up what is there.
        let mut look_up = list.len() == 1 || keys.values().any(Option::is_none);
        for _ in 0..ATTEMPTS {
            let known = match look_up {
                true => self.stored(tx, list, &keys).await?,
                false => Known::new(),
            };
            let (ids, rows) = plan(list, known, &keys)?;
            if rows.is_empty() || records::insert(tx, self.id, rows, None).await? {
                return Ok(ids);
            }
            look_up = true;
        }
        Err(AuditError::damaged("records were refused and are not there"))
    }

    /// The records of the list that are stored; each must be the same but for its time.
    async fn stored<'a>(
        &self,
        tx: &mut Tx,
        list: &'a [Record],
        keys: &Keys,
    ) -> Result<Known<'a>, AuditError> {
        let wanted: Vec<_> = list.iter().filter_map(Record::external).collect();
        if wanted.is_empty() {
            return Ok(Known::new());
        }
        let found = records::by_external_ids(tx, self.id, &wanted).await?;
        let external = |row: &Row| Some((row.tenant_id.clone()?, row.external_id.clone()?));
        let found: HashMap<_, _> =
            found.iter().filter_map(|row| Some((external(row)?, row))).collect();
        let mut known = Known::new();
        for record in list {
            let Some((tenant, external_id)) = record.external() else { continue };
            let row = found.get(&(tenant.to_owned(), external_id.to_owned()));
            let Some(row) = row else { continue };
            let id = row.id()?;
            if !is_same(record, row, id, keys)? {
                return Err(used(external_id, id));
            }
            known.insert((tenant, external_id), (id, None));
        }
        Ok(known)
    }
}

fn used(external_id: &str, record: RecordId) -> AuditError {
    AuditError::ExternalIdUsed { external_id: external_id.to_owned(), record }
}

/// The id of each record of the list, and what is to be inserted.
fn plan<'a>(
    list: &'a [Record],
    mut known: Known<'a>,
    keys: &Keys,
) -> Result<(Vec<RecordId>, Vec<NewRow<'a>>), AuditError> {
    let mut ids = Vec::with_capacity(list.len());
    let mut rows = Vec::with_capacity(list.len());
    let mut new_ids = Ids::now();
    for record in list {
        if let Some(external) = record.external()
            && let Some((id, listed)) = known.get(&external)
        {
            if listed.is_some_and(|listed| !record.is_same(listed)) {
                return Err(used(external.1, *id));
            }
            ids.push(*id);
            continue;
        }
        let id = new_ids.make();
        rows.push(encode(id, record, keys)?);
        ids.push(id);
        if let Some(external) = record.external() {
            known.insert(external, (id, Some(record)));
        }
    }
    Ok((ids, rows))
}

/// Whether the record is the stored one, but for its time.
pub(crate) fn is_same(
    record: &Record,
    row: &Row,
    id: RecordId,
    keys: &Keys,
) -> Result<bool, AuditError> {
    let wanted = record.open_values(id)?;
    let found = Fields::from_bytes(&row.open_fields)?.values;
    let wanted = wanted.iter().map(|(name, value)| (*name, value.as_ref()));
    let found = found.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let but_time = |(name, _): &(&str, &str)| *name != "time";
    if !wanted.filter(but_time).eq(found.filter(but_time)) || row.subject_id != record.subject {
        return Ok(false);
    }
    let key = record.subject.as_ref().and_then(|subject| keys.get(subject).copied().flatten());
    match (key, &row.personal_fields) {
        (Some(key), Some(sealed)) => {
            Ok(Fields::unseal(sealed, &key, id)?.values == record.personal)
        }
        (Some(_), None) => Ok(record.personal.is_empty()),
        // What it was is erased, and with it the difference.
        (None, _) => Ok(true),
    }
}

/// A record as it is stored.
pub(crate) fn encode<'a>(
    id: RecordId,
    record: &'a Record,
    keys: &Keys,
) -> Result<NewRow<'a>, AuditError> {
    let open = NewFields::new(record.open_values(id)?);
    let personal = NewFields::new(record.personal_values());
    let leaf = encode_leaf(&open, &personal);
    let personal_fields = match &record.subject {
        Some(subject) if !personal.is_empty() => {
            // Of a subject that was erased the leaf alone remains: sealed for ever from the start.
            let key = keys.get(subject).copied().flatten();
            key.map(|key| personal.seal(&key, id)).transpose()?
        }
        _ => None,
    };
    let leaf_hash = leaf_hash(&leaf);
    Ok(NewRow { id, record, leaf, leaf_hash, open_fields: open.to_bytes()?, personal_fields })
}

/// The keys of the records' subjects; those that are new get theirs.
pub(crate) async fn subject_keys(tx: &mut Tx, list: &[Record]) -> Result<Keys, AuditError> {
    let subjects = list.iter().filter_map(|record| record.subject.as_deref()).collect();
    ensure_subjects(tx, &subjects).await
}

/// The subjects' keys; those that are new get theirs.
pub(crate) async fn ensure_subjects(
    tx: &mut Tx,
    wanted: &BTreeSet<&str>,
) -> Result<Keys, AuditError> {
    let mut found = subjects::keys(tx, wanted).await?;
    let new: BTreeSet<&str> =
        wanted.iter().copied().filter(|subject| !found.contains_key(*subject)).collect();
    if !new.is_empty() {
        subjects::insert(tx, new.iter().map(|subject| (*subject, new_key()))).await?;
        // Another server may have been first.
        found.extend(subjects::keys(tx, &new).await?);
    }
    found.into_iter().map(|(subject, key)| Ok((subject.clone(), key_of(&subject, key)?))).collect()
}

fn new_key() -> [u8; 32] {
    let mut key = [0; 32];
    rand::rng().fill_bytes(&mut key);
    key
}

fn key_of(subject: &str, key: Option<Vec<u8>>) -> Result<Option<[u8; 32]>, AuditError> {
    let damaged = |_| AuditError::damaged(format!("the key of {subject}"));
    key.map(|key| key.try_into().map_err(damaged)).transpose()
}

/// The personal fields of a record; `None` when there are none any more.
pub(crate) async fn open_personal(tx: &mut Tx, row: &Row) -> Result<Option<Fields>, AuditError> {
    let (Some(subject), Some(sealed)) = (&row.subject_id, &row.personal_fields) else {
        return Ok(None);
    };
    let found = subjects::subject(tx, subject).await?.and_then(|found| found.key);
    match key_of(subject, found)? {
        Some(key) => Ok(Some(Fields::unseal(sealed, &key, row.id()?)?)),
        None => Ok(None),
    }
}
