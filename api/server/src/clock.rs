//! The clock of the loan book. In a sandbox the operator can set it; it then goes on from there.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use api_loans::Clock;
use api_store::Db;
use jiff::{SignedDuration, Timestamp};

use crate::error::{Code, Error};
use crate::repo::facts;

const FACT: &str = "simulated_clock_ahead_ms";

/// The real time, or that of a sandbox: the real time and a difference that is kept in the database.
#[derive(Clone, Debug)]
pub struct BusinessClock {
    ahead_ms: Arc<AtomicI64>,
    simulated: bool,
}

impl BusinessClock {
    /// The clock of this database. One that is not `simulated` shows the real time, whatever a sandbox
    /// has left there.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn open(db: &Db, simulated: bool) -> Result<Self, Error> {
        let mut tx = db.read().await?;
        let kept = facts::get(&mut tx, FACT).await?.filter(|_| simulated);
        let ahead = kept.and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok(Self { ahead_ms: Arc::new(AtomicI64::new(ahead)), simulated })
    }

    /// Whether it can be set.
    #[must_use]
    pub const fn is_simulated(&self) -> bool {
        self.simulated
    }

    /// What it shows.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        shown(self.ahead_ms.load(Ordering::SeqCst))
    }

    /// The same clock, as the loans take it.
    #[must_use]
    pub fn shared(&self) -> Clock {
        let ahead = Arc::clone(&self.ahead_ms);
        Arc::new(move || shown(ahead.load(Ordering::SeqCst)))
    }

    /// Sets it.
    ///
    /// # Errors
    /// `invalid_state` outside of a sandbox.
    pub async fn set(&self, db: &Db, now: Timestamp) -> Result<(), Error> {
        if !self.simulated {
            let detail = "the clock is the real one; care.simulated_clock makes a sandbox";
            return Err(Error::refuse(Code::InvalidState, detail));
        }
        let ahead = now.duration_since(Timestamp::now()).as_millis();
        let ahead = i64::try_from(ahead).map_err(Error::internal)?;
        let mut tx = db.begin().await?;
        facts::set(&mut tx, FACT, &ahead.to_string()).await?;
        tx.commit().await?;
        self.ahead_ms.store(ahead, Ordering::SeqCst);
        Ok(())
    }
}

fn shown(ahead_ms: i64) -> Timestamp {
    let now = Timestamp::now();
    now.checked_add(SignedDuration::from_millis(ahead_ms)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use api_store::Engine;
    use api_store::test_db::TestDb;

    use super::*;

    #[tokio::test]
    async fn only_a_sandbox_sets_its_clock_and_keeps_it() {
        let test = TestDb::new(Engine::Sqlite).await.unwrap();
        let there: Timestamp = "2031-05-06T07:08:09Z".parse().unwrap();
        let real = BusinessClock::open(&test.db, false).await.unwrap();
        assert!(real.set(&test.db, there).await.is_err());
        let sandbox = BusinessClock::open(&test.db, true).await.unwrap();
        let shared = sandbox.shared();
        sandbox.set(&test.db, there).await.unwrap();
        let again = BusinessClock::open(&test.db, true).await.unwrap();
        for now in [sandbox.now(), shared(), again.now()] {
            let off = now.duration_since(there).as_secs();
            assert!((0..60).contains(&off), "{now}");
        }
        let real = BusinessClock::open(&test.db, false).await.unwrap();
        assert!(real.now().duration_since(Timestamp::now()).as_secs().abs() < 60);
    }
}
