//! A payout that cannot go out is cancelled by an operator. The signer decides: it writes into its journal
//! that it will never sign the intent, or says that it has signed it. So a cancel and a signature cannot
//! both happen, whatever this database knows or has forgotten.

use chain_core::{IntentId, Purpose};
use signer_protocol::{CancelRequest, RefusalCode, Signer as _, SignerError};

use super::settle;
use crate::app::App;
use crate::error::{Code, Error};
use crate::repo::intents::{self, State, StoredIntent};

/// Cancels a payout for which nothing was signed, and gives its hold back.
///
/// # Errors
/// `not_found`; `invalid_state` when it is no payout, was signed or is at its end; `unavailable` when the
/// signer does not answer: then send the same request again.
pub(crate) async fn cancel(app: &App, id: IntentId, reason: &str) -> Result<(), Error> {
    let stored = read(app, id).await?;
    refuse_unless_open(&stored)?;
    settle::record_order(app, id, reason).await?;
    let request = CancelRequest { intent: id, reason: reason.to_owned() };
    match app.signer.cancel(&request).await {
        Ok(_) => app.remember_journal().await?,
        Err(SignerError::Refused(refusal)) if refusal.code == RefusalCode::Conflict => {
            return Err(Error::refuse(Code::InvalidState, refusal.detail));
        }
        Err(error) => return Err(error.into()),
    }
    // The executor may move it between the two states, or give it up for what the signer said.
    loop {
        let stored = read(app, id).await?;
        if stored.state == State::Failed {
            return Ok(());
        }
        refuse_unless_open(&stored)?;
        if settle::give_up(app, &stored, &format!("cancelled: {reason}")).await? {
            return Ok(());
        }
    }
}

async fn read(app: &App, id: IntentId) -> Result<StoredIntent, Error> {
    let mut tx = app.db.read().await?;
    Ok(intents::get(&mut tx, id).await?.ok_or(Code::NotFound)?)
}

fn refuse_unless_open(stored: &StoredIntent) -> Result<(), Error> {
    let detail = match (stored.intent.purpose, stored.state) {
        (Purpose::Withdrawal, State::Reserved | State::Built) => return Ok(()),
        (Purpose::Withdrawal, state) => {
            format!("a payout that is {} cannot be cancelled", state.text())
        }
        (purpose, _) => format!("only payouts are cancelled; this is for {purpose}"),
    };
    Err(Error::refuse(Code::InvalidState, detail))
}
