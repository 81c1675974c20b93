use api_audit::Record;
use api_ledger::TenantId;
use jiff::ToSpan as _;
use jiff::civil::Date;
use serde::Serialize;
use uuid::Uuid;

use crate::repo::tenants;
use crate::{Care, CareError};

/// Loans in one transaction.
const BATCH_LOANS: u32 = 500;
/// A tenant whose days were never closed begins with at most so many: what is older is caught up
/// with in the first of them.
const FIRST_DAYS: i64 = 31;

/// Where a tenant stands in the calendar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TenantDays {
    /// The tenant.
    pub tenant: Uuid,
    /// The day it is for its loans.
    pub business_date: Date,
    /// The last day that was closed.
    pub last_closed: Option<Date>,
}

/// What closing days did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Closed {
    /// Days of tenants.
    pub days: u64,
    /// Loans that were brought up to a day, each time counted.
    pub loans: u64,
    /// Ledger transfers that were posted.
    pub transfers: u64,
    /// Offers that were made to borrowers whose loans show early signs of trouble.
    pub offers: u64,
}

impl Closed {
    fn add(&mut self, other: Self) {
        self.days = self.days.saturating_add(other.days);
        self.loans = self.loans.saturating_add(other.loans);
        self.transfers = self.transfers.saturating_add(other.transfers);
        self.offers = self.offers.saturating_add(other.offers);
    }
}

impl Care {
    /// Where each tenant stands in the calendar.
    ///
    /// # Errors
    /// [`CareError::Store`].
    pub async fn calendars(&self) -> Result<Vec<TenantDays>, CareError> {
        let mut tx = self.db.read().await?;
        let mut all = Vec::new();
        for (id, last_closed) in tenants::with_loans(&mut tx).await? {
            let business_date = self.loans.today_in(&mut tx, TenantId::new(id)).await?;
            all.push(TenantDays { tenant: id, business_date, last_closed });
        }
        Ok(all)
    }

    /// Closes, for every tenant, the days that are over by its business date, up to `through`. Days
    /// that were closed before are not closed again.
    ///
    /// # Errors
    /// [`CareError`]; what was closed before stays.
    pub async fn close_days(&self, through: Option<Date>) -> Result<Closed, CareError> {
        let mut closed = Closed::default();
        for calendar in self.calendars().await? {
            let Ok(yesterday) = calendar.business_date.yesterday() else { continue };
            let last = through.map_or(yesterday, |through| through.min(yesterday));
            closed.add(self.close_tenant(&calendar, last).await?);
        }
        Ok(closed)
    }

    async fn close_tenant(
        &self,
        calendar: &TenantDays,
        through: Date,
    ) -> Result<Closed, CareError> {
        let tenant = TenantId::new(calendar.tenant);
        let mut closed = Closed::default();
        let Some(mut day) = self.first_open_day(calendar, through).await? else {
            return Ok(closed);
        };
        while day <= through {
            closed.add(self.close_day(tenant, day).await?);
            let Ok(next) = day.tomorrow() else { break };
            day = next;
        }
        if closed.days > 0 {
            closed.offers = self.make_offers(tenant, calendar.business_date).await?;
        }
        Ok(closed)
    }

    async fn first_open_day(
        &self,
        calendar: &TenantDays,
        through: Date,
    ) -> Result<Option<Date>, CareError> {
        if let Some(last) = calendar.last_closed {
            return Ok(last.tomorrow().ok());
        }
        let mut tx = self.db.read().await?;
        let tenant = TenantId::new(calendar.tenant);
        let Some(oldest) = self.loans.oldest_posted_day(&mut tx, tenant).await? else {
            return Ok(None);
        };
        let first = through.checked_sub(FIRST_DAYS.days()).unwrap_or(through);
        Ok(Some(oldest.tomorrow().unwrap_or(oldest).max(first)))
    }

    /// One day of one tenant. Whoever stops in the middle goes on with the loans that are left: each
    /// remembers the day up to which it is posted.
    async fn close_day(&self, tenant: TenantId, day: Date) -> Result<Closed, CareError> {
        let done = self.loans.end_of_day_of(&self.db, tenant, day, BATCH_LOANS).await?;
        let mut tx = self.db.begin().await?;
        tenants::set_last_day(&mut tx, tenant, day).await?;
        if done.loans > 0 {
            let record = Record::new("loans.day_closed", now_ms())
                .external_id(tenant.get().to_string(), format!("day:{day}:{}", Uuid::now_v7()))
                .field("day", day.to_string())
                .field("loans", done.loans.to_string())
                .field("transfers", done.transfers.to_string());
            self.audit.append_in(&mut tx, &record).await?;
        }
        tx.commit().await?;
        metrics::counter!("roadstead_days_closed_total").increment(1);
        Ok(Closed { days: 1, loans: done.loans, transfers: done.transfers, offers: 0 })
    }
}

/// The real time, which counts in the audit log.
pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
