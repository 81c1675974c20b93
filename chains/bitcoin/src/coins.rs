use std::collections::{BTreeMap, BTreeSet};

use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::{OutPoint, ScriptBuf, Transaction, TxOut, Txid};
use chain_core::{
    AmountError, BitcoinContext, BuildError, ChainId, Coin, IdError, KeyScheme, KeyedAddress,
};

use crate::address::script_of;
use crate::fee::{Parts, input_weight};

/// A coin of a context, checked.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) outpoint: OutPoint,
    pub(crate) sat: u64,
    pub(crate) script: ScriptBuf,
    pub(crate) weight: u64,
    pub(crate) owner: KeyedAddress,
    pub(crate) must: bool,
}

impl Input {
    pub(crate) fn prevout(&self) -> TxOut {
        TxOut { value: bitcoin::Amount::from_sat(self.sat), script_pubkey: self.script.clone() }
    }
}

/// The locking script of a key of ours, which has to be of the kind that the key's scheme makes.
pub(crate) fn own_script(owner: &KeyedAddress, chain: &ChainId) -> Result<ScriptBuf, BuildError> {
    if owner.address.chain() != chain {
        return Err(IdError::Address {
            text: owner.address.to_string(),
            chain: chain.clone(),
            reason: "it belongs to another network".to_owned(),
        }
        .into());
    }
    let script = script_of(&owner.address)?;
    let fits = match owner.key.scheme() {
        KeyScheme::Bip84 => script.is_p2wpkh(),
        KeyScheme::Bip86 => script.is_p2tr(),
        KeyScheme::Bip44Evm | KeyScheme::Slip10Solana => false,
    };
    if fits {
        Ok(script)
    } else {
        let (address, key) = (&owner.address, owner.key);
        Err(BuildError::Malformed(format!("{address} is no address of the kind that {key} makes")))
    }
}

pub(crate) fn malformed(what: impl Into<String>) -> BuildError {
    BuildError::Malformed(what.into())
}

/// The coins of a context in the order of their outpoints, with those marked that must be spent.
pub(crate) fn inputs(context: &BitcoinContext, chain: &ChainId) -> Result<Vec<Input>, BuildError> {
    let must = outpoints(context)?;
    let mut inputs = BTreeMap::new();
    for coin in &context.coins {
        let input = input(coin, chain, &must)?;
        if let Some(twice) = inputs.insert(input.outpoint, input) {
            return Err(malformed(format!("the coin {} is listed twice", twice.outpoint)));
        }
    }
    if let Some(absent) = must.iter().find(|outpoint| !inputs.contains_key(*outpoint)) {
        return Err(malformed(format!("the coin {absent} must be spent and is not listed")));
    }
    total(inputs.values())?;
    Ok(inputs.into_values().collect())
}

fn outpoints(context: &BitcoinContext) -> Result<BTreeSet<OutPoint>, BuildError> {
    context.must_spend.iter().map(outpoint).collect()
}

fn outpoint(outpoint: &chain_core::OutPoint) -> Result<OutPoint, BuildError> {
    let txid: Txid = outpoint
        .txid
        .0
        .parse()
        .map_err(|_| malformed(format!("{:?} is no transaction id", outpoint.txid.0)))?;
    Ok(OutPoint { txid, vout: outpoint.vout })
}

fn input(coin: &Coin, chain: &ChainId, must: &BTreeSet<OutPoint>) -> Result<Input, BuildError> {
    let outpoint = outpoint(&coin.outpoint)?;
    let script = own_script(&coin.owner, chain)?;
    let weight = input_weight(&script).ok_or_else(|| malformed("a coin is not SegWit"))?;
    let sat = coin.amount.to_u64()?;
    let must = must.contains(&outpoint);
    Ok(Input { outpoint, sat, script, weight, owner: coin.owner.clone(), must })
}

/// The sum of what coins hold, refused past all the money there is.
pub(crate) fn total<'a>(inputs: impl IntoIterator<Item = &'a Input>) -> Result<u64, AmountError> {
    sum(inputs.into_iter().map(|input| input.sat))
}

/// A sum in satoshi, refused past the 21 million bitcoin.
pub(crate) fn sum(amounts: impl IntoIterator<Item = u64>) -> Result<u64, AmountError> {
    amounts
        .into_iter()
        .try_fold(0_u64, u64::checked_add)
        .filter(|sum| *sum <= bitcoin::Amount::MAX_MONEY.to_sat())
        .ok_or(AmountError::Overflow)
}

/// Count and weight of inputs.
pub(crate) fn parts<'a>(inputs: impl IntoIterator<Item = &'a Input>) -> Parts {
    inputs.into_iter().fold(Parts::default(), |parts, input| parts.and(input.weight))
}

/// True when the signatures do not prove the amounts of all inputs, so that the transactions which
/// made the coins have to be shown: with several inputs of which any is P2WPKH.
///
/// A P2WPKH signature covers the amount of its own input alone, and neither amount nor kind of the
/// others (BIP-143). Somebody who has a transaction with two such inputs signed twice, each time
/// understating the other, combines the honest halves and pays a fee that no signer ever saw. To
/// call the other input Taproot, which it is not, would do as well, so that these must be proved too.
/// Taproot signatures cover amounts and scripts of all inputs (BIP-341): where all are said to be
/// Taproot, any lie makes every signature worthless. A single input cannot lie about itself.
pub(crate) fn amounts_need_proof<'a>(scripts: impl IntoIterator<Item = &'a ScriptBuf>) -> bool {
    let (mut count, mut by_key_hash) = (0_usize, false);
    for script in scripts {
        count = count.saturating_add(1);
        by_key_hash |= !script.is_p2tr();
    }
    count > 1 && by_key_hash
}

/// The transactions that made the coins, by their ids, without witnesses.
pub(crate) fn parents(context: &BitcoinContext) -> Result<BTreeMap<Txid, Transaction>, BuildError> {
    let parse = |text: &String| {
        let mut parent: Transaction =
            deserialize_hex(text).map_err(|error| malformed(format!("a parent: {error}")))?;
        for input in &mut parent.input {
            input.witness.clear();
        }
        Ok((parent.compute_txid(), parent))
    };
    context.parents.iter().map(parse).collect()
}
