//! What is known of borrowers, and the profiles by which they are reminded.

use std::collections::BTreeSet;

use api_ledger::TenantId;
use api_store::Tx;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::{Loans, ServiceError};
use crate::LoanError;
use crate::reminders::{Debtor, Holds, Profile};
use crate::repo;

/// A debtor and the profile by which reminders are decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// The debtor.
    pub debtor: Debtor,
    /// What is allowed.
    pub profile: Profile,
}

impl Contact {
    /// Nobody of whom anything is known: no time zone, no consent.
    fn unknown() -> Result<Self, LoanError> {
        let debtor = Debtor {
            zone: String::new(),
            language: "en".to_owned(),
            consents: BTreeSet::new(),
            opted_out: false,
            holds: Holds::default(),
        };
        Ok(Self { debtor, profile: Profile::built_in("eu")? })
    }
}

impl Loans {
    /// Stores what is known of a borrower of the tenant, and by which profile to remind.
    ///
    /// # Errors
    /// [`LoanError::Terms`] for an unusable profile, language or time zone.
    pub async fn set_contact(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        borrower: &str,
        contact: &Contact,
    ) -> Result<(), ServiceError> {
        contact.profile.check()?;
        TimeZone::get(&contact.debtor.zone).map_err(|_| LoanError::Terms("time zone"))?;
        if !crate::messages::LANGUAGES.contains(&contact.debtor.language.as_str()) {
            return Err(LoanError::Terms("language").into());
        }
        repo::put_contact(tx, tenant, borrower, contact, self.now().as_microsecond()).await
    }

    /// What is known of a borrower.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn contact(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        borrower: &str,
    ) -> Result<Option<Contact>, ServiceError> {
        repo::contact(tx, tenant, borrower).await
    }

    /// Changes what is known of a borrower, of whom nothing may have been known: such a one has no
    /// time zone yet and is not reminded. Decisions that were to wait are made anew.
    ///
    /// # Errors
    /// [`LoanError::Terms`] for an unusable profile, language or time zone.
    pub async fn update_contact(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        borrower: &str,
        change: impl FnOnce(&mut Contact) + Send,
    ) -> Result<Contact, ServiceError> {
        let found = repo::lock_contact(tx, tenant, borrower).await?;
        let mut contact = found.map_or_else(Contact::unknown, Ok)?;
        change(&mut contact);
        contact.profile.check()?;
        let zone = contact.debtor.zone.as_str();
        if !zone.is_empty() && TimeZone::get(zone).is_err() {
            return Err(LoanError::Terms("time zone").into());
        }
        if !crate::messages::LANGUAGES.contains(&contact.debtor.language.as_str()) {
            return Err(LoanError::Terms("language").into());
        }
        let now = self.now_in(tx, tenant).await?.as_microsecond();
        repo::put_contact(tx, tenant, borrower, &contact, now).await?;
        repo::look_again(tx, tenant, borrower, now).await?;
        Ok(contact)
    }

    /// Forgets a borrower. Decisions that were made stay; they hold no personal data but the id.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn forget_contact(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        borrower: &str,
    ) -> Result<(), ServiceError> {
        repo::delete_contact(tx, tenant, borrower).await
    }

    /// Stores a profile of the tenant's own under its name; it goes before a built-in one of that
    /// name, and counts at once for everybody who is reminded by it.
    ///
    /// # Errors
    /// [`LoanError::Terms`] when it contradicts itself.
    pub async fn put_profile(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        profile: &Profile,
    ) -> Result<(), ServiceError> {
        profile.check()?;
        repo::put_profile(tx, tenant, profile, self.now().as_microsecond()).await
    }

    /// Removes a profile of the tenant's own; false when there is none.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn delete_profile(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        name: &str,
    ) -> Result<bool, ServiceError> {
        repo::delete_profile(tx, tenant, name).await
    }

    /// The tenant's own profiles.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn profiles(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
    ) -> Result<Vec<Profile>, ServiceError> {
        repo::profiles(tx, tenant).await
    }

    /// The profile of this name: the tenant's own, or a built-in one.
    ///
    /// # Errors
    /// [`LoanError::Terms`] when there is none.
    pub async fn profile(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        name: &str,
    ) -> Result<Profile, ServiceError> {
        match repo::profile(tx, tenant, name).await? {
            Some(profile) => Ok(profile),
            None => Ok(Profile::built_in(name)?),
        }
    }

    /// No reminders any more, on any channel, from this moment on. True when the borrower is known.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn opt_out(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        borrower: &str,
    ) -> Result<bool, ServiceError> {
        let Some(mut contact) = repo::lock_contact(tx, tenant, borrower).await? else {
            return Ok(false);
        };
        contact.debtor.opted_out = true;
        let now = self.now_in(tx, tenant).await?.as_microsecond();
        repo::put_contact(tx, tenant, borrower, &contact, now).await?;
        repo::look_again(tx, tenant, borrower, now).await?;
        Ok(true)
    }
}
