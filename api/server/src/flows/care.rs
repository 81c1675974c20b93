//! The jobs of the loan book: days are closed, reminders decided and sent.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::jobs::spawn;
use crate::app::App;

/// How often to look whether a tenant's day is over.
const DAY_POLL: Duration = Duration::from_secs(10);

/// Starts them; they end when `stop` turns true.
pub(super) fn start(jobs: &mut JoinSet<()>, app: &App, stop: &watch::Receiver<bool>) {
    spawn(jobs, app, "end-of-day", DAY_POLL, stop, |app| async move {
        app.care.close_days(None).await?;
        Ok(false)
    });
    let decide = Duration::from_millis(app.config.care.decide_ms);
    spawn(jobs, app, "reminders:decide", decide, stop, |app| async move {
        app.care.decide_due().await?;
        Ok(false)
    });
    let deliver = Duration::from_millis(app.config.care.deliver_ms);
    spawn(jobs, app, "reminders:deliver", deliver, stop, |app| async move {
        let done = app.care.deliver_due().await?;
        Ok(done.taken > 0)
    });
}
