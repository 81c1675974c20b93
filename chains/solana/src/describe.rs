use chain_core::{
    Action, Address, Amount, BuildError, ChainFamily, ChainId, Payment, Slot, TxSummary, UnsignedTx,
};

use crate::address::{address, nonce_key, token, wallet_key};
use crate::plan::{Body, Operation, Plan};
use crate::read::malformed;

const SIGNATURE_BYTES: usize = 64;

/// Reads back what the exact bytes would do.
///
/// It is strict: only the messages that [`build`](crate::build) writes are understood, byte for
/// byte. Another program, instruction, account, signer, nonce authority, memo or message version is
/// refused, and so is a list of signers that is not the message's own. `fee_max` counts the
/// signatures, the whole priority fee, and rent for the accounts that it may create
/// ([`TOKEN_ACCOUNT_RENT`](crate::TOKEN_ACCOUNT_RENT) for a token account, which may turn out to
/// exist already). The bytes name no network: `chain` is the request's.
///
/// # Errors
/// [`BuildError::Malformed`], or [`BuildError::Id`] for a recipient that is not a wallet.
pub fn describe(tx: &UnsignedTx) -> Result<TxSummary, BuildError> {
    summary(&tx.chain, &read(tx)?)
}

fn summary(chain: &ChainId, plan: &Plan) -> Result<TxSummary, BuildError> {
    let (action, slot) = match &plan.body {
        Body::Durable { nonce, operation } => (
            action(chain, operation)?,
            Slot::SolanaNonce {
                account: address(chain, &nonce.account),
                value: nonce.value.to_string(),
            },
        ),
        Body::CreateNonce { number, .. } => {
            let account = nonce_key(&plan.fee_payer, *number)
                .ok_or_else(|| malformed("the fee payer is a program"))?;
            let account = address(chain, &account);
            let nonce_account = account.clone();
            (
                Action::CreateNonceAccount { number: *number, nonce_account },
                Slot::SolanaAccount { account },
            )
        }
    };
    Ok(TxSummary {
        chain: chain.clone(),
        action,
        fee_max: plan.fee_max()?,
        slots: vec![slot],
        change: Vec::new(),
    })
}

/// The plan of a transaction whose list of signers is the message's own.
fn read(tx: &UnsignedTx) -> Result<Plan, BuildError> {
    if tx.chain.family() != ChainFamily::Solana {
        return Err(BuildError::Unsupported(format!("{} is no Solana network", tx.chain)));
    }
    let plan = Plan::read(&tx.bytes)?;
    let named = tx.signers.iter().map(|signer| &signer.address);
    if !named.eq(&plan.signers(&tx.chain)) {
        return Err(malformed("the signers are not those of the message"));
    }
    if tx.change.is_empty() { Ok(plan) } else { Err(malformed("there is no change on Solana")) }
}

fn action(chain: &ChainId, operation: &Operation) -> Result<Action, BuildError> {
    let (to, asset, amount) = match operation {
        Operation::Anchor(commitment) => {
            return Ok(Action::Anchor { commitment: commitment.clone(), contract: None });
        }
        Operation::Transfer { to, lamports, .. } => (to, chain.native(), *lamports),
        Operation::TokenTransfer { to, mint, amount, .. } => (to, token(chain, mint)?, *amount),
    };
    let to = address(chain, to);
    wallet_key(chain, &to)?;
    Ok(Action::Pay { payments: vec![Payment { to, asset, amount: Amount::from(amount) }] })
}

/// A transaction of ours as it lies on the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentTx {
    /// What it does, if it succeeded.
    pub summary: TxSummary,
    /// Who signed it, the fee payer first.
    pub signers: Vec<Address>,
}

/// Reads a serialised transaction, signatures included, of the kinds that are built here. The
/// signatures are not verified.
///
/// # Errors
/// As [`describe`]: for every other transaction.
pub fn read_sent(chain: &ChainId, bytes: &[u8]) -> Result<SentTx, BuildError> {
    let (count, rest) = bytes.split_first().ok_or_else(|| malformed("no bytes"))?;
    let message = usize::from(*count).checked_mul(SIGNATURE_BYTES);
    let message = message.and_then(|start| rest.get(start..));
    let plan = Plan::read(message.ok_or_else(|| malformed("cut in its signatures"))?)?;
    let signers = plan.signers(chain);
    if signers.len() == usize::from(*count) {
        Ok(SentTx { summary: summary(chain, &plan)?, signers })
    } else {
        Err(malformed("another number of signatures"))
    }
}
