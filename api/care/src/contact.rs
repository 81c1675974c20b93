use std::collections::{BTreeMap, BTreeSet};

use api_audit::Record;
use api_ledger::TenantId;
use api_loans::reminders::{Channel, Holds};
use api_store::Tx;
use jiff::ToSpan as _;
use jiff::civil::Date;
use uuid::Uuid;

use crate::consent::last_words;
use crate::day::now_ms;
use crate::repo::contacts::{self, Sealed};
use crate::repo::keys;
use crate::{Address, Care, CareError, seal};

/// A promise reaches at most so far.
const PROMISE_DAYS_MAX: i64 = 92;

/// What is known of a customer as somebody to be reached.
#[derive(Clone, Debug)]
pub struct Known {
    /// The IANA name of the customer's time zone; empty when it is not known.
    pub zone: String,
    /// `en` or `zh`.
    pub language: String,
    /// The name of the profile of hours, caps and ladder.
    pub profile: String,
    /// No reminders at all.
    pub opted_out: bool,
    /// Reasons to leave the customer alone.
    pub holds: Holds,
    /// The last word on each channel.
    pub consents: BTreeMap<Channel, bool>,
    /// Addresses, and whether a message came back from there.
    pub addresses: Vec<(Channel, Address, bool)>,
}

/// Reasons to leave a customer alone that the lender enters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LenderHolds {
    /// Hardship was declared; reminders rest up to and including this day.
    pub hardship_until: Option<Date>,
    /// The customer has died.
    pub deceased: bool,
    /// A lawyer, court or insolvency forbids contact.
    pub legal_hold: bool,
}

impl Care {
    /// Sets the time zone, the language and the profile by which a customer is reminded.
    ///
    /// # Errors
    /// [`api_loans::LoanError::Terms`] for an unknown zone, language or profile.
    pub async fn set_contact(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        customer: Uuid,
        (zone, language, profile): (&str, &str, &str),
    ) -> Result<(), CareError> {
        let profile = self.loans.profile(tx, tenant, profile).await?;
        let change = |contact: &mut api_loans::Contact| {
            zone.clone_into(&mut contact.debtor.zone);
            language.clone_into(&mut contact.debtor.language);
            contact.profile = profile;
        };
        self.loans.update_contact(tx, tenant, &customer.to_string(), change).await?;
        Ok(())
    }

    /// Stores where a customer is reached on a channel, encrypted under the customer's key.
    ///
    /// # Errors
    /// [`CareError::Store`].
    pub async fn set_address(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        customer: Uuid,
        channel: Channel,
        address: &Address,
    ) -> Result<(), CareError> {
        self.lock_contact(tx, tenant, customer).await?;
        let key = seal::key(tx, tenant, customer).await?;
        let sealed = seal::seal(&key, customer, channel.text(), address.reveal())?;
        let row = Sealed { channel, sealed, usable: true };
        contacts::put_address(tx, tenant, customer, &row, self.now_ms()).await?;
        self.refresh(tx, tenant, customer).await
    }

    /// Forgets where a customer is reached on a channel.
    ///
    /// # Errors
    /// [`CareError::Missing`].
    pub async fn remove_address(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        customer: Uuid,
        channel: Channel,
    ) -> Result<(), CareError> {
        self.lock_contact(tx, tenant, customer).await?;
        if !contacts::delete_address(tx, tenant, customer, channel).await? {
            return Err(CareError::Missing("address"));
        }
        self.refresh(tx, tenant, customer).await
    }

    /// Where a customer is reached on a channel, unless a message came back from there.
    pub(crate) async fn address(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        customer: Uuid,
        channel: Channel,
    ) -> Result<Option<Address>, CareError> {
        let all = contacts::addresses(tx, tenant, customer).await?;
        let found = all.into_iter().find(|address| address.channel == channel && address.usable);
        let Some(found) = found else { return Ok(None) };
        let key = seal::key(tx, tenant, customer).await?;
        seal::open(&key, customer, channel.text(), &found.sealed)
            .map(|text| Some(Address::stored(text)))
    }

    /// Sets the holds that the lender enters; a promise and a dispute are not touched.
    ///
    /// # Errors
    /// [`CareError::Store`].
    pub async fn set_holds(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        customer: Uuid,
        holds: LenderHolds,
    ) -> Result<(), CareError> {
        let set = |contact: &mut api_loans::Contact| {
            let own = &mut contact.debtor.holds;
            own.hardship_until = holds.hardship_until;
            own.deceased = holds.deceased;
            own.legal_hold = holds.legal_hold;
        };
        self.loans.update_contact(tx, tenant, &customer.to_string(), set).await?;
        let text = |set: bool| set.to_string();
        let until = holds.hardship_until.map_or_else(String::new, |day| day.to_string());
        let fields = [
            ("hardship_until", until),
            ("deceased", text(holds.deceased)),
            ("legal_hold", text(holds.legal_hold)),
        ];
        self.record_hold(tx, tenant, customer, "contact.holds", &fields).await
    }

