use chain_core::{
    Action, Address, Amount, AmountError, AssetId, BuildError, ChainFamily, Intent, KeyedAddress,
    Payment, SolanaContext, UnsignedTx,
};
use solana_hash::Hash;
use solana_pubkey::Pubkey;

use crate::address::{account_key, address, mint, nonce_key, wallet_key};
use crate::fee::{Budget, SYSTEM_ACCOUNT_RENT, TOKEN_ACCOUNT_RENT};
use crate::plan::{Body, Nonce, Operation, Plan};

/// Builds the one transaction that does `intent`, over the durable nonce of `context`.
///
/// A token payment always carries the instruction that creates the recipient's account if it is
/// absent: so the wallet that is paid is in the bytes, for [`describe`](crate::describe) to read.
///
/// # Errors
/// Zero or dust amounts, sums past 64 bits or over the balance, remainders that the network would
/// not keep alive, a fee over the cap, addresses of another network, no durable nonce: each its
/// [`BuildError`].
pub fn build(intent: &Intent, context: &SolanaContext) -> Result<UnsignedTx, BuildError> {
    let plan = plan(intent, context)?;
    check_funds(&plan, context)?;
    let fee = plan.fee_max()?;
    if fee > intent.fee_max {
        return Err(BuildError::FeeOverCap { fee, cap: intent.fee_max });
    }
    let addresses = plan.signers(&intent.chain);
    let signers = addresses.iter().map(|address| signer(address, context));
    Ok(UnsignedTx {
        chain: intent.chain.clone(),
        bytes: plan.bytes()?,
        signers: signers.collect::<Result<_, _>>()?,
        change: Vec::new(),
    })
}

/// The most of `asset` that one transaction can pay out of the owner's account: all of a token, all
/// lamports where another pays the fee, else what the fee leaves. Zero when nothing can be swept.
#[must_use]
pub fn sweepable(context: &SolanaContext, asset: &AssetId) -> Amount {
    if !asset.is_native() || context.owner.address != context.fee_payer.address {
        return context.balance;
    }
    let rest = budget(context).fee(1).and_then(|fee| context.balance.checked_sub(fee));
    rest.ok().filter(|rest| *rest >= Amount::from(SYSTEM_ACCOUNT_RENT)).unwrap_or(Amount::ZERO)
}

/// The compute units that a transaction of this kind may use, with a margin. The search for the
/// bump of a token account's address takes a different number of steps for each wallet.
#[must_use]
pub fn compute_unit_limit(action: &Action) -> u32 {
    match action {
        Action::Pay { payments } if payments.iter().any(|payment| !payment.asset.is_native()) => {
            120_000
        }
        Action::Anchor { .. } => 80_000,
        Action::Pay { .. } | Action::CreateNonceAccount { .. } | Action::DeployAnchorContract => {
            2_000
        }
    }
}

fn plan(intent: &Intent, context: &SolanaContext) -> Result<Plan, BuildError> {
    let chain = &intent.chain;
    if chain.family() != ChainFamily::Solana {
        return Err(BuildError::Unsupported(format!("{chain} is no Solana network")));
    }
    let fee_payer = wallet_key(chain, &context.fee_payer.address)?;
    let body = match &intent.action {
        Action::Pay { payments } => {
            let [payment] = payments.as_slice() else {
                return Err(unsupported("a Solana transaction pays exactly one payment"));
            };
            let owner = wallet_key(chain, &context.owner.address)?;
            let operation = pay(intent, payment, owner, context)?;
            Body::Durable { nonce: nonce(intent, context)?, operation }
        }
        Action::Anchor { commitment, contract: None } => Body::Durable {
            nonce: nonce(intent, context)?,
            operation: Operation::Anchor(commitment.clone()),
        },
        Action::CreateNonceAccount { number, nonce_account } => {
            let derived = nonce_key(&fee_payer, *number).map(|key| address(chain, &key));
            if derived.as_ref() != Some(nonce_account) {
                return Err(unsupported("this is not the payer's nonce account of that number"));
            }
            Body::CreateNonce {
                blockhash: hash(&context.recent_blockhash)?,
                number: *number,
                lamports: context.rent_exempt_lamports.to_u64()?,
            }
        }
        Action::Anchor { contract: Some(_), .. } | Action::DeployAnchorContract => {
            return Err(unsupported("there is no anchor contract on Solana"));
        }
    };
    Ok(Plan { fee_payer, budget: budget(context), body })
}

