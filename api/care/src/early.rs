use api_audit::Record;
use api_ledger::{AsOf, LedgerError, TenantId};
use api_loans::care::{Affordable, Signals, affordable_offer, warnings};
use api_loans::loan::{Body, Event, Loan, Preview, Restructuring, Status};
use api_loans::messages::Messages;
use api_loans::reminders::Channel;
use api_loans::{LoanError, Money, acceptance_message};
use api_store::Tx;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::day::now_ms;
use crate::repo::{inbox, offers, tenants};
use crate::{Care, CareError, EarlyRules, Letter};

/// How many days of the wallet's history are looked at, evenly spread.
const SAMPLES: i64 = 8;
const PAGE: u32 = 200;

/// A rule that holds for a loan, with the figure that makes it hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// The reason code.
    pub code: String,
    /// The figure.
    pub value: String,
}

impl Explained {
    /// A sentence for people, in this language.
    ///
    /// # Errors
    /// [`LoanError::Terms`] for a language without texts.
    pub fn text(&self, language: &str) -> Result<String, LoanError> {
        let id = format!("warning-{}", self.code);
        Messages::new(language)?.text(&id, &[("value", &self.value)])
    }
}

/// The early warning of a loan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoanWarnings {
    /// The loan.
    pub loan: Uuid,
    /// The day for which it was looked at.
    pub on: Date,
    /// The rules that hold.
    pub warnings: Vec<Explained>,
    /// The wallet's balance on days, in minor units, the oldest first.
    pub balances: Vec<(Date, Money)>,
    /// True when they are enough for an offer.
    pub offer: bool,
}

/// What a borrower can pay, as the offer assumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Means {
    pub(crate) per_instalment: Money,
    pub(crate) pause: u32,
}

/// An offer's row.
#[derive(Clone, Debug)]
pub(crate) struct StoredOffer {
    pub(crate) id: Uuid,
    pub(crate) customer: Uuid,
    pub(crate) loan: Uuid,
    pub(crate) head: u64,
    pub(crate) warnings: Vec<Explained>,
    pub(crate) affordable: Means,
    pub(crate) change: Option<Restructuring>,
    pub(crate) preview: Option<String>,
    pub(crate) effective: Date,
    pub(crate) expires_on: Date,
    pub(crate) created_at: Timestamp,
}

/// What became of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OfferState {
    /// It can be accepted.
    Open,
    /// The borrower has accepted it.
    Accepted,
    /// Something happened to the loan since: another payment, another change.
    Overtaken,
    /// Its time is over.
    Expired,
    /// Nothing within the limits is affordable: a person has to look at it.
    NoneAffordable,
}

/// A plan that was offered to a borrower.
#[derive(Clone, Debug, Serialize)]
pub struct Offer {
    /// Its id.
    pub id: Uuid,
    /// The loan.
    pub loan: Uuid,
    /// Whose loan.
    pub customer: Uuid,
    /// What became of it.
    pub state: OfferState,
    /// Why it was made.
    pub warnings: Vec<Explained>,
    /// What the borrower can pay per instalment, by the tenant's rules.
    pub affordable_per_instalment: Money,
    /// The change, as it is to be accepted.
    pub change: Option<Restructuring>,
    /// The day of the preview, as it is to be accepted.
    pub effective: Date,
    /// The hash of the preview that the borrower accepts.
    pub hash: Option<String>,
    /// What the borrower signs.
    pub message: Option<String>,
    /// Before and after, while it is open.
    pub figures: Option<Preview>,
    /// The last day on which it is open.
    pub expires_on: Date,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A loan as the early warning looks at it.
struct Look {
    customer: Uuid,
    head: u64,
    loan: Loan,
    events: Vec<Event>,
    signals: Signals,
    found: Vec<Explained>,
}

impl Care {
    /// The tenant's rules of the early warning.
    ///
    /// # Errors
    /// [`CareError::Store`].
    pub async fn rules(&self, tx: &mut Tx, tenant: TenantId) -> Result<EarlyRules, CareError> {
        Ok(tenants::rules(tx, tenant).await?.unwrap_or_default())
    }

