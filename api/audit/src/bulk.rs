//! Many records at once, each with an outcome of its own: for integrators who keep their books
//! elsewhere and want their events in the log.

use std::collections::{BTreeSet, HashMap};

use api_store::Tx;

use crate::log::AuditLog;
use crate::repo::subjects;
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
        let erased = erased_among(tx, list).await?;
        let mut plans = Vec::with_capacity(list.len());
        let mut first: HashMap<&(String, String), usize> = HashMap::new();
        let mut new: Vec<Record> = Vec::new();
        for (place, record) in list.iter().enumerate() {
            let Some(external) = &record.external else {
                plans.push(Plan::Done(refused("it needs an id of its own".to_owned())));
                continue;
            };
            let plan = match first.get(external) {
                Some(earlier) if list.get(*earlier) == Some(record) => Plan::SameAs(*earlier),
                Some(_) => Plan::Done(refused(format!(
                    "{:?} is given to two different records of this list",
                    external.1
                ))),
                None => self.plan(tx, record, &erased, new.len()).await?,
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

    async fn plan(
        &self,
        tx: &mut Tx,
        record: &Record,
        erased: &BTreeSet<String>,
        next: usize,
    ) -> Result<Plan, AuditError> {
        if let Err(error) = record.check() {
            return Ok(Plan::Done(Appended::Refused(error)));
        }
        let Some((tenant, external_id)) = &record.external else { return Ok(Plan::Write(next)) };
        if self.find(tx, tenant, external_id).await?.is_some() {
            return Ok(Plan::Done(match self.append_in(tx, record).await {
                Ok(id) => Appended::Known(id),
                Err(AuditError::Store(error)) => return Err(error.into()),
                Err(error) => Appended::Refused(error),
            }));
        }
        match record.subject.as_ref().filter(|subject| erased.contains(*subject)) {
            Some(subject) => Ok(Plan::Done(Appended::Refused(AuditError::Erased(subject.clone())))),
            None => Ok(Plan::Write(next)),
        }
    }
}

fn refused(reason: String) -> Appended {
    Appended::Refused(AuditError::Record(reason))
}

/// The subjects of these records that were erased.
async fn erased_among(tx: &mut Tx, list: &[Record]) -> Result<BTreeSet<String>, AuditError> {
    let named: BTreeSet<&String> =
        list.iter().filter_map(|record| record.subject.as_ref()).collect();
    let mut erased = BTreeSet::new();
    for subject in named {
        let found = subjects::subject(tx, subject).await?;
        if found.is_some_and(|found| found.erased_at.is_some()) {
            erased.insert(subject.clone());
        }
    }
    Ok(erased)
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
