//! Compliance reports: what the log knew at a checkpoint, and nothing else, so that they can be made
//! again byte for byte.
//!
//! A report takes its facts from records below the checkpoint's size. Where it needs a loan as it
//! stood then, it folds the loan's events up to the last one that a record below that size names, on
//! the day of the checkpoint: the tenant's business date, where the last record of it names one. Personal data is in no report: an erasure changes none.

use std::collections::{BTreeMap, BTreeSet};

use api_audit::{AuditLog, Listed, StoredCheckpoint};
use api_ledger::TenantId;
use api_loans::loan::{Event, fold};
use api_store::Tx;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;
use uuid::Uuid;

use crate::app::App;
use crate::error::Error;

/// Which report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Every repayment, and whether it was taken back.
    Repayments,
    /// Every loan with something overdue on the checkpoint's day.
    Overdue,
    /// Every contact with a borrower: reminders, offers, consents.
    Contacts,
}

/// The kind of the records that say how a tenant's business date was moved.
pub(crate) const BUSINESS_DATE: &str = "loans.business_date";
/// Kinds of records that are contacts begin with one of these.
const CONTACTS: [&str; 5] = ["reminder.", "contact.", "offer.", "notice.", "letter."];

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Repayments => "repayments",
            Self::Overdue => "overdue",
            Self::Contacts => "contacts",
        }
    }

    const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Repayments => &[
                "index",
                "record",
                "time",
                "loan",
                "repayment",
                "effective",
                "currency",
                "amount",
                "reversed_by",
            ],
            Self::Overdue => &[
                "loan",
                "currency",
                "days_past_due",
                "bucket",
                "status",
                "due_principal",
                "due_interest",
                "due_fee",
                "due_penalty",
                "events",
            ],
            Self::Contacts => &["index", "record", "time", "kind", "loan", "details"],
        }
    }
}

/// A report at a checkpoint.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    report: &'static str,
    tenant: Uuid,
    checkpoint: Checkpoint,
    /// The checkpoint's day: the tenant's business date then, or the calendar's in UTC.
    as_of: Date,
    columns: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

#[derive(Debug, Serialize)]
struct Checkpoint {
    log: String,
    size: u64,
    root: String,
    time: String,
}

impl Report {
    /// How many rows it has.
    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The root of its checkpoint, base64.
    pub(crate) fn root(&self) -> &str {
        &self.checkpoint.root
    }

    /// As JSON, one line.
    pub(crate) fn json(&self) -> Result<String, Error> {
        Ok(format!("{}\n", serde_json::to_string(self)?))
    }

    /// As CSV (RFC 4180) under a first line that names report and checkpoint.
    pub(crate) fn csv(&self) -> String {
        let Checkpoint { log, size, root, time } = &self.checkpoint;
        let mut text = format!(
            "# {} of tenant {} at checkpoint {log} {size} {root} of {time}\r\n",
            self.report, self.tenant
        );
        let header: Vec<String> = self.columns.iter().map(|&name| name.to_owned()).collect();
        for row in std::iter::once(&header).chain(&self.rows) {
            let cells: Vec<String> = row.iter().map(|cell| quoted(cell)).collect();
            text.push_str(&cells.join(","));
            text.push_str("\r\n");
        }
        text
    }
}

fn quoted(cell: &str) -> String {
    if cell.contains(['"', ',', '\r', '\n']) {
        return format!("\"{}\"", cell.replace('"', "\"\""));
    }
    cell.to_owned()
}

/// Makes a tenant's report as of a checkpoint.
pub(crate) async fn make(
    app: &App,
    tx: &mut Tx,
    log: &AuditLog,
    tenant: Uuid,
    kind: Kind,
    checkpoint: &StoredCheckpoint,
) -> Result<Report, Error> {
    let size = checkpoint.size;
    let time = log.time_of(tx, size).await?;
    let at: Timestamp = time.parse().map_err(Error::internal)?;
    let owner = tenant.to_string();
    let dates = log.records_before(tx, &owner, &[BUSINESS_DATE], size).await?;
    // Where the calendar tells the day again, the record names no date.
    let moved = dates.last().and_then(|last| last.field("business_date").parse().ok());
    let as_of = moved.unwrap_or_else(|| at.to_zoned(TimeZone::UTC).date());
    let rows = match kind {
        Kind::Repayments => repayments(&log.records_before(tx, &owner, &["loan.re"], size).await?),
        Kind::Overdue => {
            let records = log.records_before(tx, &owner, &["loan."], size).await?;
            overdue(app, tx, tenant, &records, as_of).await?
        }
        Kind::Contacts => contacts(&log.records_before(tx, &owner, &CONTACTS, size).await?)?,
    };
    let root = STANDARD.encode(checkpoint.root);
    let checkpoint = Checkpoint { log: log.origin().to_owned(), size, root, time };
    Ok(Report { report: kind.name(), tenant, checkpoint, as_of, columns: kind.columns(), rows })
}

