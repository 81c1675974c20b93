use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{ScriptBuf, Txid};
use chain_core::{Address, Amount, AssetId, Coin, NodeError, OutPoint, TxId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::evidence::without_witness;
use super::{BitcoinNode, malformed};

/// Calls in one batch.
const BATCH_MAX: usize = 100;
/// A coin of a coinbase is spendable in the block after this many confirmations.
const COINBASE_CONFIRMATIONS: u64 = 100;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Unspent {
    confirmations: u64,
    #[serde(with = "bitcoin::amount::serde::as_btc")]
    value: bitcoin::Amount,
    script_pub_key: Script,
    coinbase: bool,
}

#[derive(Deserialize)]
struct Script {
    hex: ScriptBuf,
}

impl Unspent {
    fn is_mature(&self) -> bool {
        !self.coinbase || self.confirmations >= COINBASE_CONFIRMATIONS
    }
}

/// Whether coins are looked up as the pool sees them or in blocks alone.
#[derive(Clone, Copy)]
pub(super) enum View {
    Pool,
    Blocks,
}

impl BitcoinNode {
    /// Those of the coins that can be spent now.
    ///
    /// # Errors
    /// [`NodeError::NotAvailable`] when a coin is there with another value or owner: the caller's
    /// books are wrong.
    pub(super) async fn unspent(&self, coins: &[Coin], view: View) -> Result<Vec<Coin>, NodeError> {
        let pool = matches!(view, View::Pool);
        let mut found = Vec::new();
        for chunk in coins.chunks(BATCH_MAX) {
            let params: Vec<Value> = chunk
                .iter()
                .map(|coin| json!([coin.outpoint.txid, coin.outpoint.vout, pool]))
                .collect();
            let answers = self.rpc.batch::<Option<Unspent>>("gettxout", &params).await?;
            for (coin, answer) in chunk.iter().zip(answers) {
                if let Some(unspent) = answer?.filter(Unspent::is_mature) {
                    check(coin, &unspent)?;
                    found.push(coin.clone());
                }
            }
        }
        Ok(found)
    }

    /// The transactions of the pool that spend any of the coins, each with the coins it spends.
    pub(super) async fn pool_spenders(
        &self,
        coins: &[OutPoint],
    ) -> Result<BTreeMap<OutPoint, Txid>, NodeError> {
        #[derive(Deserialize)]
        struct Spender {
            spendingtxid: Option<Txid>,
        }
        if coins.is_empty() {
            return Ok(BTreeMap::new());
        }
        let asked: Vec<Value> =
            coins.iter().map(|coin| json!({ "txid": coin.txid, "vout": coin.vout })).collect();
        let spenders: Vec<Spender> =
            self.rpc.call("gettxspendingprevout", json!([asked, { "mempool_only": true }])).await?;
        if spenders.len() != coins.len() {
            return Err(malformed("gettxspendingprevout: another number of answers"));
        }
        let pairs = coins.iter().zip(spenders);
        Ok(pairs.filter_map(|(coin, by)| Some((coin.clone(), by.spendingtxid?))).collect())
    }

    /// The transactions with these ids, as hex without witnesses.
    pub(super) async fn stripped(
        &self,
        txids: &BTreeSet<TxId>,
    ) -> Result<BTreeMap<TxId, String>, NodeError> {
        let params: Vec<Value> = txids.iter().map(|txid| json!([txid])).collect();
        let answers = self.rpc.batch::<String>("getrawtransaction", &params).await?;
        let pairs = txids.iter().zip(answers);
        pairs.map(|(txid, hex)| Ok((txid.clone(), without_witness(&hex?)?))).collect()
    }

    pub(super) async fn coin_balances(
        &self,
        asset: &AssetId,
        addresses: &[Address],
    ) -> Result<BTreeMap<String, Amount>, NodeError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Found {
            script_pub_key: ScriptBuf,
            #[serde(with = "bitcoin::amount::serde::as_btc")]
            amount: bitcoin::Amount,
        }
        #[derive(Deserialize)]
        struct Scan {
            success: bool,
            unspents: Vec<Found>,
        }
        if *asset != self.chain.native() {
            return Err(NodeError::Refused(format!("{asset} is not a coin of {}", self.chain)));
        }
        let ours = self.scripts(addresses)?;
        let mut balances: BTreeMap<String, Amount> =
            addresses.iter().map(|address| (address.to_string(), Amount::ZERO)).collect();
        if ours.is_empty() {
            return Ok(balances);
        }
        let wanted: Vec<String> = ours.values().map(|address| format!("addr({address})")).collect();
        let turn = self.scanning.lock().await;
        let scan: Scan = self.rpc.call_slow("scantxoutset", json!(["start", wanted])).await?;
        drop(turn);
        if !scan.success {
            return Err(NodeError::NotAvailable("the scan of coins was interrupted".to_owned()));
        }
        for found in scan.unspents {
            let address = ours
                .get(&found.script_pub_key)
                .ok_or_else(|| malformed("scantxoutset: a coin that was not asked for"))?;
            let sum = balances.entry(address.to_string()).or_default();
            *sum = sum.checked_add(Amount::from(found.amount.to_sat())).map_err(malformed)?;
        }
        Ok(balances)
    }

    fn scripts(&self, addresses: &[Address]) -> Result<BTreeMap<ScriptBuf, Address>, NodeError> {
        let script = |address: &Address| {
            if address.chain() != &self.chain {
                return Err(NodeError::Refused(format!("{address} is not of {}", self.chain)));
            }
            let script = chain_bitcoin::script_of(address);
            let script = script.map_err(|error| NodeError::Refused(error.to_string()))?;
            Ok((script, address.clone()))
        };
        addresses.iter().map(script).collect()
    }
}

fn check(coin: &Coin, unspent: &Unspent) -> Result<(), NodeError> {
    let script = chain_bitcoin::script_of(&coin.owner.address)
        .map_err(|error| NodeError::Refused(error.to_string()))?;
    let same =
        Amount::from(unspent.value.to_sat()) == coin.amount && unspent.script_pub_key.hex == script;
    if same {
        return Ok(());
    }
    let OutPoint { txid, vout } = &coin.outpoint;
    Err(NodeError::NotAvailable(format!("the coin {txid}:{vout} is not the one that was named")))
}
