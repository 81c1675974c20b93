//! How much of its limits an account has used, from its history.

use api_store::Tx;

use crate::book::{AccountState, Usage};
use crate::repo::{self, History};
use crate::resident::Resident;
use crate::{LedgerError, VelocityLimit, bytes, statement};

const MICROS_PER_SECOND: i64 = 1_000_000;

/// Loads the limits of a locked account and what is used up of them at `now`.
pub(crate) async fn load(
    tx: &mut Tx,
    resident: &Resident,
    account: &mut AccountState,
    now: i64,
) -> Result<(), LedgerError> {
    let mut usages = Vec::new();
    for limit in repo::limits(tx, account.id).await? {
        usages.push(usage(tx, resident, account, limit, now).await?);
    }
    account.usages = usages;
    Ok(())
}

async fn usage(
    tx: &mut Tx,
    resident: &Resident,
    account: &AccountState,
    limit: VelocityLimit,
    now: i64,
) -> Result<Usage, LedgerError> {
    let window = i64::from(limit.window_secs).saturating_mul(MICROS_PER_SECOND);
    let history = History { account: account.id, last_seq: account.last.seq(0), resident };
    let before = statement::last_recorded(tx, history, now.saturating_sub(window)).await?;
    let seq = before.map_or(0, |leg| leg.0);
    let mut usage = Usage { limit, count: 0, sum: 0, last: None };
    for (transfer, amount) in history.outflows_after(tx, account.terms.side, seq).await? {
        // Over the limit already, when it was lowered: the next outflow is refused.
        let _ = usage.add(repo::transfer_id(&transfer)?, bytes::decode(&amount)?);
    }
    Ok(usage)
}
