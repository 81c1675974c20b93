use bitcoin::{Amount, Txid};
use chain_bitcoin::{FEE_RATE_SAT_PER_KWU_MAX, RELAY_SAT_PER_KWU};
use chain_core::{FeeTier, NodeError};
use serde::Deserialize;
use serde_json::json;

use super::rpc::{NOT_FOUND, RpcError};
use super::{BitcoinNode, malformed};

/// What a replacement evicts.
#[derive(Debug, Default)]
pub(super) struct Evicted {
    /// The fees of the transactions and of all that descend from them, in satoshi.
    pub(super) fees_sat: u64,
    /// The rate that the replacement has to reach, in satoshi per 1,000 weight units.
    pub(super) rate_sat_per_kwu: u64,
}

impl BitcoinNode {
    /// The rate for a tier in satoshi per 1,000 weight units: the node's estimate, and not under
    /// what its pool takes.
    pub(super) async fn fee_rate(&self, tier: FeeTier) -> Result<u64, NodeError> {
        #[derive(Deserialize)]
        struct Estimate {
            #[serde(default, with = "bitcoin::amount::serde::as_btc::opt")]
            feerate: Option<Amount>,
        }
        #[derive(Deserialize)]
        struct Pool {
            #[serde(with = "bitcoin::amount::serde::as_btc")]
            mempoolminfee: Amount,
            #[serde(with = "bitcoin::amount::serde::as_btc")]
            minrelaytxfee: Amount,
        }
        let blocks = match tier {
            FeeTier::Fast => 1,
            FeeTier::Normal => 6,
            FeeTier::Slow => 144,
        };
        let estimate: Estimate = self.rpc.call("estimatesmartfee", json!([blocks])).await?;
        let pool: Pool = self.rpc.call("getmempoolinfo", json!([])).await?;
        let floor = per_kwu(pool.mempoolminfee.max(pool.minrelaytxfee));
        let rate =
            estimate.feerate.map(per_kwu).or(self.fallback_fee_sat_per_kwu).ok_or_else(|| {
                NodeError::NotAvailable("the node has no fee estimate yet".to_owned())
            })?;
        Ok(rate.max(floor).clamp(1, FEE_RATE_SAT_PER_KWU_MAX))
    }

    /// What the pool loses when these are replaced. A transaction that left it costs nothing.
    pub(super) async fn evicted<'a>(
        &self,
        txids: impl IntoIterator<Item = &'a Txid>,
    ) -> Result<Evicted, NodeError> {
        #[derive(Deserialize)]
        struct Entry {
            weight: u64,
            fees: Fees,
        }
        #[derive(Deserialize)]
        struct Fees {
            #[serde(with = "bitcoin::amount::serde::as_btc")]
            base: Amount,
            #[serde(with = "bitcoin::amount::serde::as_btc")]
            descendant: Amount,
        }
        let mut evicted = Evicted::default();
        for txid in txids {
            let entry: Entry = match self.rpc.call("getmempoolentry", json!([txid])).await {
                Err(RpcError::Answer { code: NOT_FOUND, .. }) => continue,
                other => other?,
            };
            let rate = rate(entry.fees.base.to_sat(), entry.weight)
                .and_then(|rate| rate.checked_add(RELAY_SAT_PER_KWU))
                .ok_or_else(|| malformed("getmempoolentry: no weight"))?;
            evicted.rate_sat_per_kwu = evicted.rate_sat_per_kwu.max(rate);
            evicted.fees_sat = evicted
                .fees_sat
                .checked_add(entry.fees.descendant.to_sat())
                .ok_or_else(|| malformed("getmempoolentry: fees past all money"))?;
        }
        Ok(evicted)
    }
}

/// Satoshi per 1,000 virtual bytes as satoshi per 1,000 weight units, rounded up.
fn per_kwu(per_kvb: Amount) -> u64 {
    per_kvb.to_sat().div_ceil(4)
}

fn rate(fee_sat: u64, weight: u64) -> Option<u64> {
    fee_sat.checked_mul(1_000)?.checked_add(weight.checked_sub(1)?)?.checked_div(weight)
}
