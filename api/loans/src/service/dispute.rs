use api_ledger::TenantId;
use api_store::Tx;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Loans, ServiceError};
use crate::{LoanError, repo};

/// How far a dispute is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisputeState {
    /// The borrower has spoken.
    Open,
    /// The lender has answered.
    Answered,
    /// It is over.
    Resolved,
}

/// What became of a dispute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisputeOutcome {
    /// The borrower was right; the correcting event is named.
    Corrected,
    /// The record stays as it is.
    Upheld,
    /// The borrower took it back.
    Withdrawn,
}

impl DisputeState {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Answered => "answered",
            Self::Resolved => "resolved",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Open, Self::Answered, Self::Resolved].into_iter().find(|state| state.name() == name)
    }
}

impl DisputeOutcome {
    /// Its name, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Corrected => "corrected",
            Self::Upheld => "upheld",
            Self::Withdrawn => "withdrawn",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Corrected, Self::Upheld, Self::Withdrawn].into_iter().find(|one| one.name() == name)
    }
}

/// What a borrower says is wrong about a loan, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dispute {
    /// Its id.
    pub id: Uuid,
    /// The loan.
    pub loan: Uuid,
    /// The event in question, when there is one.
    pub event: Option<Uuid>,
    /// The borrower's words.
    pub statement: String,
    /// The business date on which it was opened.
    pub opened_on: Date,
    /// How far it is.
    pub state: DisputeState,
    /// The lender's words.
    pub answer: Option<String>,
    /// When they were said.
    pub answered_on: Option<Date>,
    /// What became of it.
    pub outcome: Option<DisputeOutcome>,
    /// Why.
    pub note: Option<String>,
    /// The event that put it right.
    pub correction: Option<Uuid>,
    /// When it was over.
    pub resolved_on: Option<Date>,
}

/// How a dispute ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// What became of it.
    pub outcome: DisputeOutcome,
    /// Why.
    pub note: String,
    /// The event of the loan that put it right; for [`DisputeOutcome::Corrected`], and only then.
    pub correction: Option<Uuid>,
}

impl Loans {
    /// Opens a dispute. The loan's row is locked, as by a reminder: from here on none is sent.
    ///
    /// # Errors
    /// [`LoanError::UnknownLoan`]; [`LoanError::UnknownEvent`] when the event is not the loan's.
    pub async fn open_dispute(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        (id, loan): (Uuid, Uuid),
        event: Option<Uuid>,
        statement: &str,
    ) -> Result<Dispute, ServiceError> {
        self.lock(tx, tenant, loan).await?;
        self.require_event(tx, tenant, loan, event).await?;
        let dispute = Dispute {
            id,
            loan,
            event,
            statement: statement.to_owned(),
            opened_on: self.today_in(tx, tenant).await?,
            state: DisputeState::Open,
            answer: None,
            answered_on: None,
            outcome: None,
            note: None,
            correction: None,
            resolved_on: None,
        };
        repo::insert_dispute(tx, tenant, &dispute).await?;
        Ok(dispute)
    }

    /// The lender's answer to an open dispute.
    ///
    /// # Errors
    /// [`LoanError::UnknownDispute`], [`LoanError::DisputeClosed`].
    pub async fn answer_dispute(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: Uuid,
        answer: &str,
    ) -> Result<Dispute, ServiceError> {
        let mut dispute = self.lock_dispute(tx, tenant, id).await?;
        if dispute.state != DisputeState::Open {
            return Err(LoanError::DisputeClosed.into());
        }
        dispute.state = DisputeState::Answered;
        dispute.answer = Some(answer.to_owned());
        dispute.answered_on = Some(self.today_in(tx, tenant).await?);
        repo::update_dispute(tx, tenant, &dispute).await?;
        Ok(dispute)
    }

    /// Ends a dispute.
    ///
    /// # Errors
    /// [`LoanError::UnknownDispute`], [`LoanError::DisputeClosed`]; [`LoanError::UnknownEvent`] when
    /// the correction is missing, is not the loan's, or does not belong to this outcome.
    pub async fn resolve_dispute(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: Uuid,
        resolution: &Resolution,
    ) -> Result<Dispute, ServiceError> {
        let mut dispute = self.lock_dispute(tx, tenant, id).await?;
        if dispute.state == DisputeState::Resolved {
            return Err(LoanError::DisputeClosed.into());
        }
        let corrected = resolution.outcome == DisputeOutcome::Corrected;
        if corrected != resolution.correction.is_some() {
            return Err(LoanError::UnknownEvent.into());
        }
        self.require_event(tx, tenant, dispute.loan, resolution.correction).await?;
        dispute.state = DisputeState::Resolved;
        dispute.outcome = Some(resolution.outcome);
        dispute.note = Some(resolution.note.clone());
        dispute.correction = resolution.correction;
        dispute.resolved_on = Some(self.today_in(tx, tenant).await?);
        repo::update_dispute(tx, tenant, &dispute).await?;
        Ok(dispute)
    }

    /// The disputes about a loan, the oldest first.
    ///
    /// # Errors
    /// [`LoanError::UnknownLoan`].
    pub async fn disputes(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        loan: Uuid,
    ) -> Result<Vec<Dispute>, ServiceError> {
        repo::loan(tx, tenant, loan).await?.ok_or(LoanError::UnknownLoan(loan))?;
        repo::disputes(tx, tenant, loan).await
    }

    /// True while a dispute about the loan is not resolved: no reminder is sent.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn is_disputed(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        loan: Uuid,
    ) -> Result<bool, ServiceError> {
        repo::is_disputed(tx, tenant, loan).await
    }

    async fn lock_dispute(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: Uuid,
    ) -> Result<Dispute, ServiceError> {
        repo::lock_dispute(tx, tenant, id).await?.ok_or_else(|| LoanError::UnknownDispute.into())
    }

    async fn require_event(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        loan: Uuid,
        event: Option<Uuid>,
    ) -> Result<(), ServiceError> {
        let Some(event) = event else { return Ok(()) };
        let found = repo::event(tx, tenant, event).await?.filter(|found| found.loan == loan);
        found.map(drop).ok_or_else(|| LoanError::UnknownEvent.into())
    }
}
