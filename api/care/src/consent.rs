use std::collections::BTreeMap;

use api_audit::Record;
use api_ledger::TenantId;
use api_loans::reminders::Channel;
use api_store::Tx;
use jiff::Timestamp;
use uuid::Uuid;

use crate::day::now_ms;
use crate::repo::{contacts, keys};
use crate::{Care, CareError, seal};

/// What a consent to all channels, or its withdrawal, is stored under.
const ALL: &str = "all";
const PROOF_CHARS_MAX: usize = 2_000;

/// A consent, or its withdrawal.
#[derive(Clone, Debug)]
pub(crate) struct StoredConsent {
    pub(crate) id: Uuid,
    pub(crate) channel: String,
    pub(crate) granted: bool,
    pub(crate) proof: Option<Vec<u8>>,
    pub(crate) at: Timestamp,
}

/// A consent, or its withdrawal, as the tenant sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// Its id.
    pub id: Uuid,
    /// A channel, or `all` for an opt-out and what takes it back.
    pub channel: String,
    /// Given, or withdrawn.
    pub granted: bool,
    /// How it is shown; absent when it was erased.
    pub proof: Option<String>,
    /// When.
    pub at: Timestamp,
}

impl Care {
    /// Records that a customer consents to a channel, or does not any more, with its proof.
    ///
    /// # Errors
    /// [`CareError::Refused`] for a consent without proof.
    pub async fn consent(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        customer: Uuid,
        channel: Channel,
        granted: bool,
        proof: Option<&str>,
    ) -> Result<(), CareError> {
        self.lock_contact(tx, tenant, customer).await?;
        self.record_consent(tx, tenant, customer, channel.text(), granted, proof).await?;
        self.refresh(tx, tenant, customer).await
    }

    /// No reminders any more, on any channel, from this moment on. `how` says by which way.
    ///
    /// # Errors
    /// [`CareError::Store`].
    pub async fn opt_out(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        customer: Uuid,
        how: &str,
    ) -> Result<(), CareError> {
        let set = |contact: &mut api_loans::Contact| contact.debtor.opted_out = true;
        let borrower = customer.to_string();
        let before = self.loans.contact(tx, tenant, &borrower).await?;
        self.loans.update_contact(tx, tenant, &borrower, set).await?;
        if before.is_some_and(|contact| contact.debtor.opted_out) {
            return Ok(());
        }
        self.record_consent(tx, tenant, customer, ALL, false, Some(how)).await
    }

    /// Takes an opt-out back, at the customer's word; consents count again as they stand.
    ///
    /// # Errors
    /// [`CareError::Refused`] without proof.
    pub async fn opt_in(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        customer: Uuid,
        proof: &str,
    ) -> Result<(), CareError> {
        let set = |contact: &mut api_loans::Contact| contact.debtor.opted_out = false;
        self.loans.update_contact(tx, tenant, &customer.to_string(), set).await?;
        self.record_consent(tx, tenant, customer, ALL, true, Some(proof)).await
    }

    async fn record_consent(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        customer: Uuid,
        channel: &str,
        granted: bool,
        proof: Option<&str>,
    ) -> Result<(), CareError> {
        let proof = proof.map(str::trim).filter(|proof| !proof.is_empty());
        if granted && proof.is_none() {
            return Err(CareError::Refused("a consent needs its proof"));
        }
        if proof.is_some_and(|proof| proof.chars().count() > PROOF_CHARS_MAX) {
            return Err(CareError::Refused("a proof has at most 2000 characters"));
        }
        let sealed = match proof {
            None => None,
            Some(proof) => {
                let key = seal::key(tx, tenant, customer).await?;
                Some(seal::seal(&key, customer, "proof", proof)?)
            }
        };
        let id = Uuid::now_v7();
        let (channel, at) = (channel.to_owned(), self.loans.now());
        let row = StoredConsent { id, channel, granted, proof: sealed, at };
        contacts::insert_consent(tx, tenant, customer, &row).await?;
        let record = Record::new("contact.consent", now_ms())
            .external_id(tenant.get().to_string(), format!("consent:{id}"))
            .stream(format!("contact:{customer}"))
            .field("consent", id.to_string())
            .field("channel", row.channel)
            .field("granted", granted.to_string())
            .field("at", at.to_string());
        self.audit.append_in(tx, &record).await?;
        Ok(())
    }

    /// Every consent of a customer and every withdrawal, the oldest first.
    ///
    /// # Errors
    /// [`CareError::Store`].
    pub async fn consents(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        customer: Uuid,
    ) -> Result<Vec<Consent>, CareError> {
        let key = keys::get(tx, tenant, customer).await?;
        let show = |stored: StoredConsent| {
            let sealed = stored.proof.zip(key);
            let proof = sealed.map(|(sealed, key)| seal::open(&key, customer, "proof", &sealed));
            Ok(Consent {
                id: stored.id,
                channel: stored.channel,
                granted: stored.granted,
                proof: proof.transpose()?,
                at: stored.at,
            })
        };
        contacts::consents(tx, tenant, customer).await?.into_iter().map(show).collect()
    }
}

/// The last consent of each channel.
pub(crate) fn last_words(history: &[StoredConsent]) -> BTreeMap<Channel, bool> {
    let channels = history
        .iter()
        .filter_map(|one| Channel::named(&one.channel).map(|channel| (channel, one.granted)));
    channels.collect()
}
