use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use bitcoin::Txid;
use chain_core::{
    Amount, BitcoinContext, Coin, ContextRequest, KeyScheme, NodeError, OutPoint, TxId,
};

use super::coins::View;
use super::{BitcoinNode, malformed};

/// Inputs that a transaction which nodes relay has room for.
const COINS_MAX: usize = 1_400;
/// Bytes of a PSBT that are left to inputs and what made them; the rest is for outputs.
const PARENT_BYTES_MAX: usize = chain_bitcoin::PSBT_BYTES_MAX / 5 * 4;
/// What an input takes in a PSBT beside the transaction that made its coin.
const INPUT_BYTES: usize = 200;
/// Transactions that are fetched in one call; each may have 8 MB in hex.
const PARENTS_AT_ONCE: usize = 4;
/// Coins that did not fit after which no smaller ones are tried.
const LEFT_OUT_MAX: usize = 64;

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
        let (coins, parents) = self.provable(coins, &request.must_spend).await?;
        Ok(BitcoinContext {
            coins,
            parents,
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

    /// As many of the coins as fit into a transaction together with what made them, where that has
    /// to be shown (see [`BitcoinContext::parents`]): those that must be spent, then the most
    /// valuable. The others can be spent next time.
    async fn provable(
        &self,
        mut coins: Vec<Coin>,
        must_spend: &[OutPoint],
    ) -> Result<(Vec<Coin>, Vec<String>), NodeError> {
        let must = |coin: &Coin| must_spend.contains(&coin.outpoint);
        coins.sort_by_key(|coin| (!must(coin), Reverse(coin.amount), coin.outpoint.clone()));
        let by_key_hash = coins.iter().any(|coin| coin.owner.key.scheme() == KeyScheme::Bip84);
        if coins.len() < 2 || !by_key_hash {
            coins.truncate(COINS_MAX);
            return Ok((coins, Vec::new()));
        }
        let mut kept = Vec::new();
        let mut parents: BTreeMap<TxId, String> = BTreeMap::new();
        let (mut bytes, mut left_out) = (0_usize, 0_usize);
        for chunk in coins.chunks(PARENTS_AT_ONCE) {
            if kept.len() >= COINS_MAX || left_out >= LEFT_OUT_MAX {
                break;
            }
            let made_by = chunk.iter().map(|coin| coin.outpoint.txid.clone());
            let unknown = made_by.filter(|txid| !parents.contains_key(txid)).collect();
            parents.append(&mut self.stripped(&unknown).await?);
            for coin in chunk {
                let hex = parents.get(&coin.outpoint.txid).map_or(0, String::len);
                let with = bytes.saturating_add(hex / 2).saturating_add(INPUT_BYTES);
                if must(coin) || with <= PARENT_BYTES_MAX {
                    bytes = with;
                    kept.push(coin.clone());
                } else {
                    left_out = left_out.saturating_add(1);
                }
            }
        }
        if kept.is_empty() {
            // On its own a coin needs no proof.
            coins.truncate(1);
            return Ok((coins, Vec::new()));
        }
        parents.retain(|txid, _| kept.iter().any(|coin| coin.outpoint.txid == *txid));
        Ok((kept, parents.into_values().collect()))
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
