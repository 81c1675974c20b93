//! Many records at once, each with an outcome of its own: for integrators who keep their books
//! elsewhere and want their events in the log.

use std::collections::{BTreeSet, HashMap};

use api_store::Tx;

use crate::append::{Keys, is_same, subject_keys};
use crate::log::AuditLog;
use crate::repo::records;
use crate::{AuditError, Record, RecordId};

/// What became of one record of a list.
#[derive(Debug)]
pub enum Appended {
    /// It is new.
    New(RecordId),
    /// The same record was written before under its external id; nothing changed.
    Known(RecordId),
    /// It was not written.
    Refused(AuditError),
}

/// What is to be done about one record of a list.
enum Plan {
    /// Write it: its place among those that are written.
    Write(usize),
    /// The same as an earlier one of the list.
    SameAs(usize),
    Done(Appended),
}

/// What was written before, by external ids.
type Stored = HashMap<(String, String), records::Row>;

impl AuditLog {
    /// Writes those records of a list that can be written; each must have an external id. The others
    /// are refused one by one: what cannot be encoded, what has an external id of another record, and
    /// personal data of a subject that was erased.
    ///
    /// # Errors
    /// [`AuditError::Store`]; and [`AuditError::ExternalIdUsed`] when another server wrote another
    /// record under one of the ids just now. Roll back then; the same list again is judged anew.
    pub async fn append_each_in(
        &self,
        tx: &mut Tx,
        list: &[Record],
    ) -> Result<Vec<Appended>, AuditError> {
        let keys = subject_keys(tx, list).await?;
        let stored = self.stored_among(tx, list).await?;
        let mut plans = Vec::with_capacity(list.len());
        let mut first: HashMap<(&str, &str), usize> = HashMap::new();
        let mut new: Vec<Record> = Vec::new();
        for (place, record) in list.iter().enumerate() {
            let Some(external) = record.external() else {
                plans.push(Plan::Done(refused("it needs an id of its own".to_owned())));
                continue;
            };
            let plan = match first.get(&external) {
                Some(earlier) if list.get(*earlier) == Some(record) => Plan::SameAs(*earlier),
                Some(_) => Plan::Done(refused(format!(
                    "{:?} is given to two different records of this list",
                    external.1
                ))),
                None => plan(record, external, &stored, &keys, new.len())?,
            };
            if let Plan::Write(_) = plan {
                new.push(record.clone());
            }
            if !matches!(plan, Plan::Done(Appended::Refused(_))) {
                first.entry(external).or_insert(place);
            }
            plans.push(plan);
        }
        let ids = self.append_many_in(tx, &new).await?;
        Ok(outcomes(plans, &ids))
    }

    async fn stored_among(&self, tx: &mut Tx, list: &[Record]) -> Result<Stored, AuditError> {
        let wanted: BTreeSet<_> = list.iter().filter_map(Record::external).collect();
        let wanted: Vec<_> = wanted.into_iter().collect();
        let found = records::by_external_ids(tx, self.id, &wanted).await?;
        let external =
            |row: &records::Row| Some((row.tenant_id.clone()?, row.external_id.clone()?));
        Ok(found.into_iter().filter_map(|row| Some((external(&row)?, row))).collect())
    }
}

fn plan(
    record: &Record,
    (tenant, external_id): (&str, &str),
    stored: &Stored,
    keys: &Keys,
    next: usize,
) -> Result<Plan, AuditError> {
    if let Err(error) = record.check() {
        return Ok(Plan::Done(Appended::Refused(error)));
    }
    if let Some(row) = stored.get(&(tenant.to_owned(), external_id.to_owned())) {
        let id = row.id()?;
        return Ok(Plan::Done(match is_same(record, row, id, keys)? {
            true => Appended::Known(id),
            false => {
                let external_id = external_id.to_owned();
                Appended::Refused(AuditError::ExternalIdUsed { external_id, record: id })
            }
        }));
    }
    let erased =
        |subject: &&String| !record.personal.is_empty() && keys.get(*subject) == Some(&None);
    match record.subject.as_ref().filter(erased) {
        Some(subject) => Ok(Plan::Done(Appended::Refused(AuditError::Erased(subject.clone())))),
        None => Ok(Plan::Write(next)),
    }
}

fn refused(reason: String) -> Appended {
    Appended::Refused(AuditError::Record(reason))
}

fn outcomes(plans: Vec<Plan>, ids: &[RecordId]) -> Vec<Appended> {
    let mut done: Vec<Appended> = Vec::with_capacity(plans.len());
    for plan in plans {
        let outcome = match plan {
            Plan::Done(outcome) => outcome,
            Plan::Write(place) => ids
                .get(place)
                .map_or_else(|| refused("it was not written".to_owned()), |id| Appended::New(*id)),
            Plan::SameAs(earlier) => match done.get(earlier) {
                Some(Appended::New(id) | Appended::Known(id)) => Appended::Known(*id),
                _ => refused("it was not written".to_owned()),
            },
        };
        done.push(outcome);
    }
    done
}
