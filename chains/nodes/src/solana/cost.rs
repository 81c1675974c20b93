//! What a transaction cost its fee payer.

use chain_core::{Action, Amount, ChainId, NodeError};
use chain_solana::{SentTx, read_sent};

use super::wire::{Meta, WireTransaction};

/// Fee and rent in lamports: what the fee payer lost, without the lamports that were paid by or to
/// it. For a transaction that is not one of ours, the fee alone.
pub(super) fn cost(chain: &ChainId, transaction: &WireTransaction) -> Result<Amount, NodeError> {
    let meta = transaction.meta.as_ref();
    let meta = meta.ok_or_else(|| NodeError::Malformed("no balances".to_owned()))?;
    let sent = read_sent(chain, &transaction.bytes()?).ok();
    let lost = sent.and_then(|sent| lost(&sent, meta));
    Ok(Amount::from(lost.unwrap_or(meta.fee)))
}

fn lost(sent: &SentTx, meta: &Meta) -> Option<u64> {
    let before = *meta.pre_balances.first()?;
    let after = *meta.post_balances.first()?;
    let (paid, received) = moved(sent, meta)?;
    before.checked_add(received)?.checked_sub(after)?.checked_sub(paid)
}

/// Lamports of the payment itself that left and reached the fee payer.
fn moved(sent: &SentTx, meta: &Meta) -> Option<(u64, u64)> {
    let Action::Pay { payments } = &sent.summary.action else { return Some((0, 0)) };
    let payment = payments.first().filter(|payment| payment.asset.is_native());
    let Some(payment) = payment.filter(|_| meta.err.is_null()) else { return Some((0, 0)) };
    let amount = payment.amount.to_u64().ok()?;
    let payer = sent.signers.first()?;
    let paid = if sent.signers.len() == 1 { amount } else { 0 };
    let received = if payment.to == *payer { amount } else { 0 };
    Some((paid, received))
}
