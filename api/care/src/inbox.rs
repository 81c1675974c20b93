use api_ledger::TenantId;
use api_store::Tx;
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::repo::inbox;
use crate::{Care, CareError};

/// What a customer finds in the wallet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Letter {
    /// Its id: the reminder's or the offer's.
    pub id: Uuid,
    /// `reminder` or `offer`.
    pub kind: String,
    /// The loan that it is about.
    pub loan: Option<Uuid>,
    /// One line.
    pub subject: String,
    /// The text.
    pub body: String,
    /// When it came.
    pub created_at: Timestamp,
    /// When it was read.
    pub read_at: Option<Timestamp>,
}

impl Care {
    /// A customer's letters, the newest first: up to `limit` that are older than the one with the
    /// id `before`.
    ///
    /// # Errors
    /// [`CareError::Store`].
    pub async fn inbox(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        customer: Uuid,
        before: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<Letter>, CareError> {
        inbox::page(tx, tenant, customer, before, limit).await
    }

    /// Marks a letter as read; the first time counts.
    ///
    /// # Errors
    /// [`CareError::Missing`].
    pub async fn mark_read(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        customer: Uuid,
        letter: Uuid,
    ) -> Result<(), CareError> {
        let known = inbox::mark_read(tx, tenant, customer, letter, self.now_ms()).await?;
        known.then_some(()).ok_or(CareError::Missing("letter"))
    }
}
