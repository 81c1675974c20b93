use api_ledger::TenantId;
use api_store::Tx;
use ed25519_dalek::{Signature, VerifyingKey};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use uuid::Uuid;

use super::append::Append;
use super::{Applied, Loans, ServiceError};
use crate::loan::{Body, Preview, Restructuring, preview};
use crate::{LoanError, repo};

/// The borrower's consent to a change of the loan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// Made by the client: the same acceptance with the same id is one change.
    pub id: Uuid,
    /// The change, as it was previewed.
    pub change: Restructuring,
    /// The day of the preview.
    pub effective: Date,
    /// The preview's hash, as it was shown.
    pub preview: String,
    /// The borrower's Ed25519 signature over the text `roadstead loan change ` and the hash.
    /// Required when the loan has a borrower's key.
    pub signature: Option<[u8; 64]>,
}

/// A borrower's recorded consent: whoever has it can check the signature without this system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Consent {
    /// The event that made the change.
    pub event: Uuid,
    /// The exact JSON that was previewed; its SHA-256 is the hash in [`acceptance_message`].
    pub preview: String,
    /// The Ed25519 signature; `None` when the loan has no key.
    #[serde(serialize_with = "in_hex")]
    pub signature: Option<Vec<u8>>,
    /// The key that it verifies under.
    #[serde(serialize_with = "in_hex")]
    pub borrower_key: Option<Vec<u8>>,
    /// When, by the clock.
    pub accepted_at: Timestamp,
}

#[expect(clippy::ref_option, reason = "the shape that serde asks for")]
fn in_hex<S: serde::Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
    bytes.as_ref().map(hex::encode).serialize(serializer)
}

/// What a borrower signs to accept a preview.
#[must_use]
pub fn acceptance_message(preview: &str) -> String {
    format!("roadstead loan change {preview}")
}

impl Loans {
    /// What a change would do, by the engine that would do it.
    ///
    /// # Errors
    /// The reasons for which the change itself would be refused.
    pub async fn preview(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        loan: Uuid,
        change: &Restructuring,
        on: Date,
    ) -> Result<Preview, ServiceError> {
        let stored = repo::loan(tx, tenant, loan).await?.ok_or(LoanError::UnknownLoan(loan))?;
        let events = repo::events(tx, tenant, loan).await?;
        Ok(preview(&stored.contract, &events, loan, change, on)?)
    }

    /// Makes the change whose preview the borrower has accepted. The preview is computed again: if
    /// anything happened to the loan since, the hash differs and the change is refused.
    ///
    /// # Errors
    /// [`LoanError::PreviewChanged`], [`LoanError::BadAcceptance`], and the reasons for which the
    /// change would be refused.
    pub async fn accept(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        loan: Uuid,
        acceptance: &Acceptance,
    ) -> Result<Applied, ServiceError> {
        let mut stored = self.lock(tx, tenant, loan).await?;
        let body =
            Body::Restructured { change: acceptance.change, preview: acceptance.preview.clone() };
        let effective = acceptance.effective;
        let append = Append { id: acceptance.id, effective, body, cash: None };
        if self.earlier(tx, tenant, loan, &append).await? {
            return Ok(Applied::AlreadyApplied);
        }
        let mut events = repo::events(tx, tenant, loan).await?;
        let now = preview(&stored.contract, &events, loan, &acceptance.change, effective)?;
        if now.hash()? != acceptance.preview {
            return Err(LoanError::PreviewChanged.into());
        }
        check_signature(stored.borrower_key, acceptance)?;
        self.append(tx, tenant, &mut stored, &mut events, append).await?;
        let consent = Consent {
            event: acceptance.id,
            preview: now.json()?,
            signature: acceptance.signature.map(|signature| signature.to_vec()),
            borrower_key: stored.borrower_key.map(|key| key.to_vec()),
            accepted_at: self.now(),
        };
        repo::insert_consent(tx, tenant, loan, &consent).await?;
        Ok(Applied::Executed)
    }

    /// The borrower's consents to changes of the loan, in the order of acceptance.
    ///
    /// # Errors
    /// [`LoanError::UnknownLoan`].
    pub async fn consents(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        loan: Uuid,
    ) -> Result<Vec<Consent>, ServiceError> {
        repo::loan(tx, tenant, loan).await?.ok_or(LoanError::UnknownLoan(loan))?;
        repo::consents(tx, tenant, loan).await
    }
}

fn check_signature(key: Option<[u8; 32]>, acceptance: &Acceptance) -> Result<(), LoanError> {
    let Some(key) = key else { return Ok(()) };
    let key = VerifyingKey::from_bytes(&key).map_err(|_| LoanError::BadAcceptance)?;
    let signature = acceptance.signature.ok_or(LoanError::BadAcceptance)?;
    let message = acceptance_message(&acceptance.preview);
    key.verify_strict(message.as_bytes(), &Signature::from_bytes(&signature))
        .map_err(|_| LoanError::BadAcceptance)
}
