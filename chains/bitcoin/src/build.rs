use std::collections::{BTreeMap, BTreeSet};

use bitcoin::absolute::LockTime;
use bitcoin::hashes::{Hash, HashEngine, sha256};
use bitcoin::transaction::Version;
use bitcoin::{Psbt, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness};
use chain_core::{
    Action, Address, Amount, AnchorCommitment, BitcoinContext, BuildError, ChainId, Intent,
    IntentId, Payment, Purpose, UnsignedTx,
};

use crate::address::{network, script_of};
use crate::anchor::anchor_script;
use crate::coins::{self, Input, amounts_need_proof, malformed, own_script, parts, sum, total};
use crate::fee::{FeeRule, Parts, WEIGHT_MAX, output_weight, transaction_weight};
use crate::open::PSBT_BYTES_MAX;
use crate::select::{Selection, Target, select};

/// Builds the transaction of an intent as a PSBT of version 0 (BIP-174).
///
/// - [`Action::Pay`]: one output for each payment in their order, so many payments are one
///   transaction; change, where it is worth an output, sits at a place that the intent's id decides.
/// - [`Purpose::Sweep`]: every coin of the context goes to the one payment, whose amount must be
///   [`sweepable`]. A sweep that replaces another keeps its amount, and so takes the higher fee from
///   further coins than those that must be spent, with change.
/// - [`Action::Anchor`]: one `OP_RETURN` output with [`anchor_payload`](crate::anchor_payload).
///
/// The result depends on nothing but the arguments. Inputs signal replacement (BIP-125), and the
/// lock time is the tip's height, so that the transaction cannot be mined into an older block.
///
/// # Errors
/// [`BuildError`]: wrong network or address, nothing or dust to pay, not enough coins, a fee over the
/// intent's cap, a coin whose parent is needed and absent, or more inputs than fit.
pub fn build(intent: &Intent, context: &BitcoinContext) -> Result<UnsignedTx, BuildError> {
    network(&intent.chain)?;
    let change_script = own_script(&context.change, &intent.chain)?;
    let outputs = outputs(intent)?;
    let fee = fee_rule(context)?;
    let inputs = coins::inputs(context, &intent.chain)?;
    let selection = if intent.purpose == Purpose::Sweep && spends_everything(context) {
        sweep(&outputs, fee, inputs)?
    } else {
        select(&Target::new(&outputs, fee, &change_script)?, &inputs)?
    };
    if selection.change.is_some() && outputs.iter().any(|out| out.script_pubkey == change_script) {
        return Err(BuildError::Unsupported(
            "a payment goes to the change address; choose another change address".to_owned(),
        ));
    }
    let fee = total(&selection.inputs)?
        .checked_sub(sum(outputs.iter().map(|out| out.value.to_sat()).chain(selection.change))?)
        .ok_or(chain_core::AmountError::Underflow)?;
    if Amount::from(fee) > intent.fee_max {
        return Err(BuildError::FeeOverCap { fee: Amount::from(fee), cap: intent.fee_max });
    }
    let outputs = place_change(intent.id, outputs, selection.change, change_script);
    let change = if selection.change.is_some() { vec![context.change.clone()] } else { vec![] };
    Ok(UnsignedTx {
        chain: intent.chain.clone(),
        bytes: psbt(&selection, outputs, context)?,
        signers: selection.inputs.into_iter().map(|input| input.owner).collect(),
        change,
    })
}

/// What a sweep of every coin of the context to `to` can pay: all that they hold, less the fee.
///
/// # Errors
/// [`BuildError`] as [`build`]; [`BuildError::Insufficient`] when the fee leaves less than the chain
/// relays.
pub fn sweepable(context: &BitcoinContext, to: &Address) -> Result<Amount, BuildError> {
    let inputs = coins::inputs(context, to.chain())?;
    sweep_amount(&inputs, fee_rule(context)?, &script_of(to)?).map(Amount::from)
}

