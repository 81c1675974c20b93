//! The chart of accounts as a tree, with the totals of each place and all below it.

use std::collections::BTreeMap;

use api_store::Tx;

use crate::statement::add_account;
use crate::{AccountTotals, Ledger, LedgerError, TenantId};

const NODES_MAX: usize = 1000;
const SEPARATOR: char = ':';

/// A place in a chart of accounts, whether or not there is an account just there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChartNode {
    /// The place: `assets:cash`.
    pub code: String,
    /// The place above it; `None` at the top.
    pub parent: Option<String>,
    /// The sums over the accounts here and below, for each asset.
    pub totals: Vec<AccountTotals>,
}

impl Ledger {
    /// The places of the tenant's chart down to `depth` levels below `code` (the whole chart for the
    /// empty code), ordered by code, each with the totals of itself and everything below it. Reads
    /// every account there.
    ///
    /// # Errors
    /// [`LedgerError::ChartTooWide`] for more than 1000 places; [`LedgerError::Store`], also when a
    /// sum does not fit in 128 bits.
    pub async fn chart(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        code: &str,
        depth: u32,
    ) -> Result<Vec<ChartNode>, LedgerError> {
        let base = if code.is_empty() { 0 } else { levels(code) };
        let deepest = base.saturating_add(depth as usize);
        let mut nodes: BTreeMap<String, BTreeMap<String, AccountTotals>> = BTreeMap::new();
        self.each_account(tx, tenant, code, |account, balance| {
            for place in places(&account.code, base.max(1), deepest) {
                let sums = nodes.entry(place.to_owned()).or_default();
                add_account(sums, account, &balance.totals)?;
            }
            if nodes.len() > NODES_MAX { Err(LedgerError::ChartTooWide) } else { Ok(()) }
        })
        .await?;
        Ok(nodes.into_iter().map(node).collect())
    }
}

fn node((code, sums): (String, BTreeMap<String, AccountTotals>)) -> ChartNode {
    let parent = parent(&code).map(str::to_owned);
    ChartNode { code, parent, totals: sums.into_values().collect() }
}

fn levels(code: &str) -> usize {
    code.split(SEPARATOR).count()
}

/// The place above `code`; `None` at the top.
pub(crate) fn parent(code: &str) -> Option<&str> {
    code.rsplit_once(SEPARATOR).map(|(parent, _)| parent)
}

/// The places from level `first` to level `last` on the way down to `code`.
fn places(code: &str, first: usize, last: usize) -> impl Iterator<Item = &str> {
    let ends = code.match_indices(SEPARATOR).map(|(at, _)| at).chain([code.len()]);
    let numbered = (1_usize..).zip(ends);
    let wanted = numbered.filter(move |(level, _)| (first..=last).contains(level));
    wanted.filter_map(|(_, end)| code.get(..end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_the_prefixes_at_the_levels_asked_for() {
        let all = |code, first, last| places(code, first, last).collect::<Vec<_>>();
        assert_eq!(all("a:b:c", 1, 2), ["a", "a:b"]);
        assert_eq!(all("a:b:c", 2, 9), ["a:b", "a:b:c"]);
        assert_eq!(all("a", 1, 1), ["a"]);
        assert_eq!(all("a", 2, 3), [""; 0]);
        assert_eq!((parent("a:b:c"), parent("a")), (Some("a:b"), None));
    }
}
