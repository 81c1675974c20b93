use bitcoin::address::NetworkUnchecked;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hashes::{Hash, sha256};
use bitcoin::secp256k1::{All, Message, Secp256k1, SecretKey};
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use bitcoin::{
    Address, Amount as Sats, CompressedPublicKey, Network, OutPoint, ScriptBuf, Sequence,
    Transaction, TxIn, TxOut, Txid, Witness, absolute, transaction,
};
use chain_core::Amount;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::error::{Error, Result};
use crate::rpc::Rpc;

const COINBASE_MATURITY: u64 = 100;
/// Far above the relay minimum of 1, so that the faucet is never outbid.
const FEE_SATS_PER_VBYTE: u64 = 10;
/// Under this, change is left to the miner.
const CHANGE_MIN_SATS: u64 = 1_000;

/// A coin in the best chain.
#[derive(Clone, Debug)]
pub(crate) struct Unspent {
    outpoint: OutPoint,
    /// What it is worth.
    pub(crate) value: Sats,
    height: u64,
    coinbase: bool,
}

/// A key of our own that mines and gives away: the node has no wallet.
#[derive(Debug)]
pub(crate) struct Faucet {
    rpc: Rpc,
    secp: Secp256k1<All>,
    key: SecretKey,
    script: ScriptBuf,
    address: Address,
    turn: Mutex<()>,
}

#[derive(Deserialize)]
struct Scan {
    unspents: Vec<ScannedCoin>,
}

#[derive(Deserialize)]
struct ScannedCoin {
    txid: Txid,
    vout: u32,
    #[serde(with = "bitcoin::amount::serde::as_btc")]
    amount: Sats,
    height: u64,
    coinbase: bool,
}

/// The coins of `address` in the best chain.
pub(crate) async fn unspent(rpc: &Rpc, address: &str) -> Result<Vec<Unspent>> {
    let scan: Scan =
        rpc.call("scantxoutset", json!(["start", [format!("addr({address})")]])).await?;
    let coins = scan.unspents.into_iter().map(|coin| Unspent {
        outpoint: OutPoint::new(coin.txid, coin.vout),
        value: coin.amount,
        height: coin.height,
        coinbase: coin.coinbase,
    });
    Ok(coins.collect())
}

impl Faucet {
    /// The same key on every regtest.
    pub(crate) fn new(rpc: Rpc) -> Result<Self> {
        let secp = Secp256k1::new();
        let digest = sha256::Hash::hash(b"roadstead regtest faucet").to_byte_array();
        let key = SecretKey::from_slice(&digest).map_err(refused)?;
        let public = CompressedPublicKey(key.public_key(&secp));
        let address = Address::p2wpkh(&public, Network::Regtest);
        let script = address.script_pubkey();
        Ok(Self { rpc, secp, key, script, address, turn: Mutex::new(()) })
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Sends to `address` and returns the transaction's id.
    pub(crate) async fn send(&self, address: &str, amount: Amount) -> Result<String> {
        let to: Address<NetworkUnchecked> = address.parse().map_err(refused)?;
        let to = to.require_network(Network::Regtest).map_err(refused)?;
        let value = Sats::from_sat(amount.to_u64().map_err(refused)?);
        let pay = TxOut { value, script_pubkey: to.script_pubkey() };
        // One at a time, so that no two transactions choose the same coin.
        let _turn = self.turn.lock().await;
        let (coins, change) = self.choose(value).await?;
        let transaction = self.signed(&coins, pay, change)?;
        self.rpc.call("sendrawtransaction", json!([serialize_hex(&transaction)])).await
    }

    /// Coins that are worth `value` and the fee, and what is left over.
    async fn choose(&self, value: Sats) -> Result<(Vec<Unspent>, Sats)> {
        let mut coins = self.spendable().await?;
        coins.sort_by_key(|coin| std::cmp::Reverse(coin.value));
        let (mut chosen, mut total) = (Vec::new(), Sats::ZERO);
        for coin in coins {
            if self.is_spent_in_mempool(coin.outpoint).await? {
                continue;
            }
            total = total.checked_add(coin.value).ok_or_else(|| refused("overflow"))?;
            chosen.push(coin);
            let needed =
                value.checked_add(fee(chosen.len())?).ok_or_else(|| refused("overflow"))?;
            if let Some(change) = total.checked_sub(needed) {
                return Ok((chosen, change));
            }
        }
        Err(refused(format!("the faucet has {total}, not {value}; mine some blocks first")))
    }

    /// Our coins that consensus lets us spend in the next block.
    async fn spendable(&self) -> Result<Vec<Unspent>> {
        let tip: u64 = self.rpc.call("getblockcount", json!([])).await?;
        let mut coins = unspent(&self.rpc, &self.address()).await?;
        coins.retain(|coin| {
            !coin.coinbase || coin.height.saturating_add(COINBASE_MATURITY) <= tip.saturating_add(1)
        });
        Ok(coins)
    }

    async fn is_spent_in_mempool(&self, outpoint: OutPoint) -> Result<bool> {
        let output: Value =
            self.rpc.call("gettxout", json!([outpoint.txid, outpoint.vout, true])).await?;
        Ok(output.is_null())
    }

    fn signed(&self, coins: &[Unspent], pay: TxOut, change: Sats) -> Result<Transaction> {
        let mut output = vec![pay];
        if change.to_sat() >= CHANGE_MIN_SATS {
            output.push(TxOut { value: change, script_pubkey: self.script.clone() });
        }
        let input = coins.iter().map(|coin| TxIn {
            previous_output: coin.outpoint,
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            ..TxIn::default()
        });
        let mut transaction = Transaction {
            version: transaction::Version::TWO,
            lock_time: absolute::LockTime::ZERO,
            input: input.collect(),
            output,
        };
        let mut witnesses = Vec::with_capacity(coins.len());
        let mut cache = SighashCache::new(&transaction);
        for (index, coin) in coins.iter().enumerate() {
            witnesses.push(self.witness(&mut cache, index, coin.value)?);
        }
        for (input, witness) in transaction.input.iter_mut().zip(witnesses) {
            input.witness = witness;
        }
        Ok(transaction)
    }

    fn witness(
        &self,
        cache: &mut SighashCache<&Transaction>,
        index: usize,
        value: Sats,
    ) -> Result<Witness> {
        let kind = EcdsaSighashType::All;
        let hash =
            cache.p2wpkh_signature_hash(index, &self.script, value, kind).map_err(refused)?;
        let signature = self.secp.sign_ecdsa(&Message::from(hash), &self.key);
        let signature = bitcoin::ecdsa::Signature { signature, sighash_type: kind };
        Ok(Witness::p2wpkh(&signature, &self.key.public_key(&self.secp)))
    }
}

/// The fee of a transaction of `inputs` P2WPKH inputs and two outputs.
fn fee(inputs: usize) -> Result<Sats> {
    let inputs = u64::try_from(inputs).map_err(refused)?;
    // 11 bytes of frame, 68 an input, 43 an output of the largest usual kind.
    let vbytes = inputs.checked_mul(68).and_then(|size| size.checked_add(11 + 2 * 43));
    let sats = vbytes.and_then(|size| size.checked_mul(FEE_SATS_PER_VBYTE));
    sats.map(Sats::from_sat).ok_or_else(|| refused("too many coins"))
}

fn refused(error: impl ToString) -> Error {
    Error::Refused(error.to_string())
}