/// True unless the context is that of a replacement with further coins to pay its higher fee.
fn spends_everything(context: &BitcoinContext) -> bool {
    context.must_spend.is_empty()
        || context.coins.iter().all(|coin| context.must_spend.contains(&coin.outpoint))
}

fn fee_rule(context: &BitcoinContext) -> Result<FeeRule, BuildError> {
    FeeRule::new(context.fee_rate_sat_per_kwu, context.replaced_fee.to_u64()?)
}

fn sweep_amount(inputs: &[Input], fee: FeeRule, to: &ScriptBuf) -> Result<u64, BuildError> {
    let outputs = Parts::default().and(output_weight(to));
    let fee = fee.least(transaction_weight(parts(inputs), outputs))?;
    let available = total(inputs)?;
    let least = fee.checked_add(to.minimal_non_dust().to_sat());
    let least = least.ok_or(chain_core::AmountError::Overflow)?;
    if inputs.is_empty() || available < least {
        return Err(BuildError::Insufficient {
            needed: Amount::from(least),
            available: Amount::from(available),
        });
    }
    Ok(available.saturating_sub(fee))
}

fn sweep(outputs: &[TxOut], fee: FeeRule, inputs: Vec<Input>) -> Result<Selection, BuildError> {
    let [output] = outputs else {
        return Err(BuildError::Unsupported("a sweep is exactly one payment".to_owned()));
    };
    let all = sweep_amount(&inputs, fee, &output.script_pubkey)?;
    let asked = output.value.to_sat();
    if asked > all {
        let available = total(&inputs)?;
        let fee = available.saturating_sub(all);
        return Err(BuildError::Insufficient {
            needed: Amount::from(asked).checked_add(Amount::from(fee))?,
            available: Amount::from(available),
        });
    }
    if asked < all {
        return Err(BuildError::Unsupported(format!(
            "a sweep pays all that its coins hold less the fee, {all} satoshi, not {asked}"
        )));
    }
    Ok(Selection { inputs, change: None })
}

fn outputs(intent: &Intent) -> Result<Vec<TxOut>, BuildError> {
    match &intent.action {
        Action::Pay { payments } if payments.is_empty() => Err(BuildError::Zero),
        Action::Pay { payments } => {
            payments.iter().map(|payment| paid(payment, &intent.chain)).collect()
        }
        Action::Anchor { commitment, contract: None } => Ok(vec![anchored(commitment)]),
        Action::Anchor { contract: Some(_), .. }
        | Action::DeployAnchorContract
        | Action::CreateNonceAccount { .. } => {
            Err(BuildError::Unsupported("Bitcoin has no contracts or nonce accounts".to_owned()))
        }
    }
}

fn anchored(commitment: &AnchorCommitment) -> TxOut {
    TxOut { value: bitcoin::Amount::ZERO, script_pubkey: anchor_script(commitment) }
}

/// Checks what of a payment can be checked before there is a world to build it in: asset, network,
/// address, amount.
///
/// # Errors
/// [`BuildError`]: zero, dust, more than there can be, another network's address or asset.
pub fn check_payment(payment: &Payment, chain: &ChainId) -> Result<(), BuildError> {
    paid(payment, chain).map(|_| ())
}

fn paid(payment: &Payment, chain: &ChainId) -> Result<TxOut, BuildError> {
    if payment.asset != chain.native() {
        return Err(BuildError::Unsupported(format!(
            "{} is not the coin of {chain}",
            payment.asset
        )));
    }
    if payment.to.chain() != chain {
        return Err(chain_core::IdError::Address {
            text: payment.to.to_string(),
            chain: chain.clone(),
            reason: "it belongs to another network".to_owned(),
        }
        .into());
    }
    let script_pubkey = script_of(&payment.to)?;
    let value = bitcoin::Amount::from_sat(payment.amount.to_u64()?);
    let limit = script_pubkey.minimal_non_dust();
    if payment.amount.is_zero() {
        return Err(BuildError::Zero);
    }
    if value < limit {
        let limit = Amount::from(limit.to_sat());
        return Err(BuildError::Dust { amount: payment.amount, limit });
    }
    Ok(TxOut { value, script_pubkey })
}

