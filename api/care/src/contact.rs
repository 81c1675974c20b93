use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr as _;

use api_audit::Record;
use api_ledger::TenantId;
use api_loans::reminders::{Channel, Holds};
use api_store::Tx;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};
use uuid::Uuid;

use crate::day::now_ms;
use crate::repo::contacts::{self, Sealed};
use crate::repo::keys;
use crate::{Care, CareError, seal};

/// What a consent to all channels, or its withdrawal, is stored under.
const ALL: &str = "all";
const PROOF_CHARS_MAX: usize = 2_000;
const PUSH_CHARS_MAX: usize = 4_096;
/// A promise reaches at most so far.
const PROMISE_DAYS_MAX: i64 = 92;

/// Where somebody is reached. Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(String);

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Address(…)")
    }
}

impl Address {
    /// An address that the channel can use: a mailbox (RFC 5321), a number in E.164 form, or a push
    /// token of 1 to 4,096 visible ASCII characters.
    ///
    /// # Errors
    /// [`CareError::Refused`], without the address.
    pub fn new(channel: Channel, text: &str) -> Result<Self, CareError> {
        let (fits, reason) = match channel {
            Channel::InApp => (false, "the inbox needs no address"),
            Channel::Email => (
                text.len() <= 254 && lettre::Address::from_str(text).is_ok(),
                "the address is not a mailbox such as name@host.example",
            ),
            Channel::Sms => (is_e164(text), "a number is + and 7 to 15 digits (E.164)"),
            Channel::Push => (
                (1..=PUSH_CHARS_MAX).contains(&text.len())
                    && text.bytes().all(|byte| byte.is_ascii_graphic()),
                "a push token has 1 to 4096 visible ASCII characters",
            ),
        };
        if fits { Ok(Self(text.to_owned())) } else { Err(CareError::Refused(reason)) }
    }

    /// The text itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

fn is_e164(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('+') else { return false };
    (7..=15).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0')
}

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
        seal::open(&key, customer, channel.text(), &found.sealed).map(|text| Some(Address(text)))
    }

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
            addresses.push((row.channel, Address(text), row.usable));
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
    async fn lock_contact(
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

/// The last consent of each channel.
fn last_words(history: &[StoredConsent]) -> BTreeMap<Channel, bool> {
    let channels = history
        .iter()
        .filter_map(|one| Channel::named(&one.channel).map(|channel| (channel, one.granted)));
    channels.collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn addresses_are_checked_and_never_shown() {
        let good = [
            (Channel::Email, "ada@mail.example"),
            (Channel::Sms, "+8613800138000"),
            (Channel::Push, "fcm:abc_123"),
        ];
        for (channel, text) in good {
            let address = Address::new(channel, text).unwrap();
            assert!(!format!("{address:?}").contains(text));
        }
        let bad = [
            (Channel::InApp, "x"),
            (Channel::Email, "ada"),
            (Channel::Email, "ada@mail.example\r\nBcc: all@mail.example"),
            (Channel::Email, ""),
            (Channel::Sms, "13800138000"),
            (Channel::Sms, "+0123456789"),
            (Channel::Sms, "+12 34567890"),
            (Channel::Push, ""),
            (Channel::Push, "a b"),
        ];
        for (channel, text) in bad {
            let refused = Address::new(channel, text).unwrap_err().to_string();
            assert!(text.is_empty() || text == "x" || !refused.contains(text), "{refused}");
        }
    }
}
