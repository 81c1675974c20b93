//! How much of its limits an account has used, from its history.

use api_store::Tx;

use crate::book::AccountState;
use crate::outflows::{Place, Step, Walk};
use crate::repo::{self, LimitedLeg};
use crate::resident::Resident;
use crate::{LedgerError, Side, bytes};

/// How many legs are read at first, and at most, by one statement.
const PAGE_FIRST: u32 = 64;
const PAGE_MAX: u32 = 4096;

/// Loads the limits of a locked account and what is used up of them at `now`. With `keep` what is read
/// stays in memory: only for transactions that have written nothing, because then it is durable.
pub(crate) async fn load(
    tx: &mut Tx,
    resident: &Resident,
    account: &mut AccountState,
    now: i64,
    keep: bool,
) -> Result<(), LedgerError> {
    let limits = repo::limits(tx, account.id).await?;
    if limits.is_empty() {
        return Ok(());
    }
    let mut known = resident.outflows(|outflows| outflows.known(account.id, &limits, now));
    loop {
        let new = Walk::new(account.last.seq(0), known, &limits, now);
        let walk = walk(tx, resident, account, new).await?;
        let usages =
            resident.outflows(|outflows| outflows.count(account.id, &walk, &limits, now, keep));
        if let Some(usages) = usages {
            account.usages = usages;
            return Ok(());
        }
        // It was forgotten meanwhile. Without it nothing is left out.
        known = None;
    }
}

async fn walk(
    tx: &mut Tx,
    resident: &Resident,
    account: &AccountState,
    mut walk: Walk,
) -> Result<Walk, LedgerError> {
    let mut limit = PAGE_FIRST;
    while let Some(seq) = walk.next() {
        let page = repo::limited_legs(tx, account.id, seq, walk.stop(), limit).await?;
        resident.has_read_legs(page.len());
        for leg in page {
            walk.step(&step(leg, account.terms.side)?);
        }
        if walk.next() == Some(seq) {
            return Err(LedgerError::damaged("history of an account"));
        }
        limit = limit.saturating_mul(4).min(PAGE_MAX);
    }
    Ok(walk)
}

fn step(leg: LimitedLeg, side: Side) -> Result<Step, LedgerError> {
    let (seq, id, number, kind, debited, amount, recorded_at, prev) = leg;
    let is_out = debited == i64::from(side == Side::Credit) && matches!(kind, 1 | 2 | 6);
    let place = Place { seq, transfer: repo::transfer_id(&id)?, leg: number, recorded_at };
    let out = is_out.then(|| bytes::decode(&amount)).transpose()?;
    Ok(Step { place, out, prev })
}