/// Puts the change at a place that an onlooker cannot guess and a retry finds again.
fn place_change(
    id: IntentId,
    mut outputs: Vec<TxOut>,
    change: Option<u64>,
    script: ScriptBuf,
) -> Vec<TxOut> {
    let Some(sat) = change else { return outputs };
    let mut engine = sha256::Hash::engine();
    engine.input(b"roadstead change position");
    engine.input(id.0.as_bytes());
    for output in &outputs {
        engine.input(output.script_pubkey.as_bytes());
    }
    let hash = sha256::Hash::from_engine(engine).to_byte_array();
    let places = outputs.len().saturating_add(1);
    let place = hash.iter().fold(0, |rest: usize, byte| {
        rest.wrapping_mul(256).wrapping_add(usize::from(*byte)).checked_rem(places).unwrap_or(0)
    });
    let value = bitcoin::Amount::from_sat(sat);
    outputs.insert(place, TxOut { value, script_pubkey: script });
    outputs
}

fn psbt(
    selection: &Selection,
    outputs: Vec<TxOut>,
    context: &BitcoinContext,
) -> Result<Vec<u8>, BuildError> {
    let lock_time = LockTime::from_height(context.height)
        .map_err(|_| malformed(format!("{} is no block height", context.height)))?;
    let spent = |input: &Input| TxIn {
        previous_output: input.outpoint,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
        witness: Witness::new(),
    };
    let unsigned = Transaction {
        version: Version::TWO,
        lock_time,
        input: selection.inputs.iter().map(spent).collect(),
        output: outputs,
    };
    check_weight(selection, &unsigned)?;
    let mut psbt =
        Psbt::from_unsigned_tx(unsigned).map_err(|error| malformed(error.to_string()))?;
    let proofs = proofs(selection, context)?;
    for (slot, input) in psbt.inputs.iter_mut().zip(&selection.inputs) {
        slot.witness_utxo = Some(input.prevout());
        slot.non_witness_utxo = proofs.get(&input.outpoint.txid).cloned();
    }
    let bytes = psbt.serialize();
    if bytes.len() > PSBT_BYTES_MAX {
        return Err(too_large());
    }
    Ok(bytes)
}

fn check_weight(selection: &Selection, unsigned: &Transaction) -> Result<(), BuildError> {
    let outputs = unsigned
        .output
        .iter()
        .fold(Parts::default(), |sum, output| sum.and(output_weight(&output.script_pubkey)));
    let weight = transaction_weight(parts(&selection.inputs), outputs);
    if weight > WEIGHT_MAX { Err(too_large()) } else { Ok(()) }
}

fn too_large() -> BuildError {
    BuildError::Unsupported(
        "the transaction would be too large; spend fewer coins or pay fewer at once".to_owned(),
    )
}

/// The parents that have to be shown, checked against the coins that they made.
fn proofs(
    selection: &Selection,
    context: &BitcoinContext,
) -> Result<BTreeMap<Txid, Transaction>, BuildError> {
    if !amounts_need_proof(selection.inputs.iter().map(|input| &input.script)) {
        return Ok(BTreeMap::new());
    }
    let mut parents = coins::parents(context)?;
    for input in &selection.inputs {
        let vout = usize::try_from(input.outpoint.vout).unwrap_or(usize::MAX);
        let parent = parents.get(&input.outpoint.txid).ok_or_else(|| {
            malformed(format!("the transaction that made {} is needed and absent", input.outpoint))
        })?;
        if parent.output.get(vout) != Some(&input.prevout()) {
            return Err(malformed(format!("{} is not what its transaction says", input.outpoint)));
        }
    }
    let used: BTreeSet<Txid> = selection.inputs.iter().map(|input| input.outpoint.txid).collect();
    parents.retain(|txid, _| used.contains(txid));
    Ok(parents)
}
