//! Several logs in one database.

use api_store::{Db, Tx};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::log::AuditLog;
use crate::repo::{logs, trees};
use crate::{AuditError, Record, RecordId};

impl AuditLog {
    /// Opens the log of this name in the caller's transaction, made when it is new.
    ///
    /// # Errors
    /// [`AuditError::Store`].
    pub async fn open_in(tx: &mut Tx, origin: &str) -> Result<Self, AuditError> {
        match Self::find_log(tx, origin).await? {
            Some(log) => Ok(log),
            None => {
                let id = trees::open_log(tx, origin).await?;
                Ok(Self { id, origin: origin.to_owned() })
            }
        }
    }

    /// The log of this name, if there is one.
    ///
    /// # Errors
    /// [`AuditError::Store`].
    pub async fn find_log(tx: &mut Tx, origin: &str) -> Result<Option<Self>, AuditError> {
        let id = logs::find(tx, origin).await?;
        Ok(id.map(|id| Self { id, origin: origin.to_owned() }))
    }

    /// All logs of the database, the oldest first.
    ///
    /// # Errors
    /// [`AuditError::Store`].
    pub async fn all(tx: &mut Tx) -> Result<Vec<Self>, AuditError> {
        let found = logs::all(tx).await?;
        Ok(found.into_iter().map(|(id, origin)| Self { id, origin }).collect())
    }
}

impl Record {
    /// Whose record it is: the tenant of its external id.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.external.as_ref().map(|(tenant, _)| tenant.as_str())
    }
}

/// Which log a record goes to: one log for all, or one for each tenant.
#[derive(Clone, Debug)]
pub struct Logs {
    shared: AuditLog,
    per_tenant: bool,
}

impl Logs {
    /// Opens the shared log, made when it is new.
    ///
    /// # Errors
    /// [`AuditError::Store`].
    pub async fn open(db: &Db, origin: &str, per_tenant: bool) -> Result<Self, AuditError> {
        let shared = AuditLog::open(db, origin).await?;
        Ok(Self { shared, per_tenant })
    }

    /// The log of what is nobody's alone, and of all tenants where they have none of their own.
    #[must_use]
    pub const fn shared(&self) -> &AuditLog {
        &self.shared
    }

    /// The name of a tenant's own log.
    #[must_use]
    pub fn origin_of(&self, tenant: Uuid) -> String {
        format!("{}/{tenant}", self.shared.origin())
    }

    /// Writes a record to the log of its tenant.
    ///
    /// # Errors
    /// As [`AuditLog::append_in`].
    pub async fn append_in(&self, tx: &mut Tx, record: &Record) -> Result<RecordId, AuditError> {
        self.log_of(tx, record).await?.append_in(tx, record).await
    }

    /// The log that a record belongs to: its tenant's, or the shared one.
    async fn log_of(&self, tx: &mut Tx, record: &Record) -> Result<AuditLog, AuditError> {
        let tenant = record.tenant().and_then(|tenant| tenant.parse().ok());
        match tenant {
            Some(tenant) => self.to_write(tx, tenant).await,
            None => Ok(self.shared.clone()),
        }
    }

    /// Writes records, each to the log of its tenant, in their order.
    ///
    /// # Errors
    /// As [`AuditLog::append_many_in`].
    pub async fn append_many_in(
        &self,
        tx: &mut Tx,
        list: &[Record],
    ) -> Result<Vec<RecordId>, AuditError> {
        if !self.per_tenant {
            return self.shared.append_many_in(tx, list).await;
        }
        let mut ids = Vec::with_capacity(list.len());
        for record in list {
            ids.push(self.append_in(tx, record).await?);
        }
        Ok(ids)
    }

    /// Writes records that are new by the way they are named, each to the log of its tenant.
    ///
    /// # Errors
    /// As [`AuditLog::append_new_in`].
    pub async fn append_new_in(
        &self,
        tx: &mut Tx,
        list: &[Record],
    ) -> Result<Vec<RecordId>, AuditError> {
        if !self.per_tenant {
            return self.shared.append_new_in(tx, list).await;
        }
        let mut ids = Vec::with_capacity(list.len());
        for record in list {
            let log = self.log_of(tx, record).await?;
            ids.extend(log.append_new_in(tx, std::slice::from_ref(record)).await?);
        }
        Ok(ids)
    }

    /// The record with an external id, in whichever log has it.
    ///
    /// # Errors
    /// [`AuditError::Store`].
    pub async fn find(
        &self,
        tx: &mut Tx,
        tenant: &str,
        external_id: &str,
    ) -> Result<Option<RecordId>, AuditError> {
        if let Ok(owner) = tenant.parse()
            && let Some(own) = self.own(tx, owner).await?
            && let Some(found) = own.find(tx, tenant, external_id).await?
        {
            return Ok(Some(found));
        }
        self.shared.find(tx, tenant, external_id).await
    }

    /// The log that takes a tenant's records now.
    ///
    /// # Errors
    /// [`AuditError::Store`].
    pub async fn to_write(&self, tx: &mut Tx, tenant: Uuid) -> Result<AuditLog, AuditError> {
        if self.per_tenant {
            return AuditLog::open_in(tx, &self.origin_of(tenant)).await;
        }
        Ok(self.shared.clone())
    }

    /// The logs that may hold a tenant's records, its own first: from before the setting was changed
    /// they may be in the other.
    ///
    /// # Errors
    /// [`AuditError::Store`].
    pub async fn to_read(&self, tx: &mut Tx, tenant: Uuid) -> Result<Vec<AuditLog>, AuditError> {
        let own = AuditLog::find_log(tx, &self.origin_of(tenant)).await?;
        Ok(own.into_iter().chain([self.shared.clone()]).collect())
    }

    /// A tenant's own log, if it has one.
    ///
    /// # Errors
    /// [`AuditError::Store`].
    pub async fn own(&self, tx: &mut Tx, tenant: Uuid) -> Result<Option<AuditLog>, AuditError> {
        AuditLog::find_log(tx, &self.origin_of(tenant)).await
    }

    /// All logs of this server.
    ///
    /// # Errors
    /// [`AuditError::Store`].
    pub async fn all(&self, tx: &mut Tx) -> Result<Vec<AuditLog>, AuditError> {
        let ours = format!("{}/", self.shared.origin());
        let mut logs = AuditLog::all(tx).await?;
        logs.retain(|log| log.origin() == self.shared.origin() || log.origin().starts_with(&ours));
        Ok(logs)
    }

    /// The log whose origin line has this SHA-256.
    ///
    /// # Errors
    /// [`AuditError::Store`].
    pub async fn with_hash(
        &self,
        tx: &mut Tx,
        hash: [u8; 32],
    ) -> Result<Option<AuditLog>, AuditError> {
        let is_it = |log: &AuditLog| <[u8; 32]>::from(Sha256::digest(log.origin())) == hash;
        if is_it(&self.shared) {
            return Ok(Some(self.shared.clone()));
        }
        Ok(self.all(tx).await?.into_iter().find(is_it))
    }
}

impl From<AuditLog> for Logs {
    /// One log for all.
    fn from(shared: AuditLog) -> Self {
        Self { shared, per_tenant: false }
    }
}