fn place(one: &Listed) -> [String; 3] {
    let index = one.index.map(|index| index.to_string()).unwrap_or_default();
    [index, one.id.to_string(), one.field("time").to_owned()]
}

fn repayments(records: &[Listed]) -> Vec<Vec<String>> {
    let reversals = records.iter().filter(|one| one.field("kind") == "loan.reversed");
    let reversals: BTreeMap<&str, String> =
        reversals.map(|one| (one.field("reversed"), one.id.to_string())).collect();
    let payments = records.iter().filter(|one| one.field("kind") == "loan.repayment");
    let row = |one: &Listed| {
        let names = ["loan", "repayment", "effective", "currency", "amount"];
        let mut row = place(one).to_vec();
        row.extend(names.map(|name| one.field(name).to_owned()));
        row.push(reversals.get(one.field("repayment")).cloned().unwrap_or_default());
        row
    };
    payments.map(row).collect()
}

fn contacts(records: &[Listed]) -> Result<Vec<Vec<String>>, Error> {
    let own = ["external_id", "id", "kind", "stream", "tenant", "time", "loan"];
    let mut rows = Vec::with_capacity(records.len());
    for one in records {
        let details: BTreeMap<&String, &String> =
            one.fields.iter().filter(|(name, _)| !own.contains(&name.as_str())).collect();
        let mut row = place(one).to_vec();
        row.push(one.field("kind").to_owned());
        row.push(one.field("loan").to_owned());
        row.push(serde_json::to_string(&details)?);
        rows.push(row);
    }
    Ok(rows)
}

async fn overdue(
    app: &App,
    tx: &mut Tx,
    tenant: Uuid,
    records: &[Listed],
    as_of: Date,
) -> Result<Vec<Vec<String>>, Error> {
    let mut named: BTreeMap<Uuid, BTreeSet<Uuid>> = BTreeMap::new();
    for one in records {
        let Ok(loan) = one.field("loan").parse() else { continue };
        let ids = one.fields.values().filter_map(|value| value.parse::<Uuid>().ok());
        named.entry(loan).or_default().extend(ids);
    }
    let mut rows = Vec::new();
    for (loan, ids) in named {
        let tenant = TenantId::new(tenant);
        let events = app.loans.events(tx, tenant, loan).await?;
        let known = known_then(&events, &ids);
        let contract = app.loans.loan(tx, tenant, loan, as_of).await?.contract;
        let on = as_of.max(contract.start);
        let position = fold(&contract, known, on)?.position()?;
        if position.days_past_due <= 0 {
            continue;
        }
        let due = &position.due;
        rows.push(vec![
            loan.to_string(),
            position.currency.clone(),
            position.days_past_due.to_string(),
            word(&position.bucket)?,
            word(&position.status)?,
            due.principal.to_string(),
            due.interest.to_string(),
            due.fee.to_string(),
            due.penalty.to_string(),
            known.len().to_string(),
        ]);
    }
    Ok(rows)
}

/// The events up to the last one that a record names; the disbursement at least, which its own record
/// names by the loan.
fn known_then<'a>(events: &'a [Event], named: &BTreeSet<Uuid>) -> &'a [Event] {
    let last = events.iter().rposition(|event| named.contains(&event.id)).unwrap_or_default();
    events.get(..=last).unwrap_or(events)
}

/// A unit variant's name on the wire.
fn word(value: &impl Serialize) -> Result<String, Error> {
    let value = serde_json::to_value(value)?;
    Ok(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_as_rfc_4180_says() {
        assert_eq!(quoted("plain"), "plain");
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("say \"no\""), "\"say \"\"no\"\"\"");
        assert_eq!(quoted("two\nlines"), "\"two\nlines\"");
    }
}
