use bitcoin::{ScriptBuf, TxOut};
use chain_core::{Action, Address, Amount, BuildError, Payment, Slot, TxId, TxSummary, UnsignedTx};

use crate::address::address_of_script;
use crate::anchor::read_anchor_script;
use crate::coins::{malformed, own_script};
use crate::open::{Opened, open};

/// Reads back what the exact bytes of a PSBT do. A sweep reads as a payment.
///
/// Outputs to an address of [`UnsignedTx::change`] are change, each of which must occur exactly once;
/// whether those addresses are ours is for the signer to derive. All else is payments in their order,
/// or one anchor. The amounts that the inputs claim are proved, so that the fee is the true one: see
/// the crate's notes.
///
/// # Errors
/// [`BuildError::Malformed`] for anything that [`build`](crate::build) would not have written:
/// unknown keys, signatures, inputs that are not SegWit or do not belong to the named signer, a
/// signature hash other than that of the whole transaction, an unproved amount, an output of unknown
/// kind.
pub fn describe(unsigned: &UnsignedTx) -> Result<TxSummary, BuildError> {
    summary(unsigned, &open(unsigned)?)
}

pub(crate) fn summary(unsigned: &UnsignedTx, opened: &Opened) -> Result<TxSummary, BuildError> {
    let (change, paid) = split_change(unsigned, &opened.tx.output)?;
    let slots = opened.tx.input.iter().map(|input| Slot::BitcoinOutpoint {
        txid: TxId(input.previous_output.txid.to_string()),
        vout: input.previous_output.vout,
    });
    Ok(TxSummary {
        chain: unsigned.chain.clone(),
        action: action(unsigned, &paid)?,
        fee_max: Amount::from(opened.fee),
        slots: slots.collect(),
        change,
    })
}

type Change = Vec<(Address, Amount)>;

fn split_change<'a>(
    unsigned: &UnsignedTx,
    outputs: &'a [TxOut],
) -> Result<(Change, Vec<&'a TxOut>), BuildError> {
    let declared = unsigned
        .change
        .iter()
        .map(|owner| Ok((own_script(owner, &unsigned.chain)?, owner.address.clone())))
        .collect::<Result<Vec<(ScriptBuf, Address)>, BuildError>>()?;
    let (mut change, mut paid) = (Vec::new(), Vec::new());
    for output in outputs {
        match declared.iter().find(|(script, _)| *script == output.script_pubkey) {
            Some((_, address)) => change.push((address.clone(), sat(output))),
            None => paid.push(output),
        }
    }
    let once = declared
        .iter()
        .all(|(_, address)| change.iter().filter(|(found, _)| found == address).count() == 1);
    if !once || change.len() != declared.len() {
        return Err(malformed("a change address does not occur exactly once"));
    }
    Ok((change, paid))
}

fn sat(output: &TxOut) -> Amount {
    Amount::from(output.value.to_sat())
}

fn action(unsigned: &UnsignedTx, paid: &[&TxOut]) -> Result<Action, BuildError> {
    match paid {
        [] => Err(malformed("it pays nobody")),
        [only] if only.script_pubkey.is_op_return() => {
            if only.value != bitcoin::Amount::ZERO {
                return Err(malformed("its OP_RETURN burns money"));
            }
            let commitment = read_anchor_script(&only.script_pubkey)?;
            Ok(Action::Anchor { commitment, contract: None })
        }
        many => {
            let payments = many.iter().map(|output| payment(unsigned, output));
            Ok(Action::Pay { payments: payments.collect::<Result<_, _>>()? })
        }
    }
}

fn payment(unsigned: &UnsignedTx, output: &TxOut) -> Result<Payment, BuildError> {
    let to = address_of_script(&unsigned.chain, &output.script_pubkey)?
        .ok_or_else(|| malformed("an output is of no kind that is paid here"))?;
    if output.value == bitcoin::Amount::ZERO {
        return Err(BuildError::Zero);
    }
    Ok(Payment { to, asset: unsigned.chain.native(), amount: sat(output) })
}
