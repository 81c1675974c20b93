use api_ledger::TenantId;
use api_loans::Money;
use api_loans::loan::{Amounts, Bucket, Forbearance, Loan, Stage, Status};
use api_store::Tx;
use jiff::civil::Date;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::App;
use crate::error::{Code, Error};

/// Where a loan stands, without its lines.
#[derive(Debug, Serialize)]
pub(super) struct Standing {
    as_of: Date,
    currency: String,
    status: Status,
    days_past_due: i64,
    bucket: Bucket,
    stage: Stage,
    forbearance: Option<Forbearance>,
    outstanding: Amounts,
    due: Amounts,
    held: Money,
    next: Option<Next>,
}

/// The next instalment with something to pay.
#[derive(Debug, Serialize)]
struct Next {
    due: Date,
    amount: Money,
}

impl Standing {
    pub(super) fn of(loan: &Loan) -> Result<Self, Error> {
        let days = loan.days_past_due()?;
        Ok(Self {
            as_of: loan.as_of(),
            currency: loan.contract().terms.currency.clone(),
            status: loan.status()?,
            days_past_due: days,
            bucket: Bucket::of(days),
            stage: loan.stage()?,
            forbearance: loan.forbearance(),
            outstanding: loan.outstanding()?,
            due: loan.due()?,
            held: loan.held()?,
            next: loan.next_payment()?.map(|(due, amount)| Next { due, amount }),
        })
    }
}

/// Something that was done to a loan, and where the loan stands afterwards.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventDone {
    /// The event's id.
    id: Uuid,
    loan: Uuid,
    /// Where the loan stands now: status, days past due, bucket, stage, outstanding, due, held.
    #[schema(value_type = Object)]
    standing: Standing,
    /// The audit record; `GET /v1/audit/records/{id}/receipt` gives the receipt.
    record: String,
}

impl EventDone {
    pub(super) async fn of(
        app: &App,
        tx: &mut Tx,
        tenant: TenantId,
        (id, loan): (Uuid, Uuid),
        record: String,
    ) -> Result<Self, Error> {
        let today = app.loans.today_in(tx, tenant).await?;
        let folded = app.loans.fold(tx, tenant, loan, today).await?;
        Ok(Self { id, loan, standing: Standing::of(&folded)?, record })
    }
}

/// An amount that moves: a string of digits, at least 1 and at most 10^17.
pub(super) fn amount(text: &str) -> Result<Money, Error> {
    let amount: chain_core::Amount = text.parse()?;
    if amount.is_zero() {
        return Err(Code::ZeroAmount.into());
    }
    let minor = i128::try_from(amount.minor()).map_err(|_| Error::from(Code::InvalidAmount))?;
    Ok(Money::new(minor))
}

/// A currency of the configuration.
pub(super) fn currency(app: &App, code: &str) -> Result<(), Error> {
    if app.config.fiat.currencies.contains(code) {
        return Ok(());
    }
    Err(Error::refuse(Code::UnknownAsset, format!("{code:?} is no configured currency")))
}
