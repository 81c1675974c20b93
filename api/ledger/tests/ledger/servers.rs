//! More servers on a fixture's database, with connections and a memory of their own.

use std::sync::Arc;

use crate::common::{Fixture, SMALL};
use api_ledger::*;
use api_store::Db;
use jiff::SignedDuration;

/// A server whose clock stands at the fixture's present time.
pub(crate) async fn another_server(f: &Fixture) -> Ledger {
    server_ahead(f, 0).await
}

/// A server whose clock stands so many seconds after the fixture's present time.
pub(crate) async fn server_ahead(f: &Fixture, seconds: i64) -> Ledger {
    let time = f.now() + SignedDuration::from_secs(seconds);
    let db = Db::connect(&f.test_db.url).await.unwrap();
    Ledger::with_clock(db, Arc::new(move || time)).with_tail(SMALL)
}
