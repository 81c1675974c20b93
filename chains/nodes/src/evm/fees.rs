use alloy_primitives::U256;
use chain_core::{FeeTier, NodeError};
use serde::Deserialize;
use serde_json::json;

use super::rpc::{CallError, Rpc};

/// How many blocks are looked back at.
const BLOCKS: &str = "0x14";

/// The tip where neither blocks nor node tell one: 1 gwei.
const TIP_WEI_DEFAULT: u128 = 1_000_000_000;

/// What gas is to cost, in wei for each unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prices {
    pub(super) max_fee_per_gas: u128,
    pub(super) max_priority_fee_per_gas: u128,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FeeHistory {
    base_fee_per_gas: Vec<U256>,
    #[serde(default)]
    reward: Option<Vec<Vec<U256>>>,
}

/// A tier: which share of a block's gas paid a lower tip, and how many halves of the next base fee
/// are allowed for. The base fee rises by an eighth a block at most, so twice the fee lasts six.
const fn tier_of(tier: FeeTier) -> (u8, u128) {
    match tier {
        FeeTier::Slow => (10, 3),
        FeeTier::Normal => (50, 4),
        FeeTier::Fast => (90, 6),
    }
}

/// Prices of a tier, from `eth_feeHistory`.
pub(super) async fn prices(rpc: &Rpc, tier: FeeTier) -> Result<Prices, NodeError> {
    let (percentile, halves) = tier_of(tier);
    let history: FeeHistory =
        rpc.call("eth_feeHistory", (BLOCKS, "latest", json!([percentile]))).await?;
    let base = history.base_fee_per_gas.last().copied().unwrap_or_default();
    let rewards = history.reward.unwrap_or_default().concat();
    let tip = match median_of_paid(rewards) {
        Some(tip) => tip,
        None => suggested_tip(rpc).await?,
    };
    add_up(base, halves, tip).ok_or_else(|| NodeError::Malformed("absurd fees".to_owned()))
}

fn add_up(base: U256, halves: u128, tip: U256) -> Option<Prices> {
    let base = u128::try_from(base).ok()?;
    let tip = u128::try_from(tip).ok()?;
    let max_fee_per_gas = base.checked_mul(halves)?.div_ceil(2).checked_add(tip)?;
    Some(Prices { max_fee_per_gas, max_priority_fee_per_gas: tip })
}

/// The median over the blocks where anybody paid: empty blocks report zero.
fn median_of_paid(mut rewards: Vec<U256>) -> Option<U256> {
    rewards.retain(|reward| !reward.is_zero());
    rewards.sort_unstable();
    rewards.get(rewards.len() / 2).copied()
}

async fn suggested_tip(rpc: &Rpc) -> Result<U256, NodeError> {
    match rpc.ask("eth_maxPriorityFeePerGas", ()).await {
        Ok(tip) => Ok(tip),
        Err(CallError::Answered { .. }) => Ok(U256::from(TIP_WEI_DEFAULT)),
        Err(CallError::Failed(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide(numbers: &[u64]) -> Vec<U256> {
        numbers.iter().map(|number| U256::from(*number)).collect()
    }

    #[test]
    fn empty_blocks_do_not_pull_the_tip_down() {
        assert_eq!(median_of_paid(wide(&[0, 0, 9, 0, 3, 5])), Some(U256::from(5)));
        assert_eq!(median_of_paid(wide(&[0, 0])), None);
        assert_eq!(median_of_paid(Vec::new()), None);
    }

    #[test]
    fn tiers_rise_and_absurd_fees_are_refused() {
        let price = |tier| add_up(U256::from(100), tier_of(tier).1, U256::from(7));
        let fee = |tier| price(tier).map(|prices| prices.max_fee_per_gas);
        assert_eq!(fee(FeeTier::Slow), Some(157));
        assert_eq!(fee(FeeTier::Normal), Some(207));
        assert_eq!(fee(FeeTier::Fast), Some(307));
        assert_eq!(add_up(U256::MAX, 4, U256::ZERO), None);
        assert_eq!(add_up(U256::from(u128::MAX), 4, U256::ZERO), None);
    }
}
