//! The file-based bank rail: CSV files that the bank drops into a folder.
//!
//! A file has the header `id,booked_on,currency,amount,reference`: the bank's id of the line, an ISO
//! 8601 date, an ISO 4217 code, minor units, and the payment's reference, which is the customer's id.
//! A line is credited once, by the bank's id. A reference that is a loan's id, alone or as
//! `loan:<id>`, repays that loan from the day on which the bank booked it. A line that names neither,
//! or a loan that cannot take it, goes to suspense, never to a guess; an operator can match it. A line that comes again with another content is not booked again, and
//! raises an alarm.
//!
//! A file is read once it has not changed for a second; best is to write it under another name and to
//! rename it when it is whole. A file that was read wholly is renamed to `….done`; one with a line
//! that cannot be read is renamed to `….refused`, and nothing of it is credited.

use std::ops::Not as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api_audit::Record;
use api_ledger::TenantId;
use api_loans::loan::RepaymentMode;
use api_store::Tx;
use chain_core::Amount;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::app::{App, now_ms};
use crate::books::{HOUSE, transfer_id};
use crate::error::{Code, Error};
use crate::http::FromAccount;
use crate::repo::bank::{self, BankLine};
use crate::repo::customers;

const HEADER: &str = "id,booked_on,currency,amount,reference";
const FILE_BYTES_MAX: u64 = 16 << 20;
/// A file that changed within this time may still be being written.
const QUIET: Duration = Duration::from_secs(1);

/// A credit line of a statement, as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    id: String,
    booked_on: String,
    currency: String,
    amount: Amount,
    reference: String,
}

/// Reads the files that have arrived, oldest name first.
pub(crate) async fn step(app: &App) -> Result<(), Error> {
    let Some(folder) = &app.config.fiat.statement_folder else { return Ok(()) };
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .map_err(Error::internal)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "csv"))
        .filter(|path| is_quiet(path))
        .collect();
    files.sort();
    let mut failed = None;
    for file in files {
        // A file that cannot be booked does not hold up the others.
        if let Err(error) = import(app, &file).await {
            tracing::error!(file = %file.display(), %error, "statement not booked");
            failed = Some(error);
        }
    }
    failed.map_or(Ok(()), Err)
}

fn is_quiet(file: &Path) -> bool {
    let changed = std::fs::metadata(file).and_then(|file| file.modified());
    // A time in the future says nothing.
    changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age < QUIET)).not()
}

async fn import(app: &App, file: &Path) -> Result<(), Error> {
    let length = std::fs::metadata(file).map_err(Error::internal)?.len();
    let text = if length <= FILE_BYTES_MAX { std::fs::read_to_string(file).ok() } else { None };
    let lines =
        text.ok_or("not a text file of at most 16 MiB".to_owned()).and_then(|text| parse(&text));
    let outcome = match lines {
        Ok(lines) => {
            for line in &lines {
                credit(app, line).await?;
            }
            "done"
        }
        Err(reason) => {
            tracing::error!(file = %file.display(), reason, "statement refused");
            metrics::counter!("roadstead_alarms_total", "alarm" => "statement_refused")
                .increment(1);
            "refused"
        }
    };
    std::fs::rename(file, file.with_extension(format!("csv.{outcome}"))).map_err(Error::internal)
}

/// Reads a whole statement, or says which line is wrong.
pub(crate) fn parse(text: &str) -> Result<Vec<Line>, String> {
    let mut lines = text.lines().map(str::trim_end);
    if lines.next() != Some(HEADER) {
        return Err(format!("the first line must be {HEADER}"));
    }
    let rows = lines.enumerate().filter(|(_, line)| !line.is_empty());
    rows.map(|(number, line)| {
        // The header is line 1.
        parse_line(line).map_err(|reason| format!("line {}: {reason}", number.saturating_add(2)))
    })
    .collect()
}

fn parse_line(line: &str) -> Result<Line, String> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    let [id, booked_on, currency, amount, reference] = fields[..] else {
        return Err("it needs five fields".into());
    };
    if id.is_empty() || id.len() > 64 || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the id must be 1 to 64 visible ASCII characters".into());
    }
    booked_on.parse::<jiff::civil::Date>().map_err(|error| error.to_string())?;
    if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err("the currency must be an ISO 4217 code".into());
    }
    let amount: Amount = amount.parse().map_err(|error| format!("{error}"))?;
    if amount.is_zero() {
        return Err("the amount is zero".into());
    }
    Ok(Line {
        id: id.to_owned(),
        booked_on: booked_on.to_owned(),
        currency: currency.to_owned(),
        amount,
        reference: reference.to_owned(),
    })
}

/// Whose money a line is.
#[derive(Clone, Copy, Debug)]
enum Owner {
    Customer {
        tenant: Uuid,
        customer: Uuid,
    },
    Loan {
        tenant: Uuid,
        customer: Uuid,
        loan: Uuid,
    },
    /// Nobody's yet; in the books of this tenant.
    Nobody(Uuid),
}

