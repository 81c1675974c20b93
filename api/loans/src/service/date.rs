use api_ledger::TenantId;
use api_store::Tx;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::{Loans, ServiceError, day_number, day_of};
use crate::{LoanError, repo};

/// Who says which day it is for a tenant's loans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DateSource {
    /// The calendar, in UTC.
    Calendar,
    /// The operator, who moves the day by hand.
    Operator,
}

impl Loans {
    /// The tenant's business date and who says so. Every "today" of a loan is this day.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn business_date(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
    ) -> Result<(Date, DateSource), ServiceError> {
        Ok(match repo::business_date(tx, tenant).await? {
            Some(day) => (day_of(day)?, DateSource::Operator),
            None => (self.today(), DateSource::Calendar),
        })
    }

    /// The tenant's business date.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn today_in(&self, tx: &mut Tx, tenant: TenantId) -> Result<Date, ServiceError> {
        Ok(self.business_date(tx, tenant).await?.0)
    }

    /// The time of day of the clock on the tenant's business date.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn now_in(&self, tx: &mut Tx, tenant: TenantId) -> Result<Timestamp, ServiceError> {
        let now = self.now();
        let Some(day) = repo::business_date(tx, tenant).await? else { return Ok(now) };
        let time = now.to_zoned(TimeZone::UTC).time();
        let moved = day_of(day)?.to_datetime(time).to_zoned(TimeZone::UTC);
        Ok(moved.map_err(|_| LoanError::Overflow)?.timestamp())
    }

    /// Moves the tenant's business date to `day`, by hand from now on. It never goes back: not before
    /// a day that was set, nor before a day to which a loan of the tenant is posted. The end of the
    /// day follows it.
    ///
    /// # Errors
    /// [`LoanError::DateGoesBack`].
    pub async fn set_business_date(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        day: Date,
    ) -> Result<(), ServiceError> {
        let posted = repo::posted_through(tx, tenant).await?;
        let number = day_number(day);
        let now = self.now().as_microsecond();
        let early = posted.is_some_and(|posted| number < posted);
        if early || !repo::set_business_date(tx, tenant, number, now).await? {
            return Err(LoanError::DateGoesBack.into());
        }
        Ok(())
    }

    /// Lets the calendar tell the day again.
    ///
    /// # Errors
    /// [`LoanError::DateGoesBack`] when the calendar has not reached the business date yet.
    pub async fn follow_calendar(&self, tx: &mut Tx, tenant: TenantId) -> Result<(), ServiceError> {
        let (day, _) = self.business_date(tx, tenant).await?;
        if self.today() < day {
            return Err(LoanError::DateGoesBack.into());
        }
        repo::clear_business_date(tx, tenant).await.map(drop)
    }
}
