use std::collections::BTreeSet;

use bitcoin::psbt::{Input, Output, PsbtSighashType};
use bitcoin::{
    EcdsaSighashType, OutPoint, Psbt, ScriptBuf, Sequence, TapSighashType, Transaction, TxOut,
};
use chain_core::{BuildError, UnsignedTx};

use crate::address::network;
use crate::coins::{amounts_need_proof, malformed, own_script, sum};

/// The largest PSBT that is built or read: hex in JSON, it has to fit the signer's frame of 1 MiB
/// together with the keys of its inputs.
pub const PSBT_BYTES_MAX: usize = 320 * 1024;

/// A PSBT whose every byte was understood.
pub(crate) struct Opened {
    pub(crate) tx: Transaction,
    /// What each input spends; the locking script is that of the signer's address.
    pub(crate) prevouts: Vec<TxOut>,
    /// Inputs less outputs, in satoshi. No input can have lied about its amount.
    pub(crate) fee: u64,
}

/// Reads a PSBT and refuses whatever [`build`](crate::build) would not have written.
pub(crate) fn open(unsigned: &UnsignedTx) -> Result<Opened, BuildError> {
    network(&unsigned.chain)?;
    if unsigned.bytes.len() > PSBT_BYTES_MAX {
        return Err(malformed("it is too large"));
    }
    let psbt = Psbt::deserialize(&unsigned.bytes).map_err(|error| malformed(error.to_string()))?;
    if psbt.serialize() != unsigned.bytes {
        return Err(malformed("its encoding is not the canonical one"));
    }
    check_globals(&psbt)?;
    check_transaction(&psbt.unsigned_tx)?;
    let scripts = own_scripts(unsigned, &psbt)?;
    let need_proof = amounts_need_proof(&scripts);
    let mut prevouts = Vec::with_capacity(scripts.len());
    for ((input, spent), script) in psbt.inputs.iter().zip(&psbt.unsigned_tx.input).zip(&scripts) {
        prevouts.push(prevout(input, spent.previous_output, script, need_proof)?);
    }
    let fee = fee(&psbt.unsigned_tx, &prevouts)?;
    Ok(Opened { tx: psbt.unsigned_tx, prevouts, fee })
}

/// Nothing but the transaction itself: no key that is unknown (rust-bitcoin keeps those of BIP-370
/// and 373 as unknown), proprietary or of no use here.
fn check_globals(psbt: &Psbt) -> Result<(), BuildError> {
    let bare = psbt.version == 0
        && psbt.xpub.is_empty()
        && psbt.proprietary.is_empty()
        && psbt.unknown.is_empty()
        && psbt.outputs.iter().all(|output| *output == Output::default());
    if bare { Ok(()) } else { Err(malformed("it has keys that are not read here")) }
}

fn check_transaction(tx: &Transaction) -> Result<(), BuildError> {
    if tx.version != bitcoin::transaction::Version::TWO {
        return Err(malformed("its version is not 2"));
    }
    if !tx.lock_time.is_block_height() {
        return Err(malformed("its lock time is no block height"));
    }
    if tx.input.is_empty() || tx.output.is_empty() {
        return Err(malformed("it has no inputs or no outputs"));
    }
    let rbf = |input: &bitcoin::TxIn| input.sequence == Sequence::ENABLE_RBF_NO_LOCKTIME;
    if !tx.input.iter().all(rbf) {
        return Err(malformed("an input does not signal replacement"));
    }
    let spent: BTreeSet<OutPoint> = tx.input.iter().map(|input| input.previous_output).collect();
    if spent.len() != tx.input.len() {
        return Err(malformed("a coin is spent twice"));
    }
    Ok(())
}

fn own_scripts(unsigned: &UnsignedTx, psbt: &Psbt) -> Result<Vec<ScriptBuf>, BuildError> {
    if unsigned.signers.len() != psbt.inputs.len() {
        return Err(malformed("it has not one signer for each input"));
    }
    unsigned.signers.iter().map(|signer| own_script(signer, &unsigned.chain)).collect()
}

fn prevout(
    input: &Input,
    outpoint: OutPoint,
    script: &ScriptBuf,
    need_proof: bool,
) -> Result<TxOut, BuildError> {
    let about = |what: &str| malformed(format!("input {outpoint} {what}"));
    let mut rest = input.clone();
    let output = rest.witness_utxo.take().ok_or_else(|| about("does not say what it spends"))?;
    if output.script_pubkey != *script {
        return Err(about("does not belong to its signer's address"));
    }
    let signed_whole = if script.is_p2tr() {
        PsbtSighashType::from(TapSighashType::Default)
    } else {
        PsbtSighashType::from(EcdsaSighashType::All)
    };
    if rest.sighash_type.take().is_some_and(|asked| asked != signed_whole) {
        return Err(about("asks for a signature that does not cover the whole transaction"));
    }
    match rest.non_witness_utxo.take() {
        Some(parent) if !made(&parent, outpoint, &output) => {
            return Err(about("is not what the transaction that made it says"));
        }
        None if need_proof => {
            return Err(about("needs the transaction that made it, to prove its amount"));
        }
        Some(_) | None => {}
    }
    if rest != Input::default() {
        return Err(about("has keys that are not read here"));
    }
    Ok(output)
}

fn made(parent: &Transaction, outpoint: OutPoint, output: &TxOut) -> bool {
    let vout = usize::try_from(outpoint.vout).unwrap_or(usize::MAX);
    parent.compute_txid() == outpoint.txid && parent.output.get(vout) == Some(output)
}

fn fee(tx: &Transaction, prevouts: &[TxOut]) -> Result<u64, BuildError> {
    let spent = sum(prevouts.iter().map(|output| output.value.to_sat()))?;
    let paid = sum(tx.output.iter().map(|output| output.value.to_sat()))?;
    spent.checked_sub(paid).ok_or_else(|| malformed("it pays more than it spends"))
}