async fn owner(app: &App, tx: &mut Tx, line: &Line) -> Result<Owner, Error> {
    let named = line.reference.strip_prefix("loan:").unwrap_or(&line.reference).parse::<Uuid>();
    let Ok(id) = named else { return Ok(Owner::Nobody(HOUSE)) };
    if !app.config.fiat.currencies.contains(&line.currency) {
        return Ok(Owner::Nobody(HOUSE));
    }
    if let Some(found) = customers::by_id(tx, id).await? {
        return Ok(Owner::Customer { tenant: found.tenant, customer: found.id });
    }
    let Some(tenant) = app.loans.tenant_of(tx, id).await? else {
        return Ok(Owner::Nobody(HOUSE));
    };
    if app.loans.currency(tx, tenant, id).await? != line.currency {
        return Ok(Owner::Nobody(tenant.get()));
    }
    let customer = app.loans.borrower(tx, tenant, id).await?.parse().map_err(Error::internal)?;
    Ok(Owner::Loan { tenant: tenant.get(), customer, loan: id })
}

async fn credit(app: &App, line: &Line) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    let owner = owner(app, &mut tx, line).await?;
    match (book(app, &mut tx, line, owner).await, owner) {
        (Ok(()), _) => Ok(tx.commit().await?),
        (Err(Error::Failure(failure)), Owner::Loan { tenant, loan, .. }) => {
            // The loan cannot take it, for example because it is older than the loan.
            tracing::warn!(line = %line.id, %loan, %failure, "a bank line waits in suspense");
            tx.rollback().await?;
            let mut tx = app.db.begin().await?;
            book(app, &mut tx, line, Owner::Nobody(tenant)).await?;
            Ok(tx.commit().await?)
        }
        (Err(error), _) => Err(error),
    }
}

async fn book(app: &App, tx: &mut Tx, line: &Line, owner: Owner) -> Result<(), Error> {
    let now = now_ms();
    let (tenant, owner, loan) = match owner {
        Owner::Customer { tenant, customer } => (tenant, Some(customer), None),
        Owner::Loan { tenant, customer, loan } => (tenant, Some(customer), Some(loan)),
        Owner::Nobody(tenant) => (tenant, None, None),
    };
    let row = BankLine {
        id: line.id.clone(),
        currency: line.currency.clone(),
        amount: line.amount,
        reference: line.reference.clone(),
        booked_on: line.booked_on.clone(),
        tenant: Some(tenant),
        customer: owner,
        state: if owner.is_some() { "credited" } else { "suspense" }.to_owned(),
        created_at: now,
    };
    if !bank::insert(tx, &row).await? {
        if !bank::is_same(tx, &row).await? {
            tracing::error!(line = %line.id, "a bank line came again with another content");
            metrics::counter!("roadstead_alarms_total", "alarm" => "bank_line_changed")
                .increment(1);
        }
        return Ok(());
    }
    app.book_topup(tx, document(&line.id), tenant, owner, &line.currency, line.amount).await?;
    let record = Record::new("topup.booked", now)
        .external_id(tenant.to_string(), format!("topup:{}", line.id))
        .field("line", &line.id)
        .field("currency", &line.currency)
        .field("amount", line.amount.to_string())
        .field("state", &row.state);
    app.audit.append_in(tx, &record).await?;
    match loan {
        Some(loan) => repay(app, tx, &row, (tenant, loan)).await,
        None => Ok(()),
    }
}

/// Repays a loan with a line that was credited to its borrower, from the day on which the bank booked
/// it.
pub(crate) async fn repay(
    app: &App,
    tx: &mut Tx,
    line: &BankLine,
    (tenant, loan): (Uuid, Uuid),
) -> Result<(), Error> {
    let booked: jiff::civil::Date = line.booked_on.parse().map_err(Error::internal)?;
    let today = app.loans.today_in(tx, TenantId::new(tenant)).await?;
    let minor = i128::try_from(line.amount.minor()).map_err(|_| Code::InvalidAmount)?;
    let payment = FromAccount {
        id: transfer_id(document(&line.id), "repayment").get(),
        loan,
        amount: api_loans::Money::new(minor),
        currency: &line.currency,
        effective: booked.min(today),
        mode: RepaymentMode::Hold,
        reference: Some(&line.reference),
        source: "bank",
    };
    crate::http::book_repayment(app, tx, tenant, &payment).await?;
    bank::note_repayment(tx, &line.id, tenant, (loan, payment.id)).await?;
    Ok(())
}

/// The bank's id of a line as the id of a document.
pub(crate) fn document(id: &str) -> Uuid {
    let digest = Sha256::digest(format!("bank line {id}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Uuid::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_statement_is_read_wholly_or_not_at_all() {
        let good = "id,booked_on,currency,amount,reference\nb1,2026-01-31,EUR,1250,someone\n\n";
        assert_eq!(parse(good).map(|lines| lines.len()), Ok(1));
        for bad in [
            "",
            "id,amount\n",
            "id,booked_on,currency,amount,reference\nb1,2026-01-31,EUR,12.50,x",
            "id,booked_on,currency,amount,reference\nb1,2026-01-31,EUR,-5,x",
            "id,booked_on,currency,amount,reference\nb1,2026-01-31,EUR,0,x",
            "id,booked_on,currency,amount,reference\nb1,2026-02-31,EUR,5,x",
            "id,booked_on,currency,amount,reference\n,2026-01-31,EUR,5,x",
            "id,booked_on,currency,amount,reference\nb1,2026-01-31,EUR,5",
            "id,booked_on,currency,amount,reference\nb1,2026-01-31,euro,5,x",
            "id,booked_on,currency,amount,reference\nb1,2026-01-31,,5,x",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