    /// Sets them.
    ///
    /// # Errors
    /// [`CareError::Refused`].
    pub async fn set_rules(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        rules: &EarlyRules,
    ) -> Result<(), CareError> {
        rules.check()?;
        tenants::set_rules(tx, tenant, rules).await
    }

    /// What the rules say about a loan on the day it is.
    ///
    /// # Errors
    /// [`LoanError::UnknownLoan`].
    pub async fn warnings(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        loan: Uuid,
    ) -> Result<LoanWarnings, CareError> {
        let rules = self.rules(tx, tenant).await?;
        let on = self.loans.today_in(tx, tenant).await?;
        let look = self.look(tx, tenant, loan, on, &rules).await?;
        let offer = suffices(&rules, &look.found);
        let balances = look.signals.balances;
        Ok(LoanWarnings { loan, on, warnings: look.found, balances, offer })
    }

    async fn look(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: Uuid,
        on: Date,
        rules: &EarlyRules,
    ) -> Result<Look, CareError> {
        let events = self.loans.events(tx, tenant, id).await?;
        let first = events.iter().map(|event| event.effective).min();
        let on = first.map_or(on, |first| first.max(on));
        let record = self.loans.loan(tx, tenant, id, on).await?;
        let loan = self.loans.fold(tx, tenant, id, on).await?;
        let customer =
            record.borrower.parse().map_err(|_| CareError::Damaged("a borrower's id"))?;
        let currency = &record.contract.terms.currency;
        let balances = self.balances(tx, tenant, customer, currency, on, rules).await?;
        let utilisation = self.utilisation(tx, tenant, customer, currency, on).await?;
        let signals = Signals { balances, utilisation };
        let found = match loan.status()? {
            Status::Active | Status::Overdue => warnings(&loan, &events, &signals, &rules.warn)?,
            _ => Vec::new(),
        };
        let found = found
            .into_iter()
            .map(|warning| Explained { code: warning.code.to_owned(), value: warning.value })
            .collect();
        Ok(Look { customer, head: record.head, loan, events, signals, found })
    }

    /// The wallet's balance on some days up to `on`, by what counts for each of them.
    async fn balances(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        customer: Uuid,
        currency: &str,
        on: Date,
        rules: &EarlyRules,
    ) -> Result<Vec<(Date, Money)>, CareError> {
        let code = (self.wallet)(customer);
        let found = self.ledger.find_account(tx, tenant, &code, currency).await?;
        let Some((account, now)) = found else { return Ok(Vec::new()) };
        let days = i64::from(rules.history_days);
        let step = days.checked_div(SAMPLES).unwrap_or(1).max(1);
        let mut balances = Vec::new();
        for back in (1..=SAMPLES).rev().map(|sample| sample.saturating_mul(step)) {
            let Ok(day) = on.checked_sub(back.days()) else { continue };
            let balance = match self.ledger.balance(tx, account.id, AsOf::Effective(day)).await {
                Err(LedgerError::NoHistory) => break,
                other => other?,
            };
            balances.push((day, wallet_money(balance.posted().or_zero())?));
        }
        balances.push((on, wallet_money(now.posted().or_zero())?));
        Ok(balances)
    }

