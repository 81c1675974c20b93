//! Whether anchoring keeps its promise, and what it costs.

use std::collections::BTreeMap;

use api_store::Tx;
use serde::Serialize;

use crate::AuditError;
use crate::anchors::Anchor;
use crate::log::AuditLog;
use crate::repo::anchors;

/// Digits after the point of a cost per record.
const COST_DECIMALS: u32 = 6;

/// How far anchoring is behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServiceLevel {
    /// On how many chains each checkpoint is to be.
    pub chains_wanted: u64,
    /// How long after it was signed, in milliseconds.
    pub deadline_ms: u64,
    /// Every checkpoint up to this size is on so many chains.
    pub anchored_size: u64,
    /// The first checkpoint that is not.
    pub waiting: Option<u64>,
    /// Since when it waits, in milliseconds since 1970.
    pub waiting_since_ms: Option<i64>,
    /// Whether it waits longer than it may.
    pub late: bool,
}

/// What an anchor cost, shared among the records that it was the first to cover on its chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AnchorCost {
    /// The anchor.
    #[serde(flatten)]
    pub anchor: Anchor,
    /// Records since the anchor before it on this chain.
    pub records: Option<u64>,
    /// Minor units of the chain's native coin for each of them, with six decimals.
    pub fee_per_record: Option<String>,
}

impl AuditLog {
    /// Whether each checkpoint is on `wanted` chains within `deadline_ms` after it was signed. A later
    /// anchor counts for an earlier checkpoint: the two are consistent.
    ///
    /// # Errors
    /// [`AuditError::Store`].
    pub async fn service_level(
        &self,
        tx: &mut Tx,
        wanted: u64,
        deadline_ms: u64,
        now_ms: i64,
    ) -> Result<ServiceLevel, AuditError> {
        let mut sizes: Vec<u64> = anchors::anchored_sizes(tx, self.id, u64::MAX)
            .await?
            .into_iter()
            .map(|one| one.1)
            .collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        let place = usize::try_from(wanted.saturating_sub(1)).unwrap_or(usize::MAX);
        let anchored_size = sizes.get(place).copied().unwrap_or_default();
        let waiting = if wanted == 0 {
            None
        } else {
            anchors::first_checkpoint_above(tx, self.id, anchored_size).await?
        };
        let age = waiting.map_or(0, |(_, since)| now_ms.saturating_sub(since));
        Ok(ServiceLevel {
            chains_wanted: wanted,
            deadline_ms,
            anchored_size,
            waiting: waiting.map(|(size, _)| size),
            waiting_since_ms: waiting.map(|(_, since)| since),
            late: u64::try_from(age).is_ok_and(|age| age > deadline_ms),
        })
    }

    /// The newest checkpoint that was made due somewhere, and when, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`AuditError::Store`].
    pub async fn newest_due(&self, tx: &mut Tx) -> Result<Option<(u64, i64)>, AuditError> {
        anchors::newest_due(tx, self.id).await
    }

    /// The first `limit` anchors of checkpoints of at least `size` leaves with what they cost.
    ///
    /// # Errors
    /// [`AuditError::Store`].
    pub async fn anchor_costs(
        &self,
        tx: &mut Tx,
        size: u64,
        limit: u32,
    ) -> Result<Vec<AnchorCost>, AuditError> {
        let before = anchors::anchored_sizes(tx, self.id, size).await?;
        let mut covered: BTreeMap<String, u64> = before.into_iter().collect();
        let mut costs = Vec::new();
        for anchor in anchors::page(tx, self.id, size, limit).await? {
            let mut cost = AnchorCost { anchor, records: None, fee_per_record: None };
            if cost.anchor.state.is_anchored() {
                let before = covered.insert(cost.anchor.chain.clone(), cost.anchor.size);
                let records = cost.anchor.size.saturating_sub(before.unwrap_or_default());
                let fee = cost.anchor.fee.as_deref().and_then(|fee| fee.parse().ok());
                cost.fee_per_record = fee.and_then(|fee| per_record(fee, records));
                cost.records = Some(records);
            }
            costs.push(cost);
        }
        Ok(costs)
    }
}

/// `fee / records`, rounded down to six decimals.
fn per_record(fee: u128, records: u64) -> Option<String> {
    let scale = 10_u128.pow(COST_DECIMALS);
    let scaled = fee.checked_mul(scale)?.checked_div(u128::from(records))?;
    let (whole, part) = (scaled / scale, scaled % scale);
    Some(format!("{whole}.{part:06}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_of_a_record_falls_as_one_over_n() {
        assert_eq!(per_record(1_000, 1).as_deref(), Some("1000.000000"));
        assert_eq!(per_record(1_000, 10).as_deref(), Some("100.000000"));
        assert_eq!(per_record(1_000, 1_000).as_deref(), Some("1.000000"));
        assert_eq!(per_record(1_000, 3_000_000).as_deref(), Some("0.000333"));
        assert_eq!(per_record(1_000, 0), None);
        assert_eq!(per_record(u128::MAX, 1), None);
    }
}