    /// Records that a customer promises to pay by a day: reminders rest up to and including it.
    ///
    /// # Errors
    /// [`CareError::Refused`] for a day in the past or more than 92 days ahead.
    pub async fn promise(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        customer: Uuid,
        until: Date,
    ) -> Result<(), CareError> {
        let today = self.loans.today_in(tx, tenant).await?;
        let last = today.checked_add(PROMISE_DAYS_MAX.days()).unwrap_or(today);
        if until < today || until > last {
            return Err(CareError::Refused("a promise is for a day from today to 92 days ahead"));
        }
        let set = |contact: &mut api_loans::Contact| {
            contact.debtor.holds.promise_until = Some(until);
        };
        self.loans.update_contact(tx, tenant, &customer.to_string(), set).await?;
        let fields = [("until", until.to_string())];
        self.record_hold(tx, tenant, customer, "contact.promise", &fields).await
    }

    async fn record_hold(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        customer: Uuid,
        kind: &str,
        fields: &[(&str, String)],
    ) -> Result<(), CareError> {
        let mut record = Record::new(kind, now_ms())
            .external_id(tenant.get().to_string(), format!("{kind}:{}", Uuid::now_v7()))
            .stream(format!("contact:{customer}"));
        for (name, value) in fields {
            record = record.field(*name, value.clone());
        }
        self.audit.append_in(tx, &record).await?;
        Ok(())
    }

    /// What is known of a customer; `None` when nothing is.
    ///
    /// # Errors
    /// [`CareError::Store`].
    pub async fn known(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        customer: Uuid,
    ) -> Result<Option<Known>, CareError> {
        let contact = self.loans.contact(tx, tenant, &customer.to_string()).await?;
        let Some(contact) = contact else { return Ok(None) };
        let key = keys::get(tx, tenant, customer).await?;
        let mut addresses = Vec::new();
        for row in contacts::addresses(tx, tenant, customer).await? {
            let Some(key) = key else { continue };
            let text = seal::open(&key, customer, row.channel.text(), &row.sealed)?;
            addresses.push((row.channel, Address::stored(text), row.usable));
        }
        let consents = last_words(&contacts::consents(tx, tenant, customer).await?);
        let debtor = contact.debtor;
        Ok(Some(Known {
            zone: debtor.zone,
            language: debtor.language,
            profile: contact.profile.name,
            opted_out: debtor.opted_out,
            holds: debtor.holds,
            consents,
            addresses,
        }))
    }

    /// Erases what is personal: addresses, letters, proofs, and the key under which they were kept.
    /// The records of decisions stay; they hold no personal data. The customer is reminded no more.
    ///
    /// # Errors
    /// [`CareError::State`] under a legal hold.
    pub async fn erase(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        customer: Uuid,
    ) -> Result<(), CareError> {
        let borrower = customer.to_string();
        let contact = self.loans.contact(tx, tenant, &borrower).await?;
        if contact.is_some_and(|contact| contact.debtor.holds.legal_hold) {
            return Err(CareError::State("the customer is under legal hold"));
        }
        contacts::erase(tx, tenant, customer).await?;
        keys::erase(tx, tenant, customer, self.now_ms()).await?;
        self.loans.forget_contact(tx, tenant, &borrower).await?;
        self.record_hold(tx, tenant, customer, "contact.erased", &[]).await
    }

    /// Locks what is known of a customer until the end of the transaction, so that what is computed
    /// from consents and addresses is computed from the last ones.
    pub(crate) async fn lock_contact(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        customer: Uuid,
    ) -> Result<(), CareError> {
        self.loans.update_contact(tx, tenant, &customer.to_string(), |_| ()).await?;
        Ok(())
    }

    /// Brings the channels on which decisions may be made in line: those with a consent, and with an
    /// address that works.
    pub(crate) async fn refresh(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        customer: Uuid,
    ) -> Result<(), CareError> {
        let words = last_words(&contacts::consents(tx, tenant, customer).await?);
        let mut reachable = BTreeSet::from([Channel::InApp]);
        for address in contacts::addresses(tx, tenant, customer).await? {
            if address.usable {
                reachable.insert(address.channel);
            }
        }
        let granted = |channel: &Channel| words.get(channel) == Some(&true);
        let consents: BTreeSet<Channel> = reachable.into_iter().filter(granted).collect();
        let set = |contact: &mut api_loans::Contact| contact.debtor.consents = consents;
        self.loans.update_contact(tx, tenant, &customer.to_string(), set).await?;
        Ok(())
    }
}