    /// Makes an offer for each of the tenant's loans whose warnings are enough and that has no open
    /// one. Answers how many.
    ///
    /// # Errors
    /// [`CareError`]; offers that were made before stay.
    pub(crate) async fn make_offers(&self, tenant: TenantId, on: Date) -> Result<u64, CareError> {
        let mut tx = self.db.read().await?;
        let rules = self.rules(&mut tx, tenant).await?;
        drop(tx);
        let (mut made, mut after) = (0u64, None);
        loop {
            let mut tx = self.db.read().await?;
            let page = self.loans.running_loans(&mut tx, tenant, after, PAGE).await?;
            drop(tx);
            let Some(last) = page.last() else { return Ok(made) };
            after = Some(*last);
            for loan in page {
                match self.offer_one(tenant, loan, on, &rules).await {
                    Ok(is_made) => made = made.saturating_add(u64::from(is_made)),
                    Err(error) if error.is_retryable() => return Err(error),
                    // One loan that cannot be looked at does not keep the others from help.
                    Err(error) => {
                        metrics::counter!("roadstead_alarms_total", "alarm" => "offer_failed")
                            .increment(1);
                        tracing::error!(%loan, %error, "no offer could be computed");
                    }
                }
            }
        }
    }

    async fn offer_one(
        &self,
        tenant: TenantId,
        id: Uuid,
        on: Date,
        rules: &EarlyRules,
    ) -> Result<bool, CareError> {
        let mut tx = self.db.read().await?;
        let look = self.look(&mut tx, tenant, id, on, rules).await?;
        let is_open = offers::is_open(&mut tx, tenant, id, look.head, on).await?;
        drop(tx);
        if is_open || !suffices(rules, &look.found) {
            return Ok(false);
        }
        let Some(offer) = self.compute(id, on, &look, rules)? else { return Ok(false) };
        let mut tx = self.db.begin().await?;
        if !offers::insert(&mut tx, tenant, &offer).await? {
            return Ok(false);
        }
        self.record_offer(&mut tx, tenant, &offer).await?;
        self.tell_of_offer(&mut tx, tenant, &offer).await?;
        tx.commit().await?;
        metrics::counter!("roadstead_offers_total").increment(1);
        Ok(true)
    }

    /// The smallest change that the borrower can afford; `None` when nothing more is to come.
    fn compute(
        &self,
        id: Uuid,
        on: Date,
        look: &Look,
        rules: &EarlyRules,
    ) -> Result<Option<StoredOffer>, CareError> {
        let Some((_, instalment)) = look.loan.next_payment()? else { return Ok(None) };
        let balances = &look.signals.balances;
        let now = balances.last().map_or(Money::ZERO, |(_, now)| *now);
        let (per_instalment, pause) =
            rules.afford.per_instalment(instalment, average(balances)?, now)?;
        let can = Affordable { per_instalment, pause };
        let contract = look.loan.contract();
        let plan = match affordable_offer(contract, &look.events, id, on, can, rules.limits) {
            Err(LoanError::Closed | LoanError::Terms(_)) => None,
            other => other?,
        };
        let expires_on = on.checked_add(i64::from(rules.open_days).days());
        Ok(Some(StoredOffer {
            id: Uuid::now_v7(),
            customer: look.customer,
            loan: id,
            head: look.head,
            warnings: look.found.clone(),
            affordable: Means { per_instalment, pause },
            change: plan.as_ref().map(|plan| plan.change),
            preview: plan.map(|plan| plan.hash()).transpose()?,
            effective: on,
            expires_on: expires_on.map_err(|_| LoanError::Date("past the calendar"))?,
            created_at: self.loans.now(),
        }))
    }

    async fn record_offer(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        offer: &StoredOffer,
    ) -> Result<(), CareError> {
        let codes: Vec<&str> = offer.warnings.iter().map(|one| one.code.as_str()).collect();
        let none = "none_affordable".to_owned();
        let record = Record::new("offer.made", now_ms())
            .external_id(tenant.get().to_string(), format!("offer:{}", offer.id))
            .stream(format!("care:{}", offer.loan))
            .field("offer", offer.id.to_string())
            .field("loan", offer.loan.to_string())
            .field("warnings", codes.join(" "))
            .field("preview", offer.preview.clone().unwrap_or(none))
            .field("expires_on", offer.expires_on.to_string());
        self.audit.append_in(tx, &record).await?;
        Ok(())
    }

