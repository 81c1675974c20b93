use std::collections::{BTreeMap, BTreeSet};

use bitcoin::Txid;
use chain_core::{Amount, BitcoinContext, Coin, ContextRequest, KeyScheme, NodeError, OutPoint};

use super::coins::View;
use super::{BitcoinNode, malformed};

impl BitcoinNode {
    pub(super) async fn bitcoin_context(
        &self,
        request: &ContextRequest,
    ) -> Result<BitcoinContext, NodeError> {
        let change = request
            .change
            .clone()
            .ok_or_else(|| NodeError::Refused("an address for change is missing".to_owned()))?;
        let height = self.height().await?;
        let rate = self.fee_rate(request.tier).await?;
        let (coins, replaced) = self.coins(request).await?;
        let evicted = self.evicted(&replaced).await?;
        Ok(BitcoinContext {
            parents: self.parents(&coins).await?,
            coins,
            must_spend: request.must_spend.clone(),
            fee_rate_sat_per_kwu: rate.max(evicted.rate_sat_per_kwu),
            height: u32::try_from(height).map_err(malformed)?,
            change,
            replaced_fee: Amount::from(evicted.fees_sat),
        })
    }

    /// The coins that can be spent, and what is replaced by spending them.
    ///
    /// For a replacement that is also what the replaced transactions themselves spend, and not what
    /// they make.
    async fn coins(
        &self,
        request: &ContextRequest,
    ) -> Result<(Vec<Coin>, BTreeSet<Txid>), NodeError> {
        let spenders = self.pool_spenders(&outpoints(request)).await?;
        let replaced: BTreeSet<Txid> =
            request.must_spend.iter().filter_map(|coin| spenders.get(coin)).copied().collect();
        let free = self.unspent(&request.coins, View::Pool).await?;
        let shared = shared(request, &spenders, &replaced);
        let shared = self.unspent(&shared, View::Blocks).await?;
        let made_by_replaced =
            |coin: &Coin| replaced.iter().any(|txid| txid.to_string() == coin.outpoint.txid.0);
        let coins: Vec<Coin> =
            free.into_iter().filter(|coin| !made_by_replaced(coin)).chain(shared).collect();
        let there: BTreeSet<&OutPoint> = coins.iter().map(|coin| &coin.outpoint).collect();
        if let Some(gone) = request.must_spend.iter().find(|coin| !there.contains(coin)) {
            let OutPoint { txid, vout } = gone;
            return Err(NodeError::NotAvailable(format!("the coin {txid}:{vout} is spent")));
        }
        if coins.is_empty() {
            return Err(NodeError::NotAvailable("none of the coins can be spent now".to_owned()));
        }
        Ok((coins, replaced))
    }

    /// What made the coins, where it has to be shown: see [`BitcoinContext::parents`].
    async fn parents(&self, coins: &[Coin]) -> Result<Vec<String>, NodeError> {
        let by_key_hash = coins.iter().any(|coin| coin.owner.key.scheme() == KeyScheme::Bip84);
        if coins.len() < 2 || !by_key_hash {
            return Ok(Vec::new());
        }
        let txids = coins.iter().map(|coin| coin.outpoint.txid.0.parse());
        let txids: BTreeSet<Txid> = txids.collect::<Result<_, _>>().map_err(malformed)?;
        self.stripped(&txids).await
    }
}

/// Every coin of a request when it replaces something; none has to be looked for otherwise.
fn outpoints(request: &ContextRequest) -> Vec<OutPoint> {
    if request.must_spend.is_empty() {
        return Vec::new();
    }
    request.coins.iter().map(|coin| coin.outpoint.clone()).collect()
}

/// The coins that the replaced transactions spend.
fn shared(
    request: &ContextRequest,
    spenders: &BTreeMap<OutPoint, Txid>,
    replaced: &BTreeSet<Txid>,
) -> Vec<Coin> {
    let is_shared =
        |coin: &&Coin| spenders.get(&coin.outpoint).is_some_and(|by| replaced.contains(by));
    request.coins.iter().filter(is_shared).cloned().collect()
}