fn pay(
    intent: &Intent,
    payment: &Payment,
    owner: Pubkey,
    context: &SolanaContext,
) -> Result<Operation, BuildError> {
    let chain = &intent.chain;
    let to = wallet_key(chain, &payment.to)?;
    let amount = payment.amount.to_u64()?;
    if amount == 0 {
        return Err(BuildError::Zero);
    }
    if to == owner {
        return Err(unsupported("the recipient is the payer"));
    }
    if payment.asset == chain.native() {
        return Ok(Operation::Transfer { owner, to, lamports: amount });
    }
    let mint = mint(chain, &payment.asset)?;
    let decimals = context.token_decimals;
    let decimals = decimals.ok_or_else(|| unsupported("the token's decimals are not known"))?;
    Ok(Operation::TokenTransfer { owner, to, mint, amount, decimals })
}

fn nonce(intent: &Intent, context: &SolanaContext) -> Result<Nonce, BuildError> {
    let missing = || unsupported("only the creation of a nonce account goes without a nonce");
    let (account, value) = context.nonce.as_ref().ok_or_else(missing)?;
    Ok(Nonce { account: account_key(&intent.chain, account)?, value: hash(value)? })
}

/// Checks that each account can pay its part, and is left with nothing or with what keeps it alive.
fn check_funds(plan: &Plan, context: &SolanaContext) -> Result<(), BuildError> {
    let fee = plan.network_fee()?;
    let payer_has = context.fee_payer_balance;
    match &plan.body {
        Body::CreateNonce { .. } => spend(payer_has, plan.fee_max()?),
        Body::Durable { operation: Operation::Anchor(_), .. } => spend(payer_has, fee),
        Body::Durable { operation: Operation::TokenTransfer { amount, .. }, .. } => {
            let amount = Amount::from(*amount);
            if amount > context.balance {
                return Err(insufficient(amount, context.balance));
            }
            spend(payer_has, fee.checked_add(rent_of_recipient(context)?)?)
        }
        Body::Durable { operation: Operation::Transfer { owner, lamports, .. }, .. } => {
            let amount = Amount::from(*lamports);
            let limit = context.rent_exempt_lamports;
            if context.recipient_is_new && amount < limit {
                return Err(BuildError::Dust { amount, limit });
            }
            if *owner == plan.fee_payer {
                spend_all_in_one(context.balance, amount, fee)
            } else {
                spend(context.balance, amount)?;
                spend(payer_has, fee)
            }
        }
    }
}

fn rent_of_recipient(context: &SolanaContext) -> Result<Amount, BuildError> {
    let (rent, bound) = (context.rent_exempt_lamports, Amount::from(TOKEN_ACCOUNT_RENT));
    match context.recipient_is_new {
        false => Ok(Amount::ZERO),
        true if rent <= bound => Ok(rent),
        true => Err(unsupported("a token account costs more here than a summary counts")),
    }
}

/// The network charges the fee first and refuses a payer that it leaves with too little to live.
fn spend_all_in_one(available: Amount, amount: Amount, fee: Amount) -> Result<(), BuildError> {
    spend(available, amount.checked_add(fee)?)?;
    let limit = Amount::from(SYSTEM_ACCOUNT_RENT);
    match available.checked_sub(fee)? {
        after_fee if after_fee < limit => Err(BuildError::Dust { amount, limit }),
        _ => Ok(()),
    }
}

fn spend(available: Amount, needed: Amount) -> Result<(), BuildError> {
    let alive = Amount::from(SYSTEM_ACCOUNT_RENT);
    match available.checked_sub(needed) {
        Ok(rest) if rest.is_zero() || rest >= alive => Ok(()),
        Ok(_) => Err(insufficient(needed.checked_add(alive)?, available)),
        Err(AmountError::Underflow) => Err(insufficient(needed, available)),
        Err(error) => Err(error.into()),
    }
}

fn signer(address: &Address, context: &SolanaContext) -> Result<KeyedAddress, BuildError> {
    let known = [&context.fee_payer, &context.owner];
    let found = known.into_iter().find(|keyed| keyed.address == *address).cloned();
    found.ok_or_else(|| unsupported("a signer is not among the context's"))
}

fn budget(context: &SolanaContext) -> Budget {
    Budget { unit_limit: context.compute_unit_limit, unit_price: context.compute_unit_price }
}

fn hash(text: &str) -> Result<Hash, BuildError> {
    text.parse().map_err(|_| unsupported("a blockhash or nonce value is 32 bytes in base58"))
}

const fn insufficient(needed: Amount, available: Amount) -> BuildError {
    BuildError::Insufficient { needed, available }
}

fn unsupported(reason: &str) -> BuildError {
    BuildError::Unsupported(reason.to_owned())
}