    /// Puts a notice into the inbox of a borrower who wants to be told there.
    async fn tell_of_offer(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        offer: &StoredOffer,
    ) -> Result<(), CareError> {
        let contact = self.loans.contact(tx, tenant, &offer.customer.to_string()).await?;
        let Some(contact) = contact.filter(|_| offer.change.is_some()) else { return Ok(()) };
        let (debtor, holds) = (&contact.debtor, &contact.debtor.holds);
        let silent = debtor.opted_out || holds.deceased || holds.legal_hold;
        if silent || !debtor.consents.contains(&Channel::InApp) {
            return Ok(());
        }
        let text =
            Messages::new(&debtor.language)?.offer(&offer.loan.to_string(), offer.expires_on)?;
        let letter = Letter {
            id: offer.id,
            kind: "offer".to_owned(),
            loan: Some(offer.loan),
            subject: text.subject,
            body: text.body,
            created_at: offer.created_at,
            read_at: None,
        };
        inbox::insert(tx, tenant, offer.customer, &letter).await
    }

    /// A customer's offers, the newest first: up to `limit` that are older than the one with the id
    /// `before`.
    ///
    /// # Errors
    /// [`CareError::Store`].
    pub async fn offers(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        customer: Uuid,
        before: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<Offer>, CareError> {
        let on = self.loans.today_in(tx, tenant).await?;
        let mut views = Vec::new();
        for stored in offers::of_customer(tx, tenant, customer, before, limit).await? {
            views.push(self.view(tx, tenant, stored, on).await?);
        }
        Ok(views)
    }

    async fn view(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        stored: StoredOffer,
        on: Date,
    ) -> Result<Offer, CareError> {
        let events = self.loans.events(tx, tenant, stored.loan).await?;
        let state = state(&stored, &events, on);
        let figures = match (state, &stored.change) {
            (OfferState::Open, Some(change)) => {
                Some(self.loans.preview(tx, tenant, stored.loan, change, stored.effective).await?)
            }
            _ => None,
        };
        Ok(Offer {
            id: stored.id,
            loan: stored.loan,
            customer: stored.customer,
            state,
            warnings: stored.warnings,
            affordable_per_instalment: stored.affordable.per_instalment,
            change: stored.change,
            effective: stored.effective,
            message: stored.preview.as_deref().map(acceptance_message),
            hash: stored.preview,
            figures,
            expires_on: stored.expires_on,
            created_at: stored.created_at,
        })
    }
}

fn suffices(rules: &EarlyRules, found: &[Explained]) -> bool {
    let codes: Vec<&str> = found.iter().map(|one| one.code.as_str()).collect();
    rules.suffices(&codes)
}

fn state(stored: &StoredOffer, events: &[Event], on: Date) -> OfferState {
    let accepted = events.iter().any(|event| match &event.body {
        Body::Restructured { preview, .. } => Some(preview) == stored.preview.as_ref(),
        _ => false,
    });
    let head = events.iter().map(|event| event.seq).max().unwrap_or(0);
    if accepted {
        OfferState::Accepted
    } else if stored.change.is_none() {
        OfferState::NoneAffordable
    } else if head > stored.head {
        OfferState::Overtaken
    } else if on > stored.expires_on {
        OfferState::Expired
    } else {
        OfferState::Open
    }
}

fn wallet_money(minor: u128) -> Result<Money, LoanError> {
    i128::try_from(minor).map(Money::new).map_err(|_| LoanError::Overflow)
}

/// The average of what was held on the days that were looked at, rounded down.
fn average(balances: &[(Date, Money)]) -> Result<Money, LoanError> {
    let sum = Money::sum(balances.iter().map(|(_, held)| *held))?;
    let count = i128::try_from(balances.len()).map_err(|_| LoanError::Overflow)?;
    Ok(Money::new(sum.minor().checked_div(count).unwrap_or(0)))
}
